#!/bin/sh
# Make .venv with the locked environment, or do nothing if it is there and whole.
set -eu

cd "$(dirname "$0")/.."
wanted=3.11
disk_mb=${LNLIB_DISK_MB:-3000} # measured: 2.1 GB for .venv, and what pip unpacks

stop() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

find_python() {
    seen=
    for name in ${PYTHON:-} python$wanted python3 python; do
        path=$(command -v "$name" 2>/dev/null) || continue
        version=$(version_of "$path") || continue
        if [ "$version" = "$wanted" ]; then
            printf '%s\n' "$path"
            return
        fi
        seen="$seen $path ($version)"
    done
    if [ -z "$seen" ]; then
        stop "The book needs Python $wanted, and no Python was found." \
            "Install it (python.org, your package manager, pyenv or uv) and run make again."
    fi
    stop "The book is built and tested on Python $wanted; found only:$seen." \
        "Install Python $wanted beside it, or name one: make PYTHON=/path/to/python$wanted"
}

stamp=.venv/.complete
if [ -x .venv/bin/python ] && [ -f "$stamp" ]; then
    state=$(cat requirements.lock pyproject.toml | cksum)
    # A folder that was moved or copied has scripts that point to its old place.
    if [ "$(cat "$stamp")" = "$state $PWD" ] && [ "$(version_of .venv/bin/python)" = "$wanted" ]; then
        exit 0
    fi
fi

python=$(find_python)
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    stop "$python has no venv module." \
        "On Debian and Ubuntu: apt-get install python$wanted-venv"

free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
if [ "${free_mb:-0}" -lt "$disk_mb" ] && [ ! -x .venv/bin/python ]; then
    stop "The environment needs about $disk_mb MB of disk in $PWD, and $free_mb MB are free."
fi

printf 'setup: making .venv with %s, some minutes the first time\n' "$python"
rm -f "$stamp"
if [ -x .venv/bin/python ] && [ "$(version_of .venv/bin/python)" != "$wanted" ]; then
    rm -rf .venv
fi
"$python" -m venv .venv || stop "$python could not make .venv."
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    -r requirements.lock ||
    stop "pip could not install requirements.lock; its last lines above say why." \
        "What is installed is kept: run make again once the network is back."
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation --editable . ||
    stop "pip could not install lnlib itself from this folder."
printf '%s %s\n' "$(cat requirements.lock pyproject.toml | cksum)" "$PWD" >"$stamp"
