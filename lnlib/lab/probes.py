"""Look into a network without changing it: activations, gradients and weights."""

import contextlib
import math

import numpy as np
import torch

from lnlib.lab.training import evaluating


def effective_rank(x):
    """How many directions rows spread over: exp of the entropy of the spectrum.

    With singular values s of the rows and p = s / sum(s), it is exp(-sum(p log p)):
    1 if all rows are multiples of one, and n if n directions have the same share.

    Args:
        x: rows, a tensor of shape `(*, d)` with at least one row.

    Returns:
        A float from 1 to d; 0 for rows of zeros, and NaN where x is not finite.

    Raises:
        ValueError: x has no axis or no element.

    Source: Roy and Vetterli 2007, "The effective rank: a measure of effective
    dimensionality".

    >>> effective_rank(torch.ones(5, 3))
    1.0
    >>> round(effective_rank(torch.eye(4)), 4)
    4.0
    """
    if x.ndim < 1 or x.numel() == 0:
        raise ValueError(f"Expected rows, but got a tensor of shape {tuple(x.shape)}")
    rows = x.detach().reshape(-1, x.shape[-1]).double()  # (*, d) -> (M, d)
    if not torch.isfinite(rows).all():
        return float("nan")
    s = torch.linalg.svdvals(rows)
    s = s[s > s.max() * max(rows.shape) * torch.finfo(s.dtype).eps]
    if not len(s):
        return 0.0
    p = s / s.sum()
    return torch.special.entr(p).sum().exp().item()


def moments(x):
    """Mean, spread and effective rank of activations: a dict of floats.

    Args:
        x: a tensor of shape `(*, d)`, with at least one row.

    Returns:
        `mean` and `spread` (the population standard deviation) over all elements, and
        `rank`, as `effective_rank`.

    Raises:
        ValueError: as `effective_rank`.

    >>> moments(torch.tensor([[1.0, 3.0]]))
    {'mean': 2.0, 'spread': 1.0, 'rank': 1.0}
    """
    rank = effective_rank(x)
    wide = x.detach().double()
    return {
        "mean": wide.mean().item(),
        "spread": wide.std(correction=0).item(),
        "rank": rank,
    }


def weight_norms(model):
    """The Euclidean norm of every parameter: a dict from its name to a float.

    >>> weight_norms(torch.nn.LayerNorm(4))
    {'weight': 2.0, 'bias': 0.0}
    """
    return {n: _norm(p) for n, p in model.named_parameters()}


def gradient_norms(model, loss):
    """The norm of the gradient of a loss for every parameter, by layer.

    Args:
        model: a module.
        loss: a tensor of one element, made with the model's parameters. Gradients that
            the parameters hold are left as they are, and so is the graph.

    Returns:
        A dict from the parameter's name to a float; 0 for one the loss does not use.

    Raises:
        ValueError: the loss has more than one element, or no parameter wants a
            gradient.

    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> gradient_norms(model, model(torch.tensor([3.0, 4.0])).sum())
    {'weight': 5.0}
    """
    wanted = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if loss.numel() != 1 or not wanted:
        raise ValueError(
            "Expected a loss of one element and a parameter that wants a gradient, but "
            f"got {loss.numel()} elements and {len(wanted)} parameters"
        )
    grads = torch.autograd.grad(
        loss.sum(), list(wanted.values()), retain_graph=True, allow_unused=True
    )
    return {
        n: 0.0 if g is None else _norm(g) for n, g in zip(wanted, grads, strict=True)
    }


class Recorder(contextlib.AbstractContextManager):
    """Records a network while it trains, through hooks that change nothing.

    In a `with` block around the training, each forward pass in training mode is a step.
    At every `every`-th one it records, for each submodule, the moments of what it puts
    out and the norm of the loss's gradient for that; and for each parameter its norm
    before the step and that of its gradient. Afterwards the hooks are gone.

    Args:
        model: a module.
        every: records the steps 0, every, 2 every, ...
        names: the submodules, as `named_modules` names them; None for all that have no
            submodules of their own.

    Attributes:
        records: a list of dicts with `step`, an int, and, each a dict by name,
            `activations` (as `moments`), `output_gradients`, `weights` and `gradients`
            (floats). What a step did not reach is absent from it.

    Raises:
        ValueError: there is no submodule of a name, or every is below 1.

    >>> from lnlib.lab.training import mlp, train
    >>> model, x = mlp([4, 3, 2], torch.nn.LayerNorm), torch.eye(4).double()
    >>> with Recorder(model, every=5) as recorder:
    ...     losses = train(model, x, torch.tensor([0, 1, 0, 1]), steps=10, batch_size=4)
    >>> [r["step"] for r in recorder.records]
    [0, 5]
    >>> list(recorder.records[0]["output_gradients"])
    ['linear2', 'relu1', 'norm1', 'linear1']
    """

    def __init__(self, model, every=1, names=None):
        if every < 1:
            raise ValueError(f"Expected every to be at least 1, but got {every}")
        self.model, self.every = model, every
        self.modules = _named(model, names)
        self.records, self._handles, self._step, self._now = [], [], 0, None

    def __enter__(self):
        keep = self._handles.append
        keep(self.model.register_forward_pre_hook(self._begin))
        for name, module in self.modules.items():
            keep(module.register_forward_hook(self._output(name)))
        for name, p in self.model.named_parameters():
            if p.requires_grad:
                keep(p.register_post_accumulate_grad_hook(self._gradient(name)))
        return self

    def __exit__(self, *exception):
        while self._handles:
            self._handles.pop().remove()

    def _begin(self, module, args):
        self._now = None
        if not module.training:
            return
        if self._step % self.every == 0:
            kinds = ("activations", "output_gradients", "weights", "gradients")
            self._now = {"step": self._step} | {kind: {} for kind in kinds}
            self._now["weights"] = weight_norms(module)
            self.records.append(self._now)
        self._step += 1

    def _output(self, name):
        def hook(module, args, output):
            now = self._now
            if now is None or not isinstance(output, torch.Tensor):
                return
            now["activations"][name] = moments(output)
            if output.requires_grad:
                # A hook on the tensor and not on the module: the latter would put a
                # node of its own into the graph.
                output.register_hook(
                    lambda g: now["output_gradients"].__setitem__(name, _norm(g))
                )

        return hook

    def _gradient(self, name):
        def hook(parameter):
            if self._now is not None:
                self._now["gradients"][name] = _norm(parameter.grad)

        return hook


def _norm(x):
    return torch.linalg.vector_norm(x.detach().double()).item()


def _named(model, names):
    modules = dict(model.named_modules())
    if names is None:
        names = [n for n, m in modules.items() if not list(m.children())]
    names = names if isinstance(names, str) else list(names)
    if isinstance(names, str) or not all(isinstance(n, str) for n in names):
        raise TypeError(f"Expected names to be a list of str, but got {names!r}")
    for name in names:
        if name not in modules:
            raise ValueError(
                f"Expected names among {sorted(modules)}, but got {name!r}"
            )
    return {name: modules[name] for name in names}


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
    modules = _named(model, names)
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

    hooks = [m.register_forward_hook(record(n)) for n, m in modules.items()]
    try:
        with evaluating(model):
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    unused = [name for name in modules if name not in seen]
    if names is not None and unused:
        raise ValueError(
            f"Expected names of submodules that the model calls, but it calls none of "
            f"{unused}"
        )
    return {name: seen[name] for name in modules if name in seen}


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
