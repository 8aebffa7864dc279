"""python -m lnlib verify: compute rows of the tables again, and compare."""

import math
import random
import sys

from lnlib.lab import evidence
from lnlib.lab.experiment import ExperimentError, Run, load
from lnlib.lab.run import measure, processor, versions

HELP = "compute a sample of the measured rows again and compare"


def same_machine(record):
    """Whether every row of a table was made by what is here: processor and versions.

    Args:
        record: the provenance of the table.
    """
    sessions = [s for s in record.get("sessions", []) if s["rows"]]
    return bool(sessions) and all(
        s["processors"] == [processor()] and s["versions"] == versions()
        for s in sessions
    )


def differences(experiment, row, exact, device="cpu"):
    """Compute a row again: a list of sentences, one for each measurement that differs.

    Args:
        experiment: the `Experiment`.
        row: a dict, from its table.
        exact: whether every bit must be the same; else the experiment's tolerances
            decide.
        device: to run on.
    """
    run = Run({f: row[f] for f in experiment.factors}, row["seed"])
    done = measure(experiment.spec, run, device)
    if done["error"]:
        return [f"{run}: the run failed:\n{done['error']}"]
    wrong = []
    for name, within in experiment.measurements.items():
        stored, got = row[name], done["row"][name]
        if not _agree(stored, got, 0.0 if exact else within):
            how = "the same bits" if exact else f"within {within:g}"
            wrong.append(
                f"{run}: Expected {name} to be {stored!r}, {how}, but got {got!r}"
            )
    return wrong


def _agree(stored, got, within):
    if stored is None or got is None:
        return stored is got
    if not math.isfinite(stored) or not math.isfinite(got):
        return repr(stored) == repr(got)
    return abs(stored - got) <= within


def sample(experiment, table, count, seed, cheapest=False):
    """Rows of a table, by chance, or of the cheapest configurations."""
    rows = list(table.rows)
    random.Random(seed).shuffle(rows)
    if cheapest:
        rows.sort(key=experiment.cost)
    return rows[:count]


def add_arguments(parser):
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


def main(options):
    """Do what the options say; returns the exit status, 1 if a row differs."""
    seed = (
        random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    )
    bad = 0
    try:
        if options.rows < 1:
            raise ExperimentError(
                f"Expected --rows to be at least 1, not {options.rows}"
            )
        for question in options.questions or evidence.tables(options.evidence):
            experiment = load(question)
            table = evidence.load(experiment.name, options.evidence)
            bad += _verify(experiment, table, options.rows, seed)
    except (ExperimentError, evidence.EvidenceError) as error:
        print(f"lnlib: {error}", file=sys.stderr)
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
    exact = same_machine(table.provenance)
    device = table.provenance.get("device", "cpu")
    bad = 0
    rows = sample(experiment, table, count, seed)
    for row in rows:
        for sentence in differences(experiment, row, exact, device):
            print(f"{table.name}: {sentence}", file=sys.stderr)
            bad += 1
    how = "bit for bit" if exact else "within the tolerances for another processor"
    result = "agree" if not bad else f"{bad} measurements DIFFER"
    what = f"{len(rows)} of {len(table)} rows, --seed {seed}"
    print(f"{table.name}: {what}: {result}, {how}")
    return bad
