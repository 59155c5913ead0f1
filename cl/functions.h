/* Elementary functions from explicit fma, mul and add, so that their last bits are the same on every device with a
 * fused multiply-add and correctly rounded division; the polynomials are our own minimax fits. NaN propagates.
 * Errors in units of the last place, from tests/test_functions.c over all magnitudes:
 *
 *   vec_exp         2    (results below 1.2e-38 may be flushed to 0)
 *   vec_log         2
 *   vec_tanh        3
 *   vec_sigmoid     3
 *   vec_normal      cdf(x) of the standard normal: 6, including the lower tail; density: 3
 *
 * float_exp and float_log are the same functions for one number, with the same bits. */
#ifndef GH_FUNCTIONS_H
#define GH_FUNCTIONS_H

#include "platform.h"

#define ROUNDER      12582912.0f /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
#define ROUNDER_BITS 0x4b400000
#define LN2          0.693147182f
#define LN2_REST     -1.90465421e-9f
#define LOG2_E       1.44269502f

/* 2^n, n in -126..127 */
inline vec vec_power_of_two(veci n) { return INT_AS_VEC((n + 127) << 23); }

/* x = n ln 2 + r, |r| <= ln 2 / 2; returns exp(r) - 1 */
inline vec vec_reduced_expm1(vec x, veci *n) {
  vec rounded = fma(x, VEC(LOG2_E), VEC(ROUNDER));
  *n = VEC_AS_INT(rounded) - ROUNDER_BITS;
  vec nf = rounded - ROUNDER;
  vec r = fma(-nf, VEC(LN2_REST), fma(-nf, VEC(LN2), x));
  vec q = fma(r, VEC(1.39506e-3f), VEC(8.368954e-3f));
  q = fma(q, r, VEC(4.1666206e-2f));
  q = fma(q, r, VEC(1.6666518e-1f));
  q = fma(q, r, VEC(0.5f));
  return fma(r * r, q, r);
}

inline vec vec_exp(vec x) {
  veci n;
  x = x > 89.0f ? VEC(89.0f) : x; /* infinity from here on; NaN propagates */
  x = x < -104.0f ? VEC(-104.0f) : x;
  vec p = vec_reduced_expm1(x, &n) + 1.0f;
  veci half_n = n >> 1; /* 2^n in two factors: n exceeds the exponent range at both ends */
  return p * vec_power_of_two(half_n) * vec_power_of_two(n - half_n);
}

inline vec vec_log(vec x) {
  vec y = x < 1.17549435e-38f ? x * 8388608.0f : x; /* a subnormal times 2^23 */
  veci bits = VEC_AS_INT(y);
  veci e = (bits - 0x3f3504f3) >> 23; /* y = m 2^e, m in sqrt(1/2) .. sqrt(2) */
  vec f = INT_AS_VEC(bits - (e << 23)) - 1.0f;
  vec ef = INT_AS_VEC(e + ROUNDER_BITS) - (x < 1.17549435e-38f ? VEC(ROUNDER + 23.0f) : VEC(ROUNDER));
  vec s = f * f;
  vec p = fma(f, VEC(6.746601e-2f), VEC(-1.1675641e-1f));
  p = fma(p, f, VEC(1.1888175e-1f));
  p = fma(p, f, VEC(-1.24055915e-1f));
  p = fma(p, f, VEC(1.4219551e-1f));
  p = fma(p, f, VEC(-1.6667996e-1f));
  p = fma(p, f, VEC(2.0002119e-1f));
  p = fma(p, f, VEC(-2.500001e-1f));
  p = fma(p, f, VEC(3.3333313e-1f));
  p = fma(ef, VEC(-2.12194440e-4f), p * s * f); /* ln 2 in two parts; products of the first with e are exact */
  p = fma(VEC(-0.5f), s, p);
  vec result = fma(ef, VEC(0.693359375f), f + p);
  const float infinity = as_float(0x7f800000), none = as_float(0x7fc00000);
  result = x < infinity ? result : x;
  return x > 0.0f ? result : (x == 0.0f ? VEC(-infinity) : VEC(none));
}

/* With e = exp(2|x|) - 1: tanh |x| = e / (e + 2), accurate to the last places even near 0. */
inline vec vec_tanh(vec x) {
  veci n;
  vec a = fabs(x);
  a = a > 10.0f ? VEC(10.0f) : a;
  vec p = vec_reduced_expm1(2.0f * a, &n);
  vec power = vec_power_of_two(n);
  vec e = fma(p, power, power - 1.0f);
  return copysign(e / (e + 2.0f), x);
}

inline vec vec_sigmoid(vec x) { return 1.0f / (1.0f + vec_exp(-x)); }

/* cdf = P(X <= x) and density of the standard normal. The lower tail is exp(-x^2/2) times a polynomial of
 * 1 / (1 + 0.3 |x|), so that it keeps its relative accuracy. */
inline vec vec_normal(vec x, vec *density) {
  vec a = fabs(x);
  vec square = x * x, rest = fma(x, x, -square);
  rest = square < 1e30f ? rest : VEC(0.0f); /* avoids infinity - infinity; NaN propagates through square */
  vec e = vec_exp(-0.5f * square);
  e = fma(-0.5f * rest, e, e);
  *density = 0.398942280f * e;
  vec t = 1.0f / fma(a, VEC(0.3f), VEC(1.0f));
  vec p = fma(t, VEC(-2.0623513e-2f), VEC(1.1243583e-1f));
  p = fma(p, t, VEC(-2.2821409e-1f));
  p = fma(p, t, VEC(1.9178516e-1f));
  p = fma(p, t, VEC(-7.9424016e-2f));
  p = fma(p, t, VEC(9.615711e-2f));
  p = fma(p, t, VEC(7.8389555e-2f));
  p = fma(p, t, VEC(1.10235445e-1f));
  p = fma(p, t, VEC(1.1957182e-1f));
  p = fma(p, t, VEC(1.1968669e-1f));
  vec tail = p * t * e;
  return x > 0.0f ? 1.0f - tail : tail;
}

inline float float_exp(float x) { return VEC_FIRST(vec_exp(VEC(x))); }
inline float float_log(float x) { return VEC_FIRST(vec_log(VEC(x))); }

#endif
