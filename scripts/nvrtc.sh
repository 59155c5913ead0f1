#!/usr/bin/env bash
# Prints the path of NVIDIA's NVRTC, or with --nvdisasm of the disassembler: from a CUDA toolkit, else from NVIDIA's Python
# wheel, which is installed into build/static. Needs no GPU. Version 13.0 supports sm_75 to sm_120.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$PWD/build/static
case ${1:-} in
  "") package=nvidia-cuda-nvrtc==13.0.88 toolkit=lib64/libnvrtc.so wheel="lib/libnvrtc.so.13" ;;
  --nvdisasm) package=nvidia-cuda-nvdisasm==13.2.78 toolkit=bin/nvdisasm wheel="bin/nvdisasm" ;;
  *) echo "nvrtc.sh: unknown option $1" >&2; exit 2 ;;
esac
# The wheel's folder is named by the toolkit: nvidia/cu13/lib
installed() { find "$work/nvrtc" -path "*/nvidia/*/$wheel" 2>/dev/null | head -n 1 || true; }

[ ! -e "/usr/local/cuda/$toolkit" ] || { echo "/usr/local/cuda/$toolkit"; exit 0; }
found=$(installed)
if [ -z "$found" ]; then
  mkdir -p "$work"
  { python3 -m venv "$work/nvrtc" && "$work/nvrtc/bin/pip" install --quiet "$package"; } >&2 || true
  found=$(installed)
fi
[ -n "$found" ] || { echo "nvrtc.sh: NVIDIA's $package could not be found or installed" >&2; exit 1; }
echo "$found"
