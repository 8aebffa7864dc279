"""Does a gradient hold for longer with layer norm, and because examples are apart?

A perceptron with four hidden layers of 64 neurons learns the digits, 300 batches of 64,
by SGD with momentum 0.9. On the way it is looked at how far a gradient can be trusted,
as Santurkar et al. 2018 did for batch norm. The arms:

- `none`: no norm, PyTorch's default initialization;
- `he`: no norm, and the initialization of He et al. 2015;
- `layer`, `batch`: a norm before each ReLU. With batch norm the examples of a batch
  depend on each other, with layer norm they do not;
- `shared`: layer norm with one mean and one variance for all numbers of the batch. The
  examples depend on each other; in all else it is layer norm. It is the control.

The learning rate is tuned for each arm on the validation split, over six rates, with
three seeds of its own. Then twelve seeds count. A seed decides the split, the initial
weights and the batches, for every arm alike.

At six steps of the training, 5, 25, 50, 100, 200 and 300, the gradient g of the loss
over 256 training images is taken, in training mode. Then the weights of the linear
layers take a step along it, and the gradient g' there is compared with g. Steps have to
be of comparable length, and what is comparable can be disputed. So there are two
kinds: the length is a share of the length of the weights, or it is the step that the
arm's own tuned rate makes, 10 lr |g|, as far as momentum 0.9 goes in the end.

After as many steps the arms have come to different losses, and where the loss is small
gradients are small and change easily. So the first kind of step is also taken where the
losses are equal: when the mean loss of the last ten batches is first below 1.5, 1.0,
0.6 and 0.4 nats.

Before this, one run of one seed, 200, was looked at for each arm, to choose lengths at
which a gradient still holds in part. In them layer norm's gradients changed more than
those without a norm, at as many steps; that is why equal losses were added.

Bars, fixed before looking:

- A difference matters from 0.1 decades on, a factor of 1.26.
- A gradient holds for longer if the relative change of it is smaller, for both kinds of
  steps, and also at equal losses, than without a norm, and than with good initial
  weights and no norm.
- Stability has two meanings, and both are asked: after a step, and from batch to batch.
- "Because examples do not depend on each other" fails if layer norm makes gradients
  more stable than no norm, and the control, where they do depend, is as stable.

Measured are

- `log_change`: |g' - g| / |g| after a step of 0.001 of the length of the weights, the
  mean of the logarithm to base 10 over the six steps;
- `log_change_rate`: the same after a step of the tuned rate;
- `log_change_loss`: as `log_change`, where the losses are equal; the mean over those of
  the four losses that the run comes to, or at the end where it comes to none;
- `log_roughness`: the largest of |g' - g| / |g| over the relative length of the step,
  for lengths of 0.0003, 0.001 and 0.003; the effective smoothness of Santurkar et al.
  2018, made free of the scale of weights and gradients; mean of the logarithm;
- `cosine`: of g and g' after the step of 0.001, the mean;
- `log_noise`: how much gradients differ from batch to batch: the root mean square
  distance of the gradients of 8 batches of 64 from their mean, over the length of the
  mean; mean of the logarithm over the six steps;
- `val_error`: the share of the validation split that the trained network gets wrong.
"""

import math

import torch
import torch.nn.functional as F

from lnlib.lab import controls, data, training
from lnlib.lab.experiment import Tuning

HIDDEN, STEPS, BATCH_SIZE = 4, 300, 64
PROBE, BATCHES = 256, 8
CHECKS = (5, 25, 50, 100, 200, 300)
LOSSES, OVER = (1.5, 1.0, 0.6, 0.4), 10  # nats, batches
LENGTH = 0.001
LENGTHS = (0.0003, LENGTH, 0.003)

GRID = {"norm": ["none", "he", "layer", "batch", "shared"]}
SEEDS = range(12)
TUNING = Tuning(
    "lr",
    levels=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    seeds=(100, 101, 102),
    by="val_error",
)
# A training run multiplies the difference of a last digit.
MEASUREMENTS = {
    "log_change": 0.2,
    "log_change_rate": 0.3,
    "log_change_loss": 0.2,
    "log_roughness": 0.2,
    "cosine": 0.1,
    "log_noise": 0.2,
    "val_error": 0.05,
}


def cost(config):
    """How long a run takes: a norm makes a step longer."""
    return {"none": 1.0, "he": 1.0, "shared": 2.0}.get(config["norm"], 1.5)


def run(config, seed, device="cpu"):
    """Train one network and look at its gradients: a dict of the measurements."""
    split = data.digits(seed).to(device)
    model = controls.network(config["norm"], seed, HIDDEN).to(device)
    seen = {name: [] for name in MEASUREMENTS if name != "val_error"}
    to_come = list(LOSSES)

    def look(losses):
        mean = sum(losses[-OVER:]) / OVER if len(losses) >= OVER else math.inf
        at_loss = bool(to_come) and mean < to_come[0]
        if not (at_loss or len(losses) in CHECKS):
            return
        found = gradients(model, split.x_train, split.y_train, config["lr"])
        if len(losses) in CHECKS:
            for name, value in found.items():
                seen[name].append(value)
        if at_loss:
            del to_come[0]
            seen["log_change_loss"].append(found["log_change"])
        elif len(losses) == STEPS and len(to_come) == len(LOSSES):
            seen["log_change_loss"].append(found["log_change"])

    controls.train(
        model,
        split.x_train,
        split.y_train,
        seed,
        config["lr"],
        STEPS,
        BATCH_SIZE,
        after=look if config["stage"] == "test" else None,
    )
    measured = {"val_error": training.error(model, split.x_val, split.y_val)}
    for name, values in seen.items():
        mean = sum(values) / len(values) if values else math.nan
        measured[name] = mean if math.isfinite(mean) else None
    return measured


def gradients(model, x, y, lr):
    """How far gradients can be trusted where a network is now: a dict of floats."""
    with controls.undisturbed(model):
        model.train()
        weights = [m.weight for m in controls.linear_layers(model)]
        start = [w.detach().clone() for w in weights]
        probe = x[:PROBE], y[:PROBE]
        g = gradient(model, weights, *probe)
        length = g.norm()
        size = torch.cat([w.flatten() for w in start]).norm()

        def after(step):
            with torch.no_grad():
                at = 0
                for w, w0 in zip(weights, start, strict=True):
                    part = g[at : at + w.numel()].view_as(w)
                    w.copy_(w0 - (step / length) * part)
                    at += w.numel()
            return gradient(model, weights, *probe)

        ends = {share: after(share * size) for share in LENGTHS}
        change = {share: ((e - g).norm() / length).item() for share, e in ends.items()}
        own = ((after(10 * lr * length) - g).norm() / length).item()
        after(0.0)
        batches = torch.stack(
            [
                gradient(model, weights, x[i : i + BATCH_SIZE], y[i : i + BATCH_SIZE])
                for i in range(0, BATCHES * BATCH_SIZE, BATCH_SIZE)
            ]
        )
        mean = batches.mean(0)
        noise = (batches - mean).square().sum(1).mean().sqrt() / mean.norm()
        return {
            "log_change": log10(change[LENGTH]),
            "log_change_rate": log10(own),
            "log_roughness": log10(max(c / share for share, c in change.items())),
            "cosine": F.cosine_similarity(g, ends[LENGTH], dim=0).item(),
            "log_noise": log10(noise.item()),
        }


def gradient(model, weights, x, y):
    """The gradient of the loss for the weights, as one vector."""
    grads = torch.autograd.grad(F.cross_entropy(model(x), y), weights)
    return torch.cat([g.flatten() for g in grads])


def log10(value):
    """The logarithm to base 10; NaN for 0 and for what is not finite."""
    return math.log10(value) if 0 < value < math.inf else math.nan
