"""Look into a network without changing it: activations, gradients and weights."""

import contextlib

import torch


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
        names: the submodules to record, as `named_modules` names them; None for all
            that have no submodules of their own.

    Returns:
        A dict from name to the output of that submodule, detached, in the order of
        `named_modules`.

    Raises:
        ValueError: there is no submodule of a name.

    >>> from lnlib.lab.training import mlp
    >>> a = activations(mlp([64, 32, 10]), torch.zeros(5, 64, dtype=torch.float64))
    >>> {name: tuple(t.shape) for name, t in a.items()}
    {'linear1': (5, 32), 'relu1': (5, 32), 'linear2': (5, 10)}
    """
    modules = _named(model, names)
    seen = {}

    def record(name):
        def hook(module, args, output):
            seen[name] = output.detach().clone()

        return hook

    hooks = [m.register_forward_hook(record(n)) for n, m in modules.items()]
    was_training = model.training
    try:
        model.eval()
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return {name: seen[name] for name in modules if name in seen}
