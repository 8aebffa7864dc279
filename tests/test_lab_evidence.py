"""Tables: strictly read, and whole whatever happens to the process that writes them."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lnlib.lab import evidence
from lnlib.lab.evidence import Evidence, EvidenceError, Writer, read_cell, write_cell

FACTORS, MEASUREMENTS = ("norm", "size"), ("error", "loss")
HEADER = "norm,size,seed,error,loss\n"


def row(i):
    return {
        "norm": ("none", "layer")[i % 2],
        "size": 2 ** (i // 2 % 3),
        "seed": i // 6,
        "error": math.sin(i) / 3,
        "loss": None if i % 5 == 0 else math.exp(-i) * 1e-9,
    }


def writer(path):
    return Writer(path, FACTORS, MEASUREMENTS)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "toy.csv"
    with writer(path) as w:
        for i in range(12):
            w.append(row(i))
    return path


# --- cells -----------------------------------------------------------------------


def test_floats_come_back_bit_for_bit():
    numbers = random.Random(0)
    values = [numbers.gauss(0, 10.0**e) for e in range(-320, 300, 5)]
    values += [0.0, -0.0, math.inf, -math.inf, 5e-324, 1 / 3]
    for value in values:
        back = read_cell(write_cell(value))
        assert math.copysign(1, back) == math.copysign(1, value) and back == value
    assert math.isnan(read_cell(write_cell(math.nan)))
    assert write_cell(np.float64(0.1)) == "0.1" and write_cell(np.int64(3)) == "3"


def test_levels_keep_their_types():
    for level in ("layer", 1, 1.0, True, False, None):
        assert repr(read_cell(write_cell(level))) == repr(level)


@pytest.mark.parametrize("bad", ["a,b", 'a"b', "a\nb", "1", "nan", "", "True"])
def test_names_that_would_be_misread_are_refused(bad):
    with pytest.raises(ValueError, match="Expected a name that is no number"):
        write_cell(bad)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="but got list"):
        write_cell([1])


# --- reading ---------------------------------------------------------------------


def test_what_was_written_is_read(table):
    found = evidence.load("toy", table.parent)
    assert found.factors == FACTORS and found.measurements == MEASUREMENTS
    assert list(found.rows) == [row(i) for i in range(12)]
    assert evidence.tables(table.parent) == ["toy"]
    assert "12 rows of norm, size, seed, error, loss" in repr(found)


def test_rows_are_chosen_by_level(table):
    found = evidence.load("toy", table.parent)
    assert len(found.where(norm="layer", seed=0)) == 3
    assert found.where(size=[1, 4]).levels("size") == [1, 4]
    assert np.isnan(found.values("loss")).sum() == 3
    ours, theirs = found.where(size=2).paired("error", "norm", "layer", "none")
    assert ours.tolist() == [row(3)["error"], row(9)["error"]]
    assert theirs.tolist() == [row(2)["error"], row(8)["error"]]


def test_what_is_not_there_is_refused(table):
    found = evidence.load("toy", table.parent)
    with pytest.raises(ValueError, match="factor of toy, one of norm, size, seed"):
        found.where(width=3)
    with pytest.raises(ValueError, match=r"size to be among .1, 2, 4., but got 3"):
        found.where(size=3)
    with pytest.raises(ValueError, match="measurement of toy, one of error, loss"):
        found.values("accuracy")
    with pytest.raises(ValueError, match="factor of toy"):
        found.levels("width")
    with pytest.raises(ValueError, match="one row a seed for norm=layer"):
        found.paired("error", "norm", "layer", "none")
    uneven = Evidence("toy", FACTORS, MEASUREMENTS, found.where(size=1).rows[:-1])
    with pytest.raises(ValueError, match="Expected the same seeds"):
        uneven.paired("error", "norm", "layer", "none")


def test_evidence_in_memory_is_checked():
    with pytest.raises(ValueError, match="at least one row"):
        Evidence.of([], ["norm"])
    with pytest.raises(ValueError, match="each row to have norm, seed"):
        Evidence.of([{"norm": "a", "seed": 1}], ["norm"])


BROKEN = {
    "no columns named seed": ("a,b\n1,2\n", "line 1: Expected columns"),
    "a column twice": ("norm,norm,seed,error\n", "line 1: Expected columns"),
    "too few cells": (HEADER + "none,1,0,0.5\n", "line 2: Expected 5 cells, but got 4"),
    "an empty line": (HEADER + "none,1,0,0.5,1.0\n\n", "line 3: Expected 5 cells"),
    "a word as number": (HEADER + "none,1,0,high,1.0\n", "line 2: Expected a whole"),
    "a seed that is none": (
        HEADER + "none,1,0.5,0.5,1.0\n",
        "line 2: Expected a whole",
    ),
    "zeros from a lost block": (HEADER + "none,1,0,\0\0,1.0\n", "line 2: Expected"),
    "no text": (HEADER + "none,1,0,\xe9,1.0\n", "line 2: Expected plain text"),
    "a run twice": (
        HEADER + "none,1,0,0.5,1.0\nlayer,1,0,0.5,1.0\nnone,1,0,0.6,1.0\n",
        "line 4: Expected each run once, but got that of line 2 again",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_table_is_refused_by_reader_and_writer(fault, tmp_path):
    text, words = BROKEN[fault]
    path = tmp_path / "toy.csv"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(EvidenceError, match=f"toy.csv, {words}"):
        evidence.load("toy", tmp_path)
    if fault not in ("no columns named seed", "a column twice"):
        with pytest.raises(EvidenceError, match=f"toy.csv, {words}"):
            writer(path)
    assert path.read_bytes() == text.encode("latin1")


def test_a_missing_table_says_how_to_make_it(tmp_path):
    with pytest.raises(EvidenceError, match="python -m lnlib run toy"):
        evidence.load("toy", tmp_path)


def test_a_table_with_the_line_ends_of_windows_is_read(table):
    before = evidence.load("toy", table.parent).rows
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    assert evidence.load("toy", table.parent).rows == before


# --- writing ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "size,norm,seed,error,loss\n",
        "norm,size,seed,error\n",
        "norm,size,seed,error,loss,more\nnone,1,0,0.5,1.0,2.0\n",
        "something else",
    ],
)
def test_a_foreign_table_is_refused_and_left_alone(text, tmp_path):
    path = tmp_path / "toy.csv"
    path.write_text(text)
    with pytest.raises(EvidenceError, match=r"toy.csv, line 1: Expected the columns"):
        writer(path)
    assert path.read_text() == text


def test_a_table_cut_anywhere_is_mended(table):
    """A kill, or a full disk, can leave any first part of the file behind."""
    # A row of each norm: the cuts within one line are those within any other.
    whole = b"".join(table.read_bytes().splitlines(keepends=True)[:5])
    for size in range(len(whole)):
        table.write_bytes(whole[:size])
        lines = whole[:size].count(b"\n")
        with writer(table) as w:
            assert w.rows == [row(i) for i in range(max(lines - 1, 0))]
            cut = size and not whole[:size].endswith(b"\n") and lines
            assert bool(w.notes) == bool(cut)
            for i in range(4):
                if not w.has(row(i)):
                    w.append(row(i))
        assert table.read_bytes() == whole


def test_the_reader_does_not_take_half_a_line(table):
    table.write_bytes(table.read_bytes()[:-3])
    with pytest.raises(EvidenceError, match="line 13: Expected a whole line"):
        evidence.load("toy", table.parent)


def test_a_row_is_not_lost_when_ctrl_c_comes_right_after_its_write(table, monkeypatch):
    def interrupted(fd):
        raise KeyboardInterrupt

    with writer(table) as w:
        monkeypatch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            w.append(row(12))
        monkeypatch.undo()
        w.sort(lambda r: -r["seed"])
        assert w.has(row(12)) and len(w.rows) == 13
    assert len(evidence.load("toy", table.parent)) == 13


def test_a_run_is_not_added_twice(table):
    with writer(table) as w, pytest.raises(EvidenceError, match="norm=layer, size=1"):
        w.append(row(1))
    assert len(evidence.load("toy", table.parent)) == 12


def test_a_row_of_other_columns_is_refused(table):
    with writer(table) as w, pytest.raises(ValueError, match="Expected a row of norm"):
        w.append({"norm": "none", "seed": 9})


def test_two_writers_are_refused_and_the_lock_goes_with_its_owner(table):
    with writer(table), pytest.raises(EvidenceError, match="another run has it"):
        writer(table)
    writer(table).close()


def test_the_lock_outlives_the_file_that_is_replaced(table):
    with writer(table) as w:
        w.sort(lambda r: (r["seed"], r["norm"], r["size"]))
        with pytest.raises(EvidenceError, match="another run has it"):
            writer(table)
    writer(table).close()


def test_sorting_replaces_the_file_at_once(table):
    inode = table.stat().st_ino
    with writer(table) as w:
        w.sort(lambda r: -r["error"])
        assert table.stat().st_ino != inode
        w.append({**row(0), "seed": 99})
        w.sort(lambda r: -r["error"])
    errors = evidence.load("toy", table.parent).values("error")
    assert len(errors) == 13 and (np.diff(errors) <= 0).all()
    assert os.listdir(table.parent) == ["toy.csv"]


def test_sorting_what_is_sorted_changes_nothing(table):
    inode = table.stat().st_ino
    with writer(table) as w:
        w.sort(lambda r: (r["seed"], r["size"], r["norm"] == "layer"))
    assert table.stat().st_ino == inode


KILLED = """
import itertools, sys
sys.path.insert(0, {tests!r})
from test_lab_evidence import row, writer
with writer({path!r}) as w:
    print("ready", flush=True)
    for i in itertools.count():
        if not w.has(row(i)):
            w.append(row(i))
        if i % 50 == 49:  # replaced in whole, now and then
            w.sort(lambda r: -r["error"])
"""


def test_kills_at_any_moment_lose_and_double_nothing(tmp_path):
    path = tmp_path / "toy.csv"
    code = KILLED.format(tests=os.path.dirname(__file__), path=str(path))
    numbers, there = random.Random(0), 0
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout.readline() == "ready\n"
        time.sleep(numbers.uniform(0, 0.15))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        with writer(path) as w:  # refuses a doubled or a broken row
            rows = sorted(w.rows, key=lambda r: (r["seed"], r["size"], r["norm"]))
            assert len(rows) >= there
            there = len(rows)
            wanted = [row(i) for i in range(there)]
            assert rows == sorted(
                wanted, key=lambda r: (r["seed"], r["size"], r["norm"])
            )
    assert there > 0


# --- provenance ------------------------------------------------------------------


def test_the_record_is_kept_whole(table):
    evidence.write_provenance(table, {"sessions": [], "rows": 12})
    evidence.write_provenance(table, {"sessions": [{"rows": 12}], "rows": 12})
    assert evidence.load("toy", table.parent).provenance["sessions"] == [{"rows": 12}]
    assert sorted(p.name for p in table.parent.iterdir()) == ["toy.csv", "toy.json"]


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"sessions": 3}), "{}"])
def test_a_broken_record_is_refused(text, table):
    table.with_suffix(".json").write_text(text)
    with pytest.raises(EvidenceError, match=r"toy.json: Expected a record"):
        evidence.load("toy", table.parent)
