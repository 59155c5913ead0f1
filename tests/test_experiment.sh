#!/usr/bin/env bash
# A tiny experiment of two runs and two seeds: whole, and killed once and continued; what it shares, writes and refuses.
# usage: test_experiment.sh path/to/genhance
set -u
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"
configs=$(realpath "$fixtures/../../configs")

# Half of the pictures have one label: the probes need two.
find images -maxdepth 1 -type f -printf '%f\n' | LC_ALL=C sort |
  awk 'BEGIN { print "image\thalf" } { print $0 "\t" NR % 2 }' >attributes.tsv
mv attributes.tsv images/
cat >sets.json <<'END'
{"title": "Tiny <two>", "output": "whole", "config": "run.json", "seeds": [0, 1], "baseline": "lora",
 "set": ["state.minutes=1", "data.latent_cache={\"crops\":1}", "data.workers=0"],
 "prepare": [{"name": "judge", "command": ["init", "--arch", "tiny", "--out", "OUT/judge"]}],
 "runs": [{"name": "lora"}, {"name": "direct", "set": ["stage2.lora=null", "stage2.optimizer.lr=0.1"]}],
 "evaluate": [{"kind": "attributes", "data": "images"},
              {"kind": "reconstruction", "data": "images",
               "options": ["--judge", "OUT/judge", "--steps", "2", "--limit", "2"]}]}
END
sed 's/OUT/whole/' sets.json >whole.json
sed 's/OUT/cut/; s/"output": "whole"/"output": "cut"/' sets.json >cut.json

experiment() {
  "$genhance" experiment "$@" >"$work/out" 2>"$work/err" || fail "experiment $*: exit code $?: $(cat "$work/err")"
}
done_steps() { grep -l '"done": true' "$1"/steps/*.json 2>/dev/null | wc -l; }

# ---- the whole one ----
experiment whole.json --dry-run
grep -q '2 runs, 2 seeds: 16 steps, of which 0 are done; 2 stages 1 shared' out || fail "the plan: $(cat out)"
[ ! -e whole ] || fail "--dry-run wrote something"
experiment whole.json --json result.json
[ "$(done_steps whole)" = 16 ] || fail "$(done_steps whole) steps are done"
grep -q '"steps": 16' result.json || fail "no steps in the JSON file"
[ "$(find whole/stage1 -mindepth 1 -maxdepth 1 | wc -l)" = 2 ] || fail "stage 1 was not shared"
[ "$(find whole/latents -mindepth 1 -maxdepth 1 | wc -l)" = 2 ] || fail "the caches were not shared"
grep -q 'Tiny &lt;two&gt;' whole/whole.html || fail "the page has no title, or an unescaped one"
# One attribute, its mean, and two scores of the drawings, each for two runs.
[ "$(wc -l <whole/whole.tsv)" = 9 ] || fail "the table: $(cat whole/whole.tsv)"
awk -F '\t' 'NR > 1 && ($4 != 2 || $6 == "" || $7 == "") { exit 1 }' whole/whole.tsv || fail "a row lacks seeds"
awk -F '\t' '$1 == "lora" && $15 != "0.0000" { exit 1 }' whole/whole.tsv || fail "the baseline differs from itself"
grep -q '^| direct | 2 |' whole/whole.md || fail "the Markdown table: $(cat whole/whole.md)"

# ---- the same, killed in the middle ----
"$genhance" experiment cut.json >out 2>err &
pid=$!
while kill -0 $pid 2>/dev/null && [ "$(done_steps cut)" -lt 5 ]; do sleep 0.02; done
kill -KILL $pid 2>/dev/null
wait $pid 2>/dev/null
[ $? = 137 ] || fail "it ended before the kill"
before=$(done_steps cut)
[ "$before" -lt 16 ] || fail "every step was done before the kill"
experiment cut.json --dry-run
grep -q "16 steps, of which $before are done" out || fail "after the kill: $(tail -n 1 out)"
experiment cut.json
repeated=$(($(grep -c '^genhance ' cut/experiment.log) - 16))
[ $repeated -le 1 ] || fail "$repeated steps were repeated: $(cat cut/experiment.log)"
cmp -s whole/whole.tsv cut/cut.tsv || fail "other scores: $(diff whole/whole.tsv cut/cut.tsv)"
cmp -s whole/whole.md cut/cut.md || fail "another Markdown table"

# ---- one seed more is only that ----
experiment cut.json --seeds 0,1,2
grep -q '^lora.attributes.half.3' cut/cut.tsv || fail "no third seed: $(cat cut/cut.tsv)"

# ---- what it refuses ----
refuse 1 'was run with other settings' "$genhance" experiment whole.json --set stage2.optimizer.lr=0.5
sed 's/"seeds"/"seed"/' whole.json >bad.json
refuse 1 'unknown key "seed" (the nearest is "seeds")' "$genhance" experiment bad.json
sed 's/"direct"/"lora"/' whole.json >bad.json
refuse 1 'runs: "lora" twice' "$genhance" experiment bad.json
sed 's/"init", "--arch"/"train", "--arch"/' whole.json >bad.json
refuse 1 'prepare "judge": the command can be' "$genhance" experiment bad.json
sed 's/"name": "direct"/"name": "..\/direct"/' whole.json >bad.json
refuse 1 'is no name' "$genhance" experiment bad.json
refuse 2 '--seeds 1,,2: expected whole numbers' "$genhance" experiment whole.json --seeds 1,,2
refuse 1 'names no "output"' "$genhance" experiment "$configs/table4.tsv"

# ---- the sweep files and experiments of the project ----
for file in "$configs"/*.tsv; do
  experiment "$file" --out none --dry-run
  runs=$(grep -vc '^#' "$file")
  grep -q "^$runs runs\?, 1 seed: " out || fail "$file: $(tail -n 1 out)"
done
cd "$configs/.." || exit 1
for file in configs/miniature*.json; do experiment "$file" --out none --dry-run; done
finish
