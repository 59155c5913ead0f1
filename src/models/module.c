#include "models/module.h"
#include "base/random.h"
#include "models/adapter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

gh_init gh_init_fan_in(int64_t fan_in) { return (gh_init){GH_INIT_UNIFORM, 1 / sqrt((double)fan_in)}; }

gh_name gh_name_make(const char *format, ...) {
  gh_name name;
  va_list args;
  va_start(args, format);
  vsnprintf(name.text, sizeof name.text, format, args);
  va_end(args);
  return name;
}

void gh_init_draw(float *values, int64_t first, int64_t n, gh_init init, uint64_t seed, const char *name) {
  gh_stream stream = gh_stream_make(seed, 0, "init", name);
  if (init.kind == GH_INIT_NORMAL) gh_stream_normals(stream, 0, first, n, values);
  if (init.kind == GH_INIT_UNIFORM) gh_stream_uniforms(stream, 0, first, n, values);
  for (int64_t i = 0; i < n; i++) {
    double v = values[i];
    values[i] = (float)(init.kind == GH_INIT_CONSTANT  ? init.value
                        : init.kind == GH_INIT_UNIFORM ? init.value * (2 * v - 1)
                                                       : init.value * v);
  }
}

/* Values of the initialisation's average size, from a hash of the index instead of the counter-based generator: a
 * billion values per second. */
static void draft(float *values, int64_t n, gh_init init) {
  const float width = (float)(init.kind == GH_INIT_NORMAL ? init.value * sqrt(3.0) : init.value) * 0x1p-31f;
  for (int64_t i = 0; i < n; i++) {
    uint32_t x = (uint32_t)i * 0x9e3779b9u;
    x = (x ^ (x >> 16)) * 0x85ebca6bu;
    x = (x ^ (x >> 13)) * 0xc2b2ae35u;
    values[i] = init.kind == GH_INIT_CONSTANT ? (float)init.value : (float)(int32_t)(x ^ (x >> 16)) * width;
  }
}

static gh_status fill(gh_error *err, gh_module *m, gh_tensor *t, gh_init init) {
  const gh_st_tensor *saved = gh_lora_saved(m->lora, t->name);
  const gh_safetensors *weights = saved ? m->lora->adapter->file : m->weights;
  const char *name = saved ? saved->name : t->name;
  const bool filled = !t->unbacked || (t->working && !t->working->unbacked);
  if (!filled) return weights ? gh_safetensors_expect(err, weights, name, t->rank, t->shape, NULL) : GH_OK;
  int64_t n = gh_tensor_elements(t);
  float *values = gh_alloc(err, (size_t)n, sizeof *values);
  if (!values) return GH_ERROR_MEMORY;
  gh_status status = GH_OK;
  if (weights)
    status = gh_safetensors_load_f32(err, weights, name, t->rank, t->shape, values);
  else if (m->draft)
    draft(values, n, init);
  else
    gh_init_draw(values, 0, n, init, m->seed, t->name);
  if (!status) status = gh_tensor_write_f32(err, gh_graph_device(m->graph), t, values);
  free(values);
  return status;
}

static bool has_shape(const gh_tensor *t, int rank, const int64_t *shape) {
  bool same = t->rank == rank;
  for (int i = 0; same && i < rank; i++) same = t->shape[i] == shape[i];
  return same;
}

/* Which ops read a parameter: matrix products (in mixed precision a frozen one then has no float32 master), other ops,
 * or both. Both: the bias of a linear layer, which products may add before they round, and which LoRA may make
 * trainable later. */
typedef enum gh_use { USE_PRODUCTS, USE_OTHERS, USE_BOTH } gh_use;

/* How the module stores a trained parameter. */
static gh_dtype trained_dtype(const gh_module *m, gh_use use) {
  return use == USE_PRODUCTS && m->storage != GH_F32 ? m->master : GH_F32;
}

static gh_tensor *parameter(gh_module *m, gh_init init, gh_role role, gh_use use, int rank, const int64_t *shape,
                            const char *name) {
  if (gh_graph_failed(m->graph)) return NULL;
  gh_error *err = gh_graph_error(m->graph);
  gh_tensor *t = gh_store_find(m->store, name);
  bool trainable = m->trainable || gh_lora_saved(m->lora, name);
  if (t && !has_shape(t, rank, shape)) {
    gh_graph_fail(m->graph, NULL, "%s is requested with two shapes", name);
    return NULL;
  }
  if (!t) {
    gh_dtype stored = trainable ? trained_dtype(m, use) : use != USE_PRODUCTS ? GH_F32 : m->storage;
    bool working = use != USE_OTHERS && stored != m->storage;
    const bool away = m->offload && trainable && working && use == USE_PRODUCTS;
    if ((away ? gh_store_add_on_host : gh_store_add)(err, m->store, name, stored, rank, shape, &t)) return NULL;
    t->role = role;
    t->part = m->part;
    if ((working && gh_store_make_working(err, m->store, t, m->storage)) || fill(err, m, t, init)) return NULL;
  }
  if (trainable && t->dtype != GH_F32 && t->dtype != trained_dtype(m, use)) {
    gh_graph_fail(m->graph, NULL, "%s was frozen and is stored as %s: it cannot be trained", name,
                  gh_dtype_name(t->dtype));
    return NULL;
  }
  const bool narrow = use == USE_PRODUCTS && m->storage != GH_F32;
  if (trainable && gh_store_make_trainable_as(err, m->store, t, narrow ? m->gradient : GH_F32)) return NULL;
  return t;
}

typedef struct gh_long_name { /* holds a gh_name followed by ".weight" */
  char text[192];
} gh_long_name;

static gh_long_name formatted(const char *format, va_list args) {
  gh_long_name name;
  vsnprintf(name.text, sizeof name.text, format, args);
  return name;
}

gh_tensor *gh_matrix(gh_module *m, gh_init init, int rank, const int64_t *shape, const char *format, ...) {
  va_list args;
  va_start(args, format);
  gh_long_name name = formatted(format, args);
  va_end(args);
  return parameter(m, init, GH_ROLE_MATRIX, USE_PRODUCTS, rank, shape, name.text);
}

gh_tensor *gh_parameter(gh_module *m, gh_init init, int rank, const int64_t *shape, const char *format, ...) {
  va_list args;
  va_start(args, format);
  gh_long_name name = formatted(format, args);
  va_end(args);
  return parameter(m, init, GH_ROLE_PARAMETER, USE_OTHERS, rank, shape, name.text);
}

gh_tensor *gh_bias(gh_module *m, gh_init init, int64_t width, const char *format, ...) {
  va_list args;
  va_start(args, format);
  gh_long_name name = formatted(format, args);
  va_end(args);
  return parameter(m, init, GH_ROLE_BIAS, USE_OTHERS, 1, &width, name.text);
}

gh_tensor *gh_linear_bias(gh_module *m, gh_init init, int64_t width, const char *layer) {
  return parameter(m, init, GH_ROLE_BIAS, USE_BOTH, 1, &width, gh_name_make("%s.bias", layer).text);
}

gh_tensor *gh_positions(gh_module *m, gh_init init, int64_t tokens, int64_t width, const char *format, ...) {
  va_list args;
  va_start(args, format);
  gh_long_name name = formatted(format, args);
  va_end(args);
  return parameter(m, init, GH_ROLE_POSITIONS, USE_OTHERS, 2, (int64_t[]){tokens, width}, name.text);
}

gh_tensor *gh_table(gh_module *m, int rank, const int64_t *shape, const float *values, const char *name) {
  if (gh_graph_failed(m->graph)) return NULL;
  gh_error *err = gh_graph_error(m->graph);
  gh_tensor *t = gh_store_find(m->store, name);
  if (t) return t;
  if (gh_store_add(err, m->store, name, GH_F32, rank, shape, &t)) return NULL;
  t->role = GH_ROLE_TABLE;
  t->part = m->part;
  return gh_tensor_write(err, gh_graph_device(m->graph), t, values) ? NULL : t;
}
