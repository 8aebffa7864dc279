"""A machine such as Colab gives: a Python of its own with a few packages, and a kernel.

The packages are those that the tests name, with all that they require, linked from the
environment that runs the tests. Anything else that is installed there is not seen. They
lie outside the machine's own folder of packages, as on Colab, where what is installed
later goes to; so what was added can be read off that folder. git and pip are led to a
repository and to wheels on this machine, and cannot reach the network.
"""

import json
import os
import shutil
import subprocess
import venv
import zipfile
from importlib import metadata
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
# What outside would lead Python, pip or git elsewhere.
OUTSIDE = ("PYTHON", "PIP_", "GIT_", "VIRTUAL_ENV", "JUPYTER", "MPLBACKEND", "IPYTHON")


def with_all_they_require(names):
    """The distributions of these names and of what they require, by name."""
    wanted, found = list(names), {}
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        for text in found[name].requires or ():
            requirement = Requirement(text)
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                wanted.append(requirement.name)
    return found


def link(distributions, folder):
    """Make a folder in which these distributions can be imported, and no others."""
    owners = {}
    for distribution in metadata.distributions():
        name = canonicalize_name(distribution.metadata["Name"])
        for file in distribution.files or ():
            if file.parts[0] not in ("..", "/", "__pycache__"):
                owners.setdefault(file.parts, (name, file.locate()))
    _link(owners, set(distributions), Path(folder), 0)


def _link(files, wanted, folder, depth):
    folder.mkdir()
    entries = {}
    for parts, owner in files.items():
        entries.setdefault(parts[depth], {})[parts] = owner
    for name, inside in entries.items():
        theirs = {owner for owner, _ in inside.values()}
        if not theirs & wanted:
            continue
        # A folder that others share is gone through; it may be a namespace package.
        if theirs <= wanted:
            parts, (_, place) = next(iter(inside.items()))
            for _ in parts[depth + 1 :]:
                place = Path(place).parent
            (folder / name).symlink_to(place)
        else:
            _link(inside, wanted, folder / name, depth + 1)


def pack(name, folder):
    """A wheel of an installed distribution that is plain Python."""
    distribution = metadata.distribution(name)
    stem = f"{name.replace('-', '_')}-{distribution.version}"
    made_by_pip = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json")
    files = [
        file
        for file in distribution.files
        if ".." not in file.parts
        and file.suffix != ".pyc"
        and not (file.parts[0].endswith(".dist-info") and file.name in made_by_pip)
    ]
    info = next(f.parts[0] for f in files if f.parts[0].endswith(".dist-info"))
    with zipfile.ZipFile(Path(folder) / f"{stem}-py3-none-any.whl", "w") as wheel:
        for file in files:
            wheel.write(file.locate(), str(file))
        record = [f"{file},," for file in files] + [f"{info}/RECORD,,"]
        wheel.writestr(f"{info}/RECORD", "\n".join(record) + "\n")


def commit(folder, message):
    """Commit all of a folder, and return the commit."""
    who = ("user.name=t", "user.email=t@t", "commit.gpgSign=false")
    git = ["git", "-C", str(folder), *(x for w in who for x in ("-c", w))]
    settings = environment()
    for command in (["add", "-A"], ["commit", "-q", "--allow-empty", "-m", message]):
        subprocess.run([*git, *command], check=True, env=settings)
    done = subprocess.run(
        [*git, "rev-parse", "HEAD"],
        check=True,
        env=settings,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def library_repository(folder):
    """A repository with the library as it is here now, not yet committed."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "lnlib", folder / "lnlib", ignore=ignored)
    subprocess.run(["git", "init", "-q", folder], check=True, env=environment())


def environment():
    """The environment without what leads programs elsewhere."""
    return {k: v for k, v in os.environ.items() if not k.startswith(OUTSIDE)}


class Machine:
    """A Python with these distributions, and one repository at an address.

    Args:
        folder: where all of it is made.
        preinstalled: the names of the distributions; with them comes all they require.
        wheels: names of distributions that pip can install.
        repository: a folder with a git repository.
        address: where pip is told to find that repository.
    """

    def __init__(self, folder, preinstalled, wheels, repository, address):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.preinstalled = with_all_they_require(preinstalled)
        link(self.preinstalled, self.folder / "preinstalled")
        venv.create(self.folder / "own", with_pip=False, symlinks=os.name == "posix")
        self.python = next(self.folder.glob("own/[bS]*/python*"))
        self.packages = Path(
            self.output("import site; print(site.getsitepackages()[0])")
        )
        (self.packages / "preinstalled.pth").write_text(
            f"{self.folder / 'preinstalled'}\n"
        )
        (self.folder / "wheels").mkdir()
        for name in wheels:
            pack(name, self.folder / "wheels")
        self.redirect = (repository.as_uri(), address)
        kernel = self.folder / "kernels" / "python3"
        kernel.mkdir(parents=True)
        command = [str(self.python), "-m", "ipykernel_launcher", "-f"]
        about = {
            "argv": [*command, "{connection_file}"],
            "display_name": "Python 3",
            "language": "python",
        }
        (kernel / "kernel.json").write_text(json.dumps(about))

    def environment(self):
        settings = environment()
        # A port that nothing listens on: a request fails at once.
        nowhere = "http://127.0.0.1:9"
        settings |= dict.fromkeys(("http_proxy", "https_proxy"), nowhere)
        if hasattr(self, "redirect"):
            here, there = self.redirect
            settings |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"url.{here}.insteadOf",
                "GIT_CONFIG_VALUE_0": there,
            }
        return settings | {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_CACHE_DIR": str(self.folder / "cache"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.folder / "wheels"),
            # Of this option pip reads the value the other way round: no isolation.
            "PIP_NO_BUILD_ISOLATION": "0",
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "IPYTHONDIR": str(self.folder / "ipython"),
            **{f"{n}_NUM_THREADS": "1" for n in ("OMP", "MKL", "OPENBLAS")},
        }

    def output(self, code):
        """What a program prints on this machine."""
        done = subprocess.run(
            [self.python, "-c", code],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def added(self):
        """What lies in the machine's own folder of packages."""
        return {p.name for p in self.packages.iterdir()} - {"preinstalled.pth"}

    def run(self, notebook, folder, seconds):
        """Run a notebook in a folder, from top to bottom, in a kernel of its own."""
        manager = AsyncKernelManager(kernel_name="python3")
        # ensure_native_kernel would give the kernel of the tests' own Python.
        manager.kernel_spec_manager = KernelSpecManager(
            kernel_dirs=[str(self.folder / "kernels")], ensure_native_kernel=False
        )
        NotebookClient(
            notebook,
            km=manager,
            timeout=seconds,
            resources={"metadata": {"path": str(folder)}},
            shutdown_kernel="immediate",
        ).execute(env=self.environment())


def state(distribution):
    """Version, files, sizes and times of an installed distribution."""
    files = {
        str(file): (place.stat().st_size, place.stat().st_mtime_ns)
        for file in distribution.files
        if file.suffix != ".pyc" and (place := Path(file.locate())).exists()
    }
    return distribution.version, files
