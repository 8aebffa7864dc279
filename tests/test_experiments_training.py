"""What the experiments on training measure, on cases with a known answer."""

import math

import pytest
import torch

from lnlib.experiments import convergence, covariate_shift, landscape, neurons
from lnlib.lab import controls, data

SPLIT = data.digits(0)
X, Y = SPLIT.x_train, SPLIT.y_train


def state(model):
    return [t.detach().clone() for t in model.state_dict().values()]


def same(model, before):
    return all(torch.equal(a, b) for a, b in zip(state(model), before, strict=True))


# --- covariate_shift ------------------------------------------------------------------


def test_shift_is_in_deviations():
    mean, spread = torch.zeros(3), torch.tensor([2.0, 2.0, 2.0])
    at = [(mean, spread)]
    assert covariate_shift.shift(at, at) == 0
    moved = [(mean + 2, spread)]
    assert covariate_shift.shift(at, moved) == 1
    wider = [(mean, 2 * spread)]
    assert covariate_shift.shift(at, wider) == 1
    both = [(mean + 3, spread + 4)]
    assert covariate_shift.shift(at, both) == 2.5
    assert covariate_shift.shift(at + at, at + moved) == 0.5  # mean over layers
    # The scale of all numbers does not matter.
    assert (
        covariate_shift.shift([(5 * mean, 5 * spread)], [(5 * mean + 10, 5 * spread)])
        == 1
    )


def test_moments_are_those_of_what_the_relus_receive():
    model = controls.network("batch", 0)
    before = state(model)
    found = covariate_shift.moments(model, X[:50])
    assert len(found) == covariate_shift.HIDDEN and same(model, before)
    for mean, spread in found:  # batch norm in training: standardized over examples
        assert (
            abs(mean).max() < 1e-12 and ((spread - 1).abs() < 0.05).float().mean() > 0.8
        )


def test_layers_below_that_stay_shift_nothing():
    model = controls.network("unsteady", 0)
    before = [p.detach().clone() for p in model.parameters()]
    kept = state(model)
    found = covariate_shift.covariate_shift(model, before, X[:50], Y[:50])
    assert found == [0.0] * 4 and same(model, kept)


@pytest.mark.parametrize("name, moved", [("linear1", [1, 1, 1, 1]),
                                         ("norm2", [0, 1, 1, 1]),
                                         ("linear4", [0, 0, 0, 1])])  # fmt: skip
def test_a_layer_shifts_those_above_and_no_others(name, moved):
    torch.manual_seed(0)
    model = controls.network("layer", 0)
    before = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        getattr(model, name).weight += 0.1 * torch.rand_like(
            getattr(model, name).weight
        )
    found = covariate_shift.covariate_shift(model, before, X[:50], Y[:50])
    assert [int(v > 0) for v in found] == moved


def test_logarithms_of_what_is_no_number_are_none():
    assert covariate_shift.log_mean([10.0, 1000.0 - 10]) == pytest.approx(
        math.log10(500)
    )
    for values in ([], [math.nan], [0.0], [math.inf]):
        assert covariate_shift.log_mean(values) is None
    assert (
        covariate_shift.finite(math.inf) is None and covariate_shift.finite(1.0) == 1.0
    )


# --- convergence ----------------------------------------------------------------------


def test_the_loss_is_reached_on_average_over_twenty_batches():
    assert not convergence.is_reached([0.0] * 19)
    assert convergence.is_reached([9.0] + [0.29] * 20)
    assert not convergence.is_reached([0.31] * 20)
    assert not convergence.is_reached([0.0] * 19 + [math.nan])


def test_a_run_that_does_not_arrive_counts_as_the_whole_budget():
    config = {"stage": "test", "optimizer": "sgd", "norm": "he", "lr": 1e200}
    found = convergence.run(config, 0)
    assert found == {"steps": 600, "reached": 0, "log_steps": math.log10(600)}


# --- landscape ------------------------------------------------------------------------


class Line(torch.nn.Sequential):
    """One linear layer: a loss whose gradient changes slowly."""

    def __init__(self):
        super().__init__(torch.nn.Linear(64, 10).double())


def test_gradients_are_looked_at_and_nothing_is_moved():
    for arm in ("layer", "batch"):
        model = controls.network(arm, 0)
        before = state(model)
        found = landscape.gradients(model, X, Y, 0.01)
        assert same(model, before) and model.training
        assert set(found) == set(landscape.MEASUREMENTS) - {
            "val_error",
            "log_change_loss",
        }


def test_a_smooth_loss_keeps_its_gradient():
    torch.manual_seed(0)
    found = landscape.gradients(Line(), X, Y, 1e-6)
    assert found["log_change"] < -2 and found["cosine"] > 0.9999
    # Ten times the rate is ten times the step: 10 lr |g|, in weights.
    torch.manual_seed(0)
    again = landscape.gradients(Line(), X, Y, 1e-5)
    assert again["log_change_rate"] - found["log_change_rate"] == pytest.approx(
        1, abs=0.01
    )
    # Of a gradient that changes in proportion, the ratio is that of one step.
    assert found["log_roughness"] == pytest.approx(found["log_change"] + 3, abs=0.05)


def test_batches_that_are_all_alike_differ_in_nothing():
    torch.manual_seed(0)
    x, y = X[:1].expand(512, 64), Y[:1].expand(512)
    assert landscape.gradients(Line(), x, y, 0.01)["log_noise"] < -12


def test_the_logarithm_of_zero_is_no_number():
    assert math.isnan(landscape.log10(0.0)) and landscape.log10(100.0) == 2


# --- neurons --------------------------------------------------------------------------


def test_a_layer_described():
    # Two neurons over two examples: 1 and -1, 3 and -3. Size: the root of 5.
    found = neurons.describe(torch.tensor([[1.0, 3.0], [-1.0, -3.0]]).double())
    assert found["log_spread"] == pytest.approx(math.log10(5**0.5))
    assert found["log_share"] == pytest.approx(0)
    assert found["log_unlike"] == pytest.approx(math.log10(2.8 / 1.2))
    assert found["example_spread"] == pytest.approx(0)


def test_what_is_the_same_for_all_examples_does_not_count_as_spread():
    found = neurons.describe(torch.tensor([[11.0, 3.0], [9.0, -3.0]]).double())
    assert found["log_spread"] == pytest.approx(math.log10(5**0.5))
    assert found["log_share"] == pytest.approx(math.log10((5 / 55) ** 0.5))


def test_examples_of_other_sizes_are_unlike():
    found = neurons.describe(torch.tensor([[1.0, 3.0], [10.0, 30.0]]).double())
    assert found["example_spread"] == pytest.approx(0.5)


def test_a_neuron_that_never_varies_is_as_unlike_as_can_be():
    a = torch.tensor([[1.0, 3.0], [1.0, -3.0]]).double().repeat(1, 10)
    assert neurons.describe(a)["log_unlike"] == neurons.LARGEST


def test_a_look_at_neurons_leaves_the_network_as_it_was():
    model = controls.network("batch", 0)
    before = state(model)
    found = neurons.look(model, X[:50], "start")
    assert same(model, before)
    assert found["log_spread_start"] == pytest.approx(0, abs=0.05)  # batch norm
