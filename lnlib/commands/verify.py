"""python -m lnlib verify: compute rows of the tables again, and compare."""

import random
import sys

from lnlib.commands import UsageError
from lnlib.lab import evidence, verify
from lnlib.lab.experiment import ExperimentError, load


def arguments(parser):
    """The options of `python -m lnlib verify`."""
    parser.add_argument(
        "questions", nargs="*", metavar="QUESTION", help="by default every table"
    )
    parser.add_argument("--rows", type=int, default=5, help="of each table; 5")
    parser.add_argument(
        "--seed", type=int, help="decides which rows; by default chance"
    )
    parser.add_argument(
        "--evidence", metavar="FOLDER", help="where the tables are; in the library"
    )


def run(options):
    """Do what the options say; returns the exit status, 1 if a row differs."""
    seed = (
        random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    )
    bad = 0
    if options.rows < 1:
        raise UsageError(f"Expected --rows to be at least 1, but got {options.rows}")
    try:
        for question in options.questions or evidence.tables(options.evidence):
            experiment = load(question)
            table = evidence.load(experiment.name, options.evidence)
            bad += _verify(experiment, table, options.rows, seed)
    except ExperimentError as error:
        raise UsageError(error) from None
    except evidence.EvidenceError as error:
        print(f"python -m lnlib verify: {error}", file=sys.stderr)
        return 1
    return 1 if bad else 0


def _verify(experiment, table, count, seed):
    if (table.factors, table.measurements) != (
        experiment.factors,
        tuple(experiment.measurements),
    ):
        raise evidence.EvidenceError(
            f"{table.name}.csv, line 1: Expected the experiment's columns, but got "
            f"{', '.join((*table.factors, 'seed', *table.measurements))}. "
            f"Move the table away and run the question again"
        )
    exact = verify.same_machine(table.provenance)
    device = table.provenance.get("device", "cpu")
    bad = 0
    rows = verify.sample(experiment, table, count, seed)
    for row in rows:
        for sentence in verify.differences(experiment, row, exact, device):
            print(f"{table.name}: {sentence}", file=sys.stderr)
            bad += 1
    how = "bit for bit" if exact else "within the tolerances for another processor"
    result = "agree" if not bad else f"{bad} measurements DIFFER"
    what = f"{len(rows)} of {len(table)} rows, --seed {seed}"
    print(f"{table.name}: {what}: {result}, {how}")
    return bad
