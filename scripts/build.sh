#!/usr/bin/env bash
# Configures and builds quietly. The output goes to FOLDER/build.log; its end is shown after a failure.
# usage: scripts/build.sh FOLDER TARGET|all [cmake options...]
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 target=$2
shift 2
mkdir -p "$folder"
log=$folder/build.log

# A folder that is already configured keeps its generator.
generator=(-G Ninja)
[ ! -f "$folder/CMakeCache.txt" ] || generator=()

run() {
  "$@" >>"$log" 2>&1 || {
    tail -n 40 "$log" >&2
    echo "the build failed; see $log" >&2
    exit 1
  }
}

: >"$log"
run cmake -S . -B "$folder" "${generator[@]}" "$@"
run cmake --build "$folder" --target "$target"
