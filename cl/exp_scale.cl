/* y = exp(scale) x, scale (): a factor that is learnt as its logarithm. y may be x. */
#include "functions.h"

KERNEL void exp_scale_forward(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *scale, int64 n) {
  const float factor = float_exp(scale[0]);
  FOR_PIECES(i, n) {
    vec v[PIECE];
    piece_load(v, x, i, n);
    EACH_OF_PIECE(k) v[k] *= factor;
    piece_store(y, i, n, v);
  }
}
