#!/usr/bin/env bash
# `genhance bench suite`, `bench compare` and `bench portability`, in both shapes of kernels and with a budget of seconds.
# usage: test_suite.sh path/to/genhance
set -u
# shellcheck source=tests/support/failures.sh
. "$(dirname "$0")/support/failures.sh"
genhance=$1
[ -x "$genhance" ] || { echo "no program at $genhance"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
device=${GH_TEST_DEVICE:-auto}
device=$("$genhance" devices --device "$device" | awk 'NR == 2 { print $1 }')

# run TEXT ARGUMENTS...: succeeds, and its output contains the text.
run() {
  local text=$1
  shift
  "$genhance" "$@" >"$work/out" 2>"$work/err" || fail "genhance $*: $(cat "$work/err")"
  grep -qF -e "$text" "$work/out" || fail "genhance $*: no \"$text\" in: $(cat "$work/out")"
}

# refused CODE TEXT ARGUMENTS...: fails with that exit code, and stderr contains the text.
refused() {
  local code=$1 text=$2 got
  shift 2
  "$genhance" "$@" >"$work/out" 2>"$work/err"
  got=$?
  [ "$got" = "$code" ] || fail "genhance $*: exit code $got, expected $code: $(cat "$work/err")"
  grep -qF -e "$text" "$work/err" || fail "genhance $*: no \"$text\" in: $(cat "$work/err")"
}

count() { grep -c -e "$1" "$2"; }

# Both shapes where the device has them: a device that is not a CPU has one.
devices=$device/cpu,$device/gpu
for shape in cpu gpu; do
  "$genhance" bench plan --arch tiny --device "$device/$shape" >/dev/null 2>&1 || devices=$device
done

# ---- a budget of seconds: the peaks, and a row for everything that was left out ----

rows=$work/results/rows.jsonl
run "left out of steps" bench suite --devices "$devices" --archs tiny --batch 1 --minutes 0.02 --parts peaks,latency,steps --out "$work/results"
[ "$(count '"status":"ok"' "$rows")" -gt 5 ] || fail "there are no peaks: $(cat "$work/out")"
[ "$(count '"status":"skipped","reason":"no time left within 0.02 minutes"' "$rows")" -ge 4 ] || fail "no skipped steps"
for op in fma copy triad; do
  grep -q "\"kind\":\"peak\",\"op\":\"$op\"" "$rows" || fail "no peak of $op"
done
[ "$(wc -l <"$rows")" = $(($(wc -l <"${rows%.jsonl}.csv") - 1)) ] || fail "rows.csv and rows.jsonl have different counts"

# ---- going on: nothing is measured twice ----

before=$(count '"kind":"peak".*"status":"ok"' "$rows")
[ "$(count '"op":"fma"' "$rows")" -ge 1 ] || fail "no multiply-adds"
run "rows.csv" bench suite --devices "$devices" --archs tiny --batch 1 --parts latency --out "$work/results"
[ "$(count '"status":"skipped"' "$rows")" = 0 ] || fail "skipped rows stay"
[ "$(count '"kind":"peak".*"status":"ok"' "$rows")" = "$before" ] || fail "the peaks were measured again, or lost"
grep -q '"kind":"latency"' "$rows" || fail "no latency"
# As after a kill within a write: the torn line is dropped.
printf '{"schema":1,"appl' >>"$rows"
run "rows.csv" bench suite --devices "$devices" --archs tiny --batch 1 --parts latency --out "$work/results"
"$genhance" bench compare "$work/results" "$work/results" >/dev/null 2>&1 || fail "rows.jsonl cannot be read after a torn line"

# ---- ops, a step, products and drift of the first device ----

cp -r "$work/results" "$work/more"
run "0 errors" bench suite --devices "$devices" --archs tiny --batch 1 --minutes 0.12 --parts peaks,steps,products,drift,loader --out "$work/more"
for kind in step loader; do
  grep -q "\"kind\":\"$kind\"" "$work/more/rows.jsonl" || fail "no row of kind $kind"
done

# ---- an encoder that no denoiser here can be trained with: named, and its steps are rows ----

run "0 errors" bench suite --devices "$device" --archs dfn-vit-h-14-378 --batch 1 --minutes 2 --parts steps,products --out "$work/odd"
grep -q 'products of dfn-vit-h-14-378 with the continuous denoiser are left out: the encoder.s image size 378' "$work/err" ||
  fail "not named: $(cat "$work/err")"
[ "$(count '"op":"stage [12]".*"status":"unsupported".*image size 378 is not a multiple' "$work/odd/rows.jsonl")" = 12 ] ||
  fail "its steps: $(cat "$work/odd/rows.jsonl")"

# ---- comparing ----

run "same" bench compare "$work/more" "$work/more" --worse-than 0% --json "$work/compare.json"
grep -q '"worse": 0' "$work/compare.json" || fail "results are worse than themselves"
mkdir "$work/slower"
sed 's/"op":"launch and wait"\(.*\)"value":[0-9.e-]*/"op":"launch and wait"\1"value":1e9/' "$rows" >"$work/slower/rows.jsonl"
refused 1 "worse than in $work/results by more than 5%" bench compare "$work/results" "$work/slower" --worse-than 5%
run "worse" bench compare "$work/results" "$work/slower"
refused 2 'expected a percentage, for example 5%' bench compare "$work/results" "$work/slower" --worse-than 0.05
refused 2 "expected two or more folders" bench compare "$work/results"
refused 1 "no such folder" bench compare "$work/results" "$work/absent"
sed 's/"commit":"[^"]*"/"commit":"another"/' "$rows" >"$work/slower/rows.jsonl"
refused 2 "has results of commit another" bench suite --devices "$devices" --parts latency --out "$work/slower"
GH_FFT=own refused 2 'this is "GH_FFT=own"' bench suite --devices "$devices" --parts latency --out "$work/results"
refused 2 'the parts are peaks, latency' bench suite --devices "$devices" --parts peak --out "$work/none"

# ---- the page ----

run "of peak" bench ops --op rmsnorm --batch 1 --repeats 5 --device "$device" --out "$work/ops"
grep -q '"kind":"op".*"device_seconds":[0-9]' "$work/ops/rows.jsonl" || fail "the device has no clock"
before=$(wc -l <"$work/ops/rows.jsonl")
run "of peak" bench ops --op transpose --batch 1 --repeats 5 --device "$device" --out "$work/ops"
run "of peak" bench ops --op rmsnorm --batch 1 --repeats 5 --device "$device" --out "$work/ops"
[ "$(count '"op":"rmsnorm"' "$work/ops/rows.jsonl")" = 2 ] || fail "an earlier row of the same op stays: $(cut -c 1-500 "$work/ops/rows.jsonl")"
[ "$(count '"op":"transpose"' "$work/ops/rows.jsonl")" -ge 1 ] && [ "$(wc -l <"$work/ops/rows.jsonl")" = "$((before + $(count '"op":"transpose"' "$work/ops/rows.jsonl")))" ] ||
  fail "other rows of the folder are lost"
run "PP, architecture" bench portability "$work/ops" --out "$work/page.html" --problem rmsnorm --json "$work/page.json"
for file in page.html page-cascade-app.svg page-cascade-arch.svg page-roofline-1.svg page-p3.csv page-p3-all.csv; do
  [ -s "$work/$file" ] || fail "bench portability: no $file"
done
grep -q '^problem,platform,application,fom,arch eff,app eff,date,coverage_key$' "$work/page-p3.csv" || fail "the CSV's head"
refused 2 '"nowhere" in its name' bench portability "$work/ops" --out "$work/none.html" --set nowhere

# ---- peers: rows that Python writes are rows ----

if command -v python3 >/dev/null; then
  mkdir "$work/peers"
  (cd "$(dirname "$0")/../bench/peers" && python3 -) >"$work/err" 2>&1 <<PYTHON || fail "bench/peers/rows.py: $(cat "$work/err")"
import json, rows, sizes
common = dict(application="peer", backend="peer", device="cpu", hardware=rows.hardware(), kind="op", op="rmsnorm", dtype="f32")
seconds = rows.repeat(lambda: sum(range(1000)))
rows.append("$work/peers/peer.jsonl", [rows.make(**common, unit="s", **rows.sample(seconds), **rows.work(seconds, 1000)),
                                       rows.without("unsupported", "too small", "s", **common)])
rows.append("$work/peers/errors.jsonl", [rows.without("error", "a crash", "s", **common), rows.make(**common, unit="s", **rows.sample(seconds))])
assert [row["status"] for row in rows.read_done("$work/peers/errors.jsonl")] == ["ok"] == \
    [json.loads(line)["status"] for line in open("$work/peers/errors.jsonl")]
shapes = {row["shape"] for row in map(json.loads, open("$work/more/rows.jsonl")) if row["kind"] == "step"}
assert shapes == {sizes.shape_text("tiny", denoiser) for denoiser in ("continuous", "discrete")}, shapes
assert rows.sample([1, 2, 4], work=8)["value"] == 4 and rows.sample([1, 2, 4], work=8)["maximum"] == 8
PYTHON
  run "peer" bench portability "$work/ops" "$work/peers" --out "$work/page.html" --problem rmsnorm
fi

finish
