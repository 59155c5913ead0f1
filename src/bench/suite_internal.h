/* What the files of the suite share: suite_plan.c lists the tasks, suite_tasks.c runs one, suite.c all of them. */
#ifndef GH_BENCH_SUITE_INTERNAL_H
#define GH_BENCH_SUITE_INTERNAL_H

#include "bench/collect.h"
#include "bench/probe.h"
#include "bench/products.h"
#include "bench/suite.h"

#define GH_SUITE_DEVICES 64
#define GH_SUITE_KINDS   16
#define GH_SUITE_HOST    (-1) /* a task that needs no device */
#define GH_SUITE_TYPES   3    /* float32, bf16, float16: what a run's precision can be */

typedef struct gh_suite gh_suite;
typedef struct gh_task gh_task;

struct gh_task {
  const struct gh_task_kind *kind;
  int device;                /* index, or GH_SUITE_HOST */
  int rank;                  /* the smaller, the earlier */
  gh_dtype storage;          /* of products, ops, steps */
  int index;                 /* of the case of an op */
  const gh_product *product; /* borrowed from the suite */
  gh_bench_options step;     /* owns its sets */
  gh_result_title title;     /* of the last row that it adds */
  char shape[256];           /* title.shape points here */
  double flops, bytes;       /* of one repeat, for the estimate */
  bool done;
  size_t order; /* among those of equal rank */
};

typedef struct gh_task_kind {
  const char *part;
  const char *summary;
  const char *unit; /* of its rows */
  double fixed;     /* seconds: recording, compiling */
  double repeats;   /* how often the work runs, beside the suite's repeats: tuning, warm-up */
  bool trains;      /* a device that is unfit for training does not run it */
  gh_status (*run)(gh_error *err, gh_suite *s, gh_task *task, gh_results *results);
} gh_task_kind;

typedef struct gh_suite_device {
  char id[64];
  gh_device *device;           /* NULL: not open */
  double seen[GH_SUITE_KINDS]; /* seconds that tasks of a kind took over what was estimated; 0: none yet */
} gh_suite_device;

struct gh_suite {
  const gh_suite_options *options;
  gh_suite_device devices[GH_SUITE_DEVICES];
  int device_count;
  gh_results results;
  gh_products products[GH_SUITE_TYPES];
  gh_task *tasks;
  size_t count, capacity;
  double began;
  bool stopped;
};

/* suite_plan.c */
gh_status gh_suite_plan(gh_error *err, gh_suite *s);
void gh_suite_free_tasks(gh_suite *s);
const gh_task_kind *gh_suite_kind(int index); /* NULL after the last */

/* suite_tasks.c */
gh_status gh_task_peaks(gh_error *err, gh_suite *s, gh_task *task, gh_results *results);
gh_status gh_task_product_peak(gh_error *err, gh_suite *s, gh_task *task, gh_results *results);
gh_status gh_task_latency(gh_error *err, gh_suite *s, gh_task *task, gh_results *results);
gh_status gh_task_transfers(gh_error *err, gh_suite *s, gh_task *task, gh_results *results);
gh_status gh_task_product(gh_error *err, gh_suite *s, gh_task *task, gh_results *results);
gh_status gh_task_op(gh_error *err, gh_suite *s, gh_task *task, gh_results *results);
gh_status gh_task_step(gh_error *err, gh_suite *s, gh_task *task, gh_results *results);
gh_status gh_task_loader(gh_error *err, gh_suite *s, gh_task *task, gh_results *results);
gh_status gh_task_drift(gh_error *err, gh_suite *s, gh_task *task, gh_results *results);

/* Fills the row's fields that say where the task runs; opens the device. */
gh_status gh_task_place(gh_error *err, gh_suite *s, const gh_task *task, gh_result *place);
gh_status gh_suite_open(gh_error *err, gh_suite *s, int device, gh_device **out);

#endif
