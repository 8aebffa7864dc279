"""Is this a layer norm? And if not, which of the known mistakes is it?

`diagnose` calls a function that has the signature of `lnlib.layer_norm` on a fixed set
of inputs and measures what it returns against values that are computed here, in
extended precision, from the definition. What fails is compared with what the mistakes
in `lnlib.mistakes` return on the same inputs, one by one and together.

Two kinds of fault are kept apart. One of *definition*: the function computes something
else than layer norm. One of *digits*: it computes layer norm, and on some inputs or in
some dtype loses more digits than rounding the result costs.
"""

from lnlib.diagnosis.entry import diagnose, from_module
from lnlib.diagnosis.report import Check, Report

__all__ = ["Check", "Report", "diagnose", "from_module"]
