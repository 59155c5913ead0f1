/* Writes tensors of a device into a safetensors file, one after the other: the host holds one at a time. */
#ifndef GH_MODELS_TENSORS_WRITE_H
#define GH_MODELS_TENSORS_WRITE_H

#include "models/module.h"

typedef struct gh_named_tensor {
  gh_name name; /* in the file */
  const gh_tensor *tensor;
  const int32_t
      *index; /* (B, M) or NULL: only rows of the tensor (B, M, C) with an index >= 0 are written, (rows, C) */
} gh_named_tensor;

/* Looks at the n values of list[index], a float tensor, before they are written, and may change them. */
typedef void gh_tensor_visit(void *user, int index, float *values, int64_t n);

/* The two halves: declares each tensor in its shape, as float32 or, if its
 * elements are integers, int32; then, after gh_safetensors_writer_begin, writes their
 * values. visit may be NULL. */
gh_status gh_tensors_declare(gh_error *err, gh_safetensors_writer *writer, const gh_named_tensor *list, int count);
gh_status gh_tensors_write(gh_error *err, gh_safetensors_writer *writer, gh_device *device, const gh_named_tensor *list,
                           int count, gh_tensor_visit *visit, void *user);

/* A file with only these tensors: declares, begins, writes and finishes. The caller has set the metadata. */
gh_status gh_tensors_write_all(gh_error *err, gh_safetensors_writer *writer, gh_device *device,
                               const gh_named_tensor *list, int count, gh_tensor_visit *visit, void *user);

#endif
