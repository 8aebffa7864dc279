"""Probes: they see what passes, and leave the network as it was."""

import math

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
