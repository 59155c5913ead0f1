#include "method/models.h"
#include "base/checksum.h"
#include "base/file.h"
#include "base/log.h"
#include "io/preprocess.h"
#include "method/objective.h"
#include "method/setup.h"
#include "models/weights.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Checks that stage 2 can go on from the adapter: that it trains no less, and starts with the same function. */
static gh_status check_start(gh_error *err, const gh_adapter *a, const gh_lora_config *l) {
  static const char *const biases[] = {
      [GH_BIASES_NONE] = "none", [GH_BIASES_ADAPTED] = "lora_only", [GH_BIASES_ALL] = "all"};
  gh_lora_biases own = gh_setup_biases(l);
  if (a->rank != l->rank)
    return gh_fail(err, GH_ERROR_CONFIG, "the adapter's r is %d, but stage2.lora.rank is %lld", a->rank,
                   (long long)l->rank);
  if (a->alpha != l->alpha) /* both are read from text: the same number is the same double */
    return gh_fail(err, GH_ERROR_CONFIG, "the adapter's lora_alpha is %g, but stage2.lora.alpha is %g", a->alpha,
                   l->alpha);
  if (a->biases > own)
    return gh_fail(err, GH_ERROR_CONFIG, "the adapter's bias is %s, but stage2.lora.bias is %s", biases[a->biases],
                   biases[own]);
  for (size_t i = 0; i < a->layers.count; i++)
    if (gh_weights_of_text(a->layers.items[i]))
      return gh_fail(err, GH_ERROR_UNSUPPORTED, "it adapts %s, but only the vision tower is trained",
                     a->layers.items[i]);
  const gh_strings *const others[] = {&a->biases_alone, &a->saved};
  for (size_t k = 0; k < GH_COUNT(others); k++)
    for (size_t i = 0; i < others[k]->count; i++)
      if (gh_weights_of_text(others[k]->items[i]))
        return gh_fail(err, GH_ERROR_UNSUPPORTED, "it trains %s, but only the vision tower is trained",
                       others[k]->items[i]);
  return GH_OK;
}

static gh_status open_adapter(gh_error *err, gh_models *m, const char *folder) {
  gh_status status = gh_adapter_open(err, &m->adapter, folder);
  if (status || folder != m->config->lora.adapter) return status; /* a snapshot's: it is not trained */
  status = check_start(err, &m->adapter, &m->config->lora);
  return status ? gh_fail_in(err, "%s", folder) : GH_OK;
}

static gh_status begin(gh_error *err, gh_models *m, const gh_config *c) {
  *m = (gh_models){.config = c, .objective = gh_objective_of(c)};
  if (m->objective->model_bytes) m->own = gh_alloc(err, 1, m->objective->model_bytes);
  return m->own || !m->objective->model_bytes ? GH_OK : GH_ERROR_MEMORY;
}

/* Every 8-bit float is a float32, so widening loses nothing that the file still has; what is lost is lost before. */
static void note_float8(const gh_safetensors *file) {
  size_t narrow = 0, count = gh_safetensors_count(file);
  for (size_t i = 0; i < count; i++) {
    const gh_st_tensor *t = gh_safetensors_at(file, i);
    narrow += gh_st_dtype_is_float8(t->dtype) && !t->applied;
  }
  if (narrow)
    gh_info("%s: %zu of %zu tensors are 8-bit floats; they are widened, also where they are trained",
            gh_safetensors_path(file), narrow, count);
}

static gh_status open_encoder(gh_error *err, gh_models *m) {
  gh_preprocess preprocess;
  const char *folder = m->config->clip;
  gh_status status = gh_vision_config_read(err, folder, &m->clip);
  if (!status) status = gh_weights_open(err, &m->clip_file, folder);
  if (!status) status = gh_vision_preprocess_read(err, &preprocess, folder, &m->clip);
  if (status) return status;
  note_float8(m->clip_file);
  memcpy(m->image_mean, preprocess.mean, sizeof m->image_mean);
  memcpy(m->image_std, preprocess.std, sizeof m->image_std);
  return GH_OK;
}

static gh_status open_denoiser(gh_error *err, gh_models *m, const char *path) {
  gh_status status = gh_checksums_check(err, path); /* of a snapshot */
  if (!status) status = gh_safetensors_open(err, &m->denoiser_file, path);
  if (!status) note_float8(m->denoiser_file);
  return status || !m->objective->check_weights ? status : m->objective->check_weights(err, m);
}

gh_status gh_models_open(gh_error *err, gh_models *m, const gh_config *c, const char *denoiser, const char *adapter) {
  gh_status status = begin(err, m, c);
  if (status) return status;
  if (!denoiser) denoiser = c->denoiser_weights;
  if (!adapter && c->lora.enabled) adapter = c->lora.adapter;
  const char *key = "clip"; /* named in an error, whose text begins with the file */
  status = open_encoder(err, m);
  if (!status && m->objective->open) status = m->objective->open(err, m, &key);
  if (!status && denoiser) {
    key = denoiser == c->denoiser_weights ? "denoiser.weights" : "denoiser";
    status = open_denoiser(err, m, denoiser);
  }
  if (!status && adapter) {
    key = "stage2.lora.adapter";
    status = open_adapter(err, m, adapter);
  }
  if (!status) return GH_OK;
  gh_models_close(m);
  return status == GH_ERROR_MEMORY ? status : gh_fail_in(err, "%s", key);
}

gh_status gh_models_draft(gh_error *err, gh_models *m, const gh_config *c, const gh_vision_config *encoder, bool tiny) {
  gh_status status = begin(err, m, c);
  if (status) return status;
  m->clip = *encoder;
  for (int i = 0; i < 3; i++) m->image_mean[i] = m->image_std[i] = 0.5;
  if (m->objective->draft) m->objective->draft(m, tiny);
  return GH_OK;
}

void gh_models_close(gh_models *m) {
  if (m->own && m->objective->close) m->objective->close(m->own);
  free(m->own);
  gh_safetensors_close(m->clip_file);
  gh_safetensors_close(m->denoiser_file);
  gh_adapter_close(&m->adapter);
  *m = (gh_models){0};
}

#define HASHED_BYTES ((size_t)4096) /* of each tensor */

static uint64_t file_hash(const gh_safetensors *file, uint64_t seed) {
  for (size_t i = 0; file && i < gh_safetensors_count(file); i++) {
    const gh_st_tensor *t = gh_safetensors_at(file, i);
    seed = XXH64(t->name, strlen(t->name), seed);
    seed = XXH64(t->shape, (size_t)t->rank * sizeof *t->shape, seed + (uint64_t)t->dtype);
    seed = XXH64(t->data, GH_MIN(t->bytes, HASHED_BYTES), seed);
  }
  return seed;
}

/* The scales that r and lora_alpha do not say: without any, the hash is that of earlier versions. */
static uint64_t adapter_hash(const gh_adapter *a, uint64_t seed) {
  for (size_t i = 0; i < a->layers.count; i++) {
    double scale = gh_adapter_scale(a, a->layers.items[i]);
    if (scale != a->alpha / a->rank) seed = XXH64(&scale, sizeof scale, seed + i);
  }
  return seed;
}

uint64_t gh_models_hash(const gh_models *m) {
  gh_mapping_guard();
  const gh_safetensors *files[GH_OBJECTIVE_FILES + 3] = {m->clip_file};
  size_t n = 1;
  if (m->own && m->objective->files) n += (size_t)m->objective->files(m->own, files + 1);
  files[n++] = m->denoiser_file;
  files[n++] = m->adapter.file;
  uint64_t hash = 1;
  for (size_t i = 0; i < n; i++) hash = file_hash(files[i], hash + i);
  if (m->own && m->objective->hash) hash = m->objective->hash(m->own, hash);
  return adapter_hash(&m->adapter, hash);
}

static gh_status put_hash(gh_error *err, gh_json *into, const char *key, uint64_t hash) {
  char text[GH_CHECKSUM_TEXT];
  gh_checksum_text(text, hash);
  return gh_json_put_string(err, into, key, text);
}

gh_status gh_models_identify(gh_error *err, const gh_models *m, gh_json *into) {
  const gh_safetensors *own[GH_OBJECTIVE_FILES] = {NULL};
  gh_mapping_guard();
  if (m->own && m->objective->files) m->objective->files(m->own, own);
  uint64_t hash = 1;
  for (size_t i = 0; i < GH_COUNT(own); i++) hash = file_hash(own[i], hash + i);
  gh_status status = put_hash(err, into, "the content of the encoder's file", file_hash(m->clip_file, 1));
  if (!status) status = put_hash(err, into, "the content of the autoencoder's file", hash);
  if (!status) status = put_hash(err, into, "the content of the denoiser's file", file_hash(m->denoiser_file, 1));
  if (!status) status = put_hash(err, into, "the content of the adapter's file", file_hash(m->adapter.file, 1));
  return status ? status : put_hash(err, into, "the hash of all models", gh_models_hash(m));
}

gh_status gh_models_settings(gh_error *err, const gh_models *m, gh_json **out) {
  static const char *const files[] = {"config.json", "preprocessor_config.json", "processor_config.json",
                                      "open_clip_config.json"};
  gh_json *root = gh_json_object(err);
  gh_status status = root ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < GH_COUNT(files) && !status; i++) {
    uint64_t hash = 0, bytes = 0;
    char text[GH_CHECKSUM_TEXT], *path = gh_path_join(err, m->config->clip, files[i]);
    if (!path) status = GH_ERROR_MEMORY;
    const bool exists = path && gh_path_exists(path);
    if (exists) status = gh_file_hash(err, path, &hash, &bytes);
    gh_checksum_text(text, hash);
    if (exists && !status) status = gh_json_put_string(err, root, files[i], text);
    free(path);
  }
  if (status)
    gh_json_free(root);
  else
    *out = root;
  return status;
}
