/* The tiles of attention's kernels: how many rows a work-group owns, and how many keys it reads at once. A run uses the
 * usual ones. `genhance tune` (tune.h) searches others for each shape, pass and storage type, for the shared kernels
 * and for those of matrix units alike, and a run then uses what was found. */
#ifndef GH_BACKEND_CHOOSER_ATTENTION_TILE_H
#define GH_BACKEND_CHOOSER_ATTENTION_TILE_H

#include "backend/chooser/attention.h"

/* The work of a launch. */
typedef struct gh_attention_work {
  gh_attention_desc desc;
  const char *unit; /* defines of the matrix unit: "-DUNIT_MMA"; NULL: the shared kernels */
} gh_attention_work;

/* Keys are "forward 257x257 batch=4 heads=16 size=64 f32", with " causal", " masked=256" and " matrix" where they
 * apply.
 */
extern const gh_choice_kind gh_attention_tile_kind;

#endif
