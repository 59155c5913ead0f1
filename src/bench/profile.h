/* The kernels of one training step, each waited for: summed by op and shape, and in order, for a trace.
 *
 * Waiting after each kernel leaves the host idle meanwhile, so that the sum is longer than the step. */
#ifndef GH_BENCH_PROFILE_H
#define GH_BENCH_PROFILE_H

#include "base/json.h"
#include "bench/measure.h"
#include "graph/graph.h"

typedef struct gh_profile_row { /* all launches of one kernel for one op, shape and phase */
  const char *phase, *op;
  char name[160]; /* the kernel's, or a matrix product's sizes */
  char shape[64]; /* of the op's first output, or of what it updates: "4x257x1024" */
  int count;
  gh_bench_time time;
  double flops;
} gh_profile_row;

typedef struct gh_profile_event { /* one launch */
  size_t row;
  double began, seconds, flops; /* began: in the clock of gh_bench_now */
} gh_profile_event;

/* Zeroed: empty. */
typedef struct gh_profile {
  gh_profile_row *rows;
  gh_profile_event *events; /* in order of time */
  size_t row_count, row_room, event_count, event_room;
} gh_profile;

/* Adds a launch that began at `began` and took `taken`. */
gh_status gh_profile_add(gh_error *err, gh_profile *p, const gh_launch_note *note, gh_bench_time began,
                         gh_bench_time taken);
void gh_profile_free(gh_profile *p);

/* The rows' order, the longest first, by wall-clock seconds or by processor seconds; NULL: GH_ERROR_MEMORY. Free it. */
const gh_profile_row **gh_profile_sorted(gh_error *err, const gh_profile *p, bool by_clock);

/* Adds the launches to `trace`, an object in the JSON form of Chrome's trace viewer, which Perfetto also opens: times
 * are microseconds from the first launch on. `process` numbers the devices of a trace from 1 on, `title` names this
 * one. */
gh_status gh_profile_trace(gh_error *err, const gh_profile *p, int process, const char *title, gh_json *trace);

#endif
