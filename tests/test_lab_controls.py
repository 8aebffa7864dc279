"""Norms with one part changed: that part is changed, and nothing else is."""

import math

import pytest
import torch
import torch.nn.functional as F

from lnlib.lab import controls


def numbers(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64)


# --- norms ----------------------------------------------------------------------------


def test_detached_is_layer_norm_on_the_way_up():
    x = 3 * numbers(5, 8) + 1
    found = controls.Detached(8).double()(x)
    torch.testing.assert_close(found, F.layer_norm(x, (8,)), rtol=0, atol=1e-12)


def test_detached_divides_the_gradient_and_does_nothing_else_to_it():
    x, dy = (3 * numbers(5, 8)).requires_grad_(), numbers(5, 8, seed=1)
    norm = controls.Detached(8).double()
    with torch.no_grad():
        norm.weight.copy_(numbers(8, seed=2))
    (dx,) = torch.autograd.grad(norm(x), x, dy)
    rstd = (x.detach().var(1, correction=0, keepdim=True) + 1e-5).rsqrt()
    torch.testing.assert_close(dx, dy * norm.weight * rstd, rtol=1e-12, atol=0)


def test_shared_is_one_mean_and_one_deviation_for_all():
    x = 3 * numbers(5, 8) + 1
    found = controls.Shared(8).double()(x)
    whole = F.layer_norm(x.flatten(), (40,)).view(5, 8)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-12)
    changed = x.clone()
    changed[0] += 10
    assert (controls.Shared(8).double()(changed)[1] != found[1]).all()


def test_the_gradient_passes_through_what_is_shared():
    x = numbers(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(controls.Shared(3).double(), (x,))


@pytest.mark.parametrize("norm", [controls.Detached, controls.Shared])
def test_norms_refuse_what_they_cannot_do(norm):
    with pytest.raises(TypeError, match="Expected features to be an int, but got str"):
        norm("8")
    with pytest.raises(TypeError, match="but got bool"):
        norm(True)
    with pytest.raises(ValueError, match="at least one feature, but got 0"):
        norm(0)
    with pytest.raises(ValueError, match=r"shape \(M, 8\), but got \(5, 7\)"):
        norm(8)(torch.ones(5, 7))


def unsteady(reach=0.5, seed=0):
    return controls.Unsteady(torch.nn.LayerNorm(200).double(), seed, reach)


def test_unsteady_sees_another_distribution_at_every_step():
    x, module = numbers(300, 200), unsteady(reach=1.0)
    y = [module(x).detach() for _ in range(200)]
    means = torch.tensor([v.mean() for v in y])
    scales = torch.tensor([v.std() for v in y])
    # m even in (-1, 1), s in (1, 2): their deviations are 2 / sqrt 12 and 1 / sqrt 12.
    assert abs(means.mean()) < 0.15 and abs(means.std() - 0.577) < 0.06
    assert abs(scales.mean() - 1.5) < 0.08 and abs(scales.std() - 0.289) < 0.05


def test_unsteady_moves_neurons_apart_and_numbers_too():
    x = F.layer_norm(numbers(2000, 200), (200,))
    y = unsteady(reach=0.0)(x)
    off = y - x
    neurons = off.mean(0)  # of a neuron, over examples
    assert abs(neurons.std() - 0.1) < 0.02
    # around that, noise in the shift, and in the scale of numbers of size 1
    single = (off - neurons).std()
    assert abs(single - math.sqrt(0.1**2 + 2 * 0.1**2)) < 0.02


def test_unsteady_is_its_norm_times_the_mean_scale_in_use():
    x, module = numbers(5, 200), unsteady(reach=0.5).eval()
    torch.testing.assert_close(module(x), 1.25 * F.layer_norm(x, (200,)))
    assert torch.equal(module(x), module(x))


def test_the_noise_has_a_seed():
    x = numbers(5, 200)
    assert torch.equal(unsteady(seed=1)(x), unsteady(seed=1)(x))
    assert not torch.equal(unsteady(seed=1)(x), unsteady(seed=2)(x))


def test_unsteady_refuses_a_negative_reach():
    with pytest.raises(ValueError, match="reach to be at least 0, but got -1"):
        unsteady(reach=-1)


# --- networks -------------------------------------------------------------------------


@pytest.mark.parametrize("arm", [a for a in controls.ARMS if a != "he"])
def test_all_arms_of_a_seed_begin_with_the_same_weights(arm):
    found = controls.linear_layers(controls.network(arm, 3))
    expected = controls.linear_layers(controls.network("none", 3))
    for layer, other in zip(found, expected, strict=True):
        assert torch.equal(layer.weight, other.weight)
        assert torch.equal(layer.bias, other.bias)


def test_he_keeps_the_mean_square():
    model = controls.network("he", 0, hidden=3, width=400)
    *hidden, last = controls.linear_layers(model)
    for layer in hidden:
        variance = layer.weight.var().item() * layer.weight.shape[1]
        assert abs(variance - 2) < 0.05 and not layer.bias.any()
    assert last.bias.any()
    kept = []  # of one draw it is off by some 20 percent
    for seed in range(12):
        some = controls.network("he", seed, hidden=3, width=400)
        kept.append(some[:-1](numbers(100, 64)).square().mean().item())
    assert abs(sum(kept) / 12 - 1) < 0.2
    plain = controls.network("none", 0, hidden=3, width=400)
    assert torch.equal(last.weight, controls.linear_layers(plain)[-1].weight)


def test_each_arm_has_the_norm_it_says():
    kinds = {arm: type(getattr(controls.network(arm, 0), "norm1", None)).__name__
             for arm in controls.ARMS}  # fmt: skip
    assert kinds == {
        "none": "NoneType",
        "he": "NoneType",
        "rates": "NoneType",
        "layer": "LayerNorm",
        "batch": "BatchNorm1d",
        "detached": "Detached",
        "shared": "Shared",
        "unsteady": "Unsteady",
        "unsteady_batch": "Unsteady",
    }
    model = controls.network("unsteady_batch", 0, reach=0.7)
    assert isinstance(model.norm2.norm, torch.nn.BatchNorm1d)
    assert model.norm4.reach == 0.7


def test_a_network_refuses_what_there_is_not():
    with pytest.raises(ValueError, match="but got 'group' and 4"):
        controls.network("group", 0)
    with pytest.raises(ValueError, match="a hidden layer, but got 'none' and 0"):
        controls.network("none", 0, hidden=0)


def test_undisturbed_puts_everything_back():
    x = numbers(10, 64)
    models = [controls.network("unsteady_batch", 0) for _ in range(2)]
    first, second = models
    with controls.undisturbed(first):
        first.train()
        first(x)
        with torch.no_grad():
            first.linear1.weight.zero_()
        first.eval()
    assert first.training
    for (name, a), b in zip(
        first.state_dict().items(), second.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    assert torch.equal(first(x), second(x))  # the same noise
    assert not torch.equal(first(x), first(x))


def test_undisturbed_puts_back_after_an_error():
    model = controls.network("batch", 0).eval()
    with pytest.raises(RuntimeError), controls.undisturbed(model):
        model.train()
        raise RuntimeError
    assert not model.training


# --- training -------------------------------------------------------------------------


def test_equal_rates_move_every_tensor_by_the_same_share():
    model = controls.network("none", 0)
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = controls.EqualRates(model.parameters(), lr=0.01, momentum=0.0)
    F.cross_entropy(model(numbers(32, 64)), torch.arange(32) % 10).backward()
    optimizer.step()
    for p, old in zip(model.parameters(), before, strict=True):
        share = (p - old).norm() / old.norm().clamp_min(1.0)
        assert abs(share.item() - 0.01) < 1e-9


def test_equal_rates_leave_alone_what_has_no_gradient():
    a, b, c = (torch.nn.Parameter(torch.ones(2)) for _ in range(3))
    b.grad, c.grad = torch.zeros(2), torch.ones(2)
    controls.EqualRates([a, b, c], lr=0.1, momentum=0.0).step()
    assert torch.equal(a, torch.ones(2)) and torch.equal(b, torch.ones(2))
    assert not torch.equal(c, torch.ones(2))


def learn(arm="layer", lr=0.01, steps=5, **more):
    x, y = numbers(128, 64), torch.arange(128) % 10
    model = controls.network(arm, 0)
    return controls.train(model, x, y, 0, lr, steps, **more)


def test_training_stops_when_it_is_asked_to():
    seen = []
    losses = learn(
        steps=9, after=lambda found: seen.append(len(found)) or len(found) == 4
    )
    assert len(losses) == 4 and seen == [1, 2, 3, 4]


def test_training_ends_where_a_loss_is_no_number():
    losses = learn("he", lr=1e200, steps=20)
    assert len(losses) < 20 and math.isnan(losses[-1])
    assert all(math.isfinite(v) for v in losses[:-1])


@pytest.mark.parametrize("optimizer", ["sgd", "equal", "adam"])
def test_training_lowers_the_loss_and_has_a_seed(optimizer):
    losses = learn(steps=60, optimizer=optimizer)
    assert losses[-1] < 0.8 * losses[0]
    assert losses == learn(steps=60, optimizer=optimizer)


def test_training_is_that_of_the_other_chapters():
    from lnlib.lab import training

    x, y = numbers(128, 64), torch.arange(128) % 10
    model = training.mlp([64, 64, 64, 64, 64, 10], torch.nn.LayerNorm, 0)
    expected = training.train(model, x, y, 5, 64, 0.01, seed=0)
    assert learn(steps=5) == expected


def test_training_refuses_an_unknown_optimizer():
    with pytest.raises(ValueError, match="one of sgd, equal, adam, but got 'lion'"):
        learn(optimizer="lion")
