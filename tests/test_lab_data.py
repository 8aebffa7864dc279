"""The digits: all of them, each in one part, the same for the same seed."""

import pytest
import torch
from sklearn.datasets import load_digits

from lnlib.lab import data


def test_every_image_is_in_one_part():
    split = data.digits(seed=3)
    inputs = torch.cat([split.x_train, split.x_val, split.x_test])
    whole = torch.tensor(load_digits().data / 16)
    assert sorted(map(tuple, inputs.tolist())) == sorted(map(tuple, whole.tolist()))


def test_each_part_has_the_classes_in_proportion():
    split = data.digits()
    for labels in (split.y_train, split.y_val, split.y_test):
        share = torch.bincount(labels, minlength=10) / len(labels)
        assert labels.dtype == torch.int64
        assert ((share > 0.09) & (share < 0.11)).all()


def test_the_seed_decides():
    a, b, c = data.digits(0), data.digits(0), data.digits(1)
    assert torch.equal(a.x_test, b.x_test) and not torch.equal(a.x_test, c.x_test)


def test_inputs_are_from_0_to_1_in_the_dtype_asked_for():
    for dtype in (torch.float64, torch.float32):
        x = data.digits(dtype=dtype).x_train
        assert (x.dtype, x.min().item(), x.max().item()) == (dtype, 0.0, 1.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 0.5}, "seed to be an int, but got float"),
        ({"dtype": torch.int64}, "floating torch.dtype, but got torch.int64"),
        ({"dtype": "float64"}, "floating torch.dtype, but got float64"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(TypeError, match=words):
        data.digits(**options)
