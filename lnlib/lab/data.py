"""Data sets that need no download."""

from typing import NamedTuple

import numpy as np
import torch


class Split(NamedTuple):
    """A data set in three parts: inputs (M, d) and labels (M,) of each.

    What is tuned is tuned on the validation part; the test part is looked at once.
    """

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_val: torch.Tensor
    y_val: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor

    def to(self, device):
        """The same on another device, as `torch.Tensor.to`: a `Split`.

        >>> digits().to("cpu").x_val.device
        device(type='cpu')
        """
        return Split(*(part.to(device) for part in self))


def digits(seed=0, dtype=torch.float64):
    """Handwritten digits: 1,797 images of 8 by 8 pixels in ten classes.

    Args:
        seed: decides which image goes to which part; an int.
        dtype: of the inputs.

    Returns:
        A `Split` of 1,077 / 360 / 360 images. Inputs are rows of 64 pixels from 0
        (paper) to 1 (ink), labels are int64 from 0 to 9, and each part has the
        classes in the proportions of the whole.

    Raises:
        TypeError: seed is not an int, or dtype not a floating-point torch.dtype.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI
    Machine Learning Repository, 1998; the copy that scikit-learn carries.

    >>> split = digits()
    >>> split.x_train.shape, split.x_val.shape, split.x_test.shape
    (torch.Size([1077, 64]), torch.Size([360, 64]), torch.Size([360, 64]))
    """
    if not isinstance(seed, (int, np.integer)):
        raise TypeError(f"Expected seed to be an int, but got {type(seed).__name__}")
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"Expected dtype to be a floating torch.dtype, but got {dtype}")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = x / 16.0
    x, x_test, y, y_test = train_test_split(
        x, y, test_size=360, stratify=y, random_state=seed
    )
    x, x_val, y, y_val = train_test_split(
        x, y, test_size=360, stratify=y, random_state=seed
    )
    parts = []
    for inputs, labels in ((x, y), (x_val, y_val), (x_test, y_test)):
        parts += [torch.tensor(inputs, dtype=dtype), torch.tensor(labels)]
    return Split(*parts)
