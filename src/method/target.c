/* An objective's target in the form that the cache takes, and what targets from a frozen model's file share. */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "method/objective.h"

static bool is_read(const char *name, const char *const *prefixes) {
  for (; *prefixes; prefixes++)
    if (gh_starts_with(name, *prefixes)) return true;
  return false;
}

gh_status gh_target_identify(gh_error *err, const gh_safetensors *file, const char *const *prefixes, const char *key,
                             gh_json *into) {
  XXH64_hash_t hash = 0;
  for (size_t i = 0; i < gh_safetensors_count(file); i++) {
    const gh_st_tensor *t = gh_safetensors_at(file, i);
    if (!is_read(t->name, prefixes)) continue;
    gh_status status = gh_mapping_touch(err, t->data, t->bytes);
    if (status) return status;
    hash = XXH64(t->name, strlen(t->name), hash);
    hash = XXH64(t->shape, (size_t)t->rank * sizeof *t->shape, hash ^ (XXH64_hash_t)t->dtype);
    hash = XXH64(t->data, t->bytes, hash);
  }
  char text[17];
  snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
  return gh_json_put_string(err, into, key, text);
}

gh_tensor *gh_target_pixels(gh_graph *g, gh_tensor *images) {
  static const double half[3] = {0.5, 0.5, 0.5};
  return gh_normalize_image(g, images, half, half);
}

static gh_status identify(gh_error *err, const void *context, gh_json *into) {
  const gh_models *m = context;
  const gh_precision precision = m->config->autoencoder_precision;
  gh_status status = m->objective->identify ? m->objective->identify(err, m, into) : GH_OK;
  if (status || precision == GH_PRECISION_FLOAT32) return status; /* targets of earlier versions have no such key */
  return gh_json_put_string(err, into, "autoencoder_precision", gh_precision_name(precision));
}

static gh_tensor *compute(const void *context, gh_graph *g, gh_store *store, gh_tensor *images) {
  const gh_models *m = context;
  gh_module frozen = {.graph = g, .store = store, .storage = gh_precision_storage(m->config->autoencoder_precision)};
  return m->objective->compute_target(&frozen, m, images);
}

bool gh_objective_target(const gh_models *models, gh_target *out) {
  *out = (gh_target){.identify = identify, .record = compute, .context = models};
  if (!models->objective->target) return false;
  models->objective->target(models, out);
  return true;
}
