#include "data/image_set.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/retry.h"
#include "data/clipped.h"

struct gh_image_set {
  const char *key;
  gh_source **sources;
  size_t count;
  uint64_t *starts; /* [count + 1] index of each source's first image */
  uint64_t *chosen; /* [chosen_count] the images that stay, or NULL: all */
  uint64_t chosen_count;
  bool as_stored; /* not turned upright */
  struct gh_clips {
    gh_clipped all;
    atomic_uchar *seen; /* [images] */
  } * clips;            /* decoding changes nothing else */
};

static gh_status open_sources(gh_error *err, gh_image_set *set, const char *const *paths, size_t count,
                              const gh_strings *keys) {
  set->sources = gh_alloc(err, count, sizeof(gh_source *));
  set->starts = gh_alloc(err, count + 1, sizeof *set->starts);
  if (!set->sources || !set->starts) return GH_ERROR_MEMORY;
  for (size_t i = 0; i < count; i++) {
    gh_status status = gh_source_open_keys(err, &set->sources[i], paths[i], keys);
    if (status) return status;
    set->count++;
    gh_source_warn(set->sources[i]);
    set->starts[i + 1] = set->starts[i] + gh_source_count(set->sources[i]);
  }
  if (!(set->clips = gh_alloc(err, 1, sizeof *set->clips))) return GH_ERROR_MEMORY;
  set->clips->all = (gh_clipped)GH_NONE_CLIPPED;
  set->clips->seen = gh_alloc(err, set->starts[count], sizeof *set->clips->seen);
  return set->clips->seen ? GH_OK : GH_ERROR_MEMORY;
}

gh_status gh_image_set_open(gh_error *err, gh_image_set **out, const char *key, const char *const *sources,
                            size_t count) {
  return gh_image_set_open_keys(err, out, key, sources, count, NULL);
}

gh_status gh_image_set_open_keys(gh_error *err, gh_image_set **out, const char *key, const char *const *sources,
                                 size_t count, const gh_strings *keys) {
  *out = NULL;
  if (!count) return gh_fail(err, GH_ERROR_CONFIG, "%s: no source is given", key);
  gh_image_set *set = gh_alloc(err, 1, sizeof *set);
  gh_status status = set ? open_sources(err, set, sources, count, keys) : GH_ERROR_MEMORY;
  if (!status) {
    set->key = key;
    *out = set;
    return GH_OK;
  }
  gh_image_set_free(set);
  if (status == GH_ERROR_MEMORY) return status;
  gh_fail_in(err, "%s", key);
  if (status == GH_ERROR_INTERRUPTED) status = err->status = GH_ERROR_STOPPED;
  if (status == GH_ERROR_ARGUMENT) status = err->status = GH_ERROR_CONFIG; /* the configuration's fault */
  return status;
}

void gh_image_set_free(gh_image_set *set) {
  if (!set) return;
  for (size_t i = 0; i < set->count; i++) gh_source_free(set->sources[i]);
  if (set->clips) {
    gh_clipped_end(&set->clips->all);
    free(set->clips->seen);
    free(set->clips);
  }
  free(set->sources);
  free(set->starts);
  free(set->chosen);
  free(set);
}

static const gh_source *find_source(const gh_image_set *set, uint64_t *index) {
  if (set->chosen) *index = set->chosen[*index];
  size_t low = 0, high = set->count; /* starts[low] <= index < starts[high] */
  while (high - low > 1) {
    size_t middle = (low + high) / 2;
    if (set->starts[middle] <= *index)
      low = middle;
    else
      high = middle;
  }
  *index -= set->starts[low];
  return set->sources[low];
}

const char *gh_image_set_key(const gh_image_set *set) { return set->key; }
size_t gh_image_set_sources(const gh_image_set *set) { return set->count; }
const gh_source *gh_image_set_source(const gh_image_set *set, size_t index) { return set->sources[index]; }

static uint64_t listed(const gh_image_set *set) { return set->starts[set->count]; }

gh_status gh_image_set_leave_out(gh_error *err, gh_image_set *set, const bool *leave) {
  if (!(set->chosen = gh_alloc(err, listed(set), sizeof *set->chosen))) return GH_ERROR_MEMORY;
  for (uint64_t i = 0; i < listed(set); i++)
    if (!leave[i]) set->chosen[set->chosen_count++] = i;
  return GH_OK;
}

uint64_t gh_image_set_count(const gh_image_set *set) { return set->chosen ? set->chosen_count : listed(set); }

uint64_t gh_image_set_left_out(const gh_image_set *set) {
  uint64_t sum = listed(set) - gh_image_set_count(set);
  for (size_t i = 0; i < set->count; i++) sum += gh_source_left_out(set->sources[i]);
  return sum;
}

uint64_t gh_image_set_hash(const gh_image_set *set) {
  uint64_t hash = 0;
  for (size_t i = 0; i < set->count; i++) hash = gh_source_hash(set->sources[i], hash);
  for (uint64_t i = 0; i < set->chosen_count; i++) hash = hash * UINT64_C(0x9e3779b97f4a7c15) + set->chosen[i] + 1;
  return set->as_stored ? ~hash : hash; /* pictures turned upright have had the plain one for longer */
}

void gh_image_set_exif(gh_image_set *set, bool exif) { set->as_stored = !exif; }

uint64_t gh_image_set_clipped(const gh_image_set *set) { return set->clips->all.count; }

char *gh_image_set_name(gh_error *err, const gh_image_set *set, uint64_t index) {
  const gh_source *source = find_source(set, &index);
  return gh_source_full_name(err, source, index);
}

static gh_status decode(gh_error *err, gh_image *out, const gh_image_set *set, uint64_t index) {
  char *bytes = NULL, *name = gh_image_set_name(err, set, index);
  size_t size = 0;
  atomic_uchar *clipped = &set->clips->seen[index];
  const gh_source *source = find_source(set, &index);
  gh_status status = name ? gh_source_load(err, source, index, &bytes, &size) : GH_ERROR_MEMORY;
  if (!status) status = gh_image_decode_as(err, out, name, bytes, size, !set->as_stored);
  if (!status && out->clipped && !atomic_exchange(clipped, 1)) gh_clipped_note(&set->clips->all, name);
  free(bytes);
  free(name);
  return status;
}

gh_status gh_image_set_decode(gh_error *err, gh_image *out, const gh_image_set *set, uint64_t index,
                              const atomic_bool *give_up) {
  gh_retry retry = {.give_up = give_up};
  gh_status status = decode(err, out, set, index);
  while (status && gh_retry_wait(&retry, err)) status = decode(err, out, set, index);
  return status;
}

gh_status gh_image_set_check(gh_error *err, const gh_image_set *set) {
  gh_error first = {0};
  for (uint64_t i = 0; i < gh_image_set_count(set); i++) {
    gh_error why = {0};
    gh_image image = {0};
    gh_status status = gh_image_set_decode(&why, &image, set, i, NULL);
    gh_image_free(&image);
    if (gh_status_is_fault(status)) return gh_fail(err, status, "%s: %s", set->key, why.text);
    if (!status) return GH_OK;
    if (!i) first = why;
  }
  return gh_fail(err, GH_ERROR_FILE, "%s: no readable image among %llu, the first: %s", set->key,
                 (unsigned long long)gh_image_set_count(set), first.text);
}
