/* The elements of tensors in any strides, and files of torch.save as sets of safetensors. */
#include "io/torch_internal.h"

#include <stdlib.h>
#include <string.h>

/* `count` elements of `size` bytes, `stride` elements apart. */
static void copy_row(char *out, const char *from, int64_t count, int64_t stride, size_t size) {
  if (stride == 1) {
    memcpy(out, from, (size_t)count * size);
    return;
  }
  for (int64_t i = 0; i < count; i++) memcpy(out + (size_t)i * size, from + (size_t)(i * stride) * size, size);
}

void gh_torch_read(const gh_torch_tensor *t, int64_t first, int64_t n, void *out) {
  const size_t size = gh_st_dtype_bytes(t->st.dtype);
  const int last = t->st.rank - 1;
  int64_t at[GH_ST_MAX_RANK] = {0}, rest = first;
  char *to = out;
  if (n <= 0) return;
  if (t->contiguous) {
    memcpy(to, (const char *)t->st.data + (size_t)first * size, (size_t)n * size);
    return;
  }
  for (int i = last; i >= 0; i--) { /* a tensor without dimensions is contiguous */
    at[i] = rest % t->st.shape[i];
    rest /= t->st.shape[i];
  }
  while (n > 0) {
    const int64_t count = GH_MIN(n, t->st.shape[last] - at[last]);
    int64_t place = 0;
    for (int i = 0; i <= last; i++) place += at[i] * t->stride[i];
    copy_row(to, (const char *)t->st.data + (size_t)place * size, count, t->stride[last], size);
    to += (size_t)count * size;
    n -= count;
    at[last] += count;
    for (int i = last; i > 0 && at[i] == t->st.shape[i]; i--) {
      at[i] = 0;
      at[i - 1]++;
    }
  }
}

static int by_place(const void *a, const void *b) {
  const gh_torch_tensor *x = *(const gh_torch_tensor *const *)a, *y = *(const gh_torch_tensor *const *)b;
  const uintptr_t i = (uintptr_t)x->st.data, j = (uintptr_t)y->st.data;
  if (i != j) return i < j ? -1 : 1;
  return x->st.bytes < y->st.bytes ? -1 : x->st.bytes > y->st.bytes;
}

gh_status gh_torch_tied(gh_error *err, const gh_torch_file *file, size_t *tied) {
  const gh_torch_tensor **sorted = gh_alloc(err, file->count, sizeof *sorted);
  *tied = 0;
  if (!sorted) return GH_ERROR_MEMORY;
  if (file->count) memcpy(sorted, file->by_name, file->count * sizeof *sorted);
  if (file->count) qsort(sorted, file->count, sizeof *sorted, by_place);
  for (size_t i = 1; i < file->count; i++) *tied += sorted[i]->st.bytes && !by_place(&sorted[i - 1], &sorted[i]);
  free(sorted);
  return GH_OK;
}

/* ---- as safetensors ---- */

typedef struct copies {
  gh_st_tensor *tensors;
  gh_strings names;
  void **owned;
  size_t owned_count, bytes;
} copies;

static gh_status add(gh_error *err, copies *c, const gh_torch_tensor *t, size_t i) {
  gh_st_tensor *st = &c->tensors[i];
  *st = t->st;
  if (gh_strings_add(err, &c->names, t->st.name)) return err->status;
  st->name = c->names.items[i];
  if (t->contiguous) return GH_OK;
  if (t->st.bytes > GH_TORCH_MAX_COPIED - c->bytes)
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s: the tensors that are not contiguous take more than %zu MiB: write the file as safetensors with "
                   "`genhance convert`",
                   t->st.file, GH_TORCH_MAX_COPIED >> 20);
  void *copy = gh_alloc(err, GH_MAX(t->st.bytes, (size_t)1), 1);
  if (!copy) return GH_ERROR_MEMORY;
  c->bytes += t->st.bytes;
  c->owned[c->owned_count++] = copy;
  gh_torch_read(t, 0, t->st.elements, copy);
  st->data = copy;
  return GH_OK;
}

/* Moves the mapped files out of `file`: the safetensors keep them. */
static gh_status move_files(gh_error *err, gh_safetensors **out, gh_torch_file *file) {
  gh_mapping *mappings = gh_alloc(err, file->part_count, sizeof *mappings);
  if (!mappings) return GH_ERROR_MEMORY;
  for (size_t i = 0; i < file->part_count; i++) {
    mappings[i] = file->parts[i].file;
    file->parts[i].file = (gh_mapping){0};
  }
  gh_status status = gh_safetensors_of_files(err, out, file->path, mappings, file->part_count);
  free(mappings);
  return status;
}

gh_status gh_torch_open_weights(gh_error *err, gh_safetensors **out, const char *path) {
  gh_torch_file *file = NULL;
  copies c = {0};
  *out = NULL;
  gh_status status = gh_torch_open(err, &file, path, NULL);
  if (status) return status;
  c.tensors = gh_alloc(err, file->count, sizeof *c.tensors);
  c.owned = gh_alloc(err, file->count, sizeof *c.owned);
  if (!c.tensors || !c.owned) status = GH_ERROR_MEMORY;
  for (size_t i = 0; i < file->count && !status; i++) status = add(err, &c, file->by_name[i], i);
  if (!status) status = move_files(err, out, file);
  if (status) {
    for (size_t i = 0; i < c.owned_count; i++) free(c.owned[i]);
    free(c.owned);
    gh_strings_free(&c.names);
  } else {
    status = gh_safetensors_remap(err, *out, c.tensors, file->count, c.names, c.owned, c.owned_count);
  }
  if (status) gh_safetensors_close(*out), *out = NULL;
  free(c.tensors);
  gh_torch_close(file);
  return status;
}
