"""The command line: python -m lnlib COMMAND.

    python -m lnlib diagnose torch.nn.functional:layer_norm

A command is a module with two functions, `arguments(parser)` and `run(options)`, the
second of which returns the exit code. It is imported only when it is used.
"""

import argparse
import importlib
import os
import sys

from lnlib.commands import UsageError

# Of each command: its module, and what it is for in a few words.
COMMANDS = {
    "diagnose": ("lnlib.commands.diagnose", "is a function a layer norm?"),
    "run": ("lnlib.commands.run", "run an experiment, of the book or one's own"),
    "verify": ("lnlib.commands.verify", "compute measured rows again and compare"),
    "claims": ("lnlib.commands.claims", "the ledger: each claim and its verdict"),
}


def main(argv=None):
    """Run a command and return its exit code.

    Args:
        argv: the words after `python -m lnlib`; by default those of the shell.

    Returns:
        0 if all is well, 1 if a fault was found, 2 if the words make no sense, 141 if
        nobody reads the output any more.

    >>> main(["diagnose", "lnlib:no_such_norm"])
    2
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="python -m lnlib", description="Layer normalization, measured."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    modules = {}
    for name, (module, purpose) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        if name in argv[:1]:
            modules[name] = importlib.import_module(module)
            modules[name].arguments(command)
    try:
        options = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has said why
        return stop.code or 0
    try:
        code = modules[options.command].run(options)
        sys.stdout.flush()
        return code
    except UsageError as error:
        print(f"python -m lnlib {options.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Who reads has seen enough, as `head` does. Python must not try once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # what a shell says of a program that SIGPIPE ended


if __name__ == "__main__":
    # `python -m` has put the current directory on the path.
    sys.exit(main())
