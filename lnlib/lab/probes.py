"""Look into a network without changing it."""

import math

import numpy as np
import torch

from lnlib.lab.training import evaluating


@torch.no_grad()
def activations(model, x, names=None):
    """What each submodule of a network puts out, for given inputs.

    Args:
        model: a module; used in evaluation mode, and left in the mode it was in.
        x: its input.
        names: the submodules to record, a list of names as `named_modules` gives
            them; None for all that have no submodules of their own.

    Returns:
        A dict from name to the output of that submodule, detached, in the order of
        names. One that is called more than once shows its last output; one that is not
        called is left out, unless it was named.

    Raises:
        TypeError: names is not a list of str, or a submodule puts out no tensor.
        ValueError: there is no submodule of a name, or the model does not call it.

    >>> from lnlib.lab.training import mlp
    >>> a = activations(mlp([64, 32, 10]), torch.zeros(5, 64, dtype=torch.float64))
    >>> {name: tuple(t.shape) for name, t in a.items()}
    {'linear1': (5, 32), 'relu1': (5, 32), 'linear2': (5, 10)}
    """
    modules = dict(model.named_modules())
    asked = names is not None
    names = names if names is None or isinstance(names, str) else list(names)
    if names is None:
        names = [n for n, m in modules.items() if not list(m.children())]
    if isinstance(names, str) or not all(isinstance(n, str) for n in names):
        raise TypeError(f"Expected names to be a list of str, but got {names!r}")
    for name in names:
        if name not in modules:
            raise ValueError(
                f"Expected names among {sorted(modules)}, but got {name!r}"
            )
    seen = {}

    def record(name):
        def hook(module, args, output):
            if not isinstance(output, torch.Tensor):
                raise TypeError(
                    f"Expected {name!r} to put out a tensor, but got "
                    f"{type(output).__name__}; leave it out of names"
                )
            seen[name] = output.detach().clone()

        return hook

    hooks = [modules[n].register_forward_hook(record(n)) for n in names]
    try:
        with evaluating(model):
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    unused = [name for name in names if name not in seen]
    if asked and unused:
        raise ValueError(
            f"Expected names of submodules that the model calls, but it calls none of "
            f"{unused}"
        )
    return {name: seen[name] for name in names if name in seen}


class WeightMotion:
    """What each step of training does to one group of weights, taken as one vector.

    Make it before training and call it after each step, as `training.train` does with
    its `after_step`. The vector is that of all the parameters together, so a linear
    layer's weight and bias make one vector of N * (D + 1) numbers.

    Args:
        parameters: the parameters to watch, a list of tensors.

    Attributes:
        norm: length of the vector, before the first step and after each: a list of
            steps + 1 floats.
        grad_norm: length of the gradient that each step had.
        radial: inner product of the gradient with the weights before the step, over
            the product of their lengths: the cosine of the angle between them. It is
            0 for weights whose scale the loss does not see.
        angle: the angle in radians by which each step turned the vector.

    Raises:
        ValueError: parameters is empty, or a step is recorded and a parameter has no
            gradient.

    >>> from lnlib.lab.training import mlp, train
    >>> model = mlp([4, 3, 2], torch.nn.LayerNorm)
    >>> motion = WeightMotion(model.linear1.parameters())
    >>> x = torch.eye(4, dtype=torch.float64)
    >>> losses = train(model, x, torch.tensor([0, 1, 0, 1]), 5, 4, after_step=motion)
    >>> len(motion.norm), len(motion.angle)
    (6, 5)
    """

    def __init__(self, parameters):
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("Expected at least one parameter, but got none")
        self._before = self._flat(self.parameters)
        self.norm = [self._before.norm().item()]
        self.grad_norm, self.radial, self.angle = [], [], []

    def __call__(self):
        grads = [p.grad for p in self.parameters]
        missing = sum(g is None for g in grads)
        if missing:
            raise ValueError(
                f"Expected every parameter to have a gradient, but {missing} of "
                f"{len(grads)} have none"
            )
        before, after, grad = (
            self._before,
            self._flat(self.parameters),
            self._flat(grads),
        )
        n0, n1, ng = (v.norm().item() for v in (before, after, grad))
        product = n0 * ng
        self.radial.append((before @ grad).item() / product if product else 0.0)
        # Half the distance of the two unit vectors is the sine of half the angle;
        # the arc cosine of their product would lose small angles.
        chord = (after / n1 - before / n0).norm().item() if n0 and n1 else 0.0
        self.angle.append(2 * math.asin(min(1.0, chord / 2)))
        self.grad_norm.append(ng)
        self.norm.append(n1)
        self._before = after

    @staticmethod
    def _flat(tensors):
        return torch.cat([t.detach().flatten() for t in tensors])


def linear_probe(x_train, t_train, x_test, t_test, ridge=1e-2):
    """How well a linear function of some features predicts some targets.

    Ridge regression on features standardized over the training rows, with an
    intercept; fitted on the training rows, judged on the test rows.

    Args:
        x_train, x_test: features (M, N), arrays.
        t_train, t_test: targets (M,) or (M, K).
        ridge: the penalty on the squared coefficients, relative to M; above 0.

    Returns:
        R squared on the test rows, one number for each target: 1 is perfect, 0 as good
        as the mean of the test targets, and below 0 worse than that.

    Raises:
        ValueError: shapes do not fit, a target of the test rows is constant, or ridge
            is not above 0.

    Source: Alain and Bengio 2016, arXiv:1610.01644, for linear probes; Hoerl and
    Kennard 1970 for ridge regression.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 3))
    >>> targets = np.stack([x[:, 0] - 2 * x[:, 1], rng.normal(size=200)], axis=1)
    >>> r2 = linear_probe(x[:100], targets[:100], x[100:], targets[100:])
    >>> bool(r2[0] > 0.99), bool(r2[1] < 0.2)
    (True, True)
    """
    x_train, t_train, x_test, t_test = (
        np.asarray(a, dtype=np.float64) for a in (x_train, t_train, x_test, t_test)
    )
    for name, x, t in (("train", x_train, t_train), ("test", x_test, t_test)):
        if x.ndim != 2 or t.ndim not in (1, 2) or len(x) != len(t) or not len(x):
            raise ValueError(
                f"Expected x_{name} of shape (M, N) and t_{name} of shape (M,) or "
                f"(M, K), but got {x.shape} and {t.shape}"
            )
    if x_train.shape[1] != x_test.shape[1] or t_train.shape[1:] != t_test.shape[1:]:
        raise ValueError(
            "Expected as many features and targets in test as in training, but got "
            f"{x_test.shape} and {t_test.shape} after {x_train.shape} and "
            f"{t_train.shape}"
        )
    if not ridge > 0:
        raise ValueError(f"Expected ridge to be above 0, but got {ridge}")
    centred = t_test - t_test.mean(0)
    total = (centred**2).sum(0)
    if not np.all(total > 0):
        raise ValueError("Expected test targets that vary, but one is constant")
    mean, spread = x_train.mean(0), x_train.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    z, z_test = (x_train - mean) / spread, (x_test - mean) / spread
    gram = z.T @ z + ridge * len(z) * np.eye(z.shape[1])
    offset = t_train.mean(0)
    coefficients = np.linalg.solve(gram, z.T @ (t_train - offset))
    missed = t_test - (z_test @ coefficients + offset)
    return np.atleast_1d(1 - (missed**2).sum(0) / total)
