"""Does batch norm help a convolutional network because examples depend on each other?

A small convolutional network learns the digits, images of 8 by 8: three convolutions of
3 by 3 with 16, 32 and 32 channels, the second with stride 2, each with a norm or none
and a ReLU behind it; then the mean over the places, and a linear layer. The arms are

- `none`: no norm;
- `batch`: statistics of each channel over the batch and the places;
- `instance`: of each channel over the places of one image, which is batch norm with the
  dependence between images taken out and nothing else changed in training;
- `group`: of 4 groups of channels over the places of one image;
- `layer`: of all channels and places of one image, with one gain for each channel.

Every run sees 3,072 images, in batches of 32 or of 2. The learning rate is tuned for
each norm and batch size on the validation split, with two seeds of its own. Then ten
seeds count. A seed decides the split, the initial weights and the order of the images,
alike for every arm.

Bars, fixed before looking:

- A difference of test errors matters from 0.01 on (one point, about 4 of 360 images).
- "Batch norm helps" holds if at both batch sizes its test error is lower than with no
  norm by more than the bar, at 95 % over both.
- "Because examples depend on each other" needs that. It does not hold if at a batch
  size a norm without that dependence is surely not worse than batch norm by the bar; it
  holds if all three surely are, at 95 % over the three and the two sizes.
- "Layer norm makes it better" is judged against no norm, at 95 % over both sizes.

Measured are

- `test_error`: the share of the test split that is wrong, in evaluation mode; not
  looked at while tuning;
- `val_error`: the same of the validation split;
- `train_loss`: cross-entropy on the training split, evaluation mode, in nats.
"""

from collections import OrderedDict

import torch

from lnlib.lab import data, training
from lnlib.lab.experiment import Tuning

NORMS = {
    "none": lambda channels: torch.nn.Identity(),
    "batch": torch.nn.BatchNorm2d,
    "instance": lambda channels: torch.nn.GroupNorm(channels, channels),
    "group": lambda channels: torch.nn.GroupNorm(4, channels),
    "layer": lambda channels: torch.nn.GroupNorm(1, channels),
}
EXAMPLES = 3072

GRID = {"batch_size": [2, 32], "norm": list(NORMS)}
SEEDS = range(10)
TUNING = Tuning(
    "lr",
    levels=(0.003, 0.01, 0.03, 0.1, 0.3),
    seeds=(100, 101),
    by="val_error",
)
# In float32, where sums differ between processors sooner.
MEASUREMENTS = {"test_error": 0.05, "val_error": 0.05, "train_loss": 0.2}


def cost(config):
    """How long a run takes: steps and images, each a little longer with a norm."""
    each = {"none": 1.0, "batch": 1.4}.get(config["norm"], 1.5)
    return each * (EXAMPLES / config["batch_size"] + EXAMPLES / 30)


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    split = data.digits(seed, torch.float32).to(device)
    model = network(config["norm"], seed).to(device)
    training.train(
        model,
        split.x_train,
        split.y_train,
        steps=EXAMPLES // config["batch_size"],
        batch_size=config["batch_size"],
        lr=config["lr"],
        seed=seed,
    )
    return training.errors(model, split, config["stage"] == "test")


def network(norm, seed):
    """The convolutional network of an arm: from (M, 64) to (M, 10)."""
    layers = OrderedDict(image=torch.nn.Unflatten(1, (1, 8, 8)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        before = 1
        for i, (channels, stride) in enumerate(((16, 1), (32, 2), (32, 1)), 1):
            layers[f"conv{i}"] = torch.nn.Conv2d(before, channels, 3, stride, 1)
            layers[f"norm{i}"] = NORMS[norm](channels)
            layers[f"relu{i}"] = torch.nn.ReLU()
            before = channels
        layers["pool"] = torch.nn.AdaptiveAvgPool2d(1)
        layers["flat"] = torch.nn.Flatten()
        layers["linear"] = torch.nn.Linear(before, 10)
    return torch.nn.Sequential(layers)
