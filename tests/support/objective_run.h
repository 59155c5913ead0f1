/* Runs of an objective other than the default one, on the pictures of support/tiny_run.h: trained, killed and resumed,
 * compared, planned. Failures fail the test. */
#ifndef GH_TESTS_SUPPORT_OBJECTIVE_RUN_H
#define GH_TESTS_SUPPORT_OBJECTIVE_RUN_H

#include "support/tiny_run.h"

typedef struct objective_runs {
  const char *program; /* the test's own name */
  const char *models;  /* the document's keys of the models: "\"clip\":...,\"denoiser\":{...}" */
  char *folder, *pictures;
} objective_runs;

/* A fresh folder with the pictures. */
void objective_begin(objective_runs *runs);
void objective_end(objective_runs *runs);

/* Four updates of three samples, then three of two with LoRA; a state after each. `more` are overrides, "key=value";
 * the list ends with NULL, and NULL is none. */
void objective_configure(const objective_runs *runs, gh_config *config, const char *output, const char *const *more);
/* Trains into folder/name. */
gh_status objective_train(gh_error *err, const objective_runs *runs, const char *name, const char *const *more,
                          gh_train_options options, gh_stage_report reports[2]);
void objective_read(const objective_runs *runs, tiny_run *run, const char *name);

/* Trains into folder/name in another process, which is killed as soon as run/state/<state> exists; resumes it; checks
 * that it gave the same bits as the run folder/`straight` with the same overrides. */
void objective_killed(const objective_runs *runs, const char *straight, const char *name, const char *state,
                      const char *const *more);
/* What main does with arguments: it is that other process. */
int objective_child(objective_runs *runs, int argc, char **argv);
/* The two runs have the same bits: losses and the last snapshots. */
void objective_same(const objective_runs *runs, const char *a, const char *b);

/* Both stages in both kernel shapes that the device has. */
void objective_compared(const objective_runs *runs, double tolerance);
/* A dry run, printed: its plans have parameters and a time, and it writes nothing. */
void objective_planned(const objective_runs *runs);

#endif
