#!/usr/bin/env bash
# Installs Intel's OpenCL runtime for CPUs from its Python wheels and writes an .icd file for it, so that tests can run on a
# second implementation. genhance does not need it.
# usage: scripts/intel-runtime.sh ICD-FOLDER      (then OCL_ICD_VENDORS=ICD-FOLDER)
set -euo pipefail
cd "$(dirname "$0")/.."
icd_folder=$1
folder=${GH_RUNTIMES_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/genhance-runtimes}/intel

library() { find "$folder" -name libintelocl.so 2>/dev/null | head -n 1; }

if [ -z "$(library)" ]; then
  scripts/setup.sh intel
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet intel-opencl-rt intel-cmplr-lib-rt
fi
mkdir -p "$icd_folder"
echo "$(library)" >"$icd_folder/intel.icd"
[ -s "$icd_folder/intel.icd" ] && [ -n "$(library)" ]
