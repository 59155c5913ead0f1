#!/usr/bin/env bash
# The examples beside the commands: the run that examples/train.c trains, stopped and resumed, has the bits of
# `genhance train`, and examples/score.c prints the numbers of `genhance eval`. tests/test_install.sh has embed.c.
# usage: test_examples.sh path/to/genhance
set -u
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"
examples=$(dirname "$genhance")
[ -x "$examples/example_train" ] || fail "example_train is not built"

# ---- train.c ----
train
mv run whole
"$examples/example_train" run.json model >out 2>err || fail "example_train: exit code $?: $(cat err)"
[ "$(grep -c '^stage [12], update [123] of 3: loss ' out)" = 6 ] || fail "not a line per update: $(cat out)"
[ "$(grep -c '^stage [12]: loss .* 3 updates' out)" = 2 ] || fail "no report of both stages: $(cat out)"
same whole run
"$genhance" export --run whole --out exported >out 2>err || fail "export: $(cat err)"
cmp model/model.safetensors exported/model.safetensors || fail "the example exports another model"

rm -rf run model
"$examples/example_train" run.json model stage1.steps=100000 >out 2>err &
pid=$!
for _ in $(seq 600); do
  grep -q 'update 2 of' out && break
  sleep 0.1
done
kill -INT $pid
wait $pid
code=$?
[ $code = 75 ] || fail "interrupted: exit code $code: $(cat err)"
grep -q '^train: stopped after update' err || fail "no reason: $(cat err)"
[ ! -e model ] || fail "an interrupted run was exported"
done=$(newest_state run)
[ -n "$done" ] || fail "an interrupted run has no state"
rm -rf run

"$examples/example_train" run.json model stage1.step=3 >out 2>err && fail "an unknown key is accepted"
grep -q '^train: .*stage1.step' err || fail "the unknown key is not named: $(cat err)"
"$examples/example_train" >out 2>err
[ $? = 2 ] || fail "example_train shows no usage"

# ---- score.c ----
mkdir -p scenes/{dog,cat}
cp "$fixtures"/encode/images/{Exact,alpha}.png scenes/dog
cp "$fixtures"/encode/images/{enlarge,reduce}.png scenes/cat
"$genhance" eval zeroshot --model "$fixtures/text/clip" --data scenes --json zero.json >out 2>err ||
  fail "eval: $(cat err)"
"$examples/example_score" zeroshot "$fixtures/text/clip" scenes >got 2>err || fail "example_score: $(cat err)"
for name in top-1 top-5; do
  percent=$(awk -v name=$name '$1 == name { print $2 }' out)
  [ -n "$percent" ] && grep -q "^${name/-/} .* $percent %" got || fail "$name is not $percent: $(cat got)"
done
hits=$(grep -A 3 '"top1"' zero.json | sed -n 's/.*"hits": *\([0-9]*\).*/\1/p')
[ "$(grep -c '^wrong: ' got)" = $((4 - hits)) ] || fail "not every wrong picture is listed: $(cat got)"
"$examples/example_score" mmvp "$fixtures/text/clip" scenes >got 2>err && fail "example_score needs no Questions.csv"
grep -q '^score: .*Questions.csv' err || fail "no reason: $(cat err)"

finish
