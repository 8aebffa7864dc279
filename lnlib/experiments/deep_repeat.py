"""Is it layer norm that makes a deep network of ReLUs trainable, asked with more seeds?

In deep_training five seeds could not tell layer norm from He's initial weights: the
seeds differ too much, and two seeds for tuning let one arm end at the edge of the
rates. So its question is asked again, of its networks of 16 layers and more, with new
seeds: three for tuning, twelve that count. The rates go down by one step, and the
highest, which no arm had chosen there, is left out. Otherwise all is as there:
200 steps of 32 digits, stochastic gradient descent with momentum 0.9, float32. The
arms are

- `he`: no norm, and the initialization of He et al. 2015, in residual networks divided
  by the root of the depth;
- `layer`: layer norm before each ReLU, PyTorch's initial weights;
- `batch`: batch norm in the same place; in plain networks of 16 layers only.

Bars, fixed before looking at these runs, and after deep_training had been seen:

- A difference of test errors matters from 0.05 on, as there.
- Layer norm makes a network trainable that was not if its test error is lower than with
  He's weights by more than that, at a confidence of 95 % over the four networks. It
  does not if it is surely not lower by that much: whether both are the same or layer
  norm is worse then makes no difference to the question.

Measured are `test_error`, `val_error`, `train_loss`, `steps`, `diverged`, `cosine` and
`gradient`, as in deep_training.
"""

from lnlib.experiments import deep_training
from lnlib.lab import deep
from lnlib.lab.experiment import Tuning

GRID = {
    "path": ["plain", "residual"],
    "norm": ["he", "batch", "layer"],
    "depth": [16, 32, 64],
}
SEEDS = range(20, 32)
TUNING = Tuning(
    "lr",
    levels=(0.000025, 0.0001, 0.0004, 0.0016, 0.0064, 0.0256),
    seeds=(200, 201, 202),
    by="val_error",
)
MEASUREMENTS = deep_training.MEASUREMENTS


def allowed(config):
    """Whether a configuration is run: batch norm for plain networks of 16 layers."""
    plain, depth = config["path"] == "plain", config["depth"]
    if config["norm"] == "batch":
        return plain and depth == 16
    return depth in ((16, 32) if plain else (16, 64))


def cost(config):
    """How long a run takes: in proportion to the layers."""
    return config["depth"] + 1


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    options = {
        "steps": deep_training.STEPS,
        "batch_size": deep_training.BATCH_SIZE,
        "depth": config["depth"],
        "residual": config["path"] == "residual",
        **deep.start_as(config["norm"]),
    }
    found = deep.learn_together(config, seed, SEEDS, TUNING, device, **options)
    return {name: found[name] for name in MEASUREMENTS}
