"""Training: the same seed gives the same run, and every norm the same start."""

import pytest
import torch

import lnlib
from lnlib.lab import training


def small():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 6, dtype=torch.float64, generator=generator)
    return x, (x[:, 0] > 0).long()


def test_every_norm_starts_from_the_same_weights():
    plain = training.mlp([6, 5, 4, 2])
    normed = training.mlp([6, 5, 4, 2], lnlib.nn.LayerNorm)
    for i in (1, 2, 3):
        a, b = (getattr(m, f"linear{i}").weight for m in (plain, normed))
        assert torch.equal(a, b) and a.dtype == torch.float64
    assert list(dict(normed.named_children())) == [
        "linear1", "norm1", "relu1", "linear2", "norm2", "relu2", "linear3"
    ]  # fmt: skip


def test_making_a_network_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    training.mlp([6, 2], seed=5)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_decides_the_run():
    x, y = small()
    runs = [
        training.train(training.mlp([6, 8, 2], seed=s), x, y, 20, batch_size=16, seed=s)
        for s in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_every_example_is_seen_once_an_epoch():
    x, y = small()
    seen = []

    class Spy(torch.nn.Linear):
        def forward(self, input):
            seen.append(input.detach())
            return super().forward(input)

    training.train(Spy(6, 2, dtype=torch.float64), x, y, steps=5, batch_size=10)
    assert sorted(torch.cat(seen).tolist()) == sorted(x.tolist())


def test_it_learns():
    x, y = small()
    model = training.mlp([6, 16, 2], lnlib.nn.LayerNorm)
    losses = training.train(model, x, y, steps=200, batch_size=25, lr=0.05)
    assert losses[-1] < 0.1 < losses[0]
    assert training.accuracy(model, x, y) == 1.0


def test_accuracy_leaves_the_mode_alone():
    x, y = small()
    model = training.mlp([6, 2])
    for mode in (True, False):
        model.train(mode)
        training.accuracy(model, x, y)
        assert model.training is mode


def test_each_submodule_keeps_its_mode_also_after_an_error():
    x, y = small()
    model = training.mlp([6, 4, 2], torch.nn.BatchNorm1d).train()
    model.norm1.eval()
    training.accuracy(model, x, y)
    assert model.training and not model.norm1.training
    with pytest.raises(RuntimeError):
        training.accuracy(model, x[:, :5], y)
    assert model.training and not model.norm1.training


def test_bad_input_is_refused():
    x, y = small()
    model = training.mlp([6, 2])
    with pytest.raises(ValueError, match="at least two sizes, but got"):
        training.mlp([6])
    with pytest.raises(ValueError, match=r"of shape \(50,\), but got \(49,\)"):
        training.train(model, x, y[1:])
    with pytest.raises(ValueError, match="batch_size to be from 1 to 50, but got 64"):
        training.train(model, x, y)
    with pytest.raises(ValueError, match=r"of shape \(50,\), but got \(49,\)"):
        training.accuracy(model, x, y[1:])
    with pytest.raises(ValueError, match="at least one input, but got 0"):
        training.accuracy(model, x[:0], y[:0])
    with pytest.raises(ValueError, match=r"of shape \(50,\), but got \(50, 1\)"):
        training.accuracy(model, x, y[:, None])
    with pytest.raises(TypeError, match="y to be a tensor, but got list"):
        training.accuracy(model, x, y.tolist())
    for sizes, kind in (([6, 2.0], TypeError), ([6, 0], ValueError)):
        with pytest.raises(kind, match="Expected sizes"):
            training.mlp(sizes)
    with pytest.raises(TypeError, match="norm to be callable, but got int"):
        training.mlp([6, 3, 2], 5)
    with pytest.raises(TypeError, match=r"floating torch\.dtype, but got"):
        training.mlp([6, 2], dtype=torch.int64)
    with pytest.raises(TypeError, match="steps to be an int, but got float"):
        training.train(model, x, y, 2.5, 16)
    with pytest.raises(ValueError, match="steps to be at least 0, but got -1"):
        training.train(model, x, y, -1, 16)


def test_another_optimizer_takes_the_place_of_lr_and_momentum():
    x, y = small()
    models = [training.mlp([6, 8, 2]) for _ in range(3)]
    same = torch.optim.SGD(models[1].parameters(), lr=0.05, momentum=0.9)
    other = torch.optim.Adam(models[2].parameters(), lr=0.05)
    a = training.train(models[0], x, y, 10, batch_size=16, lr=0.05)
    b = training.train(models[1], x, y, 10, batch_size=16, lr=7, optimizer=same)
    c = training.train(models[2], x, y, 10, batch_size=16, optimizer=other)
    assert a == b != c


def test_after_step_sees_the_gradients_of_the_step_and_the_new_weights():
    x, y = small()
    model = training.mlp([6, 8, 2])
    weight = model.linear1.weight
    seen = [weight.detach().clone()]

    def check():
        moved = seen[-1] - 0.1 * weight.grad
        assert torch.allclose(weight, moved, rtol=0, atol=1e-15)
        assert not torch.equal(weight, seen[-1])
        seen.append(weight.detach().clone())

    training.train(model, x, y, 7, 16, lr=0.1, momentum=0, after_step=check)
    assert len(seen) == 8


def test_what_is_no_optimizer_and_what_cannot_be_called_is_refused():
    x, y = small()
    model = training.mlp([6, 2])
    with pytest.raises(TypeError, match=r"Expected optimizer .* but got str"):
        training.train(model, x, y, 1, 16, optimizer="adam")
    with pytest.raises(TypeError, match=r"Expected after_step .* but got list"):
        training.train(model, x, y, 1, 16, after_step=[])


def test_error_and_loss_are_those_of_evaluation_mode():
    model = torch.nn.Sequential(torch.nn.Dropout(0.99), torch.nn.Identity()).train()
    x, y = torch.eye(4, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    assert training.error(model, x, y) == 0.25
    expected = torch.nn.functional.cross_entropy(x, y).item()
    assert training.loss(model, x, y) == expected
