"""The browser, started once, and the built site, served once and visited once."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from browsing import SITE, find_browser, served, visit_page


def pytest_xdist_make_scheduler(config, log):
    """The tests of one page go to one worker, which then visits it once."""
    from xdist.scheduler import LoadScopeScheduling

    class PageByPage(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            page = re.search(r"\[([\w./-]+\.html)", nodeid)
            return page[1] if page else nodeid.partition("::")[0]

    # Another way of distributing was asked for by hand, and is left alone.
    return PageByPage(config, log) if config.getvalue("dist") == "loadscope" else None


NO_BROWSER = (
    "no Chromium or Chrome was found (LNLIB_BROWSER, the PATH, Playwright), so no page "
    "was opened"
)


@pytest.fixture(scope="session")
def browser():
    from browsing import FLAGS
    from playwright.sync_api import sync_playwright

    path = find_browser()
    if path is None:
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def site():
    if not (SITE / "index.html").exists():
        pytest.fail(f"expected the built site in {SITE}, but there is none: make book")
    return SITE


@pytest.fixture(scope="session")
def address(site):
    with served(site) as url:
        yield url


@pytest.fixture(scope="session")
def visits(browser, address):
    """What a page of the site showed: by its path, visited when first asked for."""
    seen = {}

    def visit(path):
        if path not in seen:
            seen[path] = visit_page(browser, f"{address}/{path}")
        return seen[path]

    return visit
