#include "graph/internal.h"

#include "base/array.h"

#include <stdlib.h>
#include <string.h>

gh_status gh_list_push(gh_error *err, gh_list *list, void *item) {
  if (GH_ARRAY_RESERVE(err, list->items, list->capacity, (size_t)list->count, 1)) return GH_ERROR_MEMORY;
  list->items[list->count++] = item;
  return GH_OK;
}

gh_tensor *gh_tensor_create(gh_error *err, const char *name, gh_lifetime lifetime, gh_dtype dtype, int rank,
                            const int64_t *shape) {
  if (rank < 0 || rank > GH_MAX_RANK) {
    gh_fail(err, GH_ERROR_ARGUMENT, "%s: rank %d is not in 0..%d", name, rank, GH_MAX_RANK);
    return NULL;
  }
  int64_t elements = 1;
  for (int i = 0; i < rank; i++) {
    if (shape[i] <= 0 || elements > (INT64_C(1) << 46) / shape[i]) {
      gh_fail(err, GH_ERROR_ARGUMENT, "%s: dimension %d has size %lld", name, i, (long long)shape[i]);
      return NULL;
    }
    elements *= shape[i];
  }
  gh_tensor *t = gh_alloc(err, 1, sizeof *t);
  if (!t) return NULL;
  t->name = gh_strdup(err, name);
  if (!t->name) {
    free(t);
    return NULL;
  }
  t->lifetime = lifetime;
  t->dtype = dtype;
  t->rank = rank;
  for (int i = 0; i < rank; i++) t->shape[i] = shape[i];
  t->plan.last = -1;
  return t;
}

void gh_tensor_free(gh_tensor *t) {
  if (!t) return;
  free(t->name);
  free(t);
}

gh_tensor *gh_tensor_root(const gh_tensor *t) {
  while (t->source) t = t->source;
  return (gh_tensor *)t;
}

gh_buffer *gh_tensor_buffer(const gh_tensor *t) { return gh_tensor_root(t)->buffer; }

bool gh_is_parameter(const gh_tensor *t) { return t->role >= GH_ROLE_MATRIX && t->role <= GH_ROLE_LORA_B; }

int64_t gh_tensor_elements(const gh_tensor *t) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++) n *= t->shape[i];
  return n;
}

int64_t gh_tensor_bytes(const gh_tensor *t) { return gh_tensor_elements(t) * (int64_t)gh_dtype_size(t->dtype); }

int64_t gh_tensor_columns(const gh_tensor *t) { return t->rank ? t->shape[t->rank - 1] : 1; }

int64_t gh_tensor_rows(const gh_tensor *t) { return gh_tensor_elements(t) / gh_tensor_columns(t); }

bool gh_same_shape(const gh_tensor *a, const gh_tensor *b) {
  if (a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++)
    if (a->shape[i] != b->shape[i]) return false;
  return true;
}

gh_dtype gh_operand_dtype(const gh_tensor *t) {
  const gh_tensor *root = gh_tensor_root(t);
  return root->working ? root->working->dtype : root->dtype;
}

gh_buffer *gh_operand_buffer(const gh_tensor *t) {
  const gh_tensor *root = gh_tensor_root(t);
  return root->working ? root->working->buffer : root->buffer;
}

gh_dtype gh_gradient_dtype(const gh_tensor *t) {
  bool wide = t->trainable || (t->producer && t->producer->op->flags & GH_OP_WIDE_GRADIENT);
  return wide ? GH_F32 : t->dtype;
}

static gh_status transferable(gh_error *err, const gh_tensor *t) {
  if (!gh_tensor_buffer(t))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s has no memory: not kept, or the graph is not planned", t->name);
  return GH_OK;
}

static gh_status write_rounded(gh_error *err, gh_device *device, gh_tensor *t, const float *values) {
  int64_t n = gh_tensor_elements(t);
  uint16_t *rounded = gh_alloc(err, (size_t)n, sizeof *rounded);
  if (!rounded) return GH_ERROR_MEMORY;
  for (int64_t i = 0; i < n; i++) rounded[i] = gh_narrow(t->dtype, values[i]);
  gh_status status = gh_tensor_write(err, device, t, rounded);
  free(rounded);
  return status;
}

gh_status gh_tensor_write(gh_error *err, gh_device *device, gh_tensor *t, const void *data) {
  const bool rounds = t->working && !t->working->unbacked;
  gh_status status = t->unbacked ? GH_OK : transferable(err, t);
  if (!status && !t->unbacked)
    status = device->backend->write(err, device, gh_tensor_buffer(t), 0, data, gh_tensor_bytes(t));
  return status || !rounds ? status : write_rounded(err, device, t->working, data);
}

gh_status gh_tensor_write_f32(gh_error *err, gh_device *device, gh_tensor *t, const float *values) {
  if (!gh_dtype_is_narrow(t->dtype)) return gh_tensor_write(err, device, t, values);
  return t->unbacked ? GH_OK : write_rounded(err, device, t, values);
}

gh_status gh_tensor_send(gh_error *err, gh_device *device, gh_tensor *t, const void *data) {
  if (t->unbacked) return GH_OK;
  gh_status status = transferable(err, t);
  if (status) return status;
  return device->backend->send(err, device, gh_tensor_buffer(t), 0, data, gh_tensor_bytes(t));
}

gh_status gh_tensor_read(gh_error *err, gh_device *device, const gh_tensor *t, void *data) {
  gh_status status = transferable(err, t);
  if (status) return status;
  return device->backend->read(err, device, gh_tensor_buffer(t), 0, data, gh_tensor_bytes(t));
}

gh_status gh_tensor_read_f32(gh_error *err, gh_device *device, const gh_tensor *t, float *values) {
  if (!gh_dtype_is_narrow(t->dtype)) return gh_tensor_read(err, device, t, values);
  int64_t n = gh_tensor_elements(t);
  uint16_t *stored = gh_alloc(err, (size_t)n, sizeof *stored);
  if (!stored) return GH_ERROR_MEMORY;
  gh_status status = gh_tensor_read(err, device, t, stored);
  for (int64_t i = 0; i < n && !status; i++) values[i] = gh_widen(t->dtype, stored[i]);
  free(stored);
  return status;
}
