"""The errors of this library: what torch's users catch and what NumPy's users catch."""


class ShapeError(ValueError, RuntimeError):
    """Shapes that do not fit together.

    It is a `RuntimeError`, which torch raises for this, and a `ValueError`, which
    NumPy raises, so that code written for either catches it.

    >>> issubclass(ShapeError, ValueError), issubclass(ShapeError, RuntimeError)
    (True, True)
    """


class DtypeError(TypeError, NotImplementedError):
    """A dtype that cannot be normalized, or dtypes that do not go together.

    It is a `TypeError`, as in NumPy, and a `NotImplementedError` and by that a
    `RuntimeError`, as in torch.

    >>> issubclass(DtypeError, TypeError), issubclass(DtypeError, RuntimeError)
    (True, True)
    """
