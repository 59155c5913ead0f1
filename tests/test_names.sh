#!/usr/bin/env bash
# Names that a terminal would obey (control characters, also in one character as U+009B, overrides of direction, separators
# of lines, bytes that are not UTF-8) come out as '?' in the lines that users read, and escaped in results.
# usage: tests/test_names.sh GENHANCE
set -euo pipefail
genhance=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

fail() { printf 'FAIL: %s\n' "$*"; exit 1; }

# Fails if the file has a byte sequence of a hidden character or an invalid one.
harmless() { # harmless FILE
  iconv -f UTF-8 -t UTF-8 "$1" >/dev/null 2>&1 || fail "$1: not UTF-8"
  if LC_ALL=C grep -qP '\xc2[\x80-\x9f]|\xe2\x80[\x8b-\x8f\xa8-\xae]|\xe2\x81[\xa0-\xaf]|[\x00-\x09\x0b-\x1f\x7f]' "$1"; then
    od -c "$1" | head -n 20
    fail "$1: a hidden character"
  fi
}

names=($'a\u009b31m' $'gnp\u202eexe' $'b\u2028c' $'d\u200be\u2066' $'f\xffg\xc2' $'h\ti\e[2J')
for name in "${names[@]}"; do
  printf 'not a model' >"$name.pt"
  ! "$genhance" convert "$name.pt" --out out --json result.json >out.txt 2>err.txt || fail "$name was converted"
  harmless out.txt
  harmless err.txt
  grep -q '?' err.txt || fail "no replacement in: $(cat err.txt)"
  [ "$(wc -l <err.txt)" = 1 ] || fail "more than one line"
  harmless result.json
  ! "$genhance" "$name" >out.txt 2>err.txt || fail "a command $name"
  harmless err.txt
  ! "$genhance" train --config "$name.pt" >out.txt 2>err.txt || fail "a run of $name"
  harmless err.txt
done
