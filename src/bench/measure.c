#include "bench/measure.h"
#include "base/array.h"
#include "base/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ENOUGH 5e-3 /* least seconds between two waits: the cost of a wait is then negligible */

gh_bench_time gh_bench_now(void) {
  struct timespec used = {0};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return (gh_bench_time){gh_now(), (double)used.tv_sec + 1e-9 * (double)used.tv_nsec};
}

gh_bench_time gh_bench_since(gh_bench_time began) {
  gh_bench_time now = gh_bench_now();
  return (gh_bench_time){now.wall - began.wall, now.processor - began.processor};
}

double gh_bench_median(double *values, int count) {
  gh_sort_doubles(values, (size_t)count);
  return count % 2 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

/* ---- repeats ---- */

static double end = INFINITY;

void gh_bench_until(double time) { end = time; }

gh_status gh_bench_go_on(gh_error *err) {
  if (gh_now() > end) return gh_fail(err, GH_ERROR_STOPPED, "the time is over");
  if (!gh_stop_requested()) return GH_OK;
  return gh_fail(err, GH_ERROR_STOPPED, "stopped by signal %d", gh_stop_signal());
}

double gh_bench_clock_now(gh_bench_clock clock) {
  return clock == GH_CLOCK_PROCESSOR ? gh_bench_now().processor : gh_now();
}

const char *gh_bench_clock_name(gh_bench_clock clock) { return clock == GH_CLOCK_PROCESSOR ? "processor" : "wall"; }

static double median_of(const gh_bench_time *times, int count, bool processor, double *sorted) {
  for (int i = 0; i < count; i++) sorted[i] = processor ? times[i].processor : times[i].wall;
  return gh_bench_median(sorted, count);
}

gh_status gh_bench_sample_of(gh_error *err, gh_bench_sample *out, const gh_bench_time *times, int count,
                             gh_bench_clock clock) {
  double *sorted = gh_alloc(err, (size_t)count, sizeof *sorted);
  if (!sorted) return GH_ERROR_MEMORY;
  *out = (gh_bench_sample){.repeats = count, .processor = median_of(times, count, true, sorted)};
  out->median = median_of(times, count, clock == GH_CLOCK_PROCESSOR, sorted);
  out->least = sorted[0];
  out->most = sorted[count - 1];
  free(sorted);
  return GH_OK;
}

/* Runs body and, on a device, waits. */
static gh_status run_body(gh_error *err, gh_device *device, gh_bench_body *body, void *user, int times) {
  gh_status status = gh_bench_go_on(err);
  if (!status) status = body(err, user, times);
  return status || !device ? status : device->backend->finish(err, device);
}

static gh_status time_body(gh_error *err, gh_device *device, const gh_bench_repeats *how, gh_bench_body *body,
                           void *user, int *at_once, gh_bench_sample *out) {
  *at_once = 1;
  *out = (gh_bench_sample){0};
  gh_bench_time *times = gh_alloc(err, (size_t)how->repeats, sizeof *times);
  gh_status status = times ? GH_OK : GH_ERROR_MEMORY;
  for (int i = -2; i < how->repeats && !status;
       i++) { /* a warm-up, then one run that chooses how many are timed at once */
    const gh_bench_time began = gh_bench_now();
    status = run_body(err, device, body, user, *at_once);
    gh_bench_time taken = gh_bench_since(began);
    taken.wall /= *at_once, taken.processor /= *at_once;
    if (i == -1) *at_once = (int)GH_MAX(1, GH_MIN(how->most_at_once, ENOUGH / GH_MAX(taken.wall, 1e-9)));
    if (i >= 0) times[i] = taken;
  }
  if (!status) status = gh_bench_sample_of(err, out, times, how->repeats, how->clock);
  free(times);
  return status;
}

gh_status gh_bench_repeat(gh_error *err, const gh_bench_repeats *how, gh_bench_body *body, void *user,
                          gh_bench_sample *out) {
  int at_once;
  return time_body(err, NULL, how, body, user, &at_once, out);
}

/* By the device's clock. A device that has none, or does not time its queue, leaves the number unknown. */
static gh_status time_on_device(gh_error *err, gh_device *device, int repeats, gh_bench_body *body, void *user,
                                int at_once, double *median) {
  const gh_backend *b = device->backend;
  double *seconds = gh_alloc(err, (size_t)repeats, sizeof *seconds);
  gh_status status = !seconds ? GH_ERROR_MEMORY : b->mark ? GH_OK : GH_ERROR_UNSUPPORTED;
  for (int i = -1; i < repeats && !status; i++) { /* the first run on its queue is a warm-up */
    double taken = 0;
    status = b->mark(err, device, 0);
    if (!status) status = gh_bench_go_on(err);
    if (!status) status = body(err, user, at_once);
    if (!status) status = b->mark(err, device, 1);
    if (!status) status = b->elapsed(err, device, &taken);
    if (i >= 0) seconds[i] = taken / at_once;
  }
  *median = status ? 0 : gh_bench_median(seconds, repeats);
  free(seconds);
  return status == GH_ERROR_UNSUPPORTED ? GH_OK : status;
}

gh_status gh_bench_repeat_on(gh_error *err, gh_device *device, const gh_bench_repeats *how, gh_bench_body *body,
                             void *user, gh_bench_sample *out) {
  int at_once;
  gh_status status = time_body(err, device, how, body, user, &at_once, out);
  return status ? status : time_on_device(err, device, how->repeats, body, user, at_once, &out->device);
}
