"""The way in: `diagnose`, and what it finds out about its arguments."""

import functools
import importlib.util
import sys

import numpy as np

from lnlib import functional
from lnlib.diagnosis.battery import _Battery
from lnlib.diagnosis.calling import _described, _gradients_on, _one_thread, _Subject
from lnlib.diagnosis.inputs import _inputs, _NumPy, _Torch
from lnlib.diagnosis.report import _UNIT, Check, Report
from lnlib.errors import DtypeError


def diagnose(fn, backward=None, *, arrays=None, dtypes=None, device=None):
    """Check whether a function is a layer norm, and which mistake it makes if not.

    The function is called about a hundred times, with copies, on inputs that are the
    same every time: small ones, and for sums in half precision one of 8192 rows.
    Whatever it raises becomes a line of the report (an interrupt from the keyboard
    passes); its warnings are dropped, and what it prints is counted and not shown.

    Args:
        fn: a function `fn(input, normalized_shape, weight, bias, eps)`, called with
            these five by position, as `lnlib.layer_norm` and
            `torch.nn.functional.layer_norm` are; or a class or an instance of
            `torch.nn.Module`, which goes through `from_module`.
        backward: a function with the signature of `lnlib.layer_norm_backward`, called
            as `backward(dy, input, normalized_shape, mean, rstd, weight)`; it returns
            `(dx, dweight, dbias)`. Without one, gradients come from autograd if fn
            takes tensors, and are not checked if it takes NumPy arrays.
        arrays: "numpy" or "torch", what fn takes; found out if not given.
        dtypes: the names of the dtypes to check, such as `("float64", "float32")`; by
            default float64, float32 and float16, and bfloat16 with torch.
        device: the torch device that inputs live on, such as "cuda".

    Returns:
        A `Report`. `report.ok` is whether nothing was wrong; `report.mistakes` names
        the known mistakes that explain what was.

    Raises:
        TypeError, ValueError: arrays, dtypes or device is none of the above, or the
            module cannot be made into a function. Nothing that fn does raises here.
        ModuleNotFoundError: arrays is "torch", which is not installed.

    >>> import numpy as np
    >>> def mine(x, shape, weight=None, bias=None, eps=1e-5):
    ...     y = (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + eps)
    ...     return y * (1 if weight is None else weight) + (0 if bias is None else bias)
    >>> report = diagnose(mine, arrays="numpy", dtypes=["float64"])
    >>> report.ok, sorted(mistake.name for mistake in report.mistakes)
    (False, ['eps_outside_root', 'last_axis_only'])
    """
    kinds = _check_arrays(arrays, device)
    wanted = _check_dtypes(dtypes, kinds)
    name = _name(fn)
    torch = sys.modules.get("torch")
    if torch is not None and (
        isinstance(fn, torch.nn.Module)
        or (isinstance(fn, type) and issubclass(fn, torch.nn.Module))
    ):
        fn, kinds = from_module(fn), ("torch",)
    for what, function in (("fn", fn), ("backward", backward)):
        if not callable(function) and not (what == "backward" and function is None):
            note = (
                f"expected {what} to be a function, but got {type(function).__name__}"
            )
            check = Check("it can be called", "call", "fault", note=note)
            kind = kinds[0] if kinds else "numpy"
            used = tuple(d for d in _UNIT if wanted is None or d in wanted)
            return Report(name, kind, used, (check,), unexplained=(check.name,))
    with _one_thread(), _gradients_on(), np.errstate(all="ignore"):
        library = _library(fn, kinds, wanted, device)
        used = tuple(d for d in library.dtypes if wanted is None or d in wanted)
        battery = _Battery(fn, backward, library, used)
        battery.run()
        return _report(battery, name, used)


def _report(battery, name, dtypes):
    unexplained = [
        c.name
        for c in battery.checks
        if c.status == "fault" and c.name not in battery.explained
    ]
    notes = []
    printed = battery.subject.printed
    if printed:
        notes.append("It prints while it computes; what it printed is not shown.")
    wrong = any(
        c.kind == "definition" and c.status == "fault" and c.error is not None
        for c in battery.checks
    )
    return Report(
        name,
        battery.arrays.name,
        dtypes,
        tuple(battery.checks),
        battery.mistakes,
        battery.alternatives,
        tuple(unexplained),
        battery.example() if wrong else "",
        tuple(notes),
    )


def from_module(module):
    """A function with layer norm's signature from a torch module.

    The module is built anew for each call, from normalized_shape and eps, in the dtype
    of input; weight and bias take the place of its parameters. The gain is the
    parameter that starts at ones, the bias the one that starts at zeros, whatever
    they are called. A parameter of one number is given the first number.

    Args:
        module: a class of `torch.nn.Module`, or an instance, of which only the class
            is used. It is built as `module(normalized_shape, eps=eps)`, or without eps
            if it takes none.

    Returns:
        A function `(input, normalized_shape, weight, bias, eps)`.

    Raises:
        TypeError: it is not a torch module, cannot be built so, or has parameters
            that start at something else than ones and zeros.

    >>> import torch
    >>> norm = from_module(torch.nn.LayerNorm)
    >>> norm(torch.tensor([[1.0, 3.0]]), (2,), torch.ones(2), torch.ones(2), 0.0)
    tensor([[0., 2.]])
    """
    import torch

    cls = module if isinstance(module, type) else type(module)
    if not issubclass(cls, torch.nn.Module):
        raise TypeError(f"Expected a torch module, but got {cls.__name__}")

    def build(row, eps, like):
        row = list(row) if len(row) > 1 else row[0]
        try:
            built = cls(row, eps=eps)
        except TypeError:
            built = cls(row)
        return built.to(device=like.device, dtype=like.dtype)

    hint = (
        f"; wrap {cls.__name__} in a function of (input, normalized_shape, weight, "
        "bias, eps)"
    )
    try:
        built = build((4,), 1e-5, torch.zeros(()))
    except (Exception, SystemExit) as error:
        raise TypeError(
            f"Expected a module that is built from (normalized_shape, eps=eps), but "
            f"got {_described(error)}{hint}"
        ) from None
    roles = {}
    for name, parameter in built.named_parameters():
        if bool((parameter == 1).all()):
            roles[name] = "weight"
        elif bool((parameter == 0).all()):
            roles[name] = "bias"
        else:
            roles[name] = "neither"
    if sorted(roles.values()) not in ([], ["weight"], ["bias"], ["bias", "weight"]):
        raise TypeError(
            "Expected parameters that start at ones (a gain) and at zeros (a bias), "
            f"but got {', '.join(roles) or 'none'}{hint}"
        )

    def norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
        built = build(tuple(normalized_shape), eps, input)
        given = {"weight": weight, "bias": bias}
        parameters = {}
        for name, parameter in built.named_parameters():
            value = given[roles[name]]
            if value is None:
                value = parameter.detach()  # ones, or zeros
            elif parameter.numel() == 1 and value.numel() != 1:
                value = value.reshape(-1)[:1]
            parameters[name] = value.reshape(parameter.shape)
        return torch.func.functional_call(built, parameters, (input,))

    norm.__name__ = cls.__name__
    return norm


def _library(fn, kinds, wanted, device):
    """The arrays that fn takes: the first kind of which it makes an array."""
    kinds = kinds or _likely(fn)
    dtypes = {"numpy": _NumPy.dtypes, "torch": _Torch.dtypes}
    kinds = [k for k in kinds if wanted is None or wanted & {*dtypes[k]}]
    if not kinds:
        raise DtypeError(
            f"Expected dtypes of NumPy, but got {', '.join(sorted(wanted))}; "
            "PyTorch, which has more, is not installed"
        )
    given, first, fallback = _inputs()["both"], None, None
    for kind in kinds:
        library = _Torch(device) if kind == "torch" else _NumPy()
        if len(kinds) == 1:
            return library
        first = first or library
        subject = _Subject(fn, library)
        for dtype in library.dtypes:
            if wanted is not None and dtype not in wanted:
                continue
            y, problem = subject.call(given, dtype)
            if y is not None:
                return library
            if problem.startswith("expected"):
                fallback = fallback or library
    return fallback or first


def _likely(fn):
    """The kinds of arrays in the order in which to try them."""
    try:
        has_torch = importlib.util.find_spec("torch") is not None
    except ValueError:  # something stands in its place
        has_torch = sys.modules.get("torch") is not None
    if not has_torch:
        return ("numpy",)
    try:
        used = _modules_of(fn)
    except Exception:  # whatever a strange object does when asked
        used = set()
    if "numpy" in used and "torch" not in used:
        return ("numpy", "torch")
    if "torch" in used or sys.modules.get("torch") is not None:
        return ("torch", "numpy")
    return ("numpy", "torch")


def _modules_of(fn):
    """The array libraries that the code of fn names."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = getattr(fn, "__func__", fn)
    if not hasattr(fn, "__code__"):
        fn = type(fn).__call__
    code, names = getattr(fn, "__code__", None), getattr(fn, "__globals__", {})
    used, todo = set(), [code] if code is not None else []
    while todo:
        code = todo.pop()
        todo += [c for c in code.co_consts if hasattr(c, "co_names")]
        for name in code.co_names:
            value = names.get(name)
            home = getattr(value, "__name__", "") if value is not None else ""
            used.add(str(home).partition(".")[0])
    return used


def _name(fn):
    try:
        name = fn.__name__
    except Exception:  # whatever a strange object does when asked
        name = None
    return name if isinstance(name, str) else type(fn).__name__


def _check_arrays(arrays, device):
    if arrays not in (None, "numpy", "torch"):
        raise ValueError(
            f'Expected arrays to be "numpy", "torch" or None, but got {arrays!r}'
        )
    if device is not None and arrays == "numpy":
        raise ValueError(
            f"Expected no device beside arrays of NumPy, but got {device!r}"
        )
    kinds = ("torch",) if device is not None else (arrays,) if arrays else None
    if kinds == ("torch",):
        try:
            import torch
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "arrays of torch need PyTorch, which is not installed; install it "
                "with: pip install 'lnlib[torch]'",
                name=error.name,
            ) from None
        if device is not None:
            torch.device(device)
    return kinds


def _check_dtypes(dtypes, kinds):
    if dtypes is None:
        return None
    if isinstance(dtypes, str) or not isinstance(dtypes, (tuple, list, set)):
        raise TypeError(f"Expected dtypes to be a list of names, but got {dtypes!r}")
    allowed = _NumPy.dtypes if kinds == ("numpy",) else tuple(_UNIT)
    names = {
        d if isinstance(d, str) else functional._dtype_name(_dtype_of(d))
        for d in dtypes
    }
    if not names or names - set(allowed):
        raise DtypeError(
            f"Expected dtypes out of {', '.join(allowed)}, but got {list(dtypes)}"
        )
    return names


def _dtype_of(d):
    return np.dtype(d) if isinstance(d, type) else d
