/* Element types of tensors and kernels. */
#ifndef GH_BACKEND_DTYPE_H
#define GH_BACKEND_DTYPE_H

#include <stddef.h>

typedef enum gh_dtype { GH_F32, GH_BF16, GH_I32, GH_U32, GH_DTYPES } gh_dtype;

size_t gh_dtype_size(gh_dtype dtype); /* bytes per element */
const char *gh_dtype_name(gh_dtype dtype);

#endif
