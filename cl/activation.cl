/* GELU (both kinds), quick GELU, SiLU. Kinds are gh_activation_kind of ops.h: 0 gelu_erf, 1 gelu_tanh, 2 quick_gelu,
 * 3 silu. All but the first are x sigmoid(inner(x)); 0.5 (1 + tanh u) = sigmoid(2 u). */
#include "functions.h"

#define GELU_ERF    0
#define GELU_TANH   1
#define QUICK_GELU  2

#define GELU_LINEAR 1.59576912f   /* 2 sqrt(2 / pi) */
#define GELU_CUBIC  0.0713548163f /* 2 sqrt(2 / pi) 0.044715 */
#define QUICK_SCALE 1.702f

inline vec activation_inner(vec x, int32 kind, vec *slope) {
  if (kind == GELU_TANH) {
    vec square = x * x;
    *slope = fma(square, VEC(3.0f * GELU_CUBIC), VEC(GELU_LINEAR));
    return x * fma(square, VEC(GELU_CUBIC), VEC(GELU_LINEAR));
  }
  const float scale = kind == QUICK_GELU ? QUICK_SCALE : 1.0f;
  *slope = VEC(scale);
  return scale * x;
}

KERNEL void activation_forward(GLOBAL ELEM *y, GLOBAL const ELEM *x, int32 kind, int64 n) {
  vec ignored;
  if (kind == GELU_ERF) {
    FOR_PIECES(i, n) {
      vec v[PIECE];
      piece_load(v, x, i, n);
      EACH_OF_PIECE(k) v[k] *= vec_normal(v[k], &ignored);
      piece_store(y, i, n, v);
    }
  } else {
    FOR_PIECES(i, n) {
      vec v[PIECE];
      piece_load(v, x, i, n);
      EACH_OF_PIECE(k) v[k] *= vec_sigmoid(activation_inner(v[k], kind, &ignored));
      piece_store(y, i, n, v);
    }
  }
}

/* dx = dy (cdf + x density), or dy (s + x s (1 - s) inner'(x)); dx may be dy. */
KERNEL void activation_backward(GLOBAL ELEM *dx, GLOBAL const ELEM *dy, GLOBAL const ELEM *x, int32 kind, int64 n) {
  if (kind == GELU_ERF) {
    FOR_PIECES(i, n) {
      vec v[PIECE], d[PIECE];
      piece_load(v, x, i, n);
      piece_load(d, dy, i, n);
      EACH_OF_PIECE(k) {
        vec density, cdf = vec_normal(v[k], &density);
        d[k] *= fma(v[k], density, cdf);
      }
      piece_store(dx, i, n, d);
    }
  } else {
    FOR_PIECES(i, n) {
      vec v[PIECE], d[PIECE];
      piece_load(v, x, i, n);
      piece_load(d, dy, i, n);
      EACH_OF_PIECE(k) {
        vec slope, s = vec_sigmoid(activation_inner(v[k], kind, &slope));
        d[k] = d[k] * s * fma(v[k] * (1.0f - s), slope, VEC(1.0f));
      }
      piece_store(dx, i, n, d);
    }
  }
}
