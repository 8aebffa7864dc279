"""Run notebooks from top to bottom in fresh kernels and keep their outputs.

    run_notebooks.py [03 ...]      all of them, or those whose names start so

A notebook is written back only when all of it has run; one that fails stays on disk
as it was, and is named. Outputs are those that the tests will compare.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"

# One thread each: sums then come out the same on a machine with more of them.
ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
}

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def chosen(prefixes):
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not prefixes:
        return paths
    found = [p for p in paths if p.name.startswith(tuple(prefixes))]
    for prefix in prefixes:
        if not any(p.name.startswith(prefix) for p in found):
            names = ", ".join(p.stem for p in paths) or "none"
            sys.exit(f"notebooks: none starts with {prefix!r}; there are: {names}")
    return found


def tidy(notebook):
    """Only what does not change from one run to the next stays in the metadata."""
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.metadata.pop("collapsed", None)


def run(path):
    """Execute one notebook in place; returns the seconds it took."""
    start = time.monotonic()
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
    )
    client.execute()
    tidy(notebook)
    nbformat.validate(notebook)
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    half_way = path.with_suffix(".ipynb.new")
    half_way.write_text(text, encoding="utf-8")
    half_way.replace(path)
    return time.monotonic() - start


def main():
    os.environ.update(ONE_THREAD)
    paths = chosen(sys.argv[1:])
    failed = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        jobs = {pool.submit(run, path): path for path in paths}
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                path = jobs[job]
                counter = f"[{done}/{len(paths)}] {path.name}"
                try:
                    print(f"{counter}: {job.result():.1f} s", flush=True)
                except (CellExecutionError, DeadKernelError, TimeoutError) as error:
                    failed.append(path.name)
                    print(f"{counter}: failed, left as it was\n{error}", flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            print("notebooks: stopped; what had not finished is left as it was")
            return 130
    if failed:
        print(f"notebooks: failed: {', '.join(sorted(failed))}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
