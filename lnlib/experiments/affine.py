"""Does a network with layer norm do better with gain and bias than without?

Two networks of width 64 learn the digits, with a layer norm before each ReLU: a
multilayer perceptron with two hidden layers, and a residual network of 16 layers.
(`lnlib.lab.deep.Deep`.) What follows the standardizing is learned: gain and bias, the
gain alone, the bias alone, or neither. All begin as the same function, with gain 1 and
bias 0. Each takes 300 steps of 64 examples, by stochastic gradient descent with
momentum 0.9. The learning rate is tuned for each arm on the validation split, with
four seeds of its own, over six rates. Then sixteen seeds count. A seed decides the
split, the initial weights and the order of the examples, for every arm alike; float32.

Bars, fixed before looking:

- A difference of test errors matters from 0.01 on (one point, about 4 of 360 images).
- "Does better" holds for a network if the test error with gain and bias is lower than
  with neither by more than the bar, at a confidence of 95 % over both networks
  together; it does not hold if it is surely not lower by that much.

Measured are

- `test_error`: the share of the test split that the trained network gets wrong; not
  looked at while tuning;
- `val_error`: the same of the validation split;
- `train_loss`: cross-entropy on the training split, in nats;
- `steps`: the first step after which the mean loss of the last 20 batches is below 0.5
  nats.
"""

from lnlib.lab import deep
from lnlib.lab.experiment import Tuning

STEPS, BATCH_SIZE = 300, 64
NETWORKS = {
    "perceptron": {"depth": 2},
    "residual": {"depth": 16, "residual": True},
}

GRID = {"network": list(NETWORKS), "affine": list(deep.AFFINES)}
SEEDS = range(16)
TUNING = Tuning(
    "lr",
    levels=(0.0016, 0.0064, 0.0256, 0.1024, 0.4096, 1.6384),
    seeds=(100, 101, 102, 103),
    by="val_error",
)
MEASUREMENTS = {"test_error": 0.05, "val_error": 0.05, "train_loss": 0.3, "steps": 50}


def cost(config):
    """How long a run takes: in proportion to the layers."""
    return NETWORKS[config["network"]]["depth"] + 1


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    options = {
        "steps": STEPS,
        "batch_size": BATCH_SIZE,
        "norm": "layer",
        "affine": config["affine"],
        **NETWORKS[config["network"]],
    }
    found = deep.learn_together(config, seed, SEEDS, TUNING, device, **options)
    return {name: found[name] for name in MEASUREMENTS}
