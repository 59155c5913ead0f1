/* How large the changes of an adapter are. */
#include "base/build.h"
#include "models/adapter.h"

#include <math.h>
#include <stdlib.h>

/* m (rows, columns) -> the products of its rows (by_rows) or of its columns with each other, (n, n). */
static void gram(double *out, const float *m, int64_t rows, int64_t columns, bool by_rows) {
  const int64_t n = by_rows ? rows : columns, length = by_rows ? columns : rows;
  const int64_t step = by_rows ? 1 : columns, start = by_rows ? columns : 1;
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = 0; k <= i; k++) {
      double sum = 0;
      for (int64_t x = 0; x < length; x++) sum += (double)m[i * start + x * step] * (double)m[k * start + x * step];
      out[i * n + k] = out[k * n + i] = sum;
    }
}

/* |s B A|^2 = s^2 <B^T B, A A^T>: two small matrices instead of one of the layer's size. */
static gh_status norm_of(gh_error *err, double *out, const gh_st_tensor *a, const gh_st_tensor *b, double scale) {
  const int64_t r = a->shape[0], k = a->shape[1], n = b->shape[0];
  float *va = gh_alloc(err, (size_t)(r * k), sizeof *va), *vb = gh_alloc(err, (size_t)(n * r), sizeof *vb);
  double *ga = gh_alloc(err, (size_t)(r * r), sizeof *ga), *gb = gh_alloc(err, (size_t)(r * r), sizeof *gb), sum = 0;
  gh_status status = va && vb && ga && gb ? gh_st_read_f32(err, a, 0, r * k, va) : GH_ERROR_MEMORY;
  if (!status) status = gh_st_read_f32(err, b, 0, n * r, vb);
  if (!status) {
    gram(ga, va, r, k, true);
    gram(gb, vb, n, r, false);
    for (int64_t i = 0; i < r * r; i++) sum += ga[i] * gb[i];
    *out = fabs(scale) * sqrt(fmax(sum, 0));
  }
  free(va);
  free(vb);
  free(ga);
  free(gb);
  return status;
}

gh_status gh_adapter_norms(gh_error *err, const gh_adapter *adapter, double *norms) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < adapter->layers.count && !status; i++) {
    const char *layer = adapter->layers.items[i];
    const gh_st_tensor *a = gh_adapter_a(adapter, layer), *b = gh_adapter_b(adapter, layer);
    if (!a || !b || a->rank != 2 || b->rank != 2 || a->shape[0] != b->shape[1])
      return gh_fail(err, GH_ERROR_FORMAT, "%s: the matrices of %s do not fit", gh_safetensors_path(adapter->file),
                     layer);
    status = norm_of(err, &norms[i], a, b, gh_adapter_scale(adapter, layer));
  }
  return status;
}
