"""python -m lnlib run: measure what a question asks, go on after any interruption."""

import contextlib
import re
import signal
import sys
import threading

from lnlib.commands import UsageError
from lnlib.lab.evidence import EvidenceError, read_cell
from lnlib.lab.experiment import ExperimentError, load, names
from lnlib.lab.sweep import Failed, Interrupted, check_request, foretell, sweep


def arguments(parser):
    """The options of `python -m lnlib run`."""
    parser.add_argument(
        "questions",
        nargs="*",
        metavar="QUESTION",
        help="a name that --list shows, or a Python file; several are run in turn",
    )
    parser.add_argument("--all", action="store_true", help="every question of the book")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument(
        "--seeds", help="of the runs that count: 5 for the first five, 0-4, or 3,7"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="FACTOR=LEVEL",
        help="only these levels, such as norm=layer or batch_size=2,4; repeatable",
    )
    parser.add_argument("--jobs", type=int, default=1, help="how many processes; 1")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda; cpu")
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="hand the runs to a Dask cluster: its scheduler's address, or local",
    )
    parser.add_argument(
        "--evidence", metavar="FOLDER", help="where the tables are; in the library"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be run, and how long"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options):
    """Do what the options say; returns the exit status."""
    if options.list:
        for name in names():
            print(f"{name:20} {load(name).question}")
        return 0
    questions = names() if options.all else options.questions
    if not questions:
        raise UsageError("Expected a question, or --all; --list says what there is")
    if options.jobs < 1:
        raise UsageError(f"Expected --jobs to be at least 1, but got {options.jobs}")
    for question in questions:
        if status := _one(question, options):
            return status
    return 0


def _one(question, options):
    def say(text):
        print(text, file=sys.stderr)

    try:
        experiment = load(question)
        seeds = read_seeds(options.seeds, experiment)
        only = read_only(options.only, experiment)
        if options.dry_run:
            print(foretell(experiment, options.evidence, seeds, only, options.jobs))
            return 0
        with _stopped_by_signals() as stop:
            made = sweep(
                experiment,
                options.evidence,
                seeds,
                only,
                options.jobs,
                options.device,
                options.cluster,
                say,
                progress=not options.quiet,
                stop=stop,
            )
    except Interrupted:
        say(
            "\nStopped. Every run that was finished is in the table. Go on with the "
            "same command"
        )
        return 130
    except Failed as error:
        return _stop(
            f"{error}\nThe runs that were finished are in the table. When the cause is "
            "gone, go on with the same command"
        )
    except ExperimentError as error:
        raise UsageError(error) from None
    except (EvidenceError, ModuleNotFoundError) as error:
        return _stop(str(error))
    except OSError as error:
        return _stop(f"The table cannot be written: {error}. See --evidence")
    print(f"{experiment.name}: {made} runs made, none is missing of what was asked for")
    return 0


@contextlib.contextmanager
def _stopped_by_signals():
    """Whether Ctrl-C came, or what a batch system sends at the end of the time.

    Both interrupt at once. An interrupt is lost, though, where Python drops exceptions,
    as it does in a finalizer; so it is also remembered, and asked for.
    """
    asked = threading.Event()

    def interrupt(number, frame):
        asked.set()
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGINT, signal.SIGTERM):
            before[name] = signal.signal(name, interrupt)
    try:
        yield asked.is_set
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _stop(text):
    print(f"python -m lnlib run: {text}", file=sys.stderr)
    return 1


def read_seeds(text, experiment):
    """The seeds that --seeds names; None if it names none.

    >>> from lnlib.lab.experiment import load
    >>> read_seeds("3", load("batch_size")), read_seeds("0-1,7", load("batch_size"))
    ([0, 1, 2], [0, 1, 7])
    """
    if text is None:
        return None
    if text.isdecimal():
        count = int(text)
        if 1 <= count <= len(experiment.seeds):
            return list(experiment.seeds[:count])
        raise ExperimentError(
            f"Expected --seeds to be from 1 to {len(experiment.seeds)}, or a list such "
            f"as 0-{count}, but got {text}"
        )
    seeds = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not found:
            raise ExperimentError(
                f"Expected --seeds to be like 5, 0-4 or 3,7, but got {text!r}"
            )
        first = int(found[1])
        seeds += range(first, int(found[2] or first) + 1)
    return list(dict.fromkeys(seeds))


def read_only(texts, experiment):
    """The levels that --only names, by factor; None if it names none.

    >>> from lnlib.lab.experiment import load
    >>> read_only(["batch_size=2,4"], load("batch_size"))
    {'batch_size': [2, 4]}
    """
    only = {}
    for text in texts:
        factor, equals, levels = text.partition("=")
        if not equals or not levels:
            raise ExperimentError(
                f"Expected --only to be like norm=layer, but got {text!r}"
            )
        only.setdefault(factor, []).extend(map(read_cell, levels.split(",")))
    check_request(experiment, None, only)
    return only or None
