/* The same training steps on two devices, side by side: how far losses, gradients and weights drift apart, and which op
 * causes it. Images, crops, noise, timesteps and dropout masks are the same on both, since they depend only on the
 * seed. Only rounding can differ. */
#ifndef GH_COMPARE_COMPARE_H
#define GH_COMPARE_COMPARE_H

#include "config/config.h"

typedef struct gh_compare_options {
  const char *devices[2]; /* "opencl:0/cpu", "opencl:1": two of any backend, or the same one twice */
  int64_t steps;          /* updates per stage; a stage with 0 configured steps is skipped */
  int stage;              /* 1 or 2 alone; 0: both, each from the configuration's own weights */
  double tolerance;       /* largest relative difference of the losses; beyond it the two have diverged */
  const char *sabotage;   /* to test the comparison: on the second device one element of this op is off by 1 % */
} gh_compare_options;

/* Prints one line per step; writes the same numbers and every tensor's drift into `result`. Each stage ends with a step
 * in which every node runs on both devices with equal inputs (graph/compare.h): the step after the last, or the step at
 * which the losses, or in the first step the gradients, diverge. GH_ERROR_NUMERIC if the losses diverge or a node is
 * wrong; the text names the step and the first wrong node. Writes nothing into the run's folder. */
gh_status gh_compare(gh_error *err, const gh_config *config, const gh_compare_options *options, gh_json *result);

#endif
