/* Training runs of tests/fixtures/probe/tiny's model on a few pictures, and their output. */
#ifndef GH_TESTS_SUPPORT_TINY_RUN_H
#define GH_TESTS_SUPPORT_TINY_RUN_H

#include "io/safetensors.h"
#include "train/trainer.h"

#define TINY_PICTURES 6 /* readable ones; a seventh file is broken */
#define TINY_UPDATES  8 /* per stage, at most */

/* Writes the pictures (square, so that a crop of the whole is one) and the broken file into a new folder. */
void tiny_pictures(const char *folder);

/* The base configuration of all runs: two updates of two samples per stage, then these overrides ("key=value"; the
 * list ends with NULL). Failures fail the test. */
void tiny_config(gh_config *config, const char *pictures, const char *output, const char *const *overrides);

typedef struct tiny_stage {
  int updates;
  double loss[TINY_UPDATES], norm[TINY_UPDATES], rate[TINY_UPDATES];
  gh_safetensors *denoiser, *adapter, *encoder; /* of the last snapshot; NULL if absent */
} tiny_stage;

typedef struct tiny_run {
  char *folder;
  tiny_stage stage[2];
} tiny_run;

/* Trains into parent/name, and reads the result. */
void tiny_train(tiny_run *run, const char *parent, const char *name, const char *const *overrides);
void tiny_run_read(tiny_run *run, const char *folder); /* the folder's path is copied */
void tiny_run_free(tiny_run *run);

/* The largest difference between two files' tensors, relative to each tensor's largest value; infinite if their tensors
 * do not match or one has a NaN. */
double tiny_difference(const gh_safetensors *a, const gh_safetensors *b);

#endif
