#!/usr/bin/env bash
# `genhance convert`: what it writes, lists, refuses; and a model folder with pytorch_model.bin in place of safetensors.
# usage: test_convert.sh path/to/genhance
set -u
# shellcheck source=tests/support/failures.sh
. "$(dirname "$0")/support/failures.sh"
genhance=$1
[ -x "$genhance" ] || { echo "no program at $genhance"; exit 1; }
fixtures=$(cd "$(dirname "$0")/fixtures" && pwd)
pickles=$fixtures/pickle
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect CODE TEXT ARGUMENTS...: `genhance convert ARGUMENTS` ends with the code and prints the text.
expect() {
  local code=$1 text=$2 got
  shift 2
  "$genhance" convert "$@" >"$work/out" 2>"$work/err"
  got=$?
  [ "$got" = "$code" ] || fail "convert $*: exit code $got, expected $code: $(cat "$work/err")"
  grep -qF -e "$text" "$work/out" "$work/err" || fail "convert $*: no \"$text\" in: $(cat "$work/out" "$work/err")"
}

# The data of a safetensors file, behind its header.
data_of() {
  local length
  length=$(od -An -tu8 -N8 "$1" | tr -d ' ')
  tail -c "+$((length + 9))" "$1"
}

# The tensors of one dtype in the same order: the data is PyTorch's, byte for byte.
expect 0 "2 tensors, 56 B" "$pickles/lightning.ckpt" --out "$work/lightning" --json "$work/report.json"
data_of "$work/lightning/model.safetensors" >"$work/got"
data_of "$pickles/lightning.safetensors" | cmp - "$work/got" || fail "other elements than PyTorch wrote"
for line in "left out: optimizer_states (beside the weights)" "left out: version (not a tensor)" \
  "left out: loss.* (2 tensors: the networks of the training loss)" \
  "left out: model_ema.* (1 tensor: averaged copies of the weights)"; do
  grep -qxF "$line" "$work/out" || fail "no line \"$line\" in: $(cat "$work/out")"
done
for text in '"encoder.conv_in.weight"' '"command": "convert"' '"ok": true' '"tensors": 2' '"bytes": 56' '"name": "loss.*"'; do
  grep -qF -e "$text" "$work/report.json" || fail "--json: no $text"
done

# Both containers and every protocol give the same file.
for name in new legacy legacy4 protocol3 protocol4 protocol5; do
  expect 0 "22 tensors, 1.1 KiB" "$pickles/$name.pt" --out "$work/$name"
  cmp "$work/new/model.safetensors" "$work/$name/model.safetensors" || fail "$name.pt gives another file"
done
expect 0 "2 of them have the same elements as another one" "$pickles/new.pt" --out "$work/new" # its own file is replaced
expect 0 "2 tensors, 28 B" "$pickles/shards/pytorch_model.bin.index.json" --out "$work/set"
expect 0 "1 tensor, 8 B" --out "$work/w" "$pickles/wrapped.pth" --prefix net.
grep -q '"w":' "$work/w/model.safetensors" || fail "--prefix kept the prefix"
expect 0 "left out: others (1 tensor: their names do not begin with the prefix)" "$pickles/wrapped.pth" --out "$work/w" --prefix net.

# Nothing is executed or written for a hostile file.
expect 1 "the pickle asks for posix.system" "$pickles/hostile/system.pt" --out "$work/hostile"
expect 1 "is damaged: its CRC is" "$pickles/hostile/crc-data.pt" --out "$work/damaged"
expect 1 "GiB free" "$pickles/hostile/large-expanded.pt" --out "$work/damaged"
[ ! -e "$work/hostile" ] || fail "a refused file left a folder"
[ -z "$(ls -A "$work/damaged")" ] || fail "a failed conversion left $(ls -A "$work/damaged")"

expect 2 "is safetensors already" "$pickles/expected.safetensors" --out "$work/other"
expect 2 "convert: FILE is missing" --out "$work/other"
expect 2 "convert: --out DIR is missing" "$pickles/small.pt"
expect 2 "convert: unexpected argument b" "$pickles/small.pt" b --out "$work/other"
expect 2 "convert: unknown option --file" --file "$pickles/small.pt" --out "$work/other"
expect 1 "holds a model or a run that \`genhance convert\` did not write" "$pickles/small.pt" --out "$fixtures/text/clip"

# A CLIP folder with only pytorch_model.bin: the same embeddings, bit for bit; and after converting it in place.
mkdir "$work/clip"
for file in "$fixtures"/text/clip/*; do
  [ "${file##*/}" = model.safetensors ] || cp "$file" "$work/clip/"
done
cp "$pickles/clip/pytorch_model.bin" "$work/clip/"
embed() { # embed MODEL NAME
  "$genhance" encode --model "$1" --images "$fixtures/encode/images" --text "$fixtures/text/lines.txt" \
    --out "$work/$2.safetensors" >"$work/out" 2>"$work/err" || fail "encode with $1: $(cat "$work/err")"
}
embed "$fixtures/text/clip" safetensors
embed "$work/clip" torch
cmp "$work/safetensors.safetensors" "$work/torch.safetensors" || fail "pytorch_model.bin gives other embeddings"
expect 0 "model.safetensors: " "$work/clip/pytorch_model.bin" --out "$work/clip"
rm "$work/clip/pytorch_model.bin"
embed "$work/clip" converted
cmp "$work/safetensors.safetensors" "$work/converted.safetensors" || fail "the converted folder gives other embeddings"
cmp <(data_of "$fixtures/text/clip/model.safetensors") <(data_of "$work/clip/model.safetensors") ||
  fail "the converted weights differ"
finish
