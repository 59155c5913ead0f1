# Sourced by scripts/torture.sh: the commands that it disturbs, on a model of a few thousand parameters.
# shellcheck shell=bash disable=SC2034

scenarios="train bf16 latents discrete evaluated direct shards pretrain-autoencoder pretrain-vqgan pretrain-clip encode zeroshot
  mmvp retrieval spectrum reconstruct export-hf export-peft export-vision report convert"

# Makes the folder that every trial reads as "in", and a finished run in it.
make_inputs() { # make_inputs FOLDER
  local fixtures=$root/tests/fixtures in=$1 type=Color
  rm -rf "$in"
  mkdir -p "$in/images" "$in/scenes/cat" "$in/scenes/dog" "$in/mmvp/MLLM_VLM Images/$type"
  cp "$fixtures"/encode/images/{Exact.png,alpha.png,half-chroma.jpg,reduce.png,enlarge.png} "$in/images"
  cp -r "$fixtures/probe/tiny/clip" "$in/clip"
  cp -r "$fixtures/text/clip" "$in/text"
  cp "$fixtures/probe/tiny/ae.safetensors" "$fixtures/probe/masked/vqgan.safetensors" "$fixtures/pickle/lightning.ckpt" "$in"
  head -n 3 "$fixtures/text/lines.txt" >"$in/lines.txt"
  cp "$in"/images/{Exact,alpha}.png "$in/scenes/dog"
  cp "$in"/images/{enlarge,reduce}.png "$in/scenes/cat"
  echo '[{"image": "dog/Exact.png", "captions": ["a dog", "a red dog"]}, {"image": "cat/reduce.png", "captions": ["a cat"]}]' \
    >"$in/scenes/captions.json"
  printf 'Question ID,Type,Statement\n1,%s,a dog\n2,%s,a cat\n' $type $type >"$in/mmvp/Questions.csv"
  cp "$in/images/Exact.png" "$in/mmvp/MLLM_VLM Images/$type/1.png"
  cp "$in/images/reduce.png" "$in/mmvp/MLLM_VLM Images/$type/2.png"
  cat >"$in/train.json" <<'END'
{"version": 1, "clip": "in/clip", "autoencoder": "in/ae.safetensors",
 "denoiser": {"double_blocks": 1, "single_blocks": 1, "hidden": 32, "heads": 2, "mlp_ratio": 2.0,
  "rope_axes": [4, 6, 6], "context_width": 24, "vector_width": 20},
 "data": {"images": ["in/images"], "workers": 2},
 "stage1": {"steps": 3, "batch": 2, "micro_batch": 2, "optimizer": {"lr": 0.01}, "checkpoint_every": 2},
 "stage2": {"steps": 3, "batch": 2, "micro_batch": 2, "optimizer": {"lr": 0.01}, "lora": {"rank": 2},
  "checkpoint_every": 2}, "state": {"keep": 2, "minutes": 1e-9}, "output": "run"}
END
  sed 's/"autoencoder": "[^"]*"/"autoencoder": "in\/vqgan.safetensors"/
    s/"denoiser": {.*/"denoiser": {"kind": "discrete", "layers": 2, "hidden": 48, "heads": 3},/
    /"rope_axes"/d' "$in/train.json" >"$in/discrete.json"
  cat >"$in/pretrain.json" <<'END'
{"images": ["in/images"], "output": "run", "image_size": 32, "channels": 32, "multipliers": [1, 2], "blocks": 1,
 "latent": 4, "steps": 4, "batch": 2, "micro_batch": 2, "lr": 0.003, "warmup": 1, "workers": 2, "seed": 3,
 "state_keep": 2, "state_minutes": 1e-9}
END
  tar -C "$in/images" -cf "$in/shard.tar" Exact.png alpha.png half-chroma.jpg
  cp -r "$in/images" "$in/pairs"
  local picture
  for picture in "$in"/pairs/*; do echo "a picture of ${picture##*/}" >"${picture%.*}.txt"; done
  cat >"$in/clip.json" <<'END'
{"images": ["in/pairs"], "output": "run", "image_size": 32, "patch": 16, "width": 16, "layers": 1, "heads": 2,
 "text_width": 16, "text_layers": 1, "text_heads": 2, "projection": 8, "context": 12, "vocabulary": 530, "steps": 4,
 "batch": 3, "micro_batch": 2, "lr": 0.003, "warmup": 1, "workers": 2, "seed": 3, "state_keep": 2,
 "state_minutes": 1e-9}
END
  sed 's/"latent": 4,/"latent": 8, "codes": 16, "embedding": 4,/' "$in/pretrain.json" >"$in/vqgan.json"
}

# Sets args to the scenario's arguments, and again to what its repetition adds.
arguments() { # arguments SCENARIO
  local train=(train --config in/train.json --quiet)
  again=()
  case $1 in
    train | bf16 | latents | discrete | evaluated | direct | shards | pretrain-*) again=(--resume) ;;
  esac
  case $1 in
    train) args=("${train[@]}") ;;
    bf16) args=("${train[@]}" --set precision=bfloat16) ;;
    latents) args=("${train[@]}" --set 'data.latent_cache={"crops":2}') ;;
    discrete) args=(train --config in/discrete.json --quiet --set 'data.latent_cache={"crops":1}') ;;
    direct) args=("${train[@]}" --set stage2.lora=null --set stage2.train_denoiser=true) ;;
    shards) args=("${train[@]}" --set 'data.images=["in/shard.tar"]') ;;
    evaluated)
      args=("${train[@]}" --set clip=in/text --set stage1.steps=1 --set stage2.checkpoint_every=1
        --set 'evaluate=[{"kind":"zeroshot","data":"in/scenes"},{"kind":"mmvp","data":"in/mmvp"}]') ;;
    pretrain-autoencoder) args=(pretrain autoencoder --config in/pretrain.json --quiet) ;;
    pretrain-vqgan) args=(pretrain vqgan --config in/vqgan.json --quiet) ;;
    pretrain-clip) args=(pretrain clip --config in/clip.json --quiet) ;;
    encode) args=(encode --model in/text --images in/images --text in/lines.txt --out e.safetensors --json r.json) ;;
    zeroshot) args=(eval zeroshot --model in/text --data in/scenes --json r.json) ;;
    mmvp) args=(eval mmvp --model in/text --data in/mmvp --json r.json) ;;
    retrieval) args=(eval retrieval --model in/text --data in/scenes --json r.json) ;;
    spectrum) args=(eval spectrum --run run --data in/images --limit 2 --json r.json) ;;
    reconstruct) args=(reconstruct --run run --images in/images --limit 2 --steps 2 --out grid.png --json r.json) ;;
    export-hf) args=(export --run run --out model) ;;
    export-peft) args=(export --run run --out adapter --format peft) ;;
    export-vision) args=(export --run run --out model --format vision --dtype bfloat16) ;;
    report) args=(report --run run --out report.html --pictures 1 --pool 4) ;;
    convert) args=(convert in/lightning.ckpt --out converted) ;;
    *) echo "torture.sh: unknown scenario $1" >&2; return 2 ;;
  esac
}

# Whether the scenario reads a finished run.
reads_run() { case $1 in spectrum | reconstruct | export-* | report) ;; *) return 1 ;; esac }

# The results of a trial, a line per file: hash and name. Times, the names of chosen kernels and messages are no results;
# of the states, the newest counts.
digest() { # digest FOLDER
  local file newest whole=()
  newest=$(find "$1/run/state" -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | sort | tail -n 1 || true)
  (
    cd "$1" || exit
    while read -r file; do
      case $file in
        ./out | ./err | ./fault.* | */.lock | */lock) continue ;;
        */tensorboard/* | */info.json | */plan.json | */checksums.json) printf -- '-  %s\n' "$file"; continue ;;
        */state/"$newest"/part-*) whole+=("$file"); continue ;;
        */state/*) continue ;;
        *metrics.jsonl | *evaluations.jsonl | *train.log | ./r.json | *.html) ;;
        *) whole+=("$file"); continue ;;
      esac
      case $file in
        *metrics.jsonl | *evaluations.jsonl) sed 's/,"ms":.*//' "$file" ;;
        *train.log) sed 's/ | .*//' "$file" ;;
        ./r.json) grep -vE '"(seconds|[a-z_]*_seconds|[a-z_]*per_second|time|ms)":' "$file" ;;
        *.html) sed -E 's/[0-9.]+(&nbsp;| )?(s|ms|h|min|images\/s|images per second)\b//g' "$file" ;;
      esac | sha256sum | sed "s|-\$|$file|"
    done < <(find . -type f)
    [ ${#whole[@]} = 0 ] || sha256sum "${whole[@]}" # one process for all of them
  ) | LC_ALL=C sort -k 2
}
