#!/usr/bin/env bash
# Trains on one process and on ranks that only a limited link joins, then checks `genhance bench scaling` against both. Each rank
# has its own network namespace on this machine; bench_link, beside genhance, joins them. All of it ends with the script.
#
# usage: scripts/link.sh path/to/genhance RUN.json RANKS MBIT [DELAY [LOSS]] [-- OPTIONS OF TRAIN]
# MBIT: of each rank's link, in each direction; DELAY: ms one way; LOSS: % of packets.
# STAGE: the stage that is checked (1). ONE: the finished run of one process, if there is one: it is not repeated. KEEP: a folder
# for the runs and for scaling.json, the check's result. QUEUE: KiB that wait at each end of a link before it drops what arrives
# (as much as is on its way there and back, and 50 ms and 64 KiB more).
#
# Needs root, /dev/net/tun, Open MPI, Python and util-linux.
set -euo pipefail
say() { echo "link.sh: $*" >&2; }
[ $# -ge 4 ] || { sed -n '/^# usage/,/^# STAGE/s/^# //p' "$0" >&2; exit 2; }
genhance=$(realpath "$1") run=$(realpath "$2") ranks=$3 mbit=$4
shift 4
delay=0 loss=0
[ $# = 0 ] || [ "$1" = -- ] || { delay=$1; shift; }
[ $# = 0 ] || [ "$1" = -- ] || { loss=$1; shift; }
[ $# = 0 ] || shift

# ---- what it needs ----
if [ "${GH_LINK_INSIDE:-}" != yes ]; then
  [ "$(id -u)" = 0 ] || { say "needs root"; exit 77; }
  for tool in unshare nsenter mpirun python3; do
    command -v $tool >/dev/null || { say "no $tool"; exit 77; }
  done
  mpirun --version | grep -q 'Open MPI' || { say "mpirun is not Open MPI's"; exit 77; }
  [ -c /dev/net/tun ] || { say "no /dev/net/tun"; exit 77; }
  [ -x "$(dirname "$genhance")/bench_link" ] || { say "no bench_link beside $genhance"; exit 77; }
  unshare --net true 2>/dev/null || { say "this machine allows no network namespaces"; exit 77; }
  GH_LINK_INSIDE=yes exec unshare --net "$0" "$genhance" "$run" "$ranks" "$mbit" "$delay" "$loss" -- "$@"
fi

# ---- the network: mpirun is in this namespace, which has a link of its own ----
work=$(mktemp -d "${TMPDIR:-/tmp}/genhance-link-XXXXXX")
keep=$(realpath -m "${KEEP:-$work}")
pids=()
stop() {
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap stop EXIT
hosts='' ends=("10.77.0.1=$$")
for ((i = 1; i <= ranks; i++)); do
  unshare --net --uts sleep infinity &
  pid=$!
  pids+=("$pid")
  until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ] &&
    [ "$(readlink /proc/$pid/ns/uts)" != "$(readlink /proc/self/ns/uts)" ]; do sleep 0.05; done
  address=10.77.0.$((i + 1))
  echo $pid >"$work/$address"
  nsenter --target $pid --uts hostname "node$i"
  ends+=("$address=$pid")
  hosts+=${hosts:+,}$address:1
done
"$(dirname "$genhance")/bench_link" --mbit "$mbit" --delay "$delay" --loss "$loss" --queue "${QUEUE:-0}" "${ends[@]}" >"$work/ready" &
pids+=($!)
until grep -qs ready "$work/ready"; do
  kill -0 "${pids[-1]}" 2>/dev/null || { say "no network"; exit 1; }
  sleep 0.05
done
cat >"$work/agent" <<END
#!/bin/sh
host=\$1
shift
exec nsenter --target "\$(cat "$work/\$host")" --net --uts sh -c "\$*"
END
chmod +x "$work/agent"

# ---- what TCP carries over it for each rank, when all exchange parts of a bucket at once, for six seconds or more ----
speed=$(dirname "$0")/../bench/link_speed.py
bucket=$(python3 -c '
import json, sys
bucket = json.load(open(sys.argv[1])).get("distributed", {}).get("bucket", 4)
for word in sys.argv[2:]:
    bucket = word.partition("distributed.bucket=")[2] or bucket
print(bucket)' "$run" "$@")
part=$(awk -v b="$bucket" -v n="$ranks" 'BEGIN { print b * 1.048576 / n }')
exchanges=$(awk -v m="$mbit" -v p="$part" -v n="$ranks" 'BEGIN { e = m * 6 / 8 / p / (n - 1); print (e > 2 ? int(e + 0.999) : 2) }')
addresses=() measuring=()
for ((i = 0; i < ranks; i++)); do addresses+=("10.77.0.$((i + 2))"); done
for ((i = 0; i < ranks; i++)); do
  nsenter --target "${pids[$i]}" --net python3 "$speed" $i "$exchanges" "$part" "${addresses[@]}" >"$work/speed$i" &
  measuring+=($!)
done
for pid in "${measuring[@]}"; do wait "$pid"; done
read -r carried trip <"$work/speed0"
echo "link: $mbit Mbit/s, $delay ms, $loss % lost; TCP carries $carried Mbit/s each way for each of $ranks ranks, a message takes $trip ms"

# ---- one process, then the ranks ----
# A process computes with one thread, as each of the ranks: they share this machine's processors.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
export POCL_MAX_PTHREAD_COUNT=${POCL_MAX_PTHREAD_COUNT:-1}
one=${ONE:-$keep/one}
train=("$genhance" train --config "$run" --quiet "$@")
[ -n "${ONE:-}" ] || "${train[@]}" --set output="$one"
mpirun -n "$ranks" --host "$hosts" --mca plm_rsh_agent "$work/agent" --mca btl tcp,self --mca btl_tcp_if_include 10.77.0.0/24 \
  --mca oob_tcp_if_include 10.77.0.0/24 "${train[@]}" --set output="$keep/of$ranks"
"$genhance" bench scaling --stage "${STAGE:-1}" --run "$one" --run "$keep/of$ranks" --mbit "$carried" --delay "$trip" --processors "$(nproc)" \
  --json "$keep/scaling.json"
