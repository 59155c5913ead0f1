#include "eval/embed.h"

#include <stdlib.h>

/* Tensors that direct tuning trained take the place of the model's. */
static gh_status replace(gh_error *err, gh_embedder *e, const char *path) {
  gh_safetensors *file = NULL;
  gh_status status = gh_safetensors_open(err, &file, path);
  for (size_t i = 0; !status && i < gh_safetensors_count(file); i++) {
    const char *name = gh_safetensors_at(file, i)->name;
    gh_tensor *t = gh_store_find(e->store, name);
    if (!t) {
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: %s is no tensor of the encoder", path, name);
      break;
    }
    float *values = gh_alloc(err, (size_t)gh_tensor_elements(t), sizeof *values);
    status = values ? gh_safetensors_load_f32(err, file, name, t->rank, t->shape, values) : GH_ERROR_MEMORY;
    if (!status) status = gh_tensor_write(err, e->device, t, values);
    free(values);
  }
  gh_safetensors_close(file);
  return status;
}

/* Every layer of the vision side that the adapter adapts, and every bias that it holds, was met: a misnamed one must
 * not go unnoticed. */
static gh_status check_adapter(gh_error *err, const gh_embedder *e, const gh_adapter *a) {
  for (size_t i = 0; i < a->layers.count; i++) {
    const char *layer = a->layers.items[i];
    if (gh_starts_with(layer, "text_")) continue;
    if (!gh_store_find(e->store, gh_name_make("%s.lora_A.weight", layer).text))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: adapts %s, which the encoder does not have",
                     gh_safetensors_path(a->file), layer);
  }
  for (size_t i = 0; i < a->biases_alone.count; i++) {
    const char *name = a->biases_alone.items[i];
    if (!gh_starts_with(name, "text_") && !gh_store_find(e->store, name))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: trains %s, which the encoder does not have",
                     gh_safetensors_path(a->file), name);
  }
  return GH_OK;
}

static gh_status record(gh_error *err, gh_embedder *e, const char *folder, const gh_adapter *adapter) {
  gh_safetensors *weights = NULL;
  int64_t side = e->config.image;
  gh_status status = gh_safetensors_open(err, &weights, folder);
  if (!status) status = gh_store_create(err, e->device, &e->store);
  if (!status)
    status = gh_store_add(err, e->store, "pixel_values", GH_F32, 4, (int64_t[]){e->batch, 3, side, side}, &e->pixels);
  if (!status) status = gh_graph_create(err, e->device, &e->graph);
  if (!status) {
    gh_lora lora = adapter ? gh_adapter_lora(adapter) : (gh_lora){0};
    gh_module m = {.graph = e->graph, .store = e->store, .weights = weights, .lora = adapter ? &lora : NULL};
    e->embeddings = gh_clip_vision(&m, &e->config, e->pixels, NULL);
    if (gh_graph_failed(e->graph)) {
      *err = *gh_graph_error(e->graph);
      status = err->status;
    }
  }
  gh_safetensors_close(weights);
  return status;
}

gh_status gh_embedder_open(gh_error *err, gh_embedder *e, gh_device *device, const char *folder,
                           const gh_embed_options *options) {
  *e = (gh_embedder){.device = device, .batch = options->batch};
  gh_adapter adapter = {0};
  gh_status status = gh_clip_config_read(err, folder, &e->config);
  if (!status) status = gh_preprocess_read(err, &e->preprocess, folder, GH_PREPROCESS_CLIP, e->config.image);
  e->width = e->config.projection;
  if (!status && options->adapter) status = gh_adapter_open(err, &adapter, options->adapter);
  if (!status) status = record(err, e, folder, options->adapter ? &adapter : NULL);
  if (!status && options->adapter) status = check_adapter(err, e, &adapter);
  if (!status && options->encoder) status = replace(err, e, options->encoder);
  if (!status) {
    gh_graph_keep(e->graph, e->embeddings);
    status = gh_graph_plan(err, e->graph);
  }
  gh_adapter_close(&adapter);
  return status;
}

void gh_embedder_close(gh_embedder *e) {
  gh_graph_free(e->graph);
  gh_store_free(e->store);
  *e = (gh_embedder){0};
}

int64_t gh_embedder_image_elements(const gh_embedder *e) { return 3 * (int64_t)e->config.image * e->config.image; }

gh_status gh_embedder_start(gh_error *err, gh_embedder *e, const float *pixel_values) {
  gh_status status = gh_tensor_write(err, e->device, e->pixels, pixel_values);
  return status ? status : gh_graph_run(err, e->graph);
}

gh_status gh_embedder_finish(gh_error *err, gh_embedder *e, float *embeddings) {
  return gh_tensor_read(err, e->device, e->embeddings, embeddings);
}
