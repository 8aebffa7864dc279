"""Are 32 plain layers trainable with layer norm if there is more time?

In deep_training and deep_repeat no network of 32 plain layers had learned the digits
after 200 steps, with any arm, so whether one is better could not be asked there. Here
the budget is 1000 steps. All else is as in deep_repeat: `he`, no norm and He's initial
weights; `batch` and `layer`, a norm before each ReLU; rates tuned with three seeds of
their own; forty new seeds that count. At first there were ten, and the answer was
unclear; thirty were added, and the rule asks for half the error.

Bars, fixed before looking at these runs, and those of deep_training and deep_repeat:

- A difference of test errors matters from 0.05 on.
- A network has learned if its test error is below 0.2.
- For the claim that layer norm makes deep networks trainable this network takes the
  place of the same with 200 steps, with the same rule: layer norm makes it trainable if
  its test error is lower than with He's weights by more than the bar, and does not if
  it is surely not lower by that much.

Measured are `test_error`, `val_error`, `train_loss`, `steps`, `diverged`, `cosine` and
`gradient`, as in deep_training; `steps` is cut off at 1000.
"""

from lnlib.experiments import deep_repeat, deep_training
from lnlib.lab import deep

DEPTH, STEPS = 32, 1000
TOGETHER = 5  # seeds side by side

GRID = {"norm": ["he", "batch", "layer"]}
SEEDS = range(32, 72)
TUNING = deep_repeat.TUNING
MEASUREMENTS = deep_training.MEASUREMENTS | {"steps": 500}


def cost(config):
    """How long a run takes: longer with a norm."""
    return {"he": 1.0, "layer": 1.6, "batch": 2.0}[config["norm"]]


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements.

    Networks of a few seeds are trained side by side.
    """
    first = seed - (seed - SEEDS[0]) % TOGETHER
    group = range(first, first + TOGETHER) if seed in SEEDS else ()
    options = {
        "steps": STEPS,
        "batch_size": deep_training.BATCH_SIZE,
        "depth": DEPTH,
        **deep.start_as(config["norm"]),
    }
    found = deep.learn_together(config, seed, group, TUNING, device, **options)
    return {name: found[name] for name in MEASUREMENTS}
