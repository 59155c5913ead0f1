/* What a training step costs, on random weights and pictures made in memory.
 *
 * Three kinds of replays: whole updates as training runs them (sends, micro-batch, update, the read of the loss), timed
 * and undisturbed; the same with a wait between the phases; and, where asked for, with a wait after every launch. Times
 * are wall-clock seconds beside processor seconds of the whole process: on a machine shared with others only the latter
 * mean something, and on a CPU device processor seconds / compute units is what a quiet machine would need at best. */
#ifndef GH_BENCH_STEP_H
#define GH_BENCH_STEP_H

#include "backend/backend.h"
#include "config/config.h"
#include "train/budget.h"

/* ---- the device's own limits ---- */

typedef struct gh_bench_peak {
  double flops; /* a second, fused multiply-adds in registers count two */
  double bytes; /* a second, copied: read and written both count */
} gh_bench_peak;
/* The best of several runs by that clock, in seconds. By the wall's, a busy machine shows less; by processor time the
 * rates are a core's. */
gh_status gh_bench_measure_peak(gh_error *err, gh_device *device, double (*now)(void), gh_bench_peak *out);

typedef struct gh_bench_time {
  double wall, processor; /* seconds */
} gh_bench_time;
/* The clocks as they stand, and what has passed since. */
gh_bench_time gh_bench_now(void);
gh_bench_time gh_bench_since(gh_bench_time began);
double gh_bench_median(double *values, int count); /* sorts them */
int64_t gh_bench_resident_bytes(void);             /* the process's high-water mark; 0 where it is not known */

/* ---- a step ---- */

typedef struct gh_bench_options {
  const char *arch; /* of models/archs.h; "tiny" comes with a tiny autoencoder and denoiser */
  int stage;
  gh_precision precision; /* float32 or bfloat16 */
  int64_t batch;
  gh_strings sets;     /* of the configuration: "denoiser.single_blocks=2", as --set gives them */
  bool train_denoiser; /* in stage 2 too */
  bool recompute;
  int warmup, repeats; /* updates; repeats >= 1 */
  bool profile;        /* time every launch too */
} gh_bench_options;

#define GH_BENCH_PHASES 8

typedef struct gh_bench_phase {
  const char *name; /* "encoder", "autoencoder", "denoiser", "backward", "update" */
  gh_bench_time time;
  double flops;
} gh_bench_phase;

typedef struct gh_bench_row { /* all launches of one name in one phase */
  const char *phase, *op;
  char name[160];
  int count;
  gh_bench_time time;
  double flops;
} gh_bench_row;

typedef struct gh_bench_result {
  gh_bench_time median;   /* of an update */
  double least;           /* wall */
  double setup_seconds;   /* recording, weights, planning, tuning */
  double loss;            /* of the last update */
  double flops;           /* an update's */
  gh_budget budget;       /* what was planned; its flops are the micro-batch's alone */
  int64_t resident_bytes; /* what the process held at most */
  gh_counters counters;   /* of the timed updates, all together */
  gh_bench_phase phases[GH_BENCH_PHASES];
  int phase_count;
  gh_bench_row *rows; /* with options->profile; by time, the largest first */
  int row_count;
  bool by_clock; /* rows are ordered by the clock's seconds: while a GPU works, the processor waits */
} gh_bench_result;

/* The configuration of such a step: the defaults, a tiny denoiser for the architecture "tiny", and the options' sets.
 */
gh_status gh_bench_config(gh_error *err, const gh_bench_options *options, gh_config *out);

/* What such a step would take, on any machine: nothing is allocated or run. `device` says how kernels are planned. */
gh_status gh_bench_plan(gh_error *err, gh_device *device, const gh_bench_options *options, gh_budget *out);

/* GH_ERROR_NUMERIC when the loss is not finite: such a step's time means nothing. */
gh_status gh_bench_step(gh_error *err, gh_device *device, const gh_bench_options *options, gh_bench_result *result);
void gh_bench_free(gh_bench_result *result);

#endif
