"""Tables of what was measured: read strictly, and written so that no crash spoils them.

A table is a CSV file. Its columns are the factors of the experiment, then `seed`, then
the measurements; a row is one run, and no two rows have the same factors and seed.
Numbers are written with `repr`, so that they are read back bit for bit. An empty cell
is a measurement that was not made. Beside the table stands its provenance, in JSON.
"""

import contextlib
import dataclasses
import importlib.resources
import json
import math
import os
from pathlib import Path

import numpy as np

# Characters that a cell may not have: they would need quoting, and a reader that
# splits at commas would misread them.
_FORBIDDEN = set(",\"'\r\n\0")


class EvidenceError(ValueError):
    """A table that cannot be used: names the file, the line and what to do.

    >>> issubclass(EvidenceError, ValueError)
    True
    """


# ---------------------------------------------------------------- cells


def write_cell(value):
    """A level or a measurement as the text of a cell, which `read_cell` reads back.

    Args:
        value: a str, an int, a float, a bool or None.

    Raises:
        TypeError: value is of another type.
        ValueError: a string that would be read back as something else, or with a
            comma, a quote or a line break in it.

    >>> write_cell(0.1), write_cell(3), write_cell("layer"), write_cell(None)
    ('0.1', '3', 'layer', '')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return ""
    if isinstance(value, (bool, int, float)):
        return repr(value)
    if not isinstance(value, str):
        raise TypeError(
            "Expected a cell to be a str, an int, a float, a bool or None, "
            f"but got {type(value).__name__}"
        )
    if _FORBIDDEN & set(value) or read_cell(value) != value:
        raise ValueError(
            "Expected a name that is no number, not empty, and without commas, quotes "
            f"and line breaks, but got {value!r}"
        )
    return value


def read_cell(text):
    """The value that `write_cell` wrote.

    >>> read_cell("0.1"), read_cell("3"), read_cell("layer"), read_cell("")
    (0.1, 3, 'layer', None)
    """
    special = {"": None, "True": True, "False": False}
    if text in special:
        return special[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _read_number(text):
    return None if text == "" else float(text)


# ---------------------------------------------------------------- reading


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What an experiment measured: rows, each with its factors, seed and measurements.

    Attributes:
        name: of the experiment.
        factors: names of the columns before the seed, a tuple of str.
        measurements: names of the columns after it, a tuple of str.
        rows: a tuple of dicts from column to value; None is what was not measured.
        provenance: where the table comes from, a dict; empty if that is not known.
    """

    name: str
    factors: tuple
    measurements: tuple
    rows: tuple
    provenance: dict = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, rows, factors, name="made up"):
        """Evidence from rows in memory: dicts with the factors, `seed`, measurements.

        >>> rows = [{"norm": n, "seed": s, "error": 0.1} for n in "ab" for s in (0, 1)]
        >>> Evidence.of(rows, ["norm"]).where(norm="a")
        Evidence made up: 2 rows of norm, seed, error
        """
        rows = tuple(dict(row) for row in rows)
        if not rows:
            raise ValueError("Expected at least one row, but got none")
        fixed = (*factors, "seed")
        for row in rows:
            if set(row) != set(rows[0]) or not set(fixed) < set(row):
                raise ValueError(
                    f"Expected each row to have {', '.join(fixed)} and the same "
                    f"measurements, but got {row}"
                )
        measurements = tuple(k for k in rows[0] if k not in fixed)
        return cls(name, tuple(factors), measurements, rows)

    def __repr__(self):
        columns = ", ".join((*self.factors, "seed", *self.measurements))
        return f"Evidence {self.name}: {len(self.rows)} rows of {columns}"

    def __len__(self):
        return len(self.rows)

    def where(self, **levels):
        """The rows whose factors, or seed, have these levels.

        Args:
            levels: from the name of a column to a level or a list of levels.

        Raises:
            ValueError: there is no such column, or no row has such a level.
        """
        rows = self.rows
        for factor, wanted in levels.items():
            if factor not in (*self.factors, "seed"):
                raise ValueError(
                    f"Expected a factor of {self.name}, one of "
                    f"{', '.join((*self.factors, 'seed'))}, but got {factor!r}"
                )
            many = isinstance(wanted, (list, tuple, set, range))
            wanted = list(wanted) if many else [wanted]
            there = {row[factor] for row in self.rows}
            if missing := [level for level in wanted if level not in there]:
                raise ValueError(
                    f"Expected {factor} to be among {sorted(there, key=str)}, "
                    f"but got {missing[0]!r}"
                )
            rows = tuple(row for row in rows if row[factor] in wanted)
        return dataclasses.replace(self, rows=rows)

    def levels(self, factor):
        """The levels of a factor, in the order in which the table has them."""
        if factor not in (*self.factors, "seed"):
            raise ValueError(
                f"Expected a factor of {self.name}, one of {', '.join(self.factors)}, "
                f"but got {factor!r}"
            )
        return list(dict.fromkeys(row[factor] for row in self.rows))

    def values(self, measurement):
        """A measurement of every row, as a float64 array; what is missing is NaN."""
        self._check_measurement(measurement)
        values = [row[measurement] for row in self.rows]
        return np.array([math.nan if v is None else v for v in values], dtype=float)

    def paired(self, measurement, factor, arm, than):
        """A measurement of two arms, seed by seed.

        Args:
            measurement: the name of a column.
            factor: the factor that tells the arms apart.
            arm, than: the two levels of it. Every other factor must be the same in all
                rows of an arm; it may differ between arms, as a tuned rate does.

        Returns:
            Two float64 arrays, of `arm` and of `than`, in the order of the seeds.

        Raises:
            ValueError: a level is missing, an arm has two rows of one seed, or the
                arms do not have the same seeds.
        """
        self._check_measurement(measurement)
        sides = []
        for level in (arm, than):
            side = {}
            for row in self.where(**{factor: level}).rows:
                if row["seed"] in side:
                    raise ValueError(
                        f"Expected one row a seed for {factor}={level}, but got several"
                        f" for seed {row['seed']}; narrow the evidence with where()"
                    )
                value = row[measurement]
                side[row["seed"]] = math.nan if value is None else value
            sides.append(side)
        if sides[0].keys() != sides[1].keys():
            raise ValueError(
                f"Expected the same seeds for {factor}={arm} and {factor}={than}, but "
                f"got {sorted(sides[0])} and {sorted(sides[1])}"
            )
        seeds = sorted(sides[0])
        return tuple(np.array([side[s] for s in seeds], dtype=float) for side in sides)

    def _check_measurement(self, name):
        if name not in self.measurements:
            raise ValueError(
                f"Expected a measurement of {self.name}, one of "
                f"{', '.join(self.measurements)}, but got {name!r}"
            )


def folder():
    """Where the tables are that come with the library."""
    return Path(str(importlib.resources.files("lnlib") / "evidence"))


def tables(where=None):
    """The names of the tables in a folder, by default of those in the library."""
    return sorted(path.stem for path in Path(where or folder()).glob("*.csv"))


def load(name, where=None):
    """The table of a question, strictly read.

    Args:
        name: of the question, such as "weight_norm".
        where: the folder it is in; by default that of the library.

    Returns:
        The `Evidence`.

    Raises:
        EvidenceError: there is no such table, or it is broken; with the file, the
            line and what to do.

    >>> load("weight_norm").levels("norm")
    ['none', 'weight', 'layer', 'both']
    """
    path = Path(where or folder()) / f"{name}.csv"
    if not path.exists():
        raise EvidenceError(
            f"{path.name}: Expected a table of what {name!r} measured, but got none. "
            f"Make it with: python -m lnlib run {name}"
        )
    factors, measurements, rows, torn = parse(path.read_bytes(), path.name)
    if torn is not None:
        raise EvidenceError(
            f"{path.name}, line {torn}: Expected a whole line, but got one without an "
            f"end, as a run leaves it that was killed. "
            f"Cut it off and go on with: python -m lnlib run {name}"
        )
    return Evidence(name, factors, measurements, tuple(rows), provenance(path))


def parse(data, name):
    """The columns and rows of a table, from its bytes.

    Returns:
        `(factors, measurements, rows, torn)`; torn is the number of a last line that
        does not end, which is not among the rows, or None.

    Raises:
        EvidenceError: as `load`.
    """
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise EvidenceError(
            f"{name}, line {line}: Expected plain text, but got the byte "
            f"{data[error.start]:#04x}. {_RESTORE}"
        ) from None
    lines = text.split("\n")
    torn = len(lines) if lines[-1] else None
    lines = [line.removesuffix("\r") for line in lines[:-1]]
    if not lines:
        return (), (), [], torn
    header = lines[0].split(",")
    if header.count("seed") != 1 or len(set(header)) < len(header) or "" in header:
        raise EvidenceError(
            f"{name}, line 1: Expected columns with different names, one of them "
            f"'seed', but got {lines[0]!r}. {_RESTORE}"
        )
    split = header.index("seed")
    factors, measurements = tuple(header[:split]), tuple(header[split + 1 :])
    rows, seen = [], {}
    for number, line in enumerate(lines[1:], 2):
        cells = line.split(",")
        if len(cells) != len(header):
            raise EvidenceError(
                f"{name}, line {number}: Expected {len(header)} cells, but got "
                f"{len(cells)}. {_RESTORE}"
            )
        try:
            row = dict(zip(factors, map(read_cell, cells), strict=False))
            row["seed"] = int(cells[split])
            row |= zip(measurements, map(_read_number, cells[split + 1 :]), strict=True)
        except ValueError:
            raise EvidenceError(
                f"{name}, line {number}: Expected a whole number as seed and numbers "
                f"as measurements, but got {line!r}. {_RESTORE}"
            ) from None
        key = tuple(cells[: split + 1])
        if key in seen:
            raise EvidenceError(
                f"{name}, line {number}: Expected each run once, but got that of line "
                f"{seen[key]} again. Delete one of the two lines; if they differ, both "
                "and run again"
            )
        seen[key] = number
        rows.append(row)
    return factors, measurements, rows, torn


_RESTORE = (
    "Restore the file from version control, or delete the line and run the question "
    "again"
)


# ---------------------------------------------------------------- writing


class Writer:
    """The one process that may add rows to a table.

    A row is appended by one write of a whole line to a file opened with O_APPEND, and
    is on the disk before the next one. A process that is killed leaves whole rows, and
    at worst one line without an end, which the next one cuts off. While a writer has a
    table, a second one is refused.

    Args:
        path: of the table; made if it is not there.
        factors, measurements: the names of its columns, lists of str.

    Attributes:
        rows: the rows that are there, a list of dicts.
        notes: what was found and mended, a list of sentences.

    Raises:
        EvidenceError: another process writes this table, the table has other columns,
            or it is broken.
        OSError: the file cannot be written.
    """

    def __init__(self, path, factors, measurements):
        self.path = Path(path)
        self.factors, self.measurements = tuple(factors), tuple(measurements)
        self.notes = []
        self._fd = self._open_and_lock()
        try:
            self._spare.unlink(missing_ok=True)
            self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    @property
    def columns(self):
        return (*self.factors, "seed", *self.measurements)

    def has(self, row):
        """Whether there is a row with the factors and the seed of this one."""
        return self._key(row) in self._keys

    def append(self, row):
        """Add a finished run: a dict from every column to its value.

        Raises:
            EvidenceError: the table has that run.
            ValueError: a column is missing, unknown, or has a value of a wrong kind.
        """
        if set(row) != set(self.columns):
            raise ValueError(
                f"Expected a row of {', '.join(self.columns)}, but got one of "
                f"{', '.join(map(str, row))}"
            )
        for name in self.measurements:
            if row[name] is not None:
                row = {**row, name: float(row[name])}
        if self.has(row):
            raise EvidenceError(
                f"{self.path.name}: Expected a run that the table lacks, but got "
                f"{self._named(row)} again"
            )
        self._write(self._line(row))
        self.rows.append(row)
        self._keys.add(self._key(row))

    def sort(self, key):
        """Bring the rows into an order, through a new file that takes the old's place.

        Args:
            key: from a row to what it is sorted by.
        """
        # The file counts: Ctrl-C may have come between a row's being written and its
        # being listed here.
        self._read()
        ordered = sorted(self.rows, key=key)
        if ordered == self.rows:
            return
        text = ",".join(self.columns) + "\n" + "".join(map(self._line, ordered))
        fd = os.open(self._spare, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        try:
            # Locked before it has the name, so that there is no moment without a lock.
            _lock(fd, self.path)
            _write_all(fd, text.encode("ascii"))
            os.fsync(fd)
            os.fchmod(fd, os.fstat(self._fd).st_mode & 0o777)
            os.replace(self._spare, self.path)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd = fd
        _sync_folder(self.path.parent)
        self.rows = ordered

    def close(self):
        """Let go of the table."""
        if self._fd is not None:
            os.close(self._fd)  # which gives the lock back, too
            self._fd = None

    @property
    def _spare(self):
        return self.path.with_name(f".{self.path.name}.new")

    def _open_and_lock(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                _lock(fd, self.path)
                # Another writer may have put a new file in the place of this one
                # between the two calls.
                if os.path.samestat(os.fstat(fd), os.stat(self.path)):
                    return fd
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _read(self):
        self.rows = self._mend()
        self._keys = {self._key(row) for row in self.rows}

    def _mend(self):
        data = b""
        while piece := os.pread(self._fd, 1 << 20, len(data)):
            data += piece
        whole = data.rfind(b"\n") + 1
        header = (",".join(self.columns) + "\n").encode("ascii")
        if not whole:
            if not header.startswith(data):
                raise self._foreign(data.decode("ascii", "replace"))
            os.ftruncate(self._fd, 0)
            self._write(header.decode("ascii"))
            _sync_folder(self.path.parent)
            return []
        factors, measurements, rows, torn = parse(data, self.path.name)
        if (*factors, "seed", *measurements) != self.columns:
            raise self._foreign(data.split(b"\n")[0].decode("ascii"))
        if torn is not None:
            os.ftruncate(self._fd, whole)
            os.fsync(self._fd)
            self.notes.append(
                f"{self.path.name}, line {torn}: cut off a line without an end; "
                "that run is made again"
            )
        return rows

    def _foreign(self, found):
        return EvidenceError(
            f"{self.path.name}, line 1: Expected the columns "
            f"{','.join(self.columns)!r}, but got {found!r}. The table belongs to "
            "another question or to another version of this one: move it away, or "
            "name another folder with --evidence"
        )

    def _line(self, row):
        return ",".join(write_cell(row[name]) for name in self.columns) + "\n"

    def _key(self, row):
        return tuple(write_cell(row[name]) for name in (*self.factors, "seed"))

    def _named(self, row):
        return ", ".join(f"{k}={write_cell(row[k])}" for k in (*self.factors, "seed"))

    def _write(self, line):
        _write_all(self._fd, line.encode("ascii"))
        os.fsync(self._fd)


def _write_all(fd, data):
    # One call does it, unless the disk is full or a signal came; what is then left
    # without an end is cut off by the next writer.
    while data:
        data = data[os.write(fd, data) :]


def _lock(fd, path):
    import fcntl  # POSIX only; reading works everywhere

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise EvidenceError(
            f"{path.name}: Expected to be the only one that writes this table, but "
            "another run has it. Wait until that has ended, or stop it; nothing of it "
            "is lost"
        ) from None


def _sync_folder(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# ---------------------------------------------------------------- provenance


def provenance(table):
    """Where a table comes from: a dict, empty if there is no record.

    Args:
        table: the path of the table, NAME.csv; the record is NAME.json beside it.

    Raises:
        EvidenceError: the record is broken.
    """
    path = Path(table).with_suffix(".json")
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text("utf-8"))
        if not isinstance(record["sessions"], list):
            raise ValueError("sessions is not a list")
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(
            f"{path.name}: Expected a record with a list of sessions, but got {error}. "
            "Restore the file from version control"
        ) from None
    return record


def write_provenance(table, record):
    """Put a record beside a table, whole or not at all.

    Args:
        table: the path of the table.
        record: a dict that JSON can hold.
    """
    path = Path(table).with_suffix(".json")
    spare = path.with_name(f".{path.name}.new")
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    with open(spare, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileNotFoundError):
        spare.chmod(path.stat().st_mode & 0o777)
    os.replace(spare, path)
