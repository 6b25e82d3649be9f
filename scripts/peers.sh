#!/bin/sh
# Makes .venv-peers: what is in .venv, and beside it the libraries that tests and benchmarks compare with (the
# extra `bench` of pyproject.toml). They stay out of .venv, which holds requirements.lock and nothing else.
set -eu
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

rm -rf .venv-peers
.venv/bin/python -m venv .venv-peers
site=$(.venv-peers/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/funnelhouse_environment.pth"
.venv/bin/python - <<'PYTHON' | .venv-peers/bin/python -m pip install --quiet -r /dev/stdin
import tomllib

extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]
print("\n".join(name for extra in ("peers", "bench") for name in extras[extra] if "funnelhouse" not in name))
PYTHON
touch .venv-peers/.complete
