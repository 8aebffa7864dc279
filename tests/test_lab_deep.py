"""Deep networks side by side: against networks of torch.nn, one at a time."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from lnlib.lab import data, deep, meanfield
from lnlib.lab.experiment import Tuning

DOUBLE = {"dtype": torch.float64}


def inputs(s=2, m=7, d=16, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(s, m, d, generator=g, dtype=torch.float64)


def single(model, i, x):
    """The i-th network of a `Deep`, written out with torch.nn's own modules."""
    norms = {
        "layer": lambda: nn.LayerNorm(x.shape[-1], **DOUBLE),
        "after": lambda: nn.LayerNorm(x.shape[-1], **DOUBLE),
        "rms": lambda: nn.RMSNorm(x.shape[-1], eps=deep.EPS, **DOUBLE),
        "batch": lambda: nn.BatchNorm1d(x.shape[-1], **DOUBLE),
        "none": nn.Identity,
    }
    norm = norms[model.norm]().train()
    states, x = [], x[i]
    for layer in range(model.depth):
        w, b = model.weight[layer, i], model.bias[layer, i]
        inside = (lambda s: norm(torch.relu(s))) if model.norm == "after" else None
        inside = inside or (lambda s: torch.relu(norm(s)))
        if model.residual:
            x = x + inside(x) @ w + b if layer else x @ w + b
        else:
            x = inside(x @ w + b)
        states.append(x)
    return states


@pytest.mark.parametrize("norm", ["none", "layer", "rms", "batch", "after"])
@pytest.mark.parametrize("residual", [False, True])
def test_side_by_side_is_one_by_one(norm, residual):
    model = deep.Deep(4, [3, 5], norm, residual, width=16, **DOUBLE)
    x = inputs()
    states = model.states(x)
    for i in range(2):
        for ours, theirs in zip(states, single(model, i, x), strict=True):
            torch.testing.assert_close(ours[i], theirs, rtol=1e-10, atol=1e-10)


def test_the_last_state_of_a_residual_network_is_normalized():
    model = deep.Deep(4, [3, 5], "layer", True, width=16, **DOUBLE)
    x = inputs()
    last = nn.functional.layer_norm(model.states(x)[-1], (16,))
    torch.testing.assert_close(model(x), last @ model.head_weight + model.head_bias)
    plain = deep.Deep(4, [3, 5], "layer", width=16, **DOUBLE)
    logits = plain.states(x)[-1] @ plain.head_weight + plain.head_bias
    torch.testing.assert_close(plain(x), logits)


def test_a_network_does_not_see_its_neighbours():
    x = inputs(3)
    together = deep.Deep(3, [1, 2, 3], "batch", width=16, **DOUBLE)(x)
    alone = deep.Deep(3, [2], "batch", width=16, **DOUBLE)(x[1:2])
    torch.testing.assert_close(together[1], alone[0], rtol=1e-12, atol=1e-12)


def test_raised_has_the_mean_of_a_relu_again():
    y = deep.normalize(inputs(d=64), "raised")
    share = y.mean(-1).square() / y.square().mean(-1)
    z = math.pi  # of a ReLU it is (1 / 2 pi) / (1 / 2)
    torch.testing.assert_close(share, torch.full_like(share, 1 / z), atol=1e-4, rtol=0)


def test_activations_without_a_mean():
    z = inputs(1, 1, 200_000)[0]
    assert abs(deep.ACTIVATIONS["shifted"](z).mean().item()) < 0.005
    assert abs(deep.ACTIVATIONS["centred"](z).mean().item()) < 1e-12


def test_initial_weights():
    def weights(**more):
        return deep.Deep(3, [0], width=128, **DOUBLE, **more)

    default, he = weights(), weights(init="he")
    assert default.weight.abs().max() <= 1 / math.sqrt(128)
    assert default.weight.std().item() == pytest.approx(
        1 / math.sqrt(3 * 128), rel=0.02
    )
    assert he.weight.std().item() == pytest.approx(math.sqrt(2 / 128), rel=0.02)
    assert not he.bias.any() and default.bias.any()
    scaled = weights(init="he", residual=True)
    torch.testing.assert_close(scaled.weight[1:] * math.sqrt(3), he.weight[1:])
    (q,) = weights(init="orthogonal").weight[0]
    torch.testing.assert_close(
        q @ q.T, 2 * torch.eye(128, **DOUBLE), atol=1e-12, rtol=0
    )
    own = weights(gain=3.0, classes=0)
    assert own.weight.std().item() == pytest.approx(3 / math.sqrt(128), rel=0.02)
    assert own.bias is None and not hasattr(own, "head_weight")


def test_mean_cosine_is_that_over_pairs():
    x = inputs(2, 5)
    for network, found in zip(x, deep.mean_cosine(x), strict=True):
        pairs = [
            torch.cosine_similarity(network[i], network[j], dim=0)
            for i in range(5)
            for j in range(5)
            if i != j
        ]
        assert found.item() == pytest.approx(torch.stack(pairs).mean().item())
    for scale in (1e-200, 1e200):  # squares of these leave the range
        torch.testing.assert_close(deep.mean_cosine(x * scale), deep.mean_cosine(x))
    assert deep.mean_cosine(torch.zeros(1, 3, 4)).item() == 0


def test_start_measures_gradient_and_state():
    model = deep.Deep(5, [0, 1], "layer", width=16, classes=0, gain=1.0, **DOUBLE)
    x = inputs()
    found = deep.start(model, x, (1, 3, 5), seed=4)
    assert list(found) == [1, 3, 5] and found[1]["log_gradient"].abs().max() < 1e-12
    states = model.states(x.clone().requires_grad_())
    g = torch.Generator().manual_seed(4)
    incoming = torch.randn(x.shape, generator=g, dtype=x.dtype)
    (states[2] * incoming).sum().backward(inputs=[states[0]])
    length = states[0].grad[1].norm() / incoming[1].norm()
    assert found[3]["log_gradient"][1].item() == pytest.approx(length.log10().item())
    rms = states[4][0].square().mean().sqrt().log10()
    assert found[5]["log_rms"][0].item() == pytest.approx(rms.item())


def test_wide_networks_do_what_the_theory_says():
    relu = np.maximum
    for norm, chi in (("layer", 1.0), ("after", math.pi / (math.pi - 1))):
        model = deep.Deep(17, range(4), norm, width=256, classes=0, gain=1.0, **DOUBLE)
        x = deep.normalize(inputs(4, 16, 256), "rms")
        found = deep.start(model, x, (2, 3, 17))
        log = found[17]["log_gradient"].mean().item()
        assert log == pytest.approx(8 * math.log10(chi), abs=0.15)
        before, after = (found[d]["cosine"].mean().item() for d in (2, 3))
        predicted = meanfield.next_cosine(lambda z: relu(z, 0), before, norm == "after")
        assert after == pytest.approx(float(predicted), abs=0.02)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_takes_the_steps_of_torch(optimizer):
    x, y = inputs(2, 40), torch.arange(40).remainder(10).expand(2, 40)
    model = deep.Deep(2, [0, 1], "layer", width=16, **DOUBLE)
    single = deep.Deep(2, [1], "layer", width=16, **DOUBLE)
    losses = deep.train(model, x, y, (0.5, 0.01), 7, 8, optimizer)
    kinds = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    }
    theirs = kinds[optimizer](single.parameters())
    for step, batch in enumerate(deep._batches([1], 40, 7, 8)):
        loss = nn.functional.cross_entropy(single(x[1:, batch[0]])[0], y[0, batch[0]])
        assert losses[step, 1].item() == pytest.approx(loss.item(), rel=1e-9)
        theirs.zero_grad()
        loss.backward()
        theirs.step()


def test_batches_go_through_the_split_and_follow_the_seed():
    batches = deep._batches([0, 1], 10, 5, 4)
    assert batches.shape == (5, 2, 4)
    assert len(set(batches[:2, 0].flatten().tolist())) == 8  # without replacement
    assert not torch.equal(batches[:, 0], batches[:, 1])
    assert torch.equal(batches[:, 1:], deep._batches([1], 10, 5, 4))


def test_batch_norm_is_evaluated_with_the_statistics_of_the_split():
    x = inputs(2, 50)
    model = deep.Deep(3, [0, 1], "batch", width=16, **DOUBLE)
    training = model(x)
    deep.fix_statistics(model, x)
    torch.testing.assert_close(model(x), training, rtol=1e-9, atol=1e-9)
    alone = torch.cat([model(x[:, :1]), model(x[:, 1:])], 1)
    torch.testing.assert_close(alone, training, rtol=1e-9, atol=1e-9)
    layer = deep.Deep(3, [0], "layer", width=16, **DOUBLE)
    deep.fix_statistics(layer, x[:1])
    assert layer.statistics is None


def test_first_below_is_cut_off_and_blind_to_no_number():
    nan = math.nan
    losses = torch.tensor([[2.0, 2, nan], [1, 2, 0], [0, 2, 0], [0, 2, 0]])
    assert deep.first_below(losses, 1.0, window=2).tolist() == [3, 4, 3]
    assert deep.first_below(losses[:2], 1.0, window=2).tolist() == [2, 2, 2]


def test_whitened_digits_are_uncorrelated():
    plain, white = deep.digits((0,)), deep.digits((0,), True)
    x = white.x_train[0].double()
    covariance = x.T.cov(correction=0)
    variances = covariance.diagonal()
    assert (covariance - torch.diag(variances)).abs().max() < 1e-4
    assert variances.max() < 1.001 and (variances > 0.9).sum() >= 38
    assert abs(deep.mean_cosine(x[None]).item()) < 0.02
    assert deep.mean_cosine(plain.x_train).item() > 0.5
    assert torch.equal(plain.x_test[0], data.digits(0).x_test.float())


def test_what_a_run_measures():
    good, bad = deep.learn((0, 0), (0.03, 1e6), 60, 32, depth=2, norm="none")
    assert good["val_error"] < 0.5 and good["diverged"] == 0
    assert bad["diverged"] == 1 and bad["train_loss"] == deep.WORST
    assert bad["steps"] == 60 and 0.8 < bad["test_error"] <= 1
    assert good["cosine"] == bad["cosine"] and good["gradient"] > 0


def test_what_is_refused():
    with pytest.raises(ValueError, match="Expected depth to be at least 1"):
        deep.Deep(0, [0])
    with pytest.raises(ValueError, match="a seed, but got 2 and \\[\\]"):
        deep.Deep(2, [])
    with pytest.raises(ValueError, match="but got 'group'"):
        deep.Deep(2, [0], "group")
    with pytest.raises(ValueError, match="but got 'swish'"):
        deep.Deep(2, [0], activation="swish")
    with pytest.raises(ValueError, match=r"but got 'layer' and shape \(2, 3\)"):
        deep.normalize(torch.zeros(2, 3), "layer")
    with pytest.raises(ValueError, match="Expected at least two rows"):
        deep.mean_cosine(torch.zeros(1, 1, 3))
    with pytest.raises(ValueError, match="Expected depths from 1 to 2, but got"):
        deep.start(deep.Deep(2, [0]), torch.zeros(1, 2, 64), (3,))
    model, x = deep.Deep(2, [0]), torch.zeros(1, 4, 64)
    with pytest.raises(ValueError, match="Expected sgd or adam, but got 'rprop'"):
        deep.train(model, x, torch.zeros(1, 4), (0.1,), 1, 2, "rprop")
    with pytest.raises(ValueError, match="splits and rates as networks, 1, but got"):
        deep.train(model, x, torch.zeros(1, 4), (0.1, 0.2), 1, 2)


@pytest.mark.parametrize("affine", deep.AFFINES)
def test_what_follows_the_standardizing(affine):
    both = deep.Deep(3, [0, 1], "layer", width=16, **DOUBLE)
    model = deep.Deep(3, [0, 1], "layer", width=16, affine=affine, **DOUBLE)
    names = {name for name, _ in model.named_parameters()}
    assert ("norm_weight" in names) == (affine in ("both", "gain"))
    assert ("norm_bias" in names) == (affine in ("both", "bias"))
    x = inputs()
    # With gain 1 and bias 0 all begin as one function.
    torch.testing.assert_close(model(x), both(x), rtol=1e-12, atol=1e-12)
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name in ("norm_weight", "norm_bias"):
            if name in names:
                value = torch.randn(getattr(both, name).shape, generator=g, **DOUBLE)
                getattr(both, name).copy_(value)
                getattr(model, name).copy_(value)
    torch.testing.assert_close(model(x), both(x), rtol=1e-12, atol=1e-12)
    assert (
        model(x) - deep.Deep(3, [0, 1], "layer", width=16, **DOUBLE)(x)
    ).abs().max() > 0.01 or affine == "neither"


def test_an_unknown_affine_is_refused():
    with pytest.raises(ValueError, match="Expected one of both, gain, bias, neither"):
        deep.Deep(1, [0], "layer", affine="gamma")


# --- runs of an experiment ------------------------------------------------------------


def test_a_run_is_the_same_alone_and_beside_others():
    options = {"steps": 20, "batch_size": 8, "depth": 2, **deep.start_as("layer")}
    tuning = Tuning("lr", (0.01, 0.1), (7, 8), "val_error")
    config = {"stage": "test", "lr": 0.01}
    beside = deep.learn_together(config, 4, (3, 4), tuning, **options)
    alone = deep.learn_together(config, 4, (5, 6), tuning, **options)  # 4 is not there
    other = deep.learn_together(config, 3, (3, 4), tuning, **options)
    assert beside == alone != other
    config["stage"] = "tune"
    tuned = deep.learn_together(config, 4, (3, 4), tuning, **options)
    assert tuned == {**alone, "test_error": None} and alone["test_error"] is not None
    assert deep.learn_together(config, 7, (), tuning, **options)["test_error"] is None


def test_arms_start_as_they_are_named():
    assert deep.start_as("he") == {"norm": "none", "init": "he"}
    assert deep.start_as("none") == {"norm": "none", "init": "default"}
