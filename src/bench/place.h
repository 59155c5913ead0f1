/* The fields of a row that say where and when it was measured, and those of a sample. */
#ifndef GH_BENCH_PLACE_H
#define GH_BENCH_PLACE_H

#include "backend/backend.h"
#include "bench/measure.h"
#include "bench/results.h"

#define GH_BENCH_NOISY 0.1 /* a spread above it marks the row */

/* Fills application, commit, host, date and, from a device, its fields; device NULL: the host. */
gh_status gh_result_place(gh_error *err, gh_result *row, const gh_device_info *device, gh_bench_clock clock);

/* Adds a row of that place with kind, op and unit; status "ok". NULL when memory runs out. */
typedef struct gh_result_title {
  const char *kind, *op, *shape, *pass, *dtype, *provider; /* NULL: null */
  int64_t batch;                                           /* 0: null */
} gh_result_title;
gh_result *gh_result_begin(gh_error *err, gh_results *rows, const gh_result *place, const gh_result_title *title);

/* The result of a sample as seconds. */
gh_status gh_result_seconds(gh_error *err, gh_result *row, const gh_bench_sample *sample);
/* The result of a sample as a rate, `work` per repeat in the unit's own measure: the fastest repeat is the maximum. */
gh_status gh_result_rate(gh_error *err, gh_result *row, const gh_bench_sample *sample, double work, const char *unit);
/* One number without repeats. */
gh_status gh_result_single(gh_error *err, gh_result *row, double value, const char *unit, const char *better);
/* Work of a repeat, and the rates that follow from the sample's median; 0: null. */
void gh_result_work(gh_result *row, const gh_bench_sample *sample, double flop, double bytes, double working_set);
/* A row that has no result. */
gh_status gh_result_without(gh_error *err, gh_result *row, const char *unit, const char *status, const char *reason);

#endif
