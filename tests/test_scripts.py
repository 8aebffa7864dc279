"""The scripts behind make: what they say when something is missing, what they count."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

# Those of scripts/ are on the path by tests/conftest.py.
import browser
import check
import colab
import draw_figures
import nbformat
import pytest
import run_notebooks

ROOT = Path(__file__).resolve().parent.parent
SETUP = shutil.which("sh") and ROOT / "scripts" / "setup.sh"


def executable(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def folder(tmp_path):
    """A folder with the set-up script, and a PATH with nothing but what it needs."""
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/setup.sh", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("awk", "cat", "cksum", "df", "dirname", "grep", "rm"):
        if path := shutil.which(name):
            (tools / name).symlink_to(path)
    return tmp_path


def setup(folder, **settings):
    done = subprocess.run(
        [shutil.which("sh"), folder / "scripts" / "setup.sh"],
        env={"PATH": str(folder / "bin"), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


# Stands for a Python: answers what it is asked for its version, and has no venv.
STAND_IN = """#!/bin/sh
case "$2" in
*version_info*) echo {version} ;;
*) exit 1 ;;
esac
"""

posix = pytest.mark.skipif(os.name != "posix", reason="the script is for POSIX sh")


@posix
def test_no_python_is_said(folder):
    status, said = setup(folder)
    assert status == 1
    assert "needs Python 3.11, and no Python was found" in said
    assert "Install it" in said


@posix
@pytest.mark.parametrize("version", ["2.7", "3.8", "3.13"])
def test_another_python_is_named(folder, version):
    executable(folder / "bin" / "python3", STAND_IN.format(version=version))
    status, said = setup(folder)
    assert status == 1
    assert f"python3 ({version})" in said and "make PYTHON=" in said
    assert not (folder / ".venv").exists()


@posix
def test_a_python_without_venv_is_said(folder):
    executable(folder / "bin" / "python3.11", STAND_IN.format(version="3.11"))
    status, said = setup(folder)
    assert status == 1
    assert "no venv and ensurepip" in said and "apt-get install python3.11-venv" in said


@posix
def test_too_little_disk_is_said(folder):
    told = STAND_IN.format(version="3.11").replace("exit 1", "exit 0")
    executable(folder / "bin" / "python3.11", told)
    status, said = setup(folder, LNLIB_DISK_MB="999999999")
    assert status == 1
    assert "needs about 999999999 MB" in said and "MB are free" in said


@posix
def test_a_python_that_was_asked_for_is_used_first(folder):
    named = folder / "other python"
    executable(named, STAND_IN.format(version="3.11"))
    _, said = setup(folder, PYTHON=str(named))
    assert f"{named} cannot make an environment" in said


@posix
def test_pip_failing_is_said_and_nothing_counts_as_done(folder):
    fake = STAND_IN.replace(
        "*) exit 1 ;;",
        """*venv*) if [ "$1" = -m ]; then
    mkdir -p .venv/bin; cp "$0" .venv/bin/python
    echo "$PWD/.venv" >.venv/bin/activate; fi ;;
*pip*) [ "$3" = --version ] || {{ echo no network >&2; exit 1; }} ;;""",
    )
    executable(folder / "bin" / "python3.11", fake.format(version="3.11"))
    for name in ("mkdir", "cp"):
        (folder / "bin" / name).symlink_to(shutil.which(name))
    status, said = setup(folder, LNLIB_DISK_MB="0")
    assert status == 1
    assert "no network" in said and "pip could not install requirements.lock" in said
    assert not (folder / ".venv" / ".complete").exists()
    # The half-made environment is kept and gone on with.
    _, said = setup(folder, LNLIB_DISK_MB="0")
    assert "making .venv" not in said
    # One that was moved here from elsewhere is made anew.
    (folder / ".venv" / "bin" / "activate").write_text("/elsewhere/.venv")
    _, said = setup(folder, LNLIB_DISK_MB="0")
    assert "making .venv" in said


def test_the_lock_names_versions_and_nothing_else():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert "torch==2.13.0" in pins
    for pin in pins:
        name, version = pin.split("==")
        assert name and version and "+" not in version and " " not in pin
    names = {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
    asked = (ROOT / "requirements.in").read_text().splitlines()
    for line in asked:
        if line and not line.startswith("#"):
            assert line in pins or line.lower() in names


# --- notebooks ----------------------------------------------------------------------


def notebook(path, *sources):
    cells = [
        nbformat.v4.new_code_cell(s, id=f"cell-{i}") for i, s in enumerate(sources)
    ]
    cells[0].metadata["execution"] = {"iopub.status.busy": "then"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def test_a_notebook_is_run_and_tidied(tmp_path, monkeypatch):
    # A backend from outside would keep figures out of the notebook.
    monkeypatch.setenv("MPLBACKEND", "agg")
    path = tmp_path / "01_good.ipynb"
    notebook(path, "print(1)\nprint(2)", "import os\nos.environ['OMP_NUM_THREADS']")
    assert run_notebooks.run_all([path]) == 0
    done = nbformat.read(path, as_version=4)
    assert [c.execution_count for c in done.cells] == [1, 2]
    assert [c.id for c in done.cells] == ["cell-0", "cell-1"]
    assert done.cells[0].outputs[0].text == "1\n2\n"
    assert done.cells[1].outputs[0].data["text/plain"] == "'1'"
    assert done.cells[0].metadata == {}
    assert done.metadata.language_info == {"name": "python"}
    first = path.read_bytes()
    run_notebooks.run(path)
    assert path.read_bytes() == first
    assert "MPLBACKEND" not in run_notebooks.environment()


def test_a_notebook_that_fails_stays_as_it_was(tmp_path, capfd):
    good, bad = tmp_path / "01_good.ipynb", tmp_path / "02_bad.ipynb"
    notebook(good, "1 + 1")
    notebook(bad, "1 + 1", "1 / 0")
    before = bad.read_bytes()
    assert run_notebooks.run_all([good, bad]) == 1
    assert bad.read_bytes() == before
    assert nbformat.read(good, as_version=4).cells[0].outputs
    said = capfd.readouterr()
    assert "02_bad.ipynb: failed, left as it was" in said.out
    assert "ZeroDivisionError" in said.out and "02_bad.ipynb" in said.err
    assert sorted(p.name for p in tmp_path.iterdir()) == [good.name, bad.name]


def test_notebooks_are_chosen_by_how_their_names_start(monkeypatch, tmp_path):
    for name in ("01_a.ipynb", "02_b.ipynb"):
        (tmp_path / name).touch()
    monkeypatch.setattr(run_notebooks, "NOTEBOOKS", tmp_path)
    assert len(run_notebooks.chosen([])) == 2
    assert [p.name for p in run_notebooks.chosen(["02"])] == ["02_b.ipynb"]
    with pytest.raises(SystemExit, match="none starts with '7'; there are: 01_a, 02_b"):
        run_notebooks.chosen(["7"])


# --- the Colab edition --------------------------------------------------------------


def git(folder, *arguments):
    who = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgSign=false")
    command = ["git", "-C", folder, *who, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A small book in a clone of a repository, all of it committed and pushed."""
    for name in ("GITHUB_REPOSITORY", "GITHUB_SHA"):
        monkeypatch.delenv(name, raising=False)
    there, here = tmp_path / "there", tmp_path / "here"
    git(tmp_path, "init", "-q", "--bare", there)
    git(tmp_path, "init", "-q", "-b", "main", here)
    (here / "notebooks").mkdir()
    chapter = [
        nbformat.v4.new_markdown_cell("# One\n\n{glue:text}`two`", id="title"),
        nbformat.v4.new_code_cell("glue('two', 2)", id="number"),
    ]
    prefix = "application/papermill.record/"
    chapter[1].outputs = [
        nbformat.v4.new_output(
            "display_data",
            {prefix + "text/plain": "2"},
            metadata={"scrapbook": {"name": "two", "mime_prefix": prefix}},
        )
    ]
    made = nbformat.v4.new_notebook(cells=chapter)
    nbformat.write(made, here / "notebooks" / "01_one.ipynb")
    for name in ("pyproject.toml", "_config.yml"):
        shutil.copy(ROOT / name, here)
    (here / "book").mkdir()
    shutil.copy(ROOT / "book" / "references.bib", here / "book")
    (here / "_toc.yml").write_text("root: notebooks/01_one\n")
    git(here, "add", "-A")
    git(here, "commit", "-q", "-m", "One")
    git(here, "remote", "add", "origin", "https://github.com/someone/book.git")
    git(here, "push", "-q", there, "main")
    git(here, "fetch", "-q", there, "main:refs/remotes/origin/main")
    return here


def write_edition(clone, capsys, *arguments):
    """The cells of the edition's one chapter, and what was said."""
    to = clone.parent / "edition"
    assert colab.main([*arguments, "--to", str(to)], root=clone) == 0
    made = nbformat.read(to / "01_one.ipynb", as_version=4)
    return made.cells, capsys.readouterr().err


def test_the_edition_is_of_the_repository_and_commit_of_the_folder(clone, capsys):
    cells, said = write_edition(clone, capsys)
    assert said == ""
    commit = git(clone, "rev-parse", "HEAD")
    assert f'COMMIT = "{commit}"' in cells[1].source
    assert "git+https://github.com/someone/book@{COMMIT}" in cells[1].source
    assert "https://someone.github.io/book/notebooks/01_one.html" in cells[0].source
    # NumPy is there already; what lnlib needs besides is named by pyproject.toml.
    pip = [line for line in cells[1].source.splitlines() if "%pip" in line]
    assert len(pip) == 2 and all("--no-deps" in line for line in pip)
    assert "array-api-compat>=" in pip[0] and "numpy" not in "".join(pip)
    assert cells[2].source == "# One\n\n2"


def test_a_fork_gets_its_own_edition(clone, capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "forker/book")
    cells, said = write_edition(clone, capsys)
    assert "github.com/forker/book@" in cells[1].source
    assert "no remote of this folder is forker/book" in said
    cells, _ = write_edition(clone, capsys, "third/book")
    assert "github.com/third/book@" in cells[1].source


@pytest.mark.parametrize("name", ["book", "https://github.com/a/b", "a/b/c", "a b/c"])
def test_a_bad_repository_is_refused(clone, name):
    with pytest.raises(SystemExit, match="expected REPO to be owner/name, but got"):
        colab.main([name], root=clone)


def test_no_repository_and_no_commit_are_said(clone, tmp_path):
    git(clone, "remote", "remove", "origin")
    with pytest.raises(SystemExit, match=r"make colab REPO=owner/name.* got none"):
        colab.main([], root=clone)
    shutil.rmtree(clone / ".git")
    with pytest.raises(SystemExit, match="expected the 40 digits of a commit"):
        colab.main(["someone/book"], root=clone)


def test_a_commit_that_readers_cannot_install_is_said(clone, capsys, monkeypatch):
    (clone / "pyproject.toml").open("a").write("# changed\n")
    _, said = write_edition(clone, capsys)
    assert (
        "changes that are not committed" in said and "before it is pushed" not in said
    )
    git(clone, "commit", "-q", "-a", "-m", "Two")
    _, said = write_edition(clone, capsys)
    assert "cannot be installed before it is pushed" in said
    assert "not committed" not in said
    # In a workflow the commit is one that was pushed.
    monkeypatch.setenv("GITHUB_SHA", git(clone, "rev-parse", "HEAD"))
    assert write_edition(clone, capsys)[1] == ""
    _, said = write_edition(clone, capsys, "--commit", "0" * 40)
    assert "000000000000 is not the commit of this folder" in said


def test_what_cannot_be_rendered_is_named_and_nothing_is_written(clone, tmp_path):
    path = clone / "notebooks" / "01_one.ipynb"
    path.write_text(path.read_text().replace("{glue:text}", "{unheard}"))
    to = tmp_path / "edition"
    with pytest.raises(SystemExit, match=r"01_one.ipynb, cell title: .*role {unheard}"):
        colab.main(["--to", str(to)], root=clone)
    assert not to.exists()


# --- figures, counts, browser -------------------------------------------------------


def test_the_figures_are_those_that_the_script_draws(tmp_path):
    for drawn in draw_figures.draw(tmp_path):
        stored = draw_figures.STATIC / drawn.relative_to(tmp_path)
        assert drawn.read_text() == stored.read_text()


def test_totals_are_those_of_the_reports(tmp_path):
    tests = tmp_path / "test_of_each_kind.py"
    tests.write_text("""
import pytest
def test_passes(): pass
def test_passes_too(): pass
def test_fails(): assert 0
@pytest.fixture
def broken(): assert 0
def test_error(broken): pass
@pytest.mark.skip(reason="to be counted")
def test_skipped(): pass
@pytest.mark.xfail
def test_expected_to_fail(): assert 0
""")
    for name in ("one", "two"):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        report = f"--junitxml={tmp_path / name}.xml"
        subprocess.run(
            [*command, "-o", "junit_family=xunit1", report, tests],
            capture_output=True,
            check=False,
        )
    assert check.totals(tmp_path) == (4, 4, 4)
    assert check.totals(tmp_path / "bin") == (0, 0, 0)


@posix
def test_a_browser_is_one_that_starts(tmp_path, monkeypatch, capfd):
    broken, works = tmp_path / "chromium", tmp_path / "google-chrome"
    executable(broken, "#!/bin/sh\necho 'install the snap'; exit 10\n")
    monkeypatch.setattr(browser, "ELSEWHERE", ())
    monkeypatch.setattr(browser, "from_playwright", lambda: None)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    monkeypatch.delenv("CHROME", raising=False)
    assert browser.find() is None
    executable(works, "#!/bin/sh\necho 'Chrome 1.0'\n")
    assert browser.find() == str(works)
    monkeypatch.setenv("CHROME", str(broken))
    assert browser.find() == str(works)
    assert "expected CHROME to name a browser that starts" in capfd.readouterr().err


def test_where_no_browser_can_be_had_all_ways_are_tried(monkeypatch, capfd):
    monkeypatch.setattr(browser, "find", lambda: None)
    tried = []

    def refuse(command, **options):
        tried.append(command)
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(browser.subprocess, "run", refuse)
    assert browser.install() is None
    assert tried[-1][1:] == ["-m", "playwright", "install", "chromium"]
    assert capfd.readouterr().err.count("that failed") == len(tried)
