#!/usr/bin/env bash
# Unit tests of what is behind scripts/loops.sh and scripts/predict.sh, on small committed pieces of assembly. Needs only Python.
set -u
command -v python3 >/dev/null || exit 77
exec env PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover -s "$(dirname "$0")/static" -p "test_*.py"
