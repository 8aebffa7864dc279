"""Small networks, and one way to train them that is the same for every arm."""

import itertools
from collections import OrderedDict
from contextlib import contextmanager
from numbers import Integral

import torch
import torch.nn.functional as F


def mlp(sizes, norm=None, seed=0, dtype=torch.float64):
    """A multilayer perceptron: linear, norm, ReLU, and so on; linear at the end.

    The norm acts on the summed inputs of a layer, before the nonlinearity, where Ba,
    Kiros and Hinton put it.

    Args:
        sizes: the widths, from the input to the output: a list of at least two ints.
        norm: called with a width, returns a module, for example
            `lnlib.nn.LayerNorm`; None for no norm.
        seed: of the initial weights; the same seed gives every norm the same weights.
        dtype: of the parameters. float64 makes results equal on all processors to
            far more digits than a page shows.

    Returns:
        A `torch.nn.Sequential` with submodules linear1, norm1, relu1, linear2, ...

    Raises:
        TypeError: a size is not an int, norm not callable, or dtype not a floating
            torch.dtype.
        ValueError: fewer than two sizes, or one below 1.

    >>> list(dict(mlp([64, 32, 10], torch.nn.LayerNorm).named_children()))
    ['linear1', 'norm1', 'relu1', 'linear2']
    """
    sizes = list(sizes)
    if len(sizes) < 2:
        raise ValueError(f"Expected at least two sizes, but got {sizes}")
    if not all(isinstance(n, Integral) and not isinstance(n, bool) for n in sizes):
        raise TypeError(f"Expected sizes to be ints, but got {sizes}")
    if min(sizes) < 1:
        raise ValueError(f"Expected sizes of at least 1, but got {sizes}")
    if norm is not None and not callable(norm):
        raise TypeError(f"Expected norm to be callable, but got {type(norm).__name__}")
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"Expected dtype to be a floating torch.dtype, but got {dtype}")
    layers = OrderedDict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes), 1):
            layers[f"linear{i}"] = torch.nn.Linear(n_in, n_out)
            if i < len(sizes) - 1:
                if norm is not None:
                    layers[f"norm{i}"] = norm(n_out)
                layers[f"relu{i}"] = torch.nn.ReLU()
    return torch.nn.Sequential(layers).to(dtype)


def train(
    model,
    x,
    y,
    steps=300,
    batch_size=64,
    lr=1e-2,
    momentum=0.9,
    seed=0,
    optimizer=None,
    after_step=None,
):
    """Train a classifier in place, by stochastic gradient descent with momentum.

    Args:
        model: a module from (batch, d) to (batch, classes).
        x, y: inputs (M, d) and labels (M,).
        steps: how many batches to take.
        batch_size: examples a batch, drawn without replacement epoch by epoch.
        lr, momentum: of the optimizer.
        seed: decides the batches; the same seed gives every model the same ones.
        optimizer: a `torch.optim.Optimizer` over parameters of the model, to be used
            instead; lr and momentum are then not.
        after_step: called without arguments after each step, while the gradients of
            that step are still in place; for example a `probes.WeightMotion`.

    Returns:
        The training loss of each step: a list of floats, cross-entropy in nats.

    Raises:
        TypeError: y is not a tensor, steps or batch_size not an int, optimizer not a
            torch optimizer, or after_step not callable.
        ValueError: y is not (M,), batch_size is not from 1 to M, or steps is negative.

    >>> from lnlib.lab.data import digits
    >>> d = digits()
    >>> losses = train(mlp([64, 32, 10], torch.nn.LayerNorm), d.x_train, d.y_train)
    >>> len(losses), losses[-1] < 0.5 < losses[0]
    (300, True)
    """
    m = len(x)
    _check_labels(x, y)
    for name, number in (("steps", steps), ("batch_size", batch_size)):
        if not isinstance(number, Integral) or isinstance(number, bool):
            raise TypeError(
                f"Expected {name} to be an int, but got {type(number).__name__}"
            )
    if steps < 0:
        raise ValueError(f"Expected steps to be at least 0, but got {steps}")
    if not 1 <= batch_size <= m:
        raise ValueError(
            f"Expected batch_size to be from 1 to {m}, but got {batch_size}"
        )
    if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            "Expected optimizer to be a torch.optim.Optimizer, but got "
            f"{type(optimizer).__name__}"
        )
    if after_step is not None and not callable(after_step):
        raise TypeError(
            f"Expected after_step to be callable, but got {type(after_step).__name__}"
        )
    order = torch.Generator().manual_seed(seed)
    if optimizer is None:
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    model.train()
    losses, waiting = [], torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(waiting) < batch_size:
            waiting = torch.randperm(m, generator=order)
        batch, waiting = waiting[:batch_size], waiting[batch_size:]
        loss = F.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if after_step is not None:
            after_step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def accuracy(model, x, y):
    """The share of examples that a classifier gets right, from 0 to 1.

    Args:
        model: a module from (M, d) to (M, classes); used in evaluation mode, and left
            in the mode it was in.
        x, y: inputs (M, d) and labels (M,).

    Raises:
        TypeError: y is not a tensor.
        ValueError: y is not (M,), or they are empty.

    >>> model = torch.nn.Identity()
    >>> accuracy(model, torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
    0.5
    """
    _check_labels(x, y)
    if not len(x):
        raise ValueError("Expected at least one input, but got 0 inputs")
    with evaluating(model):
        right = (model(x).argmax(-1) == y).sum().item()
    return right / len(y)


@contextmanager
def evaluating(model):
    """The model in evaluation mode; after it each submodule in the mode it was in.

    >>> model = mlp([4, 3, 2], torch.nn.BatchNorm1d)
    >>> _ = model.norm1.eval()
    >>> with evaluating(model):
    ...     model.training
    False
    >>> model.training, model.norm1.training
    (True, False)
    """
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@torch.no_grad()
def error(model, x, y):
    """The share of examples that a classifier gets wrong, which it leaves evaluating.

    Args:
        model: from (M, d) to logits (M, C); it is put into evaluation mode.
        x, y: inputs and labels (M,).

    Returns:
        A float from 0 to 1.

    >>> x = torch.eye(2)
    >>> error(torch.nn.Identity(), x, torch.tensor([0, 0]))
    0.5
    """
    return (model.eval()(x).argmax(-1) != y).sum().item() / len(y)


@torch.no_grad()
def loss(model, x, y):
    """The mean cross-entropy of a classifier, in nats, which it leaves evaluating.

    Args:
        model, x, y: as in `error`.

    Returns:
        A float.

    >>> round(loss(torch.nn.Identity(), torch.zeros(1, 2), torch.tensor([0])), 4)
    0.6931
    """
    return torch.nn.functional.cross_entropy(model.eval()(x), y).item()


def errors(model, split, testing):
    """What most experiments measure of a trained classifier: a dict of floats.

    Args:
        model: as in `error`.
        split: a `Split`.
        testing: whether the test part may be looked at.

    Returns:
        `val_error`, `train_loss`, and `test_error`, which is None without `testing`.
    """
    return {
        "val_error": error(model, split.x_val, split.y_val),
        "train_loss": loss(model, split.x_train, split.y_train),
        "test_error": error(model, split.x_test, split.y_test) if testing else None,
    }


def _check_labels(x, y):
    if not isinstance(y, torch.Tensor):
        raise TypeError(f"Expected y to be a tensor, but got {type(y).__name__}")
    # A label of shape (M, 1) would be compared with every prediction.
    if tuple(y.shape) != (len(x),):
        raise ValueError(
            f"Expected as many labels as inputs, y of shape ({len(x)},), but got "
            f"{tuple(y.shape)}"
        )
