"""Probes: they see what passes, and leave the network as it was."""

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
