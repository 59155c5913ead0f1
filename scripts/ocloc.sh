#!/usr/bin/env bash
# Prints the path of Intel's compiler ocloc. It comes in the package of an OpenCL driver. Installed, that driver would appear as
# a platform in every OpenCL program and stop programs that run under a sanitizer. So the package is unpacked into build/static,
# not installed. Needs no GPU, but scripts/setup.sh static.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$PWD/build/static/intel
ocloc=$folder/usr/bin/ocloc
if [ ! -x "$ocloc" ] && command -v dpkg >/dev/null; then
  mkdir -p "$folder"
  (cd "$folder" && apt-get -q download intel-opencl-icd && dpkg -x intel-opencl-icd_*.deb .) >&2 || true
fi
[ -x "$ocloc" ] || { echo "ocloc.sh: the package intel-opencl-icd could not be had" >&2; exit 1; }
echo "$ocloc"
