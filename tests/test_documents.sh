#!/usr/bin/env bash
# Manual pages and bash completion have every command and option that the program has, and the pages format without a
# warning where man is installed (else this test counts as skipped after the rest has passed).
# usage: test_documents.sh path/to/genhance
set -u
# shellcheck source=tests/support/failures.sh
. "$(dirname "$0")/support/failures.sh"
genhance=$1
documents=$(cd "$(dirname "$1")" && pwd)/documents
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

[ -s "$documents/man/genhance.1" ] || { echo "FAILED: no manual in $documents"; exit 1; }
"$genhance" --help | sed -n '/^commands:/,/^$/s/^  \(\([a-z]\+ \)\+\) .*/\1/p' >"$work/commands"
[ -s "$work/commands" ] || fail "genhance --help lists no commands"

# ---- manual pages ----

while read -r command; do
  page=$documents/man/genhance-${command// /-}.1
  [ -s "$page" ] || { fail "no page of \`$command\`"; continue; }
  # shellcheck disable=SC2086
  for option in $("$genhance" $command --help | sed -n 's/^  --\([a-z-]*\).*/\1/p'); do
    grep -qF -e "\\fB\\-\\-${option//-/\\-}\\fR" "$page" || fail "$page has no --$option"
  done
  grep -qF -e "genhance\\-${command// /\\-} (1)" <(sed 's/-/\\-/g; s/\\\\-/\\-/g' "$documents/man/genhance.1") ||
    fail "genhance.1 does not list $command"
done <"$work/commands"

# ---- bash completion ----

bash -n "$documents/genhance.bash" || fail "genhance.bash is no bash"

# complete TEXT WORDS...: what is offered after TEXT is WORDS, in any order.
complete_line() {
  local line=$1 got want
  shift
  want=$(printf '%s\n' "$@" | sort)
  got=$(cd "$work" && PATH="$(dirname "$genhance"):$PATH" bash -c '
    source "$1"
    COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDBREAKS=$'"' \\t\\n\"\\'@><=;|&(:'"'
    _genhance
    printf "%s\n" "${COMPREPLY[@]}"' - "$documents/genhance.bash" "$line" | sort)
  [ "$got" = "$want" ] || fail "completing \"$line\" offers: ${got//$'\n'/ }"
}
mkdir "$work/folder name"
touch "$work/run.json"
complete_line "genhance sel" selftest
complete_line "genhance bench " ops step plan suite scaling compare portability
complete_line "genhance bench s" scaling step suite
complete_line "genhance train --re" --resume --replan --resplit
complete_line "genhance train --config r" run.json
complete_line "genhance train --config run.json --dry" --dry-run
complete_line "genhance init --out f" "folder name"
complete_line "genhance convert r" run.json
complete_line "genhance convert run.json --pre" --prefix
complete_line "genhance init --arch tiny-" tiny-siglip
complete_line "genhance train --set stage1.lr" ""
complete_line "genhance devices --device au" auto
complete_line "genhance no-such-command --" ""
for command in $(cut -d ' ' -f 1 "$work/commands" | sort -u); do complete_line "genhance $command" "$command"; done

[ $failures = 0 ] || exit 1
command -v man >/dev/null || { echo "skipped: man is not installed, the pages were not formatted"; exit 77; }
for page in "$documents"/man/*.1; do
  LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null | grep . &&
    fail "man warns of $page"
done
finish
