#!/bin/sh
# Resolve requirements.in anew, in an environment of its own, into requirements.lock.
set -eu

cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
.venv/bin/python -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet -r requirements.in
"$scratch/venv/bin/python" -m pip check
{
    echo "# Every version the book is built and tested with. Made by: make lock"
    # A local version such as +cpu names one index's build of a release; the release
    # is what is locked. torch's CUDA and Triton wheels are its own to choose.
    "$scratch/venv/bin/python" -m pip freeze --all |
        sed 's/+[a-z0-9.]*$//' |
        grep -v -i -E '^(pip|nvidia-.*|cuda-.*|triton)=='
} >"$scratch/lock"
mv "$scratch/lock" requirements.lock
echo "lock: $(grep -c == requirements.lock) packages in requirements.lock"
