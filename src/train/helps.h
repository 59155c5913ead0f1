/* What would make a stage fit a device, with the effect of each. */
#ifndef GH_TRAIN_HELPS_H
#define GH_TRAIN_HELPS_H

#include "train/budget.h"

#define GH_HELPS 3

typedef struct gh_help {
  char set[160];     /* "precision=bf16", as after --set; several with a blank between them */
  bool fits;         /* without any other help */
  int64_t peak;      /* bytes */
  double arithmetic; /* relative to the step as configured, per image; 0: not known */
} gh_help;

/* The GH_HELPS most useful settings for a stage that does not fit: those that suffice alone first, then by memory.
 * `base`: the arithmetic per image as configured. Settings that the configuration's files rule out are left out.
 * Nothing is allocated on the device. Returns the number in *count. */
gh_status gh_helps_find(gh_error *err, const gh_config *config, int stage, gh_device *device, double base,
                        gh_help helps[GH_HELPS], int *count);

#endif
