# Sourced after train.sh by the scripts that start ranks with mpirun: all on this machine.
# shellcheck shell=bash disable=SC2034,SC2154
built=$(dirname "$genhance")
[ -e "$built/genhance_mpi.so" ] || { echo "genhance was built without MPI"; exit 77; }
command -v mpirun >/dev/null || { echo "no mpirun"; exit 77; }
host=$(hostname)
# shellcheck source=tests/support/openmpi.sh
. "$(dirname "${BASH_SOURCE[0]}")/openmpi.sh"

# refuse_ranks TEXT COMMAND...: mpirun fails, and exactly one line says why
refuse_ranks() {
  local text=$1
  shift
  rm -rf run
  if "$@" >out 2>err; then fail "$*: succeeded"; fi
  [ "$(grep -c '^genhance: ' err)" = 1 ] || fail "$*: not exactly one reason: $(cat err)"
  grep '^genhance: ' err | grep -qF -e "$text" || fail "$*: no \"$text\" in: $(cat err)"
  [ ! -e run ] || fail "$*: left $(find run)"
}
