"""Is it layer norm that makes a deep network of ReLUs trainable?

Networks 64-64-...-64-10 learn the digits, each layer plain, with 4 to 32 hidden layers,
or added to what it got, with 4 to 64 (`lnlib.lab.deep.Deep`). Weights are PyTorch's
default. The arms:

- `none`: no norm;
- `he`: no norm, and the initialization of He et al. 2015 instead, which keeps the mean
  square of a ReLU's output; in residual networks divided by the root of the depth;
- `batch`, `layer`, `rms`: a norm before each ReLU, with gain and bias;
- `after`: layer norm after each ReLU.

Every run takes 200 steps of 32 examples, by stochastic gradient descent with momentum
0.9; plain networks of 16 layers also by Adam. `rms` and `after` are for plain networks
of 16 layers alone. The learning rate is tuned for each arm on the validation split,
with two seeds of its own, over six rates, evenly spaced in the logarithm. Then five
seeds count. A seed decides the split, the initial weights and the order of the
examples, for every arm alike; float32.

Before this, single runs of other seeds were looked at, of 16 and 32 layers, to choose
the budget and the range of the rates.

Bars, fixed before looking:

- A difference of test errors matters from 0.05 on.
- A network has learned if its test error is below 0.2. Chance is 0.9.
- The gradient has vanished at the start if that of the first layer's weights is below
  a thousandth of the last layer's.

Measured are

- `test_error`: the share of the test split that the trained network gets wrong; not
  looked at while tuning. Batch norm is evaluated with the statistics of the training
  split;
- `val_error`: the same of the validation split;
- `train_loss`: cross-entropy on the training split, in nats; 10 where it is more, or
  no number;
- `steps`: the first step after which the mean loss of the last 20 batches is below 0.5
  nats. Where it never is, 200: the value is cut off, and a mean over seeds is a mean of
  the steps spent within the budget, not of the steps needed;
- `diverged`: 1 if a loss was no number, or the last is more than twice the first; or 0;
- `cosine`: before training, the mean cosine over pairs of 256 training images of what
  the last layer gives them;
- `gradient`: before training, the length of the loss's gradient for the first layer's
  weights, relative to that for the last's.
"""

from lnlib.lab import deep
from lnlib.lab.experiment import Tuning

STEPS, BATCH_SIZE = 200, 32
ALL_ARMS = 16  # layers, where every arm and Adam are run

GRID = {
    "optimizer": ["sgd", "adam"],
    "path": ["plain", "residual"],
    "norm": ["none", "he", "batch", "layer", "rms", "after"],
    "depth": [4, 8, 16, 32, 64],
}
SEEDS = range(5)
TUNING = Tuning(
    "lr",
    levels=(0.0001, 0.0004, 0.0016, 0.0064, 0.0256, 0.1024),
    seeds=(100, 101),
    by="val_error",
)
# On another processor a deep network in float32 goes another way after some steps.
MEASUREMENTS = {
    "test_error": 0.3,
    "val_error": 0.3,
    "train_loss": 1.5,
    "steps": 100,
    "diverged": 1,
    "cosine": 1e-3,
    "gradient": 0.05,
}


def allowed(config):
    """Whether a configuration is run: not all depths for all arms."""
    depth, plain = config["depth"], config["path"] == "plain"
    if config["optimizer"] == "adam" or config["norm"] in ("rms", "after"):
        return plain and depth == ALL_ARMS
    return depth in ((4, 8, 16, 32) if plain else (4, 16, 64))


def cost(config):
    """How long a run takes: in proportion to the layers."""
    return config["depth"] + 1


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    options = {
        "steps": STEPS,
        "batch_size": BATCH_SIZE,
        "optimizer": config["optimizer"],
        "depth": config["depth"],
        "residual": config["path"] == "residual",
        **deep.start_as(config["norm"]),
    }
    found = deep.learn_together(config, seed, SEEDS, TUNING, device, **options)
    return {name: found[name] for name in MEASUREMENTS}
