#include "backend/gemm.h"

#include <stdio.h>

void gh_gemm_key(const gh_gemm_desc *desc, char *key, size_t size) {
  snprintf(key, size, "m=%lld n=%lld k=%lld %c%c batch=%lld beta=%d %s", (long long)desc->m, (long long)desc->n,
           (long long)desc->k, desc->trans_a ? 't' : 'n', desc->trans_b ? 't' : 'n', (long long)desc->batch,
           desc->beta != 0.0, gh_dtype_name(desc->dtype));
}

/* Elements from the start of the buffer to the end of the last matrix; -1 on overflow. */
static int64_t extent(int64_t offset, int64_t rows, int64_t columns, int64_t ld, int64_t batch, int64_t stride) {
  int64_t whole, matrix, end;
  if (__builtin_mul_overflow(batch - 1, stride, &whole) || __builtin_mul_overflow(rows - 1, ld, &matrix) ||
      __builtin_add_overflow(whole, matrix, &end) || __builtin_add_overflow(end, columns, &end) ||
      __builtin_add_overflow(end, offset, &end))
    return -1;
  return end;
}

static gh_status check_matrix(gh_error *err, const gh_device *d, const char *name, const gh_buffer *buffer,
                              int64_t elements, int64_t columns, int64_t ld, gh_dtype dtype) {
  if (!buffer) return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: no buffer for %s", name);
  if (ld < columns)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: rows of %s are %lld elements apart and %lld long", name,
                   (long long)ld, (long long)columns);
  int64_t room = d->backend->buffer_bytes(buffer) / (int64_t)gh_dtype_size(dtype);
  if (elements < 0 || elements > room)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: %s ends at element %lld, its buffer has %lld", name,
                   (long long)elements, (long long)room);
  return GH_OK;
}

gh_status gh_gemm_check(gh_error *err, const gh_device *d, const gh_gemm_desc *g, const gh_buffer *a,
                        const gh_buffer *b, const gh_buffer *c) {
  if (g->m < 1 || g->n < 1 || g->k < 1 || g->batch < 1)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: %lldx%lldx%lld, batch %lld", (long long)g->m, (long long)g->n,
                   (long long)g->k, (long long)g->batch);
  if (g->offset_a < 0 || g->offset_b < 0 || g->offset_c < 0 || g->stride_a < 0 || g->stride_b < 0 || g->stride_c < 0)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: a negative offset or stride");
  int64_t rows_a = g->trans_a ? g->k : g->m, columns_a = g->trans_a ? g->m : g->k;
  int64_t rows_b = g->trans_b ? g->n : g->k, columns_b = g->trans_b ? g->k : g->n;
  int64_t ends[] = {extent(g->offset_a, rows_a, columns_a, g->lda, g->batch, g->stride_a),
                    extent(g->offset_b, rows_b, columns_b, g->ldb, g->batch, g->stride_b),
                    extent(g->offset_c, g->m, g->n, g->ldc, g->batch, g->stride_c)};
  gh_status status = check_matrix(err, d, "A", a, ends[0], columns_a, g->lda, g->dtype);
  if (!status) status = check_matrix(err, d, "B", b, ends[1], columns_b, g->ldb, g->dtype);
  if (!status) status = check_matrix(err, d, "C", c, ends[2], g->n, g->ldc, g->dtype);
  return status;
}

gh_status gh_gemm_bind(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a, const gh_buffer *b,
                       gh_buffer *c, gh_launch **out) {
  gh_status status = gh_gemm_check(err, d, desc, a, b, c);
  return status ? status : d->backend->bind_library_gemm(err, d, desc, a, b, c, out);
}

void gh_gemm_state_free(gh_gemm_state *state) { (void)state; }
