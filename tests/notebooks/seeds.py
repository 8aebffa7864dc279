"""Find randomness without a fixed seed in Python source, by reading it."""

import ast

from IPython.core.inputtransformer2 import TransformerManager

# What draws from torch's global generator, unless it is handed one of its own.
TORCH_DRAWS = {
    *("rand", "randn", "randint", "randperm", "rand_like", "randn_like"),
    *("randint_like", "normal", "bernoulli", "multinomial", "poisson"),
}
TENSOR_DRAWS = {
    *("normal_", "uniform_", "random_", "bernoulli_", "exponential_", "cauchy_"),
    *("log_normal_", "geometric_"),
}
# Modules whose parameters are drawn when they are made, or that draw when they run.
TORCH_MODULES = {
    *("Linear", "Bilinear", "Conv1d", "Conv2d", "Conv3d", "Embedding", "Dropout"),
    *("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell", "MultiheadAttention"),
    *("Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer"),
}
NUMPY_GENERATORS = {
    *("default_rng", "Generator", "SeedSequence", "BitGenerator", "PCG64"),
    *("PCG64DXSM", "Philox", "SFC64", "MT19937"),
}


def unseeded(cells):
    """Calls that draw random numbers from no fixed seed.

    Args:
        cells: the sources of a notebook's code cells, in order.

    Returns:
        A list of (index of the cell, what is wrong). A torch.manual_seed(...) or
        random.seed(...) counts for everything after it.
    """
    names, seeded, found = {}, set(), []
    trees = [ast.parse(TransformerManager().transform_cell(cell)) for cell in cells]
    options = {name for tree in trees for name in _options_with_generator(tree)}
    for index, tree in enumerate(trees):
        _learn_imports(tree, names)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for call in sorted(calls, key=lambda c: (c.lineno, c.col_offset)):
            own_generator = any(
                (k.arg == "generator" and _is_given(k.value))
                or (k.arg is None and getattr(k.value, "id", None) in options)
                for k in call.keywords
            )
            name = _dotted(call.func, names)
            problem = _problem(call, name, seeded, own_generator)
            if problem:
                found.append((index, problem))
    return found


def _learn_imports(tree, names):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names:
                names[a.asname or a.name.split(".")[0]] = (
                    a.name if a.asname else a.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for a in node.names:
                names[a.asname or a.name] = f"{node.module}.{a.name}"


def _dotted(node, names):
    """The full name of what is called, such as numpy.random.rand, or its last part."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(names.get(node.id, f"?.{node.id}"))
    else:
        parts.append("?")
    return ".".join(reversed(parts))


def _options_with_generator(tree):
    """Names of dicts that hand a generator on, as in randn(3, **options)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            keys = {getattr(key, "value", None) for key in node.value.keys}
            if "generator" in keys:
                yield from (t.id for t in node.targets if isinstance(t, ast.Name))


def _is_given(value):
    return not (isinstance(value, ast.Constant) and value.value is None)


def _has_seed(call):
    return any(map(_is_given, [*call.args, *(k.value for k in call.keywords)]))


def _problem(call, name, seeded, own_generator):
    *_, last = name.split(".")
    if name.startswith("numpy.random."):
        if last not in NUMPY_GENERATORS:
            return f"expected numpy.random.default_rng(seed), got {name}()"
        # A Generator is seeded by the bit generator that it is given.
        if last not in {"Generator", "BitGenerator"} and not _has_seed(call):
            return f"expected {last}(seed), got {last}()"
    elif name in {"torch.manual_seed", "torch.random.manual_seed"}:
        seeded.add("torch")
    elif name in {"torch.seed", "torch.random.seed"}:
        return "expected torch.manual_seed(seed), got torch.seed()"
    elif name.startswith("torch."):
        draws = (
            (name.count(".") == 1 and last in TORCH_DRAWS)
            or name.startswith("torch.nn.init.")
            or (name.startswith("torch.nn.") and last in TORCH_MODULES)
            or (name.startswith("torch.nn.functional.") and "dropout" in last)
        )
        if draws and not own_generator and "torch" not in seeded:
            return f"expected torch.manual_seed(seed) before {name}()"
    elif name == "random.seed" and _has_seed(call):
        seeded.add("random")
    elif name == "random.Random":
        if not _has_seed(call):
            return "expected random.Random(seed), got random.Random()"
    elif name.startswith("random.") and "random" not in seeded:
        return f"expected random.seed(seed) before {name}()"
    elif name.startswith("sklearn.") and last == "train_test_split":
        if "random_state" not in {k.arg for k in call.keywords}:
            return "expected train_test_split(..., random_state=seed)"
    elif last in TENSOR_DRAWS and not own_generator and "torch" not in seeded:
        return f"expected torch.manual_seed(seed) before .{last}()"
    return None
