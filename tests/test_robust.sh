#!/usr/bin/env bash
# Users' failures: broken pictures, wrong configurations, weights that do not fit, hostile files, a full disk, a loss that
# is NaN. Each must print one line that names its cause, exit with code 1 and leave the last checkpoint intact.
# usage: test_robust.sh path/to/genhance
set -u
export LC_ALL=C # sed edits binary files
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"

reject() { # reject TEXT ARGUMENTS...: train fails with that text before it starts, and leaves no file
  local text=$1
  shift
  rm -rf run
  refuse 1 "$text" "$genhance" train --config run.json "$@"
  [ ! -e run ] || fail "train $*: left $(find run)"
}

# ---- pictures ----
train
mv run whole
mkdir good broken
cp images/reduce.png images/half-chroma.jpg images/palette.png good
head -c 400 images/reduce.png >broken/cut.png
head -c 600 images/half-chroma.jpg >broken/cut.jpg
: >broken/empty.png
: >broken/empty.jpg
echo "no picture" >broken/text.jpeg
cp images/half-chroma.jpg broken/misnamed.png
(head -c 60 images/reduce.png && head -c 3000 /dev/zero) >broken/zeros.png
cp -r good mixed
cp broken/* mixed
rm mixed/misnamed.png
train --set data.images='["mixed"]' --set stage1.batch=9 --set stage2.steps=0 --json result.json
for file in cut.png cut.jpg empty.png empty.jpg text.jpeg zeros.png; do
  [ "$(grep -c "^warning: .*mixed/$file" err)" = 1 ] || fail "$file is not reported exactly once: $(cat err)"
done
grep -q '^genhance: ' err && fail "broken pictures: $(cat err)"
grep -q 'stage 1: 6 broken images skipped' out || fail "skipped images are not counted: $(cat out)"
grep -q '"skipped_images": *6' result.json || fail "skipped images are not counted: $(cat result.json)"
rm broken/misnamed.png
rm -rf run
cp -r good listed
: >listed/odd.gif
train --set data.images='["listed"]' # both stages
[ "$(grep -c 'skipped: .*odd.gif' err)" = 1 ] || fail "the images were not listed exactly once: $(cat err)"
reject "data.images: no readable image among 6, the first: broken/cut.jpg" --set data.images='["broken"]'
mkdir nothing
reject "data.images: nothing: no image" --set data.images='["nothing"]'
reject "data.images: absent: no such file or folder" --set data.images='["images","absent"]'
reject "data.images" --set data.images='[]'
reject "data.images: run.json: neither a folder nor an image" --set data.images='["run.json"]'
# This is rejected before tuning: nothing is compiled or timed.
GH_CACHE_DIR=$work/cold reject "data.images: absent" --set data.images='["absent"]'
[ ! -e cold ] || fail "kernels were tuned for a run without images: $(ls cold)"
mkdir -p run
refuse 1 "clip: absent" "$genhance" train --config run.json --set clip=absent
[ -z "$(ls -A run)" ] || fail "a failed start left $(ls -A run) in an existing folder"

echo '{"images": ["absent"], "output": "pre"}' >pre.json
for kind in autoencoder vqgan clip; do
  refuse 1 "genhance: images: absent: no such file or folder" "$genhance" pretrain "$kind" --config pre.json
  [ ! -e pre ] || fail "a rejected pretraining left $(find pre)"
done

# ---- pictures for the evaluations of stage 2 ----
mkdir -p scenes/a scenes/b
cp images/reduce.png scenes/a
head -c 600 images/half-chroma.jpg >scenes/b/cut.jpg
measured=(--set clip="$fixtures/text/clip" --set evaluate='[{"kind":"zeroshot","data":"scenes"}]')
reject "evaluate[0]: 1 of 2 images cannot be decoded, the first: scenes/b/cut.jpg" "${measured[@]}"
reject "evaluate[0]: scene: no such folder" "${measured[@]/scenes/scene}"

# ---- the configuration ----
edit() { sed "$1" run.json >edited.json; }
reject_config() { # reject_config TEXT: edited.json is rejected
  refuse 1 "$1" "$genhance" train --config edited.json
}
edit 's/"clip": "clip", //' && reject_config 'edited.json: "clip" is missing'
edit 's/"lr": 0.01/"lr": "fast"/' && reject_config "stage1.optimizer.lr"
edit 's/"steps": 3/"steps": 2.5/' && reject_config "stage1.steps"
edit 's/"checkpoint_every"/"checkpoint_evry"/' && reject_config "checkpoint_every"
edit 's/"batch": 3/"batch": 0/' && reject_config "stage1.batch"
edit 's/"hidden": 32/"hidden": 33/' && reject_config "hidden"
edit 's/\[4, 6, 6\]/[4, 6, 8]/' && reject_config "rope_axes"
edit 's/"version": 1/"version": 1, "version": 1/' && reject_config "version"
edit 's/"version": 1/"version": 9, "later": 3/' && reject_config "version: 9 is from a later genhance; this one reads versions up to 1"
reject "stage1.steps and stage2.steps are 0: there is nothing to train" --set stage1.steps=0 --set stage2.steps=0
head -c 200 run.json >edited.json && reject_config "edited.json"
: >edited.json && reject_config "edited.json"
refuse 1 "absent.json" "$genhance" train --config absent.json
refuse 1 "images" "$genhance" train --config images
reject '(the nearest is "stage1.optimizer.lr")' --set stage1.optimizer.lrr=1
reject "seed" --set seed=minus
refuse 2 "--config" "$genhance" train
refuse 2 "there is no device \"opencl:99\"" "$genhance" train --config run.json --device opencl:99
reject "no linear layer of the encoder is called k_porj" --set stage2.lora.targets='["q_proj","k_porj"]'
: >file
reject "file" --set output=file
reject "file" --set output=file/below
# First the device's memory is the limit, then its largest allocation. A step's largest tensor has half a MiB per sample;
# with many blocks, as many samples as fit into one allocation need several times as much in all.
GH_MAX_BUFFER_MIB="" "$genhance" devices --json devices.json >/dev/null
samples=$(sed -n 's/.*"max_buffer_bytes": *\([0-9]*\).*/\1/p' devices.json | head -n 1)
samples=$((samples / 524288))
GH_MAX_BUFFER_MIB="" reject "needs" --set stage1.batch=400000 --set stage1.micro_batch=400000
GH_MAX_BUFFER_MIB="" reject 'memory.recompute "all" or a smaller micro_batch would help' --set memory.recompute=none \
  --set denoiser.weights=null --set denoiser.double_blocks=100 \
  --set stage1.batch=$samples --set stage1.micro_batch=$samples
GH_MAX_BUFFER_MIB=64 reject "in one piece; opencl:0 allocates at most 64 MiB; a smaller micro_batch would help" \
  --set stage1.batch=16000 --set stage1.micro_batch=16000

# ---- keys that name files ----
reject "clip: absent" --set clip=absent
reject "autoencoder: absent.safetensors" --set autoencoder=absent.safetensors
reject "denoiser.weights: absent.safetensors" --set denoiser.weights=absent.safetensors
reject "data.latent_cache.path: run.json/x: cannot make the folder" --set data.latent_cache='{"crops": 1, "path": "run.json/x"}'
reject "stage2.lora.adapter: absent" --set stage2.lora.adapter=absent

# ---- --dry-run ----
"$genhance" train --config run.json --dry-run --verbose --set output=planned --json plan.json >out 2>err || fail "dry run: $(cat err)"
[ ! -e planned ] || fail "a dry run wrote a file"
for text in "parameters: [1-9][0-9]* trained, [1-9][0-9]* frozen" "MiB at the peak" "the largest tensors: [a-z]" "GFLOP, takes about"; do
  [ "$(cat out err | grep -cE "$text")" = 2 ] || fail "the plan lacks \"$text\" for a stage: $(cat out err)"
done
for key in parameters_trained persistent_bytes lasting_bytes step_bytes products update_seconds update_flop images_per_second; do
  [ "$(grep -oE "\"$key\"" plan.json | wc -l)" = 2 ] || fail "no $key for both stages: $(cat plan.json)"
done
product='^ +[0-9.]+ +[0-9]+ '
# A 3x3 convolution of 32 channels is one kernel, or a product whose input is laid out as rows of 288.
for shape in "m=[0-9]+ n=[0-9]+ k=[0-9]+ nt batch=1 beta=0 f32" "(3x3 w=[0-9]+|\] -> \[|n=4096 k=288 nn)"; do
  grep -E "$product" out | grep -qE "$shape" || fail "no product $shape: $(cat out)"
done
awk '/^ +[0-9.]+ +[0-9]+ / && !seen++ { exit NR < 4 }' out || fail "the details come before the verdict: $(cat out)"
sed -n 2,3p out | grep -cE '^  stage [12] fits: .*; [0-9]+ updates? of [0-9]+ images? take' | grep -qx 2 || fail "no verdict: $(cat out)"
grep -E "$product" out | grep -vE ' (own-[a-z-]+|clblast|cublaslt|conv2d|attention_[a-z_]+)' >nameless && fail "no provider for: $(cat nameless)"

"$genhance" train --config run.json --dry-run --set output=planned >out 2>err || fail "dry run: $(cat err)"
grep -qE "$product" out && fail "products without --verbose: $(cat out)"
# A stage that does not fit: the other is judged as well, and what would help is measured.
refuse 1 "stage 1: input.images needs" "$genhance" train --config run.json --dry-run --set output=planned --json plan.json \
  --set stage1.batch=400000 --set stage1.micro_batch=400000
grep -q '^  stage 1 does not fit: input.images needs' out && grep -q '^  stage 2 fits: ' out || fail "not both stages: $(cat out err)"
grep -qE '^    --set stage1.micro_batch=auto: needs [0-9.]+ [KMGT]?i?B, fits$' out || fail "no help: $(cat out)"
[ "$(grep -c '^    --set ' out)" -le 3 ] || fail "more than three helps: $(cat out)"
grep -q '"fits": false' plan.json && grep -q '"fits": true' plan.json && grep -q '"would_help"' plan.json || fail "no verdict in $(cat plan.json)"
# All inputs that are missing, in one run; nothing can be planned without models.
refuse 1 "4 inputs are missing or unusable: clip: absent: no such file or folder; autoencoder: absent.safetensors: no such" \
  "$genhance" train --config run.json --dry-run --set output=planned --set clip=absent --set autoencoder=absent.safetensors \
  --set data.images='["nowhere","images","nowhere-{0..3}.tar"]'
[ "$(grep -c '^  input missing or unusable: ' out)" = 4 ] || fail "not all missing inputs: $(cat out)"
# Without images, the stages are planned.
refuse 1 "data.images: nowhere" "$genhance" train --config run.json --dry-run --set output=planned --set data.images='["nowhere"]'
[ "$(grep -c '^  stage [12] fits: ' out)" = 2 ] || fail "no plan without images: $(cat out)"
[ ! -e planned ] || fail "a dry run wrote a file"

# ---- weights that do not fit ----
spoil() { # spoil FILE EXPRESSION: a copy of the file with its header changed, of the same size
  cp "$1" spoilt.safetensors
  sed -i "$2" spoilt.safetensors
  cmp -s "$1" spoilt.safetensors && fail "$2 changed nothing"
  [ "$(stat -c %s "$1")" = "$(stat -c %s spoilt.safetensors)" ] || fail "$2 changes the size"
}
clip=clip/model.safetensors
cp $clip clip.safetensors
reject_clip() {
  mv spoilt.safetensors $clip
  reject "$@"
  cp clip.safetensors $clip
}
# The names and numbers in the header are those that the fixtures' maker wrote; replacements have the same length.
spoil $clip 's/\("visual_projection.weight":{"dtype":\)"F32"/\1"I32"/' && reject_clip "visual_projection.weight"
spoil $clip 's/\("visual_projection.weight":{"dtype":"F32","shape":\)\[40,48\]/\1[48,40]/' && reject_clip "visual_projection.weight"
spoil $clip 's/"visual_projection.weight"/"visual_projectiom.weight"/' && reject_clip "visual_projectiom.weight"
spoil $clip 's/"visual_projection.weight":{"dtype":"F32"/"visual_projection.weight":{"dtype":"F99"/' && reject_clip "F99"
spoil ae.safetensors 's/"encoder.conv_in.weight":{"dtype":"BF16","shape":\[32,3/"encoder.conv_in.weight":{"dtype":"BF16","shape":[32,4/'
reject "encoder.conv_in.weight" --set autoencoder=spoilt.safetensors
spoil ae.safetensors 's/"encoder.mid.attn_1.q.weight"/"encoder.mid.attn_1.Q.weight"/'
reject "encoder.mid.attn_1.q.weight" --set autoencoder=spoilt.safetensors
reject "project_clip.0.weight" --set denoiser.weights="$fixtures/probe/edges/denoiser.safetensors"
reject "r is 3, but stage2.lora.rank is 2" --set stage2.lora.adapter="$fixtures/probe/edges/adapter"
reject "images/adapter_config.json" --set stage2.lora.adapter=images

# ---- hostile files ----
hostile() { reject "$1" --set autoencoder=hostile.safetensors; }
head -c 1000000 ae.safetensors >hostile.safetensors && hostile "hostile.safetensors"
head -c 500 ae.safetensors >hostile.safetensors && hostile "hostile.safetensors"
head -c 5 ae.safetensors >hostile.safetensors && hostile "hostile.safetensors"
: >hostile.safetensors && hostile "hostile.safetensors"
(printf '\377\377\377\377\377\377\377\177' && tail -c +9 ae.safetensors) >hostile.safetensors && hostile "hostile.safetensors"
(printf '\0\0\0\0\0\0\0\0' && tail -c +9 ae.safetensors) >hostile.safetensors && hostile "hostile.safetensors"
head -c 100000 /dev/zero | tr '\0' '[' >zeros
(printf '\240\206\001\0\0\0\0\0' && cat zeros) >hostile.safetensors && hostile "hostile.safetensors"
header='{"encoder.conv_in.weight":{"dtype":"F32","shape":[9223372036854775807,3,3,3],"data_offsets":[0,8]}}      '
(printf '%b' "\\$(printf %o ${#header})\\0\\0\\0\\0\\0\\0\\0" && printf '%s12345678' "$header") >hostile.safetensors
hostile "encoder.conv_in.weight"
echo '{"hidden_size": -1}' >clip/config.json.bad
cp clip/config.json config.good
echo '{"model_type": "clip", "vision_config": {"hidden_size": -1}}' >clip/config.json && reject "hidden_size"
echo '{"model_type": "bert"}' >clip/config.json && reject "bert"
head -c 50 config.good >clip/config.json && reject "clip/config.json"
cp config.good clip/config.json

# ---- a loss that is NaN ----
# The saved state is the one from before the failed update, equal to that of a run that stops there.
nan_case() { # nan_case "STAGE UPDATE" STATE ARGUMENTS...: as above; resuming fails in the same way
  local at=$1 state=$2
  shift 2
  rm -rf run
  refuse 1 "$at: the loss or the gradient is not finite" "$genhance" train --config run.json --quiet "$@"
  [ "$(newest_state run)" = "$state" ] || fail "$at: the newest state is $(newest_state run)"
  refuse 1 "$at: the loss or the gradient is not finite" "$genhance" train --config run.json --quiet "$@" --resume
  [ "$(newest_state run)" = "$state" ] || fail "$at: resumed, the newest state is $(newest_state run)"
}
huge=(--set stage1.optimizer.lr=1000 --set state.minutes=1e6)
nan_case "stage 1 update 2" stage1-00000001 "${huge[@]}"
mv run bad
train "${huge[@]}" --set stage1.steps=1 --set stage2.steps=0
cmp bad/state/stage1-00000001/part-00000.safetensors run/state/stage1-00000001/part-00000.safetensors ||
  fail "the state is not the one from before the NaN"
nan_case "stage 2 update 2" stage2-00000001 --set stage2.optimizer.lr=1000 --set stage2.train_denoiser=true
cp whole/snapshots/stage1-00000003/denoiser.safetensors poison.safetensors
chmod u+w poison.safetensors
printf '\377\377\377\177' | dd of=poison.safetensors bs=1 seek=$(($(stat -c %s poison.safetensors) - 4)) conv=notrunc status=none
nan_case "stage 1 update 1" stage1-00000000 --set denoiser.weights=poison.safetensors
nan_case "stage 2 update 1" stage2-00000000 --set denoiser.weights=poison.safetensors --set stage1.steps=0

# ---- a full disk: a small file system, if the kernel allows one; test_resume.c covers other moments ----
if unshare -Urm true 2>/dev/null; then
  rm -rf run && mkdir run small
  # In the namespace, run/ is a file system of 1 MiB. Its content is copied out before it disappears.
  unshare -Urm sh -c 'mount -t tmpfs -o size=1m none run && "$@"; code=$?; cp -r run/. small; exit $code' sh \
    "$genhance" train --config run.json --quiet >out 2>err
  code=$?
  [ $code = 1 ] || fail "full disk: exit code $code"
  [ "$(grep -c '^genhance: ' err)" = 1 ] && grep -qiE '^genhance: .*(no space left|the disk has)' err || fail "full disk: $(cat err)"
  [ -n "$(newest_state small)" ] || fail "full disk: no earlier state: $(find small)"
  rm -rf run && mv small run
  train --resume
  same whole run
else
  echo "cannot mount a file system; only test_resume.c covers a full disk"
fi

finish
