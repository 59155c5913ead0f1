/* Element types of tensors and kernels. Two of them are narrow: 16 bits, rounded from float32 when they are stored,
 * with all arithmetic in float32. */
#ifndef GH_BACKEND_DTYPE_H
#define GH_BACKEND_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum gh_dtype { GH_F32, GH_BF16, GH_F16, GH_I32, GH_U32, GH_DTYPES } gh_dtype;

size_t gh_dtype_size(gh_dtype dtype); /* bytes per element */
const char *gh_dtype_name(gh_dtype dtype);
bool gh_dtype_is_narrow(gh_dtype dtype);
bool gh_dtype_is_float(gh_dtype dtype);   /* float32 or narrow */
double gh_dtype_rounding(gh_dtype dtype); /* half the distance from 1 to the next number; 0 for integers */
double gh_dtype_smallest(gh_dtype dtype); /* the smallest subnormal number; 0 for integers */

/* One number of a narrow type, from and to float32; rounds to nearest even. */
uint16_t gh_narrow(gh_dtype dtype, float value);
float gh_widen(gh_dtype dtype, uint16_t stored);

#endif
