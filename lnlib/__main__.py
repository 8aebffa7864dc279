"""python -m lnlib: what the library does at the command line."""

import argparse
import importlib
import sys

# Each command: a module with HELP, add_arguments(parser) and main(options), which
# returns the exit status. It is imported when it is asked for.
COMMANDS = {
    "run": "lnlib.lab.run",
    "verify": "lnlib.lab.verify",
    "claims": "lnlib.claims",
}


def main(arguments=None):
    """Run the command that the arguments name; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m lnlib", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        sub = commands.add_parser(name, help=module)
        if arguments[:1] == [name]:
            sub.description = importlib.import_module(module).HELP
            importlib.import_module(module).add_arguments(sub)
    options = parser.parse_args(arguments)
    return importlib.import_module(COMMANDS[options.command]).main(options)


if __name__ == "__main__":
    sys.exit(main())
