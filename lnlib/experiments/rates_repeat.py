"""Do more learning rates work with layer norm, and is it better, with more seeds?

deep_rates left it unclear, with five seeds, whether more learning rates work with layer
norm than with He's weights in a plain network. learning_rate left it unclear, with ten,
whether there is a network in which more rates work and the result is better. Both are
asked again, with thirty-two new seeds. The networks have eight layers of width 64 and
learn the digits at each of the ten rates of deep_rates: `plain` and `residual` with
batches of 32, as there, and `plain` with batches of 4, chosen because in learning_rate
it had the largest differences of test errors. The arms are `none`, `he` and `layer`. A
run is one seed and all rates.

Bars, fixed before looking at these runs:

- A rate works if the validation error after the budget is below 0.2.
- More rates work if it is more by over a quarter of a decade. With batches of 32 the
  rule is that of deep_rates, unchanged: against `none` and against `he`, in plain and
  in residual networks, 95 % over the four.
- A difference of test errors matters from 0.01 on. With batches of 4, "more stable and
  better" holds if more rates work than with `none` and than with `he`, and the test
  error is lower than with `none` and than with `he`, 95 % over the four.

Measured are

- `width`: how many decades work: half the number of rates that do;
- `highest`: the logarithm to base 10 of the highest rate that works; -4.5 where none
  does;
- `diverged`: at how many of the ten rates a loss was no number, or the last more than
  twice the first;
- `val_error`: the lowest of the validation errors;
- `test_error`: the test error at the rate that has it; the first of those that tie.
"""

from lnlib.experiments import deep_rates, learning_rate

RATES, STEPS = deep_rates.RATES, learning_rate.STEPS

GRID = {
    "path": ["plain", "residual"],
    "norm": ["none", "he", "layer"],
    "batch_size": [4, 32],
}
SEEDS = range(40, 72)
MEASUREMENTS = learning_rate.MEASUREMENTS


def allowed(config):
    """Whether a configuration is run: batches of 4 in plain networks only."""
    return config["batch_size"] == 32 or config["path"] == "plain"


def cost(config):
    """How long a run takes: in proportion to the steps, and longer with a norm."""
    each = 1.4 if config["norm"] == "layer" else 1.0
    return each * STEPS[config["batch_size"]] / 200


def run(config, seed, device="cpu"):
    """Train networks of one seed at all rates: a dict of the measurements."""
    size = config["batch_size"]
    return deep_rates.at_all_rates(
        seed,
        config["norm"],
        STEPS[size],
        size,
        device,
        depth=deep_rates.DEPTH,
        residual=config["path"] == "residual",
    )
