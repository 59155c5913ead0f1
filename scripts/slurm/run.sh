#!/usr/bin/env bash
# The body of the batch files beside it: runs `genhance train --resume` on the ranks of the job, and sends the job back to the
# queue when it was interrupted (exit code 75: the state is saved).
#
# usage, in a batch file: exec scripts/slurm/run.sh RUN.json [OPTIONS]
# GENHANCE: the program (genhance)
# LAUNCH: what starts the ranks (mpirun), with its options: "srun --mpi=pmix"; of the same MPI as genhance_mpi.so
# DEVICES: of a heterogeneous job, the --device of each component, separated by blanks: "cuda:0,cuda:1 opencl:0"; srun only
set -u
genhance=${GENHANCE:-genhance}
read -ra launch <<<"${LAUNCH:-mpirun}"
read -ra devices <<<"${DEVICES:-}"
train=("$genhance" train --resume --config "$@")

job=("${launch[@]}" "${train[@]}")
if [ ${#devices[@]} -gt 0 ]; then # srun OPTIONS --het-group=0 COMMAND : OPTIONS --het-group=1 COMMAND
  job=("${launch[0]}")
  for ((i = 0; i < ${#devices[@]}; i++)); do
    [ $i = 0 ] || job+=(:)
    job+=("${launch[@]:1}" "--het-group=$i" "${train[@]}" --device "${devices[i]}")
  done
fi

"${job[@]}" &
run=$!
# One rank is enough: it tells the others. A second signal would end a rank at once. srun passes the signal on; Open MPI's
# mpirun does not always, but its ranks on this node are its children.
warn() {
  local rank
  rank=$(pgrep -P $run -x "$(basename "$genhance" | cut -c 1-15)" | head -n 1)
  kill -USR1 "${rank:-$run}"
}
trap warn USR1 TERM
code=0
wait $run || code=$?
while kill -0 $run 2>/dev/null; do # the signal ended the wait, not the run
  code=0
  wait $run || code=$?
done
echo "genhance ended with $code"
[ $code = 75 ] || exit $code
# Where slurm.conf has RequeueExit=75, the exit code is enough.
scontrol requeue "${SLURM_HET_JOB_ID:-$SLURM_JOB_ID}"
sleep 60 # Slurm ends the job meanwhile
exit 75
