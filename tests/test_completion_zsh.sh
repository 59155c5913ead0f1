#!/usr/bin/env bash
# zsh's completion: its syntax, and what it hands to zsh's own functions, which are replaced. Skipped without zsh.
# usage: test_completion_zsh.sh path/to/genhance
set -u
# shellcheck source=tests/support/failures.sh
. "$(dirname "$0")/support/failures.sh"
documents=$(cd "$(dirname "$1")" && pwd)/documents
command -v zsh >/dev/null || { echo "skipped: zsh is not installed"; exit 77; }

zsh -n "$documents/_genhance" || fail "_genhance is no zsh"

# offers PATTERN WORDS...: a line that is offered where the cursor is at the last of WORDS.
offers() {
  local wanted=$1 got
  shift
  got=$(zsh -f -c '
    _arguments() { print -l -- "$@" }
    _describe() { print -l -- "${(@P)2}" }
    file=$1; shift
    words=("$@"); CURRENT=$#
    source $file' - "$documents/_genhance" "$@") || fail "zsh failed at: $*"
  grep -qE -e "$wanted" <<<"$got" || fail "$*: nothing like $wanted in: $got"
}
offers '^devices:' genhance ''
offers '^step$' genhance bench ''
offers '^--resume\[.+\]$' genhance train ''
offers '^\*--set\[.+\]:KEY=VALUE: $' genhance train --resume ''
offers '^:FILE:_files$' genhance convert ''
offers '^--config\[.+\]:RUN.json:_files$' genhance train ''
offers '^--arch\[.+\]:NAME:\(tiny .+\)$' genhance bench step ''
finish
