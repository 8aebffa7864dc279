"""What the experiments and chapters share.

Data, training and probes need PyTorch; `evidence`, `statistics` and `rules` do not,
so each comes in on first use.
"""

import importlib

__all__ = [
    "controls",
    "data",
    "deep",
    "evidence",
    "experiment",
    "meanfield",
    "probes",
    "rules",
    "rulings_training",
    "statistics",
    "sweep",
    "training",
    "verify",
]


def __getattr__(name):
    if name in __all__:
        return importlib.import_module(f"lnlib.lab.{name}")
    raise AttributeError(f"module 'lnlib.lab' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
