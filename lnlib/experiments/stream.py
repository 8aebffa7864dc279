"""Is batch norm worse than layer norm when examples come one by one, or in order?

A multilayer perceptron 64-64-64-10 learns the digits from a stream of 2,048 examples,
with a norm or none before each ReLU, by SGD with momentum 0.9. The streams are

- `single`: one example a step, in random order;
- `fixed`: 16 a step, in random order;
- `varying`: in each step 2, 4, 8, 16, 32 or 64, drawn with equal chances anew, until
  the 2,048 are there;
- `cycle`: 16 of one class a step, the classes in turn;
- `blocks`: 16 of one class a step, first all of class 0, then all of class 1, and so
  on, each class once.

Batch norm cannot be trained on one example, since the variance of one number is zero,
and torch refuses it. So a stream of single examples has it in the two ways that are
left: `batch` waits for 16 examples and then makes a step; `running` makes a step with
every example, and normalizes in training as in evaluation, by running statistics, which
each batch moves by a hundredth before they are used. The gradient takes them for
constants. The other streams have both as well.

The learning rate is tuned for each norm and stream on the validation split, with three
seeds of its own. Then ten seeds count. A seed decides the split, the initial weights,
the stream and its batch sizes, alike for every norm.

Bars, fixed before looking:

- A difference of test errors matters from 0.01 on (one point, about 4 of 360 images).
- "Worse with single examples" holds if the test error is higher than layer norm's by
  more than the bar for both ways, at 95 % over the two together; it does not hold if
  it is surely not, for both.
- "An advantage where the batch size varies" holds for layer norm if in `varying` its
  test error is lower than that of `batch` by more than the bar, at 95 %; it does not
  hold if it is surely not.

Measured are

- `test_error`: the share of the test split that is wrong at the end, in evaluation
  mode; not looked at while tuning;
- `val_error`: the same of the validation split;
- `as_trained`: the share of the last 512 examples of the stream that were wrong when
  they came, in the mode of training and before the step that they were used for. In
  `blocks` these are of the last classes alone.
"""

import torch
import torch.nn.functional as F

from lnlib.lab import data, training
from lnlib.lab.experiment import Tuning

EXAMPLES, SIZE, LAST = 2048, 16, 512
VARYING = (2, 4, 8, 16, 32, 64)


class RunningNorm(torch.nn.BatchNorm1d):
    """Batch norm that normalizes by its running statistics in training, too."""

    def __init__(self, features):
        super().__init__(features, momentum=0.01)

    def forward(self, x):
        """Move the running statistics if in training, then normalize: (M, d)."""
        if self.training:
            with torch.no_grad():
                # About the running mean, since one example has no variance of its own.
                square = (x - self.running_mean).square().mean(0)
                self.running_mean.lerp_(x.mean(0), self.momentum)
                self.running_var.lerp_(square, self.momentum)
        mean, var = self.running_mean.clone(), self.running_var.clone()
        return (x - mean) * (var + self.eps).rsqrt() * self.weight + self.bias


NORMS = {
    "none": None,
    "batch": torch.nn.BatchNorm1d,
    "running": RunningNorm,
    "layer": torch.nn.LayerNorm,
}

GRID = {
    "stream": ["single", "fixed", "varying", "cycle", "blocks"],
    "norm": list(NORMS),
}
SEEDS = range(10)
TUNING = Tuning(
    "lr",
    levels=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    seeds=(100, 101, 102),
    by="val_error",
)
# On another processor single images near a boundary may change sides, and a training
# run multiplies the difference of a last digit.
MEASUREMENTS = {"test_error": 0.05, "val_error": 0.05, "as_trained": 0.05}


def cost(config):
    """How long a run takes: steps, each a little longer with a norm."""
    each = {"none": 1.0, "batch": 1.3, "running": 1.8, "layer": 1.2}[config["norm"]]
    steps = EXAMPLES / SIZE
    if config["stream"] == "single" and config["norm"] != "batch":
        steps = EXAMPLES
    return each * steps + 50


def run(config, seed, device="cpu"):
    """Train one network on a stream and measure it: a dict of the measurements."""
    split = data.digits(seed).to(device)
    model = training.mlp([64, 64, 64, 10], NORMS[config["norm"]], seed).to(device)
    wait = config["norm"] == "batch"
    batches = stream(config["stream"], split.y_train.cpu(), seed, wait)
    measured = dict.fromkeys(MEASUREMENTS)
    measured["as_trained"] = learn(
        model, split.x_train, split.y_train, batches, config["lr"]
    )
    measured["val_error"] = training.error(model, split.x_val, split.y_val)
    if config["stage"] == "test":
        measured["test_error"] = training.error(model, split.x_test, split.y_test)
    return measured


def stream(kind, y, seed, wait=False):
    """The batches of a stream, a list of index tensors, `EXAMPLES` indices in all.

    Args:
        kind: a level of `GRID["stream"]`.
        y: labels (M,).
        seed: of the order; batches of every size have the same order.
        wait: whether a stream of single examples is collected into batches.
    """
    generator = torch.Generator().manual_seed(seed)
    if kind in ("cycle", "blocks"):
        return one_class_batches(kind, y, generator)
    epochs = -(-EXAMPLES // len(y))
    order = [torch.randperm(len(y), generator=generator) for _ in range(epochs)]
    order = torch.cat(order)[:EXAMPLES]
    if kind != "varying":
        single = kind == "single" and not wait
        return list(order.split(1 if single else SIZE))
    batches = []
    while len(order):
        (draw,) = torch.randint(len(VARYING), (1,), generator=generator).tolist()
        # All sizes are even, and so is what is left: no batch is a single example.
        batches.append(order[: VARYING[draw]])
        order = order[VARYING[draw] :]
    return batches


def one_class_batches(kind, y, generator):
    """Batches of one class each, as many of one class as of another up to one."""
    steps, classes = EXAMPLES // SIZE, len(y.unique())
    turns = [k % classes for k in range(steps)]
    if kind == "blocks":
        turns.sort()
    waiting = {c: torch.empty(0, dtype=torch.long) for c in range(classes)}
    batches = []
    for c in turns:
        while len(waiting[c]) < SIZE:
            (of_class,) = (y == c).nonzero(as_tuple=True)
            again = of_class[torch.randperm(len(of_class), generator=generator)]
            waiting[c] = torch.cat([waiting[c], again])
        batches.append(waiting[c][:SIZE])
        waiting[c] = waiting[c][SIZE:]
    return batches


def learn(model, x, y, batches, lr):
    """Train on batches in their order; the error of the last `LAST` as they came."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    model.train()
    wrong = []
    for batch in batches:
        logits = model(x[batch])
        wrong.append((logits.argmax(-1) != y[batch]).detach())
        loss = F.cross_entropy(logits, y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.cat(wrong)[-LAST:].sum().item() / LAST
