"""What helps a plain network of 16 ReLUs with layer norm, asked with more seeds?

Five seeds of deep_rescue left most of its answers unclear: the seeds differ by more
than the arms. Its question is asked again with new seeds, three for tuning and twelve
that count, and with rates that go down by one step; the highest, which no arm had
chosen there, is left out. The arms are those of deep_rescue without `longer`, which is
settled there; each changes one thing of 16 plain layers of width 64 with layer norm
before each ReLU, 200 steps of 32 digits.

Bars, fixed before looking at these runs, as in deep_rescue:

- An arm helps, or harms, if its test error is lower, or higher, than that of `layer` by
  more than 0.05, at a confidence of 95 % each.
- The explanation by directions that collapse before training stands if `after`,
  `centred` and `shifted` help, if `raised` does worse than `after` by more than 0.05,
  and if over the arms with plain layers and momentum the rank correlation of the
  initial cosine and the test error is above 0.5.

Measured are `test_error`, `val_error`, `train_loss`, `steps`, `diverged`, `cosine` and
`gradient`, as in deep_training.
"""

from lnlib.experiments import deep_repeat, deep_rescue, deep_training

ARMS = {arm: what for arm, what in deep_rescue.ARMS.items() if arm != "longer"}

GRID = {"arm": list(ARMS)}
SEEDS = deep_repeat.SEEDS
TUNING = deep_repeat.TUNING
MEASUREMENTS = deep_training.MEASUREMENTS


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    return deep_rescue.trained(config, seed, SEEDS, TUNING, MEASUREMENTS, device, ARMS)
