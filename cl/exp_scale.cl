/* y = exp(scale) x, scale (): a factor that is learnt as its logarithm. y may be x. */
#include "functions.h"

KERNEL void exp_scale_forward(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *scale, int64 n) {
  const float factor = float_exp(scale[0]);
  FOR_ELEMENTS_TOGETHER(first, n) {
    vec v[TOGETHER];
    EACH(k, i, first, n) v[k] = vec_load(x, i, n);
    EACH(k, i, first, n) vec_store(y, i, n, factor * v[k]);
  }
}
