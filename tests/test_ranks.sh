#!/usr/bin/env bash
# Training on several ranks with mpirun, all on this machine: the same losses as one process, the same bits again, what is
# refused, resuming on another number of ranks, and ranks that are stopped, killed, hang or fail.
# usage: test_ranks.sh path/to/genhance
set -u
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"
# shellcheck source=tests/support/mpirun.sh
. "$fixtures/../support/mpirun.sh"

# ranks N ARGUMENTS...: runs to the end on N ranks; with all that it says in `err`
ranks() {
  local n=$1
  shift
  mpirun -n "$n" "$genhance" train --config run.json "$@" >out 2>err || fail "$n ranks, $*: exit code $?: $(cat err)"
}

losses() { head -n "$2" "$1/metrics.jsonl" | sed 's/.*"loss"://; s/,.*//'; }

# close_losses A B N [TOLERANCE]: the first N losses of run B are those of A within 1e-5
close_losses() {
  paste <(losses "$1" "$3") <(losses "$2" "$3") | awk -v want="$3" -v most="${4:-1e-5}" '
    { d = $1 - $2; if (d < 0) d = -d; if (!(d <= most * $1)) { print "update " NR ": " $1 " and " $2; bad++ } }
    END { if (NR != want) { print NR " losses"; bad++ } exit bad > 0 }' || fail "$2: losses differ from those of $1"
}

# ---- MPI that is absent, foreign, of another version, too old or without threads ----
unopened() { # unopened TEXT VARIABLE=VALUE...: a process that MPI started refuses to train
  local text=$1
  shift
  refuse 1 "$text" env OMPI_COMM_WORLD_SIZE=2 "$@" "$genhance" train --config run.json
}
cp "$genhance" alone
refuse 1 "no genhance_mpi.so in $work" env OMPI_COMM_WORLD_SIZE=2 ./alone train --config run.json
unopened "absent.so: cannot open" GH_MPI=absent.so
unopened "is not genhance's" GH_MPI=libm.so.6
unopened "speaks MPI 2.2, which is too old: genhance needs MPI 3.0" GH_OLD_MPI=version LD_PRELOAD="$built/libold_mpi.so"
refuse_ranks "built without support for threads" mpirun -n 1 env MV2_COMM_WORLD_SIZE=2 GH_OLD_MPI=threads \
  LD_PRELOAD="$built/libold_mpi.so" "$genhance" train --config run.json
refuse_ranks "says that 2 processes were started, but Open MPI" mpirun -n 1 env MV2_COMM_WORLD_SIZE=2 \
  "$genhance" train --config run.json

# ---- one rank is one process; one cache of latents serves all runs, which saves the time of the autoencoder ----
sed -i 's/"steps": 3, "batch": 3/"steps": 25, "batch": 7/; s/"minutes": 1e-9/"minutes": 1e6/; s/"checkpoint_every": 2/"checkpoint_every": 0/
  s/"lora": {"rank": 2}/"lora": {"rank": 2, "dropout": 0.2}/; s/"lr": 0.01/"lr": 0.002/
  s/"workers": 2/"workers": 1, "latent_cache": {"crops": 1, "path": "latents"}/' run.json
train
mv run one
ranks 1
same one run

# ---- the same losses on 2, 3 and 4 ranks: shares of 3 and 4, of 2 and 3, of 1 and 2, in micro-batches of 2 ----
for n in 2 3 4; do
  rm -rf run
  ranks $n
  close_losses one run 50
  mv run "of$n"
done
[ "$(wc -l <of3/metrics.jsonl)" = 50 ] || fail "only rank 0 should write: $(wc -l <of3/metrics.jsonl) lines"
grep -q '"waiting":\[[0-9.e-]*,[0-9.e-]*,[0-9.e-]*\]' of3/metrics.jsonl || fail "no shares of waiting: $(head -n 1 of3/metrics.jsonl)"
# Each gradient travels during the backward pass, and each rank keeps a part of the optimiser: the same sums and updates.
ranks 3 --set distributed.bucket=0.01 --set distributed.shard=optimizer
same of3 run
rm -rf run
# Each rank keeps only its own gradients, over shares of one and two micro-batches; in many parts, and in one.
ranks 3 --set distributed.bucket=0.01 --set distributed.shard=gradients
same of3 run
grep '^rank 2 on .* of stage 2 spent waiting' err | sed 's/.*at the peak \([0-9.]*\) MiB, planned \([0-9.]*\)$/\1 \2/' | awk '
  { exit !($1 > 0 && $1 >= 0.95 * $2 && $1 <= 1.05 * $2) }' || fail "another peak than planned: $(grep 'at the peak' err)"
rm -rf run
ranks 4 --set distributed.shard=gradients
same of4 run
rm -rf run
mixed=(--set precision=bf16 --set stage1.steps=3 --set stage1.checkpoint_every=2 --set stage2.steps=0)
memory=(--set memory.master_weights=bf16 --set memory.moments=8bit --set memory.gradients=bf16)
divided() { # divided OPTIONS...: in bf16, two ranks that have only copies of each other's weights make the same updates
  rm -rf run mixed
  ranks 2 "${mixed[@]}" "$@"
  mv run mixed
  for shard in optimizer gradients; do
    ranks 2 "${mixed[@]}" "$@" --set distributed.shard=$shard
    same mixed run
    rm -rf run
  done
}
divided
divided "${memory[@]}"
mixed[1]=precision=float16 # ranks scale the loss alike; a resumed run has the same scale and counts on all of them
divided
ranks 2 "${mixed[@]}" --set stage1.steps=2
ranks 2 "${mixed[@]}" --resume
same mixed run
rm -rf run
"$genhance" train --config run.json --dry-run --ranks 3 --set distributed.shard=optimizer >out 2>err || fail "a plan for 3: $(cat err)"
[ "$(grep -c '^  rank [012]: [23] samples, micro_batch [12], updates [0-9]* parameters; ' out)" = 6 ] || fail "no plan per rank: $(cat out)"
persistent() { # persistent SHARD: planned bytes of the last of 4 ranks, with a denoiser of 9 million parameters
  "$genhance" train --config run.json --dry-run --ranks 4 --set stage2.steps=0 --set denoiser.hidden=512 --set denoiser.heads=32 \
    --set distributed.shard="$1" --json plan.json >out 2>err || fail "a plan with $1: $(cat err)"
  grep -o '"persistent_bytes": *[0-9]*' plan.json | tail -n 1 | grep -o '[0-9]*$'
}
awk -v o="$(persistent optimizer)" -v g="$(persistent gradients)" 'BEGIN { exit !(g > 0 && g < 0.85 * o) }' ||
  fail "divided gradients save no memory: $(persistent optimizer) and $(persistent gradients) bytes"
refuse 2 "--ranks is for --dry-run" "$genhance" train --config run.json --ranks 3
ranks 2 --set stage1.steps=3 --set stage2.steps=0 --set distributed.reduce_precision=bf16 --set distributed.bucket=0.01
close_losses one run 3 1e-3
! cmp -s <(losses of2 3) <(losses run 3) || fail "no gradient was rounded"
rm -rf run

# ---- the discrete denoiser, without a cache, and kernels of another shape on rank 1 ----
cp "$fixtures/probe/masked/vqgan.safetensors" .
discrete=(--set 'denoiser={"kind":"discrete","layers":2,"hidden":48,"heads":3}' --set autoencoder=vqgan.safetensors
  --set data.latent_cache=null --set stage1.steps=3 --set stage2.steps=3)
train "${discrete[@]}"
mv run discrete
ranks 2 "${discrete[@]}"
close_losses discrete run 6
rm -rf run
ranks 2 --set stage1.steps=3 --set stage2.steps=0 --device "nowhere=cuda:7;${host:0:1}*=auto/cpu,auto/gpu;*=cuda:8" \
  --set distributed.reduce=fast
close_losses one run 3
grep -q "by MPI_Allreduce: a rerun is not bit-identical" err || fail "fast sums without a word: $(cat err)"
grep -q '"ranks": \[' run/plan.json || fail "the plan of rank 1 is not in plan.json"
refuse_ranks 'names 2, but 3 ranks are on this host' mpirun -n 3 "$genhance" train --config run.json --device auto/cpu,auto/gpu
refuse_ranks "has no devices for the host $host" mpirun -n 2 "$genhance" train --config run.json --device 'nowhere=opencl:0'
refuse_ranks '"opencl:0" is not HOST=DEVICES' mpirun -n 2 "$genhance" train --config run.json --device "$host=auto;opencl:0"
refuse 2 "has no devices for the host $host" "$genhance" train --config run.json --device 'nowhere=opencl:0' --set output=absent
rm -rf run

# ---- a batch divided by speed, less to a slow rank; the division is kept when the run resumes ----
measured=(--set distributed.split=measured --set stage1.micro_batch=1 --set stage2.steps=0)
slow=("$genhance" train --config run.json "${measured[@]}" --set stage1.steps=3)
mpirun -n 1 "${slow[@]}" : -n 1 env GH_SLOW_LAUNCH=5000 LD_PRELOAD="$built/slow_opencl.so" "${slow[@]}" >out 2>err ||
  fail "a slow rank: $(cat err)"
close_losses one run 3
grep -qE "samples of each update by rank, by measured speed: (5, 2|6, 1)$" err || fail "no measured split: $(cat err)"
cp run/plan.json plan-before
ranks 2 "${measured[@]}" --set stage1.steps=4 --resume
grep -q "samples of each update by rank, as before: " err || fail "the split is not kept: $(cat err)"
cmp -s plan-before run/plan.json || fail "the plan is not kept"

# ---- ranks that differ ----
differ() { # differ TEXT ARGUMENTS-OF-RANK-1...
  local text=$1
  shift
  refuse_ranks "rank 1 on $host: $text" mpirun -n 1 "$genhance" train --config run.json : -n 1 "$genhance" train --config run.json "$@"
}
differ 'config.stage2.optimizer.lr is 0.5, but 0.002 on rank 0' --set stage2.optimizer.lr=0.5
cp -r clip other-clip
cp ae.safetensors other.safetensors
printf x | dd of=other.safetensors bs=1 seek=$(($(stat -c %s other.safetensors) - 100)) conv=notrunc status=none
differ "the content of the autoencoder's file is " --set autoencoder=other.safetensors
sed -i "s/0.48145466/0.25/" other-clip/preprocessor_config.json
differ "preprocessor_config.json is " --set clip=other-clip
cp -r images more
cp images/alpha.png more/more.png
differ "the number of images in data.images is " --set data.images='["more"]'
version=$("$genhance" --version | sed 's/^genhance //')
LC_ALL=C sed "s/${version//./\\.}/9.9.9/g" "$genhance" >other && chmod +x other
refuse_ranks "rank 1 on $host: version is \"9.9.9\", but \"$version\" on rank 0" env GH_MPI="$built/genhance_mpi.so" \
  mpirun -n 1 "$genhance" train --config run.json : -n 1 ./other train --config run.json
refuse_ranks "stage1.batch is 7, but there are 8 ranks" mpirun -n 8 "$genhance" train --config run.json
refuse_ranks "absent.json" mpirun -n 2 "$genhance" train --config absent.json
refuse_ranks "--dry-run is for one process" mpirun -n 2 "$genhance" train --config run.json --dry-run

# ---- stopped by a signal to one rank, killed, hanging, failing: the last state is intact ----
begin() { # begin ARGUMENTS-OF-MPIRUN...: starts a run and waits for its tenth update; rank r has the process ${pids[r]}
  rm -rf run
  mpirun "$@" >out 2>err &
  mpi=$!
  while kill -0 $mpi 2>/dev/null && ! grep -qs '"update":10,' run/metrics.jsonl; do sleep 0.02; done
  mapfile -t pids < <(pgrep -P $mpi | sort -n)
}
finished() { # finished CODE SECONDS: how the run ended, and within what time
  local began=$SECONDS code
  wait $mpi
  code=$?
  [ $code = "$1" ] || [ "$1" = any ] || fail "exit code $code, not $1: $(cat err)"
  [ $code != 0 ] || fail "the run ended with 0: $(cat err)"
  [ $((SECONDS - began)) -le "$2" ] || fail "the run ended after $((SECONDS - began)) s"
}
each=("$genhance" train --config run.json --quiet --set state.minutes=1e-9)
begin -n 3 "${each[@]}"
kill -USR1 "${pids[2]}"
finished 75 60
grep -q '^genhance: stopped after update [0-9]* of stage 1; --resume continues' err || fail "SIGUSR1: $(cat err)"
ranks 3 --resume --set distributed.shard=optimizer
same of3 run
begin -n 3 "${each[@]}" --set distributed.shard=optimizer
kill -TERM "${pids[0]}"
finished 75 60
ranks 2 --resume --set distributed.shard=gradients # on another number of ranks
close_losses one run 50
begin -n 2 "${each[@]}"
kill -KILL "${pids[1]}"
finished any 60
train --resume # as one process
close_losses one run 50
begin -n 2 "$genhance" train --config run.json --quiet --set stage1.steps=100000 --rank-timeout 3
kill -STOP "${pids[1]}"
finished 1 60
grep -q "^genhance: rank 1 on $host did not answer within 3 s (" err || fail "a rank that hangs: $(cat err)"
# Local updates with averages: a signal waits for the next average, and the run repeats to the same bits.
averaged=(--set distributed.sync_every=5 --set stage2.steps=0)
refuse 1 "local updates need several ranks" "$genhance" train --config run.json "${averaged[@]}" --set output=absent
rm -rf run
ranks 2 "${averaged[@]}"
grep -q "local updates: parameters are averaged every 5 updates" err || fail "averages without a word: $(cat err)"
! cmp -s <(losses one 25) <(losses run 25) || fail "nothing was local"
paste <(losses one 25) <(losses run 25) | tail -n 1 | awk '{ exit !($2 < 1.5 * $1) }' || fail "averages diverge: $(losses run 25)"
mv run averaged
begin -n 2 "${each[@]}" "${averaged[@]}"
kill -USR1 "${pids[0]}"
finished 75 60
ranks 2 --resume "${averaged[@]}"
same averaged run
cp -r images others
GH_RETRY_SECONDS=0.1 begin -n 1 "${each[@]}" --set stage1.steps=100000 : \
  -n 1 "${each[@]}" --set stage1.steps=100000 --set data.images='["others"]'
mv others away
finished 1 60
grep -q "^genhance: rank 1 on $host: .*others.*; the state after update [0-9]* of stage 1 is saved in run/state" err ||
  fail "vanished pictures of rank 1: $(cat err)"

finish
