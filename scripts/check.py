"""Check everything, or one part: lint, test-library, test-notebooks, test-site.

Every part runs even if an earlier one failed. At the end stand one table, a line
that names what was not tested, and the totals over all tests.
"""

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import browser
import build_site
from run_notebooks import CELL_SECONDS, environment

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def run(*command, **env):
    """Run a command in the root, with its output passed on; True if it succeeded."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**environment(), **env},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


def totals(reports):
    """How many tests passed, failed and were skipped, from pytest's reports."""
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for report in Path(reports).glob("*.xml"):
        for suite in ElementTree.parse(report).iter("testsuite"):
            for key in counts:
                counts[key] += int(suite.get(key, 0))
    failed = counts["failures"] + counts["errors"]
    return counts["tests"] - failed - counts["skipped"], failed, counts["skipped"]


class Check:
    """The parts, and what they could not test. A part returns whether all is well."""

    def __init__(self, reports):
        self.reports = Path(reports)
        self.not_tested = []

    def pytest(self, name, *options, **env):
        report = self.reports / f"{name}.xml"
        good = run(
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-o", "junit_family=xunit1", f"--junitxml={report}"),
            *options,
            **env,
        )
        if not report.exists():
            self.not_tested.append(f"{name}, since pytest stopped before its report")
        return good

    def lint(self):
        good = [
            run(BIN / "ruff", "check"),
            run(BIN / "ruff", "format", "--check"),
            run(BIN / "codespell"),
        ]
        return all(good)

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
        together = ("-n", "2", "--dist=loadfile")
        options = (
            *("--nbval", "--nbval-current-env"),
            f"--nbval-cell-timeout={CELL_SECONDS}",
        )
        good = [
            self.pytest("hygiene", "tests/notebooks", *together),
            self.pytest("notebooks", "notebooks", *options, *together),
        ]
        return all(good)

    def site(self):
        good = build_site.build() == 0
        if not (build_site.SITE / "index.html").exists():
            self.not_tested.append("the pages, since no site was built")
            return False
        path = browser.find() or browser.install()
        if path is None:
            self.not_tested.append("the pages in a browser, since none could be had")
        # The tests of one page go to one worker, in one browser.
        together = ("-n", "2", "--dist=loadscope")
        found = self.pytest("site", "tests/site", *together, LNLIB_BROWSER=path or "")
        return found and good


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
        check.not_tested += [
            f"{name} (not asked for)" for name in PARTS if name not in wanted
        ]
        for name in wanted:
            part, title = PARTS[name]
            print(f"\n=== {name}: {title}", flush=True)
            start = time.monotonic()
            good = part(check)
            seconds = time.monotonic() - start
            print(f"=== {name}: {'ok' if good else 'FAILED'}, {seconds:.0f} s")
            results.append((name, good, seconds))
        passed, failed, skipped = totals(reports)
    print("\n" + "=" * 40)
    for name, good, seconds in results:
        print(f"{name:16} {'ok' if good else 'FAILED':8} {seconds:6.0f} s")
    print(f"not tested: {'; '.join(check.not_tested) or 'nothing was left out'}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if all(good for _, good, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
