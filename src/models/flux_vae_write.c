#include "models/flux_vae.h"

#include <stdlib.h>

const gh_vae_config gh_vae_flux = {
    .channels = 128, .levels = 4, .multipliers = {1, 2, 4, 4}, .blocks = 2, .latent = 16};

static gh_status write_store(gh_error *err, gh_device *device, const gh_store *store, const char *path,
                             int64_t *parameters) {
  gh_safetensors_writer *writer = NULL;
  gh_status status = gh_safetensors_writer_new(err, &writer, path);
  for (int i = 0; i < gh_store_count(store) && !status; i++) {
    const gh_tensor *t = gh_store_at(store, i);
    status = gh_safetensors_writer_declare(err, writer, t->name, GH_ST_F32, t->rank, t->shape);
  }
  if (!status) status = gh_safetensors_writer_begin(err, writer);
  for (int i = 0; i < gh_store_count(store) && !status; i++) {
    const gh_tensor *t = gh_store_at(store, i);
    int64_t n = gh_tensor_elements(t);
    float *values = gh_alloc(err, (size_t)n, sizeof *values);
    status = values ? gh_tensor_read(err, device, t, values) : GH_ERROR_MEMORY;
    if (!status) status = gh_safetensors_writer_write_f32(err, writer, t->name, values, n);
    free(values);
    *parameters += n;
  }
  if (!status) status = gh_safetensors_writer_finish(err, writer);
  gh_safetensors_writer_free(writer);
  return status;
}

/* Recording creates the parameters; the graph itself is never planned. Its inputs come from outside the store. */
gh_status gh_vae_write(gh_error *err, gh_device *device, const gh_vae_config *config, uint64_t seed, const char *path,
                       int64_t *parameters) {
  gh_graph *g = NULL;
  gh_store *store = NULL, *inputs = NULL;
  gh_tensor *image = NULL, *latent = NULL;
  int64_t side = 2 * gh_vae_factor(config);
  *parameters = 0;
  gh_status status = gh_store_create(err, device, &store);
  if (!status) status = gh_store_create(err, device, &inputs);
  if (!status) status = gh_store_add(err, inputs, "image", GH_F32, 4, (int64_t[]){1, 3, side, side}, &image);
  if (!status) status = gh_store_add(err, inputs, "latent", GH_F32, 4, (int64_t[]){1, config->latent, 2, 2}, &latent);
  if (!status) status = gh_graph_create(err, device, &g);
  if (!status) {
    gh_module m = {.graph = g, .store = store, .seed = seed};
    gh_vae_encode(&m, config, image);
    gh_vae_decode(&m, config, latent);
    if (gh_graph_failed(g)) status = gh_fail(err, gh_graph_error(g)->status, "%s", gh_graph_error(g)->text);
  }
  if (!status) status = write_store(err, device, store, path, parameters);
  gh_graph_free(g);
  gh_store_free(inputs);
  gh_store_free(store);
  return status;
}
