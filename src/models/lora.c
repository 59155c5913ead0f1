#include "models/lora.h"
#include "base/random.h"
#include "models/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool gh_lora_names(const char *target, const char *layer) {
  size_t n = strlen(target), length = strlen(layer);
  if (!strcmp(layer, target)) return true;
  return length > n && layer[length - n - 1] == '.' && !strcmp(layer + length - n, target);
}

const gh_st_tensor *gh_lora_saved(const gh_lora *lora, const char *name) {
  return lora && lora->adapter ? gh_adapter_saved(lora->adapter, name) : NULL;
}

bool gh_lora_targets(const gh_lora *lora, const char *layer) {
  if (gh_lora_saved(lora, gh_name_make("%s.weight", layer).text)) return false;
  if (!lora->targets) return true;
  for (int i = 0; i < lora->target_count; i++)
    if (gh_lora_names(lora->targets[i], layer)) return true;
  return false;
}

bool gh_lora_met(const gh_store *store, const char *target) {
  for (int i = 0; i < gh_store_count(store); i++) {
    const gh_tensor *t = gh_store_at(store, i);
    if (t->role != GH_ROLE_LORA_A) continue;
    int length = (int)(strlen(t->name) - strlen(".lora_A.weight"));
    if (gh_lora_names(target, gh_name_make("%.*s", length, t->name).text)) return true;
  }
  return false;
}

/* An adapter's tensor under PEFT's key ("base_model.model." in front), copied into the store under its plain name. */
static gh_tensor *stored_factor(gh_module *m, gh_init init, const int64_t *shape, gh_role role, const char *name) {
  gh_graph *g = m->graph;
  if (gh_graph_failed(g)) return NULL;
  bool fresh = !gh_store_find(m->store, name);
  gh_module plain = {
      .graph = g, .store = m->store, .seed = m->lora->seed, .draft = m->draft, .trainable = true, .part = m->part};
  gh_tensor *t = gh_parameter(&plain, init, 2, shape, "%s", name);
  if (t) t->role = role;
  if (!t || !fresh || !m->lora->adapter) return t;
  gh_name key = gh_name_make("base_model.model.%s", name);
  int64_t n = gh_tensor_elements(t);
  float *values = gh_alloc(gh_graph_error(g), (size_t)n, sizeof *values);
  gh_status status = GH_ERROR_MEMORY;
  if (values) status = gh_safetensors_load_f32(gh_graph_error(g), m->lora->adapter->file, key.text, 2, shape, values);
  if (!status) status = gh_tensor_write(gh_graph_error(g), gh_graph_device(g), t, values);
  free(values);
  return status ? NULL : t;
}

/* A factor in the form that products read. Factors are split into two bfloat16 numbers: rounding them to one changed
 * the gradients more than all other roundings of mixed precision together. */
static gh_tensor *factor(gh_module *m, gh_init init, const int64_t *shape, bool up, const char *layer) {
  gh_tensor *t = stored_factor(m, init, shape, up ? GH_ROLE_LORA_B : GH_ROLE_LORA_A,
                               gh_name_make("%s.lora_%c.weight", layer, up ? 'B' : 'A').text);
  return t && m->storage == GH_BF16 ? gh_bf16x2(m->graph, t, up) : t;
}

/* The adapter's values of a layer's bias, or NULL. */
static const gh_st_tensor *adapter_bias(const gh_lora *lora, const gh_tensor *bias, const char *layer) {
  if (!lora->adapter) return NULL;
  const gh_st_tensor *t = gh_adapter_bias(lora->adapter, layer);
  return t ? t : gh_adapter_alone(lora->adapter, bias->name);
}

/* Trains the layer's own bias, with the values of the adapter if it holds them. */
void gh_lora_bias_layer(gh_module *m, gh_tensor *bias, const char *layer, bool adapted) {
  gh_error *err = gh_graph_error(m->graph);
  if (gh_graph_failed(m->graph) || !bias || bias->trainable) return;
  const gh_st_tensor *given = adapter_bias(m->lora, bias, layer);
  if (m->lora->biases < (adapted || given ? GH_BIASES_ADAPTED : GH_BIASES_ALL)) return;
  if (gh_store_make_trainable(err, m->store, bias) || !given) return;
  float *values = gh_alloc(err, (size_t)bias->shape[0], sizeof *values);
  if (values && !gh_safetensors_load_f32(err, m->lora->adapter->file, given->name, 1, bias->shape, values))
    gh_tensor_write(err, gh_graph_device(m->graph), bias, values);
  free(values);
}

static gh_tensor *dropped(gh_module *m, gh_tensor *x, const char *layer) {
  const gh_lora *lora = m->lora;
  gh_stream stream = gh_stream_make(lora->seed, lora->stage, "dropout", layer);
  if (lora->mask) {
    gh_tensor *mask = lora->mask(lora->user, m->graph, layer, x);
    return mask ? gh_dropout(m->graph, x, NULL, mask, stream.key, lora->dropout) : x;
  }
  if (!lora->step || lora->dropout == 0) return x;
  return gh_dropout(m->graph, x, lora->step, NULL, stream.key, lora->dropout);
}

int gh_lora_rank(const gh_lora *lora, const char *layer) {
  return lora->adapter ? gh_adapter_rank(lora->adapter, layer) : lora->rank;
}

double gh_lora_scale(const gh_lora *lora, const char *layer) {
  return lora->adapter ? gh_adapter_scale(lora->adapter, layer) : lora->alpha / lora->rank;
}

gh_tensor *gh_lora_linear(gh_module *m, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, gh_dtype result,
                          const char *layer) {
  const gh_lora *lora = m->lora;
  gh_graph *g = m->graph;
  if (gh_graph_failed(g)) return NULL;
  if (!gh_lora_rank(lora, layer)) {
    gh_fail(gh_graph_error(g), GH_ERROR_CONFIG, "%s does not adapt %s, which stage2.lora.targets names",
            gh_safetensors_path(lora->adapter->file), layer);
    return NULL;
  }
  int64_t n = weight->shape[0], k = weight->shape[1], r = gh_lora_rank(lora, layer);
  gh_tensor *a = factor(m, gh_init_fan_in(k), (int64_t[]){r, k}, false, layer);
  gh_tensor *b = factor(m, gh_init_constant(0), (int64_t[]){n, r}, true, layer);
  gh_lora_bias_layer(m, bias, layer, true);
  gh_tensor *low = gh_linear(g, dropped(m, x, layer), a, NULL);
  return gh_linear_adapted(g, x, weight, bias, low, b, gh_lora_scale(lora, layer), result);
}

void gh_lora_merge(float *weight, const float *a, const float *b, int64_t n, int64_t k, int rank, double scale) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < k; j++) {
      double sum = 0;
      for (int r = 0; r < rank; r++) sum += (double)b[i * rank + r] * (double)a[r * k + j];
      weight[i * k + j] = (float)((double)weight[i * k + j] + scale * sum);
    }
}
