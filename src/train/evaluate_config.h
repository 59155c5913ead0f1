/* The checked values of "evaluate" and "stage2.guard". For evaluate.c. */
#ifndef GH_TRAIN_EVALUATE_CONFIG_H
#define GH_TRAIN_EVALUATE_CONFIG_H

#include "config/config.h"
#include "eval/measure.h"

#define GH_MAX_MEASURES 8
#define GH_MAX_SCORES   (2 * GH_MAX_MEASURES)
#define GH_SCORE_NAME   48

typedef struct gh_evaluate_plan {
  int count;
  gh_measure_spec specs[GH_MAX_MEASURES]; /* strings belong to the configuration */
  int64_t batch;                          /* the largest requested */
  int score_count;
  char scores[GH_MAX_SCORES][GH_SCORE_NAME]; /* names, measure by measure */
  bool guarded, stops;
  double points;
  int watch, best; /* among the scores */
} gh_evaluate_plan;

/* GH_ERROR_CONFIG names the key that is wrong. Nothing to free. */
gh_status gh_evaluate_plan_read(gh_error *err, gh_evaluate_plan *out, const gh_config *config);

#endif
