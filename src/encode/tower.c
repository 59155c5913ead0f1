#include "encode/tower.h"
#include "backend/chooser/chooser.h"
#include "base/checksum.h"
#include "models/unread.h"

#include <stdlib.h>

gh_status gh_tower_begin(gh_error *err, gh_tower *t, gh_device *device, const char *folder, const gh_family *family,
                         bool text, const gh_embed_options *options) {
  *t = (gh_tower){.device = device,
                  .family = family,
                  .storage = options->storage,
                  .text = text,
                  .adapted = options->adapter || options->trained,
                  .borrowed = options->shared,
                  .unbacked = options->unbacked,
                  .store = options->shared};
  gh_status status = gh_weights_open(err, &t->weights, folder);
  if (!status && options->adapter) status = gh_adapter_open(err, &t->adapter, options->adapter);
  if (!status && options->adapter) t->lora = gh_adapter_lora(&t->adapter);
  if (options->trained) {
    t->lora = *options->trained;
    t->lora.step = NULL;
    t->lora.mask = NULL;
  }
  if (!status && !t->store) status = (t->unbacked ? gh_store_create_unbacked : gh_store_create)(err, device, &t->store);
  return status ? status : gh_graph_create(err, device, &t->graph);
}

gh_status gh_tower_input(gh_error *err, gh_tower *t, const char *name, gh_dtype dtype, int rank, const int64_t *shape,
                         gh_tensor **out) {
  *out = t->borrowed ? gh_store_find(t->store, name) : NULL;
  if (!*out) return gh_store_add(err, t->store, name, dtype, rank, shape, out);
  bool same = (*out)->dtype == dtype && (*out)->rank == rank;
  for (int i = 0; i < rank && same; i++) same = (*out)->shape[i] == shape[i];
  return same ? GH_OK : gh_fail(err, GH_ERROR_ARGUMENT, "%s already exists in another shape", name);
}

int64_t gh_tower_bytes(const gh_tower *t) {
  return (t->borrowed ? 0 : gh_store_bytes(t->store)) + gh_graph_peak_bytes(t->graph);
}

gh_module gh_tower_module(const gh_tower *t) {
  return (gh_module){.graph = t->graph,
                     .store = t->store,
                     .weights = t->weights,
                     .storage = t->storage,
                     .lora = t->adapted ? &t->lora : NULL};
}

static bool is_ours(const gh_tower *t, const char *name) { return gh_weights_of_text(name) == t->text; }

/* Copies a tensor of a file into the store. `layer`: merged with the adapter's matrices first, or NULL. */
static gh_status put_values(gh_error *err, const gh_tower *t, const gh_safetensors *file, const char *name,
                            gh_tensor *to, const char *layer) {
  if (layer && to->rank != 2) return gh_fail(err, GH_ERROR_FORMAT, "%s is not a matrix, but is adapted", name);
  float *values = gh_alloc(err, (size_t)gh_tensor_elements(to), sizeof *values);
  gh_status status = values ? gh_safetensors_load_f32(err, file, name, to->rank, to->shape, values) : GH_ERROR_MEMORY;
  if (!status && layer) status = gh_adapter_merge(err, &t->adapter, layer, to->shape[0], to->shape[1], values);
  if (!status) status = gh_tensor_write_f32(err, t->device, to, values);
  free(values);
  return status;
}

/* Replaces the model's tensors by those that direct tuning trained. */
static gh_status replace(gh_error *err, gh_tower *t, const char *path) {
  gh_safetensors *file = NULL;
  gh_status status = gh_checksums_check(err, path); /* of a snapshot */
  if (!status) status = gh_safetensors_open(err, &file, path);
  for (size_t i = 0; !status && i < gh_safetensors_count(file); i++) {
    const char *name = gh_safetensors_at(file, i)->name;
    if (!is_ours(t, name)) continue;
    gh_tensor *to = gh_store_find(t->store, name);
    if (!to) {
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: %s is not a tensor of the encoder", path, name);
      break;
    }
    status = put_values(err, t, file, name, to, NULL);
  }
  gh_safetensors_close(file);
  return status;
}

/* What the graph does not compute from the adapter: DoRA's layers, merged into their weights. */
static gh_status put_adapter(gh_error *err, gh_tower *t) {
  const gh_adapter *a = &t->adapter;
  gh_status status = gh_adapter_check(err, a, t->store, t->family, t->text, true);
  for (size_t i = 0; !status && a->dora && i < a->layers.count; i++) {
    const char *layer = a->layers.items[i];
    if (is_ours(t, layer) && !gh_family_past_adapter(t->family, layer)) {
      gh_name name = gh_name_make("%s.weight", layer);
      status = put_values(err, t, t->weights, name.text, gh_store_find(t->store, name.text), layer);
    }
  }
  return status;
}

gh_status gh_tower_finish(gh_error *err, gh_tower *t, gh_tensor *out, const gh_embed_options *options) {
  gh_status status = GH_OK;
  if (gh_graph_failed(t->graph)) {
    *err = *gh_graph_error(t->graph);
    return err->status;
  }
  const char *model = t->text ? "the text tower of these sizes" : "the vision tower of these sizes";
  const char *const *left_out = t->text ? gh_left_out_by_text : gh_left_out_by_vision;
  status = gh_refuse_unread_by_store(err, t->weights, model, t->store, left_out);
  if (!status && options->adapter) status = put_adapter(err, t);
  if (!status && options->encoder) status = replace(err, t, options->encoder);
  gh_safetensors_close(t->weights);
  t->weights = NULL;
  gh_adapter_close(&t->adapter);
  t->adapted = false;
  if (status) return status;
  gh_graph_keep(t->graph, out);
  if (!t->unbacked) return gh_graph_plan(err, t->graph);
  status = gh_graph_measure(err, t->graph);
  return !status && gh_choices_are_watched(t->device) ? gh_graph_choose(err, t->graph) : status;
}

void gh_tower_close(gh_tower *t) {
  gh_safetensors_close(t->weights);
  gh_adapter_close(&t->adapter);
  gh_graph_free(t->graph);
  if (!t->borrowed) gh_store_free(t->store);
  *t = (gh_tower){0};
}
