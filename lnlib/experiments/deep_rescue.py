"""Why does a plain network of 16 ReLUs with layer norm learn badly, and what helps?

The explanation to be tested: ReLUs have a mean above zero, so what all inputs have in
common grows from layer to layer until all inputs point in one direction. Layer norm
before the ReLU does not take that away; what removes the mean does. If it is so, then
each way to keep directions apart must help, each way to bring them together must harm,
and what leaves them alone must do neither. All arms are networks of 16 layers of width
64, plain, with a layer norm before each ReLU, but for what the arm names:

- `layer`: nothing else;
- `he`: no norm, He's initialization; `rms`: RMS norm; `batch`: batch norm;
- `after`: layer norm after the ReLU, so that the mean over the features is taken away;
- `centred`: from the ReLU its mean over the features is subtracted, nothing else;
- `shifted`: from the ReLU the constant 1/sqrt(2 pi) is subtracted, its mean for normal
  numbers;
- `raised`: as `after`, and then the constant is added again that brings mean and mean
  square to the ratio that they have after a ReLU;
- `tanh`, `gelu`: instead of the ReLU;
- `layer-he`, `orthogonal`: other initial weights: He's, or orthogonal matrices, with
  zero biases;
- `whitened`: inputs that are uncorrelated over the training split, so that they start
  at a mean cosine of about zero;
- `residual`: each layer is added to what it got;
- `longer`: 800 steps instead of 200; `adam`: Adam instead of momentum.

Otherwise everything is as in deep_training: the budget, six learning rates tuned for
each arm with two seeds of their own, five seeds that count, the measurements.

Before this, one other seed was looked at, with 32 layers: there `after` and `shifted`
learned no better than `layer` in 200 steps, although their directions were apart. So
the bars were written knowing that the explanation may not be the whole of it; gradients
that grow are the rival.

Bars, fixed before looking:

- An arm helps, or harms, if its test error is lower, or higher, than that of `layer` by
  more than 0.05.
- The explanation stands if `after`, `centred` and `shifted` help, if `raised` does
  worse than `after` by more than 0.05, and if over the arms with plain layers, 200
  steps and momentum the rank correlation of the initial cosine and the test error is
  above 0.5.

Measured are `test_error`, `val_error`, `train_loss`, `steps`, `diverged`, `cosine` and
`gradient`, as in deep_training.
"""

from lnlib.experiments import deep_training
from lnlib.lab import deep

DEPTH = 16

ARMS = {
    "layer": {},
    "he": {"norm": "none", "init": "he"},
    "rms": {"norm": "rms"},
    "batch": {"norm": "batch"},
    "after": {"norm": "after"},
    "centred": {"activation": "centred"},
    "shifted": {"activation": "shifted"},
    "raised": {"norm": "raised"},
    "tanh": {"activation": "tanh"},
    "gelu": {"activation": "gelu"},
    "layer-he": {"init": "he"},
    "orthogonal": {"init": "orthogonal"},
    "whitened": {"whiten": True},
    "residual": {"residual": True},
    "longer": {"steps": 800},
    "adam": {"optimizer": "adam"},
}

GRID = {"arm": list(ARMS)}
SEEDS = deep_training.SEEDS
TUNING = deep_training.TUNING
MEASUREMENTS = deep_training.MEASUREMENTS | {"steps": 400}


def cost(config):
    """How long a run takes: in proportion to the steps."""
    return ARMS[config["arm"]].get("steps", deep_training.STEPS)


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    return trained(config, seed, SEEDS, TUNING, MEASUREMENTS, device, ARMS)


def trained(config, seed, seeds, tuning, measurements, device, arms):
    """One network of 16 plain layers with layer norm, but for what its arm changes.

    Args:
        config, seed, seeds, tuning, device: as in `lnlib.lab.deep.learn_together`.
        measurements: the names of what is wanted.
        arms: from the factor "arm" to the arguments of `lnlib.lab.deep.learn` that
            differ.
    """
    options = {
        "norm": "layer",
        "steps": deep_training.STEPS,
        "batch_size": deep_training.BATCH_SIZE,
        "depth": DEPTH,
        **arms[config["arm"]],
    }
    found = deep.learn_together(config, seed, seeds, tuning, device, **options)
    return {name: found[name] for name in measurements}
