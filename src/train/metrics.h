/* A line an update: metrics.jsonl for programs, train.log and stdout for people. */
#ifndef GH_TRAIN_METRICS_H
#define GH_TRAIN_METRICS_H

#include "base/json.h"

typedef struct gh_metrics_row {
  int stage;
  int64_t update, updates; /* this one, and the stage's */
  double loss, norm, learning_rate;
  double seconds;
  int64_t samples;
} gh_metrics_row;

gh_status gh_metrics_write(gh_error *err, const char *run, const gh_metrics_row *row, bool print);

/* Drops the lines after (stage, update) from metrics.jsonl and train.log: what a resumed run does again. */
gh_status gh_metrics_rewind(gh_error *err, const char *run, int stage, int64_t update);

/* The losses of a stage, in order; the caller frees. */
gh_status gh_metrics_losses(gh_error *err, const char *run, int stage, double **losses, int64_t *count);

#endif
