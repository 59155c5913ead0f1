#!/usr/bin/env bash
# Runs that are interrupted at a moment in time (test_resume.c interrupts at chosen operations): SIGKILL at random moments,
# SIGTERM, steps added later; and what --resume rejects. GH_TEST_SEED=N repeats a printed seed.
# usage: test_interrupt.sh path/to/genhance
set -u
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"
RANDOM=${GH_TEST_SEED:=$((RANDOM))}
echo "GH_TEST_SEED=$GH_TEST_SEED"

# ---- two runs, with an empty and a warm tuning cache ----
train
mv run whole
train
same whole run
mv run warm
(
  export GH_CACHE_DIR=$work/other-cache
  train
  [ -n "$(ls "$GH_CACHE_DIR")" ] || fail "nothing was cached, so the cache was not empty"
  exit "$failures"
) || failures=$((failures + 1))
# Our own matrix products give the same bits in all variants. A vendor's library gives others, and timing may choose it.
if cat whole/plan.json run/plan.json | grep '"m=' | grep -qv '"own-'; then
  echo "a vendor's library was chosen; with another empty cache it may be chosen for other shapes"
else
  same whole run
fi
rm -rf run

# ---- killed at random moments, repeatedly, until one try finishes ----
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
began=$(milliseconds)
train
length=$(($(milliseconds) - began))
rm -rf run
kills=0 tries=0
while :; do
  "$genhance" train --config run.json --quiet --resume >out 2>err &
  pid=$!
  if [ $((tries += 1)) -le 8 ]; then
    delay=$((length / 6 + RANDOM % length * 2 / 3))
    sleep "$((delay / 1000)).$(printf '%03d' $((delay % 1000)))"
    kill -KILL $pid 2>/dev/null
  fi
  wait $pid 2>/dev/null
  code=$?
  if [ $code = 137 ]; then
    kills=$((kills + 1))
  elif [ $code = 0 ] && [ $kills = 0 ] && [ $tries -lt 8 ]; then
    rm -rf run # it finished without a kill
  else
    break
  fi
done
[ $code = 0 ] || fail "resumed: exit code $code: $(cat err)"
echo "$kills kills within runs of $length ms"
[ $kills -gt 0 ] || fail "every run finished before the kill"
same whole run

# ---- resuming a finished run does nothing ----
train --resume
same whole run
rm -rf run

wait_for() { # wait_for PATTERN: waits until the run of process $pid has such a file
  while kill -0 $pid 2>/dev/null && ! compgen -G "$1" >/dev/null; do sleep 0.01; done
}

# ---- SIGTERM and SIGINT: the current update is finished and its state saved, in both stages ----
interrupt() { # interrupt SIGNAL UPDATES: stops a run; UPDATES are logged then in total
  local signal=$1 updates=$2 code
  rm -f run/.lock # taken before anything is read, so the signal arrives before the first update ends
  "$genhance" train --config run.json --resume --quiet --set state.minutes=1e6 >out 2>err &
  pid=$!
  wait_for run/.lock
  kill -$signal $pid
  wait $pid
  code=$?
  [ $code = 75 ] || fail "SIG$signal: exit code $code: $(cat err)"
  grep -q '^genhance: stopped .*--resume' err || fail "SIG$signal: $(cat err)"
  [ "$(wc -l <run/metrics.jsonl)" = $updates ] || fail "SIG$signal: $(wc -l <run/metrics.jsonl) updates, not $updates"
}
interrupt TERM 1
interrupt INT 2
interrupt TERM 3 # between the stages
interrupt INT 3
train --resume --set stage2.steps=1
interrupt TERM 5
[ "$(newest_state run)" = stage2-00000002 ] || fail "stopped at $(newest_state run)"
train --resume
same whole run

# ---- a closed pipe: training goes on, and the state is written ----
rm -rf run
("$genhance" train --config run.json 2>err; echo $? >code) | head -n 1 >/dev/null
[ "$(cat code)" = 1 ] && grep -q '^genhance: standard output: ' err || fail "closed pipe: $(cat code), $(cat err)"
same whole run

# ---- SIGUSR1, which batch systems send before the time limit ----
rm -rf run
"$genhance" train --config run.json --quiet --set stage1.steps=4000 --set stage2.steps=0 >out 2>err &
pid=$!
wait_for run/metrics.jsonl
kill -USR1 $pid
wait $pid
code=$?
[ $code = 75 ] && [ -n "$(newest_state run)" ] || fail "SIGUSR1: exit code $code: $(cat err)"

# ---- pictures that vanish: the state of the last update is saved ----
rm -rf run
GH_RETRY_SECONDS=0.1 "$genhance" train --config run.json --quiet --set stage1.steps=4000 --set stage2.steps=0 >out 2>err &
pid=$!
wait_for run/metrics.jsonl
mv images away
wait $pid
code=$?
mv away images
[ $code = 1 ] && grep -q '^genhance: .*; the state after update [0-9]* of stage 1 is saved in run/state' err ||
  fail "vanished pictures: exit code $code: $(cat err)"
[ -n "$(newest_state run)" ] || fail "vanished pictures: no state"
rm -rf run && cp -r whole run

# ---- what --resume rejects ----
refuse 1 "run already holds a run: --resume" "$genhance" train --config run.json
for change in stage1.optimizer.lr=0.02 seed=7 stage2.lora.rank=3 timestep.scale=2 data.crop_scale='[0.5,1]' \
  denoiser.guidance=3 stage2.batch=4; do
  refuse 1 "${change%%=*}" "$genhance" train --config run.json --resume --set "$change"
done
refuse 1 "stage1.steps" "$genhance" train --config run.json --resume --set stage1.steps=5
same whole run
cp images/alpha.png images/more.png
refuse 1 "--allow-data-change" "$genhance" train --config run.json --resume --set stage2.steps=4
same whole run
train --resume --set stage2.steps=4 --allow-data-change
[ "$(wc -l <run/metrics.jsonl)" = 7 ] || fail "--allow-data-change: $(cat run/metrics.jsonl)"
rm images/more.png

# ---- the same data and models at other paths ----
rm -rf run
train --set stage2.steps=1
mv images elsewhere
cp -r clip moved-clip
train --resume --set 'data.images=["elsewhere"]' --set clip=moved-clip
mv elsewhere images
sed -i 's/moved-clip/clip/' run/snapshots/*/adapter_config.json # PEFT's files name the encoder's folder
same whole run

# ---- a damaged state is not used ----
rm -rf run && cp -r whole run
part=run/state/$(newest_state run)/part-00000.safetensors
printf x | dd of="$part" bs=1 seek=$(($(stat -c %s "$part") - 100)) conv=notrunc status=none
train --resume # the previous state is used, and the run gives the same result
grep -q "warning: damaged state skipped: .*part-00000.safetensors: .* does not match the manifest .*; the run goes on from stage2-00000002" err ||
  fail "a damaged state was not reported: $(cat err)"
[ -d run/state/damaged-stage2-00000003 ] || fail "the damaged state was not set aside: $(ls run/state)"
rm -r run/state/damaged-*
same whole run

# ---- another preprocessing of the same encoder is rejected ----
cp -r clip moved-clip
sed -i "s/0.48145466/0.25/" moved-clip/preprocessor_config.json
refuse 1 "clip: preprocessor_config.json differs from that of the interrupted run" \
  "$genhance" train --config run.json --resume --set stage2.steps=4 --set clip=moved-clip

# ---- replaced weights are rejected ----
cp ae.safetensors kept
printf x | dd of=ae.safetensors bs=1 seek=$(($(stat -c %s ae.safetensors) - 100)) conv=notrunc status=none
refuse 1 "model files differ from those" "$genhance" train --config run.json --resume --set stage2.steps=4
mv kept ae.safetensors

# ---- more steps than in the first call ----
rm -rf run
train --set stage1.steps=2 --set stage2.steps=0
train --resume --set stage2.steps=1
train --resume
same whole run

# ---- one process per folder ----
rm -rf run
"$genhance" train --config run.json --quiet --set stage1.steps=100000 >out1 2>err1 &
pid=$!
wait_for 'run/state/*/manifest.json'
refuse 1 "in use by another process" "$genhance" train --config run.json --resume
kill -KILL $pid
wait $pid 2>/dev/null
code=$?
[ $code = 137 ] || fail "the first process exited by itself with $code: $(cat err1)"
refuse 1 "stage1.steps is 0, but the interrupted run has done" "$genhance" train --config run.json --resume --set stage1.steps=0
steps=$(newest_state run)
steps=$((10#${steps#stage1-}))
rm -rf run/snapshots
train --resume --set stage1.steps=$steps --set stage2.steps=1 # the lock ended with its process
[ "$(wc -l <run/metrics.jsonl)" = $((steps + 1)) ] || fail "resumed at $steps: $(tail -n 1 run/metrics.jsonl)"
[ -d "run/snapshots/stage1-$(printf %08d $steps)" ] || fail "the last step's snapshot is missing: $(ls run/snapshots)"

# ---- killed before the first state, after a snapshot ----
rm -rf run/state
refuse 1 "run already holds a run: --resume" "$genhance" train --config run.json
refuse 1 "seed" "$genhance" train --config run.json --resume --set seed=8
train --resume
same whole run

finish
