#!/bin/sh
# Make .venv with the locked environment, or do nothing if it is there and whole.
set -eu

cd -P "$(dirname "$0")/.."
here=$(pwd -P)
wanted=3.11
# Measured: .venv is 2.1 GB with torch's CPU build; pip unpacks the rest of it first.
disk_mb=${LNLIB_DISK_MB:-3000}

stop() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

find_python() {
    seen=
    for name in "${PYTHON:-}" python$wanted python3 python; do
        path=$(command -v "$name" 2>/dev/null) || continue
        version=$(version_of "$path") || continue
        if [ "$version" = "$wanted" ]; then
            printf '%s\n' "$path"
            return
        fi
        seen="$seen $path ($version)"
    done
    if [ -z "$seen" ]; then
        stop "the book needs Python $wanted, and no Python was found." \
            "Install it (python.org, your package manager, pyenv or uv) and run make again."
    fi
    stop "the book is built and tested on Python $wanted; found only:$seen." \
        "Install Python $wanted beside it, or name one: make PYTHON=/path/to/python$wanted"
}

# Whether .venv works, and was made here: a moved or copied folder has scripts that
# point to its old place, and an interrupted one may have no pip.
is_sound() {
    [ "$(version_of .venv/bin/python)" = "$wanted" ] &&
        grep -qF "$here/.venv" .venv/bin/activate 2>/dev/null &&
        .venv/bin/python -m pip --version >/dev/null 2>&1
}

state="$(cat requirements.lock pyproject.toml | cksum) Python $wanted in $here"
stamp=.venv/.complete
if [ "$(cat "$stamp" 2>/dev/null)" = "$state" ] &&
    [ "$(version_of .venv/bin/python)" = "$wanted" ]; then
    exit 0
fi

if ! is_sound; then
    python=$(find_python)
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        stop "$python cannot make an environment: it has no venv and ensurepip." \
            "On Debian and Ubuntu: apt-get install python$wanted-venv"
    rm -rf .venv
    free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
    [ "${free_mb:-0}" -ge "$disk_mb" ] ||
        stop "the environment needs about $disk_mb MB of disk in $here; $free_mb MB are free." \
            "Make room, or move the folder to a larger disk, and run make again."
    printf 'setup: making .venv with %s\n' "$python"
    "$python" -m venv .venv || stop "$python could not make .venv; it says why above."
fi

printf 'setup: installing requirements.lock, some minutes the first time\n'
rm -f "$stamp"
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    -r requirements.lock ||
    stop "pip could not install requirements.lock; it says why above." \
        "What it has installed is kept. Is the network there? Then run make again."
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation --editable . ||
    stop "pip could not install lnlib itself from this folder; it says why above."
printf '%s\n' "$state" >"$stamp"
