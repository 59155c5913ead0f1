#!/usr/bin/env bash
# The command line on cuda:0 and OpenCL, without a GPU: with the double of NVIDIA's libraries (tests/cuda_double).
# usage: test_cuda.sh path/to/genhance
set -u
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"
GH_CUDA_LIBRARIES=$(dirname "$genhance")/cuda_double
export GH_CUDA_LIBRARIES
unset GH_KERNEL_SHAPE GH_GEMM GH_ATTENTION

# ---- devices: lists both; without a CUDA driver only OpenCL, with one line that says why ----
"$genhance" devices --json devices.json >out 2>err || fail "devices: $(cat err)"
for id in cuda:0 opencl:0; do
  grep -q "\"$id\"" devices.json || fail "devices does not list $id: $(cat devices.json)"
done
mkdir none
GH_CUDA_LIBRARIES=$work/none "$genhance" devices --verbose >out 2>err || fail "devices without a driver: $(cat err)"
grep -q '^opencl:0' out || fail "without CUDA, OpenCL is missing too: $(cat out err)"
[ "$(cat out err | grep -c 'cuda: .*libcuda.so.1')" = 1 ] || fail "not one line on why cuda:0 is missing: $(cat out err)"
GH_CUDA_LIBRARIES=$work/none refuse 2 'there is no device "cuda:0"' "$genhance" train --config run.json --device cuda:0
[ ! -e run ] || fail "a missing device left a run"

# ---- the same run on both backends ----
numbers_of() { sed 's/"made_by":{[^}]*},//' "$1"; } # names of devices have blanks
same_losses() { # same_losses A B TOLERANCE [loss]: equal updates; losses (and gradient norms) within TOLERANCE
  paste -d ' ' <(numbers_of "$1") <(numbers_of "$2") | tr -d '{}"' | awk -v names="$1 $2" -v most="$3" -v only="${4:-}" '
    function value(line, key,   n, parts, i, pair) {
      n = split(line, parts, ",")
      for (i = 1; i <= n; i++) { split(parts[i], pair, ":"); if (pair[1] == key) return pair[2] }
      return "none"
    }
    function number(x) { return x ~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/ } # in some awks a NaN passes comparisons
    function near(key,   a, b) {
      a = value($1, key); b = value($2, key)
      if (!number(a) || !number(b) || !(a > 0) || !((a - b) * (a - b) <= most * most * a * a)) { print names ": " key " of line " NR ": " a " and " b; bad = 1 }
    }
    { near("loss"); if (only != "loss") near("grad_norm"); if (value($1, "lr") != value($2, "lr")) { print names ": lr"; bad = 1 } }
    END { exit bad || NR != 6 }' || fail "$1 and $2 are not the same run: $(cat "$1" "$2")"
}
train --device opencl:0
mv run on-opencl
on_cuda() { GH_GEMM=cublaslt,columns train --device cuda:0 "$@"; } # tuning GEMMs takes long on the double
GH_DOUBLE_COUNTS=$work/counts on_cuda
mv run on-cuda
same_losses on-opencl/metrics.jsonl on-cuda/metrics.jsonl 1e-4
grep -q '^cuGraphLaunch [1-9]' counts || fail "no step ran as a graph: $(cat counts)"
grep -q 'cublaslt' on-cuda/plan.json || fail "plan.json does not name the chosen provider: $(cat on-cuda/plan.json)"

# ---- one backend resumes what the other wrote, within a stage and from one stage to the next ----
train --device opencl:0 --set stage1.steps=2 --set stage2.steps=0
on_cuda --resume --set stage2.steps=1
train --device opencl:0 --resume --set stage2.steps=2
on_cuda --resume
same_losses on-opencl/metrics.jsonl run/metrics.jsonl 1e-4

# ---- masters and moments in the host's memory: planned apart from the device's, and the same run ----
wide=(--set precision=bf16 --set denoiser.hidden=512 --set denoiser.heads=32 --set stage1.steps=2 --set stage2.steps=0)
rm -rf run
on_cuda "${wide[@]}"
mv run kept
on_cuda "${wide[@]}" --set memory.offload=optimizer
cmp -s <(grep -o '"loss":[^,]*,"grad_norm":[^,]*' kept/metrics.jsonl) <(grep -o '"loss":[^,]*,"grad_norm":[^,]*' run/metrics.jsonl) ||
  fail "memory.offload changes the run: $(cat kept/metrics.jsonl run/metrics.jsonl)"
cmp -s kept/snapshots/stage1-00000002/denoiser.safetensors run/snapshots/stage1-00000002/denoiser.safetensors ||
  fail "memory.offload changes the weights"
bytes_of() { grep -o "\"$2\": *[0-9]*" "$1/info.json" | grep -o '[0-9]*$'; } # bytes_of RUN KEY
[ "$(bytes_of kept host_bytes)" = 0 ] && [ "$(bytes_of run host_bytes)" -gt 50000000 ] &&
  [ $(($(bytes_of kept persistent_bytes) - $(bytes_of run persistent_bytes))) = "$(bytes_of run host_bytes)" ] ||
  fail "the host's memory is not planned: $(cat kept/info.json run/info.json)"
GH_MAX_MEMORY_MIB=100 GH_GEMM=cublaslt "$genhance" train --config run.json --device cuda:0 "${wide[@]}" --dry-run --set output=none \
  >out 2>err && fail "fits 100 MiB: $(cat out)"
grep -qE '^    --set memory.offload=optimizer: needs ' out || fail "what would help lacks the host's memory: $(cat out)"
rm -rf run

# ---- a lost device: nothing is saved from it, and the run goes on from its last state ----
for call in cuGraphLaunch cuMemcpyHtoDAsync_v2; do
  rm -rf run
  at=$(awk -v name=$call '$1 == name { print $2 - 3 }' counts) # in the last updates
  GH_DOUBLE_FAIL=$call:$at=719 GH_GEMM=cublaslt,columns refuse 1 "cuda:0" \
    "$genhance" train --config run.json --quiet --device cuda:0
  grep -q 'is saved in' err && fail "$call fails: a state is saved from a lost device: $(cat err)"
  [ -n "$(newest_state run)" ] || fail "$call fails at $at: no state is left of $(wc -l <run/metrics.jsonl) updates"
  on_cuda --resume
  same on-cuda run
done

# ---- bfloat16 ----
# After the first update the weights differ, so gradients belong to different points: compare only losses.
on_cuda --set precision=bfloat16 --set output=bf16
same_losses on-opencl/metrics.jsonl bf16/metrics.jsonl 0.01 loss
cmp -s on-cuda/metrics.jsonl bf16/metrics.jsonl && fail "bfloat16 changed nothing"

# ---- the other commands ----
GH_GEMM=cublaslt,columns "$genhance" selftest --device cuda:0 >out 2>err || fail "selftest: $(cat out err)"
numbers() { tail -c +$((9 + $(od -An -t u8 -N 8 "$1"))) "$1" | od -An -v -t f4 -w4; } # the tensors of a safetensors file
for device in opencl cuda; do
  [ $device = opencl ] || export GH_GEMM=cublaslt,columns
  "$genhance" encode --model clip --images images --device $device:0 --out $device.safetensors >out 2>err ||
    fail "encode on $device: $(cat err)"
done
paste <(numbers opencl.safetensors) <(numbers cuda.safetensors) |
  awk '/[a-df-z]/ || !(($1 - $2) * ($1 - $2) <= 1e-8) { bad = 1 } END { exit bad || NR < 100 }' || fail "embeddings differ"
"$genhance" reconstruct --run on-opencl --images images --device cuda:0 --out grid.png >out 2>err ||
  fail "reconstruct: $(cat err)"
[ "$(head -c 4 grid.png | tail -c 3)" = PNG ] || fail "reconstruct wrote no image"
"$genhance" bench step --arch tiny --stage 2 --batch 2 --devices cuda:0 --double-blocks 1 --single-blocks 1 \
  --repeats 1 --json step.json >out 2>err || fail "bench step: $(cat err)"
grep -q '"cuda:0"' step.json || fail "bench step: $(cat step.json)"
unset GH_GEMM
"$genhance" compare --config run.json --devices opencl:0,cuda:0 --steps 1 --stage 2 >out 2>err ||
  fail "compare: $(cat out err)"

# ---- a failure on the device is reported in one line ----
GH_GEMM=cublaslt,columns GH_DOUBLE_FAIL_KERNEL=adamw_update refuse 1 "CUDA_ERROR_LAUNCH_FAILED" \
  "$genhance" train --config run.json --device cuda:0 --set output=failed
GH_GEMM=cublaslt,columns GH_DOUBLE_MEMORY_MIB=1 refuse 1 "cuda:0" "$genhance" train --config run.json --device cuda:0 --set output=small

finish
