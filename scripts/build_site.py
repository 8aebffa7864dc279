"""Build the site, always from nothing: a warm build hides warnings."""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"


def build():
    """Build into _build/html with warnings as errors; returns the exit status."""
    shutil.rmtree(ROOT / "_build", ignore_errors=True)
    # -W: a warning fails the build; -n: so does a reference without a target.
    jupyter_book = Path(sys.executable).parent / "jupyter-book"
    command = [jupyter_book, "build", ROOT, "-W", "-n", "--keep-going", "-q"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--if-missing", action="store_true", help="keep a built site")
    options = parser.parse_args()
    if options.if_missing and (SITE / "index.html").exists():
        return 0
    start = time.monotonic()
    status = build()
    if status == 0 and not (SITE / "index.html").exists():
        print(f"build: no page was written to {SITE}", file=sys.stderr)
        status = 1
    if status:
        print("build: failed; the warnings above say where", file=sys.stderr)
        return status
    print(f"The site is built, in {time.monotonic() - start:.0f} s. Open")
    print(f"    {SITE / 'index.html'}")
    print("in a browser, or serve it with: make serve")
    return 0


if __name__ == "__main__":
    sys.exit(main())
