"""Is instance norm worse than batch norm in a small convolutional network?

In the experiment convolution ten seeds could not tell the two apart to within a point.
Here they are asked again with batches of 32, where a run is short, and with sixty new
seeds. The network, the images and the tuning are those of convolution, with other seeds
to tune with.

Bars, fixed before looking at these runs:

- A difference of test errors matters from 0.01 on. Instance norm is surely not worse
  than batch norm if batch norm is surely not better by more than that, at the
  confidence of the comparisons of convolution: 95 % over six.

Measured are `test_error`, `val_error` and `train_loss`, as in convolution.
"""

from lnlib.experiments import convolution
from lnlib.lab.experiment import Tuning

GRID = {"batch_size": [32], "norm": ["batch", "instance"]}
SEEDS = range(10, 70)
TUNING = Tuning(
    "lr",
    levels=convolution.TUNING.levels,
    seeds=(102, 103, 104, 105),
    by="val_error",
)
MEASUREMENTS = convolution.MEASUREMENTS
cost = convolution.cost
run = convolution.run
