#!/usr/bin/env bash
# Drivers that abort, end the process or hang while devices are listed are named, and the others are used: OpenCL's and the
# double of NVIDIA's. Without a home, PoCL gets a folder that only its user may write to (test_cache.c has the rest of its
# environment).
# usage: test_drivers.sh path/to/genhance
set -u
# shellcheck source=tests/support/failures.sh
. "$(dirname "$0")/support/failures.sh"
genhance=$(realpath "$1")
bad=$(dirname "$genhance")/libbad_driver.so
[ -f "$bad" ] || { echo "no bad driver at $bad"; exit 1; }
good=$(find "${OCL_ICD_VENDORS:-/etc/OpenCL/vendors}" -name '*.icd' 2>/dev/null | head -n 1)
[ -n "$good" ] || { echo "no driver is installed"; exit 77; }
good=$(realpath "$good")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tmp" "$work/alone" "$work/both"
export TMPDIR=$work/tmp GH_CACHE_DIR=$work/cache
cd "$work" || exit 1

echo "$bad" >alone/bad.icd
echo "$bad" >both/bad.icd
ln -s "$good" both/good.icd
name="$work/alone/bad.icd ($bad): the driver"

# fails TEXT: with the bad driver alone there is no device, and one line says why; beside it the good one is used.
fails() {
  OCL_ICD_VENDORS=$work/alone timeout 60 "$genhance" devices >out 2>err
  code=$?
  [ $code = 1 ] && [ "$(wc -l <err)" = 1 ] && grep -qF "opencl: $name $1" err || fail "$BAD_DRIVER alone: exit code $code: $(cat err)"
  OCL_ICD_VENDORS=$work/both timeout 60 "$genhance" devices >out 2>err
  code=$?
  [ $code = 0 ] && grep -q '^opencl:0' out || fail "$BAD_DRIVER: exit code $code: $(cat out err)"
  [ "$(wc -l <err)" = 1 ] && grep -q "^warning: opencl: $work/both/bad.icd .*; it is not used" err || fail "$BAD_DRIVER: $(cat err)"
}
export BAD_DRIVER="abort"
fails "ends its process with signal 6"
BAD_DRIVER="exit"
fails "ends its process (exit code 3)"
BAD_DRIVER="hang"
export GH_DRIVER_WAIT=2
fails "does not answer within 2 s"
unset BAD_DRIVER GH_DRIVER_WAIT
[ -z "$(ls -A tmp)" ] || fail "left in the temporary folder: $(ls -A tmp)"

# ---- drivers that answer and have no device ----
mkdir idle
echo "libnot-there-amdocl64.so" >idle/amd.icd
echo "$bad" >idle/none.icd # BAD_DRIVER is not set: it loads, and offers nothing
ln -s "$good" idle/good.icd
OCL_ICD_VENDORS=$work/idle "$genhance" devices >out 2>err || fail "idle drivers: $(cat err)"
grep -q '^opencl:0' out && [ ! -s err ] || fail "idle drivers: $(cat out err)"
grep -q "^opencl: $work/idle/amd.icd (libnot-there-amdocl64.so): the driver cannot be loaded: .*cannot open shared object file.*; see docs/amd.md" out ||
  fail "a library that is missing is not named: $(cat out)"
grep -q "^opencl: $work/idle/none.icd ($bad): the driver loads, but offers no platform (code -[0-9]*); see docs/" out ||
  fail "a driver without a platform is not named: $(cat out)"

# ---- a GPU on the bus without a driver ----
place() { # place ADDRESS CLASS VENDOR
  mkdir -p "bus/$1"
  echo "$2" >"bus/$1/class"
  echo "$3" >"bus/$1/vendor"
}
place 0000:00:02.0 0x030000 0x1a03 # the display of a server's management
place 0000:03:00.0 0x038000 0x1002
place 0000:04:00.0 0x020000 0x8086 # a network card
export GH_PCI_DEVICES=$work/bus
"$genhance" devices >out 2>err || fail "devices: $(cat err)"
grep -q '^an AMD GPU at 0000:03:00.0 is no device: .*; see docs/amd.md' out && [ ! -s err ] || fail "the GPU is not named: $(cat out err)"
[ "$(grep -c 'is no device' out)" = 1 ] || fail "something that is no GPU is named: $(cat out)"
if grep -q '^opencl:0  *CPU' out; then
  "$genhance" bench plan --arch tiny >out 2>err || fail "bench plan: $(cat err)"
  [ "$(wc -l <err)" = 1 ] && grep -q '^warning: auto chooses opencl:0, a CPU, although an AMD GPU is on the PCI bus (0000:03:00.0.*docs/amd.md' err ||
    fail "auto on a CPU: $(cat err)"
  "$genhance" bench plan --arch tiny --device opencl:0 >out 2>err && [ ! -s err ] || fail "a CPU by its name: $(cat err)"
  rm -rf bus/0000:03:00.0
  "$genhance" bench plan --arch tiny >out 2>err && [ ! -s err ] || fail "auto without a GPU: $(cat err)"
fi
OCL_ICD_VENDORS=$work/absent "$genhance" devices >out 2>err && fail "devices without a driver"
grep -q 'no device: .*; see docs/devices.md$' err || fail "no page for no device: $(cat err)"
unset GH_PCI_DEVICES

# ---- NVIDIA's driver, by its double ----
doubles=$(dirname "$genhance")/cuda_double
if [ -d "$doubles" ]; then
  # cuda HOW TEXT: the driver is named in one warning, and OpenCL is used
  cuda() {
    GH_CUDA_LIBRARIES=$doubles GH_DOUBLE_START=$1 timeout 60 "$genhance" devices >out 2>err
    code=$?
    [ $code = 0 ] && grep -q '^opencl:0' out && ! grep -q '^cuda:[0-9]' out || fail "cuda, $1: exit code $code: $(cat out err)"
    [ "$(wc -l <err)" = 1 ] && grep -qF "warning: cuda: the NVIDIA driver $2" err || fail "cuda, $1: $(cat err)"
  }
  cuda abort "ends its process with signal 6 (Aborted) while its devices are listed; it is not used"
  cuda exit "ends its process (exit code 3) while"
  export GH_DRIVER_WAIT=2
  cuda hang "does not answer within 2 s while"
  unset GH_DRIVER_WAIT
  for again in 1 2; do
    GH_CUDA_LIBRARIES=$doubles "$genhance" devices >out 2>err && grep -q '^cuda:0' out && [ ! -s err ] ||
      fail "cuda: exit code $?: $(cat out err)"
  done
fi

# ---- PoCL without a home ----
if ! "$genhance" devices | grep -q "Portable Computing"; then
  [ $failures = 0 ] || exit 1
  echo "PoCL is not installed: its cache is not checked"
  exit 0
fi
# A folder of ours takes the place of the one in /tmp that all users share; one that others prepared is not used.
own=tmp/genhance-$(id -u)
env -i PATH="$PATH" TMPDIR="$work/tmp" "$genhance" devices >out 2>err || fail "no HOME: exit code $?: $(cat err)"
[ "$(stat -c %a "$own" "$own/pocl" | tr '\n' ' ')" = "700 700 " ] || fail "no HOME: $(ls -lR tmp)"
rm -rf "$own"
mkdir elsewhere
ln -s "$work/elsewhere" "$own"
env -i PATH="$PATH" TMPDIR="$work/tmp" "$genhance" devices >out 2>err && fail "a link in the place of our folder was used"
grep -q "PoCL needs a folder to write to" err || fail "a link in the place of our folder: $(cat err)"
[ -z "$(ls -A elsewhere)" ] || fail "a link in the place of our folder was followed"
rm "$own"

finish
