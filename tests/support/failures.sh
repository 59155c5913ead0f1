# Sourced by the test scripts: says what failed, and counts it.
# shellcheck shell=bash
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

finish() {
  [ "$failures" = 0 ] || { echo "$failures failures"; exit 1; }
}
