"""Very deep networks, several at once, and what can be said of them before training.

A network here is a chain of layers of one width. Its state s is a row of numbers for
each example:

- plain: s <- f(norm(W s + b)), and, if the norm comes after the activation,
  s <- norm(f(W s + b));
- residual: s <- s + W f(norm(s)) + b, and s <- s + W norm(f(s)) + b.

The networks of several seeds are computed side by side, in one product of matrices a
layer. They do not see each other.
"""

import functools
import math

import torch
import torch.nn.functional as F

from lnlib.lab import data, probes

# The mean of ReLU(z), and of its square, for z of a standard normal distribution.
RELU_MEAN = 1 / math.sqrt(2 * math.pi)

ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "sigmoid": torch.sigmoid,
    # ReLU less a constant, so that its mean is zero.
    "shifted": lambda x: torch.relu(x) - RELU_MEAN,
    # ReLU less the mean over the features of each example.
    "centred": lambda x: (h := torch.relu(x)) - h.mean(-1, keepdim=True),
    # ReLU with a slope below zero, and without any bend.
    "leaky-0.1": functools.partial(F.leaky_relu, negative_slope=0.1),
    "leaky-0.3": functools.partial(F.leaky_relu, negative_slope=0.3),
    "leaky-0.5": functools.partial(F.leaky_relu, negative_slope=0.5),
    "identity": lambda x: x,
}
NORMS = ("none", "layer", "rms", "batch", "after", "raised")
INITS = ("default", "he", "orthogonal")
AFFINES = ("both", "gain", "bias", "neither")
EPS = 1e-5


def normalize(x, norm, statistics=None):
    """Standardize activations of networks side by side, without gain and bias.

    Args:
        x: a tensor (S, M, d): networks, examples, features.
        norm: "none"; "layer" or "after", over the features; "rms", the same without
            the mean; "batch", over the examples; "raised", as layer, and then a
            constant is added that makes mean and mean square as far apart as they are
            after a ReLU.
        statistics: for batch norm in evaluation mode: mean and variance, (S, 1, d)
            each. None for those of `x`.

    Returns:
        A tensor of the shape of x.

    Raises:
        ValueError: there is no such norm, or x has not three axes.

    >>> normalize(torch.tensor([[[1.0, 3.0]]]), "layer").round().tolist()
    [[[-1.0, 1.0]]]
    """
    if norm not in NORMS or x.ndim != 3:
        raise ValueError(
            f"Expected a norm, one of {', '.join(NORMS)}, and activations (S, M, d), "
            f"but got {norm!r} and shape {tuple(x.shape)}"
        )
    if norm == "none":
        return x
    if norm == "rms":
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)
    if norm == "batch":
        s, m, d = x.shape
        flat = x.transpose(0, 1).reshape(m, s * d)  # a feature of each network
        if statistics is None:
            y = F.batch_norm(flat, None, None, training=True, eps=EPS)
        else:
            y = F.batch_norm(flat, *(t.reshape(-1) for t in statistics), eps=EPS)
        return y.view(m, s, d).transpose(0, 1)
    y = F.layer_norm(x, x.shape[-1:], eps=EPS)
    return y + 1 / math.sqrt(math.pi - 1) if norm == "raised" else y


class Deep(torch.nn.Module):
    """Networks of several seeds, side by side.

    Args:
        depth: how many layers, at least 1; the layer that gives the classes comes on
            top.
        seeds: of the initial weights; one network each.
        norm: as in `normalize`. "after" and "raised" stand after the activation, the
            others before.
        residual: whether a layer adds to the state.
        activation: a key of `ACTIVATIONS`.
        init: "default", PyTorch's for a linear layer, with biases; "he", normal with
            variance 2/width, zero biases, and in a residual network divided by the
            root of the depth; "orthogonal", orthogonal matrices times the root of 2,
            zero biases.
        width: of a layer, and of the input.
        classes: of the output; 0 for none.
        gain: None, or the standard deviation of weights times the root of the width,
            without biases; then `init` is not looked at.
        affine: what follows a norm: "both", gain and bias, "gain", "bias" or "neither".
            With `gain` given there is neither.
        dtype: of the parameters.

    Raises:
        ValueError: one of the words is unknown, depth is below 1, or there is no seed.

    Source of "he": He et al. 2015, "Delving Deep into Rectifiers", equation 10.

    >>> Deep(3, seeds=(0, 1), norm="layer")(torch.zeros(2, 5, 64)).shape
    torch.Size([2, 5, 10])
    """

    def __init__(
        self,
        depth,
        seeds,
        norm="none",
        residual=False,
        activation="relu",
        init="default",
        width=64,
        classes=10,
        gain=None,
        affine="both",
        dtype=torch.float32,
    ):
        super().__init__()
        seeds = list(seeds)
        if depth < 1 or not seeds:
            raise ValueError(
                f"Expected depth to be at least 1 and a seed, but got {depth} and "
                f"{seeds}"
            )
        for word, words in (
            (norm, NORMS),
            (activation, ACTIVATIONS),
            (init, INITS),
            (affine, AFFINES),
        ):
            if word not in words:
                raise ValueError(
                    f"Expected one of {', '.join(words)}, but got {word!r}"
                )
        self.depth, self.norm, self.residual = depth, norm, residual
        self.activation, self.seeds = ACTIVATIONS[activation], seeds
        drawn = [
            _draw(depth, width, classes, init, gain, residual, seed) for seed in seeds
        ]
        # (depth, S, d, d): every layer's weights in one tensor, for the optimizer.
        w, b, head_w, head_b = (torch.stack(part) for part in zip(*drawn, strict=True))
        self.weight = torch.nn.Parameter(w.transpose(0, 1).to(dtype).contiguous())
        self.bias = None
        if gain is None:
            self.bias = torch.nn.Parameter(b.transpose(0, 1).to(dtype).contiguous())
        self.norm_weight = self.norm_bias = None
        if norm != "none" and gain is None:
            shape = (depth, len(seeds), 1, width)
            if affine in ("both", "gain"):
                self.norm_weight = torch.nn.Parameter(torch.ones(shape, dtype=dtype))
            if affine in ("both", "bias"):
                self.norm_bias = torch.nn.Parameter(torch.zeros(shape, dtype=dtype))
        if classes:
            self.head_weight = torch.nn.Parameter(head_w.to(dtype))
            self.head_bias = torch.nn.Parameter(head_b.to(dtype))
        self.statistics = None

    def states(self, x, keep=None):
        """The state after each layer: a list of tensors (S, M, d).

        Args:
            x: inputs, a tensor (S, M, d).
            keep: a list to which mean and variance of every batch norm are appended.
        """
        found = []
        weight = self.weight.unbind(0)
        bias = self.bias.unbind(0) if self.bias is not None else [None] * self.depth
        for i in range(self.depth):
            if self.residual and i:
                x = x + _linear(self._unit(x, i - 1, keep), weight[i], bias[i])
            elif self.residual:
                x = _linear(x, weight[i], bias[i])
            else:
                x = self._unit(_linear(x, weight[i], bias[i]), i, keep)
            found.append(x)
        return found

    def forward(self, x, keep=None):
        """Logits (S, M, classes) of inputs (S, M, d)."""
        x = self.states(x, keep)[-1]
        if self.residual:
            x = self._normalized(x, self.depth - 1, keep)
        return _linear(x, self.head_weight, self.head_bias)

    def _unit(self, x, i, keep):
        if self.norm in ("after", "raised"):
            return self._normalized(self.activation(x), i, keep)
        return self.activation(self._normalized(x, i, keep))

    def _normalized(self, x, i, keep):
        if self.norm == "none":
            return x
        if keep is not None and self.norm == "batch":
            variance, mean = torch.var_mean(x.detach(), 1, correction=0, keepdim=True)
            keep.append((mean, variance))
        statistics = self.statistics[i] if self.statistics is not None else None
        y = normalize(x, self.norm, statistics)
        if self.norm_weight is None:
            return y if self.norm_bias is None else y + self.norm_bias[i]
        if self.norm_bias is None:
            return y * self.norm_weight[i]
        return torch.addcmul(self.norm_bias[i], y, self.norm_weight[i])


def _linear(x, weight, bias):
    return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias, x, weight)


def _draw(depth, width, classes, init, gain, residual, seed):
    """Weights (depth, d, d) and biases of one network; column j feeds feature j."""
    g = torch.Generator().manual_seed(seed)
    shape = (depth, width, width)
    bound = 1 / math.sqrt(width)

    def uniform(*shape):
        return (2 * torch.rand(*shape, generator=g, dtype=torch.float64) - 1) * bound

    head = uniform(width, classes), uniform(1, classes)
    bias = uniform(depth, 1, width)
    if gain is None and init == "default":
        return uniform(*shape), bias, *head
    w = torch.randn(*shape, generator=g, dtype=torch.float64)
    if gain is not None:
        w = w * (gain * bound)
    elif init == "orthogonal":
        q, r = torch.linalg.qr(w)
        # The signs make the distribution uniform over orthogonal matrices.
        w = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2) * math.sqrt(2)
    else:
        w = w * (math.sqrt(2) * bound)
        if residual:
            w[1:] /= math.sqrt(depth)
    return w, torch.zeros_like(bias), *head


def mean_cosine(x):
    """The mean cosine over pairs of different rows: a tensor of (S,).

    Args:
        x: rows, a tensor (S, M, d) with M at least 2; a row of zeros has cosine 0.

    Raises:
        ValueError: x has not three axes or only one row.

    >>> mean_cosine(torch.tensor([[[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]]])).item()
    0.3333333432674408
    """
    if x.ndim != 3 or x.shape[1] < 2:
        raise ValueError(
            f"Expected at least two rows, (S, M, d), but got shape {tuple(x.shape)}"
        )
    # Divided by the largest first: squares of tiny and of huge numbers leave the range.
    x = x / x.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    x = F.normalize(x, dim=-1)
    m = x.shape[1]
    return (x.sum(1).square().sum(-1) - x.square().sum((1, 2))) / (m * (m - 1))


# ---------------------------------------------------------------- before training


def start(model, x, depths, seed=0):
    """What networks do to inputs and to gradients before they are trained.

    Args:
        model: a `Deep`.
        x: inputs, a tensor (S, M, d).
        depths: at which it is looked, ints from 1 to the depth of the model. A network
            that is cut off at a depth is a network of that depth.
        seed: of the gradient that comes in at the end, normal numbers.

    Returns:
        A dict from depth to a dict of tensors of (S,): `cosine`, as `mean_cosine` of
        the state at that depth; `rank`, its effective rank; `log_rms`, the logarithm
        to base 10 of the root of its mean square; `log_gradient`, that of the length
        that a gradient has at the first state if it was of length 1 at that depth.

    Raises:
        ValueError: a depth is out of range.

    >>> found = start(Deep(4, [0], norm="layer"), torch.eye(64)[None], (1, 4))
    >>> found[1]["log_gradient"].item(), bool(found[4]["cosine"] > 0.5)
    (0.0, True)
    """
    if not all(1 <= depth <= model.depth for depth in depths):
        raise ValueError(f"Expected depths from 1 to {model.depth}, but got {depths}")
    x = x.detach().requires_grad_()
    states = model.states(x)
    g = torch.Generator().manual_seed(seed)
    incoming = torch.randn(x.shape, generator=g, dtype=x.dtype).to(x.device)
    found = {}
    for depth in depths:
        s = states[depth - 1]
        (back,) = torch.autograd.grad(s, states[0], incoming, retain_graph=True)
        found[depth] = {
            "cosine": mean_cosine(s.detach()),
            "rank": torch.tensor([probes.effective_rank(n) for n in s]),
            "log_rms": (_length(s) / math.sqrt(s[0].numel())).log10(),
            "log_gradient": (_length(back) / _length(incoming)).log10(),
        }
    return found


def _length(x):
    """The Euclidean length of each network's numbers, (S, ...) -> (S,), in float64."""
    return torch.linalg.vector_norm(x.detach().double().flatten(1), dim=1)


# ---------------------------------------------------------------- training

BETAS, ADAM_EPS, MOMENTUM = (0.9, 0.999), 1e-8, 0.9


def train(model, x, y, rates, steps, batch_size, optimizer="sgd"):
    """Train networks side by side, each with a learning rate of its own, in place.

    Args:
        model: a `Deep`.
        x, y: a training split for each, tensors (S, M, d) and (S, M).
        rates: learning rates, S numbers.
        steps: how many batches.
        batch_size: examples a batch, drawn without replacement epoch by epoch. The
            model's seeds decide which.
        optimizer: "sgd", with momentum 0.9, or "adam".

    Returns:
        The losses, a tensor (steps, S), cross-entropy in nats.

    Raises:
        ValueError: there is no such optimizer, or the numbers of networks differ.

    >>> x, y = torch.eye(64).expand(2, 64, 64), (torch.arange(64) % 10).expand(2, 64)
    >>> model = Deep(2, seeds=(0, 1), norm="layer")
    >>> losses = train(model, x, y, (0.1, 0.0), steps=50, batch_size=64)
    >>> (losses[-1] < losses[0] - 0.5).tolist()
    [True, False]
    """
    if optimizer not in ("sgd", "adam"):
        raise ValueError(f"Expected sgd or adam, but got {optimizer!r}")
    if not len(model.seeds) == len(x) == len(y) == len(rates):
        raise ValueError(
            f"Expected as many splits and rates as networks, {len(model.seeds)}, but "
            f"got {len(x)}, {len(y)} and {len(rates)}"
        )
    step = {"sgd": _sgd, "adam": _adam}[optimizer]
    rates = torch.tensor(rates, dtype=x.dtype, device=x.device).view(-1, 1, 1)
    which = torch.arange(len(x), device=x.device).unsqueeze(1)
    memory = [{} for _ in model.parameters()]
    batches = _batches(model.seeds, x.shape[1], steps, batch_size).to(x.device)
    losses = []
    for t, batch in enumerate(batches, 1):
        logits = model(x[which, batch])  # (S, B, d) -> (S, B, 10)
        loss = F.cross_entropy(
            logits.transpose(1, 2), y[which, batch], reduction="none"
        ).mean(1)
        gradients = torch.autograd.grad(loss.sum(), list(model.parameters()))
        with torch.no_grad():
            for p, g, m in zip(model.parameters(), gradients, memory, strict=True):
                p -= rates * step(g, m, t)
        losses.append(loss.detach())
    return torch.stack(losses)


def _sgd(g, memory, t):
    memory["v"] = memory["v"].mul_(MOMENTUM).add_(g) if "v" in memory else g.clone()
    return memory["v"]


def _adam(g, memory, t):
    a, b = BETAS
    if not memory:
        memory |= {"m": torch.zeros_like(g), "v": torch.zeros_like(g)}
    m = memory["m"].mul_(a).add_(g, alpha=1 - a)
    v = memory["v"].mul_(b).addcmul_(g, g, value=1 - b)
    return (m / (1 - a**t)) / ((v / (1 - b**t)).sqrt_() + ADAM_EPS)


def _batches(seeds, m, steps, size):
    """Which examples each network sees: a tensor (steps, S, size)."""
    found = []
    for seed in seeds:
        g = torch.Generator().manual_seed(seed)
        epochs = -(-steps // (m // size))
        kept = m // size * size
        order = [torch.randperm(m, generator=g)[:kept] for _ in range(epochs)]
        found.append(torch.cat(order).view(-1, size)[:steps])
    return torch.stack(found, 1)


@torch.no_grad()
def fix_statistics(model, x):
    """Give batch norms the statistics of the whole training split, for evaluation.

    A running mean would still hold values from before the last steps.

    Args:
        model: a `Deep`.
        x: the training split, (S, M, d).
    """
    keep = []
    model.statistics = None
    model(x, keep)
    model.statistics = keep or None


@torch.no_grad()
def loss_and_error(model, x, y):
    """Cross-entropy and share of wrong answers of each network, tensors of (S,)."""
    logits = model(x)
    loss = F.cross_entropy(logits.transpose(1, 2), y, reduction="none").mean(1)
    return loss, (logits.argmax(-1) != y).double().mean(1)


def first_below(losses, level, window=20):
    """The first step after which the mean of the last losses is below a level.

    Args:
        losses: a tensor (steps, S).
        level: a number.
        window: of how many losses the mean is taken.

    Returns:
        A float64 tensor of (S,); the number of steps where it never is: a value cut
        off, which says "at least".

    >>> first_below(torch.tensor([[3.0], [1.0], [1.0], [1.0]]), 1.5, window=2)
    tensor([3.], dtype=torch.float64)
    """
    means = losses.double().unfold(0, window, 1).mean(-1)  # (steps, S)
    below = torch.nan_to_num(means, nan=math.inf) < level
    at = torch.where(below.any(0), below.int().argmax(0) + window, len(losses))
    return at.double()


# ---------------------------------------------------------------- a run on the digits

WORST = 10.0  # nats; a loss is not said to be higher, nor to be no number


@functools.lru_cache(maxsize=16)
def digits(seeds, whiten=False):
    """The digits, split for each seed: (S, M, 64) and (S, M) of each part.

    Args:
        seeds: a tuple of ints.
        whiten: whether the inputs are turned and scaled so that, over the training
            split, their features are uncorrelated and of variance 1. Directions of
            almost no variance (below 0.001) are not blown up to that.
    """
    splits = [data.digits(seed, torch.float64) for seed in seeds]
    if whiten:
        splits = [_whitened(split) for split in splits]
    parts = data.Split(*(torch.stack(part) for part in zip(*splits, strict=True)))
    return data.Split(*(p.float() if p.is_floating_point() else p for p in parts))


def _whitened(split):
    mean = split.x_train.mean(0)
    variance, axes = torch.linalg.eigh((split.x_train - mean).T.cov(correction=0))
    turn = axes / (variance + 1e-3).sqrt()
    return split._replace(
        **{k: (getattr(split, k) - mean) @ turn for k in ("x_train", "x_val", "x_test")}
    )


def learn(
    seeds,
    rates,
    steps,
    batch_size,
    *,
    whiten=False,
    optimizer="sgd",
    device="cpu",
    **arm,
):
    """Train networks on the digits, one a seed and rate, and measure them.

    Args:
        seeds, rates: one network each; tuples of the same length.
        steps, batch_size, optimizer: as in `train`.
        whiten: as in `digits`.
        device: to run on.
        arm: the arguments of `Deep`, without the seeds.

    Returns:
        A list of dicts of floats, one a network: `val_error`, `test_error`,
        `train_loss`, `steps`, `diverged`, `cosine`, `gradient`.
    """
    split = digits(seeds, whiten).to(device)
    model = Deep(seeds=seeds, **arm).to(device)
    before = _before(model, split)
    losses = train(
        model, split.x_train, split.y_train, rates, steps, batch_size, optimizer
    )
    fix_statistics(model, split.x_train)
    loss, _ = loss_and_error(model, split.x_train, split.y_train)
    loss = torch.nan_to_num(loss.double(), nan=WORST).clamp(max=WORST)
    start_loss = losses[0].double()
    measured = before | {
        "val_error": loss_and_error(model, split.x_val, split.y_val)[1],
        "test_error": loss_and_error(model, split.x_test, split.y_test)[1],
        "train_loss": loss,
        "steps": first_below(losses, LEARNED),
        "diverged": (~losses.isfinite().all(0) | (loss > 2 * start_loss)).double(),
    }
    return [
        {name: float(f"{values[i].item():.6g}") for name, values in measured.items()}
        for i in range(len(seeds))
    ]


def start_as(norm):
    """What an arm of an experiment is to `Deep`: its norm and initial weights.

    Args:
        norm: a norm, with PyTorch's initial weights; or "he", no norm and those of He
            et al. 2015.

    Returns:
        The arguments `norm` and `init`, a dict.

    >>> start_as("he")
    {'norm': 'none', 'init': 'he'}
    """
    if norm == "he":
        return {"norm": "none", "init": "he"}
    return {"norm": norm, "init": "default"}


def learn_together(config, seed, seeds, tuning, device="cpu", **options):
    """One run of an experiment, trained side by side with others of its arm and kept.

    That is faster, and the networks do not see each other. While tuning, those of all
    rates are trained together. A seed that is not among them is trained alone.

    Args:
        config: the configuration, with the factors "stage" and "lr".
        seed: of the run.
        seeds: those that count and are trained together.
        tuning: the `Tuning` of the experiment.
        device: to run on.
        options: the other arguments of `learn`.

    Returns:
        What `learn` measured of it, a dict; `test_error` is None where the stage of the
        configuration is "tune".
    """
    tune = config["stage"] == "tune"
    seeds = tuple(tuning.seeds if tune else seeds)
    seeds = seeds if seed in seeds else (seed,)
    rates = tuning.levels if tune else (config["lr"],)
    kept = _together(seeds, rates, device, tuple(sorted(options.items())))
    found = dict(kept[seed, config["lr"]])
    if tune:
        found["test_error"] = None
    return found


@functools.lru_cache(maxsize=4)
def _together(seeds, rates, device, options):
    pairs = [(seed, rate) for rate in rates for seed in seeds]
    parts = (tuple(part) for part in zip(*pairs, strict=True))
    measured = learn(*parts, device=device, **dict(options))
    return dict(zip(pairs, measured, strict=True))


LEARNED = 0.5  # nats; about 85 of 100 training images are then right


def _before(model, split, examples=256):
    """Cosines at the last layer and gradients of the weights, before training."""
    x, y = split.x_train[:, :examples], split.y_train[:, :examples]
    cosine = mean_cosine(model.states(x)[-1].detach())
    logits = model(x)
    loss = F.cross_entropy(logits.transpose(1, 2), y, reduction="none").mean(1).sum()
    (g,) = torch.autograd.grad(loss, [model.weight])  # (depth, S, d, d)
    tiny = torch.finfo(torch.float32).tiny
    return {
        "cosine": cosine,
        "gradient": _length(g[0]) / _length(g[-1]).clamp_min(tiny),
    }
