#!/usr/bin/env bash
# Files of results say where they come from, finished runs are read from any folder, --json - is standard output, and the
# best snapshot is the default where there is one.
# usage: test_origin.sh path/to/genhance
set -u
. "$(dirname "$0")/support/train.sh"

cp -r "$fixtures/text/clip" words
chmod -R u+w words
mkdir -p scenes/a scenes/b
cp images/reduce.png scenes/a
cp images/half-chroma.jpg scenes/b
train --set clip=words --set stage2.checkpoint_every=1 --set evaluate='[{"kind":"zeroshot","data":"scenes"}]'

# ---- what every file says ----
for file in config.json plan.json info.json state/*/manifest.json best.json; do
  for key in version commit device device_name driver host configuration; do
    grep -q "\"$key\": *\"[^\"]" run/$file || fail "run/$file: no $key"
  done
done
for file in metrics.jsonl evaluations.jsonl; do
  grep -q '"made_by":{"version":"[^}]*"host":"[^}]*"configuration":"[0-9a-f]\{16\}"},"time":[0-9.]*' run/$file || fail "run/$file: no origin: $(head -n 1 run/$file)"
done
[ "$(grep -c made_by run/metrics.jsonl)" = 2 ] || fail "not one origin per stage in metrics.jsonl"
head -n 1 run/train.log | grep -q '| 20[0-9T:-]*Z {"version":' || fail "train.log: no origin: $(head -n 1 run/train.log)"
for file in run/snapshots/stage1-00000003/denoiser.safetensors run/snapshots/stage2-00000003/adapter_model.safetensors; do
  head -c 4000 "$file" | grep -qa '"made_by":"{' || fail "$file: no origin"
done
# The hash is of what decides the numbers.
hash_of() { sed -n 's/.*"configuration": "\([0-9a-f]*\)".*/\1/p' "$1/config.json"; }
train --set output=other --set stage2.steps=0 --set state.keep=1
train --set output=third --set stage2.steps=0 --set stage1.optimizer.lr=0.02
[ -n "$(hash_of other)" ] && [ "$(hash_of other)" != "$(hash_of third)" ] || fail "another learning rate has the same hash"
# A run's config.json is a configuration.
"$genhance" train --config third/config.json --quiet --set output=fourth >out 2>err || fail "config.json of a run: $(cat err)"
[ "$(hash_of third)" = "$(hash_of fourth)" ] || fail "the same configuration has another hash"

# ---- --json - ----
"$genhance" devices --json - >out 2>err || fail "--json -: $(cat err)"
[ "$(head -c 1 out)" = "{" ] && grep -q '"command": "devices"' out && grep -q '^opencl:0' err || fail "--json -: $(cat out err)"
grep -q '"made_by"' out && grep -q '"time": "20' out || fail "--json -: no origin: $(cat out)"
refuse 2 "there is no device" "$genhance" devices --device opencl:99 --json -
grep -q '"ok": false' out || fail "--json - after a failure: $(cat out)"

# ---- which snapshot ----
best=$(sed -n 's/.*"snapshot": "\(.*\)",/\1/p' run/best.json)
"$genhance" export --run run --out exported >out 2>err || fail "export: $(cat err)"
grep -qx "from snapshot $best (best) of run" out || fail "export does not say which snapshot: $(cat out)"
head -c 8000 exported/model.safetensors >head
grep -qa 'trained_by":"{\\"version\\":' head && ! grep -qa 'host' head || fail "the published file names the host, or not what trained it"
"$genhance" export --run run --out last --snapshot last --json last.json >out 2>err || fail "export: $(cat err)"
grep -qx "from snapshot stage2-00000003 (last) of run" out && grep -q '"snapshot": "stage2-00000003"' last.json || fail "--snapshot last: $(cat out)"
"$genhance" export --run run --out named --snapshot stage2-00000002 >out 2>err || fail "export: $(cat err)"
grep -qx "from snapshot stage2-00000002 of run" out || fail "--snapshot NAME: $(cat out)"
refuse 1 "other: no best.json, since the run had no evaluations; --snapshot last is the newest" "$genhance" export --run other --out x --snapshot best
"$genhance" encode --run run --images images --out e.safetensors >out 2>err || fail "encode --run: $(cat err)"
grep -qx "run: snapshot $best (best)" out || fail "encode --run does not say which snapshot: $(cat out)"
"$genhance" encode --model exported --images images --out m.safetensors >out 2>err || fail "encode --model: $(cat err)"
"$genhance" eval zeroshot --run run --data scenes --snapshot last --json score.json >out 2>err || fail "eval --run: $(cat err)"
grep -qx "run: snapshot stage2-00000003 (last)" out && grep -q '"driver"' score.json || fail "eval --run: $(cat out)"
refuse 2 "encode: --model DIR is missing; --run DIR takes a run's encoder" "$genhance" encode --images images --out x
refuse 2 "encode: --run has the run's own weights; leave --adapter out" "$genhance" encode --run run --adapter x --images images --out x
refuse 2 "encode: --snapshot needs --run" "$genhance" encode --model words --snapshot last --images images --out x

# ---- from another folder ----
whole=$PWD
mkdir away && cd away || exit 1
"$genhance" export --run ../run --out exported >out 2>err || fail "export from another folder: $(cat err)"
cmp -s exported/model.safetensors ../exported/model.safetensors || fail "export from another folder differs"
"$genhance" reconstruct --run "$whole/run" --images ../images --limit 1 --steps 1 --out grid.png >out 2>err || fail "reconstruct from another folder: $(cat err)"
"$genhance" report --run ../run --out report.html --pictures 1 --pool 3 >out 2>err || fail "report from another folder: $(cat err)"
[ ! -s err ] || fail "report from another folder warns: $(cat err)"
grep -q 'Trained by genhance .*Last update: 20' report.html || fail "the report does not say where the run comes from"
# A run that was moved: the model is named, and can be named.
cp -r ../run moved
refuse 1 "clip: words: no such file or folder here; --model DIR names another" "$genhance" export --run moved --out x
"$genhance" export --run moved --model ../words --out again >out 2>err || fail "export --model: $(cat err)"
cmp -s again/model.safetensors exported/model.safetensors || fail "export --model differs"
refuse 1 "autoencoder: ae.safetensors: no such file or folder here; --autoencoder FILE names another" \
  "$genhance" reconstruct --run moved --model ../words --images ../images --out x.png
"$genhance" reconstruct --run moved --model ../words --autoencoder ../ae.safetensors --images ../images --limit 1 --steps 1 \
  --out again.png >out 2>err || fail "reconstruct --autoencoder: $(cat err)"
cmp -s again.png grid.png || fail "reconstruct --autoencoder differs"
cd "$whole" || exit 1

finish
