"""Does the batch size make a difference with layer norm?

The experiment batch_size asked it with ten seeds, and most of its answers were unclear.
Here it is asked again, of layer norm alone and with forty new seeds; the network, the
examples and the tuning are those of batch_size, with other seeds to tune with, and
PyTorch's layer norm, which is the same and takes less time.

Bars, fixed before looking at these runs:

- A difference of test errors matters from 0.01 on, as in batch_size.
- The batch size makes no difference if at no smaller size the test error is surely
  higher than at 128 by more than the bar, and at every size it is surely not, at a
  confidence of 95 % over all sizes together.

Measured are `test_error`, `val_error` and `train_loss`, as in batch_size.
"""

import torch

from lnlib.experiments import batch_size
from lnlib.lab import training
from lnlib.lab.experiment import Tuning

GRID = {"norm": ["layer"], "batch_size": batch_size.GRID["batch_size"]}
SEEDS = range(10, 50)
TUNING = Tuning(
    "lr", levels=batch_size.TUNING.levels[:6], seeds=(102, 103), by="val_error"
)
MEASUREMENTS = {
    name: batch_size.MEASUREMENTS[name]
    for name in ("test_error", "val_error", "train_loss")
}
cost = batch_size.cost


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    model, split = batch_size.trained(torch.nn.LayerNorm, config, seed, device)
    return training.errors(model, split, config["stage"] == "test")
