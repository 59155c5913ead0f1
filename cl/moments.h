/* Moments of AdamW in eight bits. MOMENT_BLOCK elements share a scale, the power of two at or below the largest of them
 * (above it where rounding could reach the next power), so that a number that does not change keeps its code when the
 * scale moves. A code is a small floating-point number relative to the scale:
 *
 *   m   sign, 7 bits c: 0 if c is 0, else scale * 2^((c >> 3) - 15) * (1 + (c & 7) / 8)
 *   v   8 bits c:       scale * 2^((c >> 3) - 31) * (1 + (c & 7) / 8)
 *
 * A code is the lower or the higher number beside the value, at random and so that the average is the value: v changes
 * by a thousandth per update, which rounding to nearest would undo. What is too small for m is 0 or the smallest
 * number, also at random; what is too small for v becomes its smallest number, since AdamW divides by it.
 *
 * Memory of a tensor of n elements: blocks * MOMENT_BLOCK / 4 words of four codes, the first in the lowest byte; then
 * per block its scale, a float32 number. All zero: the moment is zero. */
#ifndef GH_MOMENTS_H
#define GH_MOMENTS_H

#include "words.h"

#define MOMENT_QUADS       (MOMENT_BLOCK / 4)
#define MOMENT_LEAST       63u /* exponent bits of the smallest scale, 2^-64: no product below is subnormal */
#define MOMENT_SCALE_M     15u /* binary places from the scale to the smallest numbers */
#define MOMENT_SCALE_V     31u
#define MOMENT_BASE(e, s)  (((e) - (s)) << 23)  /* float32 bits of the number with code 0 */
#define MOMENT_FRACTION(r) (((r)&0xFFFFu) << 4) /* 16 random bits against the 20 that a code leaves out */

/* The exponent bits of a block's scale from its largest magnitude. */
inline uint32 moment_exponent(float largest) {
  const uint32 exponent = (GH_AS_BITS(largest) + 0xFFFFFu) >> 23;
  return exponent < MOMENT_LEAST ? MOMENT_LEAST : exponent;
}

inline vec moment_m(uvec code, uint32 exponent) {
  const uvec size = code & 127u, zero = size ^ size;
  const uvec bits = ((size << 20) + MOMENT_BASE(exponent, MOMENT_SCALE_M)) | ((code & 128u) << 24);
  return UINT_AS_VEC(size != 0u ? bits : zero);
}

inline vec moment_v(uvec code, uint32 exponent) {
  return exponent ? UINT_AS_VEC((code << 20) + MOMENT_BASE(exponent, MOMENT_SCALE_V)) : VEC(0);
}

/* The lower half of the random words decides. */
inline uvec moment_code_m(vec m, uint32 exponent, uvec random) {
  const uint32 base = MOMENT_BASE(exponent, MOMENT_SCALE_M), least = base + (1u << 20);
  const uvec bits = VEC_AS_UINT(m), size = bits & 0x7FFFFFFFu, none = size ^ size;
  const uvec coded = (size - base + MOMENT_FRACTION(random)) >> 20;
  const vec middle = INT_TO_VEC(UVEC_AS_INT(((random & 0xFFFFu) << 1) + 1u)) * 7.62939453125e-06f; /* 2^-17 */
  const uvec rest = UINT_AS_VEC(size) > middle * GH_AS_FLOAT(least) ? none + 1u : none;
  return (size >= least ? coded : rest) | ((bits >> 24) & 128u);
}

/* The upper half decides. */
inline uvec moment_code_v(vec v, uint32 exponent, uvec random) {
  const uint32 base = MOMENT_BASE(exponent, MOMENT_SCALE_V);
  const uvec size = VEC_AS_UINT(v), smallest = size ^ size;
  return size >= base ? (size - base + MOMENT_FRACTION(random >> 16)) >> 20 : smallest;
}

/* The codes of elements 4 quad .. 4 quad + 4 VW - 1, codes[k] from 4 quad + k VW on. */
#ifdef CPU_SHAPE
inline void moment_codes_load(uvec *codes, GLOBAL const uint32 *words, int64 quad) {
  for (int k = 0; k < 4; k++) codes[k] = convert_uint16(vload16(k, (GLOBAL const uchar *)(words + quad)));
}
inline void moment_codes_store(GLOBAL uint32 *words, int64 quad, const uvec *codes) {
  for (int k = 0; k < 4; k++) vstore16(convert_uchar16(codes[k]), k, (GLOBAL uchar *)(words + quad));
}
#else
inline void moment_codes_load(uvec *codes, GLOBAL const uint32 *words, int64 quad) {
  const uint32 word = words[quad];
  UNROLL for (int k = 0; k < 4; k++) codes[k] = word >> 8 * k & 255u;
}
inline void moment_codes_store(GLOBAL uint32 *words, int64 quad, const uvec *codes) {
  words[quad] = codes[0] | codes[1] << 8 | codes[2] << 16 | codes[3] << 24;
}
#endif

#endif
