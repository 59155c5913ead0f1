#!/usr/bin/env bash
# Compiles every kernel, in every type and tuned variant, with each vendor's own compiler for devices that this machine
# does not have: NVIDIA's NVRTC, clang for AMD, Intel's ocloc. bench/results/static.md has the result.
# usage: scripts/static.sh [--write] [TARGET ...]     (sm_90, gfx1100, pvc ...; default: all targets)
#   --write   rewrite bench/results/static.md
# Prints one line per target: name, kernels passed, kernels failed, targets skipped, seconds, reason for skipping. Results
# are cached under build/static by their inputs, so unchanged programs are not compiled again.
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

work=$PWD/build/static
mkdir -p "$work/programs"
scripts/setup.sh static >&2 || echo "static.sh: a compiler could not be installed; its targets are skipped" >&2

nvrtc=$(scripts/nvrtc.sh) || nvrtc=""

# Intel's ocloc comes in the package of an OpenCL driver. Installed, that driver would appear as a platform in every OpenCL
# program and stop programs that run under a sanitizer. So the package is unpacked here, not installed.
ocloc=$work/intel/usr/bin/ocloc
if [ ! -x "$ocloc" ] && command -v dpkg >/dev/null; then
  mkdir -p "$work/intel"
  (cd "$work/intel" && apt-get -q download intel-opencl-icd && dpkg -x intel-opencl-icd_*.deb .) >&2 || true
fi

cmake --build build --target static_programs >&2
build/static_programs "$work/programs"
exec python3 tests/static/compile.py "$work/programs" "$work" --nvrtc "${nvrtc:-none}" --ocloc "$ocloc" "${write[@]}" "$@"
