/* The same training steps on two devices, side by side: how far losses, gradients and weights drift apart, and which op
 * does it. Images, crops, noise, timesteps and dropout masks are the same on both, since they hang on the seed alone;
 * what remains is how the devices round. */
#ifndef GH_COMPARE_COMPARE_H
#define GH_COMPARE_COMPARE_H

#include "config/config.h"

typedef struct gh_compare_options {
  const char *devices[2]; /* "opencl:0/cpu", "opencl:1": two of any backend, or the same one twice */
  int64_t steps;          /* updates of each stage that the configuration does not leave out */
  int stage;              /* 1 or 2 alone; 0: both, each from the configuration's own weights */
  double tolerance;       /* of a loss, relative: where more is between the two, they part */
  const char *sabotage;   /* test of the test: the op of this name is off by 1 % in one element on the second device */
} gh_compare_options;

/* Prints a line a step, puts the same and every tensor's drift into `result`. Each stage ends with one more step in
 * which every node runs on both devices with equal inputs (graph/compare.h): behind the last step, or at the first
 * where the losses part, or where the first gradients do. GH_ERROR_NUMERIC where the losses part or a node is wrong;
 * the text names the step and the first such node. Writes nothing into the run's folder. */
gh_status gh_compare(gh_error *err, const gh_config *config, const gh_compare_options *options, gh_json *result);

#endif
