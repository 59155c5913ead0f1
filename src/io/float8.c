#include "io/float8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/json.h"

float gh_f8_e4m3_to_f32(uint8_t byte) {
  const int exponent = byte >> 3 & 15, mantissa = byte & 7;
  float value = exponent ? ldexpf((float)(8 + mantissa), exponent - 10) : ldexpf((float)mantissa, -9);
  if ((byte & 127) == 127) value = NAN;
  return byte & 128 ? -value : value;
}

float gh_f8_e5m2_to_f32(uint8_t byte) { return gh_f16_to_f32((uint16_t)(byte << 8)); } /* the upper half of an F16 */

/* ---- scales ---- */

static int by_name(const void *a, const void *b) {
  return strcmp(((const gh_st_tensor *)a)->name, ((const gh_st_tensor *)b)->name);
}

/* The tensor "BEFORE AFTER" (without the blank), NULL if there is none. */
static gh_status find(gh_error *err, gh_st_tensor *tensors, size_t count, const char *before, size_t length,
                      const char *after, gh_st_tensor **out) {
  char *name = gh_format(err, "%.*s%s", (int)length, before, after);
  const gh_st_tensor wanted = {.name = name};
  if (!name) return GH_ERROR_MEMORY;
  *out = bsearch(&wanted, tensors, count, sizeof wanted, by_name);
  free(name);
  return GH_OK;
}

static gh_status check_scale(gh_error *err, const gh_st_tensor *scale, int64_t at, bool zero, float *value) {
  gh_status status = gh_st_read_f32(err, scale, at, 1, value);
  if (status || (isfinite(*value) && (*value > 0 || (zero && *value == 0)))) return status;
  return gh_fail(err, GH_ERROR_FORMAT, "%s: the scale \"%.200s\" is %g", scale->file, scale->name, (double)*value);
}

#define USUAL_BLOCK 128 /* DeepSeek's and transformers' */

/* The size of `parts` blocks of a dimension. Equal blocks, and those of the usual size, may both be meant: 0 where they
 * differ, and where neither fits. */
static int64_t block_of(int64_t size, int64_t parts) {
  const int64_t equal = size % parts ? 0 : size / parts;
  const int64_t usual = GH_CEIL_DIV(size, USUAL_BLOCK) == parts ? USUAL_BLOCK : 0;
  if (parts == 1 || parts == size) return equal;
  if (equal && usual && equal != usual) return 0;
  return equal ? equal : usual;
}

/* Takes scales per row, or per block of rows and columns. */
static gh_status take_scales(gh_error *err, gh_st_tensor *t, gh_st_tensor *from) {
  int rank = from->rank;
  while (rank > 0 && from->shape[rank - 1] == 1) rank--;
  const int64_t rows = t->rank > 1 ? t->shape[0] : 0, width = rows ? t->elements / rows : 0;
  const int64_t grid[2] = {rank > 0 ? from->shape[0] : 1, rank > 1 ? from->shape[1] : 1};
  bool fits = rank <= 2 && rows > 0 && width > 0 && grid[0] > 0 && grid[1] > 0 && grid[0] <= rows && grid[1] <= width;
  if (fits && grid[1] > 1) fits = width == t->shape[1]; /* of a convolution the columns would be of several kinds */
  const int64_t block[2] = {fits ? block_of(rows, grid[0]) : 0, fits ? block_of(width, grid[1]) : 0};
  if (!block[0] || !block[1]) {
    char have[96], scales[96];
    gh_shape_text(have, sizeof have, t->rank, t->shape);
    gh_shape_text(scales, sizeof scales, from->rank, from->shape);
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s: tensor \"%.120s\" of shape %s has %lld scales, \"%.120s\" of shape %s; supported is one per "
                   "tensor, row or block of a size that the shapes determine",
                   t->file, t->name, have, (long long)from->elements, from->name, scales);
  }
  for (int64_t i = 0; i < from->elements; i++) {
    float value = 0;
    if (check_scale(err, from, i, true, &value)) return err->status;
  }
  t->scales = (gh_st_scales){
      .data = from->data, .dtype = from->dtype, .columns = grid[1], .block = {block[0], block[1]}, .width = width};
  return GH_OK;
}

static gh_status take_scale(gh_error *err, gh_st_tensor *t, gh_st_tensor *scale) {
  float value = 0;
  if (t->scale != 0 || t->scales.data)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: tensor \"%.200s\" has two scales, one is \"%.200s\"", t->file, t->name,
                   scale->name);
  gh_status status = scale->elements == 1 ? check_scale(err, scale, 0, false, &value) : take_scales(err, t, scale);
  t->scale = value;
  scale->applied = true;
  return status;
}

/* ComfyUI's description of a layer: {"format": "float8_e4m3fn", ...}. Other formats store something else. */
static gh_status check_format(gh_error *err, gh_st_tensor *t, gh_st_tensor *from) {
  static const char *const formats[] = {[GH_ST_F8_E4M3] = "float8_e4m3fn", [GH_ST_F8_E5M2] = "float8_e5m2"};
  gh_json *root = NULL;
  const char *format = "";
  if (from->dtype != GH_ST_U8)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: \"%.200s\" is not a text", from->file, from->name);
  gh_status status = gh_json_parse(err, &root, from->name, from->data, from->bytes, 4096);
  if (!status) status = gh_json_opt_string(err, root, "format", &format);
  if (!status && strcmp(format, formats[t->dtype]))
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: \"%.200s\": the format %s is not supported", from->file,
                     from->name, format);
  gh_json_free(root);
  return status;
}

/* `length` bytes of the name are followed by `after`. */
static gh_status scale_one(gh_error *err, gh_st_tensor *tensors, size_t count, gh_st_tensor *t) {
  const size_t all = strlen(t->name), stem = gh_ends_with(t->name, "weight") ? all - strlen("weight") : 0;
  const struct {
    size_t length;
    const char *after;
    gh_status (*take)(gh_error *err, gh_st_tensor *t, gh_st_tensor *found); /* NULL: of activations, which stay exact */
  } places[] = {{all, "_scale", take_scale},        {all, "_scale_inv", take_scale},
                {stem, "scale_weight", take_scale}, {stem, "comfy_quant", check_format},
                {stem, "input_scale", NULL},        {stem, "scale_input", NULL}};
  for (size_t i = 0; i < GH_COUNT(places); i++) {
    gh_st_tensor *found = NULL;
    if (!places[i].length) continue;
    gh_status status = find(err, tensors, count, t->name, places[i].length, places[i].after, &found);
    if (!status && found && places[i].take) status = places[i].take(err, t, found);
    if (status) return status;
    if (found) found->applied = true;
  }
  return GH_OK;
}

gh_status gh_float8_scale(gh_error *err, gh_st_tensor *tensors, size_t count) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < count && !status; i++) {
    gh_st_tensor *t = &tensors[i];
    if (t->applied || t->scale != 0 || t->scales.data || (t->dtype != GH_ST_F8_E4M3 && t->dtype != GH_ST_F8_E5M2))
      continue;
    if (!strcmp(t->name, "scaled_fp8"))
      t->applied = true;
    else
      status = scale_one(err, tensors, count, t);
  }
  return status;
}
