#!/usr/bin/env bash
# The command line itself: help, usage errors with suggestions, exit codes, --json, `devices`.
# usage: test_cli.sh path/to/genhance
set -u
# shellcheck source=tests/support/failures.sh
. "$(dirname "$0")/support/failures.sh"
genhance=$1
[ -x "$genhance" ] || { echo "no program at $genhance"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect CODE TEXT ARGUMENTS...: expects the exit code, and the text on stdout (success) or in one line on stderr (failure).
expect() {
  local code=$1 text=$2 got
  shift 2
  "$genhance" "$@" >"$work/out" 2>"$work/err"
  got=$?
  [ "$got" = "$code" ] || fail "genhance $*: exit code $got, expected $code"
  if [ "$code" = 0 ]; then
    grep -qF -e "$text" "$work/out" || fail "genhance $*: no \"$text\" in: $(cat "$work/out")"
    [ ! -s "$work/err" ] || fail "genhance $*: printed on stderr: $(cat "$work/err")"
  else
    grep -qF -e "$text" "$work/err" || fail "genhance $*: no \"$text\" in: $(cat "$work/err")"
    grep -q '^genhance: ' "$work/err" || fail "genhance $*: no reason in: $(cat "$work/err")"
    [ "$(wc -l <"$work/err")" = 1 ] || fail "genhance $*: more than one line: $(cat "$work/err")"
  fi
}

narrow() { # narrow COMMAND...: its last output fits a terminal
  ! grep -qE '^.{81}' "$work/out" || fail "$*: a line of more than 80 characters: $(grep -E '^.{81}' "$work/out")"
}
expect 0 "usage: genhance COMMAND" --help
narrow --help
expect 0 "usage: genhance COMMAND" help
expect 0 "genhance 0." --version
expect 2 "a command is missing"
GH_LOG=loud expect 2 "GH_LOG is \"loud\": it can be quiet, warning, info or debug" --version
GH_LOG=debug expect 0 "genhance 0." --version
expect 2 "unknown command devcies; did you mean devices?" devcies
expect 2 "unknown command qqqqqqqqqqqq; \`genhance --help\` lists them" qqqqqqqqqqqq
expect 2 "unknown option --jsn; did you mean --json?" devices --jsn x
expect 2 "unknown option --jsn=x; did you mean --json?" devices --jsn=x
expect 2 "unknown option -x" devices -x
expect 2 "unknown option -vx" devices -vx
expect 2 "--re is ambiguous: --resume, --replan" train --re
expect 0 "largest buffer" devices -v
expect 0 "usage: genhance bench KIND" bench --help
grep -q 'bench step' "$work/out" && ! grep -q 'devices  ' "$work/out" || fail "bench --help lists commands of other families"
expect 2 "bench: a kind is missing; expected one of: ops, step, plan" bench
expect 2 "bench: unknown kind qps; expected one of: ops, step, plan" bench qps
expect 2 "bench ops: unknown op liner (the nearest is linear); available: accumulate, activation, adamw," bench ops --op liner
[ ! -s "$work/out" ] || fail "an unknown op: $(cat "$work/out")"
expect 2 "bench ops: unknown op nothing-like-it; available: accumulate, activation, adamw," bench ops --op nothing-like-it
expect 2 "--json needs an argument" devices --json
expect 2 "--json is empty" devices --json ""
expect 2 "--json is given twice" devices --json a --json b
expect 2 "--verbose takes no argument" devices --verbose=yes
expect 2 "unexpected argument more" devices more
expect 2 "there is no device \"opencl:99\"" devices --device opencl:99
for name in a /gpu opencl:0/ opencl:0/foo; do expect 2 "\"$name\"" devices --device "$name"; done
expect 2 "there is no device" devices --device $'opencl:\xff' --json "$work/no-device.json"
grep -q '"error": "there is no device \\"opencl:?' "$work/no-device.json" || fail "no JSON file for a name that is not UTF-8"
mkfifo "$work/pipe"
timeout 20 cat "$work/pipe" >"$work/piped.json" &
expect 0 "opencl:0" devices --json "$work/pipe"
wait $!
[ -p "$work/pipe" ] && grep -q '"ok": true' "$work/piped.json" || fail "--json PIPE: $(cat "$work/piped.json")"
ln -s /dev/full "$work/full"
expect 1 "no space left" devices --json "$work/full"
[ -L "$work/full" ] || fail "--json replaced a device with a file"
if [ "$(id -u)" != 0 ]; then # root can write anywhere
  mkdir -m 555 "$work/locked"
  expect 1 "cannot be written: Permission denied" devices --json "$work/locked/out.json"
fi
if "$genhance" devices --verbose | grep -q "Portable Computing"; then
  touch "$work/no-home"
  (unset POCL_CACHE_DIR XDG_CACHE_HOME GH_CACHE_DIR && HOME=$work/no-home TMPDIR=$work/no-home "$genhance" devices >/dev/null 2>"$work/err")
  grep -q 'PoCL needs a folder to write to' "$work/err" || fail "PoCL without a home: $(cat "$work/err")"
fi
expect 1 "there is no folder" devices --json "$work/absent/out.json"
[ ! -e "$work/absent" ] || fail "--json created a folder"

# Every command supports --help, which lists its usage and the common options, in at most 80 columns.
"$genhance" --help | sed -n '/^commands:/,/^$/s/^  \(\([a-z]\+ \)\+\) .*/\1/p' >"$work/commands"
[ -s "$work/commands" ] || fail "--help lists no commands"
while read -r command; do
  # shellcheck disable=SC2086
  expect 0 "usage: genhance $command" $command --help
  grep -q -- '--device ID' "$work/out" && grep -q -- '--json FILE' "$work/out" || fail "$command --help: common options"
  narrow "$command --help"
  ! grep -q '^[?]' "$work/out" || fail "$command --help: an unprintable character: $(grep '^[?]' "$work/out")"
  # shellcheck disable=SC2086
  expect 2 "$command: unknown option --no-such-option" $command --no-such-option
done <"$work/commands"
expect 0 "vqgan-f16-16384" init --help
grep -A 1 'flux-autoencoder' "$work/out" | grep -q '^ \{25\}DIR/ae.safetensors$' || fail "init --help: a row does not hang: $(cat "$work/out")"

expect 0 "opencl:0" devices
grep -q '^device  *kind  *memory  *matrix unit  *bf16  *float16  *trains' "$work/out" || fail "devices: $(cat "$work/out")"
grep -qE '^opencl:0 +openai-vit-l-14-224 +(precision|memory|micro_batch|no: )' "$work/out" || fail "devices: what fits is missing: $(cat "$work/out")"
GH_MAX_BUFFER_MIB=1 expect 0 "no: " devices --device opencl:0
GH_MAX_MEMORY_MIB=9600 expect 0 "precision bf16, less memory, " devices --device opencl:0
expect 0 "largest buffer" devices --verbose
grep -q 'siglip-so400m-14-384' "$work/out" || fail "devices --verbose plans not all settings"
grep -qE '^  CLBlast +(yes|no): ' "$work/out" || fail "devices --verbose does not say what is built in"
expect 0 "opencl:0" devices --device opencl:0 --json "$work/devices.json"
for key in '"trains": true' '"fits": \[' '"setting": "openai-vit-l-14-224"' '"bfloat16": "' '"id": "opencl:0"' '"command": "devices"' '"ok": true' '"memory_bytes": [1-9]'; do
  grep -q -e "$key" "$work/devices.json" || fail "devices --json: no $key"
done
expect 0 "1021761 parameters" init --arch tiny --out "$work/tiny" --seed 3 --json "$work/init.json"
grep -q '"parameters": 1021761' "$work/init.json" || fail "init --json"
for file in config.json preprocessor_config.json model.safetensors; do
  [ -s "$work/tiny/$file" ] || fail "init wrote no $file"
done
echo "somebody's" >"$work/ae.safetensors"
expect 1 "already exists; not overwritten" init --arch flux-autoencoder --out "$work"
expect 0 "tiny-vqgan, 967875 parameters" init --arch tiny-vqgan --out "$work/vqgan"
[ -s "$work/vqgan/vqgan.safetensors" ] || fail "init wrote no vqgan.safetensors"
expect 1 "already exists; not overwritten" init --arch vqgan-f16-1024 --out "$work/vqgan"
(ulimit -f 100 && expect 1 "File too large" init --arch tiny --out "$work/limited" && exit "$failures") || failures=$((failures + 1))
[ -z "$(ls -A "$work/limited")" ] || fail "a limited init left $(ls -A "$work/limited")"
expect 2 "did you mean tiny?" init --arch tinny --out "$work/other"
expect 1 "no tokenizer in the folder" init --arch tiny --out "$work/other" --tokenizer "$work/tiny"
expect 1 "no tokenizer in the folder" encode --model "$work/tiny" --text "$0" --out "$work/text.safetensors"
expect 2 "encode: --json and --out are both $work/e" encode --model "$work/tiny" --images x --out "$work/e" --json "$work/e"
expect 2 "--images or --text is required" encode --model "$work/tiny" --out "$work/text.safetensors"
[ ! -e "$work/text.safetensors" ] || fail "a rejected encode left a file"
expect 2 "--out DIR is missing" init --arch tiny
expect 2 "--seed is \"-1\"; expected a whole number" init --arch tiny --out "$work/other" --seed -1
[ ! -e "$work/other" ] || fail "a rejected init left a folder"

expect 0 "PASS" selftest --json "$work/selftest.json"
grep -q "FAIL" "$work/out" && fail "selftest succeeded but printed FAIL"
grep -q '"op": "random_normal"' "$work/selftest.json" || fail "selftest --json"
for key in tested_indirectly inside_others; do grep -q "\"$key\"" "$work/selftest.json" || fail "selftest --json: no $key"; done
expect 1 "ops give wrong results on opencl:0" selftest --sabotage --json "$work/selftest.json"
grep -q "PASS" "$work/out" && fail "selftest --sabotage: an op passes: $(grep PASS "$work/out")"
grep -q '"ok": false' "$work/selftest.json" || fail "selftest --sabotage --json"

export OCL_ICD_VENDORS=$work/absent # a machine without a driver
expect 1 "no device: " devices
unset OCL_ICD_VENDORS
"$genhance" devices >/dev/full 2>"$work/err" && fail "a full disk behind standard output was not reported"
grep -q 'genhance: standard output: No space left' "$work/err" || fail "full stdout: $(cat "$work/err")"

finish
