"""Norms and networks with one thing changed, to find out which part does the work.

A norm centres, scales, lets the gradient pass through its statistics, and fixes the
moments of what comes out. A control lacks one of these and is otherwise the same.
"""

import contextlib
import math

import torch
import torch.nn.functional as F

from lnlib.lab import training

EPS = 1e-5


class _Affine(torch.nn.Module):
    """Gain and bias, as `torch.nn.LayerNorm` has them."""

    def __init__(self, features):
        super().__init__()
        if isinstance(features, bool) or not isinstance(features, int):
            raise TypeError(
                f"Expected features to be an int, but got {type(features).__name__}"
            )
        if features < 1:
            raise ValueError(f"Expected at least one feature, but got {features}")
        self.weight = torch.nn.Parameter(torch.ones(features))
        self.bias = torch.nn.Parameter(torch.zeros(features))

    def forward(self, x):
        if x.ndim != 2 or x.shape[1] != len(self.weight):
            raise ValueError(
                f"Expected x of shape (M, {len(self.weight)}), but got {tuple(x.shape)}"
            )
        return self.standardized(x) * self.weight + self.bias


class Detached(_Affine):
    """Layer norm whose mean and deviation are constants to the gradient.

    Forward it is layer norm. Backward the gradient passes as through a fixed
    subtraction and a fixed division.

    Args:
        features: how many numbers a row has.

    Shape:
        (M, features) to the same; the dtype of the input.

    Raises:
        TypeError: features is not an int.
        ValueError: features is below 1, or an input has another shape.

    Source: DetachNorm, Xu et al. 2019, "Understanding and Improving Layer
    Normalization".

    >>> Detached(2)(torch.tensor([[1.0, 3.0]])).round().tolist()
    [[-1.0, 1.0]]
    """

    def standardized(self, x):
        variance, mean = torch.var_mean(x.detach(), 1, correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + EPS)


class Shared(_Affine):
    """Layer norm in which the examples of a batch share mean and deviation.

    One mean and one variance, over all numbers of the batch: examples depend on each
    other, and nothing else is different.

    Args:
        features: how many numbers a row has.

    Shape:
        (M, features) to the same; the dtype of the input.

    Raises:
        TypeError: features is not an int.
        ValueError: features is below 1, or an input has another shape.

    >>> Shared(1)(torch.tensor([[1.0], [3.0]])).round().tolist()
    [[-1.0], [1.0]]
    """

    def standardized(self, x):
        variance, mean = torch.var_mean(x, correction=0)
        return (x - mean) * torch.rsqrt(variance + EPS)


class Unsteady(torch.nn.Module):
    """A norm, and after it noise whose mean and scale are new at every step.

    In training mode each feature is multiplied and shifted anew in each forward pass:
    a feature's scale is drawn from the normal distribution around s with deviation 0.1,
    its shift from that around m with deviation 0.1, s from 1 to 1 + `reach` and m from
    -`reach` to `reach`, evenly, once for the whole layer. Each single number then gets
    noise of its own around that, of deviation 0.1 in scale and in shift. So no two
    steps see the same distribution. In evaluation mode the norm is followed by the mean
    scale alone.

    Args:
        norm: a module from (M, d) to (M, d).
        seed: of the noise.
        reach: how far the distribution wanders, in standard deviations; at least 0.

    Raises:
        ValueError: reach is below 0.

    Source: the experiment of Santurkar et al. 2018, "How Does Batch Normalization Help
    Optimization?". The sizes are ours.

    >>> x = torch.tensor([[1.0, 3.0]])
    >>> unsteady = Unsteady(torch.nn.LayerNorm(2), seed=0)
    >>> bool((unsteady(x) == unsteady(x)).any())
    False
    """

    def __init__(self, norm, seed, reach=0.5):
        super().__init__()
        if not reach >= 0:
            raise ValueError(f"Expected reach to be at least 0, but got {reach}")
        self.norm, self.reach = norm, reach
        self._draws = torch.Generator().manual_seed(seed)

    def forward(self, x):
        y = self.norm(x)
        if not self.training:
            return y * (1 + self.reach / 2)
        m, s = torch.rand(2, generator=self._draws, dtype=torch.float64).tolist()
        shift, scale = self.reach * (2 * m - 1), 1 + self.reach * s
        around = torch.randn(2, 1, y.shape[1], generator=self._draws)
        single = torch.randn(2, *y.shape, generator=self._draws)
        wander = (0.1 * (around + single)).to(y)
        return y * (scale + wander[0]) + (shift + wander[1])


ARMS = {
    "none": None,
    "he": None,
    "rates": None,
    "layer": torch.nn.LayerNorm,
    "batch": torch.nn.BatchNorm1d,
    "detached": Detached,
    "shared": Shared,
    "unsteady": torch.nn.LayerNorm,
    "unsteady_batch": torch.nn.BatchNorm1d,
}


def network(arm, seed, hidden=4, width=64, dtype=torch.float64, reach=0.5):
    """A perceptron 64-width-...-width-10 for an arm of `ARMS`.

    All arms of a seed have the same weights, PyTorch's default, but "he".

    Args:
        arm: "none" and "rates", no norm; "he", no norm and the initialization of He et
            al. 2015, which keeps the mean square of a ReLU's output, with biases of 0;
            "layer", "batch", "detached", "shared", a norm before each ReLU;
            "unsteady" and "unsteady_batch", layer norm and batch norm in `Unsteady`.
        seed: of weights and noise.
        hidden: how many hidden layers, at least 1.
        width: of each of them.
        dtype: of the parameters.
        reach: of the noise, as in `Unsteady`.

    Returns:
        A `torch.nn.Sequential`, as `training.mlp` makes it.

    Raises:
        ValueError: there is no such arm, or hidden is below 1.

    >>> list(dict(network("layer", 0, hidden=1).named_children()))
    ['linear1', 'norm1', 'relu1', 'linear2']
    """
    if arm not in ARMS or hidden < 1:
        raise ValueError(
            f"Expected one of {', '.join(ARMS)} and a hidden layer, but got {arm!r} "
            f"and {hidden}"
        )
    model = training.mlp([64] + [width] * hidden + [10], ARMS[arm], seed, dtype)
    if arm == "he":
        draws = torch.Generator().manual_seed(seed)
        for module in linear_layers(model)[:-1]:
            w = torch.randn(module.weight.shape, generator=draws, dtype=torch.float64)
            with torch.no_grad():
                module.weight.copy_(w * math.sqrt(2 / w.shape[1]))
                module.bias.zero_()
    if arm.startswith("unsteady"):
        for i in range(1, hidden + 1):
            norm = getattr(model, f"norm{i}")
            setattr(model, f"norm{i}", Unsteady(norm, 1000 * seed + i, reach))
    return model


@contextlib.contextmanager
def undisturbed(model):
    """Whatever is computed with a network inside, afterwards it is as it was.

    That is, its mode, its running statistics and the place of its noise. Parameters are
    put back, too.

    >>> model = network("batch", 0, hidden=1)
    >>> with undisturbed(model):
    ...     _ = model(torch.ones(4, 64, dtype=torch.float64))
    >>> int(model.norm1.num_batches_tracked)
    0
    """
    tensors = {n: t.detach().clone() for n, t in model.state_dict().items()}
    training_ = model.training
    noise = [m._draws for m in model.modules() if isinstance(m, Unsteady)]
    places = [draws.get_state() for draws in noise]
    try:
        yield
    finally:
        model.load_state_dict(tensors)
        model.train(training_)
        for draws, place in zip(noise, places, strict=True):
            draws.set_state(place)


def linear_layers(model):
    """The linear layers of a network, from the input to the output: a list."""
    return [m for m in model.modules() if isinstance(m, torch.nn.Linear)]


class EqualRates(torch.optim.SGD):
    """SGD with momentum in which every parameter tensor moves by the same share.

    Before the step each gradient is made as long as its tensor of weights (or as 1, for
    shorter ones, such as biases of 0 at the start). The learning rate is then the share
    of its length by which a tensor moves, layer by layer alike.

    Args:
        parameters, lr, momentum: as `torch.optim.SGD`.

    >>> w = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> (1000 * w[0]).backward()
    >>> EqualRates([w], lr=0.1, momentum=0.0).step()
    >>> w.tolist()
    [2.5, 4.0]
    """

    @torch.no_grad()
    def step(self, closure=None):
        """Take a step; a closure is not used."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    length = p.grad.norm()
                    if length > 0:
                        p.grad.mul_(p.norm().clamp_min(1.0) / length)
        return super().step()


def train(model, x, y, seed, lr, steps, batch_size=64, optimizer="sgd", after=None):
    """Train an arm of `network`, and stop when it is asked to.

    Args:
        model: a network.
        x, y: inputs (M, d) and labels (M,).
        seed: of the batches, drawn without replacement epoch by epoch.
        lr: the learning rate.
        steps: how many batches at most.
        batch_size: examples a batch.
        optimizer: "sgd", with momentum 0.9; "equal", `EqualRates` with it; or "adam".
        after: called after each step with the list of the losses so far, while the
            gradients are still in place; training ends when it returns True.

    Returns:
        The losses of the steps taken, a list of floats. It ends with NaN where a loss
        was not finite, since nothing can be learned from there on.

    Raises:
        ValueError: there is no such optimizer.

    >>> x, y = torch.eye(64).double(), torch.arange(64) % 10
    >>> losses = train(network("layer", 0), x, y, seed=0, lr=0.1, steps=3)
    >>> len(losses)
    3
    """
    makers = {
        "sgd": lambda p: torch.optim.SGD(p, lr=lr, momentum=0.9),
        "equal": lambda p: EqualRates(p, lr=lr, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, lr=lr),
    }
    if optimizer not in makers:
        raise ValueError(
            f"Expected an optimizer, one of {', '.join(makers)}, but got {optimizer!r}"
        )
    chosen = makers[optimizer](model.parameters())
    order = torch.Generator().manual_seed(seed)
    losses, waiting = [], torch.empty(0, dtype=torch.long)
    model.train()
    for _ in range(steps):
        if len(waiting) < batch_size:
            waiting = torch.randperm(len(x), generator=order)
        batch, waiting = waiting[:batch_size], waiting[batch_size:]
        loss = F.cross_entropy(model(x[batch]), y[batch])
        if not torch.isfinite(loss):
            losses.append(math.nan)
            break
        chosen.zero_grad()
        loss.backward()
        chosen.step()
        losses.append(loss.item())
        if after is not None and after(losses):
            break
    return losses
