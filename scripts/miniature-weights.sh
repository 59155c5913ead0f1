#!/usr/bin/env bash
# Makes the models of share/miniature anew: draws scenes, trains the small CLIP and the autoencoder, rounds their weights to
# float16. About half an hour on two idle cores; continues after an interrupt. Needs a build, and Python with numpy.
# usage: scripts/miniature-weights.sh [--set KEY=VALUE ...]      --set: of the CLIP's configuration
set -euo pipefail
cd "$(dirname "$0")/.."
run=runs/miniature share=share/miniature

[ -e $run/scenes/scenes.json ] || build/genhance scenes --out $run/scenes
build/genhance pretrain clip --config configs/pretrain-clip-miniature.json --quiet --resume "$@"
build/genhance pretrain autoencoder --config configs/autoencoder-miniature.json --quiet --resume
rm -rf $share/clip
mkdir -p $share/clip
cp $run/clip/clip/* $share/clip/
scripts/half-weights.py $run/clip/clip/model.safetensors $share/clip/model.safetensors
scripts/half-weights.py $run/autoencoder/autoencoder.safetensors $share/autoencoder.safetensors
# Every 50th update, and the last one.
for model in clip autoencoder; do
  sed -n '1p; 0~50p; $p' $run/$model/train.log | uniq >$share/$model.log
done
(cd $share && find . -type f ! -name SHA256SUMS ! -name README.md -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)
