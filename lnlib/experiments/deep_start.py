"""Before any training, does the gradient survive a deep network, and do its inputs?

Networks of width 128 and up to 100 layers with normal weights of mean 0 and standard
deviation gain / sqrt(128), without biases; 32 images of the digits go in as one batch,
each scaled to a mean square of 1. `lnlib.lab.deep.Deep` says what a layer is. A norm
has neither gain nor bias and stands before the activation: `layer`, `rms`, `batch`; or
after it: `after`, which is layer norm. Residual networks have gain 1 only. A network of
4 layers is the first 4 of a network of 100, so that depths are paired. Five seeds
decide weights and images; float64.

Bars, fixed before looking:

- The gradient vanishes on the way if at the first layer it is shorter than a tenth of
  what it was at the last of 64; it explodes if it is longer than ten times that.
- Directions have collapsed if the mean cosine over pairs of images is above 0.95.

Measured are

- `log_gradient`: a gradient of normal numbers comes in at the last layer; the logarithm
  to base 10 of its length at the first, relative to that;
- `cosine`: the mean cosine over pairs of images of what the last layer gives them;
- `rank`: the effective rank of that, 32 rows of 128 numbers;
- `log_rms`: the logarithm to base 10 of the root of its mean square.
"""

import functools

import torch

from lnlib.lab import deep

WIDTH, EXAMPLES = 128, 32

GRID = {
    "path": ["plain", "residual"],
    "activation": ["relu", "tanh", "gelu", "sigmoid"],
    "norm": ["none", "layer", "rms", "batch", "after"],
    "gain": [0.5, 1.0, 1.414, 3.0],
    "depth": [4, 8, 16, 32, 64, 100],
}
SEEDS = range(5)
MEASUREMENTS = {"log_gradient": 1e-3, "cosine": 1e-4, "rank": 1e-2, "log_rms": 1e-3}


def allowed(config):
    """Residual networks have gain 1."""
    return config["path"] == "plain" or config["gain"] == 1.0


def run(config, seed, device="cpu"):
    """Look at one network before training: a dict of the measurements.

    All depths and seeds of an arm are computed together and kept.
    """
    arm = tuple((factor, config[factor]) for factor in GRID if factor != "depth")
    seeds = tuple(SEEDS) if seed in SEEDS else (seed,)
    found = _side_by_side(arm, seeds, device)[config["depth"]]
    i = seeds.index(seed)
    return {name: float(f"{found[name][i].item():.5g}") for name in MEASUREMENTS}


@functools.lru_cache(maxsize=4)
def _side_by_side(arm, seeds, device):
    arm = dict(arm)
    model = deep.Deep(
        max(GRID["depth"]),
        seeds,
        norm=arm["norm"],
        residual=arm["path"] == "residual",
        activation=arm["activation"],
        width=WIDTH,
        classes=0,
        gain=arm["gain"],
        dtype=torch.float64,
    ).to(device)
    return deep.start(model, images(seeds).to(device), GRID["depth"])


@functools.lru_cache(maxsize=2)
def images(seeds):
    """32 images a seed as rows of 128 numbers, half of them 0: (S, 32, 128)."""
    x = torch.stack([deep.data.digits(s).x_train[:EXAMPLES] for s in seeds])
    x = torch.nn.functional.pad(x, (0, WIDTH - x.shape[-1]))
    return x / x.square().mean(-1, keepdim=True).sqrt()
