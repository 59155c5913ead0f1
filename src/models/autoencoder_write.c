#include "models/autoencoder.h"
#include "models/tensors_write.h"

#include <stdlib.h>

static gh_status write_store(gh_error *err, gh_device *device, const gh_store *store, const char *path,
                             int64_t *parameters) {
  gh_safetensors_writer *writer = NULL;
  int count = gh_store_count(store);
  gh_named_tensor *list = gh_alloc(err, (size_t)count, sizeof *list);
  for (int i = 0; list && i < count; i++) {
    const gh_tensor *t = gh_store_at(store, i);
    list[i] = (gh_named_tensor){.name = gh_name_make("%s", t->name), .tensor = t};
    *parameters += gh_tensor_elements(t);
  }
  gh_status status = list ? gh_safetensors_writer_new(err, &writer, path) : GH_ERROR_MEMORY;
  if (!status) status = gh_tensors_write_all(err, writer, device, list, count, NULL, NULL);
  gh_safetensors_writer_free(writer);
  free(list);
  return status;
}

/* Recording creates the parameters; the graph itself is never planned. Its inputs come from outside the store. */
gh_status gh_autoencoder_write(gh_error *err, gh_device *device, gh_autoencoder_record *record, const void *config,
                               uint64_t seed, const char *path, int64_t *parameters) {
  gh_graph *g = NULL;
  gh_store *store = NULL, *inputs = NULL;
  *parameters = 0;
  gh_status status = gh_store_create(err, device, &store);
  if (!status) status = gh_store_create(err, device, &inputs);
  if (!status) status = gh_graph_create(err, device, &g);
  if (!status) {
    gh_module m = {.graph = g, .store = store, .seed = seed};
    if (record(&m, config, inputs)) status = gh_fail(err, gh_graph_error(g)->status, "%s", gh_graph_error(g)->text);
  }
  if (!status) status = write_store(err, device, store, path, parameters);
  gh_graph_free(g);
  gh_store_free(inputs);
  gh_store_free(store);
  return status;
}
