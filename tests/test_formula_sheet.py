"""Every formula of the formula sheet has a twin here, which computes it and compares.

A twin quotes the formula it computes. The sheet and the twins have to have the same
names, the same formulas and the same functions, so that neither can be changed alone.
"""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose

import lnlib

SHEET = (Path(__file__).parent.parent / "book" / "formula_sheet.md").read_text("utf-8")
BLOCK = re.compile(
    r"^:::::\{container\} formula\n:name: formula-([a-z-]+)\n(.*?)^:::::$", re.M | re.S
)
FUNCTION = re.compile(r"\{py:func\}`~?([\w.]+)`")

TWINS = {}
M, N, EPS = 4, 7, 1e-2


def twin(name, text, *functions):
    """Enter a test as the twin of a formula, with its text and its functions."""

    def enter(test):
        assert name not in TWINS, f"two twins of {name}"
        TWINS[name] = ("".join(text.split()), set(functions), test)
        return test

    return enter


def quoted(block):
    """The formula of a block, or its table, without the space in it."""
    if formula := re.search(r"\$\$\n(.*?)\n\$\$", block, re.S):
        return "".join(formula[1].split())
    rows = [line for line in block.splitlines() if line.startswith("|")]
    return "".join("".join(row.split()) for row in rows if not row.startswith("|:"))


BLOCKS = {name: text for name, text in BLOCK.findall(SHEET)}


def case(*shape, seed=0):
    return np.random.default_rng(seed).normal(3.0, 2.0, size=shape or (M, N))


def mean(a):
    return a.mean(-1, keepdims=True)


def gradient(f, x, h=1e-5):
    """df/dx_i of a function of one row, by central differences."""
    steps = h * np.eye(len(x))
    return np.array([(f(x + s) - f(x - s)) / (2 * h) for s in steps])


def rstd_of(x, center=True):
    c = x - mean(x) if center else x
    return 1 / np.sqrt(mean(c * c) + EPS)


@twin(
    "statistics",
    r"""\mu = \tfrac1N\textstyle\sum_i x_i, \quad
    \sigma^2 = \tfrac1N\textstyle\sum_i (x_i-\mu)^2, \quad
    r = \dfrac{1}{\sqrt{\sigma^2+\varepsilon}}""",
    lnlib.standardize,
)
def statistics():
    x = case()
    mu = sum(x[:, [i]] for i in range(N)) / N
    variance = sum((x[:, [i]] - mu) ** 2 for i in range(N)) / N
    _, found_mean, found_rstd = lnlib.standardize(x, -1, EPS)
    assert_allclose(found_mean, mu, rtol=1e-14)
    assert_allclose(found_rstd, 1 / np.sqrt(variance + EPS), rtol=1e-14)


@twin(
    "layer-norm",
    r"\hat x = r\,(x-\mu), \qquad y = \gamma\,\hat x + \beta",
    lnlib.layer_norm_forward,
)
def layer_norm():
    x, weight, bias = case(), case(N, seed=1), case(N, seed=2)
    xhat = rstd_of(x) * (x - mean(x))
    y, *_ = lnlib.layer_norm_forward(x, N, weight, bias, EPS)
    assert_allclose(y, weight * xhat + bias, rtol=1e-12)


def backward_case(center=True):
    x, dy, weight = case(), case(seed=1), case(N, seed=2)
    rstd = rstd_of(x, center)
    xhat = rstd * (x - mean(x) if center else x)
    return x, dy, weight, rstd, xhat, weight * dy


def dx_of(rstd, g, xhat, center=True):
    inner = g - mean(g) if center else g
    return rstd * (inner - xhat * mean(g * xhat))


@twin(
    "layer-norm-backward",
    r"""g = \gamma\,\mathrm dy, \qquad
    \mathrm dx = r\,\big(\,g - \overline{g} - \hat x\,\overline{g\hat x}\,\big)""",
    lnlib.layer_norm_backward,
)
def layer_norm_backward():
    x, dy, weight, rstd, xhat, g = backward_case()
    dx = dx_of(rstd, g, xhat)
    found, *_ = lnlib.layer_norm_backward(dy, x, N, mean(x), rstd, weight)
    assert_allclose(found, dx, rtol=1e-11, atol=1e-13)

    def loss(row):
        return (dy[0] * lnlib.layer_norm(row, N, weight, None, EPS)).sum()

    assert_allclose(gradient(loss, x[0]), dx[0], rtol=1e-6, atol=1e-8)


@twin(
    "parameters",
    r"""\mathrm d\gamma = \textstyle\sum_{\text{rows}} \mathrm dy\,\hat x, \qquad
    \mathrm d\beta = \textstyle\sum_{\text{rows}} \mathrm dy""",
    lnlib.layer_norm_backward,
)
def parameters():
    x, dy, weight, rstd, xhat, _ = backward_case()
    _, dweight, dbias = lnlib.layer_norm_backward(dy, x, N, mean(x), rstd, weight)
    assert_allclose(dweight, sum(dy[m] * xhat[m] for m in range(M)), rtol=1e-11)
    assert_allclose(dbias, sum(dy[m] for m in range(M)), rtol=1e-13)

    def loss(weight):
        return (dy * lnlib.layer_norm(x, N, weight, None, EPS)).sum()

    assert_allclose(gradient(loss, weight), dweight, rtol=1e-7)


@twin(
    "rms-norm",
    r"""r = \dfrac{1}{\sqrt{\overline{x^2}+\varepsilon}}, \qquad \hat x = r\,x, \qquad
    y = \gamma\,\hat x""",
    lnlib.rms_norm_forward,
)
def rms_norm():
    x, weight = case(), case(N, seed=1)
    y, rstd = lnlib.rms_norm_forward(x, N, weight, EPS)
    assert_allclose(rstd, 1 / np.sqrt(mean(x * x) + EPS), rtol=1e-14)
    assert_allclose(y, weight * (rstd * x), rtol=1e-13)


@twin(
    "rms-norm-backward",
    r"""\mathrm dx = r\,\big(\,g - \hat x\,\overline{g\hat x}\,\big), \qquad
    \mathrm d\gamma = \textstyle\sum_{\text{rows}} \mathrm dy\,\hat x""",
    lnlib.rms_norm_backward,
)
def rms_norm_backward():
    x, dy, weight, rstd, xhat, g = backward_case(center=False)
    dx, dweight = lnlib.rms_norm_backward(dy, x, N, rstd, weight)
    expected = dx_of(rstd, g, xhat, center=False)
    assert_allclose(dx, expected, rtol=1e-11, atol=1e-13)
    assert_allclose(dweight, sum(dy[m] * xhat[m] for m in range(M)), rtol=1e-11)

    def loss(row):
        return (dy[0] * lnlib.rms_norm(row, N, weight, EPS)).sum()

    assert_allclose(gradient(loss, x[0]), dx[0], rtol=1e-6, atol=1e-8)


@twin(
    "statistics-gradients",
    r"""\dfrac{\partial\mu}{\partial x_i} = \dfrac1N, \quad
    \dfrac{\partial\sigma^2}{\partial x_i} = \dfrac{2\,(x_i-\mu)}{N}, \quad
    \dfrac{\partial r}{\partial x_i} = -\dfrac{r^2\,\hat x_i}{N}""",
    lnlib.standardize,
)
def statistics_gradients():
    x = case(N)
    xhat, mu, rstd = lnlib.standardize(x, -1, EPS)

    def statistic(number):
        return lambda row: lnlib.standardize(row, -1, EPS)[number][0]

    def variance(row):
        return statistic(2)(row) ** -2.0 - EPS

    near = {"rtol": 1e-6, "atol": 1e-9}
    assert_allclose(gradient(statistic(1), x), np.full(N, 1 / N), **near)
    assert_allclose(gradient(variance, x), 2 * (x - mu) / N, **near)
    assert_allclose(gradient(statistic(2), x), -(rstd**2) * xhat / N, **near)


def matrix(x, eps=EPS):
    """The matrix of derivatives of xhat: the backward pass, fed with the identity."""
    rows = np.tile(x, (len(x), 1))
    xhat, _, rstd = lnlib.standardize(rows, -1, eps)
    return lnlib.standardize_backward(np.eye(len(x)), xhat, -1, rstd)


@twin(
    "jacobian",
    r"""\dfrac{\partial\hat x}{\partial x} = r\,\Big(I
    - \dfrac{\mathbf 1\mathbf 1^\top}{N} - \dfrac{\hat x\hat x^\top}{N}\Big)""",
    lnlib.standardize_backward,
)
def jacobian():
    x = case(N)
    xhat, _, rstd = lnlib.standardize(x, -1, EPS)
    ones = np.ones(N)
    formula = rstd * (np.eye(N) - np.outer(ones, ones) / N - np.outer(xhat, xhat) / N)
    assert_allclose(matrix(x), formula, atol=1e-14)
    columns = gradient(lambda row: lnlib.standardize(row, -1, EPS)[0], x)
    assert_allclose(columns, formula, atol=1e-8)
    # What the heading says: symmetric, and without eps a projection but for r.
    assert_allclose(matrix(x), matrix(x).T, atol=1e-14)
    projection = matrix(x, 0.0) / lnlib.standardize(x, -1, 0.0)[2]
    assert_allclose(projection @ projection, projection, atol=1e-14)


@twin(
    "two-sums",
    r"""\textstyle\sum_i \mathrm dx_i = 0, \qquad \mathrm dx\cdot\hat x
    = \dfrac{r\,\varepsilon}{\sigma^2+\varepsilon}\; g\cdot\hat x""",
    lnlib.standardize_backward,
)
def two_sums():
    x, g = case(), case(seed=1)
    xhat, _, rstd = lnlib.standardize(x, -1, EPS)
    dx = lnlib.standardize_backward(g, xhat, -1, rstd)
    assert_allclose(dx.sum(-1), 0, atol=1e-13)
    share = EPS / (x.var(-1) + EPS)
    expected = rstd[:, 0] * share * (g * xhat).sum(-1)
    assert_allclose((dx * xhat).sum(-1), expected, rtol=1e-9)


@twin(
    "output-variance",
    r"""\overline{\hat x} = 0, \qquad \overline{\hat x^2}
    = \dfrac{\sigma^2}{\sigma^2+\varepsilon} = 1 - \varepsilon\,r^2""",
    lnlib.standardize,
)
def output_variance():
    for scale in (1e-4, 0.1, 1.0):
        x = scale * case()
        xhat, _, rstd = lnlib.standardize(x, -1, EPS)
        variance = x.var(-1, keepdims=True)
        assert_allclose(mean(xhat), 0, atol=1e-14)
        assert_allclose(mean(xhat**2), variance / (variance + EPS), rtol=1e-12)
        assert_allclose(mean(xhat**2), 1 - EPS * rstd**2, rtol=1e-7)


@twin(
    "bound",
    r"""\begin{gathered}
    \|\hat x\| \le \sqrt N, \qquad |\hat x_i| \le \sqrt{N-1} \\
    \text{RMS norm: } |\hat x_i| \le \sqrt N
    \end{gathered}""",
    lnlib.standardize,
)
def bound():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 2000, N))
    slack = 1 + 1e-12
    for rows in (u, u / v, np.eye(N), 1e-150 * np.eye(N)):
        for center, largest in ((True, N - 1), (False, N)):
            xhat, *_ = lnlib.standardize(rows, -1, 0.0, center)
            assert np.abs(xhat).max() <= np.sqrt(largest) * slack
            assert np.sqrt((xhat**2).sum(-1)).max() <= np.sqrt(N) * slack
    # Both are reached, by the row that the heading names.
    for center, largest in ((True, N - 1), (False, N)):
        xhat, *_ = lnlib.standardize(np.eye(N), -1, 0.0, center)
        assert_allclose(xhat.max(), np.sqrt(largest), rtol=1e-14)


@twin(
    "slope",
    r"""\Big\|\dfrac{\partial\hat x}{\partial x}\Big\|_2 = r
    = \dfrac{1}{\sqrt{\sigma^2+\varepsilon}} \le \dfrac{1}{\sqrt\varepsilon}""",
    lnlib.standardize_backward,
)
def slope():
    for n in (3, N):
        for scale in (1e-6, 1.0):
            x = scale * case(n)
            norm = np.linalg.norm(matrix(x), 2)
            assert_allclose(norm, 1 / np.sqrt(x.var() + EPS), rtol=1e-12)
            assert norm <= 1 / np.sqrt(EPS)
    # Of two features both directions are removed, but for the share that eps leaves.
    x = case(2)
    share = EPS / (x.var() + EPS)
    assert_allclose(np.linalg.norm(matrix(x), 2), share / np.sqrt(x.var() + EPS))


@twin(
    "invariance",
    r"""\begin{gathered} \operatorname{LN}(a x + b\mathbf 1) = \operatorname{LN}(x),
    \qquad \operatorname{RMS}(a x) = \operatorname{RMS}(x) \\
    \operatorname{LN}\big((aW + \mathbf 1 v^\top)\,h\big) = \operatorname{LN}(W h),
    \qquad \mathrm dx\big|_{a x + b\mathbf 1} = \tfrac1a\,\mathrm dx\big|_{x}
    \end{gathered}""",
    lnlib.layer_norm,
)
def invariance():
    a, b, x, g = 2.5, -4.0, case(), case(seed=1)
    y = lnlib.layer_norm(x, N, eps=0.0)
    assert_allclose(lnlib.layer_norm(a * x + b, N, eps=0.0), y, rtol=1e-11, atol=1e-13)
    rms = lnlib.rms_norm(x, N, eps=0.0)
    assert_allclose(lnlib.rms_norm(a * x, N, eps=0.0), rms, rtol=1e-13)

    w, h, v = case(N, 5, seed=2), case(5, seed=3), case(5, seed=4)
    plain = lnlib.layer_norm(w @ h, N, eps=0.0)
    changed = lnlib.layer_norm((a * w + np.outer(np.ones(N), v)) @ h, N, eps=0.0)
    assert_allclose(changed, plain, rtol=1e-10, atol=1e-12)

    def dx(x):
        xhat, _, rstd = lnlib.standardize(x, -1, 0.0)
        return lnlib.standardize_backward(g, xhat, -1, rstd)

    assert_allclose(dx(a * x + b), dx(x) / a, rtol=1e-9, atol=1e-12)


@twin(
    "scale-and-eps",
    r"""\operatorname{LN}_\varepsilon(a x + b\mathbf 1)
    = \operatorname{sign}(a)\,\operatorname{LN}_{\varepsilon/a^2}(x)""",
    lnlib.layer_norm,
)
def scale_and_eps():
    x = case()
    for a in (0.01, 3.0, -0.2):
        y = lnlib.layer_norm(a * x + 7.0, N, eps=EPS)
        expected = np.sign(a) * lnlib.layer_norm(x, N, eps=EPS / a**2)
        assert_allclose(y, expected, rtol=1e-9, atol=1e-12)


@twin(
    "general",
    r"""\begin{gathered}
    \hat x = \dfrac{x - \operatorname{mean}_A x}{\sqrt{\operatorname{var}_A x
    + \varepsilon}} \\ \mathrm dx = r\,\big(\,g - \operatorname{mean}_A g
    - \hat x\,\operatorname{mean}_A(g\hat x)\,\big) \end{gathered}""",
    lnlib.standardize,
    lnlib.standardize_backward,
)
def general():
    x, g = case(3, 4, 5, 2), case(3, 4, 5, 2, seed=1)
    for axes in ((0, 2, 3), (1, 2, 3), (2, 3), (1,), (-1,)):

        def mean_over(a, axes=axes):
            return a.mean(axes, keepdims=True)

        xhat, _, rstd = lnlib.standardize(x, axes, EPS)
        root = np.sqrt(x.var(axes, keepdims=True) + EPS)
        assert_allclose(xhat, (x - mean_over(x)) / root, rtol=1e-11, atol=1e-13)
        dx = (g - mean_over(g) - xhat * mean_over(g * xhat)) / root
        found = lnlib.standardize_backward(g, xhat, axes, rstd)
        assert_allclose(found, dx, rtol=1e-11, atol=1e-13)


@twin(
    "axes",
    """| norm | axes $A$ | means | | batch, in training | $N, H, W$ | $C$ |
    | layer, of an image | $C, H, W$ | $N$ | | layer, of a pixel | $C$ | $NHW$ |
    | instance | $H, W$ | $NC$ | | group, $G$ groups | $C/G, H, W$ | $NG$ |
    | RMS | as layer, no mean | as layer |""",
    lnlib.standardize,
)
def axes():
    n, c, h, w, groups = 2, 6, 3, 4, 3
    x = case(n, c, h, w)
    t = torch.tensor(x)

    def ours(over, count, a=x, center=True):
        xhat, _, rstd = lnlib.standardize(a, over, EPS, center)
        assert rstd.size == count
        return xhat.reshape(x.shape)

    grouped = x.reshape(n, groups, c // groups, h, w)
    last = t.movedim(1, -1)
    pairs = (
        (ours((0, 2, 3), c), F.batch_norm(t, None, None, training=True, eps=EPS)),
        (ours((1, 2, 3), n), F.layer_norm(t, (c, h, w), eps=EPS)),
        (ours(1, n * h * w), F.layer_norm(last, (c,), eps=EPS).movedim(-1, 1)),
        (ours((2, 3), n * c), F.instance_norm(t, eps=EPS)),
        (ours((2, 3, 4), n * groups, grouped), F.group_norm(t, groups, eps=EPS)),
        (ours((1, 2, 3), n, center=False), F.rms_norm(t, (c, h, w), eps=EPS)),
    )
    for found, expected in pairs:
        assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@twin(
    "bessel",
    r"""\dfrac{x-\mu}{s_{N-1}} = \sqrt{\dfrac{N-1}{N}}\;\hat x
    \qquad (\varepsilon = 0)""",
    lnlib.standardize,
)
def bessel():
    x = case()
    xhat, mu, _ = lnlib.standardize(x, -1, 0.0)
    wrong = (x - mu) / torch.tensor(x).std(-1, keepdim=True).numpy()
    assert_allclose(wrong, np.sqrt((N - 1) / N) * xhat, rtol=1e-11)


@twin(
    "two-passes",
    r"""\dfrac{\big|\,(\overline{x^2}-\mu^2)_{\text{computed}} - \sigma^2\,\big|}
    {\sigma^2} \;\sim\; \dfrac{u\,\overline{x^2}}{\sigma^2}""",
    lnlib.standardize,
)
def two_passes():
    u = np.finfo(np.float32).eps / 2
    for offset in (1e1, 1e2, 1e3):
        x = (case(200, 64) + offset).astype(np.float32)
        wide = x.astype(np.float64)
        truth = wide.var(-1)
        naive = (x * x).mean(-1) - x.mean(-1) ** 2
        expected = u * (wide**2).mean(-1) / truth
        ratio = np.median(abs(naive - truth) / truth / expected)
        assert 0.1 < ratio < 10
        # The library's, at the same rows, is right to the last digits.
        _, _, rstd = lnlib.standardize(x, -1, 0.0)
        assert_allclose(rstd[:, 0].astype(np.float64) ** -2, truth, rtol=8 * u)


def default(function, name="eps"):
    return inspect.signature(function).parameters[name].default


@twin(
    "eps",
    """| | layer norm | RMS norm |
    | PyTorch, lnlib | $10^{-5}$ | `None`: $2^{-23}$, in float64 $2^{-52}$ |
    | Flax | $10^{-6}$ | $10^{-6}$ | | Keras | $10^{-3}$ | $10^{-6}$ |""",
    lnlib.layer_norm,
    lnlib.rms_norm,
)
def eps():
    # Flax and Keras are not among what the tests install; their rows were read there.
    layers = (torch.nn.LayerNorm, lnlib.layer_norm, lnlib.nn.LayerNorm)
    assert [default(layer) for layer in layers] == [1e-5] * 3
    roots = (torch.nn.RMSNorm, lnlib.rms_norm, lnlib.nn.RMSNorm)
    assert [default(root) for root in roots] == [None] * 3
    for dtype, number in (("float64", -52), ("float32", -23), ("float16", -23)):
        small = 2.0**-12 if dtype != "float64" else 2.0**-26
        x = np.full((1, 4), small, dtype)
        expected = small / np.sqrt(small**2 + 2.0**number)
        rtol = 2 * np.finfo(dtype).eps
        assert_allclose(lnlib.rms_norm(x, 4), expected, rtol=rtol)
        assert_allclose(F.rms_norm(torch.tensor(x), (4,)), expected, rtol=rtol)


@twin(
    "dtypes",
    r"""| | roundoff $u$ | smallest | there ε = 10⁻⁸ would be |
    | float32 | $2^{-24}$ | $2^{-149}$ | lost beside $\sigma^2 \ge 0.25$, no harm |
    | bfloat16 | $2^{-8}$ | $2^{-133}$ | lost beside $\sigma^2 \ge 2^{-18}$, no harm |
    | float16 | $2^{-11}$ | $2^{-24}$ | zero: equal numbers give NaN |""",
    lnlib.layer_norm,
)
def dtypes():
    for dtype, u, smallest, lost in (
        (torch.float32, 2.0**-24, 2.0**-149, 0.25),
        (torch.bfloat16, 2.0**-8, 2.0**-133, 2.0**-18),
        (torch.float16, 2.0**-11, 2.0**-24, None),
    ):
        assert torch.finfo(dtype).eps / 2 == u
        assert torch.tensor(smallest, dtype=dtype) > 0
        assert torch.tensor(smallest / 2, dtype=dtype) == 0
        small = torch.tensor(1e-8, dtype=dtype)
        if lost is None:
            assert small == 0
            continue
        variance = torch.tensor(lost, dtype=dtype)
        assert variance + small == variance
        below = variance * (1 - 2 * u)
        assert below < variance and below + small > below
    # The heading: half precision goes through float32, and keeps its eps there.
    row = torch.full((1, 8), 3.5, dtype=torch.float16)
    y, mu, rstd = lnlib.layer_norm_forward(row, 8, eps=1e-8)
    assert mu.dtype == rstd.dtype == torch.float32 and y.dtype == torch.float16
    assert_allclose(rstd, 1e4, rtol=1e-6)


def kept(norm, m, n):
    """How many numbers a norm saves for its backward pass, x and parameters aside."""
    x = torch.ones(m, n, requires_grad=True)
    parameters = [p for p in norm.parameters()]
    known = {t.untyped_storage().data_ptr() for t in (x, *parameters)}
    seen = {}

    def pack(t):
        seen[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes() // 4
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        norm(x)
    return sum(size for key, size in seen.items() if key not in known)


@twin(
    "memory",
    r"""| | layer norm | RMS norm | | parameters | $2N$ | $N$ |
    | kept for backward, beside $x$ | $2M$ of float32 | $M$ of float32 |
    | forward, $x$ to $y$, moves | $2s$ or more | $2s$ or more |
    | backward, $x$ and $\mathrm dy$ to $\mathrm dx$ | $3s$ or more | $3s$ or more |""",
    lnlib.nn.layer_norm,
)
def memory():
    m, n = 64, 32
    for norm, count in ((lnlib.nn.LayerNorm(n), 2), (lnlib.nn.RMSNorm(n), 1)):
        assert sum(p.numel() for p in norm.parameters()) == count * n
        assert kept(norm, m, n) == count * m
    # What goes in is read once and what comes out is written once, at the least.
    for dtype, s in ((np.float64, 8), (np.float32, 4), (np.float16, 2)):
        x, dy = case(m, n).astype(dtype), case(m, n, seed=1).astype(dtype)
        y, mu, rstd = lnlib.layer_norm_forward(x, n)
        dx, *_ = lnlib.layer_norm_backward(dy, x, n, mu, rstd)
        assert (x.nbytes + y.nbytes) / x.size == 2 * s
        assert (x.nbytes + dy.nbytes + dx.nbytes) / x.size == 3 * s


def test_the_sheet_and_the_twins_have_the_same_formulas():
    assert (
        len(BLOCK.findall(SHEET)) == len(BLOCKS) == SHEET.count("{container} formula\n")
    )
    assert set(BLOCKS) == set(TWINS)


@pytest.mark.parametrize("name", TWINS)
def test_twin_quotes_the_formula(name):
    text, functions, _ = TWINS[name]
    block = BLOCKS[name]
    assert quoted(block) == text
    named = FUNCTION.findall(block)
    assert named and {_resolve(path) for path in named} == functions


def _resolve(path):
    module, _, name = path.removeprefix("lnlib.").rpartition(".")
    holder = lnlib
    for part in filter(None, module.split(".")):
        holder = getattr(holder, part)
    return getattr(holder, name)


@pytest.mark.parametrize("name", TWINS)
def test_formula(name):
    TWINS[name][2]()
