"""What an experiment is: a grid, seeds, what it measures, and a run.

An experiment is a module, `lnlib/experiments/QUESTION.py` or a file of one's own, with

- a docstring: the question, and the bars fixed before looking;
- `GRID`: a dict from each factor to its levels;
- `SEEDS`: the seeds of the runs that count;
- `MEASUREMENTS`: a dict from what is measured to how far it may differ on another
  processor, absolutely (on the same one every bit is the same);
- `run(config, seed, device="cpu")`: a dict of those measurements. It depends on
  nothing but its arguments;

and, where they are needed,

- `TUNING`: a `Tuning`, for a factor that is chosen for each arm before it counts;
- `allowed(config)`: whether a configuration is to be run;
- `cost(config)`: how long a run takes, in any unit, so that time can be foretold.
"""

import dataclasses
import importlib
import importlib.util
import inspect
import itertools
import math
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType

from lnlib.lab.evidence import read_cell, write_cell

STAGES = ("tune", "test")


class ExperimentError(ValueError):
    """An experiment that is not there, or not of the form it must have.

    >>> issubclass(ExperimentError, ValueError)
    True
    """


@dataclasses.dataclass(frozen=True)
class Tuning:
    """A factor that is chosen for each configuration, before the runs that count.

    First each configuration is run with every level and with seeds of its own, in the
    stage "tune"; then, in the stage "test", with the level whose mean was the lowest.
    Of levels that tie, the one named first. The stage is the first factor of the
    table, so that `run` can leave the test split alone while it tunes.

    Args:
        factor: its name, such as "lr".
        levels: those it is chosen from.
        seeds: of the stage "tune"; none of them may count in the stage "test".
        by: the measurement whose mean over the seeds is to be low, made on a
            validation split. A mean that is not finite loses.
    """

    factor: str
    levels: tuple
    seeds: tuple
    by: str

    def choose(self, rows, grid_factors):
        """The chosen level of each configuration.

        Args:
            rows: dicts, those of the stage "tune".
            grid_factors: the names that make a configuration.

        Returns:
            A dict from the configuration, a tuple of levels, to the chosen level.
        """
        sums = {}
        for row in rows:
            if row["stage"] == "tune" and row["seed"] in self.seeds:
                key = tuple(row[f] for f in grid_factors)
                value = row[self.by]
                value = math.inf if value is None or math.isnan(value) else value
                sums.setdefault(key, {}).setdefault(row[self.factor], []).append(value)
        chosen = {}
        for key, by_level in sums.items():
            # fsum, so that the order in which runs finished makes no difference.
            means = {v: math.fsum(by_level[v]) for v in self.levels if v in by_level}
            chosen[key] = min(means, key=means.get)
        return chosen


@dataclasses.dataclass(frozen=True)
class Run:
    """One cell of the grid and one seed: the stage, the configuration, the seed."""

    config: dict
    seed: int

    def __str__(self):
        return ", ".join(
            f"{k}={v}" for k, v in {**self.config, "seed": self.seed}.items()
        )


class Experiment:
    """An experiment, with its form checked.

    Args:
        module: the module that holds it.
        spec: what `load` found it by, so that another process can.

    Attributes:
        name: of the question; the table has the same.
        grid, seeds, measurements, tuning: as the module says them.
        factors: the columns before the seed: the grid's, and where there is a tuning,
            "stage" before and the tuned factor after them.

    Raises:
        ExperimentError: something is missing or not of the form it must have.
    """

    def __init__(self, module, spec=None):
        self.module = module
        self.name = module.__name__.rpartition(".")[2]
        self.spec = spec or self.name
        doc = inspect.getdoc(module) or ""
        self._need(len(doc.split()) >= 5, "a docstring that states the question", doc)
        self.question = doc.split("\n\n")[0].replace("\n", " ")
        self.grid = self._get("GRID", dict)
        self.measurements = self._get("MEASUREMENTS", dict)
        self.seeds = tuple(self._get("SEEDS", (tuple, list, range)))
        self.tuning = getattr(module, "TUNING", None)
        self._need(callable(getattr(module, "run", None)), "run(config, seed)", None)
        self.run = module.run
        self.allowed = getattr(module, "allowed", lambda config: True)
        self.cost = getattr(module, "cost", lambda config: 1)
        self._check()
        self.factors = tuple(self.grid)
        if self.tuning:
            self.factors = ("stage", *self.grid, self.tuning.factor)

    def configurations(self):
        """The configurations of the grid that are allowed: a list of dicts."""
        cells = itertools.product(*self.grid.values())
        configs = [dict(zip(self.grid, cell, strict=True)) for cell in cells]
        return [config for config in configs if self.allowed(config)]

    def runs(self, stage="test", seeds=None, only=None, rows=()):
        """The runs of a stage, in the order of the table.

        Args:
            stage: "tune" or "test"; without a tuning there is only "test".
            seeds: those of the stage "test"; by default the experiment's own.
            only: a dict from a factor to the levels that are wanted.
            rows: what has been measured; the stage "test" takes its choice from it.

        Returns:
            A list of `Run`. Configurations for which nothing can be chosen yet are
            absent from it.
        """
        configs = [
            c
            for c in self.configurations()
            if all(c[f] in ls for f, ls in (only or {}).items() if f in c)
        ]
        seeds = self.seeds if seeds is None else seeds
        if only and stage not in only.get("stage", STAGES):
            return []
        if not self.tuning:
            if stage == "tune":
                return []
            return [Run(c, s) for c in configs for s in seeds]
        if stage == "tune":
            return [
                Run({"stage": stage, **c, self.tuning.factor: level}, s)
                for c in configs
                for level in self.tuning.levels
                for s in self.tuning.seeds
            ]
        chosen = self.tuning.choose(rows, tuple(self.grid))
        return [
            Run({"stage": stage, **c, self.tuning.factor: chosen[key]}, s)
            for c in configs
            if (key := tuple(c.values())) in chosen
            for s in seeds
        ]

    def place(self, row):
        """What the rows of a table are sorted by, for `sorted`."""
        return (*(self._levels(f).index(row[f]) for f in self.factors), row["seed"])

    def check_row(self, row):
        """Whether a row can be of this experiment; None, or what is wrong with it."""
        for factor in self.factors:
            if row[factor] not in self._levels(factor):
                levels = ", ".join(map(str, self._levels(factor)))
                return f"Expected {factor} to be one of {levels}, but got {row[factor]}"
        if not self.allowed({f: row[f] for f in self.grid}):
            config = ", ".join(f"{f}={row[f]}" for f in self.grid)
            return f"Expected a configuration that is allowed, but got {config}"
        if self.tuning and (row["seed"] in self.tuning.seeds) != (
            row["stage"] == "tune"
        ):
            return (
                f"Expected the seeds {list(self.tuning.seeds)} in the stage tune and "
                f"no others, but got seed {row['seed']} in the stage {row['stage']}"
            )
        return None

    def measure(self, run, device="cpu"):
        """Make a run: a dict from each measurement to a float or None.

        Raises:
            ExperimentError: what came back is not what the experiment says it measures.
        """
        measured = self.run(dict(run.config), run.seed, device)
        if not isinstance(measured, dict) or set(measured) != set(self.measurements):
            raise ExperimentError(
                f"{self.name}: Expected run to return a dict of "
                f"{', '.join(self.measurements)}, but got {measured!r}"
            )
        return {
            name: None if measured[name] is None else float(measured[name])
            for name in self.measurements
        }

    def _levels(self, factor):
        if self.tuning and factor == "stage":
            return STAGES
        if self.tuning and factor == self.tuning.factor:
            return tuple(self.tuning.levels)
        return tuple(self.grid[factor])

    def _get(self, name, kind):
        value = getattr(self.module, name, None)
        self._need(
            isinstance(value, kind) and len(value) > 0, f"{name}, not empty", value
        )
        return value

    def _need(self, good, expected, got):
        if not good:
            raise ExperimentError(
                f"{self.name}: Expected the module to have {expected}, but got {got!r}"
            )

    def _check(self):
        names = [*self.grid, *self.measurements]
        if self.tuning:
            self._need(
                isinstance(self.tuning, Tuning), "TUNING of the class Tuning", ""
            )
            names += ["stage", self.tuning.factor]
            self._need(
                self.tuning.by in self.measurements, "TUNING by a measurement", ""
            )
            shared = set(self.tuning.seeds) & set(self.seeds)
            self._need(not shared, "seeds for tuning that are not in SEEDS", shared)
        bad = [n for n in names if not re.fullmatch(r"[a-z][a-z0-9_]*", str(n))]
        self._need(not bad, "names of small letters, digits and underscores", bad)
        self._need(len(set(names)) == len(names), "different names", names)
        self._need("seed" not in names, "a name other than 'seed'", names)
        every = {**self.grid}
        if self.tuning:
            every[self.tuning.factor] = self.tuning.levels
        for factor, levels in every.items():
            cells = [write_cell(level) for level in levels]
            back = [read_cell(cell) for cell in cells]
            same = [(type(v), v) for v in back] == [(type(v), v) for v in levels]
            good = same and len(set(cells)) == len(cells)
            self._need(good, f"different levels of {factor}, plain values", levels)
        seeds = [*self.seeds, *(self.tuning.seeds if self.tuning else ())]
        self._need(all(type(s) is int for s in seeds), "seeds that are ints", seeds)
        self._need(len(set(seeds)) == len(seeds), "different seeds", seeds)
        for name, within in self.measurements.items():
            good = isinstance(within, (int, float)) and within >= 0
            self._need(good, f"a tolerance for {name}, at least 0", within)
        self._need(self.configurations(), "a grid with a configuration allowed", None)


def names():
    """The questions that come with the library.

    >>> "batch_size" in names()
    True
    """
    import lnlib.experiments

    return sorted(m.name for m in pkgutil.iter_modules(lnlib.experiments.__path__))


def load(spec):
    """The experiment of a name, or in a file.

    Args:
        spec: a name of `names()`, or the path of a Python file of one's own.

    Returns:
        The `Experiment`.

    Raises:
        ExperimentError: there is none, or it has not the form it must have.

    >>> load("batch_size").factors
    ('stage', 'norm', 'batch_size', 'lr')
    """
    if isinstance(spec, Experiment):
        return spec
    if isinstance(spec, ModuleType):
        return Experiment(spec)
    if str(spec).endswith(".py"):
        return Experiment(_from_file(Path(spec)), str(Path(spec).resolve()))
    if spec not in names():
        raise ExperimentError(
            f"Expected a question, one of {', '.join(names())}, or a file that ends in "
            f".py, but got {spec!r}"
        )
    return Experiment(importlib.import_module(f"lnlib.experiments.{spec}"), spec)


def _from_file(path):
    if not path.is_file():
        raise ExperimentError(f"Expected a Python file, but {path.name} is not there")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", path.stem):
        raise ExperimentError(
            "Expected the file's name to be of small letters, digits and underscores, "
            f"but got {path.stem!r}"
        )
    found = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(found)
    # Not into sys.modules: the file's name may be that of another module.
    old, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        found.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = old
    return module
