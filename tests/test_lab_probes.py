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


# --- moments, norms and the recorder ------------------------------------------------


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def test_effective_rank_counts_directions():
    basis = torch.linalg.qr(random(20, 20))[0]
    for rank in (1, 3, 20):
        x = basis[:, :rank] @ basis[:rank]  # rank equal singular values
        assert probes.effective_rank(x) == pytest.approx(rank)
    assert probes.effective_rank(5 * random(50, 8)) == pytest.approx(
        probes.effective_rank(random(50, 8))
    )
    uneven = torch.diag(torch.tensor([3.0, 1.0]).double())
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert probes.effective_rank(uneven) == pytest.approx(math.exp(entropy))
    assert probes.effective_rank(torch.zeros(3, 4)) == 0.0
    assert math.isnan(probes.effective_rank(torch.full((2, 2), math.inf)))
    assert probes.effective_rank(random(2, 3, 4)) == pytest.approx(
        probes.effective_rank(random(2, 3, 4).reshape(6, 4))
    )


def test_moments_are_over_all_elements():
    x = random(7, 5)
    found = probes.moments(x)
    assert found["mean"] == pytest.approx(x.mean().item())
    assert found["spread"] == pytest.approx(x.numpy().std())


@pytest.mark.parametrize("shape", [(), (0, 3), (3, 0)])
def test_nothing_has_no_rank(shape):
    with pytest.raises(ValueError, match="Expected rows, but got a tensor of shape"):
        probes.moments(torch.zeros(shape))


def test_gradient_norms_are_those_of_backward():
    model, x = network(), random(3, 6)
    loss = model(x).square().sum()
    found = probes.gradient_norms(model, loss)
    assert all(p.grad is None for p in model.parameters())
    loss.backward()  # the graph is still there
    for name, p in model.named_parameters():
        assert found[name] == pytest.approx(p.grad.norm().item())


def test_what_the_loss_does_not_use_has_gradient_zero():
    model = network()
    found = probes.gradient_norms(model, model.linear1(random(3, 6)).sum())
    assert found["linear2.weight"] == 0.0 < found["linear1.weight"]


def test_a_loss_that_is_no_number_is_refused():
    model = network()
    with pytest.raises(ValueError, match="Expected a loss of one element"):
        probes.gradient_norms(model, model(random(3, 6)))
    with pytest.raises(ValueError, match="0 parameters"):
        probes.gradient_norms(torch.nn.ReLU(), torch.zeros(1))


def train(model, **options):
    x, y = random(40, 6), (random(40, 6)[:, 0] > 0).long()
    return training.train(model, x, y, batch_size=8, lr=0.1, **options)


@pytest.mark.parametrize("norm", [lnlib.nn.LayerNorm, torch.nn.BatchNorm1d, None])
def test_recording_changes_no_bit_of_the_training(norm):
    plain, watched = (training.mlp([6, 5, 2], norm) for _ in range(2))
    losses = train(plain, steps=12)
    with probes.Recorder(watched) as recorder:
        assert train(watched, steps=12) == losses
    assert len(recorder.records) == 12
    for (name, a), b in zip(
        plain.state_dict().items(), watched.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_what_is_recorded_is_what_passes_and_flows_back():
    model, x, y = network(), random(8, 6), torch.arange(8) % 2
    before = probes.weight_norms(model)
    with probes.Recorder(model) as recorder:
        outputs = {}

        def keep(name):
            def hook(module, args, output):
                output.retain_grad()
                outputs[name] = output

            return hook

        handles = [m.register_forward_hook(keep(n)) for n, m in model.named_children()]
        torch.nn.functional.cross_entropy(model(x), y).backward()
        for handle in handles:
            handle.remove()
    (seen,) = recorder.records
    assert seen["step"] == 0 and seen["weights"] == before
    assert list(seen["activations"]) == ["linear1", "norm1", "relu1", "linear2"]
    for name, output in outputs.items():
        assert seen["activations"][name] == probes.moments(output)
        wanted = output.grad.norm().item()
        assert seen["output_gradients"][name] == pytest.approx(wanted)
    for name, p in model.named_parameters():
        assert seen["gradients"][name] == pytest.approx(p.grad.norm().item())


def test_every_so_many_steps_and_only_in_training():
    model = network()
    with probes.Recorder(model, every=3, names=["norm1"]) as recorder:
        train(model, steps=4)
        model.eval()(random(3, 6))
        train(model, steps=4)
    assert [r["step"] for r in recorder.records] == [0, 3, 6]
    assert all(list(r["activations"]) == ["norm1"] for r in recorder.records)
    last = recorder.records[-1]
    assert (
        last["weights"]["linear1.weight"]
        != recorder.records[0]["weights"]["linear1.weight"]
    )


def test_the_hooks_of_the_recorder_go():
    model = network()
    with pytest.raises(RuntimeError), probes.Recorder(model) as recorder:
        model(random(3, 7))
    count = len(recorder.records)
    model.train()(random(3, 6)).sum().backward()
    assert len(recorder.records) == count and not recorder._handles
    assert not model._forward_pre_hooks and not model.norm1._forward_hooks


def test_bad_options_of_the_recorder_are_refused():
    with pytest.raises(ValueError, match="every to be at least 1, but got 0"):
        probes.Recorder(network(), every=0)
    with pytest.raises(ValueError, match="Expected names among"):
        probes.Recorder(network(), names=["norm9"])


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
