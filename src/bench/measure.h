/* Clocks, repeats and their statistics. */
#ifndef GH_BENCH_MEASURE_H
#define GH_BENCH_MEASURE_H

#include "backend/backend.h"

typedef struct gh_bench_time {
  double wall, processor; /* seconds; processor: of all threads of the process */
} gh_bench_time;
/* The clocks now, and the time since `began`. */
gh_bench_time gh_bench_now(void);
gh_bench_time gh_bench_since(gh_bench_time began);
double gh_bench_median(double *values, int count); /* sorts them */

/* Which clock a result is taken from. On a busy machine the processor's is the better one: rates are those of a core.
 */
typedef enum gh_bench_clock { GH_CLOCK_WALL, GH_CLOCK_PROCESSOR } gh_bench_clock;
double gh_bench_clock_now(gh_bench_clock clock); /* seconds */
const char *gh_bench_clock_name(gh_bench_clock clock);

typedef struct gh_bench_sample {
  int repeats;                /* 0: there was nothing to run */
  double median, least, most; /* seconds of a repeat, by the chosen clock */
  double processor;           /* median CPU seconds of a repeat */
  double device;              /* median seconds by the device's clock; 0: not known */
} gh_bench_sample;
gh_status gh_bench_sample_of(gh_error *err, gh_bench_sample *out, const gh_bench_time *times, int count,
                             gh_bench_clock clock);

typedef struct gh_bench_repeats {
  int repeats;      /* at least 1 */
  int most_at_once; /* short bodies run several times between two readings of the clock, at most so often */
  gh_bench_clock clock;
} gh_bench_repeats;

/* GH_ERROR_STOPPED after a signal (base/log.h), or past the time that was set. Every repeat begins with it. */
gh_status gh_bench_go_on(gh_error *err);
void gh_bench_until(double time); /* of gh_now; INFINITY: without an end, as at the start */

/* Runs body after a warm-up; `times` says how often it must run before it returns. */
typedef gh_status gh_bench_body(gh_error *err, void *user, int times);
gh_status gh_bench_repeat(gh_error *err, const gh_bench_repeats *how, gh_bench_body *body, void *user,
                          gh_bench_sample *out);
/* The same for a body that only enqueues on the device: each repeat waits for it. Then it runs as often again between
 * two marks of the device's clock, if there is one. */
gh_status gh_bench_repeat_on(gh_error *err, gh_device *device, const gh_bench_repeats *how, gh_bench_body *body,
                             void *user, gh_bench_sample *out);

#endif
