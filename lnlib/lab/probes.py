"""Look into a network without changing it."""

import torch


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
    modules = dict(model.named_modules())
    if names is None:
        names = [n for n, m in modules.items() if not list(m.children())]
    for name in names:
        if name not in modules:
            raise ValueError(
                f"Expected names among {sorted(modules)}, but got {name!r}"
            )
    seen = {}

    def record(name):
        def hook(module, args, output):
            seen[name] = output.detach().clone()

        return hook

    hooks = [modules[n].register_forward_hook(record(n)) for n in names]
    was_training = model.training
    try:
        model.eval()
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return {name: seen[name] for name in names if name in seen}
