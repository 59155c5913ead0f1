#!/usr/bin/env bash
# `genhance bench`: the JSON keys that scripts read, and errors that name their cause.
# usage: test_bench.sh path/to/genhance
set -u
# shellcheck source=tests/support/failures.sh
. "$(dirname "$0")/support/failures.sh"
genhance=$1
[ -x "$genhance" ] || { echo "no program at $genhance"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
device=${GH_TEST_DEVICE:-auto}

# refused CODE TEXT ARGUMENTS...: fails with that exit code, and stderr contains the text.
refused() {
  local code=$1 text=$2 got
  shift 2
  "$genhance" "$@" >"$work/out" 2>"$work/err"
  got=$?
  [ "$got" = "$code" ] || fail "genhance $*: exit code $got, expected $code"
  grep -qF -e "$text" "$work/err" || fail "genhance $*: no \"$text\" in: $(cat "$work/err")"
}

# Two devices; each kernel begins after the one before it, within a phase's span.
check_trace() {
  python3 - "$1" <<'END'
import json, sys
trace = json.load(open(sys.argv[1]))
events = trace["traceEvents"]
assert trace["otherData"]["made_by"]["version"]
assert {e["pid"] for e in events} == {1, 2}
for pid in (1, 2):
    spans = [e for e in events if e["pid"] == pid and e["ph"] == "X"]
    phases, kernels = [e for e in spans if e["tid"] == 1], [e for e in spans if e["tid"] == 2]
    assert {"encoder", "autoencoder", "denoiser", "backward", "update"} <= {e["name"] for e in phases}
    assert all(a["ts"] + a["dur"] <= b["ts"] + 1e-3 for a, b in zip(kernels, kernels[1:]))
    for e in kernels:
        assert any(p["name"] == e["cat"] and p["ts"] <= e["ts"] + 1e-3 and e["ts"] + e["dur"] <= p["ts"] + p["dur"] + 1e-3
                   for p in phases), e
        assert e["args"]["kernel"] and e["args"]["shape"]
END
}

refused 2 "--precision double: it can be float32, bfloat16 or float16" bench step --arch tiny --precision double
refused 2 "unknown architecture tiyn; did you mean tiny?" bench step --arch tiyn --device "$device"
refused 2 "expected a whole number from 1 to 2" bench step --arch tiny --stage 3
refused 2 "a kind is missing" bench

for stage in 1 2; do
  precision=$([ $stage = 1 ] && echo float16 || echo bf16)
  "$genhance" bench step --arch tiny --stage $stage --batch 2 --precision $precision --devices "$device,$device" \
    --double-blocks 1 --single-blocks 1 --repeats 2 --trace "$work/trace.json" --json "$work/step.json" >"$work/out" 2>"$work/err" ||
    fail "bench step: $(cat "$work/err")"
  for key in images_per_second step_seconds_median phases peak_bytes gflops commit driver device resident_bytes profile \
    encoder autoencoder denoiser backward update device_calls asked_of_device async_writes sends; do
    grep -q "\"$key\"" "$work/step.json" || fail "bench step, stage $stage: no $key"
  done
  [ "$(grep -c '"step_seconds_median"' "$work/step.json")" = 3 ] || fail "bench step: results of both devices and of the first at the top level are expected"
  grep -q "\"precision\": \"${precision/bf16/bfloat16}\"" "$work/step.json" || fail "bench step: not in $precision"
  grep -q '"blocking_reads": 2' "$work/step.json" || fail "bench step: not one blocking read per update"
  grep -q "backward" "$work/out" || fail "bench step: no table"
  check_trace "$work/trace.json" || fail "bench step: $work/trace.json is not such a trace"
done

# With cached targets an update does no work of the autoencoder or tokenizer: only draws, and sends the targets.
target_flop() { # target_flop OPTIONS...: arithmetic of that phase, then of the encoder
  "$genhance" bench step --arch tiny --stage 2 --batch 2 --devices "$device" --repeats 1 "$@" --json "$work/step.json" \
    >"$work/out" 2>"$work/err" || fail "bench step $*: $(cat "$work/err")"
  awk '/"(autoencoder|tokenizer|encoder)": {/ { name = $1 } /"flop":/ && name { f[name] = $2; name = "" }
    END { print f["\"autoencoder\":"] + f["\"tokenizer\":"], f["\"encoder\":"] + 0 }' "$work/step.json"
}
for kind in continuous discrete; do
  read -r computed encoder <<<"$(target_flop --set denoiser.kind=$kind)"
  read -r cached again <<<"$(target_flop --set denoiser.kind=$kind --set 'data.latent_cache={}')"
  awk -v a="$computed" -v b="$cached" -v e="$encoder" -v f="$again" 'BEGIN { exit !(a > e && b < e / 100 && e == f && e > 0) }' ||
    fail "$kind: the targets take $computed, and cached $cached, beside $encoder and $again of the encoder"
done

# Plans the full FLUX, 11.90 B parameters plus projectors, on a machine that could not hold it.
"$genhance" bench plan --arch openai-vit-l-14-224 --stage 1 --double-blocks 19 --single-blocks 38 --device "$device" \
  --json "$work/plan.json" >"$work/out" 2>"$work/err" || fail "bench plan: $(cat "$work/err")"
grep -q '"parameters_trained": 11922523712' "$work/plan.json" || fail "bench plan: $(cat "$work/plan.json")"
for key in peak_bytes persistent_bytes lasting_bytes step_bytes gflop_per_step gflop_a_step parameters_frozen; do
  grep -q "\"$key\"" "$work/plan.json" || fail "bench plan: no $key"
done

for op in rmsnorm gaussian_kl clip_control; do
  "$genhance" bench ops --op $op --batch 1 --repeats 1 --device "$device" --json "$work/ops.json" >"$work/out" 2>"$work/err" ||
    fail "bench ops --op $op: $(cat "$work/err")"
  for key in gflops gbytes_per_second share_of_peak peak_gflops peak_gbytes_per_second commit driver; do
    grep -q "\"$key\"" "$work/ops.json" || fail "bench ops --op $op: no $key"
  done
done
grep -q '"op": "clip_control"' "$work/ops.json" || fail "bench ops: no row of its op"
refused 2 "unknown op nothing; available: accumulate" bench ops --op nothing --device "$device"

# Scaling, by hand: 8 samples in micro-batches of 2 take 100 ms, so one takes 25. Two ranks compute two of them, and wait for
# 4 MB once there and back, of which half is the own part: 32 ms at 125 MB/s, and 0.508 ms for delays: a request, its answer and the data each way.
measured() { # measured RUN MS WAITING: a finished run
  mkdir "$work/$1"
  echo '{"version": 1, "clip": "clip", "autoencoder": "ae", "data": {"images": ["images"]}, "stage1": {"batch": 8}, "stage2": {},
    "output": "run"}' >"$work/$1/config.json"
  echo '{"stage1": {"parameters_trained": 1000000, "micro_batch": 2}}' >"$work/$1/info.json"
  for update in 1 2 3 4 5; do
    echo "{\"stage\":1,\"update\":$update,\"ms\":$((update == 1 ? 900 : $2))$3}"
  done >"$work/$1/metrics.jsonl"
}
measured one 100 ''
measured two 90 ',"waiting":[0.3,0.4]'
"$genhance" bench scaling --run "$work/one" --run "$work/two" --json "$work/scaling.json" >"$work/out" 2>"$work/err" ||
  fail "bench scaling: $(cat "$work/err")"
grep -q 'measured on 2 ranks: 90.0 ms, every rank waited at least 30 %; the model says 82.5 ms (-8 %)' "$work/out" ||
  fail "bench scaling: $(cat "$work/out")"
grep -q '^ *8 .* 81.5 ms  *15 %  *20 %  *none is enough  *160$' "$work/out" || fail "bench scaling: $(cat "$work/out")"
grep -q '^ *4096  *too few samples' "$work/out" || fail "bench scaling: $(cat "$work/out")"
"$genhance" bench scaling --run "$work/one" --run "$work/two" --processors 1 >"$work/out" 2>"$work/err" ||
  fail "bench scaling: $(cat "$work/err")"
grep -q 'the model says 132.5 ms (+47 %)' "$work/out" || fail "bench scaling: $(cat "$work/out")"
for key in model_seconds least_waiting efficiency_mixed least_batch; do
  grep -q "\"$key\"" "$work/scaling.json" || fail "bench scaling: no $key"
done
refused 1 "one --run must be of one process" bench scaling --run "$work/two"
refused 2 "bench scaling: --run is missing" bench scaling

finish
