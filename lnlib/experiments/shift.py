"""Does layer norm make a network robust to inputs that have shifted, or that drift?

A multilayer perceptron 64-64-64-10 learns the digits, 300 batches of 64, and is then
tested on images that have been changed. The arms are

- `none`: no norm;
- `batch`: batch norm before each ReLU, with the running statistics of the training;
- `adapted`: the same network, with the statistics of the shifted test images, all of
  them together; under drift, of each batch of 30 that comes;
- `layer`: layer norm before each ReLU;
- `layer_input`: layer norm of the 64 pixels too;
- `standardized`: no norm, but each pixel standardized by the mean and the standard
  deviation of the training split (a pixel that is constant there is divided by 1).

The learning rate is tuned for each arm on the clean validation split, with four seeds
of its own. Then sixty seeds count. A seed decides the split, the initial weights, the
order of the examples and whatever is random in a shift, alike for every arm. The harm
of a shift that is random is the mean over eight draws of it.

This is the second sweep. A first one counted the seeds 0 to 9, with one draw of each
random shift, and left ten of the twelve comparisons of layer norm with no norm unclear:
the harm differs much from network to network. So now there are more seeds, new ones,
and more draws. The arms, the shifts, the tuning and the bars are the same.

Pixels are from 0 (paper) to 1 (ink). The shifts: `contrast`, all pixels times 0.25;
`offset`, 0.5 added to all; `inverted`, 1 minus the pixel; `noise`, normal with standard
deviation 0.3 added to each; `gains`, each pixel times a factor of its own, the same in
all images, log-normal with 0.5; `outlier`, 10 added to one pixel, the same in all
images; `moved`, one column to the right; `blurred`, the mean of 3 by 3 pixels;
`classes`, clean images of the digits 0 to 4 alone. The drifts: the test images come in
12 batches of 30, and from the first to the last the change grows evenly from nothing:
`contrast_drift`, to times 0.25; `offset_drift`, to 0.5 added; `gains_drift`, to the
gains above.

Bars, fixed before looking:

- Harm is the error on changed images minus that of the same network on the same images
  unchanged (for `adapted`, with the statistics of the training). A difference of harm
  matters from 0.02 on (two points).
- "Less harm with layer norm" holds for a shift if the harm to `layer` is smaller than
  that to `none` by more than the bar, at 95 % over all shifts together; it does not
  hold for a shift if it is surely not. The same is said of drifts.

Measured are `test_error`, the share of the clean test split that is wrong, not looked
at while tuning; `val_error`, the same of the validation split; and for each change the
harm that it does: `contrast`, `offset`, `inverted`, `noise`, `gains`, `outlier`,
`moved`, `blurred`, `classes`, `contrast_drift`, `offset_drift`, `gains_drift`.
"""

import copy

import torch

from lnlib.lab import data, training
from lnlib.lab.experiment import Tuning
from lnlib.lab.rulings_batches import DRIFTS, SHIFTS

ARMS = ("none", "batch", "adapted", "layer", "layer_input", "standardized")
STEPS, BATCH_SIZE, DRIFT_BATCH, DRAWS = 300, 64, 30, 8
RANDOM = ("noise", "gains", "outlier", "gains_drift")

GRID = {"arm": list(ARMS)}
SEEDS = range(10, 70)
TUNING = Tuning(
    "lr",
    levels=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    seeds=(100, 101, 102, 103),
    by="val_error",
)
# On another processor single images near a boundary may change sides, and a training
# run multiplies the difference of a last digit.
MEASUREMENTS = {
    "test_error": 0.03,
    "val_error": 0.03,
    **dict.fromkeys(SHIFTS + DRIFTS, 0.1),
}


class Standardize(torch.nn.Module):
    """Subtract a mean and divide by a deviation that were measured once: (M, d)."""

    def __init__(self, x):
        super().__init__()
        deviation = x.std(0, correction=0)
        self.register_buffer("mean", x.mean(0))
        self.register_buffer("scale", torch.where(deviation > 0, deviation, 1.0))

    def forward(self, x):
        """(M, d) -> (M, d)."""
        return (x - self.mean) / self.scale


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    split = data.digits(seed).to(device)
    model = network(config["arm"], seed, split.x_train).to(device)
    training.train(
        model,
        split.x_train,
        split.y_train,
        steps=STEPS,
        batch_size=BATCH_SIZE,
        lr=config["lr"],
        seed=seed,
    )
    adapts = config["arm"] == "adapted"
    measured = dict.fromkeys(MEASUREMENTS)
    measured["val_error"] = training.error(model, split.x_val, split.y_val)
    if config["stage"] == "test":
        x, y = split.x_test, split.y_test
        measured["test_error"] = training.error(model, x, y)
        for name in SHIFTS + DRIFTS:
            measured[name] = harm(model, name, x, y, seed, adapts)
    return measured


def network(arm, seed, x):
    """The network of an arm, a `torch.nn.Sequential`; x (M, d) is what it learns."""
    norm = {"batch": torch.nn.BatchNorm1d, "adapted": torch.nn.BatchNorm1d}
    norm |= {"layer": torch.nn.LayerNorm, "layer_input": torch.nn.LayerNorm}
    model = training.mlp([64, 64, 64, 10], norm.get(arm), seed)
    if arm == "layer_input":
        return torch.nn.Sequential(torch.nn.LayerNorm(64, dtype=x.dtype), *model)
    if arm == "standardized":
        return torch.nn.Sequential(Standardize(x), *model)
    return model


def change(name, x, seed, strength=1.0):
    """Changed images (M, 64), the same for the same seed.

    Args:
        name: a level of `SHIFTS`.
        x: images (M, 64) of pixels from 0 to 1.
        seed: of what is random.
        strength: from 0, nothing, to 1; of contrast, offset and gains alone.
    """
    generator = torch.Generator().manual_seed(seed)
    images = x.reshape(-1, 8, 8)
    if name == "contrast":
        return x * (1 - 0.75 * strength)
    if name == "offset":
        return x + 0.5 * strength
    if name == "inverted":
        return 1 - x
    if name == "noise":
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return x + 0.3 * noise.to(x.device)
    if name == "gains":
        logs = torch.randn(x.shape[1], generator=generator, dtype=x.dtype)
        return x * torch.exp(0.5 * strength * logs).to(x.device)
    if name == "outlier":
        (pixel,) = torch.randint(x.shape[1], (1,), generator=generator).tolist()
        changed = x.clone()
        changed[:, pixel] += 10
        return changed
    if name == "moved":
        return torch.nn.functional.pad(images, (1, 0))[..., :-1].reshape(x.shape)
    if name == "blurred":
        mean = torch.nn.functional.avg_pool2d(images[:, None], 3, 1, 1)
        return mean.reshape(x.shape)
    return x  # "classes": which images there are is what changes


def harm(model, name, x, y, seed, adapts):
    """How much a change adds to the error, a float; of a random one the mean."""
    # With "classes" their proportions are what changes.
    kept = y < 5 if name == "classes" else y >= 0
    x, y = x[kept], y[kept]
    wrong = 0.0
    draws = DRAWS if name in RANDOM else 1
    for draw in range(draws):
        seed_of_draw = seed + 1000 * draw
        if name in DRIFTS:
            wrong += drifting(model, name, x, y, seed_of_draw, adapts)
        else:
            wrong += wrong_of(model, change(name, x, seed_of_draw), y, adapts)
    return wrong / draws - training.error(model, x, y)


@torch.no_grad()
def wrong_of(model, x, y, adapts):
    """The error (a float); if it adapts, with the statistics of these very images."""
    if not adapts:
        return training.error(model, x, y)
    model = copy.deepcopy(model).train()
    return (model(x).argmax(-1) != y).sum().item() / len(y)


def drifting(model, name, x, y, seed, adapts):
    """The error over a stream of batches whose change grows from nothing to all."""
    kind = name.removesuffix("_drift")
    batches = torch.arange(len(x)).split(DRIFT_BATCH)
    wrong = 0.0
    for k, batch in enumerate(batches):
        shifted = change(kind, x[batch], seed, k / (len(batches) - 1))
        wrong += len(batch) * wrong_of(model, shifted, y[batch], adapts)
    return wrong / len(x)
