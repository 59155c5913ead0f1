#!/usr/bin/env bash
# OpenCL drivers that abort, end the process or hang while devices are listed are named, and the others are used. Without a
# home, PoCL gets a folder that only its user may write to (test_cache.c has the rest of its environment).
# usage: test_drivers.sh path/to/genhance
set -u
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
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

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

[ "$failures" = 0 ] || { echo "$failures failures"; exit 1; }
