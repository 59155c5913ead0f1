/* Fourier transforms of any length, for lengths that the device's library does not support: one kernel, launched once
 * per factor of the length (Stockham's order, which needs no permutation). x and y are (outer, n, inner) complex
 * numbers, real and imaginary parts interleaved. A pass turns transforms of length `done` into length
 * next = done * factor:
 *
 *   y[s * next + k] = sum over q < factor of x[(s + n / next * q) * done + k mod done] * exp(-+ 2 pi i q k / next)
 *
 * for s < n / next and k < next. x and y must differ. */
#include "philox.h"

/* exp(2 pi i r / n), 0 <= r < n: the nearest quarter turn, and a remainder within an eighth. */
inline void fft_turn(int64 r, int64 n, float *cosine, float *sine) {
  const int64 quarter = (8 * r + n) / (2 * n);
  gh_sincos_of_rest((float)(4 * r - quarter * n) / (float)(4 * n), (uint32)quarter, sine, cosine);
}

KERNEL void fft_pass(GLOBAL float *y, GLOBAL const float *x, int64 outer, int64 n, int64 inner, int64 done,
                     int64 factor, float sign) {
  const int64 next = done * factor, rest = n / next, count = outer * n * inner;
  FOR_ELEMENTS(first, count) {
    for (int64 at = first; at < count && at < first + VW; at++) {
      const int64 line = at / inner, place = line % n, k = place % next, s = place / next;
      const int64 from = (line - place + s * done + k % done) * inner + at % inner;
      float re = 0, im = 0;
      int64 turned = 0; /* q k mod next */
      for (int64 q = 0; q < factor; q++) {
        float c, d;
        fft_turn(turned, next, &c, &d);
        d *= sign;
        const int64 i = 2 * (from + q * rest * done * inner);
        const float a = x[i], b = x[i + 1];
        re = fma(a, c, fma(-b, d, re));
        im = fma(a, d, fma(b, c, im));
        turned += k;
        turned -= turned >= next ? next : 0;
      }
      y[2 * at] = re;
      y[2 * at + 1] = im;
    }
  }
}
