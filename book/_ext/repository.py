"""Buttons that lead to the repository the site is built from, or no buttons.

The repository is taken from GITHUB_REPOSITORY, or from the remote `origin` where that
is on GitHub; so a fork's buttons lead to the fork. Where neither is known, buttons
are left out rather than broken.
"""

import os
import re
import subprocess

GITHUB = re.compile(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$")


def find(root):
    """owner/name of the repository, or None."""
    named = os.environ.get("GITHUB_REPOSITORY", "")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", named):
        return named
    done = subprocess.run(
        ["git", "-C", str(root), "remote", "get-url", "origin"],
        capture_output=True,
        text=True,
        check=False,
    )
    match = GITHUB.search(done.stdout.strip())
    return match.group(1) if match else None


def configure(app, config):
    repository = find(app.confdir)
    options = dict(config.html_theme_options)
    # Jupyter Book fills these in with empty addresses, which the theme takes for real.
    for key in ("repository_url", "launch_buttons", "path_to_docs"):
        options.pop(key, None)
    known = repository is not None
    if known:
        options["repository_url"] = f"https://github.com/{repository}"
        options["repository_branch"] = os.environ.get("GITHUB_REF_NAME", "main")
        options["path_to_docs"] = ""
        options["launch_buttons"] = {
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        }
    for button in ("repository", "issues", "edit_page"):
        options[f"use_{button}_button"] = known
    config.html_theme_options = options


def setup(app):
    app.connect("config-inited", configure, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
