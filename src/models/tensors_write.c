#include "models/tensors_write.h"

#include <stdlib.h>

gh_status gh_tensors_declare(gh_error *err, gh_safetensors_writer *writer, const gh_named_tensor *list, int count) {
  gh_status status = GH_OK;
  for (int i = 0; i < count && !status; i++) {
    const gh_tensor *t = list[i].tensor;
    status = gh_safetensors_writer_declare(err, writer, list[i].name.text, GH_ST_F32, t->rank, t->shape);
  }
  return status;
}

gh_status gh_tensors_write(gh_error *err, gh_safetensors_writer *writer, gh_device *device, const gh_named_tensor *list,
                           int count, gh_tensor_visit *visit, void *user) {
  gh_status status = GH_OK;
  for (int i = 0; i < count && !status; i++) {
    const gh_tensor *t = list[i].tensor;
    int64_t n = gh_tensor_elements(t);
    float *values = gh_alloc(err, (size_t)n, sizeof *values);
    status = values ? gh_tensor_read(err, device, t, values) : GH_ERROR_MEMORY;
    if (!status && visit) visit(user, i, values, n);
    if (!status) status = gh_safetensors_writer_write_f32(err, writer, list[i].name.text, values, n);
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
