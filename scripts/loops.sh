#!/usr/bin/env bash
# Finds the loop in which each hot kernel spends its time in the assembly that each vendor's compiler makes for devices that
# this machine does not have, and counts its instructions. bench/results/loops.md has the result.
# usage: scripts/loops.sh [--write] [--raise] [--program PATTERN] [--kernel PATTERN] [--show] [TARGET ...]
#   --write            rewrite bench/results/loops.md, which has the loops that have floors
#   --raise            rewrite the floors in tests/static/floors.tsv from what is found
#   --program PATTERN  only programs that match, "*matrix*TILE=128*"; prints their rows instead of testing
#   --kernel PATTERN   only kernels that match, "gemm_nt"; likewise. With --raise, rewrites the rows that these have
#   --show             with these, print the loops' instructions too
# Without the last three, prints one line per target: name, kernels passed, kernels below their floor, targets skipped, seconds,
# reason for skipping. A test without TARGET looks at the targets that have floors. Programs are compiled, and results cached, as
# by scripts/static.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

options=() targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --write) options+=(--write bench/results/loops.md) ;;
    --raise | --show) options+=("$1") ;;
    --program | --kernel)
      [ $# -ge 2 ] || { echo "loops.sh: $1 needs a value" >&2; exit 2; }
      options+=("$1" "$2")
      shift
      ;;
    --help | -h) sed -n '4,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "loops.sh: unknown option $1" >&2; exit 2 ;;
    *) targets+=("$1") ;;
  esac
  shift
done

. scripts/static-tools.sh

exec python3 tests/static/loops.py "$work/programs" "$work" "${compilers[@]}" "${disassembler[@]}" \
  --floors tests/static/floors.tsv "${options[@]}" "${targets[@]}"
