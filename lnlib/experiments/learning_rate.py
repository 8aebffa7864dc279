"""Is training more stable with layer norm than without, and than with batch norm?

To be stable is made into something that can be counted: over how wide a range of
learning rates a network learns. Networks of width 64 with ReLUs learn the digits at
each of ten learning rates from 1e-4 to 3.16, two to a decade, by stochastic gradient
descent with momentum 0.9: `shallow`, two plain layers; `deep`, eight plain layers;
`residual`, eight layers that are added. A batch has 32 examples, for 200 steps, or 4,
for 400 steps. The arms are those of deep_rates: `none`, PyTorch's initial weights;
`he`, those of He et al. 2015; `batch` and `layer`, a norm before each ReLU. Batch norm
is evaluated with the statistics of the training split, so that its running averages
play no part. A run is one seed and all rates; ten seeds, none of them one of
deep_rates.

Bars, fixed before looking at these runs. The table of deep_training had been seen:

- A rate works if the validation error after the budget is below 0.2. Chance is 0.9.
- Training is more stable if more than a quarter of a decade more works.
- A difference of test errors matters from 0.01 on.
- "More stable with layer norm than with batch norm" holds if it is so in all six pairs
  of network and batch size. "In some networks more stable and better with layer norm"
  holds if in one of the six it is more stable, and its test error lower, than with
  either of the arms without a norm.

Measured are

- `width`: how many decades work: half the number of rates that do;
- `highest`: the logarithm to base 10 of the highest rate that works; -4.5 where none
  does;
- `diverged`: at how many of the ten rates a loss was no number, or the last more than
  twice the first;
- `val_error`: the lowest of the validation errors;
- `test_error`: the test error at the rate that has it; the first of those that tie.
"""

from lnlib.experiments import deep_rates

RATES = deep_rates.RATES
NETWORKS = {
    "shallow": {"depth": 2},
    "deep": {"depth": 8},
    "residual": {"depth": 8, "residual": True},
}
STEPS = {4: 400, 32: 200}  # by batch size

GRID = {
    "network": list(NETWORKS),
    "norm": ["none", "he", "batch", "layer"],
    "batch_size": list(STEPS),
}
SEEDS = range(10, 20)
MEASUREMENTS = deep_rates.MEASUREMENTS | {"test_error": 0.3}


def cost(config):
    """How long a run takes: in proportion to layers and steps."""
    return NETWORKS[config["network"]]["depth"] * STEPS[config["batch_size"]] / 400


def run(config, seed, device="cpu"):
    """Train networks of one seed at all rates: a dict of the measurements."""
    size = config["batch_size"]
    network = NETWORKS[config["network"]]
    return deep_rates.at_all_rates(
        seed, config["norm"], STEPS[size], size, device, **network
    )
