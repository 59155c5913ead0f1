#!/usr/bin/env bash
# Trains on one process and on ranks that only a limited link joins, then checks `genhance bench scaling` against both. Each rank
# has its own network namespace on this machine; a bridge joins them. All of it ends with the script.
#
# usage: scripts/link.sh path/to/genhance RUN.json RANKS MBIT [DELAY [LOSS]] [-- OPTIONS OF TRAIN]
# MBIT: of each rank's link, in each direction; DELAY: ms one way; LOSS: % of packets. Delay and loss need the kernel's netem.
# STAGE: the stage that is checked (1)
#
# Needs root, Open MPI, and Debian's packages iproute2 and util-linux.
set -euo pipefail
say() { echo "link.sh: $*" >&2; }
[ $# -ge 4 ] || { sed -n '/^# usage/,/^# STAGE/s/^# //p' "$0" >&2; exit 2; }
genhance=$(realpath "$1") run=$(realpath "$2") ranks=$3 mbit=$4
shift 4
delay=0 loss=0
[ $# = 0 ] || [ "$1" = -- ] || { delay=$1; shift; }
[ $# = 0 ] || [ "$1" = -- ] || { loss=$1; shift; }
[ $# = 0 ] || shift
PATH=$PATH:/usr/sbin:/sbin

# ---- what it needs ----
if [ "${GH_LINK_INSIDE:-}" != yes ]; then
  [ "$(id -u)" = 0 ] || { say "needs root"; exit 77; }
  for tool in ip tc unshare nsenter mpirun; do
    command -v $tool >/dev/null || { say "no $tool"; exit 77; }
  done
  mpirun --version | grep -q 'Open MPI' || { say "mpirun is not Open MPI's"; exit 77; }
  unshare --net true 2>/dev/null || { say "this machine allows no network namespaces"; exit 77; }
  limits=("$delay" "$loss")
  [ $# = 0 ] || limits+=(-- "$@")
  GH_LINK_INSIDE=yes exec unshare --net "$0" "$genhance" "$run" "$ranks" "$mbit" "${limits[@]}"
fi

# ---- the network: this namespace has the bridge, where mpirun is ----
work=$(mktemp -d "${TMPDIR:-/tmp}/genhance-link-XXXXXX")
pids=()
stop() {
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT
ip link set dev lo up
ip link add name joint type bridge
ip addr add 10.77.0.1/24 dev joint
ip link set dev joint up
# limit COMMAND...: of what leaves a device; COMMAND is tc, or tc in a namespace
limit() {
  local device=$1
  shift
  if [ "$delay" = 0 ] && [ "$loss" = 0 ]; then
    "$@" qdisc add dev "$device" root tbf rate "${mbit}mbit" burst "$((mbit * 10 + 64))kbit" latency 1s
  else
    "$@" qdisc add dev "$device" root netem rate "${mbit}mbit" delay "${delay}ms" loss "$loss%" limit 100000 2>/dev/null ||
      { say "the kernel has no netem: only MBIT can be limited here"; exit 77; }
  fi
}
hosts=
for ((i = 1; i <= ranks; i++)); do
  unshare --net --uts sleep infinity &
  pid=$!
  pids+=("$pid")
  until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ] &&
    [ "$(readlink /proc/$pid/ns/uts)" != "$(readlink /proc/self/ns/uts)" ]; do sleep 0.05; done
  inside=(nsenter --target "$pid" --net --uts)
  address=10.77.0.$((i + 1))
  echo $pid >"$work/$address"
  ip link add name "rank$i" type veth peer name far netns $pid
  ip link set dev "rank$i" master joint up
  "${inside[@]}" hostname "node$i"
  "${inside[@]}" ip link set dev lo up
  "${inside[@]}" ip addr add $address/24 dev far
  "${inside[@]}" ip link set dev far up
  limit far "${inside[@]}" tc
  tc qdisc add dev "rank$i" root tbf rate "${mbit}mbit" burst "$((mbit * 10 + 64))kbit" latency 1s # what the rank receives
  hosts+=${hosts:+,}$address:1
done
cat >"$work/agent" <<END
#!/bin/sh
host=\$1
shift
exec nsenter --target "\$(cat "$work/\$host")" --net --uts sh -c "\$*"
END
chmod +x "$work/agent"

# ---- one process, then the ranks ----
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
train=("$genhance" train --config "$run" --quiet "$@")
"${train[@]}" --set output="$work/one"
mpirun -n "$ranks" --host "$hosts" --mca plm_rsh_agent "$work/agent" --mca btl tcp,self --mca btl_tcp_if_include 10.77.0.0/24 \
  --mca oob_tcp_if_include 10.77.0.0/24 "${train[@]}" --set output="$work/several"
"$genhance" bench scaling --stage "${STAGE:-1}" --run "$work/one" --run "$work/several" --mbit "$mbit" \
  --delay "$([ "$delay" = 0 ] && echo 0.05 || echo "$delay")" # a bridge's own
