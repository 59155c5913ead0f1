#!/usr/bin/env bash
# Every message of the program, collected from the calls in src/: one line, lower case at the beginning (but for names), no
# full stop at the end, no path of the build, no doubled blanks. And every refusal that names a set says what is in it.
# usage: test_messages.sh path/to/genhance
set -u
# shellcheck source=tests/support/failures.sh
. "$(dirname "$0")/support/failures.sh"
genhance=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# complain FILE: the messages of a list that break a rule
complain() {
  awk -F '\t' '
    function bad(why) { print $1 ": " why ": " $2 }
    {
      first = $2
      sub(/[^A-Za-z0-9_].*/, "", first)
      if ($2 ~ /\\n/) bad("more than one line")
      if ($2 ~ /[^.]\.$/) bad("ends with a full stop")
      if ($2 ~ /!$/) bad("ends with an exclamation mark")
      if ($2 ~ /  / && $2 !~ /^  /) bad("doubled blanks")
      if ($2 ~ /(^| )(\/work|\/home|\/root|\/build|src\/|\.\.\/)/) bad("a path of the build")
      if (first ~ /^[A-Z][a-z]/ && first !~ /^(Mesa|Intel|Clang|Huffman|Windows|Unicode|PyTorch)$/) bad("begins with a capital")
    }' "$1"
}

(cd "$here/.." && find src -name '*.c' | sort | xargs awk -f tests/messages.awk) >"$work/messages" || fail "the messages cannot be collected"
count=$(wc -l <"$work/messages")
calls=$(grep -rhoE '\bgh_(fail|fail_in|warn|info|debug|api_refuse|cl_fail|cuda_fail)\(' "$here/../src" --include='*.c' | wc -l)
[ "$count" -gt 800 ] && [ "$count" -gt $((calls * 9 / 10)) ] || fail "only $count messages of $calls calls"
complain "$work/messages" >"$work/bad"
[ ! -s "$work/bad" ] || fail "$(wc -l <"$work/bad") messages: $(cat "$work/bad")"

# The rules find what they are for.
cat >"$work/planted.c" <<'END'
  return gh_fail(err, GH_ERROR_FILE, "%s: Cannot " "open it", path);
  return gh_fail(err, GH_ERROR_FILE, b ? "Broken" : "broken.\n", path, "Ignored.");
  gh_warn("see src/base/log.c  now");
END
awk -f "$here/messages.awk" "$work/planted.c" >"$work/planted"
complain "$work/planted" | cut -d: -f 3 | sort | tr -d '\n' >"$work/found"
[ "$(wc -l <"$work/planted")" = 4 ] || fail "the planted messages are read as: $(cat "$work/planted")"
[ "$(cat "$work/found")" = " a path of the build begins with a capital doubled blanks more than one line" ] || fail "planted: $(cat "$work/found")"

# No file name of the sources is compiled into the program by its messages.
grep -rn '__FILE__' "$here/../src" && fail "a message may name a file of the build"

# ---- refusals say what is accepted ----
refuse() { # refuse TEXT ARGUMENTS...
  local text=$1
  shift
  "$genhance" "$@" >"$work/out" 2>"$work/err" && fail "genhance $*: was accepted"
  grep -qF -e "$text" "$work/err" || fail "genhance $*: no \"$text\" in: $(cat "$work/err")"
  [ "$(wc -l <"$work/err")" = 1 ] || fail "genhance $*: more than one line: $(cat "$work/err")"
}
refuse "it can be float32, bfloat16 or float16" bench plan --arch tiny --precision half
refuse "did you mean --precision?" bench plan --arch tiny --precison float32
refuse "\`genhance bench plan --help\` lists them" bench plan --arch tiny --zzzzzzzzzz
refuse "did you mean tiny?" init --arch tinny --out "$work/x"
refuse "available: hf, peft, vision" export --run "$work" --out "$work/x" --format onnx
refuse "available: keep, float32, float16, bfloat16" export --run "$work" --out "$work/x" --dtype int8
refuse "expected one of: mmvp, zeroshot, retrieval, spectrum" eval imagenet
refuse "expected a whole number from 1 to 65536" encode --model x --text x --out x --batch 0
refuse "$work/none: no such folder; a model is a folder with config.json and weights" encode --model "$work/none" --text "$work/bad" --out "$work/x"
refuse "$work/planted.c: is a file; a model is a folder" encode --model "$work/planted.c" --text "$work/bad" --out "$work/x"
refuse "--quiet and --verbose contradict each other" devices -q -v
finish
