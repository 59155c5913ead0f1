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
static gh_tensor *stored(gh_module *m, gh_init init, int rank, const int64_t *shape, gh_role role, const char *name) {
  gh_graph *g = m->graph;
  if (gh_graph_failed(g)) return NULL;
  bool fresh = !gh_store_find(m->store, name);
  gh_module plain = {
      .graph = g, .store = m->store, .seed = m->lora->seed, .draft = m->draft, .trainable = true, .part = m->part};
  gh_tensor *t = gh_parameter(&plain, init, rank, shape, "%s", name);
  if (t) t->role = role;
  if (!t || !fresh || !m->lora->adapter) return t;
  gh_name key = gh_name_make("base_model.model.%s", name);
  int64_t n = gh_tensor_elements(t);
  float *values = gh_alloc(gh_graph_error(g), (size_t)n, sizeof *values);
  gh_status status = GH_ERROR_MEMORY;
  if (values)
    status = gh_safetensors_load_f32(gh_graph_error(g), m->lora->adapter->file, key.text, rank, shape, values);
  if (!status) status = gh_tensor_write(gh_graph_error(g), gh_graph_device(g), t, values);
  free(values);
  return status ? NULL : t;
}

/* B begins at 0 and is small for long: in f16, whose smallest number is 2^-24, its first updates would be lost. So
 * products read a multiple of it, and their scale makes up for that. */
static double up_factor(const gh_module *m) { return m->storage == GH_F16 ? 0x1p10 : 1; }

/* A factor in the form that products read. Factors are split into two narrow numbers: rounding them to one bfloat16
 * changed the gradients more than all other roundings of mixed precision together. */
static gh_tensor *for_products(gh_module *m, gh_tensor *factor, bool up) {
  const double by = up ? up_factor(m) : 1;
  return factor && m->storage != GH_F32 ? gh_halves(m->graph, factor, up, by, m->storage) : factor;
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

/* A layer while it is recorded. */
typedef struct adapted {
  const char *layer;
  gh_tensor *x, *dropped;      /* (..., K) */
  gh_tensor *weight, *bias;    /* (N, K), (N) or NULL */
  gh_tensor *a, *b, *low, *up; /* the stored factors, x A^T and the form of B that products read */
  double scale, up_scale;      /* of A and B; of low and up */
  gh_dtype result;
} adapted;

static gh_tensor *as_shape(gh_module *m, gh_tensor *t, int rank, const int64_t *shape) {
  return t ? gh_reshape(m->graph, t, rank, shape) : NULL;
}

/* DoRA: the plain layer's result y, plus a gate per output for the part of it that is not the bias. With dropout that
 * part is of other inputs than y and needs products of its own. */
static gh_tensor *gated(gh_module *m, const adapted *l) {
  gh_graph *g = m->graph;
  int64_t n = l->weight->shape[0], shape[GH_MAX_RANK];
  gh_tensor *magnitude =
      stored(m, gh_init_constant(1), 1, &n, GH_ROLE_PARAMETER, gh_name_make("%s.lora_magnitude_vector", l->layer).text);
  gh_tensor *y = gh_linear_adapted(g, l->x, l->weight, l->bias, l->low, l->up, l->up_scale, GH_F32), *f = y;
  if (l->dropped != l->x)
    f = gh_linear_adapted(g, l->dropped, l->weight, NULL, l->low, l->up, l->up_scale, GH_F32);
  else if (l->bias)
    f = gh_add_scaled(g, y, l->bias, -1);
  gh_tensor *gate = gh_magnitude(g, l->weight, magnitude, l->a, l->b, l->scale);
  if (gh_graph_failed(g)) return NULL;
  int rank = y->rank;
  memcpy(shape, y->shape, sizeof shape);
  const int64_t flat[] = {1, gh_tensor_rows(y), n};
  gh_tensor *sum =
      gh_gated_add(g, as_shape(m, y, 3, flat), as_shape(m, f, 3, flat), as_shape(m, gate, 2, (int64_t[]){1, n}));
  return gh_cast(g, as_shape(m, sum, rank, shape), l->result);
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
  adapted l = {.layer = layer, .x = x, .weight = weight, .bias = bias, .result = result};
  l.scale = gh_lora_scale(lora, layer);
  l.up_scale = l.scale / up_factor(m);
  l.a =
      stored(m, gh_init_fan_in(k), 2, (int64_t[]){r, k}, GH_ROLE_LORA_A, gh_name_make("%s.lora_A.weight", layer).text);
  gh_tensor *down = for_products(m, l.a, false);
  l.b = stored(m, gh_init_constant(0), 2, (int64_t[]){n, r}, GH_ROLE_LORA_B,
               gh_name_make("%s.lora_B.weight", layer).text);
  l.up = for_products(m, l.b, true);
  gh_lora_bias_layer(m, bias, layer, true);
  l.dropped = dropped(m, x, layer);
  l.low = gh_linear(g, l.dropped, down, NULL);
  if (lora->adapter && lora->adapter->dora) return gated(m, &l);
  return gh_linear_adapted(g, x, weight, bias, l.low, l.up, l.up_scale, result);
}

void gh_lora_merge(float *weight, const float *a, const float *b, int64_t n, int64_t k, int rank, double scale) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < k; j++) {
      double sum = 0;
      for (int r = 0; r < rank; r++) sum += (double)b[i * rank + r] * (double)a[r * k + j];
      weight[i * k + j] = (float)((double)weight[i * k + j] + scale * sum);
    }
}
