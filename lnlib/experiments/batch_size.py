"""Does batch norm need large batches, and does layer norm not?

A multilayer perceptron 64-64-64-10 learns the digits with batch norm, layer norm or no
norm before each ReLU, at batch sizes from 1 to 128. Every run sees 8,192 examples, so
a small batch means more steps. The learning rate is tuned for each norm and batch size
on the validation split, with two seeds of its own. Then ten seeds count. A seed decides
the split, the initial weights and the order of the examples, and is the same for every
arm. Batch norm at batch size 1 is left out: torch refuses it, since the variance of one
number is zero.

Bars, fixed before looking:

- A difference of test errors matters from 0.01 on (one point, about 4 of 360 images).
- "Sensitive to batch size" holds for a norm if its test error at some smaller batch
  size is higher than at 128 by more than the bar, at a confidence of 95 % over all
  sizes together; it does not hold if at all sizes it is surely not.

Measured are

- `test_error`: the share of the test split that the trained network gets wrong, in
  evaluation mode; not looked at while tuning;
- `val_error`: the same of the validation split;
- `train_loss`: cross-entropy on the training split, evaluation mode, in nats;
- `test_error_batch`: the test error in training mode, in batches of the training's
  size, so that batch norm takes its statistics from them; for the other norms the same;
- `companions`: how much the output for an image depends on the images that are with it
  in its batch, in training mode. The logits of 16 images are computed with 16 draws of
  companions each; their variance over the draws is divided by their variance over the
  images.
"""

import copy

import torch

from lnlib.lab import data, training
from lnlib.lab.experiment import Tuning
from lnlib.nn import LayerNorm

NORMS = {"none": None, "batch": torch.nn.BatchNorm1d, "layer": LayerNorm}
EXAMPLES = 8192

GRID = {"norm": list(NORMS), "batch_size": [1, 2, 4, 8, 16, 32, 64, 128]}
SEEDS = range(10)
TUNING = Tuning(
    "lr",
    levels=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    seeds=(100, 101),
    by="val_error",
)
# On another processor single images near a boundary may change sides, and a training
# run multiplies the difference of a last digit.
MEASUREMENTS = {
    "test_error": 0.03,
    "val_error": 0.03,
    "train_loss": 0.1,
    "test_error_batch": 0.05,
    "companions": 0.1,
}


def allowed(config):
    """Whether a configuration can be run."""
    return not (config["norm"] == "batch" and config["batch_size"] == 1)


def cost(config):
    """How long a run takes: steps, each a little longer with a norm."""
    each = {"none": 1.0, "batch": 1.3, "layer": 2.8}[config["norm"]]
    return each * EXAMPLES / config["batch_size"] + 50


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    model, split = trained(NORMS[config["norm"]], config, seed, device)
    testing, size = config["stage"] == "test", config["batch_size"]
    measured = dict.fromkeys(MEASUREMENTS) | training.errors(model, split, testing)
    if testing:
        x, y = split.x_test, split.y_test
        measured["test_error_batch"] = error_in_batches(model, x, y, size, seed)
        measured["companions"] = companions(model, split.x_val, size, seed)
    return measured


def trained(norm, config, seed, device="cpu"):
    """A trained network with a norm, and the split it was trained on."""
    split = data.digits(seed).to(device)
    model = training.mlp([64, 64, 64, 10], norm, seed).to(device)
    training.train(
        model,
        split.x_train,
        split.y_train,
        steps=EXAMPLES // config["batch_size"],
        batch_size=config["batch_size"],
        lr=config["lr"],
        seed=seed,
    )
    return model, split


@torch.no_grad()
def error_in_batches(model, x, y, size, seed):
    """The error in training mode, in batches of a size; the model stays as it is."""
    model = copy.deepcopy(model).train()  # training mode changes running statistics
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    wrong = 0
    for batch in order.to(x.device).split(size):
        wrong += (model(x[batch]).argmax(-1) != y[batch]).sum().item()
    return wrong / len(x)


@torch.no_grad()
def companions(model, x, size, seed, images=16, draws=16):
    """Variance of the logits over draws of companions, relative to that over images."""
    model = copy.deepcopy(model).train()
    generator = torch.Generator().manual_seed(seed)
    logits = torch.empty(images, draws, 10, dtype=x.dtype)
    for i in range(images):
        for j in range(draws):
            others = torch.randperm(len(x) - images, generator=generator) + images
            batch = torch.cat([torch.tensor([i]), others[: size - 1]])
            logits[i, j] = model(x[batch.to(x.device)])[0].cpu()
    within = logits.var(1).mean().item()
    between = logits.mean(1).var(0).mean().item()
    return within / between if between else 0.0
