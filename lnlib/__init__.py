"""Layer normalization and its family: written from the formulas, checked, measured.

>>> import numpy as np
>>> import lnlib
>>> x = np.array([[1.0, 2.0, 3.0, 6.0]])  # one row of four features
>>> lnlib.layer_norm(x, (4,)).round(4)
array([[-1.069 , -0.5345,  0.    ,  1.6036]])

Three forms of one formula, from the ground up:

- `lnlib.loops`: one number at a time, on lists of floats;
- `lnlib.functional`: vectorized, for the arrays of NumPy, PyTorch, JAX or CuPy
  (its functions are also names of this package);
- `lnlib.nn`: modules that take the place of torch's: `LayerNorm`, `RMSNorm`,
  `BatchNorm1d` and `BatchNorm2d`, `InstanceNorm1d` and `InstanceNorm2d`,
  `GroupNorm`. Torch is imported only when `lnlib.nn` is used.

And for layer norms that others wrote: `lnlib.mistakes`, the mistakes that were
published, and `lnlib.diagnose`, which finds them.
"""

import importlib

from lnlib import functional, loops
from lnlib.errors import DtypeError, ShapeError
from lnlib.functional import (
    batch_norm,
    batch_norm_backward,
    batch_norm_forward,
    group_norm,
    group_norm_backward,
    group_norm_forward,
    instance_norm,
    instance_norm_backward,
    instance_norm_forward,
    layer_norm,
    layer_norm_backward,
    layer_norm_forward,
    restandardize,
    rms_norm,
    rms_norm_backward,
    rms_norm_forward,
    standardize,
    standardize_backward,
    updated_running_statistics,
    weight_norm,
    weight_norm_backward,
    weight_norm_forward,
)

__version__ = "0.1.0"

__all__ = [
    "DtypeError",
    "ShapeError",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_forward",
    "diagnose",
    "functional",
    "group_norm",
    "group_norm_backward",
    "group_norm_forward",
    "instance_norm",
    "instance_norm_backward",
    "instance_norm_forward",
    "layer_norm",
    "layer_norm_backward",
    "layer_norm_forward",
    "loops",
    "mistakes",
    "nn",
    "restandardize",
    "rms_norm",
    "rms_norm_backward",
    "rms_norm_forward",
    "standardize",
    "standardize_backward",
    "updated_running_statistics",
    "weight_norm",
    "weight_norm_backward",
    "weight_norm_forward",
]

# Most need a package that `import lnlib` does not: torch, matplotlib, SciPy,
# scikit-learn or IPython.
_ON_FIRST_USE = (
    "claims",
    "diagnosis",
    "lab",
    "mistakes",
    "nn",
    "pages",
    "plotting",
    "tables",
)


def __getattr__(name):
    if name in _ON_FIRST_USE:
        return importlib.import_module(f"lnlib.{name}")
    if name == "diagnose":  # the function; its module has another name
        return importlib.import_module("lnlib.diagnosis").diagnose
    raise AttributeError(f"module 'lnlib' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_ON_FIRST_USE, "diagnose"})
