/* The cost of a training step, on random weights and generated pictures.
 *
 * Three kinds of replays: whole updates as training runs them (sends, micro-batch, update, the read of the loss), timed
 * without interruption; the same with a wait between the phases; and, on request, with a wait after every launch. Times
 * are wall-clock seconds and processor seconds of the whole process. On a shared machine only the latter are
 * meaningful. On a CPU device, processor seconds / compute units is the best time that an idle machine could reach. */
#ifndef GH_BENCH_STEP_H
#define GH_BENCH_STEP_H

#include "backend/backend.h"
#include "bench/measure.h"
#include "bench/profile.h"
#include "config/config.h"
#include "train/budget.h"

/* ---- a step ---- */

typedef struct gh_bench_options {
  const char *arch; /* of models/archs.h; "tiny" comes with a tiny autoencoder and denoiser */
  int stage;
  gh_precision precision; /* float32, bfloat16 or float16 */
  int64_t batch;
  gh_strings sets;     /* overrides of the configuration: "denoiser.single_blocks=2", as for --set */
  bool train_denoiser; /* also in stage 2 */
  bool recompute;
  int warmup, repeats; /* updates; repeats >= 1 */
  bool profile;        /* time every launch too */
  bool whole;          /* only whole updates: phases are not timed */
} gh_bench_options;

#define GH_BENCH_PHASES 8
#define GH_BENCH_LOSSES 16

typedef struct gh_bench_phase {
  const char *name; /* "encoder", "autoencoder", "denoiser", "backward", "update" */
  gh_bench_time time;
  double flops;
} gh_bench_phase;

typedef struct gh_bench_result {
  gh_bench_time median;                                   /* of an update */
  double least;                                           /* wall */
  gh_bench_sample sample;                                 /* of an update, by the wall clock */
  double losses[GH_BENCH_LOSSES], norms[GH_BENCH_LOSSES]; /* of the first updates, warm-up included */
  int loss_count;
  double setup_seconds;   /* recording, weights, planning, tuning */
  double loss;            /* of the last update */
  double flops;           /* an update's */
  gh_budget budget;       /* the plan; its flops are only the micro-batch's */
  int64_t resident_bytes; /* peak resident memory of the process */
  gh_counters counters;   /* sum over the timed updates */
  gh_bench_phase phases[GH_BENCH_PHASES];
  int phase_count;
  gh_profile profile; /* with options->profile */
  bool by_clock;      /* a profile is best ordered by wall-clock seconds, since the processor waits while a GPU works */
} gh_bench_result;

/* The configuration of such a step: the defaults, a tiny denoiser for the architecture "tiny", and the options' sets.
 */
gh_status gh_bench_config(gh_error *err, const gh_bench_options *options, gh_config *out);

/* The budget of such a step, for any machine: nothing is allocated or run. Kernels are planned for `device`. */
gh_status gh_bench_plan(gh_error *err, gh_device *device, const gh_bench_options *options, gh_budget *out);

/* How such a step fits a device where `train` chooses: micro_batch and memory.recompute "auto". */
typedef struct gh_bench_fitted {
  int64_t micro_batch;
  bool recompute;
  gh_budget budget;
} gh_bench_fitted;

/* Fits updates of `batch` samples; the options' batch and recompute do not matter. Nothing is allocated or run.
 * GH_ERROR_MEMORY: nothing fits, and *out is the smallest step that could be planned (a budget of 0: none could). */
gh_status gh_bench_fit(gh_error *err, gh_device *device, const gh_bench_options *options, int64_t batch,
                       gh_bench_fitted *out);

/* Records such a step and shows its graphs to `visit`: forward and backward, then the update. Nothing is allocated or
 * run. */
typedef gh_status gh_bench_see_graph(gh_error *err, void *user, const gh_graph *graph);
gh_status gh_bench_record(gh_error *err, gh_device *device, const gh_bench_options *options, gh_bench_see_graph *visit,
                          void *user);

/* GH_ERROR_NUMERIC if the loss is not finite: the time of such a step is meaningless. */
gh_status gh_bench_step(gh_error *err, gh_device *device, const gh_bench_options *options, gh_bench_result *result);
void gh_bench_free(gh_bench_result *result);

#endif
