#!/usr/bin/env bash
# Training on ranks whose devices are all CUDA: with "reduce": "fast", NCCL sums their gradients. Without a GPU: with the double of
# NVIDIA's libraries (tests/cuda_double).
# usage: test_ranks_cuda.sh path/to/genhance
set -u
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"
# shellcheck source=tests/support/mpirun.sh
. "$fixtures/../support/mpirun.sh"
export GH_CUDA_LIBRARIES=$built/cuda_double GH_DOUBLE_DEVICES=2 GH_GEMM=cublaslt,columns # tuning takes long on the double
unset GH_KERNEL_SHAPE GH_ATTENTION
sed -i 's/"workers": 2/"workers": 1, "latent_cache": {"crops": 1, "path": "latents"}/; s/"minutes": 1e-9/"minutes": 1e6/' run.json
fast=(--set distributed.reduce=fast --set distributed.bucket=0.01)

# cuda ARGUMENTS...: runs two ranks to the end; all that they say is in `err`
cuda() { mpirun -n 2 "$genhance" train --config run.json --device cuda:0,cuda:1 "$@" >out 2>err || fail "$*: exit code $?: $(cat err)"; }
losses() { sed 's/.*"loss"://; s/,.*//' "$1/metrics.jsonl"; }
close_losses() { # close_losses A B
  paste <(losses "$1") <(losses "$2") | awk '
    { d = $1 - $2; if (d < 0) d = -d; if (!(d <= 1e-5 * $1)) bad++ } END { exit bad || NR != 6 }' ||
    fail "$2: losses differ from those of $1: $(losses "$1") and $(losses "$2")"
}

# ---- the same losses as in the ranks' own order, in many buckets and in one; no gradient is read from the device ----
GH_DOUBLE_COUNTS=$work/counts-ordered cuda --set distributed.bucket=0.01
mv run ordered
GH_DOUBLE_COUNTS=$work/counts cuda "${fast[@]}"
close_losses ordered run
grep -q "gradients are summed by NCCL 2.21.5: a rerun is not bit-identical" err || fail "no word of NCCL: $(cat err)"
grep -q '"waiting":\[[0-9.e-]*,[0-9.e-]*\]' run/metrics.jsonl || fail "no shares of waiting: $(head -n 1 run/metrics.jsonl)"
reads() { awk '$1 == "cuMemcpyDtoHAsync_v2" { n += $2 } END { print n }' "$1"; }
[ "$(reads counts)" -lt $(($(reads counts-ordered) / 2)) ] || fail "gradients are read: $(reads counts) of $(reads counts-ordered)"
grep -q '^ncclAllReduce [1-9]' counts || fail "NCCL has summed nothing: $(cat counts)"
rm -rf run
cuda --set distributed.reduce=fast --set stage2.steps=0
paste <(losses ordered | head -n 3) <(losses run) | awk '{ d = $1 - $2; exit !(d * d <= 1e-10 * $1 * $1) }' ||
  fail "one bucket: $(losses run)"
rm -rf run

# ---- where a rank has another backend, or the user says so, MPI sums ----
GH_NCCL=off cuda "${fast[@]}" --set stage2.steps=0
grep -q "by MPI_Allreduce" err || fail "GH_NCCL=off: $(cat err)"
rm -rf run
mixed=("$genhance" train --config run.json --device "cuda:0,opencl:0" "${fast[@]}" --set stage2.steps=0)
mpirun -n 1 "${mixed[@]}" : -n 1 env -u GH_GEMM "${mixed[@]}" >out 2>err || fail "a mixed job: $(cat err)"
grep -q "by MPI_Allreduce" err || fail "a mixed job: $(cat err)"
rm -rf run

# ---- what is refused ----
both() { # both TEXT VARIABLE=VALUE... -- ARGUMENTS...: two ranks refuse
  local text=$1 set=()
  shift
  while [ "$1" != -- ]; do set+=("$1"); shift; done
  shift
  if env "${set[@]}" mpirun -n 2 "$genhance" train --config run.json "${fast[@]}" "$@" >out 2>err; then fail "$text: succeeded"; fi
  [ "$(grep -c '^genhance: ' err)" = 1 ] || fail "$text: not exactly one reason: $(cat err)"
  grep '^genhance: ' err | grep -qF -e "$text" || fail "no \"$text\" in: $(cat err)"
  rm -rf run
}
mkdir without
cp -P "$GH_CUDA_LIBRARIES"/lib*.so* without
rm without/libnccl*
both "NCCL was not found: no libnccl.so.2" GH_CUDA_LIBRARIES="$work/without" -- --device cuda:0,cuda:1
sed 's/ncclAllReduce/ncclAllRedoze/g' "$GH_CUDA_LIBRARIES/libnccl.so.2" >without/libnccl.so.2
both "NCCL cannot be used: libnccl.so.2 lacks ncclAllReduce" GH_CUDA_LIBRARIES="$work/without" -- --device cuda:0,cuda:1
both "NCCL 2.21.5, joining a group: invalid usage (5)" GH_NCCL=on -- --device cuda:0
both "NCCL sums float32 only" GH_NCCL=on -- --device cuda:0,cuda:1 --set precision=bf16 --set memory.gradients=bf16

# ---- a sum that fails in the middle of an update, on one rank, ends the job ----
if mpirun -n 1 env GH_DOUBLE_FAIL=ncclAllReduce:9 "$genhance" train --config run.json "${fast[@]}" --device cuda:0,cuda:1 : \
  -n 1 "$genhance" train --config run.json "${fast[@]}" --device cuda:0,cuda:1 >out 2>err; then fail "a sum that fails: succeeded"; fi
grep -q "NCCL 2.21.5, a sum over devices: unhandled system error (2)" err || fail "a sum that fails: $(cat err)"

finish
