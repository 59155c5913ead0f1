#!/usr/bin/env bash
# Prints the path of NVIDIA's NVRTC: from a CUDA toolkit, else from NVIDIA's Python wheel, which is installed into
# build/static. Needs no GPU. Version 13.0 supports sm_75 to sm_120.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$PWD/build/static
for library in /usr/local/cuda/lib64/libnvrtc.so "$work"/nvrtc/lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so.13; do
  [ ! -e "$library" ] || { echo "$library"; exit 0; }
done
mkdir -p "$work"
{ python3 -m venv "$work/nvrtc" && "$work/nvrtc/bin/pip" install --quiet nvidia-cuda-nvrtc==13.0.88; } >&2 || true
library=$(find "$work/nvrtc" -name libnvrtc.so.13 2>/dev/null | head -n 1) || true
[ -n "$library" ] || { echo "nvrtc.sh: NVIDIA's NVRTC could not be found or installed" >&2; exit 1; }
echo "$library"
