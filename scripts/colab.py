"""Write the Colab edition of the notebooks into _build/colab.

    colab.py [owner/name] [--commit HASH] [--to FOLDER]

In it each chapter stands alone: its first cells say what it is and install lnlib from
the repository, at the commit that the edition is made from, and nothing else of what
Colab has is touched. Its prose is plain Markdown, since Colab does not know MyST. The
repository is by default that of GITHUB_REPOSITORY or of the git remote, as for the
buttons of the site.
"""

import argparse
import copy
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell
from plain_markdown import Book, Plain, UnknownSyntax, figure_of

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import repository  # noqa: E402, an extension of the site: found by the line above

OUT = ROOT / "_build" / "colab"
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
# Everything that the edition is made of or installs.
MADE_OF = (
    *("notebooks", "lnlib", "pyproject.toml", "README.md"),
    *("_toc.yml", "_config.yml", "book"),
)
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}

ABOUT = """\
*This is the Colab edition of a chapter of [{title}]({page}).
Run the next cell first. It installs `lnlib`, the library of the book, at commit \
[{short}]({tree}); what Colab has, torch and NumPy among it, stays as it is.
The outputs below are those of the book, until you run the cells.*"""

INSTALL = """\
# @title Install lnlib, and nothing else
import json
from importlib.metadata import PackageNotFoundError, distribution

COMMIT = "{commit}"


def installed():
    try:
        origin = distribution("lnlib").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    return json.loads(origin or "{{}}").get("vcs_info", {{}}).get("commit_id")


# --no-deps: torch and NumPy are not touched, whatever their versions.
if installed() != COMMIT:
    %pip install -q --no-deps {needed}
    %pip install -q --no-deps --force-reinstall git+{clone}@{{COMMIT}}
assert installed() == COMMIT, "lnlib was not installed; pip says above why"
print("lnlib is here, at the commit of this page")"""


def git(*arguments, root=ROOT):
    """What git says, or None where it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def needed(root=ROOT):
    """What lnlib depends on that Colab may lack: all but NumPy."""
    with open(root / "pyproject.toml", "rb") as file:
        dependencies = tomllib.load(file)["project"]["dependencies"]
    return [d for d in dependencies if not re.match(r"numpy\b", d)]


def doubts(name, commit, root=ROOT):
    """Why the edition may not be what it says, or may not install; as sentences."""
    if commit != git("rev-parse", "HEAD", root=root):
        yield f"{commit[:12]} is not the commit of this folder; the notebooks are"
        return
    if git("status", "--porcelain", "--", *MADE_OF, root=root):
        yield (
            "this folder has changes that are not committed; the edition shows them, "
            f"and installs lnlib without them, as of {commit[:12]}"
        )
    # In a workflow it is the commit that was pushed.
    if os.environ.get("GITHUB_SHA") == commit:
        return
    remotes = [
        remote
        for remote in (git("remote", root=root) or "").split()
        if (url := git("remote", "get-url", remote, root=root))
        and (match := repository.GITHUB.search(url))
        and match[1].lower() == name.lower()
    ]
    if not remotes:
        yield (
            f"no remote of this folder is {name}, so it is not known whether "
            f"{commit[:12]} is there; if it is not, it cannot be installed"
        )
    elif not any(
        git("branch", "-r", "--list", f"{remote}/*", "--contains", commit, root=root)
        for remote in remotes
    ):
        yield (
            f"{commit[:12]} is on no branch of {name} that this folder knows of; it "
            "cannot be installed before it is pushed"
        )


class Edition:
    """The Colab edition of a repository's notebooks at a commit."""

    def __init__(self, name, commit, root=ROOT):
        self.name, self.commit, self.root = name, commit, Path(root)
        self.home = repository.GITHUB_HOME + name
        self.site = repository.pages_address(name)
        config = yaml.safe_load((self.root / "_config.yml").read_text("utf-8"))
        self.title = config["title"]
        self.book = Book.read(root, self.site, f"{self.home}/blob/{commit}/")

    def notebook(self, path):
        """One chapter, as a notebook.

        Raises:
            UnknownSyntax: its prose has something that plain Markdown has no form for.
        """
        chapter = nbformat.read(path, as_version=4)
        page = path.relative_to(self.root).with_suffix("").as_posix()
        plain = Plain(self.book, page, _glued(chapter))
        cells = [*self._opening(page)]
        for cell in chapter.cells:
            try:
                cells += self._cells(cell, plain)
            except UnknownSyntax as error:
                raise UnknownSyntax(
                    f"{path.name}, cell {cell.id}: expected MyST that Colab can be "
                    f"given as plain Markdown, but got {error}"
                ) from None
        for cell in cells:
            cell.metadata["id"] = cell.id  # where Colab looks for it
        metadata = {
            "colab": {
                "name": path.name,
                "provenance": [],
                "toc_visible": True,
                "collapsed_sections": list(_solutions(cells)),
            },
            "kernelspec": KERNEL,
            "language_info": {"name": "python"},
        }
        made = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
        made.nbformat_minor = 5
        nbformat.validate(made)
        return made

    def _opening(self, page):
        about = ABOUT.format(
            title=self.title,
            page=f"{self.site}{page}.html",
            short=self.commit[:7],
            tree=f"{self.home}/tree/{self.commit}",
        )
        install = INSTALL.format(
            commit=self.commit,
            needed=" ".join(f'"{n}"' for n in needed(self.root)),
            clone=self.home,
        )
        yield new_markdown_cell(about, id="colab-edition")
        yield new_code_cell(install, id="colab-install", metadata={"cellView": "form"})

    def _cells(self, cell, plain):
        cell = copy.deepcopy(cell)
        if cell.cell_type == "markdown":
            cell.source = plain(cell.source)
            return [cell] if cell.source.strip() else []
        if cell.cell_type != "code":
            return [cell]
        _on_white(cell)
        figure = figure_of(cell)
        tags = set(cell.metadata.get("tags", []))
        hidden = HIDDEN & tags
        kept = sorted(tags & {"raises-exception"})
        cell.metadata = nbformat.from_dict({"tags": kept} if kept else {})
        named = "Code"
        if name := figure.get("name"):
            named = f"Fig. {self.book.figures[name]}"
        if hidden:
            # Colab's form view: the title is shown, and the code on a click.
            cell.metadata["cellView"] = "form"
            if not cell.source.startswith("%%"):
                title = named if named != "Code" else "Show the code"
                cell.source = f"# @title {title}\n{cell.source}"
        if not figure.get("caption"):
            return [cell]
        caption = f"**{named}.** {plain(figure['caption'])}"
        return [cell, new_markdown_cell(caption, id=f"{cell.id}-caption")]

    def write(self, folder):
        """Write every chapter of the contents; returns the paths."""
        folder = Path(folder)
        chapters = sorted((self.root / "notebooks").glob("*.ipynb"))
        made = {path.name: self.notebook(path) for path in chapters}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        paths = []
        for name, notebook in made.items():
            path = folder / name
            text = nbformat.writes(notebook).rstrip("\n") + "\n"
            path.write_text(text, encoding="utf-8")
            paths.append(path)
        (folder / "README.md").write_text(
            f"# The Colab edition\n\nMade from [{self.name}]({self.home}) at commit "
            f"{self.commit} by `make colab`, and replaced as a whole. Edits belong in "
            f"the notebooks of the main branch.\n",
            encoding="utf-8",
        )
        return paths


def _on_white(cell):
    """Give stored figures the ground that lnlib.plotting gives them on Colab."""
    for output in cell.outputs:
        if svg := output.get("data", {}).get("image/svg+xml"):
            on_white = svg.replace("<svg ", '<svg style="background: white" ', 1)
            output.data["image/svg+xml"] = on_white


def _glued(notebook):
    """The numbers that a notebook's cells keep for its prose, by name."""
    found = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if record := output.get("metadata", {}).get("scrapbook"):
                kind = record.get("mime_prefix", "") + "text/plain"
                if kind in output.get("data", {}):
                    found[record["name"]] = output.data[kind]
    return found


def _solutions(cells):
    """The ids of the solutions: sections that are folded when the page opens.

    Only where the next section begins right after a solution; prose that follows it
    would be folded away with it.
    """
    inside = None
    for cell in cells:
        if cell.cell_type != "markdown":
            continue
        heading = re.match(r"#{1,4} ", cell.source)
        if heading and inside:
            yield inside
        if heading:
            inside = cell.id if cell.source.startswith("#### Solution") else None
    if inside:
        yield inside


def main(arguments=None, root=ROOT):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", nargs="?", default="", metavar="owner/name")
    parser.add_argument("--commit", help="by default the one of this folder")
    parser.add_argument("--to", default=OUT, type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    name = options.repository or repository.find(root)
    if name is None:
        sys.exit(
            "colab: expected a repository on GitHub: make colab REPO=owner/name, the "
            "environment's GITHUB_REPOSITORY, or a git remote there; but got none"
        )
    if not repository.NAME.fullmatch(name):
        sys.exit(f"colab: expected REPO to be owner/name, but got {name!r}")
    commit = options.commit or git("rev-parse", "HEAD", root=root)
    if not re.fullmatch(r"[0-9a-f]{40}", commit or ""):
        sys.exit(
            "colab: expected the 40 digits of a commit to install lnlib at, from git "
            f"in this folder or from --commit, but got {commit}"
        )
    try:
        paths = Edition(name, commit, root).write(options.to)
    except UnknownSyntax as error:
        sys.exit(f"colab: {error}")
    for doubt in doubts(name, commit, root):
        print(f"colab: note that {doubt}", file=sys.stderr)
    print(f"{len(paths)} notebooks for {name} at {commit[:12]} are in")
    print(f"    {options.to}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
