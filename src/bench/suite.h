/* Every measurement that a portability study needs, on several devices, into one folder of results.
 *
 * The suite is a list of tasks, the most telling first. A task's rows are appended to rows.jsonl as soon as it is done,
 * so an interrupted suite goes on where it stopped. With a budget, a task whose estimate does not fit what is left gets
 * a row "skipped"; a later call with more time runs it. At the end the shares of the peaks are filled in and rows.jsonl
 * and rows.csv are written anew. */
#ifndef GH_BENCH_SUITE_H
#define GH_BENCH_SUITE_H

#include "base/json.h"

typedef struct gh_suite_options {
  const char *devices; /* "opencl:0/cpu,cuda:0"; "all": each, a CPU with both shapes of kernels */
  const char *out;     /* the folder, made if it is absent */
  double minutes;      /* 0: no limit */
  const char *parts;   /* "peaks,steps": some of them; NULL: all */
  const char *archs;   /* encoders, separated by commas; NULL: every published one, and the tiny one for steps */
  const char *images;  /* pictures for the loader; NULL: some that are made up */
  int64_t batch;
  int repeats;
} gh_suite_options;

/* Parts by index, with what each measures; NULL after the last. */
const char *gh_suite_part(int index, const char **summary);

/* Results of another commit, device or driver in the folder are an error. After a signal: writes what there is, and
 * GH_ERROR_STOPPED. result gets the counts and what was left out. */
gh_status gh_suite_run(gh_error *err, const gh_suite_options *options, gh_json *result);

#endif
