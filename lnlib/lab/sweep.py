"""Make the runs of an experiment, in parallel, and go on after any interruption."""

import contextlib
import datetime
import functools
import importlib.metadata
import importlib.util
import math
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path

from lnlib.lab import evidence
from lnlib.lab.experiment import STAGES, ExperimentError, load

# ---------------------------------------------------------------- one run


@contextlib.contextmanager
def one_thread():
    """One thread for torch and NumPy, and only deterministic algorithms, for a while.

    How many threads share a sum decides its last digits.
    """
    import threadpoolctl

    torch = sys.modules.get("torch")
    if torch is not None:
        threads = torch.get_num_threads()
        strict = torch.are_deterministic_algorithms_enabled()
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
    try:
        with threadpoolctl.threadpool_limits(1):
            yield
    finally:
        if torch is not None:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict)


@functools.cache
def processor():
    """The processor that this process runs on, in words, as exactly as it says.

    What it says decides whether two tables are compared bit for bit.
    """
    words = [platform.machine()]
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        found = dict(re.findall(r"^([\w ]+?)\t*: (.*)$", text, re.MULTILINE))
        words = [found.get("model name", words[0])]
        words += [f"{k} {found[k]}" for k in ("cpu family", "model") if k in found]
        # What a library chooses its code by.
        flags = found.get("flags", "").split()
        words += [flag for flag in ("avx2", "avx512f", "amx_tile") if flag in flags]
    return ", ".join(words)


def versions():
    """The versions of what computes: a dict."""
    found = {"python": platform.python_version()}
    for name in ("torch", "numpy", "scikit-learn", "scipy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def measure(spec, run, device="cpu", driver=None):
    """Make one run, in this process or in a worker's.

    What goes wrong comes back and is not raised: not every backend of joblib hands an
    exception on.

    Returns:
        A dict: `row`, or `error`, a text; `seconds`; `processor`.
    """
    if driver not in (None, os.getpid()) and (
        threading.current_thread() is threading.main_thread()
    ):
        # Ctrl-C goes to all processes at the terminal. The driver's answer is enough.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by CUDA, late
    start = time.perf_counter()
    done = {"row": None, "error": None}
    try:
        experiment = load(spec)
        with one_thread():
            measured = experiment.measure(run, device)
        done["row"] = {**run.config, "seed": run.seed, **measured}
    except Exception:
        done["error"] = traceback.format_exc()
    done["seconds"] = time.perf_counter() - start
    done["processor"] = processor()
    return done


# ---------------------------------------------------------------- many runs


class Interrupted(Exception):
    """The sweep was stopped from outside; what was finished is in the table."""


class Failed(Exception):
    """A run failed; what was finished before is in the table."""


def sweep(
    spec,
    folder=None,
    seeds=None,
    only=None,
    jobs=1,
    device="cpu",
    cluster=None,
    say=lambda text: None,
    progress=False,
    stop=lambda: False,
):
    """Make every run that the table of an experiment lacks, and add it to the table.

    Args:
        spec: a question, the path of a file, or an `Experiment`.
        folder: where the table is; by default where those of the library are.
        seeds: of the runs that count; by default the experiment's.
        only: a dict from a factor to the levels wanted; by default all.
        jobs: how many processes; with 1, this one.
        device: handed to the runs.
        cluster: None for processes of this machine; the address of a Dask scheduler;
            or "local" for a Dask cluster of `jobs` processes on this machine.
        say: called with each sentence for the user.
        progress: whether to show a bar on stderr.
        stop: asked after each run whether to stop.

    Returns:
        How many runs were made, an int.

    Raises:
        ExperimentError, EvidenceError: as `load` and `Writer`.
        Failed: a run raised an exception, or its worker died.
        Interrupted: Ctrl-C, or `stop` said so.
    """
    _check_packages()
    experiment = load(spec)
    check_request(experiment, seeds, only)
    path = Path(folder or evidence.folder()) / f"{experiment.name}.csv"
    record = evidence.provenance(path)
    if record.get("device", device) != device:
        raise evidence.EvidenceError(
            f"{path.name}: Expected the device of the rows that are there, "
            f"{record['device']}, but got {device}. Keep the two apart: name another "
            "folder with --evidence"
        )
    with evidence.Writer(path, experiment.factors, experiment.measurements) as table:
        for note in table.notes:
            say(note)
        for line, row in enumerate(table.rows, 2):
            if wrong := experiment.check_row(row):
                raise evidence.EvidenceError(
                    f"{path.name}, line {line}: {wrong}. The row belongs to another "
                    "version of the experiment: delete it, or name another folder with "
                    "--evidence"
                )
        session = _Session(experiment, path, record, table, device, jobs, seeds, only)
        try:
            with _workers(jobs, cluster) as hand_out:
                for stage in STAGES:
                    runs = experiment.runs(stage, seeds, only, table.rows)
                    runs = [
                        r for r in runs if not table.has({**r.config, "seed": r.seed})
                    ]
                    _stage(experiment, stage, runs, hand_out, session, progress, stop)
        finally:
            table.sort(experiment.place)
            session.write()
    return session.rows


def _check_packages():
    for name in ("joblib", "threadpoolctl", "tqdm"):
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(
                f"Running experiments needs {name}, which is not installed; "
                "install it with: pip install 'lnlib[lab]'",
                name=name,
            )


def check_request(experiment, seeds, only):
    """Refuse seeds and levels that the experiment does not have."""
    tuning = experiment.tuning
    if tuning and (shared := set(seeds or ()) & set(tuning.seeds)):
        raise ExperimentError(
            f"Expected seeds other than those the tuning uses, {list(tuning.seeds)}, "
            f"but got {sorted(shared)}"
        )
    for factor, levels in (only or {}).items():
        there = dict(experiment.grid)
        if tuning:
            there["stage"] = STAGES
        if factor not in there:
            raise ExperimentError(
                f"Expected --only to name a factor, one of {', '.join(there)}, but got "
                f"{factor!r}"
            )
        for level in levels:
            if level not in there[factor]:
                raise ExperimentError(
                    f"Expected {factor} to be one of "
                    f"{', '.join(map(str, there[factor]))}, but got {level}"
                )


def _stage(experiment, stage, runs, hand_out, session, progress, stop):
    if not runs:
        return
    # The long ones first, so that no worker is left with one at the end.
    runs.sort(key=lambda run: -experiment.cost(run.config))
    bar = _bar(experiment, stage, runs, progress)
    results = hand_out(experiment.spec, runs, session.device)
    try:
        for run, done in results:
            if done["error"]:
                raise Failed(f"{run}:\n{done['error']}")
            session.add(run, done)
            bar.set_postfix_str(f"{session.rows} runs", refresh=False)
            bar.update(experiment.cost(run.config))
            if stop():
                raise Interrupted
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        bar.close()
        with warnings.catch_warnings():
            # joblib warns of the runs that it cancels, which is what is wanted here.
            warnings.simplefilter("ignore", UserWarning)
            results.close()


def _bar(experiment, stage, runs, progress):
    from tqdm import tqdm

    return tqdm(
        desc=f"{experiment.name}, {stage}, {len(runs)} runs",
        total=sum(experiment.cost(run.config) for run in runs),
        bar_format="{desc} {percentage:3.0f}% {bar} {elapsed}<{remaining} {postfix}",
        disable=not progress,
        file=sys.stderr,
        dynamic_ncols=True,
    )


def _measured(spec, run, device, driver):
    return run, measure(spec, run, device, driver)


@contextlib.contextmanager
def _workers(jobs, cluster):
    """A function that hands runs out to workers and yields them as they are done."""
    import joblib

    def hand_out(backend, spec, runs, device):
        tasks = [joblib.delayed(_measured)(spec, r, device, os.getpid()) for r in runs]
        # The choice of a backend holds for one thread, so it is made here, in the one
        # that iterates.
        with joblib.parallel_config(**backend):
            # One run a time, so that each is in the table as soon as it is done.
            yield from joblib.Parallel(
                n_jobs=-1 if cluster else jobs,
                # A cluster may grow while it runs.
                pre_dispatch="all" if cluster else "2 * n_jobs",
                batch_size=1,
                return_as="generator_unordered",
            )(tasks)

    if cluster:
        with _dask(jobs, cluster) as (client, doomed):
            backend = {"backend": _dask_backend(client)}
            yield lambda *args: _watched(hand_out(backend, *args), doomed)
        return
    backend = {"backend": "loky", "inner_max_num_threads": 1}
    try:
        yield lambda *args: hand_out(backend, *args)
    except joblib.externals.loky.process_executor.TerminatedWorkerError:
        raise Failed(
            "A worker process died, as it does when memory runs out or somebody kills "
            "it. Fewer --jobs need less memory"
        ) from None
    finally:
        if jobs > 1:
            joblib.externals.loky.get_reusable_executor().shutdown(kill_workers=True)


@contextlib.contextmanager
def _dask(jobs, cluster):
    try:
        from dask.distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "--cluster needs Dask, which is not installed; "
            "install it with: pip install 'lnlib[cluster]'",
            name=error.name,
        ) from None
    with contextlib.ExitStack() as stack:
        if cluster == "local":
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=None,
                )
            )
        client = stack.enter_context(Client(cluster, set_as_default=False))
        client.wait_for_workers(1, timeout=60)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        busy = {name: w["nthreads"] for name, w in workers.items() if w["nthreads"] > 1}
        if busy:
            raise ExperimentError(
                "Expected workers with one thread each, since the runs of a process "
                f"share torch's random numbers, but got {max(busy.values())} threads. "
                "Start them with: dask worker --nthreads 1"
            )

        def doomed():
            return any(f.status == "error" for f in list(client.futures.values()))

        yield client, doomed


def _dask_backend(client):
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        """joblib's, but of a single worker it makes use too.

        joblib sees that there is but one and stays in this process, where a run that
        takes too much memory would end the sweep.
        """

        def effective_n_jobs(self, n_jobs):
            return max(2, super().effective_n_jobs(n_jobs))

    return Backend(client=client)


def _watched(results, doomed):
    """Hand results on, and give up when Dask has given one up.

    joblib waits for ever for a task that Dask lost: one whose worker died several
    times while it was at it.
    """
    import queue

    mailbox, end = queue.SimpleQueue(), object()

    def collect():
        try:
            for result in results:
                mailbox.put(result)
            mailbox.put(end)
        except BaseException as error:
            mailbox.put(error)

    threading.Thread(target=collect, daemon=True).start()
    while True:
        try:
            result = mailbox.get(timeout=1)
        except queue.Empty:
            if doomed():
                raise Failed(
                    "A run was given up, since each worker that began it died, as "
                    "workers do when memory runs out"
                ) from None
            continue
        if result is end:
            return
        if isinstance(result, BaseException):
            raise result
        yield result


class _Session:
    """What this process adds to a table, and the record of it."""

    def __init__(self, experiment, path, record, table, device, jobs, seeds, only):
        self.experiment, self.path, self.table = experiment, path, table
        self.device, self.rows, self._start = device, 0, time.perf_counter()
        sessions = list(record.get("sessions", []))
        # A session that was killed could not write down its last rows.
        counted = sum(s["rows"] for s in sessions)
        if sessions and counted != len(table.rows):
            sessions[-1]["rows"] += len(table.rows) - counted
        self._earlier = sessions
        self._mine = {
            "command": command(experiment, seeds, only, jobs, device),
            "started": datetime.datetime.now(datetime.UTC).isoformat(
                timespec="seconds"
            ),
            "seconds": 0.0,
            "seconds_of_runs": 0.0,
            "cost_of_runs": 0,
            "rows": 0,
            "commit": commit(),
            "versions": versions(),
            "processors": [],
        }
        self._written = -math.inf

    def add(self, run, done):
        """Put a finished run into the table."""
        self.table.append(done["row"])
        self.rows += 1
        mine = self._mine
        mine["rows"] = self.rows
        mine["seconds_of_runs"] = round(mine["seconds_of_runs"] + done["seconds"], 3)
        mine["cost_of_runs"] += self.experiment.cost(run.config)
        mine["processors"] = sorted({*mine["processors"], done["processor"]})
        if time.perf_counter() - self._written > 1:
            self.write()

    def write(self):
        """Write the record down."""
        if not self.rows and not self._earlier:
            return
        self._mine["versions"] = versions()
        self._mine["seconds"] = round(time.perf_counter() - self._start, 1)
        wanted = [
            run
            for stage in STAGES
            for run in self.experiment.runs(stage, rows=self.table.rows)
        ]
        missing = [
            r for r in wanted if not self.table.has({**r.config, "seed": r.seed})
        ]
        evidence.write_provenance(
            self.path,
            {
                "question": self.experiment.name,
                "device": self.device,
                "rows": len(self.table.rows),
                "complete": bool(wanted) and not missing,
                "sessions": self._earlier + ([self._mine] if self.rows else []),
            },
        )
        self._written = time.perf_counter()


def command(experiment, seeds=None, only=None, jobs=1, device="cpu"):
    """The command that asks for this, without the names of folders."""
    words = ["python -m lnlib run", Path(experiment.spec).name]
    if seeds is not None:
        words.append(f"--seeds {','.join(map(str, seeds))}")
    for factor, levels in (only or {}).items():
        words.append(f"--only {factor}={','.join(map(str, levels))}")
    if jobs != 1:
        words.append(f"--jobs {jobs}")
    if device != "cpu":
        words.append(f"--device {device}")
    return " ".join(words)


def commit():
    """The commit of the library's source, "+" after it if that was changed; or None."""

    def git(*words):
        here = Path(__file__).parent
        done = subprocess.run(
            ["git", "-C", here, *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        top = Path(git("rev-parse", "--show-toplevel"))
        if not (top / "lnlib" / "lab" / "sweep.py").samefile(__file__):
            return None
        changed = git("status", "--porcelain", "--", str(top / "lnlib"))
        changed = [x for x in changed.splitlines() if "lnlib/evidence/" not in x]
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


# ---------------------------------------------------------------- how long


def expected(experiment, runs, record):
    """How many seconds runs will take in one process, and where that is known from.

    Args:
        experiment: the `Experiment`.
        runs: a list of `Run`.
        record: the provenance of its table. If it has no times, the cheapest run is
            made now and timed; it is made anew when it counts.

    Returns:
        `(seconds, source)`, a float and a phrase.
    """
    sessions = record.get("sessions", [])
    cost = sum(s["cost_of_runs"] for s in sessions)
    if cost:
        rate = sum(s["seconds_of_runs"] for s in sessions) / cost
        source = f"by the times of {sum(s['rows'] for s in sessions)} earlier runs"
    elif runs:
        cheapest = min(runs, key=lambda run: experiment.cost(run.config))
        measure(experiment.spec, cheapest)  # which imports what it needs
        done = measure(experiment.spec, cheapest)
        if done["error"]:
            raise Failed(f"{cheapest}:\n{done['error']}")
        rate = done["seconds"] / experiment.cost(cheapest.config)
        source = "by the time of the shortest of them, made just now"
    else:
        return 0.0, "there is nothing to do"
    return rate * sum(experiment.cost(run.config) for run in runs), source


def foretell(experiment, folder=None, seeds=None, only=None, jobs=1):
    """What a sweep would do: a sentence, without doing it."""
    check_request(experiment, seeds, only)
    path = Path(folder or evidence.folder()) / f"{experiment.name}.csv"
    rows = (
        list(evidence.load(experiment.name, path.parent).rows) if path.exists() else []
    )
    there = {_key(experiment, row) for row in rows}
    runs = experiment.runs("tune", seeds, only, rows)
    if runs and experiment.tuning:
        # What will be chosen is not known yet. Any level stands for it; the time is
        # the same, if the cost does not depend on it.
        have = {tuple(row[f] for f in experiment.grid) for row in rows}
        level = experiment.tuning.levels[0]
        by = experiment.tuning.by
        rows = rows + [
            {**r.config, "seed": r.seed, by: 0.0}
            for r in runs
            if r.config[experiment.tuning.factor] == level
            and tuple(r.config[f] for f in experiment.grid) not in have
        ]
    runs += experiment.runs("test", seeds, only, rows)
    todo = [
        r for r in runs if _key(experiment, {**r.config, "seed": r.seed}) not in there
    ]
    if not todo:
        return f"{experiment.name}: all {len(runs)} runs are there; nothing to do"
    seconds, source = expected(experiment, todo, evidence.provenance(path))
    return (
        f"{experiment.name}: {len(todo)} of {len(runs)} runs to do; about "
        f"{in_words(seconds / jobs)} with --jobs {jobs}, {source}"
    )


def in_words(seconds):
    """A time for a reader.

    >>> in_words(3), in_words(200), in_words(9000)
    ('3 s', '3 min', '2.5 h')
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _key(experiment, row):
    return tuple(row[f] for f in (*experiment.factors, "seed"))
