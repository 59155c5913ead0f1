# Sourced by static.sh and loops.sh: installs the vendors' compilers, writes the programs that they compile into
# $work/programs, and sets the arrays `compilers`, options for tests/static/compile.py, and `disassembler`, for loops.py, too.

work=$PWD/build/static
mkdir -p "$work/programs"
scripts/setup.sh static >&2 || echo "a compiler could not be installed; its targets are skipped" >&2

nvrtc=$(scripts/nvrtc.sh) || nvrtc=""
nvdisasm=$(scripts/nvrtc.sh --nvdisasm) || nvdisasm=""
ocloc=$(scripts/ocloc.sh) || ocloc=none

cmake --build build --target static_programs >&2
build/static_programs "$work/programs"
compilers=(--nvrtc "${nvrtc:-none}" --ocloc "$ocloc")
disassembler=(--nvdisasm "$nvdisasm")
