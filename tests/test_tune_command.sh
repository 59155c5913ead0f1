#!/usr/bin/env bash
# `genhance tune`: a budget, a kill, what a run then uses, export and import, what is refused.
# usage: test_tune_command.sh path/to/genhance
set -u
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"
device=${GH_TEST_DEVICE:-auto}
device=$("$genhance" devices --device "$device" | awk 'NR == 2 { print $1 }')
export POCL_CACHE_DIR=${POCL_CACHE_DIR:-$GH_CACHE_DIR/pocl} # compiled kernels stay
export GH_CACHE_DIR=$work/own-cache                         # whose choices are this test's

# tune TEXT ARGUMENTS...: succeeds, and its output contains the text; out.json has the results.
tune() {
  local text=$1
  shift
  "$genhance" tune --config run.json --device "$device" --json out.json "$@" >out 2>err || fail "tune $*: $(cat err)"
  grep -qF -e "$text" out || fail "tune $*: no \"$text\" in: $(cat out)"
}

number() { sed -n "s/^  \"$1\": \([0-9]*\),\?\$/\1/p" out.json; }

# ---- no time: everything is left out, and nothing is kept ----

tune "0 searched, 0 known" --minutes 1e-9
shapes=$(number left_out)
[ "$shapes" -ge 3 ] || fail "only $shapes shapes: $(cat out)"

# ---- evaluations compute, too ----

cp -r "$fixtures/text/clip" text-clip
chmod -R u+w text-clip
tune "left out" --minutes 1e-9 --set clip=text-clip
without=$(number left_out)
tune "left out" --minutes 1e-9 --set clip=text-clip --set 'evaluate=[{"kind": "zeroshot", "data": "images"}]'
[ "$(number left_out)" -gt "$without" ] || fail "nothing of an evaluation: $(cat out)"

# ---- killed after the first result, then the rest ----

"$genhance" tune --config run.json --device "$device" >out 2>err &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -s "$GH_CACHE_DIR/tuned.json" ]; do sleep 0.01; done
while kill -0 $pid 2>/dev/null && ! grep -q '"provider"' "$GH_CACHE_DIR/tuned.json"; do sleep 0.01; done
kill -KILL $pid 2>/dev/null
wait $pid 2>/dev/null
tune "0 left out, 0 failed" --export A.json
known=$(number known)
[ "$known" -ge 1 ] || fail "the killed search kept nothing: $(cat out)"
[ $((known + $(number searched))) = "$shapes" ] || fail "not all $shapes shapes: $(cat out)"
tune "$shapes shapes: 0 searched, $shapes known"

# ---- with a cache of latents, the autoencoder works for that alone, and is searched all the same ----

tune "$shapes shapes" --minutes 1e-9 --set 'data.latent_cache={"crops": 1}'

# ---- a run uses what was found ----

"$genhance" train --config run.json --device "$device" --dry-run --json plan.json >out 2>err || fail "dry run: $(cat err)"
used=0
while IFS=$'\t' read -r shape provider; do
  grep -A 1 -F "\"shape\": \"$shape\"" plan.json | grep -qF "\"by\": \"$provider\"" && used=$((used + 1))
done < <(tr -d '\n' <out.json | sed 's/{/\n{/g' |
  sed -n 's/.*"shape": "\([^"]*\)".*"provider": "\([^"]*\)".*/\1\t\2/p')
[ "$used" -ge 3 ] || fail "the run uses $used of the results: $(cat plan.json)"

# ---- elsewhere: checked and kept; other kernels are named and left out ----

export GH_CACHE_DIR=$work/other-cache
sed 's/"kernels": "......../"kernels": "00000000/' A.json >other.json
tune "imported: 0 results of this device, 0 of others; left out: 0 already known, $shapes of other kernels" --import other.json --minutes 1e-9
named=$(($(sed -n 's/.* \([0-9]*\) results of .* are left out: they are of other kernels.*/\1/p' err | paste -sd+) + 0))
[ "$named" = "$shapes" ] || fail "$named of $shapes are named: $(cat err)"
tune "$shapes imported" --import A.json
tune "left out: $shapes already known" --import A.json --export B.json
cmp -s A.json B.json || fail "what was imported and exported differs: $(diff A.json B.json | head -4)"

# ---- refused ----

head -c 300 A.json >torn.json
refuse 1 "torn.json" "$genhance" tune --config run.json --device "$device" --import torn.json
refuse 1 "absent.json" "$genhance" tune --config run.json --device "$device" --import absent.json
refuse 2 "without --arch" "$genhance" tune --config run.json --arch tiny
refuse 2 "did you mean tiny" "$genhance" tune --arch tinny
refuse 2 "forces the provider" env GH_GEMM=own-gpu\ work=4 "$genhance" tune --config run.json --device "$device"
finish
