"""What does batch norm answer when an example comes in other company than in training?

A multilayer perceptron 64-64-64-10 with batch norm or layer norm before each ReLU is
trained on the digits, 8,192 examples in mixed batches of 8 or of 128, at a learning
rate of 0.1 and momentum 0.9. Then its weights stay as they are, and only the statistics
that its norms divide by are exchanged: the running ones, those of mixed test batches,
those of test batches that hold one class each, at batch sizes from 2 to 128. Nothing is
trained on sorted batches, which would hurt any network. Ten seeds; a seed decides the
split, the initial weights and the order of the examples, alike for both norms. No rate
is tuned, since the same weights are compared with themselves.

The running statistics are also estimated again. The frozen network goes through the
training split once more, in training mode, from running statistics 0 and 1, with
PyTorch's momentum of 0.1, until 100 batches have passed: mixed; sorted by class; and
sorted by class with the classes in the reverse order. The images are the same in all
three, and so are the batches of the last two.

Bars, fixed before looking:

- A difference of test errors matters from 0.01 on (one point, about 4 of 360 images).

Measured are, at a size of the batches,

- `running`: the share of the test split that is wrong with the running statistics of
  the training;
- `mixed`: the same with the statistics of mixed test batches;
- `sorted`: the same with those of test batches that hold one class each. A class's last
  images fill their batch up with images of that class that have been there;
- `flips`: the share of test images whose predicted class is another one in a second
  draw of mixed batches;
- `again_mixed`, `again_sorted`, `again_reversed`: the test error with running
  statistics that were estimated again, in each of the three orders.
"""

import copy

import torch

from lnlib.lab import data, training

NORMS = {"batch": torch.nn.BatchNorm1d, "layer": torch.nn.LayerNorm}
EXAMPLES, LR, BATCHES_AGAIN = 8192, 0.1, 100

GRID = {
    "norm": list(NORMS),
    "trained": [8, 128],
    "size": [2, 4, 8, 16, 32, 64, 128],
}
SEEDS = range(10)
# On another processor single images near a boundary may change sides, and a training
# run multiplies the difference of a last digit.
MEASUREMENTS = {
    "running": 0.03,
    "mixed": 0.05,
    "sorted": 0.05,
    "flips": 0.05,
    "again_mixed": 0.05,
    "again_sorted": 0.1,
    "again_reversed": 0.1,
}


def cost(config):
    """How long a run takes: the steps of its training, and the test batches."""
    return EXAMPLES / config["trained"] + 1080 / config["size"] + 200


def run(config, seed, device="cpu"):
    """Train one network and measure it: a dict of the measurements."""
    split = data.digits(seed).to(device)
    model = network(config["norm"], config["trained"], seed, split)
    x, y, size = split.x_test, split.y_test, config["size"]
    order = torch.Generator().manual_seed(seed)
    first = predictions(model, x, mixed(len(x), size, order))
    second = predictions(model, x, mixed(len(x), size, order))
    by_class = predictions(model, x, one_class(y, size, order))
    measured = {
        "running": training.error(model, x, y),
        "mixed": share(first != y),
        "sorted": share(by_class != y),
        "flips": share(first != second),
    }
    x, y = split.x_train, split.y_train
    for name, batches in orders(y, size, order).items():
        again = estimated_again(model, x, batches)
        measured[f"again_{name}"] = training.error(again, split.x_test, split.y_test)
    return measured


def network(norm, batch_size, seed, split, lr=LR):
    """A trained network: a `torch.nn.Sequential`."""
    model = training.mlp([64, 64, 64, 10], NORMS[norm], seed).to(split.x_train.device)
    training.train(
        model,
        split.x_train,
        split.y_train,
        steps=EXAMPLES // batch_size,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
    )
    return model


def mixed(count, size, generator):
    """Batches of a size in random order, a list of index tensors.

    Every index is in one batch; the last batch is filled up with indices of the first.
    """
    order = torch.randperm(count, generator=generator)
    short = -count % size
    return list(torch.cat([order, order[:short]]).split(size))


def one_class(y, size, generator):
    """Batches of a size that hold one class each, class by class: index tensors.

    Every index is in a batch; the last batch of a class is filled up with indices of
    that class, over again if the batch is larger than the class.
    """
    batches = []
    for label in y.unique():
        (of_class,) = (y.cpu() == label.cpu()).nonzero(as_tuple=True)
        order = of_class[torch.randperm(len(of_class), generator=generator)]
        full = -(-len(order) // size) * size
        repeats = -(-full // len(order))
        batches += list(order.repeat(repeats)[:full].split(size))
    return batches


def orders(y, size, generator):
    """Three orders of batches for running statistics, `BATCHES_AGAIN` or more each.

    Each goes through whole epochs, so that all see the same share of every class.
    """
    several = {"mixed": [], "sorted": []}
    while len(several["mixed"]) < BATCHES_AGAIN:
        several["mixed"] += mixed(len(y), size, generator)
    while len(several["sorted"]) < BATCHES_AGAIN:
        several["sorted"] += one_class(y, size, generator)
    several["reversed"] = several["sorted"][::-1]
    return several


@torch.no_grad()
def predictions(model, x, batches):
    """The predicted classes (M,) in training mode, in batches; the model stays.

    Of an image that is in several batches the last prediction counts.
    """
    model = copy.deepcopy(model).train()  # training mode changes running statistics
    found = torch.empty(len(x), dtype=torch.long, device=x.device)
    for batch in batches:
        found[batch.to(x.device)] = model(x[batch.to(x.device)]).argmax(-1)
    return found


@torch.no_grad()
def estimated_again(model, x, batches):
    """A copy of the model whose running statistics come from these batches alone."""
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.reset_running_stats()
    for batch in batches:
        model(x[batch.to(x.device)])
    return model


def share(wrong):
    """The share of a tensor of bools that is true, a float."""
    return wrong.sum().item() / wrong.numel()
