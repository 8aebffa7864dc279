"""Check everything, or one part: lint, test-library, test-notebooks, test-site.

Every part runs even if an earlier one failed. At the end stand one table, a line
that names what was not tested, and the totals over all tests.
"""

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import browser
import build_site
from run_notebooks import ONE_THREAD

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def run(*command, **env):
    """Run a command in the root, with its output passed on; True if it succeeded."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD, **env},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


class Check:
    """The parts, what became of each, and the counts of tests."""

    def __init__(self, reports):
        self.reports = Path(reports)
        self.not_tested = []

    def pytest(self, name, *options, **env):
        report = self.reports / f"{name}.xml"
        return run(
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-o", "junit_family=xunit1", f"--junitxml={report}"),
            *options,
            **env,
        )

    def lint(self):
        good = run(BIN / "ruff", "check")
        good &= run(BIN / "ruff", "format", "--check")
        return run(BIN / "codespell") and good

    def library(self):
        # Coverage counts what these tests reach; the notebooks are left out.
        return self.pytest(
            "library",
            *("tests", "lnlib", "README.md"),
            *("--ignore=tests/notebooks", "--ignore=tests/site"),
            *("--doctest-modules", "--doctest-glob=README.md"),
            *("-n", "2", "--cov=lnlib", "--cov-report=term"),
        )

    def notebooks(self):
        # loadfile keeps each notebook in one worker and so in one kernel; a dead
        # kernel is given up after two minutes and not after half an hour.
        good = self.pytest("hygiene", "tests/notebooks", "-n", "2")
        options = ("--nbval", "--nbval-current-env", "--nbval-cell-timeout=120")
        where = ("notebooks", "-n", "2", "--dist=loadfile")
        return self.pytest("notebooks", *options, *where) and good

    def site(self):
        if build_site.build():
            return False
        path = browser.find() or browser.install()
        if path is None:
            self.not_tested.append("the site in a browser, since none could be had")
        return self.pytest("site", "tests/site", LNLIB_BROWSER=path or "")

    def totals(self):
        counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
        for report in self.reports.glob("*.xml"):
            for suite in ElementTree.parse(report).iter("testsuite"):
                for key in counts:
                    counts[key] += int(suite.get(key, 0))
        failed = counts["failures"] + counts["errors"]
        return counts["tests"] - failed - counts["skipped"], failed, counts["skipped"]


PARTS = {
    "lint": (Check.lint, "style and spelling"),
    "test-library": (Check.library, "the library, its examples and its coverage"),
    "test-notebooks": (Check.notebooks, "the notebooks"),
    "test-site": (Check.site, "the site, built from nothing"),
}


def main():
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        sys.exit(f"check: expected some of {', '.join(PARTS)}, but got {unknown}")
    results = []
    with tempfile.TemporaryDirectory() as reports:
        check = Check(reports)
        for name in wanted:
            part, title = PARTS[name]
            print(f"\n=== {name}: {title}", flush=True)
            start = time.monotonic()
            good = part(check)
            results.append((name, good, time.monotonic() - start))
        passed, failed, skipped = check.totals()
    print("\n" + "=" * 40)
    for name, good, seconds in results:
        print(f"{name:16} {'ok' if good else 'FAILED':8} {seconds:6.0f} s")
    print(f"not tested: {'; '.join(check.not_tested) or 'nothing was left out'}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if all(good for _, good, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
