"""The commands of python -m lnlib, a module each, imported when it is used."""

import importlib
import sys
import traceback


class UsageError(Exception):
    """What was asked for is not there: a message for the user, and exit code 2."""


def load(words):
    """What `module:name` stands for; the name may have dots.

    Args:
        words: text such as "torch.nn.functional:layer_norm".

    Returns:
        The object.

    Raises:
        UsageError: the text has not this form, or there is no such module or name, or
            the module raises when it is imported.

    >>> load("lnlib.functional:layer_norm").__name__
    'layer_norm'
    """
    module_name, colon, name = words.partition(":")
    if not (colon and module_name and name):
        raise UsageError(f"expected module:function, but got {words!r}")
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Of the module itself, or of a package it is in; not of what it imports.
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"found no module {error.name!r}; looked in the current directory and "
                "in what is installed"
            ) from None
        raise _raised(module_name, error) from None
    except (Exception, SystemExit) as error:
        raise _raised(module_name, error) from None
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            where = module_name if part == name.partition(".")[0] else name
            raise UsageError(f"found no {part!r} in {where}") from None
    return found


def _raised(module_name, error):
    """The error of a module, with the line of it where it happened."""
    # Reading the file again is not needed: the traceback knows name and line.
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    where = ""
    if isinstance(error, SyntaxError) and error.lineno:
        where = f", line {error.lineno}"
    elif frames:
        where = f", line {frames[-1].lineno}: {frames[-1].line}"
    return UsageError(
        f"{module_name} cannot be imported: {type(error).__name__}: {error}{where}"
    )


def write(text):
    """Print a result; what a terminal cannot show is replaced and not an error."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))
