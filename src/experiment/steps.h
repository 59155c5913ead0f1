/* An experiment as a list of commands: what prepares it, stage 1 of the runs that share one, stage 2 of every run, and
 * the evaluations. Each leaves a record when it is done, so that a killed experiment goes on where it was. */
#ifndef GH_EXPERIMENT_STEPS_H
#define GH_EXPERIMENT_STEPS_H

#include "experiment/plan.h"

typedef enum gh_step_kind {
  GH_STEP_PREPARE,
  GH_STEP_BEFORE, /* evaluates an encoder before training */
  GH_STEP_STAGE1,
  GH_STEP_STAGE2,
  GH_STEP_MEASURE, /* evaluates a run */
  GH_STEP_KINDS
} gh_step_kind;

typedef struct gh_experiment_step {
  gh_step_kind kind;
  char *name;        /* "local-10, seed 0: stage 2" */
  char *record;      /* the file that says it is done */
  gh_strings words;  /* the command line after "genhance" */
  char *result;      /* the JSON file of an evaluation, else NULL */
  char *unfinished;  /* what a kill in it leaves and it does not continue: removed before another try; or NULL */
  uint64_t identity; /* of what it computes: a record with another one is of another experiment */
  size_t run, seed;  /* indices; SIZE_MAX: of no run */
  size_t evaluation; /* index; SIZE_MAX: none */
  bool done, begun;
  double seconds; /* that it took, if done */
} gh_experiment_step;

typedef struct gh_experiment_steps {
  gh_experiment_step *items;
  size_t count, capacity;
  size_t shared; /* stages 1 that are not run again, because another run has the same one */
  char **before; /* (runs) the folder with the scores of the run's encoder before training */
} gh_experiment_steps;

/* Reads the configurations of the runs and lists the steps in their order: every run of the first seed, then of the
 * second, ... Free it, after a failure too. */
gh_status gh_experiment_plan(gh_error *err, gh_experiment_steps *out, const gh_experiment *experiment);
void gh_experiment_steps_free(gh_experiment_steps *steps, const gh_experiment *experiment);

/* Fills in done, begun and seconds from the records. GH_ERROR_CONFIG for a record of other settings. */
gh_status gh_experiment_look(gh_error *err, gh_experiment_steps *steps);
/* Writes the record of a step that begins or is done. */
gh_status gh_experiment_record(gh_error *err, const gh_experiment_step *step);

/* Seconds that the steps still to do will take, from those of the same kind that are done; *known: each has one. */
double gh_experiment_left(const gh_experiment_steps *steps, bool *known);

#endif
