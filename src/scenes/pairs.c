#include "scenes/pairs.h"

/* Attributes whose plain value cannot be seen, or goes without saying, are compared between the others. */
static bool skips_plain(int id) {
  return id == GH_SCENE_RELATION || id == GH_SCENE_TEXT || id == GH_SCENE_VIEW || id == GH_SCENE_BUILD;
}

static bool may_have(const gh_category *category, int id, int value) {
  if (id == GH_SCENE_DIRECTION) return category->faces;
  if (id == GH_SCENE_TURN) return !category->faces;
  if (id == GH_SCENE_VIEW && value == 3) return category->other != NULL;
  return !skips_plain(id) || value != gh_attribute_at(id)->plain;
}

/* Whether two scenes with these values differ in one thing: the place beside a ball and beside a box are two. */
static bool comparable(const gh_category *category, int id, int a, int b) {
  return may_have(category, id, a) && may_have(category, id, b) &&
         (id != GH_SCENE_RELATION || gh_relation_is_to_ball(a) == gh_relation_is_to_ball(b));
}

/* The `at`-th of all (category, value, greater value), or with out NULL their number. */
static int choose(int id, int at, int out[3]) {
  int n = 0, values = gh_attribute_count(id);
  for (int c = 0; c < gh_category_count(); c++)
    for (int a = 0; a < values; a++)
      for (int b = a + 1; b < values; b++) {
        if (!comparable(gh_category_at(c), id, a, b)) continue;
        if (out && n == at) {
          out[0] = c, out[1] = a, out[2] = b;
          return n;
        }
        n++;
      }
  return n;
}

enum { PURPOSE_SWAP = 500 };

static void make(gh_scene_pair *pair, gh_stream stream, uint64_t ordinal, int id, const int chosen[3]) {
  static const int calm[] = {GH_SCENE_TURN, GH_SCENE_COUNT,   GH_SCENE_RELATION, GH_SCENE_TEXT,
                             GH_SCENE_VIEW, GH_SCENE_SURFACE, GH_SCENE_BUILD};
  gh_scene scene;
  gh_scene_make(&scene, stream, ordinal);
  scene.value[GH_SCENE_CATEGORY] = chosen[0];
  if (!gh_scene_has(&scene, GH_SCENE_DIRECTION)) scene.value[GH_SCENE_DIRECTION] = 0;
  for (size_t i = 0; i < GH_COUNT(calm); i++) scene.value[calm[i]] = 0;
  *pair = (gh_scene_pair){.attribute = id, .scenes = {scene, scene}};
  const int swap = gh_scene_chance(&scene, PURPOSE_SWAP, 2);
  for (int i = 0; i < 2; i++) pair->scenes[i].value[id] = chosen[1 + (i ^ swap)];
}

gh_status gh_pairs_make(gh_error *err, gh_scene_pair out[GH_MMVP_PAIRS], uint64_t seed, gh_pair_set set) {
  gh_stream stream = gh_stream_make(seed, 0, "scenes", "pairs");
  for (int pattern = 0; pattern < GH_MMVP_PATTERNS; pattern++) {
    int ids[GH_SCENE_ATTRIBUTES], n = 0;
    for (int i = 0; i < GH_SCENE_ATTRIBUTES; i++)
      if (gh_attribute_at(i)->pattern == pattern) ids[n++] = i;
    for (int k = 0; k < GH_MMVP_PAIRS_PER_PATTERN; k++) {
      int pair = pattern * GH_MMVP_PAIRS_PER_PATTERN + k, id = ids[(k + 1) % n], chosen[3];
      int position = (int)set * GH_CEIL_DIV(GH_MMVP_PAIRS_PER_PATTERN, n) + k / n, all = choose(id, -1, NULL);
      if (position >= all)
        return gh_fail(err, GH_ERROR_ARGUMENT, "%s: only %d different pairs", gh_attribute_at(id)->name, all);
      choose(id, (int)gh_permute_at(stream, (uint64_t)id, (uint64_t)position, (uint64_t)all), chosen);
      make(&out[pair], stream, (uint64_t)(pair + (int)set * GH_MMVP_PAIRS), id, chosen);
    }
  }
  return GH_OK;
}
