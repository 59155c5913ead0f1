#!/usr/bin/env bash
# Checks everything that needs a GPU, in one command and without a network: the tests on cuda:0 and, if it has an OpenCL
# driver, on OpenCL on the same GPU; the same steps on both; compute-sanitizer; the training step timed beside PyTorch.
# Writes one page, gpu.md, rows of results (docs/results.md) with their portability page, and logs.tar.gz into the output
# folder.
#
# usage: scripts/check-gpu.sh [--pack FOLDER | --packed FOLDER] [--part 1|2] [--out FOLDER] [--minutes N] [--device ID]
#                             [--arch NAME] [--batch B]
#   --pack FOLDER    only collect what a machine without compiler and libraries needs: the program, the test programs and
#                    their shared libraries (needs a finished build/; under 64 MiB with the fixtures)
#   --packed FOLDER  use such a folder instead of building
#   --part 1|2       1: tests, parity, sanitizer; 2: timings (default: both). Each ends within --minutes and lists what
#                    it had no time for
#   --out FOLDER     output folder (default: build/check-gpu); join the pages of two calls with cat
#   --minutes N      time limit per part (default: 9)
#   --device ID      device (default: cuda:0)
#   --arch NAME      encoder of the timed steps (default: openai-vit-l-14-224)
#   --batch B        batch of the timed steps (default: 32)
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD

usage() { sed -n '7,20s/^# \{0,1\}//p' "$0"; }

pack="" packed="" part="1 2" out=build/check-gpu minutes=9 device=cuda:0 arch=openai-vit-l-14-224 batch=32
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --pack | --packed | --part | --out | --minutes | --device | --arch | --batch)
      [ $# -ge 2 ] || { echo "check-gpu.sh: $1 needs a value" >&2; exit 2; } ;;
  esac
  case $1 in
    --pack) pack=$2 ;;
    --packed) packed=$2 ;;
    --part) part=$2 ;;
    --out) out=$2 ;;
    --minutes) minutes=$2 ;;
    --device) device=$2 ;;
    --arch) arch=$2 ;;
    --batch) batch=$2 ;;
    *) echo "check-gpu.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
  shift 2
done
case $part in 1 | 2 | "1 2") ;; *) echo "check-gpu.sh: --part is 1 or 2" >&2; exit 2 ;; esac
case $minutes in '' | *[!0-9]* | 0) echo "check-gpu.sh: --minutes is a whole number" >&2; exit 2 ;; esac

# ---- packing ----

# The tests that use a device, without those of the CUDA double, which need no GPU.
device_tests() {
  grep -lE 'gh_device_open|compare_run|tiny_train|gh_probe|genhance_device|on_device\.h|open_device' tests/test_*.c | xargs -n 1 basename | sed 's/\.c$//' |
    grep -v '^test_cuda_'
}

# The C library and its like are left out: they must match the other system's loader.
pack_libraries() {
  ldd "$1"/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(libc|libm|libdl|libpthread|librt|libgcc_s|libstdc\+\+)\.so|ld-linux' |
    while read -r library; do cp -L "$library" "$1/lib/"; done
}

if [ -n "$pack" ]; then
  set -e
  [ -x build/genhance ] || { echo "check-gpu.sh: there is no build/genhance; run scripts/build.sh build all" >&2; exit 1; }
  mkdir -p "$pack/bin" "$pack/lib"
  for program in genhance $(device_tests); do
    [ -x "build/$program" ] || { echo "check-gpu.sh: there is no build/$program" >&2; exit 1; }
    strip -o "$pack/bin/$program" "build/$program"
  done
  pack_libraries "$pack"
  echo "$root" >"$pack/root" # where the tests look for their fixtures
  git rev-parse --short=12 HEAD >"$pack/commit" 2>/dev/null || echo unknown >"$pack/commit"
  du -sh "$pack"
  exit 0
fi

# ---- the program ----

mkdir -p "$out/logs"
out=$(cd "$out" && pwd)
page=$out/gpu.md
: >"$page"
if [ -n "$packed" ]; then
  packed=$(cd "$packed" && pwd) || exit 1
  bin=$packed/bin
  export LD_LIBRARY_PATH=$packed/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  was=$(cat "$packed/root")
  if [ ! -e "$was/tests/fixtures" ]; then # the tests have the absolute path of their fixtures
    mkdir -p "$was/tests" && ln -s "$root/tests/fixtures" "$was/tests/fixtures" ||
      echo "check-gpu.sh: $was/tests/fixtures cannot be created; tests with fixtures will fail" >&2
  fi
else
  scripts/build.sh build all || exit 1
  bin=$root/build
fi
export GH_CACHE_DIR=$out/cache GH_TEST_DEVICE=$device
mkdir -p "$GH_CACHE_DIR"
chmod 700 "$GH_CACHE_DIR"
began=$SECONDS
failures=0

left() { echo $((began + 60 * minutes - SECONDS)); }
say() { printf '%s\n' "$@" | tee -a "$page"; }
quote() { say '```' "$(cat)" '```' ''; }

# logged NAME SECONDS COMMAND...: runs it with its output in a log, for at most SECONDS and not past the end of the part.
logged() {
  local name=$1 limit=$2 most
  shift 2
  most=$(left)
  [ "$most" -gt 5 ] || { echo "no time was left" >"$out/logs/$name.txt"; return 125; }
  [ "$limit" -lt "$most" ] || limit=$most
  timeout -k 5 "$limit" "$@" >"$out/logs/$name.txt" 2>&1
}

outcome() { # of a status, in words
  case $1 in 0) echo passed ;; 124 | 137) echo "ran out of time" ;; 125) echo "not run: no time was left" ;; *) echo "FAILED ($1)" ;; esac
}

# The OpenCL loader finds drivers through .icd files. Containers often have the driver without its .icd file.
find_opencl() {
  local vendors=$out/vendors library
  [ -z "${OCL_ICD_VENDORS:-}" ] || return 0
  [ -z "$(ls /etc/OpenCL/vendors/*.icd 2>/dev/null)" ] || return 0
  library=$(ls /usr/local/nvidia/lib64/libnvidia-opencl.so.1 /usr/lib/x86_64-linux-gnu/libnvidia-opencl.so.1 2>/dev/null |
    head -n 1)
  [ -n "$library" ] || library=$(ldconfig -p 2>/dev/null | awk '/libnvidia-opencl\.so\.1/ { print $NF; exit }')
  [ -n "$library" ] || return 0
  mkdir -p "$vendors"
  echo "$library" >"$vendors/nvidia.icd"
  export OCL_ICD_VENDORS=$vendors
}

# The OpenCL device that is a GPU, if there is one.
opencl_gpu() { "$bin/genhance" devices 2>/dev/null | awk '$1 ~ /^opencl:/ && $2 == "GPU" { print $1; exit }'; }

facts() {
  say "# $("$bin/genhance" devices --device "$device" 2>/dev/null | awk 'NR == 2 { $1 = $2 = $3 = $4 = $5 = $6 = $7 = ""; print }' | sed 's/^ *//')" ""
  say "$(date -u +%F), commit $(cat "${packed:-/nowhere}/commit" 2>/dev/null || git rev-parse --short=12 HEAD), \`$device\`, part(s) $part." ""
  { nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null
    "$bin/genhance" devices --verbose 2>&1; } | quote
}

# ---- part 1 ----

cases() { grep -oE "^\[  $1 *\] [0-9]+ test" "$2" | awk '{ n += $(NF - 1) } END { print n + 0 }'; }

# run_tests ID PROGRAM...: one row per program.
run_tests() {
  local id=$1 test log status seconds
  shift
  say "| test on $id | outcome | passed | failed | skipped | s |" "|---|---|---|---|---|---|"
  for test in "$@"; do
    seconds=$SECONDS
    log=${id//:/-}-$test
    GH_TEST_DEVICE=$id logged "$log" 150 "$bin/$test"
    status=$?
    [ $status = 0 ] || failures=$((failures + 1))
    log=$out/logs/$log.txt
    say "| ${test#test_} | $(outcome $status) | $(cases PASSED "$log") | $(cases FAILED "$log") | $(cases SKIPPED "$log") | $((SECONDS - seconds)) |"
  done
  say ""
}

selftest() {
  logged "selftest-${1//:/-}" 120 "$bin/genhance" selftest --device "$1"
  local status=$?
  [ $status = 0 ] || failures=$((failures + 1))
  say "Self-test on $1: $(outcome $status), $(tail -n 1 "$out/logs/selftest-${1//:/-}.txt")" ""
}

parity() {
  local other=$1 config=tests/fixtures/golden/only.json status
  [ -n "$other" ] || { say "Parity: not run, because this GPU has no OpenCL driver to compare with." ""; return; }
  (cd tests/fixtures/golden && logged compare 120 "$bin/genhance" compare --config "$(basename $config)" --devices "$device,$other" \
    --steps 10 --json "$out/compare.json")
  status=$?
  [ $status = 0 ] || failures=$((failures + 1))
  say "The same steps on $device and $other: $(outcome $status)." ""
  tail -n 40 "$out/logs/compare.txt" | quote
}

sanitize() {
  local tool status
  command -v compute-sanitizer >/dev/null || { say "compute-sanitizer is not installed." ""; return; }
  for tool in memcheck racecheck synccheck; do
    GH_CAPTURE=0 logged "sanitizer-$tool" 120 compute-sanitizer --tool $tool --error-exitcode 9 \
      "$bin/genhance" selftest --device "$device"
    status=$?
    [ $status = 0 ] || [ $status = 125 ] || failures=$((failures + 1))
    say "compute-sanitizer $tool, self-test: $(outcome $status). $(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$out/logs/sanitizer-$tool.txt" | tail -n 1)"
  done
  say ""
}

part_1() {
  local opencl tests
  say "## Tests" ""
  opencl=$(opencl_gpu)
  # The most important tests come first: a slow machine may have no time for the last ones.
  mapfile -t tests < <({ printf 'test_%s\n' ops gemm gemm_bf16 gemm_second attention attention_matrix probe golden mixed resume; device_tests; } |
    awk '!seen[$0]++' | while read -r t; do [ ! -x "$bin/$t" ] || echo "$t"; done)
  selftest "$device"
  [ -z "$opencl" ] || selftest "$opencl"
  parity "$opencl"
  sanitize
  run_tests "$device" "${tests[@]}"
  [ -z "$opencl" ] || run_tests "$opencl" test_ops test_update test_gemm_bf16 test_gemm_second test_random_device
}

# ---- part 2 ----

# step NAME SECONDS COMMAND...: runs a program that times steps and writes JSON.
step() {
  local name=$1 limit=$2 status
  shift 2
  logged "step-$name" "$limit" "$@" --json "$out/logs/step-$name.json"
  status=$?
  case $status in
    0) return ;;
    125) say "- $name: $(outcome $status)" ;;
    *) say "- $name: $(outcome $status): $(tail -n 1 "$out/logs/step-$name.txt" | cut -c 1-200)" ;;
  esac
  rm -f "$out/logs/step-$name.json" # it has only the error
  [ $status = 125 ] || [ "${name%-genhance}" = "$name" ] || failures=$((failures + 1)) # a failure of PyTorch does not count
}

step_table() {
  python3 - "$out"/logs/step-*.json <<'PYTHON'
import json, pathlib, sys
print("| stage | batch | precision | program | ms per step | images/s | TFLOP/s | GiB | images/s relative to genhance |")
print("|---|---|---|---|---|---|---|---|---|")
results = [json.loads(pathlib.Path(p).read_text()) for p in sys.argv[1:] if pathlib.Path(p).exists()]
results = [r for one in results for r in one.get("results", [one]) if "step_seconds_median" in r]
key = lambda r: (r["stage"], r["batch"], r["precision"])
ours = {key(r): r["images_per_second"] for r in results if "peer" not in r}
for r in sorted(results, key=lambda r: (*key(r), "peer" in r)):
    ratio = f"{r['images_per_second'] / ours[key(r)]:.2f}" if key(r) in ours else ""
    print(f"| {r['stage']} | {r['batch']} | {r['precision']} | {r.get('peer', 'genhance')} | {1e3 * r['step_seconds_median']:.1f} | "
          f"{r['images_per_second']:.1f} | {r['gflops'] / 1e3:.1f} | {r['peak_bytes'] / 2**30:.1f} | {ratio} |")
PYTHON
}

# The most important timings come first: later ones may have no time left.
# Rows in the form of docs/results.md, of this GPU through CUDA and OpenCL, in the time that is left; and what follows from
# them and from PyTorch's rows.
suite_rows() {
  local opencl devices=$device time=$(($(left) - 30)) status
  opencl=$(opencl_gpu)
  [ -z "$opencl" ] || [ "$opencl" = "$device" ] || devices=$device,$opencl
  [ "$time" -ge 60 ] || { say "Rows of results: not measured, because no time was left." ""; return; }
  logged suite "$(left)" "$bin/genhance" bench suite --devices "$devices" --batch "$batch" \
    --minutes "$(awk "BEGIN { print $time / 60 }")" --out "$out/results"
  status=$?
  [ $status = 0 ] || failures=$((failures + 1))
  say "Rows of results, \`results/\` ($(outcome $status)):" ""
  tail -n 12 "$out/logs/suite.txt" | quote
  "$bin/genhance" bench portability "$out/results" --out "$out/portability.html" 2>&1 | head -n 12 | quote
}

part_2() {
  local stage precision blocks common peer
  mkdir -p "$out/results"
  say "## The training step" "" "\`$arch\`, batch $batch, random weights; stage 1 trains the denoiser (1+2 blocks), stage 2 adapters on" \
    "the encoder (through 2+4 blocks). PyTorch's float32 is float32 (no TF32); bfloat16 is autocast over float32 weights." ""
  for stage in 2 1; do
    blocks=(--double-blocks $stage --single-blocks $((2 * stage)))
    for precision in bfloat16 float32; do
      common=(--arch $arch --stage $stage --batch $batch --repeats 10 --warmup 3 "${blocks[@]}" --precision $precision)
      step "$stage-$precision-genhance" 150 "$bin/genhance" bench step --device "$device" "${common[@]}" --profile
      peer=(python3 bench/peers/pytorch_step.py --device cuda "${common[@]}" --rows "$out/results/pytorch.jsonl")
      step "$stage-$precision-peer-best" 90 "${peer[@]}" --best
      step "$stage-$precision-peer-installed" 90 "${peer[@]}"
    done
  done
  step "2-bfloat16-peer-compiled" 150 python3 bench/peers/pytorch_step.py --device cuda --arch $arch --stage 2 --batch $batch \
    --repeats 10 --warmup 3 --double-blocks 2 --single-blocks 4 --precision bfloat16 --best --compile --rows "$out/results/pytorch.jsonl"
  say "" "$(step_table)" "" "Measured beside predicted (docs/gpu-performance.md); kernels were waited for one by one:" "" \
    "$(python3 tests/static/predict.py --beside bench/results/gpu-predicted.tsv "$out"/logs/step-*-genhance.json 2>&1)" ""
  for precision in bfloat16 float32; do
    [ -s "$out/logs/step-2-$precision-genhance.json" ] || continue
    say "Profile of stage 2 in $precision; every launch was waited for:" ""
    tail -n 30 "$out/logs/step-2-$precision-genhance.txt" | quote
  done
  logged ops 120 "$bin/genhance" bench ops --device "$device"
  say "Every op by itself ($(outcome $?)):" ""
  tail -n 80 "$out/logs/ops.txt" | quote
  suite_rows
}

find_opencl
facts
for one in $part; do
  began=$SECONDS
  part_$one
done
say "$failures failed."
rm -rf "$GH_CACHE_DIR"
tar -C "$out" -czf "$out/logs.tar.gz" logs && rm -rf "$out/logs"
[ $failures = 0 ]
