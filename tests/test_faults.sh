#!/usr/bin/env bash
# Faults of the machine while pictures, shards, weights and caches are read (tests/faults/inject.c). One that passes
# changes no bit of a result; one that stays ends the command with 1 and one line, and a run goes on from its state.
# usage: test_faults.sh path/to/genhance
set -u
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"
inject=$(dirname "$genhance")/fault_inject.so
[ -e "$inject" ] || { echo "skipped: there is no $inject"; exit 77; }
grep -q __asan_init "$genhance" && { echo "skipped: AddressSanitizer has its own malloc"; exit 77; }
export GH_RETRY_SECONDS=0.05

# fault SETTINGS COMMAND...: runs the command with faults: "CALLS=read AT=3 PATH=images/"
fault() {
  local variables=() word
  for word in $1; do variables+=("GH_FAULT_$word"); done
  shift
  env "${variables[@]}" GH_FAULT_COUNT="$work/count" LD_PRELOAD="$inject" "$@" >out 2>err
}

happened() { grep -q '^faults [1-9]' count || fail "$1: no fault happened: $(cat count)"; }

# passes SETTINGS RESULT COMMAND...: the fault passes, and the command writes the same file `result` as without
passes() {
  local settings=$1 same=$2 code
  shift 2
  rm -f result
  fault "$settings" "$@"
  code=$?
  [ $code = 0 ] || fail "$settings: exit code $code: $(cat err)"
  happened "$settings"
  cmp -s <(undated "$same") <(undated result) || fail "$settings: the result differs"
}

undated() { LC_ALL=C sed 's/"time": *"[^"]*"//' "$1"; } # of JSON: when it was made

# stays SETTINGS TEXT COMMAND...: the command ends with 1, one line with the text, and no file `result`, or one of
# --json that says so
stays() {
  local settings=$1 text=$2
  shift 2
  rm -f result
  refuse 1 "$text" fault "$settings" "$@"
  happened "$settings"
  [ ! -e result ] || grep -q '"ok": *false' result || fail "$settings: there is a result"
}

# ---- encode: pictures in a folder ----
cp images/Exact.png one.png
encode=("$genhance" encode --model clip --images images --out result)
"${encode[@]}" >out 2>err || fail "encode: $(cat err)"
mv result embeddings
passes "CALLS=open AT=3 PATH=images/" embeddings "${encode[@]}"
grep -q '^warning: images/.*: Too many open files; trying again for 0.05 s$' err || fail "no warning: $(cat err)"
passes "CALLS=read AT=5-7 ERRNO=ESTALE PATH=images/" embeddings "${encode[@]}"
passes "CALLS=read AT=4 MODE=short PATH=images/" embeddings "${encode[@]}"
passes "CALLS=alloc AT=9 CALLER=libturbojpeg" embeddings "${encode[@]}"
stays "CALLS=open AT=6+ ERRNO=ENOENT PATH=images/" "No such file or directory" "${encode[@]}"
stays "CALLS=read AT=2+ PATH=images/" "reading failed: Input/output error" "${encode[@]}"
stays "CALLS=alloc AT=7+ CALLER=libturbojpeg" "out of memory for TurboJPEG" "${encode[@]}"


# The folder, its listing, and a folder of a model: a fault that passes is waited for, one that stays is named.
passes "CALLS=stat AT=1-2 ERRNO=ESTALE PATH=images" embeddings "${encode[@]}"
passes "CALLS=readdir AT=4 PATH=images" embeddings "${encode[@]}"
passes "CALLS=readdir AT=1-2 ERRNO=ESTALE PATH=images/sub" embeddings "${encode[@]}"
passes "CALLS=stat AT=1 PATH=clip" embeddings "${encode[@]}"
stays "CALLS=stat AT=1+ PATH=images" "images: Input/output error" "${encode[@]}"
stays "CALLS=stat AT=1+ ERRNO=EACCES PATH=images" "images: Permission denied" "${encode[@]}"
stays "CALLS=stat AT=9+ PATH=images/" ": Input/output error" "${encode[@]}"
stays "CALLS=readdir AT=3+ ERRNO=ESTALE PATH=images" "images: Stale file handle" "${encode[@]}"
for code in "EIO Input/output error" "EACCES Permission denied" "ESTALE Stale file handle"; do
  stays "CALLS=stat AT=1+ ERRNO=${code%% *} PATH=clip" ": ${code#* }" "${encode[@]}"
  stays "CALLS=stat AT=1+ ERRNO=${code%% *} PATH=one.png" "one.png: ${code#* }" \
    "$genhance" encode --model clip --images one.png --out result
done

# Memory that runs out in a decoder, at any of its allocations, is no broken picture: PNG's are our own calls.
mkdir one
for picture in palette.png progressive.jpg; do
  rm -f one/* && cp images/$picture one
  one=("$genhance" encode --model clip --images one --out result)
  "${one[@]}" >out 2>err || fail "$picture: $(cat err)"
  mv result single
  callers=main && [ $picture = palette.png ] || callers=libturbojpeg
  fault "CALLS=alloc CALLER=$callers" "${one[@]}"
  total=$(sed -n 's/^calls //p' count)
  for at in $((total - 3)) $((total / 2)); do
    rm -f result
    fault "CALLS=alloc CALLER=$callers AT=$at" "${one[@]}"
    code=$?
    if [ $code = 0 ]; then
      cmp -s single result || fail "$picture, allocation $at: the result differs"
    else
      [ $code = 1 ] && grep -q '^genhance: .*out of memory' err && [ ! -e result ] ||
        fail "$picture, allocation $at: exit code $code: $(cat err)"
    fi
  done
done

# ---- encode: shards, with enough members for an index that is kept ----
mkdir members
for i in $(seq 1100); do echo "a caption" >members/$i.txt; done
cp images/*.png members
cp images/palette.png members/kept-by-test-faults.png
tar -cf shard.tar --sort=name -C members .
shard=("$genhance" encode --model clip --images shard.tar --out result)
kept() {
  find "$GH_CACHE_DIR" -maxdepth 1 -type f -newer shard.tar -exec grep -l kept-by-test-faults {} + 2>/dev/null | wc -l
}
before=$(kept)
stays "CALLS=pread AT=2+ PATH=shard.tar" "shard.tar: reading failed: Input/output error" "${shard[@]}"
[ "$(kept)" = "$before" ] || fail "the index of a shard that could not be read is kept"
rm -f result
"${shard[@]}" >out 2>err || fail "shard: $(cat err)"
mv result sharded
grep '^warning' err | grep -qv 'deep-grey.png: 16-bit grey' && fail "shard: $(cat err)"
[ "$(kept)" = $((before + 1)) ] || fail "the index of the shard is not kept"
touch shard.tar
passes "CALLS=pread AT=3 PATH=shard.tar" sharded "${shard[@]}"
touch shard.tar
passes "CALLS=pread AT=4 MODE=short PATH=shard.tar" sharded "${shard[@]}"
stays "CALLS=pread AT=4+ PATH=shard.tar" "cannot be read: Input/output error" "${shard[@]}"
stays "CALLS=open AT=3+ PATH=shard.tar" "Too many open files" "${shard[@]}"

# ---- eval ----
mkdir -p scenes/{dog,cat}
cp images/{Exact,alpha}.png scenes/dog
cp images/{enlarge,reduce}.png scenes/cat
zeroshot=("$genhance" eval zeroshot --model "$fixtures/text/clip" --data scenes --json result)
"${zeroshot[@]}" >out 2>err || fail "eval: $(cat err)"
mv result scores
passes "CALLS=read AT=2 PATH=scenes/" scores "${zeroshot[@]}"
stays "CALLS=open AT=2+ ERRNO=ESTALE PATH=scenes/dog" "Stale file handle" "${zeroshot[@]}"

# ---- weights that cannot be read while they are mapped ----
stays "CALLS=mmap AT=1 MODE=bus PATH=clip/" "cannot be read: it was truncated while in use" "${encode[@]}"
rm -rf run
refuse 1 "ae.safetensors: cannot be read" fault "CALLS=mmap AT=1+ MODE=bus PATH=ae.safetensors" \
  "$genhance" train --config run.json --quiet
happened "the autoencoder's file"

# ---- train ----
rm -rf run
train
mv run whole
fault "CALLS=read AT=7 PATH=images/" "$genhance" train --config run.json --quiet || fail "train: $(cat err)"
happened "train"
same whole run
rm -rf run
refuse 1 "of stage 1 is saved in run/state" fault "CALLS=open AT=10+ PATH=images/" \
  "$genhance" train --config run.json --quiet
happened "train without pictures"
grep -q "image skipped" err && fail "pictures that cannot be opened are skipped: $(cat err)"
train --resume
same whole run

# The pictures of an evaluation during training: they are read before it, at its start (8 reads each), and after updates.
measured=("$genhance" train --config run.json --quiet --set clip="$fixtures/text/clip" --set stage1.steps=0
  --set stage2.steps=2 --set stage2.checkpoint_every=1 --set evaluate='[{"kind":"zeroshot","data":"scenes"}]')
rm -rf run
"${measured[@]}" >out 2>err || fail "evaluations: $(cat err)"
rm -rf whole && mv run whole
refuse 1 "of stage 2 is saved in run/state" fault "CALLS=read AT=17+ PATH=scenes/" "${measured[@]}"
happened "evaluations"
"${measured[@]}" --resume >out 2>err || fail "evaluations: $(cat err)"
same whole run

# ---- cached targets ----
cached=("$genhance" train --config run.json --quiet --set data.latent_cache='{"crops": 1, "path": "cache"}')
rm -rf run
refuse 1 "Input/output error" fault "CALLS=read AT=5+ PATH=images/" "${cached[@]}"
[ -z "$(find cache -name '*.safetensors' 2>/dev/null)" ] || fail "targets of pictures that could not be read are kept"
"${cached[@]}" --resume >out 2>err || fail "cached targets: $(cat err)"
rm -rf whole && mv run whole
fault "CALLS=mmap AT=2 MODE=bus PATH=cache/" "${cached[@]}" || fail "cached targets: $(cat err)"
happened "cached targets"
same whole run

finish
