"""Buttons that lead to the repository the site is built from, or no buttons.

The repository is taken from GITHUB_REPOSITORY, or from the remote `origin` where that
is on GitHub; so a fork's buttons lead to the fork, and its pages name the fork's own
address. Where neither is known, all this is left out rather than broken.

The button for Colab opens the Colab edition of a chapter, which `make colab` writes and
the workflow publishes before the site, on a branch of its own.
"""

import os
import re
import subprocess
from pathlib import Path

NAME = re.compile(r"[\w-]+/(?!\.+$)[\w.-]+", re.ASCII)
GITHUB = re.compile(r"\bgithub\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$")

GITHUB_HOME = "https://github.com/"
COLAB = "https://colab.research.google.com"
EDITION = "colab"  # the branch that holds the Colab edition and nothing else


def find(root):
    """owner/name of the repository, or None."""
    named = os.environ.get("GITHUB_REPOSITORY", "")
    if NAME.fullmatch(named):
        return named
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "remote", "get-url", "origin"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:  # no git here
        return None
    match = GITHUB.search(done.stdout.strip())
    return match.group(1) if match else None


def branch():
    """The branch that is built, as far as the environment tells."""
    if os.environ.get("GITHUB_REF_TYPE") == "branch":
        return os.environ.get("GITHUB_REF_NAME", "main")
    return "main"


def pages_address(repository):
    """Where GitHub Pages serves the site of a repository."""
    owner, name = repository.lower().split("/")
    host = f"{owner}.github.io"
    return f"https://{host}/" if name == host else f"https://{host}/{name}/"


def configure(app, config):
    repository = find(app.confdir)
    options = dict(config.html_theme_options)
    # Jupyter Book fills these in with empty addresses, which the theme takes for real.
    for key in ("repository_url", "launch_buttons", "path_to_docs"):
        options.pop(key, None)
    known = repository is not None
    if known:
        options["repository_url"] = GITHUB_HOME + repository
        options["repository_branch"] = branch()
        options["path_to_docs"] = ""
        options["launch_buttons"] = {
            "colab_url": COLAB,
            "notebook_interface": "jupyterlab",
        }
        config.html_baseurl = pages_address(repository)
    for button in ("repository", "issues", "edit_page"):
        options[f"use_{button}_button"] = known
    config.html_theme_options = options


def colab_address(repository, page):
    """Where Colab opens the edition of a chapter."""
    return f"{COLAB}/github/{repository}/blob/{EDITION}/{page.split('/')[-1]}.ipynb"


def lead_to_the_edition(app, pagename, templatename, context, doctree):
    """The theme's button opens the notebook as it is; ours opens its Colab edition."""
    buttons = context.get("header_buttons", [])
    groups = [g for g in buttons if g.get("label") == "launch-buttons"]
    home = app.config.html_theme_options.get("repository_url", "")
    for group in groups:
        # The edition is made of the notebooks there; no other page has one.
        if not (Path(app.confdir) / f"{pagename}.ipynb").exists():
            buttons.remove(group)
        for button in group["buttons"]:
            button["url"] = colab_address(home.removeprefix(GITHUB_HOME), pagename)


def setup(app):
    app.connect("config-inited", configure, priority=900)
    app.connect("html-page-context", lead_to_the_edition, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
