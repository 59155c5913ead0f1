#!/usr/bin/env bash
# Configures and builds quietly; the whole output is in FOLDER/build.log and its end is shown when something fails.
# usage: scripts/build.sh FOLDER TARGET|all [cmake options...]
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 target=$2
shift 2
mkdir -p "$folder"
log=$folder/build.log

# A folder that was configured by hand keeps its generator.
generator=(-G Ninja)
[ ! -f "$folder/CMakeCache.txt" ] || generator=()

run() {
  "$@" >>"$log" 2>&1 || {
    tail -n 40 "$log" >&2
    echo "the build failed; all it said is in $log" >&2
    exit 1
  }
}

: >"$log"
run cmake -S . -B "$folder" "${generator[@]}" "$@"
run cmake --build "$folder" --target "$target"
