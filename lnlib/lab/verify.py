"""Compute rows of a table again, and compare."""

import math
import random

from lnlib.lab.experiment import Run
from lnlib.lab.sweep import measure, processor, versions


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
