#!/bin/sh
# Makes .venv from requirements.lock (hashes checked) and installs this checkout into it, editable.
# Needs Python 3.11 or 3.12. uv is used where it is installed, pip otherwise.
set -eu
cd "$(dirname "$0")/.."

find_python() {
    for candidate in ${PYTHON:-} python3.11 python3.12 python3; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, 13)))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "funnelhouse: Python 3.11 or 3.12 is needed and was not found. Install it, or name it: make PYTHON=/path/to/python3.11" >&2
    exit 1
}

python=$(find_python)
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
echo "Making .venv with $("$python" --version 2>&1) (once; about a minute)"
rm -rf .venv

if command -v uv >/dev/null 2>&1; then
    "$python" -m venv --without-pip .venv
    uv pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes -r requirements.lock
    uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
elif "$python" -m venv .venv >/dev/null 2>&1; then
    .venv/bin/python -m pip install --quiet --require-hashes -r requirements.lock
    .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
elif "$python" -m pip --version >/dev/null 2>&1; then
    # A Python without ensurepip (Debian splits it off) but with pip of its own.
    rm -rf .venv
    "$python" -m venv --without-pip .venv
    "$python" -m pip --python .venv/bin/python install --quiet --require-hashes -r requirements.lock
    "$python" -m pip --python .venv/bin/python install --quiet --no-deps --no-build-isolation -e .
else
    rm -rf .venv
    echo "funnelhouse: this Python has neither ensurepip nor pip. On Debian: apt-get install python3-venv" >&2
    exit 1
fi
touch .venv/.complete
