"""Are 32 plain layers trainable with layer norm if there is more time?

In deep_training and deep_repeat no network of 32 plain layers had learned the digits
after 200 steps, with any arm, so whether one is better could not be asked there. Here
the budget is 1000 steps. All else is as in deep_repeat: `he`, no norm and He's initial
weights; `batch` and `layer`, a norm before each ReLU; rates tuned with three seeds of
their own; ten new seeds that count.

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

import functools

from lnlib.experiments import deep_repeat, deep_training
from lnlib.lab import deep

DEPTH, STEPS = 32, 1000

GRID = {"norm": ["he", "batch", "layer"]}
SEEDS = range(32, 42)
TUNING = deep_repeat.TUNING
MEASUREMENTS = deep_training.MEASUREMENTS | {"steps": 500}


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    tuning = config["stage"] == "tune"
    seeds = TUNING.seeds if tuning else SEEDS
    seeds = tuple(seeds) if seed in seeds else (seed,)
    rates = TUNING.levels if tuning else (config["lr"],)
    found = _side_by_side(config["norm"], seeds, rates, device)[seed, config["lr"]]
    return {
        name: None if tuning and name == "test_error" else found[name]
        for name in MEASUREMENTS
    }


@functools.lru_cache(maxsize=4)
def _side_by_side(norm, seeds, rates, device):
    pairs = [(seed, rate) for rate in rates for seed in seeds]
    he = norm == "he"
    measured = deep.learn(
        *(tuple(part) for part in zip(*pairs, strict=True)),
        STEPS,
        deep_training.BATCH_SIZE,
        device=device,
        depth=DEPTH,
        norm="none" if he else norm,
        init="he" if he else "default",
    )
    return dict(zip(pairs, measured, strict=True))
