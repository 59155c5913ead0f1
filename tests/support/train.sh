# Sourced by the scripts that run `genhance train`: a tiny run, and functions to check it.
# shellcheck shell=bash disable=SC2034
# shellcheck source=tests/support/failures.sh
. "$(dirname "${BASH_SOURCE[0]}")/failures.sh"
genhance=$(realpath "$1")
fixtures=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../fixtures")
work=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/genhance-test-XXXXXX")")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
: "${GH_CACHE_DIR:=$work/cache}"
export GH_CACHE_DIR

# Two stages of three updates with a state after each. Paths are relative to $work.
cp -r "$fixtures/encode/images" images
cp -r "$fixtures/probe/tiny/clip" clip
cp "$fixtures/probe/tiny/ae.safetensors" .
chmod -R u+w .
cat >run.json <<'END'
{"version": 1, "clip": "clip", "autoencoder": "ae.safetensors",
 "denoiser": {"double_blocks": 1, "single_blocks": 1, "hidden": 32, "heads": 2, "mlp_ratio": 2.0,
  "rope_axes": [4, 6, 6], "context_width": 24, "vector_width": 20},
 "data": {"images": ["images"], "workers": 2},
 "stage1": {"steps": 3, "batch": 3, "micro_batch": 2, "optimizer": {"lr": 0.01}, "checkpoint_every": 2},
 "stage2": {"steps": 3, "batch": 3, "micro_batch": 2, "optimizer": {"lr": 0.01}, "lora": {"rank": 2}},
 "state": {"keep": 2, "minutes": 1e-9}, "output": "run"}
END

# train ARGUMENTS...: runs to the end
train() {
  "$genhance" train --config run.json --quiet "$@" >out 2>err || fail "train $*: exit code $?: $(cat err)"
}

# refuse CODE TEXT COMMAND...: the command fails with that exit code; the last line on stderr is the reason, with the text.
refuse() {
  local code=$1 text=$2 got
  shift 2
  "$@" >out 2>err
  got=$?
  [ "$got" = "$code" ] || fail "$*: exit code $got, expected $code: $(cat err)"
  [ "$(grep -c '^genhance: ' err)" = 1 ] || fail "$*: not exactly one reason: $(cat err)"
  tail -n 1 err | grep -qF -e "$text" && tail -n 1 err | grep -q '^genhance: ' || fail "$*: no \"$text\" in: $(cat err)"
}

# A file without its times and its number of planned steps.
timeless() {
  case $1 in
    *metrics.jsonl) sed 's/,"ms":.*//' "$1" ;;
    *train.log) sed 's/ | .*//; s|/[0-9]* | |' "$1" ;;
    *) cat "$1" ;;
  esac
}

# same A B: run B has the same bits as A in snapshots, newest state, metrics and log. The state's manifest names the chosen
# kernels, which may differ with another cache; test_resume.c compares it.
same() {
  local file any=
  while read -r file; do
    any=yes
    [ -f "$2/$file" ] || { fail "$2 has no $file"; continue; }
    cmp -s <(timeless "$1/$file") <(timeless "$2/$file") || fail "$2/$file differs from that of $1"
  done < <(cd "$1" && find snapshots "state/$(newest_state ".")/part-00000.safetensors" metrics.jsonl train.log -type f)
  [ -n "$any" ] || fail "$1 has nothing to compare"
  [ "$(newest_state "$1")" = "$(newest_state "$2")" ] || fail "$2 ends at $(newest_state "$2")"
}

newest_state() { find "$1/state" -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | sort | tail -n 1; }
