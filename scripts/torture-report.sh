#!/usr/bin/env bash
# Adds the records of scripts/torture.sh to bench/results/reliability.tsv, where they are counted by commit, and writes
# bench/results/reliability.md from that file. Nothing else is in either.
# usage: scripts/torture-report.sh RECORDS-FOLDER
set -euo pipefail
home=$1
cd "$(dirname "$0")/.."
table=bench/results/reliability.tsv page=bench/results/reliability.md
mkdir -p bench/results
touch "$table"

# Taken first, so that a trial that ends meanwhile is counted the next time.
if [ -s "$home/records.tsv" ]; then
  mv "$home/records.tsv" "$home/records.counted.$$"
  # commit, kind, subject, what, outcome, count, seconds: executions and updates are counted, else trials
  awk -F'\t' -v OFS='\t' '
    FILENAME == ARGV[1] { key = $1 OFS $2 OFS $3 OFS $4 OFS $5; count[key] += $6; seconds[key] += $7; next }
    {
      key = $1 OFS $2 OFS $3 OFS $4 OFS $5
      count[key] += $2 == "fuzz" || $2 == "flat" ? $7 : 1
      seconds[key] += $6
    }
    END { for (key in count) printf "%s\t%.0f\t%.1f\n", key, count[key], seconds[key] }' \
    "$table" "$home/records.counted.$$" | LC_ALL=C sort >"$table.new"
  mv "$table.new" "$table"
fi

processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
{
  cat <<END
# Reliability

Written by \`scripts/torture.sh report\` from \`reliability.tsv\`: only what was run is here. Processor of the last runs:
$processor.

Every trial disturbs one command on a model of a few thousand parameters and compares its results (hashes of weights,
embeddings, scores, pictures, pages) with those of an undisturbed run. A command that ends with an error must say one reason,
and its repetition must end in the same results; a page of \`report\` that names what it lacks counts as such an error.
\`scripts/torture.sh\` says how to repeat this.

## Aims

| what | aim | counted | reached |
|---|--:|--:|---|
END
  awk -F'\t' '
    function row(what, aim, n) { printf "| %s | %d | %d | %s |\n", what, aim, n, (n >= aim ? "yes" : "not yet") }
    $2 == "kill" && $5 != "same" { kills += $6 }
    $2 == "ranks" { ranks += $6 }
    $2 == "flat" && $6 > updates { updates = $6 }
    $2 == "fuzz" { executions += $6 }
    END {
      row("processes killed", 1000, kills)
      row("jobs of two ranks killed", 100, ranks)
      row("updates in one run", 10000, updates)
      row("executions of parsers", 100000000, executions)
    }' "$table"
  cat <<END

## Commits

| commit | trials | executions of parsers | hours |
|---|--:|--:|--:|
END
  awk -F'\t' '
    { if ($2 == "fuzz") executions[$1] += $6; else trials[$1] += $2 == "flat" ? 1 : $6; seconds[$1] += $7; seen[$1] = 1 }
    END { for (c in seen) printf "| %s | %d | %d | %.2f |\n", c, trials[c], executions[c], seconds[c] / 3600 }' "$table" | sort

  # One table per kind: subjects, and what came of the trials.
  section() { # section TITLE KINDS COLUMN HEAD TEXT
    echo
    echo "## $1"
    echo
    echo "$5"
    echo
    echo "| $4 | trials | same results | error, then the same | killed, then the same | and a temporary file left | not reached |" \
      "failures |"
    echo "|---|--:|--:|--:|--:|--:|--:|--:|"
    awk -F'\t' -v kinds="$2" -v column="$3" '
      index(kinds, $2) == 0 { next }
      { n = $6; all[$column] += n; total += n }
      $5 == "same" { same[$column] += n; next }
      $5 == "refused" || $5 == "warned" { refused[$column] += n; next }
      $5 == "resumed" || $5 == "again" { resumed[$column] += n; next }
      $5 == "leftover" { left[$column] += n; next }
      $5 == "unreached" { unreached[$column] += n; next }
      { bad[$column] += n; why[$column] = why[$column] " " n " " $5 }
      END {
        for (s in all)
          printf "| %s | %d | %d | %d | %d | %d | %d | %d%s |\n", s, all[s], same[s], refused[s], resumed[s], left[s],
            unreached[s], bad[s], why[s] ? ":" why[s] : ""
      }' "$table" | LC_ALL=C sort
  }
  section "A call fails, by command" "fault sticky" 3 command \
    "Once, or from that call on, one trial per call site: memory, files, threads."
  section "A call fails, by kind of call" "fault sticky" 4 call \
    "The same trials. \`alloc@...\` are allocations inside libraries of pictures and of JSON."
  section "Kills, by command" kill 3 command \
    "Before an operation on a file, in the middle of a write, or at a random time; most repetitions are killed as well."
  section "Kills of a job with two ranks" ranks 4 killed \
    "A rank or the launcher of a training with mpirun, at a random time; half of the repetitions are killed as well."

  cat <<END

## Parsers

Executions of the fuzz targets with AddressSanitizer and UndefinedBehaviorSanitizer (clang, libFuzzer). The aim is
100 000 000.

| parser | executions | hours | findings |
|---|--:|--:|--:|
END
  awk -F'\t' '
    $2 != "fuzz" { next }
    { n[$3] += $6; s[$3] += $7; if ($5 != "same") bad[$3]++; total += $6; hours += $7 / 3600; findings += $5 != "same" }
    END {
      for (p in n) printf "| %s | %d | %.3f | %d |\n", p, n[p], s[p] / 3600, bad[p]
      printf "| ~ all | %d | %.3f | %d |\n", total, hours, findings
    }' "$table" | LC_ALL=C sort | sed 's/^| ~ all/| **all**/'

  cat <<END

## Long runs

Memory and open files of one process, from a tenth of its updates on: the most in the first half, then in the second. A state
every three seconds, a snapshot every hundred updates; latents: from a cache.

| commit | command | updates | memory and descriptors | hours | judged |
|---|---|--:|---|--:|---|
END
  awk -F'\t' '$2 == "flat" {
    printf "| %s | %s | %d | %s | %.2f | %s |\n", $1, $3, $6, $4, $7 / 3600, $5 == "same" ? "flat" : $5 }' "$table"
} >"$page.new"
mv "$page.new" "$page"
echo "$page"
