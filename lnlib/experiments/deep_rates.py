"""Over how wide a range of learning rates does a network learn, with or without norm?

Networks of 8 layers of width 64, plain or residual, with four arms of deep_training,
learn the digits for 200 steps of 32 examples at each of 10 learning rates from 1e-4 to
3.16, two to a decade, by stochastic gradient descent with momentum 0.9. A run is one
seed and all rates. Nothing is tuned.

Bars, fixed before looking:

- A rate works if the validation error after the budget is below 0.2. Chance is 0.9.
- Ranges differ if one is wider by more than a quarter of a decade, half the distance of
  two rates.

Measured are

- `width`: how many decades work: half the number of rates that do;
- `highest`: the logarithm to base 10 of the highest rate that works; -4.5 where none
  does;
- `diverged`: at how many of the 10 rates a loss was no number, or the last more than
  twice the first;
- `val_error`: the lowest of the validation errors. It was chosen by itself, so it says
  what can be reached and is no fair estimate.
"""

import math

from lnlib.experiments import deep_training
from lnlib.lab import deep

RATES = tuple(float(f"{10 ** (k / 2):.3g}") for k in range(-8, 2))
DEPTH, WORKS = 8, 0.2

GRID = {
    "path": ["plain", "residual"],
    "norm": ["none", "he", "batch", "layer"],
}
SEEDS = range(5)
MEASUREMENTS = {"width": 1.5, "highest": 2, "diverged": 4, "val_error": 0.3}


def run(config, seed, device="cpu"):
    """Train networks of one seed at all rates: a dict of the measurements."""
    found = at_all_rates(
        seed,
        config["norm"],
        deep_training.STEPS,
        deep_training.BATCH_SIZE,
        device,
        depth=DEPTH,
        residual=config["path"] == "residual",
    )
    return {name: found[name] for name in MEASUREMENTS}


def at_all_rates(seed, norm, steps, batch_size, device, **network):
    """Train networks of one seed at all rates, and say what works.

    Args:
        seed, steps, batch_size, device: as in `lnlib.lab.deep.learn`.
        norm: as in `lnlib.lab.deep.start_as`.
        network: other arguments of `Deep`.

    Returns:
        What `summary` says, and the test error at the rate of the lowest validation
        error: a dict.
    """
    found = deep.learn(
        (seed,) * len(RATES),
        RATES,
        steps,
        batch_size,
        device=device,
        **deep.start_as(norm),
        **network,
    )
    best = min(found, key=lambda one: one["val_error"])
    return summary(RATES, found) | {"test_error": best["test_error"]}


def summary(rates, found):
    """What the runs at several rates say together.

    Args:
        rates: evenly spaced in the logarithm, two to a decade.
        found: a dict for each rate, with `val_error` and `diverged`.

    >>> one = {"val_error": 0.1, "diverged": 0.0}
    >>> summary([0.1, 1.0], [one, {"val_error": 0.9, "diverged": 1.0}])
    {'width': 0.5, 'highest': -1.0, 'diverged': 1.0, 'val_error': 0.1}
    """
    works = [r for r, f in zip(rates, found, strict=True) if f["val_error"] < WORKS]
    return {
        "width": len(works) / 2,
        "highest": round(math.log10(max(works)), 1) if works else -4.5,
        "diverged": sum(f["diverged"] for f in found),
        "val_error": min(f["val_error"] for f in found),
    }
