"""What the experiments and chapters share: data, training and probes."""

from lnlib.lab import data, probes, training

__all__ = ["data", "probes", "training"]
