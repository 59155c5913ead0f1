#!/usr/bin/env bash
# Every link of a page to a file of the project leads to one, and docs/README.md lists every page of docs/.
# usage: test_links.sh path/to/genhance
set -u
cd "$(dirname "$0")/.." || exit 1
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# broken PAGE...: the links that lead nowhere
broken() {
  grep -oHE '\]\([^)#]+|(src|href)="[^"#]+' "$@" | sed -E 's/:(\]\(|src="|href=")/\t/' |
    while IFS=$'\t' read -r page target; do
      case $target in http://* | https://* | mailto:*) continue ;; esac
      [ -e "$(dirname "$page")/$target" ] || echo "$page: $target"
    done
}

pages=(README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md docs/*.md bench/*.md bench/results/*.md packaging/*.md)
[ ${#pages[@]} -gt 30 ] || fail "only ${#pages[@]} pages"
[ -z "$(broken "${pages[@]}")" ] || fail "links that lead nowhere: $(broken "${pages[@]}")"
for page in docs/*.md; do
  [ "$page" = docs/README.md ] || grep -qF "]($(basename "$page"))" docs/README.md || fail "docs/README.md does not list $page"
done

# The rule finds what it is for.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '[a](https://example.org/) [b](page.md#part) [c](absent.md) <img src="none.png">\n' >"$work/page.md"
[ "$(broken "$work/page.md" | sed 's/.*: //' | paste -sd ' ')" = "absent.md none.png" ] || fail "found: $(broken "$work/page.md")"
[ $failures = 0 ]
