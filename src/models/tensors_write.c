#include "models/tensors_write.h"

#include <stdlib.h>
#include <string.h>

/* The rows that `index` keeps. */
static int64_t kept_rows(const gh_named_tensor *t) {
  int64_t kept = 0;
  for (int64_t i = 0; i < t->tensor->shape[0] * t->tensor->shape[1]; i++) kept += t->index[i] >= 0;
  return kept;
}

gh_status gh_tensors_declare(gh_error *err, gh_safetensors_writer *writer, const gh_named_tensor *list, int count) {
  gh_status status = GH_OK;
  for (int i = 0; i < count && !status; i++) {
    const gh_tensor *t = list[i].tensor;
    const gh_st_dtype dtype = t->dtype == GH_I32 ? GH_ST_I32 : GH_ST_F32;
    const int64_t rows[2] = {list[i].index ? kept_rows(&list[i]) : 0, gh_tensor_columns(t)};
    status = gh_safetensors_writer_declare(err, writer, list[i].name.text, dtype, list[i].index ? 2 : t->rank,
                                           list[i].index ? rows : t->shape);
  }
  return status;
}

/* Moves the kept rows to the front; returns the number of their elements. Elements have 4 bytes. */
static int64_t keep_rows(const gh_named_tensor *t, char *values) {
  const size_t bytes = (size_t)gh_tensor_columns(t->tensor) * 4;
  int64_t kept = 0;
  for (int64_t i = 0; i < t->tensor->shape[0] * t->tensor->shape[1]; i++)
    if (t->index[i] >= 0) memmove(values + (size_t)kept++ * bytes, values + (size_t)i * bytes, bytes);
  return kept * gh_tensor_columns(t->tensor);
}

static gh_status write_one(gh_error *err, gh_safetensors_writer *writer, gh_device *device, const gh_named_tensor *one,
                           void *values, int index, gh_tensor_visit *visit, void *user) {
  const gh_tensor *t = one->tensor;
  const bool integers = t->dtype == GH_I32;
  int64_t n = gh_tensor_elements(t);
  gh_status status =
      integers ? gh_tensor_read(err, device, t, values) : gh_tensor_read_f32(err, device, t, (float *)values);
  if (status) return status;
  if (one->index) n = keep_rows(one, values);
  if (integers) return gh_safetensors_writer_write(err, writer, one->name.text, values, (size_t)n * sizeof(int32_t));
  if (visit) visit(user, index, values, n);
  return gh_safetensors_writer_write_f32(err, writer, one->name.text, values, n);
}

gh_status gh_tensors_write(gh_error *err, gh_safetensors_writer *writer, gh_device *device, const gh_named_tensor *list,
                           int count, gh_tensor_visit *visit, void *user) {
  gh_status status = GH_OK;
  for (int i = 0; i < count && !status; i++) {
    void *values = gh_alloc(err, (size_t)gh_tensor_elements(list[i].tensor), 4);
    status = values ? write_one(err, writer, device, &list[i], values, i, visit, user) : GH_ERROR_MEMORY;
    free(values);
  }
  return status;
}

gh_status gh_tensors_write_all(gh_error *err, gh_safetensors_writer *writer, gh_device *device,
                               const gh_named_tensor *list, int count, gh_tensor_visit *visit, void *user) {
  gh_status status = gh_tensors_declare(err, writer, list, count);
  if (!status) status = gh_safetensors_writer_begin(err, writer);
  if (!status) status = gh_tensors_write(err, writer, device, list, count, visit, user);
  return status ? status : gh_safetensors_writer_finish(err, writer);
}
