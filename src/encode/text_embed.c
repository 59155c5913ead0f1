#include "encode/text_embed.h"
#include "io/tokenizer.h"
#include "models/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct gh_text_embedder {
  gh_text_config config;
  gh_tokenizer *tokenizer;
  gh_tower tower;
  int64_t batch, length;                /* B, N */
  double scale, bias;                   /* of the logits */
  gh_tensor *ids, *pooled, *embeddings; /* (1, B * N), (B, 1), (B, D) */
  int32_t *host_ids, *host_pooled;
};

/* logit_scale or logit_bias, () or (1); *out is unchanged if the file has none. */
static gh_status read_logit(gh_error *err, const gh_safetensors *file, const char *name, double *out) {
  const gh_st_tensor *t = gh_safetensors_find(file, name);
  float value;
  if (!t) return GH_OK;
  if (t->elements != 1) return gh_fail(err, GH_ERROR_FORMAT, "%s: %s is not one number", t->file, name);
  gh_status status = gh_st_read_f32(err, t, 0, 1, &value);
  if (!status) *out = (double)value;
  return status;
}

/* Reads the configuration and the tokenizer and checks that they fit. Close the tokenizer after failure, too. */
static gh_status open_settings(gh_error *err, gh_text_config *config, gh_tokenizer **tokenizer, const char *folder) {
  *tokenizer = NULL;
  gh_status status = gh_text_config_read(err, folder, config);
  if (!status) status = gh_tokenizer_open(err, tokenizer, folder);
  if (status) return status;
  gh_tokenizer_clean(*tokenizer, config->clean);
  int64_t known = gh_tokenizer_vocabulary(*tokenizer), rows = config->vocabulary;
  if (known <= rows) return GH_OK;
  return gh_fail(err, GH_ERROR_FORMAT, "%s: the tokenizer has %lld tokens, but the model has %lld", folder,
                 (long long)known, (long long)rows);
}

gh_status gh_text_check(gh_error *err, const char *folder) {
  gh_text_config config;
  gh_tokenizer *tokenizer;
  gh_status status = open_settings(err, &config, &tokenizer, folder);
  gh_tokenizer_close(tokenizer);
  return status;
}

static gh_status record(gh_error *err, gh_text_embedder *e, const gh_embed_options *options) {
  gh_tower *t = &e->tower;
  gh_status status = read_logit(err, t->weights, "logit_scale", &e->scale);
  if (!status) status = read_logit(err, t->weights, "logit_bias", &e->bias);
  e->scale = exp(e->scale);
  if (!status) status = gh_store_add(err, t->store, "ids", GH_I32, 2, (int64_t[]){1, e->batch * e->length}, &e->ids);
  if (!status) status = gh_store_add(err, t->store, "pooled", GH_I32, 2, (int64_t[]){e->batch, 1}, &e->pooled);
  if (status) return status;
  gh_module m = gh_tower_module(t);
  e->embeddings = gh_text_tower(&m, &e->config, e->ids, e->pooled);
  return gh_tower_finish(err, t, e->embeddings, options);
}

gh_status gh_text_embedder_open(gh_error *err, gh_text_embedder **out, gh_device *device, const char *folder,
                                const gh_embed_options *options) {
  gh_text_embedder *e = *out = gh_alloc(err, 1, sizeof *e);
  if (!e) return GH_ERROR_MEMORY;
  e->batch = options->batch;
  gh_status status = open_settings(err, &e->config, &e->tokenizer, folder);
  if (!status) {
    int64_t most = gh_tokenizer_max_length(e->tokenizer);
    e->length = most ? GH_MIN(most, e->config.positions) : e->config.positions;
    e->host_ids = gh_alloc(err, (size_t)(e->batch * e->length), sizeof *e->host_ids);
    e->host_pooled = gh_alloc(err, (size_t)e->batch, sizeof *e->host_pooled);
    if (!e->host_ids || !e->host_pooled) status = GH_ERROR_MEMORY;
  }
  if (!status) status = gh_tower_begin(err, &e->tower, device, folder, e->config.family, true, options);
  if (!status) status = record(err, e, options);
  if (!status) return GH_OK;
  gh_text_embedder_close(e);
  *out = NULL;
  return status;
}

void gh_text_embedder_close(gh_text_embedder *e) {
  if (!e) return;
  gh_tower_close(&e->tower);
  gh_tokenizer_close(e->tokenizer);
  free(e->host_ids);
  free(e->host_pooled);
  free(e);
}

int64_t gh_text_embedder_width(const gh_text_embedder *e) { return e->config.projection; }
int64_t gh_text_embedder_bytes(const gh_text_embedder *e) { return gh_tower_bytes(&e->tower); }
double gh_text_embedder_logit_scale(const gh_text_embedder *e) { return e->scale; }
double gh_text_embedder_logit_bias(const gh_text_embedder *e) { return e->bias; }

/* One batch. If there are fewer than B lines, the other rows keep old ids: they are valid, and their results are
 * unused.
 */
static gh_status embed_batch(gh_error *err, gh_text_embedder *e, const char *const *lines, size_t first, size_t count,
                             float *rows) {
  gh_device *device = e->tower.device;
  for (size_t i = 0; i < count; i++) {
    int32_t *ids = e->host_ids + (int64_t)i * e->length;
    gh_status status = gh_tokenizer_encode(err, e->tokenizer, lines[first + i], e->length, ids);
    if (status) return gh_fail_in(err, "line %zu", first + i + 1);
    e->host_pooled[i] = gh_text_pooled(&e->config, ids, e->length);
  }
  gh_status status = gh_tensor_write(err, device, e->ids, e->host_ids);
  if (!status) status = gh_tensor_write(err, device, e->pooled, e->host_pooled);
  if (!status) status = gh_graph_run(err, e->tower.graph);
  return status ? status : gh_tensor_read(err, device, e->embeddings, rows);
}

gh_status gh_text_embed_part(gh_error *err, gh_text_embedder *e, const char *const *lines, size_t first, size_t n,
                             float *out) {
  size_t width = (size_t)e->config.projection;
  float *rows = gh_alloc(err, (size_t)e->batch * width, sizeof *rows);
  gh_status status = rows ? GH_OK : GH_ERROR_MEMORY;
  for (size_t done = 0, count; done < n && !status; done += count) {
    count = GH_MIN(n - done, (size_t)e->batch);
    status = embed_batch(err, e, lines, first + done, count, rows);
    if (!status) memcpy(out + done * width, rows, count * width * sizeof *rows);
  }
  free(rows);
  return status;
}
