#!/usr/bin/env bash
# Starts a Slurm of two nodes, both this machine, sends the batch files beside it through it, warns a job in the middle as before a time limit, and
# waits until it has been requeued and has finished. Stops what it started. Needs root, and Debian's packages slurmctld, slurmd,
# slurm-client and munge.
# usage: scripts/slurm/try.sh path/to/genhance
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
genhance=$(realpath "$1")
for tool in slurmctld slurmd munged sbatch mpirun; do
  [ -x "$(PATH=$PATH:/usr/sbin command -v $tool)" ] || { echo "try.sh: no $tool" >&2; exit 77; }
done
PATH=$PATH:/usr/sbin
work=$(mktemp -d "${TMPDIR:-/tmp}/genhance-slurm-XXXXXX")
started=()
stop() {
  for ((i = ${#started[@]} - 1; i >= 0; i--)); do kill "${started[i]}" 2>/dev/null || true; done
  wait
  [ "${keep:-}" = yes ] || rm -rf "$work"
}
trap stop EXIT
failed() {
  keep=yes
  echo "try.sh: $*; logs are in $work" >&2
  tail -n 5 "$work"/*.log "$work"/*.out >&2 2>/dev/null || true
  exit 1
}

# ---- a Slurm of two nodes on one machine ----
export SLURM_CONF=$work/slurm.conf
node=$(hostname -s)
chmod 755 "$work"
mkdir "$work/state" "$work"/{spool,tmp}-{"$node",second}
cat >"$SLURM_CONF" <<END
ClusterName=try
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
SelectType=select/cons_tres
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool-%n
SlurmctldPidFile=$work/slurmctld.pid
TmpFS=$work/tmp-%n
SlurmdPidFile=$work/slurmd-%n.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd-%n.log
SlurmctldPort=16817
KillWait=10
NodeName=$node NodeHostname=$node NodeAddr=127.0.0.1 Port=16818 CPUs=4 Feature=nvidia State=UNKNOWN
NodeName=second NodeHostname=$node NodeAddr=127.0.0.1 Port=16819 CPUs=4 Feature=amd State=UNKNOWN
PartitionName=all Nodes=$node,second Default=YES MaxTime=INFINITE State=UP
END
head -c 64 /dev/urandom >"$work/munge.key"
chmod 600 "$work/munge.key"
begin() {
  "$@" >>"$work/daemons.log" 2>&1 &
  started+=($!)
}
begin munged --foreground --force --key-file="$work/munge.key" --socket="$work/munge.socket" --pid-file="$work/munge.pid" \
  --log-file="$work/munge.log" --seed-file="$work/munge.seed"
for _ in $(seq 50); do [ -S "$work/munge.socket" ] && break || sleep 0.1; done
begin slurmctld -D
begin slurmd -D -N "$node"
begin slurmd -D -N second
idle() { [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | wc -l)" = 2 ]; }
for _ in $(seq 300); do ! idle || break; sleep 0.1; done
idle || failed "the nodes are not idle: $(sinfo 2>&1)"
sinfo --version

# ---- a tiny run ----
cd "$work"
cp -r "$root/tests/fixtures/encode/images" "$root/tests/fixtures/probe/tiny/clip" .
cp "$root/tests/fixtures/probe/tiny/ae.safetensors" .
cat >run.json <<'END'
{"version": 1, "clip": "clip", "autoencoder": "ae.safetensors",
 "denoiser": {"double_blocks": 1, "single_blocks": 1, "hidden": 32, "heads": 2, "mlp_ratio": 2.0,
  "rope_axes": [4, 6, 6], "context_width": 24, "vector_width": 20},
 "data": {"images": ["images"], "workers": 1},
 "stage1": {"steps": 100, "batch": 4, "checkpoint_every": 0}, "stage2": {"steps": 0}, "output": "run"}
END
# shellcheck source=tests/support/openmpi.sh
. "$root/tests/support/openmpi.sh"
export GENHANCE=$genhance GENHANCE_SLURM=$here

field() { scontrol show job "$1" | sed -n "s/.*\\b$2=\\([^ ]*\\).*/\\1/p" | head -n 1; }
ended() { # ended JOB SECONDS
  for ((i = 0; i < 10 * $2; i++)); do
    case $(field "$1" JobState) in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) return 0 ;; esac
    sleep 0.1
  done
  failed "job $1 is $(field "$1" JobState)"
}
# interrupt JOB FOLDER: warns it after its thirtieth update, as Slurm does before the time limit
interrupt() {
  for ((i = 0; i < 1200; i++)); do
    ! grep -qs '"update":30,' "$2/metrics.jsonl" || break
    sleep 0.1
  done
  scancel --batch --signal=USR1 "$1"
  for ((i = 0; i < 300; i++)); do
    ! grep -qs 'genhance ended with 75' "job-$1.out" || break
    sleep 0.1
  done
  grep -q 'stopped after update' "job-$1.out" || failed "job $1 was not interrupted"
  # Slurm starts a requeued job again after two minutes; an administrator need not wait.
  for ((i = 0; i < 300; i++)); do
    [ "$(field "$1" JobState)" != PENDING ] || break
    sleep 0.1
  done
  scontrol update JobId="$1" StartTime=now
}
finished() { # finished JOB FOLDER
  ended "$1" 240
  [ "$(field "$1" JobState)" = COMPLETED ] || failed "job $1 is $(field "$1" JobState)"
  [ "$(field "$1" Restarts)" = 1 ] || failed "job $1 has $(field "$1" Restarts) restarts"
  [ "$(wc -l <"$2/metrics.jsonl")" = 100 ] || failed "$(wc -l <"$2/metrics.jsonl") updates, not 100"
}

# ---- one node, interrupted and requeued ----
job=$(sbatch --parsable --ntasks=2 --cpus-per-task=1 --nodelist="$node" --output=job-%j.out "$here/one-node.sbatch" run.json)
interrupt "$job" run
finished "$job" run
echo "one-node.sbatch: interrupted, requeued, finished"

# ---- two nodes, and two that differ, with srun where it speaks to this MPI ----
three_updates() { # three_updates NAME SBATCH-OPTIONS-AND-FILE...: a short run
  local name=$1 job
  shift
  job=$(sbatch --parsable --output=job-%j.out "$@" run.json --set output="$name" --set stage1.steps=3)
  ended "$job" 240
  [ "$(field "$job" JobState)" = COMPLETED ] || failed "$name is $(field "$job" JobState)"
  grep -q '^2 ranks, ' "job-$job.out" || failed "$name did not have two ranks"
  echo "$name.sbatch: finished"
}
if ! srun --mpi=list 2>&1 | grep -qw pmix; then
  echo "srun has no pmix: many-nodes.sbatch and mixed-nodes.sbatch are not tried"
else
  each=(--nodes=1 --ntasks-per-node=1 --cpus-per-task=1)
  export LAUNCH="srun --mpi=pmix"
  three_updates many-nodes --nodes=2 --ntasks-per-node=1 --cpus-per-task=1 "$here/many-nodes.sbatch"
  export DEVICES="auto/cpu auto/gpu"
  three_updates mixed-nodes "${each[@]}" --constraint=nvidia : "${each[@]}" --constraint=amd "$here/mixed-nodes.sbatch"
fi
echo OK
