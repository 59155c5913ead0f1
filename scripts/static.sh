#!/usr/bin/env bash
# Compiles every kernel, in every type and tuned variant, with each vendor's own compiler for devices that this machine
# does not have: NVIDIA's NVRTC, clang for AMD, Intel's ocloc. bench/results/static.md has the result.
# usage: scripts/static.sh [--write] [--program PATTERN] [TARGET ...]     (sm_90, gfx1100, pvc ...; default: all targets)
#   --write            rewrite bench/results/static.md
#   --program PATTERN  only programs that match, "*attention*SIZE=64*"
# Prints one line per target: name, kernels passed, kernels failed, targets skipped, processor seconds, reason for
# skipping. Results are cached under build/static by their inputs, so unchanged programs are not compiled again.
set -euo pipefail
cd "$(dirname "$0")/.."

options=()
while [[ ${1:-} == -* ]]; do
  case $1 in
    --write) options+=(--write bench/results/static.md) ;;
    --program)
      [ $# -ge 2 ] || { echo "static.sh: $1 needs a value" >&2; exit 2; }
      options+=("$1" "$2")
      shift
      ;;
    --help | -h) sed -n '4,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "static.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift
done

. scripts/static-tools.sh
exec python3 tests/static/compile.py "$work/programs" "$work" "${compilers[@]}" "${options[@]}" "$@"
