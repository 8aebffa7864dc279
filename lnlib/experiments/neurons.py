"""Does the input of a neuron vary less from example to example with layer norm?

A perceptron with four hidden layers of 64 neurons learns the digits, 300 batches of 64,
by SGD with momentum 0.9, with no norm, with layer norm or with batch norm before each
ReLU. The input of a neuron is what its ReLU receives. It is looked at for the test
images before and after training.

The learning rate is tuned for each arm on the validation split, over six rates, with
three seeds of its own. Then twelve seeds count. A seed decides the split, the initial
weights and the batches, for every arm alike.

Bars, fixed before looking:

- How much a neuron's input varies is its deviation over the examples. It can be taken
  as it is, or relative to the size of the numbers in that layer, since a norm changes
  the size of all of them. Both are asked, before and after training.
- A difference of either matters from 0.05 decades on, a factor of 1.12.

Measured are, at the start and at the end of training,

- `log_spread_start`, `log_spread_end`: the deviation over examples of a neuron's input;
  the root of the mean of its square over the neurons of a layer; mean over the layers
  of the logarithm to base 10;
- `log_share_start`, `log_share_end`: the same over the root mean square of all numbers
  in that layer;
- `log_unlike_start`, `log_unlike_end`: how unlike the neurons are: the 90 % quantile of
  their deviations over the 10 % quantile, in a layer; mean over the layers of the
  logarithm; 3 where it is more, as where a neuron's input does not vary at all;
- `example_spread_start`, `example_spread_end`: how unlike the examples are: the
  deviation over examples of the logarithm to base 10 of an example's own deviation over
  the neurons; mean over the layers. It is 0 right behind a layer norm whose gain is 1;
- `val_error`: the share of the validation split that the trained network gets wrong.
"""

import math

import torch

from lnlib.lab import controls, data, training
from lnlib.lab.experiment import Tuning

HIDDEN, STEPS, BATCH_SIZE = 4, 300, 64
LARGEST = 3.0

GRID = {"norm": ["none", "layer", "batch"]}
SEEDS = range(12)
TUNING = Tuning(
    "lr",
    levels=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    seeds=(100, 101, 102),
    by="val_error",
)
LOOKS = ("log_spread", "log_share", "log_unlike", "example_spread")
# A training run multiplies the difference of a last digit.
MEASUREMENTS = {
    **{f"{look}_start": 1e-6 for look in LOOKS},
    **{f"{look}_end": 0.1 for look in LOOKS},
    "val_error": 0.05,
}


def cost(config):
    """How long a run takes: a norm makes a step longer."""
    return {"none": 1.0, "layer": 1.4, "batch": 1.6}[config["norm"]]


def run(config, seed, device="cpu"):
    """Train one network and look at its neurons: a dict of the measurements."""
    split = data.digits(seed).to(device)
    model = controls.network(config["norm"], seed, HIDDEN).to(device)
    measured = dict.fromkeys(MEASUREMENTS)
    testing = config["stage"] == "test"
    if testing:
        measured |= look(model, split.x_test, "start")
    controls.train(
        model,
        split.x_train,
        split.y_train,
        seed,
        config["lr"],
        STEPS,
        BATCH_SIZE,
    )
    if testing:
        measured |= look(model, split.x_test, "end")
    measured["val_error"] = training.error(model, split.x_val, split.y_val)
    return measured


@torch.no_grad()
def look(model, x, when):
    """What the ReLUs receive, described: a dict of floats; batch norm as in training.

    In evaluation mode batch norm's running statistics of the start would make it no
    norm at all.
    """
    sums = dict.fromkeys(LOOKS, 0.0)
    with controls.undisturbed(model):
        model.train()
        for module in model:
            if isinstance(module, torch.nn.ReLU):
                for name, value in describe(x).items():
                    sums[name] += value / HIDDEN
            x = module(x)
    return {
        f"{name}_{when}": v if math.isfinite(v) else None for name, v in sums.items()
    }


def describe(a):
    """Numbers of one layer, (M, d): examples, neurons: a dict of floats."""
    over_examples = a.std(0, correction=0)  # (M, d) -> (d,)
    over_neurons = a.std(1, correction=0)  # (M, d) -> (M,)
    spread = over_examples.square().mean().sqrt()
    high, low = (over_examples.quantile(q).item() for q in (0.9, 0.1))
    unlike = math.log10(high / low) if low > 0 else LARGEST
    return {
        "log_spread": spread.log10().item(),
        "log_share": (spread / a.square().mean().sqrt()).log10().item(),
        "log_unlike": min(unlike, LARGEST),
        "example_spread": over_neurons.log10().std(correction=0).item(),
    }
