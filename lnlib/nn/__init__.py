"""Torch modules that take the place of those of `torch.nn`.

>>> import torch, lnlib
>>> torch.nn.Sequential(torch.nn.Linear(4, 8), lnlib.nn.LayerNorm(8))
Sequential(
  (0): Linear(in_features=4, out_features=8, bias=True)
  (1): LayerNorm((8,), eps=1e-05, elementwise_affine=True, bias=True)
)
"""

try:
    import torch.fx
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "lnlib.nn needs PyTorch, which is not installed; "
        "install it with: pip install 'lnlib[torch]'",
        name=error.name,
    ) from None

from lnlib.nn.channels import (
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    batch_norm,
    group_norm,
    instance_norm,
)
from lnlib.nn.norms import LayerNorm, RMSNorm, layer_norm, rms_norm

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "RMSNorm",
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "rms_norm",
]

# torch.fx looks for a function by the name it is called by: here `lnlib.nn.layer_norm`.
for _name in ("batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm"):
    torch.fx.wrap(_name)
