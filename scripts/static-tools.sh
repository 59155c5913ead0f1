# Sourced by static.sh and loops.sh: installs the vendors' compilers, writes the programs that they compile into
# $work/programs, and sets the arrays `compilers`, options for tests/static/compile.py, and `disassembler`, for loops.py, too.

work=$PWD/build/static
mkdir -p "$work/programs"
scripts/setup.sh static >&2 || echo "a compiler could not be installed; its targets are skipped" >&2

nvrtc=$(scripts/nvrtc.sh) || nvrtc=""
nvdisasm=$(scripts/nvrtc.sh --nvdisasm) || nvdisasm=""

# Intel's ocloc comes in the package of an OpenCL driver. Installed, that driver would appear as a platform in every OpenCL
# program and stop programs that run under a sanitizer. So the package is unpacked here, not installed.
ocloc=$work/intel/usr/bin/ocloc
if [ ! -x "$ocloc" ] && command -v dpkg >/dev/null; then
  mkdir -p "$work/intel"
  (cd "$work/intel" && apt-get -q download intel-opencl-icd && dpkg -x intel-opencl-icd_*.deb .) >&2 || true
fi

cmake --build build --target static_programs >&2
build/static_programs "$work/programs"
compilers=(--nvrtc "${nvrtc:-none}" --ocloc "$ocloc")
disassembler=(--nvdisasm "$nvdisasm")
