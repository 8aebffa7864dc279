"""Does a network with layer norm reach a loss in fewer steps, and in less time?

A perceptron with four hidden layers of 64 neurons learns the digits, in batches of 64,
until the mean loss of the last 20 batches is below 0.3 nats, or for 600 steps. The
arms, by SGD with momentum 0.9, the first two and `layer` by Adam, too:

- `none`: no norm, PyTorch's default initialization;
- `he`: no norm, and the initialization of He et al. 2015;
- `rates`: no norm, and in each step every layer moves by the same share of its length
  (`lnlib.lab.controls.EqualRates`);
- `layer`, `batch`: a norm before each ReLU;
- `detached`: layer norm whose statistics are constants to the gradient, as DetachNorm
  of Xu et al. 2019;
- `unsteady`: layer norm, and noise after it that changes at every step.

The learning rate is tuned for each arm and optimizer by the steps to the loss, over
seven rates, with three seeds of its own. Then twelve seeds count. A seed decides the
split, the initial weights and the batches, for every arm alike. No more than the
training split is used.

Before this, one run of one seed, 200, was looked at for each arm and rate, with four
and with eight hidden layers, to choose depth and budget.

Time is not in the table, since it is not the same twice. A step with layer norm takes
longer by a factor that is measured beside it, side by side; the bar for time allows for
that it be 2.

Bars, fixed before looking:

- Fewer steps matter from a factor of 1.1 on.
- "In less time" holds against an arm if the steps are fewer by more than a factor of 2;
  it does not hold if they are not fewer. Between the two it depends on what a step
  costs.
- A run that does not reach the loss has needed 600 steps or more. Where that could
  change an answer, the answer is unclear.

Measured are

- `steps`: the step at which the loss is reached; 600 where it is not;
- `reached`: 1 if it is, 0 if not;
- `log_steps`: the logarithm to base 10 of `steps`.
"""

import math

from lnlib.lab import controls, data
from lnlib.lab.experiment import Tuning

HIDDEN, BUDGET, BATCH_SIZE = 4, 600, 64
LOSS, OVER = 0.3, 20

GRID = {
    "optimizer": ["sgd", "adam"],
    "norm": ["none", "he", "rates", "layer", "batch", "detached", "unsteady"],
}
SEEDS = range(12)
TUNING = Tuning(
    "lr",
    levels=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    seeds=(100, 101, 102),
    by="steps",
)
# A training run multiplies the difference of a last digit.
MEASUREMENTS = {"steps": 60, "reached": 1, "log_steps": 0.2}


def allowed(config):
    """Whether a configuration is run: the controls are, by SGD."""
    return config["optimizer"] == "sgd" or config["norm"] in ("none", "he", "layer")


def cost(config):
    """How long a run takes at most."""
    each = {"none": 1.0, "he": 1.0, "rates": 1.6, "detached": 2.2, "unsteady": 2.5}
    slower = 0.5 if config["optimizer"] == "adam" else 0.0
    return each.get(config["norm"], 1.5) + slower


def run(config, seed, device="cpu"):
    """Train one network until the loss is reached: a dict of the measurements."""
    split = data.digits(seed)
    model = controls.network(config["norm"], seed, HIDDEN).to(device)
    losses = controls.train(
        model,
        split.x_train.to(device),
        split.y_train.to(device),
        seed,
        config["lr"],
        BUDGET,
        BATCH_SIZE,
        optimizer="equal" if config["norm"] == "rates" else config["optimizer"],
        after=is_reached,
    )
    reached = is_reached(losses)
    steps = len(losses) if reached else BUDGET
    return {"steps": steps, "reached": int(reached), "log_steps": math.log10(steps)}


def is_reached(losses):
    """Whether the mean of the last losses is below the one that is asked for."""
    return len(losses) >= OVER and sum(losses[-OVER:]) / OVER < LOSS
