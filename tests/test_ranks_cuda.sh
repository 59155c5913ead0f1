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

# ---- an MPI that takes the memory of devices: the same bits as through the host's, in many buckets and in one, rounded, divided ----
# aware ARGUMENTS...: as cuda, with such an MPI
aware() {
  mpirun -n 2 env LD_PRELOAD="$built/libaware_mpi.so" "$genhance" train --config run.json --device cuda:0,cuda:1 "$@" >out 2>err ||
    fail "$*: exit code $?: $(cat err)"
}
taken="gradients: Open MPI v[0-9.]* takes them from the memory of the devices"
same_losses() { # same_losses A WHAT
  [ "$(losses "$1" | head -n 3)" = "$(losses run | head -n 3)" ] || fail "$2: $(losses run), but $(losses "$1") through the host's memory"
}
rank1_reads() { awk '$1 == "cuMemcpyDtoHAsync_v2" { print $2 }' "$1" | sort -n | head -n 1; } # rank 0 writes files, too
GH_DOUBLE_COUNTS=$work/counts aware --set distributed.bucket=0.01
same ordered run
grep -q "$taken" err || fail "no word of device memory: $(cat err)"
grep -A 2 '"sums"' run/plan.json | tr -d ' \n' | grep -q '"sums":{"by":"OpenMPIv[0-9.]*","buffers":"device"' ||
  fail "the plan does not say it: $(grep -A 2 '"sums"' run/plan.json)"
[ "$(rank1_reads counts)" -lt $(($(rank1_reads counts-ordered) / 10)) ] ||
  fail "gradients are read: $(rank1_reads counts) of $(rank1_reads counts-ordered)"
rm -rf run
aware --set distributed.buffers=device --set stage2.steps=0
same_losses ordered "one bucket"
rm -rf run
for more in reduce_precision=bf16 shard=optimizer; do
  cuda --set distributed.bucket=0.01 --set distributed.$more --set stage2.steps=0
  rm -rf staged
  mv run staged
  aware --set distributed.bucket=0.01 --set distributed.$more --set stage2.steps=0
  grep -q "$taken" err || fail "$more: $(cat err)"
  same staged run
  rm -rf run
done

# ---- three ranks, of which one has another backend, whose gradients pass through the host's memory ----
three=("$genhance" train --config run.json --device "cuda:0,cuda:1,opencl:0" --set distributed.bucket=0.01 --set stage2.steps=0)
mpirun -n 2 "${three[@]}" : -n 1 env -u GH_GEMM "${three[@]}" >out 2>err || fail "three ranks: $(cat err)"
rm -rf staged
mv run staged
mpirun -n 2 env LD_PRELOAD="$built/libaware_mpi.so" "${three[@]}" : \
  -n 1 env -u GH_GEMM LD_PRELOAD="$built/libaware_mpi.so" "${three[@]}" >out 2>err || fail "three ranks: $(cat err)"
same_losses staged "three ranks"
grep -q "from the memory of those devices that allow it; the others' pass through the host's" err || fail "three ranks: $(cat err)"
grep -q '"buffers": *"device and host"' run/plan.json || fail "three ranks: $(cat run/plan.json)"
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

fast=()
library="$built/libaware_mpi.so"
device=(--device cuda:0,cuda:1 --set distributed.buffers=device)
both "does not say that it takes memory of cuda:0 (\"cuda\")" GH_NCCL=on -- "${device[@]}"
both "does not say that it takes memory" LD_PRELOAD="$library" OMPI_MCA_opal_cuda_support=0 -- "${device[@]}"
both "MPI takes no memory of opencl:0" -u GH_GEMM LD_PRELOAD="$library" -- --device opencl:0 --set distributed.buffers=device
fast=(--set distributed.reduce=fast --set distributed.bucket=0.01)

# ---- a device that fails while its gradients are packed, on one rank, ends the job ----
packs=("$genhance" train --config run.json --device "cuda:0,cuda:1" --set distributed.bucket=0.01)
if mpirun -n 1 env LD_PRELOAD="$library" GH_DOUBLE_FAIL=cuMemcpyDtoDAsync_v2:40 "${packs[@]}" : \
  -n 1 env LD_PRELOAD="$library" "${packs[@]}" >out 2>err; then fail "a device that fails: succeeded"; fi
grep -q "^genhance: .*copy of [0-9]* bytes: CUDA_ERROR" err || fail "a device that fails: $(cat err)"
rm -rf run

# ---- a sum that fails in the middle of an update, on one rank, ends the job ----
if mpirun -n 1 env GH_DOUBLE_FAIL=ncclAllReduce:9 "$genhance" train --config run.json "${fast[@]}" --device cuda:0,cuda:1 : \
  -n 1 "$genhance" train --config run.json "${fast[@]}" --device cuda:0,cuda:1 >out 2>err; then fail "a sum that fails: succeeded"; fi
grep -q "NCCL 2.21.5, a sum over devices: unhandled system error (2)" err || fail "a sum that fails: $(cat err)"

finish
