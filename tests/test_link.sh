#!/usr/bin/env bash
# bench_link, the limited network of scripts/link.sh: between two network namespaces it is as slow, as late and as lossy as it
# was told, or worse.
# usage: test_link.sh path/to/genhance
set -u
# shellcheck source=tests/support/failures.sh
. "$(dirname "$0")/support/failures.sh"
link=$(realpath "$(dirname "$1")/bench_link")
speed=$(realpath "$(dirname "$0")/../bench/link_speed.py")
work=$(mktemp -d "${TMPDIR:-/tmp}/genhance-test-XXXXXX")
pids=()
# shellcheck disable=SC2317
clean() {
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null
  wait
  rm -rf "$work"
}
trap clean EXIT
cd "$work" || exit 1

refused() { # refused TEXT ARGUMENTS...
  local text=$1
  shift
  if "$link" "$@" >out 2>err; then fail "bench_link $*: succeeded"; fi
  grep -qF -e "$text" err || fail "bench_link $*: no \"$text\" in: $(cat err)"
}
refused "bench_link --mbit M" --mbit 10
refused "bench_link --mbit M" 10.0.0.1=1 10.0.0.2=2
refused "bench_link --mbit M" --mbit x 10.0.0.1=1 10.0.0.2=2
refused "bench_link --mbit M" --mbit 10 --loss 101 10.0.0.1=1 10.0.0.2=2

[ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] && unshare --net true 2>/dev/null || { echo "no network namespaces here"; exit 77; }
refused "nowhere is not ADDRESS=PID" --mbit 10 nowhere 10.0.0.2=2
for _ in 1 2; do
  unshare --net sleep infinity &
  pids+=($!)
  until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
done

# carry ARGUMENTS...: 0.5 MB both ways, half of them measured, over such a link; speed and delay are in `carried`, the link's last words in `err`
carry() {
  "$link" "$@" "10.77.0.1=${pids[0]}" "10.77.0.2=${pids[1]}" >out 2>err &
  local switch=$!
  until grep -q ready out || ! kill -0 $switch 2>/dev/null; do sleep 0.02; done
  nsenter --target "${pids[0]}" --net python3 "$speed" 1 1 0.25 10.77.0.2 10.77.0.1 &
  nsenter --target "${pids[1]}" --net timeout 60 python3 "$speed" 0 1 0.25 10.77.0.2 10.77.0.1 >carried || fail "$*: nothing arrives: $(cat err)"
  wait $!
  kill $switch
  wait $switch || fail "bench_link $*: exit code $?: $(cat err)"
}
carry --mbit 10 --delay 15
awk '{ exit !($1 > 0 && $1 <= 10 && $2 >= 15) }' carried || fail "10 Mbit/s and 15 ms carried $(cat carried)"
grep -q '^bench_link: 10.77.0.1 sent [0-9]* packets, 0.5 MB; 0 were lost' err || fail "no report: $(cat err)"
carry --mbit 100 --loss 2
grep -q '; [1-9][0-9]* were lost' err || fail "nothing was lost: $(cat err)"

finish
