#!/usr/bin/env bash
# `encode`, `eval`, evaluations, a suite and the cache of targets on several ranks: the bits of one process. What ranks cannot do is refused.
# usage: test_ranks_encode.sh path/to/genhance
set -u
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"
# shellcheck source=tests/support/mpirun.sh
. "$fixtures/../support/mpirun.sh"
model=$fixtures/text/clip

# ---- encode: 18 pictures, one of them broken, in batches of 2; lines in three blocks of 1024 ----
head -c 200 images/alpha.png >images/broken.png
seq 2500 | sed 's/.*/a photo of & things/' >lines
encode=(encode --images images --text lines --batch 2)
"$genhance" "${encode[@]}" --model "$model" --out one --json one.json >out 2>err || fail "encode: $(cat err)"
for n in 2 3; do
  mpirun -n $n "$genhance" "${encode[@]}" --model "$model" --out "of$n" --json "of$n.json" >out 2>err || fail "encode on $n: $(cat err)"
  cmp -s one "of$n" || fail "the embeddings of $n ranks have other bits"
  cmp -s <(grep -v '"time"' one.json) <(grep -v '"time"' "of$n.json") || fail "--json of $n ranks: $(diff one.json "of$n.json")"
  [ "$(grep -c '^of'"$n"':' out)" = 1 ] || fail "only rank 0 should speak: $(cat out)"
done
mkdir few
cp images/alpha.png few
mpirun -n 3 "$genhance" encode --model "$model" --images few --out few.out >out 2>err || fail "fewer pictures than ranks: $(cat err)"
rm few/alpha.png
cp images/broken.png few
refuse_ranks "no image could be read" mpirun -n 2 "$genhance" encode --model "$model" --images few --out none
[ ! -e none ] || fail "a file of nothing"

# ---- eval ----
mkdir -p scenes/{dog,cat}
cp images/{Exact,alpha,palette}.png scenes/dog
cp images/{enlarge,reduce}.png scenes/cat
zeroshot=(eval zeroshot --data scenes --batch 2)
"$genhance" "${zeroshot[@]}" --model "$model" --json one.json >out 2>err || fail "eval: $(cat err)"
cp out one.out
mpirun -n 3 "$genhance" "${zeroshot[@]}" --model "$model" --json three.json >out 2>err || fail "eval on 3: $(cat err)"
cmp -s one.out out || fail "eval prints something else on 3 ranks: $(cat out)"
cmp -s <(grep -v '"time"' one.json) <(grep -v '"time"' three.json) || fail "eval --json: $(diff one.json three.json)"

# ---- evaluations during a training: the scores of one process, which all ranks compute ----
measured=("$genhance" train --config run.json --quiet --set clip="$model" --set stage1.steps=0 --set stage2.steps=2
  --set stage2.checkpoint_every=1 --set evaluate='[{"kind":"zeroshot","data":"scenes","batch":2},{"kind":"zeroshot","name":"again","data":"scenes"}]')
scores() { sed 's/,"ms":.*//' "$1/evaluations.jsonl"; }
mv images/broken.png .
for precision in float32 bf16; do
  rm -rf alone run
  "${measured[@]}" --set precision=$precision --set output=alone >out 2>err || fail "evaluations: $(cat err)"
  mpirun -n 3 "${measured[@]}" --set precision=$precision >out 2>err || fail "evaluations on 3 ranks: $(cat err)"
  [ "$(scores run | grep -c '"again.top5"')" = 3 ] || fail "not three evaluations: $(scores run)"
  cmp -s <(scores alone) <(scores run) || fail "other scores with $precision: $(diff <(scores alone) <(scores run))"
done
mkdir there
ln -s ../{ae.safetensors,images,run.json} there
cp -r scenes there
cp broken.png there/scenes/dog/palette.png # of the second half, which rank 1 reads
rm -rf run
! mpirun -n 1 "${measured[@]}" : -n 1 -wdir "$work/there" "${measured[@]}" >out 2>err || fail "rank 1 reads no pictures"
grep -q "^genhance: evaluation after update 0 of stage 2: rank 1 on $host: .*palette.png" err || fail "a broken picture of rank 1: $(cat err)"
rm -rf run there/scenes/cat/reduce.png
! mpirun -n 1 "${measured[@]}" : -n 1 -wdir "$work/there" "${measured[@]}" >out 2>err || fail "other pictures on rank 1"
grep -q "^genhance: rank 1 on $host: evaluate\[0\].the number of images is 4, but 5 on rank 0" err || fail "other pictures on rank 1: $(cat err)"
rm -rf run alone

# ---- a suite: each rank a device, one folder of results ----
suite=("$genhance" bench suite --parts latency --batch 1 --out suite)
for again in 1 2; do
  mpirun -n 2 "${suite[@]}" --devices auto/cpu,auto/gpu >out 2>err || fail "a suite on 2 ranks: $(cat err)"
  for shape in cpu gpu; do
    [ "$(grep '"op":"launch and wait"' suite/rows.jsonl | grep -c "\"device\":\"[a-z]*:[0-9]*/$shape\"")" = 1 ] ||
      fail "call $again: no row, or several, of the shape $shape: $(cut -c 1-500 suite/rows.jsonl)"
  done
done
refuse_ranks "ranks 0 and 1 on $host have the same device" mpirun -n 2 "${suite[@]}" --device auto/cpu

# ---- the cache of targets ----
cached=(--config run.json --quiet --set stage1.steps=1 --set stage2.steps=0 --set 'data.latent_cache={"crops":2}')
"$genhance" train "${cached[@]}" --set output=alone >out 2>err || fail "a cache: $(cat err)"
mpirun -n 2 "$genhance" train "${cached[@]}" >out 2>err || fail "a cache on 2 ranks: $(cat err)"
diff -r alone/latents run/latents >out || fail "another cache: $(cat out)"

# ---- ranks that differ, and commands of one process ----
cp -r "$model" other
sed -i 's/0.48145466/0.25/' other/preprocessor_config.json
refuse_ranks "rank 1 on $host: preprocessor_config.json of the model is " mpirun -n 1 "$genhance" "${encode[@]}" --model "$model" \
  --out x : -n 1 "$genhance" "${encode[@]}" --model other --out x
refuse_ranks "rank 1 on $host: option.precision is \"bf16\", but \"float32\" on rank 0" mpirun -n 1 "$genhance" "${encode[@]}" --model "$model" --out x : \
  -n 1 "$genhance" "${encode[@]}" --model "$model" --out x --precision bf16
refuse 1 "this command runs in one; with GH_MPI=off each does it by itself" env OMPI_COMM_WORLD_SIZE=2 "$genhance" export --run run --out x
[ ! -e x ] || fail "a refused command wrote"

finish
