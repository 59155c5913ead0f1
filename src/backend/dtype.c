#include "backend/dtype.h"

static const struct {
  const char *name;
  size_t size;
} dtypes[GH_DTYPES] = {[GH_F32] = {"f32", 4}, [GH_BF16] = {"bf16", 2}, [GH_I32] = {"i32", 4}, [GH_U32] = {"u32", 4}};

size_t gh_dtype_size(gh_dtype dtype) { return (unsigned)dtype < GH_DTYPES ? dtypes[dtype].size : 0; }
const char *gh_dtype_name(gh_dtype dtype) { return (unsigned)dtype < GH_DTYPES ? dtypes[dtype].name : "unknown type"; }
