"""Find a Chromium or Chrome for the browser tests, or get one.

browser.py                 prints the path; installs one where there is none
browser.py --no-install    prints the path, or nothing and exits 1
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
ELSEWHERE = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def find():
    """The path of a browser, or None: $CHROME, the PATH, then usual places."""
    named = os.environ.get("CHROME")
    if named:
        return shutil.which(named)
    for name in NAMES:
        if path := shutil.which(name):
            return path
    for path in ELSEWHERE:
        if Path(path).exists():
            return path
    return from_playwright()


def from_playwright():
    """The browser that Playwright downloaded earlier, or None."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        path = p.chromium.executable_path
    return path if Path(path).exists() else None


def ways_to_install():
    """Commands that may install a browser here, the system's own first."""
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get"):
        yield [*root, "apt-get", "update", "-qq"], True
        yield [*root, "apt-get", "install", "-y", "-qq", "chromium"], False
    if shutil.which("dnf"):
        yield [*root, "dnf", "install", "-y", "-q", "chromium"], False
    if shutil.which("brew"):
        yield ["brew", "install", "--cask", "chromium"], False
    yield [sys.executable, "-m", "playwright", "install", "chromium"], False


def install():
    """Try each way until there is a browser; returns its path or None."""
    for command, prepares in ways_to_install():
        shown = " ".join(command)
        print(f"browser: none found, trying: {shown}", file=sys.stderr, flush=True)
        try:
            subprocess.run(
                command, check=True, timeout=600, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            print(f"browser: that failed: {error}", file=sys.stderr, flush=True)
            continue
        if not prepares and (path := find()):
            return path
    return None


def main():
    path = find()
    if path is None and "--no-install" not in sys.argv[1:]:
        path = install()
    if path is None:
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
