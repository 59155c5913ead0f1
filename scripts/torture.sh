#!/usr/bin/env bash
# Disturbs every command for as long as it is given, and compares results with those of an undisturbed run: hashes of
# weights, embeddings, scores, pictures and pages, not exit codes alone. It can be stopped and started at any time: what is
# done is recorded in build/torture, by commit, and not repeated.
#
# usage: scripts/torture.sh faults [MINUTES]   a call fails (memory, files, threads): one per call site, once or from then on
#        scripts/torture.sh every [MINUTES]    the same for every call, not one per site: takes days
#        scripts/torture.sh kills [MINUTES]    killed before a file operation, inside a write, or at some time; also twice
#        scripts/torture.sh fuzz [MINUTES]     the fuzz targets of build/fuzz (cmake --preset fuzz), counted per parser
#        scripts/torture.sh ranks [KILLS]      training with mpirun: a rank or the launcher is killed, 100 times
#        scripts/torture.sh flat [UPDATES]     memory and file descriptors during one long run
#        scripts/torture.sh report             adds the records to bench/results/reliability.tsv and writes reliability.md
#        scripts/torture.sh sample GENHANCE    a few of each in seconds, for the test suite
#
# GH_TORTURE_SCENARIOS chooses commands (tests/faults/scenarios.sh lists them), GH_TORTURE_BUILD the build (build),
# GH_TORTURE_DIR the folder of records, GH_TORTURE_JOBS how many trials or fuzz targets run at a time (1), GH_TORTURE_SCRATCH
# where they run: in memory, if there is a file system for that, since what is disturbed here is processes, not disks. A
# failure keeps its folder in findings/ of the folder of records, and the exit status is 1. GH_TORTURE_LIMIT: after how many
# seconds a command hangs (900).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/faults/scenarios.sh
. "$root/tests/faults/scenarios.sh"

usage() { sed -n '6,13s/^# \{0,1\}//p' "$0"; }

mode=${1:-}
amount=${2:-}
build=${GH_TORTURE_BUILD:-$root/build}
home=${GH_TORTURE_DIR:-$root/build/torture}
scratch=${GH_TORTURE_SCRATCH:-}
scenarios=${GH_TORTURE_SCENARIOS:-$scenarios}
jobs=${GH_TORTURE_JOBS:-1}
genhance=$build/genhance
inject=$build/fault_inject.so
limit=${GH_TORTURE_LIMIT:-900} # seconds for one command; without its cache, the driver compiles all kernels
together=alloc,open,read,pread,write,fsync,rename,mkdir,unlink,stat,readdir,mmap,thread # classes of calls
elsewhere=alloc@libpng,libjpeg,libturbojpeg,libcjson
commit_of() { sed -n 's/.*gh_build_commit.*"\(.*\)".*/\1/p' "$1/commit.c" 2>/dev/null || echo unknown; } # of a build
commit=$(commit_of "$build")
failures=0

# Shared by all trials, and warm: trials do not compile.
export GH_CACHE_DIR=${GH_CACHE_DIR:-$home/cache/genhance} POCL_CACHE_DIR=${POCL_CACHE_DIR:-$home/cache/pocl}
# Kernels of this size are done before a second thread of the driver wakes up.
export POCL_MAX_PTHREAD_COUNT=1

# ---- records: a line per trial, commit, kind, subject, what, outcome, seconds, place ----

record() { # record KIND SUBJECT WHAT OUTCOME SECONDS COUNT
  printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$commit" "$@" >>"$home/records.tsv"
}

now() { echo "${EPOCHREALTIME/[.,]/}"; } # microseconds
since() { # since NOW: seconds
  local spent=$((($(now) - $1) / 10000))
  printf '%d.%02d' $((spent / 100)) $((spent % 100))
}
deadline() { end=$((SECONDS + ${1:-60} * 60)); }
time_is_left() { [ $SECONDS -lt "$end" ]; }

# ---- trials ----

work() { # work COMMAND...: as a worker
  trial=$trial-$worker
  "$@"
  rm -rf "$trial" "$trial.digest"
  [ $failures = 0 ]
}

# Runs the command in as many processes as there are jobs. Each has a trial folder of its own and its number in worker.
in_parallel() { # in_parallel COMMAND...
  local pids=() pid
  for ((worker = 0; worker < jobs; worker++)); do
    work "$@" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failures=$((failures + 1)); done
}

# Runs the scenario's command in $trial, with the settings of the environment given, for the time allowed. Sets code and
# seconds.
execute() { # execute SCENARIO again|first [NAME=VALUE...]
  local began repeated=$2 scenario=$1
  shift 2
  arguments "$scenario"
  [ "$repeated" = first ] || args+=("${again[@]}")
  began=$(now)
  code=0
  { # a shell reports a killed child
    # shellcheck disable=SC2086 # words
    (cd "$trial" && exec timeout ${time:--k 5 $limit} env "$@" "$genhance" "${args[@]}" >out 2>err </dev/null) || code=$?
  } 2>/dev/null
  seconds=$(since "$began")
}

fresh() { # fresh SCENARIO: an empty folder for a trial
  trial_began=$(now)
  rm -rf "$trial"
  mkdir -p "$trial"
  ln -s "$home/inputs" "$trial/in"
  ! reads_run "$1" || cp -r "$home/inputs/run" "$trial/run"
}

has_one_reason() { [ "$(grep -c '^genhance: ' "$trial/err")" = 1 ]; }

# Whether the results are the reference's; "leftover" if a killed process also left a temporary file that is still there.
compare() { # compare SCENARIO
  digest "$trial" >"$trial.digest"
  if cmp -s "$trial.digest" "$home/reference/$1"; then
    verdict=same
  elif cmp -s <(grep -v '\.tmp$' "$trial.digest") "$home/reference/$1"; then
    verdict=leftover
  else
    verdict=differs
  fi
}

# The command again, undisturbed: it must end in the reference's results.
repeat() { # repeat SCENARIO
  execute "$1" again
  if [ $code != 0 ]; then
    verdict=lost
  else
    compare "$1"
    [ "$verdict" != differs ] || verdict=lost
  fi
}

# Judges a disturbed command by its exit code, and repeats it if it failed. Sets verdict and exited.
judge() { # judge SCENARIO KILLED: whether a kill was asked for
  exited=$code
  case $code in
    0)
      compare "$1" # a page says which drawings it lacks, and why
      [ "$1-$verdict" != report-differs ] || ! grep -q '^warning: no reconstructions' "$trial/err" || verdict=warned ;;
    1 | 2 | 75) if has_one_reason; then repeat "$1"; [ "$verdict" != same ] || verdict=refused; else verdict=no-reason; fi ;;
    137)
      if [ "$2" = yes ]; then repeat "$1"; [ "$verdict" != same ] || verdict=resumed; else verdict=hang; fi ;;
    124) verdict=hang ;;
    *) verdict=crash ;;
  esac
}

conclude() { # conclude KIND SCENARIO WHAT PLACE
  record "$1" "$2" "$3" "$verdict" "$(since "$trial_began")" "$4"
  case $verdict in
    same | refused | resumed | unreached | leftover | warned) return ;;
  esac
  failures=$((failures + 1))
  echo "$1 $2 $3 $4: $verdict (exit code $exited): $(head -n 1 "$trial/err" 2>/dev/null)" | tee -a "$home/findings.txt"
  mkdir -p "$home/findings"
  [ "$(find "$home/findings" -mindepth 1 -maxdepth 1 | wc -l)" -ge 40 ] ||
    cp -r "$trial" "$home/findings/$1-$2-$(echo "$3-$4" | tr -c 'a-z0-9+\n' -)-$RANDOM"
}

# ---- what the trials need ----

prepare() {
  local scenario
  { [ -x "$genhance" ] && [ -f "$inject" ]; } || { echo "torture.sh: no genhance and fault_inject.so in $build" >&2; exit 2; }
  mkdir -p "$home/reference"
  if [ -z "$scratch" ]; then
    scratch=$home
    [ "$(stat -f -c %T /dev/shm 2>/dev/null)" != tmpfs ] || [ ! -w /dev/shm ] ||
      scratch=$(mktemp -d /dev/shm/genhance-torture-XXXXXX)
    [ "$scratch" = "$home" ] || [ "$mode" = sample ] || trap 'rm -rf "$scratch"' EXIT
  fi
  trial=$scratch/trial-$mode
  [ "$(cat "$home/prepared" 2>/dev/null)" = "$commit" ] || rm -rf "$home/reference" "$home/inputs"
  if [ ! -d "$home/inputs/run" ]; then
    make_inputs "$home/inputs"
    for GH_GEMM in "own-cpu nb=256 kc=256" "own-gpu work=4"; do # the first that the device has
      fresh train
      execute train first "GH_GEMM=$GH_GEMM"
      [ $code != 0 ] || break
    done
    [ $code = 0 ] || { cat "$trial/err" >&2; exit 2; }
    mv "$trial/run" "$home/inputs/run"
    echo "$GH_GEMM" >"$home/inputs/provider"
  fi
  GH_GEMM=$(cat "$home/inputs/provider") # timing would choose one by its speed, and a vendor's has other bits
  export GH_GEMM
  mkdir -p "$home/reference"
  for scenario in $scenarios; do
    [ -f "$home/reference/$scenario" ] || reference "$scenario"
  done
  echo "$commit" >"$home/prepared"
}

# Two undisturbed runs must agree, or nothing could be compared.
reference() {
  fresh "$1"
  execute "$1" first
  [ $code = 0 ] || { echo "$1, undisturbed: exit code $code: $(cat "$trial/err")" >&2; exit 2; }
  digest "$trial" >"$home/reference/$1.new"
  [ "${quick:-}" = yes ] || {
    fresh "$1"
    execute "$1" first
    digest "$trial" >"$trial.digest"
    cmp "$home/reference/$1.new" "$trial.digest" >&2 || { echo "$1: two undisturbed runs differ" >&2; exit 2; }
  }
  mv "$home/reference/$1.new" "$home/reference/$1"
}

# ---- faults ----

# The settings for calls: classes, or "alloc@LIBRARIES" for the calls of other libraries.
settings() { # settings CALLS
  faults=("LD_PRELOAD=$inject" "GH_FAULT_CALLS=${1%@*}" "GH_FAULT_COUNT=$trial/fault.count")
  [ "${1%@*}" = "$1" ] || faults+=("GH_FAULT_CALLER=${1#*@}")
}

# A line "SCENARIO CLASS AT" per trial: one call of each site, or all calls from one on ("N+").
plan_scenario() { # plan_scenario SCENARIO sites|every
  local class calls made at
  declare -A of_class=() # calls of an undisturbed run
  for calls in $together $elsewhere; do
    fresh "$1"
    settings "$calls"
    execute "$1" first "${faults[@]}" "GH_FAULT_SITES=$trial/fault.sites"
    [ $code = 0 ] || { echo "$1, counting: exit code $code" >&2; exit 2; }
    while read -r class made; do
      [ "$calls" != "$elsewhere" ] || class=$calls # its last line counts
      of_class[$class]=$made
    done <"$trial/fault.count"
    [ "$2" != sites ] || awk -v of="$calls" -v head="$1" '{ print head, of ~ /@/ ? of : $2, $1 }' "$trial/fault.sites"
  done
  for class in ${together//,/ } "$elsewhere"; do
    made=${of_class[$class]}
    if [ "$2" = every ]; then
      [ "$made" = 0 ] || seq "$made" | sed "s/^/$1 $class /"
    else
      for at in 1 3 10 40 160; do [ $at -gt "$made" ] || echo "$1 $class $at+"; done
    fi
  done
}

# In an order that is random but always the same, and that takes turns among commands and classes of calls: a part of it is a
# fair sample, although most sites allocate.
plan() { # plan sites|every
  local scenario
  plan=$home/plan-$1-$commit-$(echo "$scenarios" | cksum | cut -d ' ' -f 1)
  [ ! -s "$plan" ] || return 0
  for scenario in $scenarios; do plan_scenario "$scenario" "$1"; done | shuf --random-source=<(yes) |
    awk '{ print ++turn[$1, $2, $3 ~ /\+/], $0 }' | sort -s -n -k 1,1 | cut -d ' ' -f 2- >"$plan.new"
  mv "$plan.new" "$plan"
  : >"$plan.done"
  echo "$(wc -l <"$plan") trials planned for $commit"
}

fault() { # fault SCENARIO CLASS AT
  fresh "$1"
  settings "$2"
  execute "$1" first "${faults[@]}" "GH_FAULT_AT=$3"
  local delivered
  delivered=$(sed -n 's/^faults //p' "$trial/fault.count" 2>/dev/null || echo 0)
  judge "$1" no
  [ "$verdict" != same ] || [ "${delivered:-0}" != 0 ] || verdict=unreached
  case $3 in *+) conclude sticky "$@" ;; *) conclude fault "$@" ;; esac
}

# Takes a trial that no other worker has. Sets number and line; line is empty if none is left.
take() {
  local lock
  exec {lock}>>"$plan.taken"
  flock "$lock"
  line=$(sed -n "$(($(wc -l <"$plan.taken") + 1))p" "$plan.left")
  number=${line%% *} line=${line#* }
  echo "$number" >&"$lock"
  exec {lock}>&-
}

fault_worker() {
  local number line
  while time_is_left && take && [ -n "$line" ]; do
    # shellcheck disable=SC2086 # words
    fault $line
    echo "$number" >>"$plan.done"
  done
}

run_faults() { # run_faults sites|every
  prepare
  plan "$1"
  deadline "$amount"
  awk 'FILENAME == ARGV[1] { done[$1]; next } !(FNR in done) { print FNR, $0 }' "$plan.done" "$plan" >"$plan.left"
  : >"$plan.taken"
  in_parallel fault_worker
  echo "$(wc -l <"$plan.done") of $(wc -l <"$plan") trials are done"
}

# ---- kills ----

# "write,rename,..." is what changes the disk: a kill right before each is as good as any between them.
operations=open,write,fsync,rename,mkdir,unlink

keep_operations() { # keep_operations SCENARIO CALLS SECONDS; another worker may be reading
  echo "$2 $3" >"$home/reference/$1.operations.$BASHPID"
  mv "$home/reference/$1.operations.$BASHPID" "$home/reference/$1.operations"
}

count_operations() { # count_operations SCENARIO
  local file=$home/reference/$1.operations
  if [ ! -f "$file" ]; then
    fresh "$1"
    settings $operations
    execute "$1" first "${faults[@]}"
    keep_operations "$1" "$(sed -n 's/^calls //p' "$trial/fault.count")" "$seconds"
  fi
  read -r calls length <"$file"
}

# One kill of the first run or of its repetition.
strike() { # strike SCENARIO first|again: sets what and place
  local at
  case $((RANDOM % 3)) in
    0)
      what=timed place=$(awk -v s="$length" -v r=$RANDOM 'BEGIN { printf "%.3f", s * (0.05 + 1.05 * r / 32768) }')
      time="-s KILL $place" execute "$1" "$2"
      [ "$2-$code" != first-0 ] || keep_operations "$1" "$calls" "$seconds" # the machine's load changes
      return ;;
    1) what='kill' ;;
    2) what='tear' ;;
  esac
  at=$((1 + (RANDOM * 32768 + RANDOM) % calls))
  place=$at
  settings $operations
  execute "$1" "$2" "${faults[@]}" "GH_FAULT_MODE=$what" "GH_FAULT_AT=$at"
}

kill_worker() {
  local scenario list=()
  # shellcheck disable=SC2206 # words
  list=($scenarios)
  while time_is_left; do
    scenario=${list[$((RANDOM % ${#list[@]}))]}
    count_operations "$scenario"
    fresh "$scenario"
    strike "$scenario" first
    while [ $code = 137 ] && [ $((RANDOM % 4)) != 0 ]; do # and the repetition
      record kill "$scenario" "$what" again 0 "$place"
      strike "$scenario" again
    done
    judge "$scenario" yes
    conclude kill "$scenario" "$what" "$place"
  done
}

run_kills() {
  prepare
  deadline "$amount"
  in_parallel kill_worker
  echo "$(awk -F'\t' '$2 == "kill" && $5 != "same"' "$home/records.tsv" | wc -l) kills in the records"
}

# ---- ranks of a job ----

# The command of two ranks, whatever they divide: the bits are the same. Sets job.
choose_job() {
  local divided=("" "--set distributed.shard=optimizer" "--set distributed.bucket=0.001")
  arguments train
  # shellcheck disable=SC2206 # words
  job=(mpirun -n 2 "$genhance" "${args[@]}" --set stage1.steps=6 --set stage2.steps=4 ${divided[$((RANDOM % 3))]} "$@")
}

run_job() {
  code=0
  { (cd "$trial" && exec timeout -k 5 $limit "${job[@]}" >out 2>err </dev/null) || code=$?; } 2>/dev/null
}

# Kills a rank or, one time in four, the launcher, at some time of the job. Waits until all its processes are gone: they end by
# themselves. Sets code, what and place.
strike_job() {
  local launcher pids victim i
  place=$(awk -v s="$length" -v r=$RANDOM 'BEGIN { printf "%.3f", s * (0.1 + 0.9 * r / 32768) }')
  (cd "$trial" && exec "${job[@]}" >out 2>err </dev/null) &
  launcher=$!
  sleep "$place"
  mapfile -t pids < <(pgrep -P $launcher)
  what='rank' victim=${pids[$((RANDOM % (${#pids[@]} + 1)))]:-}
  [ -n "$victim" ] && [ $((RANDOM % 4)) != 0 ] || { what=launcher victim=$launcher; }
  kill -KILL "$victim" 2>/dev/null || true
  code=0
  wait $launcher 2>/dev/null || code=$?
  for ((i = 0; i < 300; i++)); do
    kill -0 "${pids[@]}" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "${pids[@]}" 2>/dev/null || true
  what="$what, which left processes" code=124
}

run_ranks() { # run_ranks KILLS
  local tried=0 began
  command -v mpirun >/dev/null && [ -e "$build/genhance_mpi.so" ] || { echo "no mpirun, or a build without MPI"; return 0; }
  # shellcheck source=tests/support/openmpi.sh
  . "$root/tests/support/openmpi.sh"
  fresh train
  choose_job
  began=$(now)
  run_job
  length=$(since "$began")
  [ $code = 0 ] || { echo "two ranks, undisturbed: exit code $code: $(cat "$trial/err")" >&2; exit 2; }
  digest "$trial" | grep -v '/config.json$' >"$home/reference/ranks" # the jobs divide different things
  for ((; tried < $1; tried++)); do
    fresh train
    choose_job
    strike_job
    exited=$code
    if [ $code != 0 ] && [ $code != 124 ] && [ $((RANDOM % 2)) = 0 ]; then # and the repetition
      choose_job --resume
      strike_job
    fi
    if [ $code = 124 ]; then
      verdict=hang
    else
      choose_job --resume
      run_job
      verdict=lost
      digest "$trial" | grep -v '/config.json$' >"$trial.digest"
      if [ $code = 0 ] && cmp -s "$trial.digest" "$home/reference/ranks"; then verdict=resumed; fi
    fi
    conclude ranks train "$what" "$place"
  done
  echo "$tried trials, $failures failures in this run"
}

# ---- fuzzing ----

# By default every allocation records a deep stack, and much freed memory is kept aside, which takes half of the time. The
# input of a finding, in fuzz/ of the folder of records, run without these options, tells more.
fuzz_one() { # fuzz_one TARGET SECONDS
  local name=${1##*/fuzz_} began status=0 count seconds log
  mkdir -p "$home/fuzz/$name"
  log=$home/fuzz/$name.log
  began=$(now)
  ASAN_OPTIONS=malloc_context_size=4:quarantine_size_mb=16 "$1" -max_total_time="$2" -print_final_stats=1 -timeout=30 \
    -rss_limit_mb=4096 -seed=$((RANDOM + 1)) -artifact_prefix="$home/fuzz/$name-" "$home/fuzz/$name" \
    "$root/tests/fuzz/corpus/$name" >"$log" 2>&1 || status=$?
  count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  seconds=$(since "$began")
  if [ $status = 0 ]; then
    record fuzz "$name" executions same "$seconds" "${count:-0}"
  else
    failures=$((failures + 1))
    record fuzz "$name" executions finding "$seconds" "${count:-0}"
    echo "fuzz $name: $(grep -m 1 -E 'ERROR|does not hold|SUMMARY' "$log")" | tee -a "$home/findings.txt"
  fi
}

fuzz_worker() { # fuzz_worker SECONDS TARGETS...: every job-th of them
  local slice=$1 i
  shift
  while time_is_left; do
    for ((i = 1 + worker; i <= $#; i += jobs)); do
      fuzz_one "${!i}" "$slice"
      time_is_left || break
    done
  done
}

run_fuzz() {
  local targets=() target slice folder=${GH_TORTURE_FUZZ:-$root/build/fuzz}
  deadline "$amount"
  commit=$(commit_of "$folder")
  mkdir -p "$home/fuzz"
  trial=$home/trial-fuzz
  for target in "$folder"/fuzz_*; do [ ! -x "$target" ] || [ -d "$target" ] || targets+=("$target"); done
  [ ${#targets[@]} -gt 0 ] || { echo "torture.sh: no fuzz targets in $folder (cmake --preset fuzz)" >&2; exit 2; }
  slice=$((${amount:-60} * 60 * jobs / ${#targets[@]}))
  [ $slice -lt 600 ] || slice=600 # in rounds, so that a run that is stopped has had all of them
  [ $slice -gt 0 ] || slice=1
  in_parallel fuzz_worker "$slice" "${targets[@]}"
}

# ---- a long run ----

run_flat() {
  local updates=${amount:-10000} pid sample=$home/flat.tsv began
  mode=flat scenarios=latents prepare
  fresh latents
  arguments latents # without them the autoencoder, which keeps nothing between updates, takes most of the time
  began=$(now)
  (cd "$trial" && exec "$genhance" "${args[@]}" --set stage1.steps="$updates" --set stage2.steps=0 \
    --set stage1.checkpoint_every=100 --set state.minutes=0.05 >out 2>err) &
  pid=$!
  : >"$sample"
  while kill -0 $pid 2>/dev/null; do
    sleep 2
    # shellcheck disable=SC2012
    printf '%s\t%s\t%s\n' "$(wc -l 2>/dev/null <"$trial/run/metrics.jsonl" || echo 0)" \
      "$(sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' /proc/$pid/status 2>/dev/null)" \
      "$(ls /proc/$pid/fd 2>/dev/null | wc -l)" >>"$sample"
  done
  code=0
  wait $pid || code=$?
  [ $code != 75 ] || { echo "stopped: nothing is recorded"; exit 0; }
  seconds=$(since "$began")
  # From a tenth of the run on: the greatest of the first half against the greatest of the second.
  read -r memory_before memory_after files_before files_after <<<"$(awk -F'\t' -v n="$updates" '
    $1 < n / 10 || $2 == "" || $3 == 0 { next }
    $1 < n * 0.55 { if ($2 > a) a = $2; if ($3 > c) c = $3; next }
    { if ($2 > b) b = $2; if ($3 > d) d = $3 }
    END { print a + 0, b + 0, c + 0, d + 0 }' "$sample")"
  verdict=same
  [ $code = 0 ] || verdict=failed
  [ "$files_after" -le "$files_before" ] && [ "$memory_after" -le $((memory_before + 2048)) ] && [ "$files_before" -gt 0 ] ||
    verdict=grows
  record flat latents "$((memory_before / 1024)) MiB and $files_before descriptors, then $((memory_after / 1024)) and $files_after" \
    $verdict "$seconds" "$updates"
  echo "$updates updates: $memory_before, then $memory_after KiB; $files_before, then $files_after descriptors: $verdict"
  [ $verdict = same ] || failures=1
}

# ---- the suite's sample ----

run_sample() {
  genhance=$(realpath "$amount")
  build=$(dirname "$genhance")
  inject=$build/fault_inject.so
  home=$(mktemp -d "${TMPDIR:-/tmp}/genhance-torture-XXXXXX")
  trap 'rm -rf "$home" "$scratch"' EXIT
  quick=yes scratch='' scenarios="train encode export-hf convert"
  prepare
  fault train write 20
  fault train alloc 700
  fault encode open 9
  fault encode mmap 1+
  fault export-hf rename 1
  fault convert write 1+
  count_operations train
  fresh train
  strike train first
  judge train yes
  conclude kill train "$what" "$place"
  run_ranks 2
  awk -F'\t' '{ n[$5]++ } END { for (o in n) print n[o], o }' "$home/records.tsv"
}

case $mode in
  faults) run_faults sites ;;
  every) run_faults every ;;
  kills) run_kills ;;
  ranks)
    scenarios=train prepare
    run_ranks "${amount:-100}" ;;
  fuzz) run_fuzz ;;
  flat) run_flat ;;
  sample) run_sample ;;
  report) exec "$root/scripts/torture-report.sh" "$home" ;;
  --help | -h) usage ;;
  *) usage >&2; exit 2 ;;
esac
[ "$failures" = 0 ]
