#!/usr/bin/env bash
# Predicts the time of a training step on GPUs that this machine does not have, and rewrites the tables of
# docs/gpu-performance.md and bench/results/gpu-predicted.tsv, with which scripts/check-gpu.sh compares.
# usage: scripts/predict.sh [--write]
#   --write   rewrite the two files; without it, only print
set -euo pipefail
cd "$(dirname "$0")/.."

write=()
case ${1:-} in
  "") ;;
  --write) write=(--page docs/gpu-performance.md --table bench/results/gpu-predicted.tsv) ;;
  --help | -h) sed -n '4,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "predict.sh: unknown option $1" >&2; exit 2 ;;
esac

. scripts/static-tools.sh
cmake --build build --target static_step >&2
exec python3 tests/static/predict.py "$work/programs" "$work" --step build/static_step "${compilers[@]}" "${disassembler[@]}" \
  "${write[@]}"
