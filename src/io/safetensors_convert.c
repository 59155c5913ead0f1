/* The conversions of safetensors.h. Mapped data has no alignment: every element is copied out by memcpy. */
#include "base/half.h"
#include "io/float8.h"
#include "io/safetensors.h"

#include <string.h>

static gh_status check_range(gh_error *err, const gh_st_tensor *t, int64_t first, int64_t n) {
  if (first >= 0 && n >= 0 && first <= t->elements && n <= t->elements - first) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s: tensor \"%.200s\": elements %lld + %lld of %lld", t->file, t->name,
                 (long long)first, (long long)n, (long long)t->elements);
}

#define LOAD(type, variable)                                                                                           \
  type variable;                                                                                                       \
  memcpy(&variable, data + (size_t)i * sizeof variable, sizeof variable)
#define EACH(type, expression)                                                                                         \
  for (int64_t i = 0; i < n; i++) {                                                                                    \
    LOAD(type, v);                                                                                                     \
    out[i] = expression;                                                                                               \
  }                                                                                                                    \
  return gh_mapping_check(err, tensor->data)

static gh_status read_plain(gh_error *err, const gh_st_tensor *tensor, int64_t first, int64_t n, float *out) {
  const unsigned char *data = (const unsigned char *)tensor->data + (size_t)first * gh_st_dtype_bytes(tensor->dtype);
  const float scale = tensor->scale != 0 ? tensor->scale : 1;
  switch (tensor->dtype) {
  case GH_ST_F8_E4M3:
    EACH(uint8_t, gh_f8_e4m3_to_f32(v) * scale);
  case GH_ST_F8_E5M2:
    EACH(uint8_t, gh_f8_e5m2_to_f32(v) * scale);
  case GH_ST_F32:
    memcpy(out, data, (size_t)n * sizeof *out);
    return gh_mapping_check(err, tensor->data);
  case GH_ST_F16:
    EACH(uint16_t, gh_f16_to_f32(v));
  case GH_ST_BF16:
    EACH(uint16_t, gh_bf16_to_f32(v));
  case GH_ST_F64:
    EACH(double, (float)v);
  default:
    return gh_fail(err, GH_ERROR_FORMAT, "%s: tensor \"%.200s\" is %s, expected floats", tensor->file, tensor->name,
                   gh_st_dtype_name(tensor->dtype));
  }
}

/* Multiplies elements by the scales of their blocks. */
static gh_status scale_blocks(gh_error *err, const gh_st_tensor *tensor, int64_t first, int64_t n, float *out) {
  const gh_st_scales *s = &tensor->scales;
  const size_t size = gh_st_dtype_bytes(s->dtype);
  gh_st_tensor one = {.name = tensor->name, .file = tensor->file, .dtype = s->dtype, .elements = 1, .bytes = size};
  for (int64_t i = 0, run; i < n; i += run) {
    const int64_t row = s->row + (first + i) / s->width, column = (first + i) % s->width;
    const int64_t at = row / s->block[0] * s->columns + column / s->block[1];
    float scale = 1;
    one.data = (const char *)s->data + (size_t)at * size;
    if (read_plain(err, &one, 0, 1, &scale)) return err->status;
    run = GH_MIN(GH_MIN(n - i, s->width - column), s->block[1] - column % s->block[1]);
    for (int64_t k = 0; k < run; k++) out[i + k] *= scale;
  }
  return GH_OK;
}

gh_status gh_st_read_f32(gh_error *err, const gh_st_tensor *tensor, int64_t first, int64_t n, float *out) {
  gh_status status = check_range(err, tensor, first, n);
  if (status || !n) return status;
  gh_mapping_guard();
  status = read_plain(err, tensor, first, n, out);
  return status || !tensor->scales.data ? status : scale_blocks(err, tensor, first, n, out);
}

static gh_status read_u64(gh_error *err, const gh_st_tensor *tensor, const unsigned char *data, int64_t n,
                          int64_t *out) {
  for (int64_t i = 0; i < n; i++) {
    LOAD(uint64_t, v);
    if (v > INT64_MAX)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: tensor \"%.200s\" holds %llu, beyond int64", tensor->file, tensor->name,
                     (unsigned long long)v);
    out[i] = (int64_t)v;
  }
  return gh_mapping_check(err, tensor->data);
}

gh_status gh_st_read_i64(gh_error *err, const gh_st_tensor *tensor, int64_t first, int64_t n, int64_t *out) {
  gh_status status = check_range(err, tensor, first, n);
  if (status || !n) return status;
  gh_mapping_guard();
  const unsigned char *data = (const unsigned char *)tensor->data + (size_t)first * gh_st_dtype_bytes(tensor->dtype);
  switch (tensor->dtype) {
  case GH_ST_BOOL:
    EACH(uint8_t, v != 0);
  case GH_ST_U8:
    EACH(uint8_t, v);
  case GH_ST_I8:
    EACH(int8_t, v);
  case GH_ST_U16:
    EACH(uint16_t, v);
  case GH_ST_I16:
    EACH(int16_t, v);
  case GH_ST_U32:
    EACH(uint32_t, v);
  case GH_ST_I32:
    EACH(int32_t, v);
  case GH_ST_I64:
    EACH(int64_t, v);
  case GH_ST_U64:
    return read_u64(err, tensor, data, n, out);
  default:
    return gh_fail(err, GH_ERROR_FORMAT, "%s: tensor \"%.200s\" is %s, expected integers", tensor->file, tensor->name,
                   gh_st_dtype_name(tensor->dtype));
  }
}

gh_status gh_safetensors_load_f32(gh_error *err, const gh_safetensors *file, const char *name, int rank,
                                  const int64_t *shape, float *out) {
  const gh_st_tensor *tensor;
  for (int i = 0; i < rank; i++)
    if (shape[i] < 0)
      return gh_fail(err, GH_ERROR_ARGUMENT, "tensor \"%.200s\": an unknown size in the shape to load", name);
  gh_status status = gh_safetensors_expect(err, file, name, rank, shape, &tensor);
  if (!status) status = gh_st_read_f32(err, tensor, 0, tensor->elements, out);
  if (!status) gh_safetensors_release(file, tensor);
  return status;
}
