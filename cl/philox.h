/* Random numbers with the same bits on every device: one source for C11 (base/random.c), OpenCL C 1.2 and CUDA.
 *
 *   key     = two words per stream, from the host (base/random.h: seed, stage, purpose, name of the tensor)
 *   counter = { block low, block high, ordinal low, ordinal high },  block = element / 4
 *   words   = Philox4x32-10(counter, key): the elements 4 block .. 4 block + 3   (Salmon et al. 2011)
 *
 * Floats come from integers by additions, multiplications and fma only: no library function and no division, whose last
 * bits differ between vendors; no expression a*b + c outside fma, so that no compiler can contract one; no denormals.
 * The polynomials are minimax fits (Remez) for these intervals; tests/test_random.c checks their errors against
 * libm. */
#ifndef GH_PHILOX_H
#define GH_PHILOX_H

#if defined(__OPENCL_VERSION__) || defined(__OPENCL_C_VERSION__) /* a bare clang defines only the second */
#pragma OPENCL FP_CONTRACT OFF
typedef uint gh_u32;
typedef ulong gh_u64;
#ifdef INLINE_IS_STATIC /* by platform.h */
#define GH_PHILOX_FN inline
#else
#define GH_PHILOX_FN static inline
#endif
#define GH_FMA(a, b, c)    fma(a, b, c)
#define GH_AS_FLOAT(bits)  as_float(bits)
#define GH_AS_BITS(number) as_uint(number)
#elif defined(__CUDACC__) || defined(__CUDACC_RTC__)
typedef unsigned int gh_u32;
typedef unsigned long long gh_u64;
#define GH_PHILOX_FN       static __device__ __forceinline__
#define GH_FMA(a, b, c)    __fmaf_rn(a, b, c)
#define GH_AS_FLOAT(bits)  __uint_as_float(bits)
#define GH_AS_BITS(number) __float_as_uint(number)
#else
#include <math.h>
#include <stdint.h>
#include <string.h>
typedef uint32_t gh_u32;
typedef uint64_t gh_u64;
#define GH_PHILOX_FN    static inline
#define GH_FMA(a, b, c) fmaf(a, b, c)
GH_PHILOX_FN float GH_AS_FLOAT(gh_u32 bits) {
  float number;
  memcpy(&number, &bits, sizeof number);
  return number;
}
GH_PHILOX_FN gh_u32 GH_AS_BITS(float number) {
  gh_u32 bits;
  memcpy(&bits, &number, sizeof bits);
  return bits;
}
#endif

/* ---- words ---- */

typedef struct gh_words {
  gh_u32 a, b, c, d; /* elements 0, 1, 2, 3 of the block */
} gh_words;

GH_PHILOX_FN gh_words gh_philox(gh_u32 c0, gh_u32 c1, gh_u32 c2, gh_u32 c3, gh_u32 k0, gh_u32 k1) {
  for (int round = 0; round < 10; round++) {
    gh_u64 left = (gh_u64)0xD2511F53u * c0, right = (gh_u64)0xCD9E8D57u * c2;
    c0 = (gh_u32)(right >> 32) ^ c1 ^ k0;
    c1 = (gh_u32)right;
    c2 = (gh_u32)(left >> 32) ^ c3 ^ k1;
    c3 = (gh_u32)left;
    k0 += 0x9E3779B9u; /* the Weyl sequence of the key: golden ratio, sqrt(3) - 1 */
    k1 += 0xBB67AE85u;
  }
  gh_words words;
  words.a = c0;
  words.b = c1;
  words.c = c2;
  words.d = c3;
  return words;
}

GH_PHILOX_FN gh_words gh_block_words(gh_u32 key0, gh_u32 key1, gh_u64 ordinal, gh_u64 block) {
  return gh_philox((gh_u32)block, (gh_u32)(block >> 32), (gh_u32)ordinal, (gh_u32)(ordinal >> 32), key0, key1);
}

GH_PHILOX_FN gh_u32 gh_word_at(gh_u32 key0, gh_u32 key1, gh_u64 ordinal, gh_u64 element) {
  gh_words w = gh_block_words(key0, key1, ordinal, element >> 2);
  gh_u32 low = (element & 1) ? w.b : w.a, high = (element & 1) ? w.d : w.c;
  return (element & 2) ? high : low;
}

/* ---- shuffles ---- */

#define GH_FEISTEL_ROUNDS 6

/* A bijection of [0, n), n >= 1, position < n: a Feistel network of Philox, one per key and salt. */
GH_PHILOX_FN gh_u64 gh_permuted(gh_u32 key0, gh_u32 key1, gh_u64 salt, gh_u64 position, gh_u64 n) {
  int bits = 1; /* per half; 2^(2 bits) >= n and < 4 n, so that cycle walking takes few steps */
  while (bits < 32 && ((n - 1) >> 2 * bits)) bits++;
  const gh_u64 mask = ((gh_u64)1 << bits) - 1;
  gh_u64 at = position;
  do {
    gh_u64 left = at >> bits, right = at & mask;
    for (gh_u32 round = 0; round < GH_FEISTEL_ROUNDS; round++) {
      gh_words w = gh_philox((gh_u32)right, round, (gh_u32)salt, (gh_u32)(salt >> 32), key0, key1);
      gh_u64 mixed = left ^ (w.a & mask);
      left = right;
      right = mixed;
    }
    at = left << bits | right;
  } while (at >= n); /* cycle walking: repeat the larger set's bijection until inside [0, n) */
  return at;
}

/* ---- uniforms: the midpoints of 2^23 equal parts of (0, 1), all exact ---- */

GH_PHILOX_FN float gh_uniform(gh_u32 word) { return (float)((word >> 8) | 1u) * 5.9604644775390625e-08f; }

GH_PHILOX_FN float gh_uniform_at(gh_u32 key0, gh_u32 key1, gh_u64 ordinal, gh_u64 element) {
  return gh_uniform(gh_word_at(key0, key1, ordinal, element));
}

/* ---- masks ---- */

#define GH_MASK_LIMIT 4194304 /* 2^22: positions, at most */

/* How many of n positions are masked for the uniform number u: r n rounded half to even, r = low + (high - low) u; at
 * least 1, at most n - 1. 0 <= low <= high <= 1, 2 <= n <= GH_MASK_LIMIT. */
GH_PHILOX_FN int gh_mask_count(float u, float low, float high, int n) {
  float r = GH_FMA(high - low, u, low);
  r = r > high ? high : r;
  int count = (int)(GH_FMA(r, (float)n, 12582912.0f) - 12582912.0f); /* adding 1.5 2^23 rounds to an integer */
  count = count > n - 1 ? n - 1 : count;
  return count < 1 ? 1 : count;
}

/* ---- elementary functions ---- */

/* ln x, x > 0 and normal: x = m 2^k, m in [sqrt(1/2), sqrt(2)), f = m - 1 exact, ln m = f - f^2/2 + f^3 P(f). */
GH_PHILOX_FN float gh_exact_log(float x) {
  gh_u32 shifted = GH_AS_BITS(x) + (0x3F800000u - 0x3F3504F3u);
  float k = (float)((int)(shifted >> 23) - 127);
  float f = GH_AS_FLOAT((shifted & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f;
  float p = -0.0763451965675f;
  p = GH_FMA(p, f, 0.127615695913f);
  p = GH_FMA(p, f, -0.131601708026f);
  p = GH_FMA(p, f, 0.142017588389f);
  p = GH_FMA(p, f, -0.166233586282f);
  p = GH_FMA(p, f, 0.200012268522f);
  p = GH_FMA(p, f, -0.250008209977f);
  p = GH_FMA(p, f, 0.333333317082f);
  float tail = GH_FMA(f, p, -0.5f) * (f * f);
  /* ln 2 in two parts; the first has trailing zeros, so k times it is exact */
  tail = GH_FMA(k, 1.42860682030941723212e-06f, tail);
  return GH_FMA(k, 0.693145751953125f, f + tail);
}

/* e^x, -87 <= x <= 87: x = n ln 2 + r, |r| <= ln(2)/2, e^r = 1 + r + r^2 P(r). */
GH_PHILOX_FN float gh_exact_exp(float x) {
  float n = GH_FMA(x, 1.44269504088896f, 12582912.0f) - 12582912.0f; /* adding 1.5 2^23 rounds to an integer */
  float r = GH_FMA(n, -0.693145751953125f, x);
  r = GH_FMA(n, -1.42860682030941723212e-06f, r);
  float p = 0.00138141867335f;
  p = GH_FMA(p, r, 0.00836891359111f);
  p = GH_FMA(p, r, 0.0416684072411f);
  p = GH_FMA(p, r, 0.166665190071f);
  p = GH_FMA(p, r, 0.49999993338f);
  float power = GH_FMA(r * r, p, r) + 1.0f;
  return power * GH_AS_FLOAT((gh_u32)((int)n + 127) << 23);
}

/* sqrt x, 2^-100 <= x <= 2^100: Newton for 1/sqrt(x) from an integer guess, then one correction of the root itself. */
GH_PHILOX_FN float gh_exact_sqrt(float x) {
  float minus_half = -0.5f * x;
  float y = GH_AS_FLOAT(0x5F375A86u - (GH_AS_BITS(x) >> 1));
  y *= GH_FMA(minus_half * y, y, 1.5f);
  y *= GH_FMA(minus_half * y, y, 1.5f);
  y *= GH_FMA(minus_half * y, y, 1.5f);
  float root = x * y;
  return GH_FMA(GH_FMA(-root, root, x), 0.5f * y, root);
}

/* 1/x, 2^-120 <= x <= 2^120: Newton from an integer guess. */
GH_PHILOX_FN float gh_exact_reciprocal(float x) {
  float y = GH_AS_FLOAT(0x7EF311C7u - GH_AS_BITS(x));
  y = GH_FMA(y, GH_FMA(-x, y, 1.0f), y);
  y = GH_FMA(y, GH_FMA(-x, y, 1.0f), y);
  y = GH_FMA(y, GH_FMA(-x, y, 1.0f), y);
  return GH_FMA(y, GH_FMA(-x, y, 1.0f), y);
}

/* 1 / (1 + e^-x); x is clamped to +-80. */
GH_PHILOX_FN float gh_sigmoid_exact(float x) {
  x = x > 80.0f ? 80.0f : x;
  x = x < -80.0f ? -80.0f : x;
  return gh_exact_reciprocal(1.0f + gh_exact_exp(-x));
}

/* Sine and cosine of quadrant / 4 + x turns, |x| <= 1/8: sin(2 pi x) = x S(x^2), cos(2 pi x) = 1 + x^2 C(x^2). */
GH_PHILOX_FN void gh_sincos_of_rest(float x, gh_u32 quadrant, float *sine, float *cosine) {
  float z = x * x;
  float s = GH_FMA(-75.2428333436f, z, 81.5882066457f);
  s = GH_FMA(s, z, -41.3416287703f);
  s = GH_FMA(s, z, 6.28318522215f) * x;
  float c = GH_FMA(59.2460060911f, z, -85.4437430749f);
  c = GH_FMA(c, z, 64.9393264851f);
  c = GH_FMA(c, z, -19.7392086937f);
  c = GH_FMA(c, z, 1.0f);
  float swapped_s = (quadrant & 1u) ? c : s, swapped_c = (quadrant & 1u) ? s : c;
  *sine = (quadrant & 2u) ? -swapped_s : swapped_s;
  *cosine = ((quadrant + 1u) & 2u) ? -swapped_c : swapped_c;
}

/* Sine and cosine of word / 2^32 turns (its upper 26 bits, midpoints): a quadrant and an exact remainder within an
 * eighth of a turn. */
GH_PHILOX_FN void gh_exact_sincos(gh_u32 word, float *sine, float *cosine) {
  gh_u32 turned = word + 0x20000000u, quadrant = turned >> 30;
  int step = (int)((turned & 0x3FFFFFFFu) >> 6) - 8388608;
  float x = ((float)step + 0.5f) * 1.490116119384765625e-08f;
  gh_sincos_of_rest(x, quadrant, sine, cosine);
}

/* ---- normals: Box-Muller, two from two words; the radius keeps all 32 bits near zero, so tails reach 6.6 ---- */

GH_PHILOX_FN void gh_normal_pair(gh_u32 radius_word, gh_u32 angle_word, float *a, float *b) {
  /* 24 significant bits, so that the conversion to float is exact under any rounding */
  gh_u32 kept = radius_word < 0x01000000u ? (radius_word | 1u) : ((radius_word & 0xFFFFFE00u) | 0x100u);
  float radius = gh_exact_sqrt(-2.0f * gh_exact_log((float)kept * 2.3283064365386962890625e-10f));
  float sine, cosine;
  gh_exact_sincos(angle_word, &sine, &cosine);
  *a = radius * cosine;
  *b = radius * sine;
}

typedef struct gh_floats {
  float a, b, c, d; /* elements 0, 1, 2, 3 of the block */
} gh_floats;

GH_PHILOX_FN gh_floats gh_block_normals(gh_u32 key0, gh_u32 key1, gh_u64 ordinal, gh_u64 block) {
  gh_words w = gh_block_words(key0, key1, ordinal, block);
  gh_floats n;
  gh_normal_pair(w.a, w.b, &n.a, &n.b);
  gh_normal_pair(w.c, w.d, &n.c, &n.d);
  return n;
}

GH_PHILOX_FN float gh_normal_at(gh_u32 key0, gh_u32 key1, gh_u64 ordinal, gh_u64 element) {
  gh_words w = gh_block_words(key0, key1, ordinal, element >> 2);
  gh_u32 radius_word = (element & 2) ? w.c : w.a, angle_word = (element & 2) ? w.d : w.b;
  float a, b;
  gh_normal_pair(radius_word, angle_word, &a, &b);
  return (element & 1) ? b : a;
}

/* ---- Gumbel noise: -ln(-ln u), from -2.82 to 16.64 ---- */

GH_PHILOX_FN float gh_gumbel(gh_u32 word) { return -gh_exact_log(-gh_exact_log(gh_uniform(word))); }

GH_PHILOX_FN gh_floats gh_block_gumbels(gh_u32 key0, gh_u32 key1, gh_u64 ordinal, gh_u64 block) {
  gh_words w = gh_block_words(key0, key1, ordinal, block);
  gh_floats n;
  n.a = gh_gumbel(w.a);
  n.b = gh_gumbel(w.b);
  n.c = gh_gumbel(w.c);
  n.d = gh_gumbel(w.d);
  return n;
}

GH_PHILOX_FN float gh_gumbel_at(gh_u32 key0, gh_u32 key1, gh_u64 ordinal, gh_u64 element) {
  return gh_gumbel(gh_word_at(key0, key1, ordinal, element));
}

#endif
