#!/usr/bin/env bash
# Compiles every kernel, in every type and tuned variant, with each vendor's own compiler for devices that this machine
# does not have: NVIDIA's NVRTC, clang for AMD, Intel's ocloc. bench/results/static.md has the result.
# usage: scripts/static.sh [--write] [TARGET ...]     (sm_90, gfx1100, pvc ...; default: all targets)
#   --write   rewrite bench/results/static.md
# Prints one line per target: name, kernels passed, kernels failed, targets skipped, processor seconds, reason for
# skipping. Results are cached under build/static by their inputs, so unchanged programs are not compiled again.
set -euo pipefail
cd "$(dirname "$0")/.."

write=()
while [[ ${1:-} == -* ]]; do
  case $1 in
    --write) write=(--write bench/results/static.md) ;;
    --help | -h) sed -n '4,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "static.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift
done

. scripts/static-tools.sh
exec python3 tests/static/compile.py "$work/programs" "$work" "${compilers[@]}" "${write[@]}" "$@"
