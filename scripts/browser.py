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


def say(text):
    print(f"browser: {text}", file=sys.stderr, flush=True)


def starts(path):
    """Whether it says its version: some systems have a script that only explains."""
    try:
        said = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return bool(said.stdout.strip())


def candidates():
    """Paths where a browser may be, the one that was asked for first."""
    if named := os.environ.get("CHROME"):
        path = shutil.which(named)
        if path and starts(path):
            yield path
        else:
            say(f"expected CHROME to name a browser that starts, but got {named!r}")
    yield from filter(None, map(shutil.which, NAMES))
    yield from ELSEWHERE
    yield from_playwright()


def find():
    """The path of a browser that starts, or None."""
    for path in candidates():
        if path and Path(path).exists() and starts(path):
            return path
    return None


def from_playwright():
    """Where Playwright keeps the browser it downloads, or None."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ModuleNotFoundError:
        return None
    try:
        with sync_playwright() as p:
            return p.chromium.executable_path
    except Error as error:
        say(f"Playwright does not start: {error}")
        return None


def ways_to_install():
    """Commands that may install a browser here, the system's own first.

    Yields (command, whether it only prepares the next one).
    """
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    root = [] if is_root else ["sudo", "-n"]
    if is_root or shutil.which("sudo"):
        if shutil.which("apt-get"):
            yield [*root, "apt-get", "update", "-qq"], True
            yield [*root, "apt-get", "install", "-y", "-qq", "chromium"], False
        elif shutil.which("dnf"):
            yield [*root, "dnf", "install", "-y", "-q", "chromium"], False
    if shutil.which("brew"):
        yield ["brew", "install", "--cask", "chromium"], False
    yield [sys.executable, "-m", "playwright", "install", "chromium"], False


def install():
    """Try each way until there is a browser; returns its path or None."""
    for command, prepares in ways_to_install():
        say(f"none found, trying: {' '.join(command)}")
        try:
            subprocess.run(
                command,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                check=True,
                timeout=600,
            )
        except (OSError, subprocess.SubprocessError) as error:
            say(f"that failed: {error}")
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
