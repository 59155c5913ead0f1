#!/usr/bin/env bash
# A command that is killed while it writes leaves a temporary file. Its next start at the same place removes that file,
# and no other: not one of another name, of a process that lives, or that somebody has locked.
# usage: test_leftovers.sh path/to/genhance
set -u
# shellcheck source=tests/support/train.sh
. "$(dirname "$0")/support/train.sh"
inject=$(dirname "$genhance")/fault_inject.so
[ -e "$inject" ] || { echo "skipped: there is no $inject"; exit 77; }
grep -q __asan_init "$genhance" && { echo "skipped: AddressSanitizer has its own malloc"; exit 77; }

sleep 0 & # a process that is gone
gone=$!
wait $gone

# leftovers FOLDER: what writers left there, but for the foreign files below
leftovers() { find "$1" -maxdepth 1 -name '.*.tmp' ! -name '*foreign*' ! -name "*.$$-*" ! -name "*.$gone-77.tmp"; }

# swept FOLDER NAME COMMAND...: kills the command at half of its first write to FOLDER/NAME, then runs it again
swept() {
  local folder=$1 name=$2 foreign file holder
  shift 2
  env GH_FAULT_CALLS=write GH_FAULT_MODE=tear GH_FAULT_AT=1 GH_FAULT_PATH="$folder/.$name." LD_PRELOAD="$inject" "$@" >out 2>err
  [ $? = 137 ] || fail "$name: not killed: $(cat err)"
  [ -n "$(leftovers "$folder")" ] || fail "$name: the kill left nothing"
  foreign=("$folder/.$name.foreign.tmp" "$folder/.foreign-$name.$gone-1.tmp" "$folder/.$name.$$-1.tmp"
    "$folder/.$name.$gone-77.tmp")
  for file in "${foreign[@]}"; do echo "somebody's" >"$file"; done
  flock -x "${foreign[3]}" sleep 60 &
  holder=$!
  until ! flock -n "${foreign[3]}" true; do :; done
  "$@" >out 2>err || fail "$name: $(cat err)"
  [ -z "$(leftovers "$folder")" ] || fail "$name: $(leftovers "$folder") stays"
  for file in "${foreign[@]}"; do
    [ -e "$file" ] || { [ "$file" = "${foreign[1]}" ] && [ "$folder" = out-folder ]; } || fail "$name: $file is removed"
  done
  kill "$holder" && wait "$holder" 2>/dev/null
  rm -f "${foreign[@]}"
}

mkdir files scenes scenes/dog scenes/cat few
cp images/{Exact,alpha}.png scenes/dog
cp images/{enlarge,reduce}.png scenes/cat
cp images/Exact.png few
swept files embeddings "$genhance" encode --model clip --images few --out files/embeddings
swept files scores.json "$genhance" eval zeroshot --model "$fixtures/text/clip" --data scenes --json files/scores.json
swept out-folder model.safetensors "$genhance" convert "$fixtures/pickle/new.pt" --out out-folder # the folder is its own

# A command that fails before it writes has removed the rest of an earlier one at its start.
echo "half" >files/.scores.json.$gone-1.tmp
refuse 1 "absent" "$genhance" eval zeroshot --model absent --data scenes --json files/scores.json
[ -z "$(leftovers files)" ] || fail "$(leftovers files) stays"

finish
