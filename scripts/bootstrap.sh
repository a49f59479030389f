#!/usr/bin/env bash
# Puts the pinned uv into .cache/tools and the locked environment into .venv. Needs Python >= 3.11 and nothing else; run by make.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
tools=.cache/tools

"$python" - <<'PY' || exit 1
import sys
if sys.version_info < (3, 11):
    sys.exit(f"Headwater needs Python 3.11 or newer; this is {sys.version.split()[0]}. Set PYTHON=/path/to/python3.11.")
PY

if ! "$tools/bin/uv" --version >/dev/null 2>&1 || [ scripts/uv.txt -nt "$tools/.stamp" ]; then
  echo "[1/3] installing uv into $tools"
  rm -rf "$tools"
  if ! "$python" -m venv "$tools" 2>/dev/null; then
    # Debian and Ubuntu split venv from python3.
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      echo "      python3-venv is missing; installing it"
      { apt-get update -qq && apt-get install -y -qq "python$version-venv"; } >/dev/null
      rm -rf "$tools"
      "$python" -m venv "$tools"
    else
      echo "Python's venv module is missing. Install it and run make again:  sudo apt-get install python$version-venv" >&2
      exit 1
    fi
  fi
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r scripts/uv.txt
  touch "$tools/.stamp"
fi

echo "[2/3] installing locked dependencies into .venv"
UV_PYTHON_DOWNLOADS=never "$tools/bin/uv" sync --frozen --python "$("$python" -c 'import sys; print(sys.executable)')" "$@"

# Compiled here in parallel, or every first start of a service would compile what it imports.
.venv/bin/python -m compileall -q -j 0 .venv/lib libs services sdk >/dev/null || true

echo "[3/3] preparing the embedding model"
.venv/bin/python -m inference.prepare
touch .venv/.stamp
