#!/bin/sh
# Makes a virtual environment of exactly what a lock file names, and of model-agent itself.
#
# install.sh TARGET WHEELHOUSE LOCK SOURCE
#
# If WHEELHOUSE has wheels, nothing else is used, pip included: no network is needed, and no pip or
# ensurepip in the base image.
set -eu
target=$1 wheelhouse=$2 lock=$3 source=$4

python3 -m venv --without-pip "$target"
if ls "$wheelhouse"/*.whl >/dev/null 2>&1; then
  # A wheel runs as it is.
  runner=$(ls "$wheelhouse"/pip-*.whl)/pip
  pip() { python3 "$runner" --python "$target/bin/python" "$@"; }
  set -- --no-index --find-links "$wheelhouse"
  agent=$(ls "$wheelhouse"/model_agent-*.whl)
  # One that was made of an earlier checkout would be the agent of then.
  python3 -c 'import pathlib, sys, zipfile
wheel, source = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
made = {n: wheel.read(n) for n in wheel.namelist() if n.startswith("agent/") and n.endswith(".py")}
here = {str(p.relative_to(source)): p.read_bytes() for p in source.glob("agent/**/*.py")}
sys.exit(made != here and "The wheel of model-agent is of another checkout: run make wheelhouse.")
' "$agent" "$source"
else
  pip() { python3 -m pip --python "$target/bin/python" "$@"; }
  set --
  agent=$source
fi
pip install --quiet --no-cache-dir --no-deps --require-hashes "$@" --requirement "$lock"
pip install --quiet --no-cache-dir --no-deps "$@" "$agent"
# Tests of others, 20 MB of them, are no use here.
find "$target" -type d \( -name tests -o -name test \) -path '*/site-packages/*' -prune \
  -exec rm -rf {} +
