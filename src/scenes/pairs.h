/* Pairs of scenes that differ in one attribute, as MMVP-VLM's pictures do: 15 for each of the nine patterns. */
#ifndef GH_SCENES_PAIRS_H
#define GH_SCENES_PAIRS_H

#include "eval/score.h"
#include "scenes/scene.h"

typedef struct gh_scene_pair {
  int attribute;
  gh_scene scenes[2];
} gh_scene_pair;

typedef enum gh_pair_set { GH_PAIRS_TEST, GH_PAIRS_VALIDATION } gh_pair_set;

/* The 135 pairs of a seed, in the order of gh_mmvp_patterns. No pair of the test set is in the validation set: they
 * differ in the kind of thing or in the two values. */
gh_status gh_pairs_make(gh_error *err, gh_scene_pair out[GH_MMVP_PAIRS], uint64_t seed, gh_pair_set set);

#endif
