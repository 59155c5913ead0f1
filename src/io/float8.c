#include "io/float8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"

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

static gh_status take_scale(gh_error *err, gh_st_tensor *t, gh_st_tensor *scale) {
  float value = 0;
  if (t->scale != 0)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: tensor \"%.200s\" has two scales, one is \"%.200s\"", t->file, t->name,
                   scale->name);
  if (scale->elements != 1)
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s: tensor \"%.200s\" has %lld scales, \"%.200s\"; only one scale per tensor is supported", t->file,
                   t->name, (long long)scale->elements, scale->name);
  gh_status status = gh_st_read_f32(err, scale, 0, 1, &value);
  if (!status && !(value > 0 && isfinite(value)))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: the scale \"%.200s\" is %g", scale->file, scale->name, (double)value);
  t->scale = value;
  scale->applied = true;
  return status;
}

/* `length` bytes of the name are followed by `after`. */
static gh_status scale_one(gh_error *err, gh_st_tensor *tensors, size_t count, gh_st_tensor *t) {
  const size_t all = strlen(t->name), stem = gh_ends_with(t->name, "weight") ? all - strlen("weight") : 0;
  const struct {
    size_t length;
    const char *after;
    bool scales; /* false: of activations, which are not rounded here */
  } places[] = {{all, "_scale", true},
                {all, "_scale_inv", true},
                {stem, "scale_weight", true},
                {stem, "input_scale", false},
                {stem, "scale_input", false}};
  for (size_t i = 0; i < GH_COUNT(places); i++) {
    gh_st_tensor *found = NULL;
    if (!places[i].length) continue;
    gh_status status = find(err, tensors, count, t->name, places[i].length, places[i].after, &found);
    if (!status && found && places[i].scales) status = take_scale(err, t, found);
    if (status) return status;
    if (found) found->applied = true;
  }
  return GH_OK;
}

gh_status gh_float8_scale(gh_error *err, gh_st_tensor *tensors, size_t count) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < count && !status; i++) {
    gh_st_tensor *t = &tensors[i];
    if (t->applied || t->scale != 0 || (t->dtype != GH_ST_F8_E4M3 && t->dtype != GH_ST_F8_E5M2)) continue;
    if (!strcmp(t->name, "scaled_fp8"))
      t->applied = true;
    else
      status = scale_one(err, tensors, count, t);
  }
  return status;
}
