/* The scores of an experiment, and what they say: means and differences over seeds. */
#ifndef GH_EXPERIMENT_RESULTS_H
#define GH_EXPERIMENT_RESULTS_H

#include "eval/interval.h"
#include "experiment/steps.h"

/* One score of every run. Per cent, except where its name says otherwise; NaN: not measured (yet). */
typedef struct gh_experiment_score {
  size_t evaluation; /* index */
  char *name;        /* "average" */
  bool detail;       /* a pattern or an attribute, one part of a score */
  double *before;    /* (runs) of the run's encoder before training */
  double *after;     /* (runs, seeds) */
} gh_experiment_score;

/* What every test item contributes to the first score of the evaluation with that index: their mean is the score. */
typedef struct gh_experiment_items {
  size_t evaluation, count;
  double *before; /* (runs, items); NaN: not measured */
  double *after;  /* (runs, seeds, items) */
} gh_experiment_items;

typedef struct gh_experiment_results {
  const gh_experiment *x;
  gh_experiment_score *scores;
  size_t count, capacity;
  gh_experiment_items *items;
  size_t item_count, item_capacity; /* evaluations with items */
} gh_experiment_results;

/* Reads the files of the steps that are done. Free it, after a failure too. */
gh_status gh_experiment_collect(gh_error *err, gh_experiment_results *out, const gh_experiment *experiment,
                                const gh_experiment_steps *steps);
void gh_experiment_results_free(gh_experiment_results *results);

typedef struct gh_experiment_test {
  size_t seeds;      /* that count: both sides have them */
  gh_interval mean;  /* over seeds; Student's interval, NaN for one seed */
  double p;          /* of a mean of 0: a paired t test over seeds */
  gh_interval items; /* the mean over test items and seeds, with the interval of a bootstrap over the items; NaN where
                      * the score has none */
} gh_experiment_test;

/* The score after training; `p` and `items` do not apply. */
gh_status gh_experiment_after(gh_error *err, gh_experiment_test *out, const gh_experiment_results *results,
                              const gh_experiment_score *score, size_t run);
/* The run minus its encoder before training, or minus the same seed of another run. */
gh_status gh_experiment_change(gh_error *err, gh_experiment_test *out, const gh_experiment_results *results,
                               const gh_experiment_score *score, size_t run);
gh_status gh_experiment_difference(gh_error *err, gh_experiment_test *out, const gh_experiment_results *results,
                                   const gh_experiment_score *score, size_t run, size_t baseline);

/* "mmvp average": the evaluation's name and the score's. The caller frees. */
char *gh_experiment_score_name(gh_error *err, const gh_experiment_results *results, const gh_experiment_score *score);

#endif
