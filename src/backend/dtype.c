#include "backend/dtype.h"

#include "base/half.h"

static const struct {
  const char *name;
  size_t size;
  double rounding, smallest;
  uint16_t (*narrow)(float value); /* of a narrow type */
  float (*widen)(uint16_t stored);
} dtypes[GH_DTYPES] = {[GH_F32] = {"f32", 4, 0x1p-24, 0x1p-149, NULL, NULL},
                       [GH_BF16] = {"bf16", 2, 0x1p-8, 0x1p-133, gh_f32_to_bf16, gh_bf16_to_f32},
                       [GH_F16] = {"f16", 2, 0x1p-11, 0x1p-24, gh_f32_to_f16, gh_f16_to_f32},
                       [GH_I32] = {"i32", 4, 0, 0, NULL, NULL},
                       [GH_U32] = {"u32", 4, 0, 0, NULL, NULL}};

static bool is_known(gh_dtype dtype) { return (unsigned)dtype < GH_DTYPES; }

size_t gh_dtype_size(gh_dtype dtype) { return is_known(dtype) ? dtypes[dtype].size : 0; }
const char *gh_dtype_name(gh_dtype dtype) { return is_known(dtype) ? dtypes[dtype].name : "unknown type"; }
bool gh_dtype_is_narrow(gh_dtype dtype) { return is_known(dtype) && dtypes[dtype].narrow; }
bool gh_dtype_is_float(gh_dtype dtype) { return dtype == GH_F32 || gh_dtype_is_narrow(dtype); }
double gh_dtype_rounding(gh_dtype dtype) { return dtypes[dtype].rounding; }
double gh_dtype_smallest(gh_dtype dtype) { return dtypes[dtype].smallest; }
uint16_t gh_narrow(gh_dtype dtype, float value) { return dtypes[dtype].narrow(value); }
float gh_widen(gh_dtype dtype, uint16_t stored) { return dtypes[dtype].widen(stored); }
