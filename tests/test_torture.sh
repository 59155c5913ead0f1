#!/usr/bin/env bash
# A sample of scripts/torture.sh: calls that fail and kills, in a few commands, compared by their results.
# usage: test_torture.sh path/to/genhance
set -euo pipefail
genhance=$(realpath "$1")
[ -f "$(dirname "$genhance")/fault_inject.so" ] || { echo "skipped: fault_inject.so is not built"; exit 77; }
if grep -q __asan_init "$genhance" || grep -q __tsan_init "$genhance"; then
  echo "skipped: a sanitizer has its own allocator"
  exit 77
fi
exec bash "$(dirname "$0")/../scripts/torture.sh" sample "$genhance"
