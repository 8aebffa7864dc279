"""Probes: they see what passes, and leave the network as it was."""

import math

import numpy as np
import pytest
import torch

import lnlib
from lnlib.lab import probes, training


def network():
    return training.mlp([6, 5, 2], lnlib.nn.LayerNorm)


def test_activations_are_what_the_modules_put_out():
    model = network()
    x = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator())
    seen = probes.activations(model, x)
    assert list(seen) == ["linear1", "norm1", "relu1", "linear2"]
    assert torch.equal(seen["linear1"], model.linear1(x))
    assert torch.equal(seen["linear2"], model(x))
    assert not any(a.requires_grad for a in seen.values())


def test_only_the_named_ones():
    seen = probes.activations(network(), torch.zeros(1, 6).double(), ["norm1"])
    assert list(seen) == ["norm1"]


def test_the_network_is_left_as_it_was():
    model = network().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    probes.activations(model, torch.zeros(1, 6).double())
    assert model.training and not model.linear1._forward_hooks
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_hooks_go_when_the_network_fails():
    model = network()
    with pytest.raises(RuntimeError):
        probes.activations(model, torch.zeros(1, 7).double())
    assert not model.linear1._forward_hooks and model.training


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"Expected names among .* but got 'norm9'"):
        probes.activations(network(), torch.zeros(1, 6).double(), ["norm9"])


def parameter(*values):
    return torch.nn.Parameter(torch.tensor(values, dtype=torch.float64))


def test_motion_of_a_known_turn():
    w, b = parameter(3.0, 0.0), parameter(0.0)
    motion = probes.WeightMotion([w, b])
    w.grad, b.grad = torch.tensor([0.0, -4.0]).double(), torch.zeros(1).double()
    with torch.no_grad():
        w.copy_(torch.tensor([3.0, 4.0]))
    motion()
    assert motion.norm == [3.0, 5.0] and motion.grad_norm == [4.0]
    assert motion.radial == [0.0]
    assert abs(motion.angle[0] - math.atan(4 / 3)) < 1e-15
    w.grad = torch.tensor([6.0, 8.0]).double()
    with torch.no_grad():
        w.mul_(2)
    motion()
    assert motion.norm[-1] == 10 and motion.angle[1] == 0
    assert abs(motion.radial[1] - 1) < 1e-15


def test_motion_counts_all_parameters_as_one_vector():
    w, b = parameter(3.0), parameter(4.0)
    motion = probes.WeightMotion(iter([w, b]))
    w.grad, b.grad = torch.tensor([1.0]).double(), torch.tensor([-0.75]).double()
    motion()
    assert motion.norm == [5.0, 5.0] and motion.grad_norm == [1.25]
    assert motion.radial == [0.0] and motion.angle == [0.0]


def test_motion_sees_angles_that_an_arc_cosine_loses():
    w = parameter(1.0, 0.0)
    motion = probes.WeightMotion([w])
    w.grad = torch.zeros(2).double()
    with torch.no_grad():
        w.copy_(torch.tensor([1.0, 1e-9], dtype=torch.float64))
    motion()
    assert abs(motion.angle[0] / 1e-9 - 1) < 1e-6
    assert motion.radial == [0.0]


def test_motion_of_scale_invariant_weights_obeys_pythagoras():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, 6, dtype=torch.float64, generator=generator)
    y = (x[:, 0] > 0).long()

    def norm(width):
        return torch.nn.LayerNorm(width, eps=0.0)

    model = training.mlp([6, 5, 2], norm)
    motion = probes.WeightMotion(model.linear1.parameters())
    training.train(model, x, y, 30, 16, lr=0.5, momentum=0, after_step=motion)
    squares = np.square(motion.norm)
    steps = (0.5 * np.array(motion.grad_norm)) ** 2
    np.testing.assert_allclose(squares[1:], squares[:-1] + steps, rtol=1e-14)
    assert np.abs(motion.radial).max() < 1e-14
    assert motion.norm[-1] > motion.norm[0]
    lengths = 0.5 * np.array(motion.grad_norm) / motion.norm[:-1]
    np.testing.assert_allclose(motion.angle, np.arctan(lengths), rtol=1e-9)


def test_motion_refuses_nothing_to_watch_and_gradients_that_are_not_there():
    with pytest.raises(ValueError, match="at least one parameter, but got none"):
        probes.WeightMotion([])
    motion = probes.WeightMotion([parameter(1.0), parameter(2.0)])
    with pytest.raises(ValueError, match="but 2 of 2 have none"):
        motion()


def test_probe_agrees_with_another_ridge_regression():
    from sklearn.linear_model import Ridge
    from sklearn.metrics import r2_score
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)) * [1, 2, 3, 4, 100] + 7
    t = x @ rng.normal(size=(5, 2)) + rng.normal(size=(60, 2)) + 3
    scaler = StandardScaler().fit(x[:40])
    ridge = Ridge(alpha=0.1 * 40).fit(scaler.transform(x[:40]), t[:40])
    theirs = r2_score(
        t[40:], ridge.predict(scaler.transform(x[40:])), multioutput="raw_values"
    )
    ours = probes.linear_probe(x[:40], t[:40], x[40:], t[40:], ridge=0.1)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    one = probes.linear_probe(x[:40], t[:40, 0], x[40:], t[40:, 0], ridge=0.1)
    assert one.shape == (1,)
    np.testing.assert_allclose(one, theirs[:1], rtol=0, atol=1e-12)


def test_probe_passes_over_a_feature_that_does_not_vary():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    padded = np.c_[x, np.full(60, 5.0)]
    t = x[:, 0]
    np.testing.assert_allclose(
        probes.linear_probe(padded[:40], t[:40], padded[40:], t[40:]),
        probes.linear_probe(x[:40], t[:40], x[40:], t[40:]),
        rtol=0,
        atol=1e-12,
    )


def test_probe_refuses_what_does_not_fit():
    x, t = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20.0)
    probe = probes.linear_probe
    with pytest.raises(ValueError, match=r"Expected x_train .* \(20, 3\) and \(19,\)"):
        probe(x, t[1:], x, t)
    with pytest.raises(ValueError, match=r"Expected x_test .* but got \(20,\)"):
        probe(x, t, x[:, 0], t)
    with pytest.raises(ValueError, match="as many features and targets in test"):
        probe(x, t, x[:, 1:], t)
    with pytest.raises(ValueError, match="ridge to be above 0, but got 0"):
        probe(x, t, x, t, ridge=0)
    with pytest.raises(ValueError, match="targets that vary"):
        probe(x, t, x, np.ones(20))


def test_activations_say_what_they_cannot_show():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.unused = torch.nn.RNN(3, 2), torch.nn.Linear(3, 3)

        def forward(self, x):
            return self.rnn(x)[0]

    model, x = Two().train(), torch.zeros(4, 3)
    model.unused.eval()
    for names, kind, words in (
        ("rnn", TypeError, "names to be a list of str, but got 'rnn'"),
        ([1], TypeError, "names to be a list of str"),
        (["rnn"], TypeError, "'rnn' to put out a tensor, but got tuple"),
        (["unused"], ValueError, r"it calls none of \['unused'\]"),
    ):
        with pytest.raises(kind, match=words):
            probes.activations(model, x, names)
        assert model.rnn.training and not model.unused.training
        assert not model.rnn._forward_hooks
