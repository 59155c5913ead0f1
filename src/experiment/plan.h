/* An experiment: a table of runs with their seeds and evaluations. docs/experiments.md describes the file. */
#ifndef GH_EXPERIMENT_PLAN_H
#define GH_EXPERIMENT_PLAN_H

#include "base/json.h"
#include "base/text.h"
#include "config/table.h"

/* A command that makes what the runs need. */
typedef struct gh_experiment_prepare {
  char *name;
  gh_strings words; /* as a user types it after "genhance" */
} gh_experiment_prepare;

typedef struct gh_experiment_run {
  char *name;
  char *config;    /* path of its configuration */
  gh_strings sets; /* overrides: the experiment's, then its own */
  char *paper;     /* what the paper has, or NULL */
} gh_experiment_run;

/* How the file of an evaluation says what each of its test items (pairs, images) contributes to the first score. */
typedef enum gh_item_form {
  GH_ITEMS_NONE,
  GH_ITEMS_RIGHT,  /* an array of objects: true or false at item_key */
  GH_ITEMS_RANK,   /* the same: right if 0 */
  GH_ITEMS_VALUE,  /* the same: a number, the score itself */
  GH_ITEMS_COLUMNS /* members with an array at item_key: 1, 0 or null (does not count) for each item */
} gh_item_form;

/* A kind of evaluation, with the scores in its JSON file. */
typedef struct gh_experiment_kind {
  const char *name;             /* "mmvp": of `genhance eval` */
  bool before;                  /* measures an encoder, which can be measured before training, too */
  const char *members;          /* the object whose members are further scores: "patterns"; NULL: there are none */
  const char *member_values[2]; /* where such a member has its score, before and after */
  const char *average;          /* the name of the mean of the members as a score of its own; NULL: none */
  const char *scores[3][2];     /* name, where it is */
  gh_item_form item_form;
  const char *items, *item_key; /* the array, or the object with the members */
} gh_experiment_kind;

typedef struct gh_experiment_evaluation {
  const gh_experiment_kind *kind;
  char *name, *data;
  gh_strings options; /* further words of its command line */
} gh_experiment_evaluation;

typedef struct gh_experiment {
  char *title, *output;
  char *snapshot; /* which one is evaluated; NULL: the best where the run's configuration evaluates, else the last */
  gh_experiment_prepare *prepare;
  gh_experiment_run *runs;
  gh_experiment_evaluation *evaluations;
  size_t prepare_count, run_count, evaluation_count;
  gh_int_list seeds;
  size_t baseline; /* the run that the others are compared with */
} gh_experiment;

/* What a user gives on the command line. */
typedef struct gh_experiment_options {
  const char *output;     /* in place of the file's; NULL: the file's */
  const char *seeds;      /* "0,1,2" in place of the file's; NULL: the file's */
  const gh_strings *sets; /* more overrides for every run */
} gh_experiment_options;

/* Reads an experiment (.json) or a sweep file (.tsv: name, configuration beside the file, the paper's score, overrides
 * or "-"), which is scored by eval mmvp on data/MMVP_VLM. GH_ERROR_CONFIG names the file and the key. Free it, after a
 * failure too. */
gh_status gh_experiment_read(gh_error *err, gh_experiment *out, const char *path, const gh_experiment_options *options);
void gh_experiment_free(gh_experiment *experiment);

#endif
