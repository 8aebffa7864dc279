"""Has layer norm an advantage where the batch size varies, often or now and then?

In the experiment stream, with batches of varying size, batch norm had the lower test
error in nine of ten runs and ended far off in one, so that a difference of means said
nothing. Here the two are asked apart, with sixty new seeds. The stream `varying` and
the network are those of stream; the learning rate is tuned anew, with seeds of its own.

Bars, fixed before looking at these runs:

- Layer norm is better in a run if its test error is lower than batch norm's by more
  than 0.01. It has an advantage *as a rule* if that is so in more than half of the
  runs, and surely has none if it is so in less than half, at 97.5 %.
- A run has gone wrong if its test error is above 0.3. Layer norm has an advantage *now
  and then* if fewer of its runs go wrong, seed by seed, at 97.5 %.

Measured are `test_error` and `val_error`, as in stream.
"""

from lnlib.experiments import stream
from lnlib.lab.experiment import Tuning

GRID = {"stream": ["varying"], "norm": ["batch", "layer"]}
SEEDS = range(10, 70)
TUNING = Tuning(
    "lr", levels=stream.TUNING.levels, seeds=(103, 104, 105), by="val_error"
)
MEASUREMENTS = {name: stream.MEASUREMENTS[name] for name in ("test_error", "val_error")}
cost = stream.cost


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    measured = stream.run(config, seed, device)
    return {name: measured[name] for name in MEASUREMENTS}
