"""Run notebooks from top to bottom in fresh kernels and keep their outputs.

    run_notebooks.py [03 ...]      all of them, or those whose names start so

A notebook is written back only when all of it has run; one that fails stays on disk
as it was, and is named. Outputs are those that the tests will compare.
"""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
CELL_SECONDS = 120  # the tests give a cell as long

# One thread each: sums then come out the same on a machine with more of them.
ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
}

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def environment():
    """This process's environment, without what changes a notebook's outputs."""
    settings = {**os.environ, **ONE_THREAD, "JUPYTER_PREFER_ENV_PATH": "1"}
    # A backend set from outside would keep figures from showing.
    settings.pop("MPLBACKEND", None)
    return settings


def chosen(prefixes):
    """The paths of the notebooks to run."""
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    for prefix in prefixes:
        if not any(p.name.startswith(prefix) for p in paths):
            names = ", ".join(p.stem for p in paths) or "none"
            sys.exit(f"notebooks: none starts with {prefix!r}; there are: {names}")
    return [p for p in paths if not prefixes or p.name.startswith(tuple(prefixes))]


def tidy(notebook):
    """Only what does not change from one run to the next stays in the metadata."""
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        for key in set(cell.metadata) - {"tags", "mystnb"}:
            del cell.metadata[key]


def run(path):
    """Execute one notebook in place."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        coalesce_streams=True,
        shutdown_kernel="immediate",
    ).execute(env=environment())
    tidy(notebook)
    nbformat.validate(notebook)
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    half_way = path.with_name(path.name + ".new")
    try:
        half_way.write_text(text, encoding="utf-8")
        half_way.replace(path)
    finally:
        half_way.unlink(missing_ok=True)


def run_apart(path, running):
    """Execute one notebook in a process of its own; returns status, output, seconds."""
    start = time.monotonic()
    command = [sys.executable, __file__, "--one", path]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running.append(process)
    said, _ = process.communicate()
    return process.returncode, said, time.monotonic() - start


def run_all(paths):
    failed, running = [], []
    pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
    jobs = {pool.submit(run_apart, path, running): path for path in paths}
    try:
        for done, job in enumerate(as_completed(jobs), 1):
            status, said, seconds = job.result()
            counter = f"[{done}/{len(paths)}] {jobs[job].name}"
            if status:
                failed.append(jobs[job].name)
                print(f"{counter}: failed, left as it was\n{said}", flush=True)
            else:
                print(f"{counter}: {seconds:.1f} s", flush=True)
    except KeyboardInterrupt:
        # Each ends its kernel when it is told to stop.
        for process in running:
            process.terminate()
        pool.shutdown(cancel_futures=True)
        print("notebooks: stopped; what had not finished is left as it was")
        return 130
    if failed:
        print(f"notebooks: failed: {', '.join(sorted(failed))}", file=sys.stderr)
    return 1 if failed else 0


def main():
    if sys.argv[1:2] == ["--one"]:
        try:
            run(Path(sys.argv[2]))
        except Exception as error:  # whatever it is, the notebook did not run
            print(f"{type(error).__name__}: {error}")
            return 1
        return 0
    # Told to stop in either way, it ends what it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    paths = chosen(sys.argv[1:])
    print(f"notebooks: running {len(paths)}", flush=True)
    return run_all(paths)


if __name__ == "__main__":
    sys.exit(main())
