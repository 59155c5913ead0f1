/* Random numbers per sample: sample b draws at the step block's ordinal + b, each element by its index in the sample,
 * so that numbers depend neither on the micro-batch nor on the position in it. A lane handles a block of four. */
#include "sample.h"
#include "words.h"

#define RANDOM_FLOATS(name, block_of, one_of)                                                                          \
  KERNEL void name(GLOBAL float *y, GLOBAL const uint32 *step, uint32 key0, uint32 key1, int64 samples, int64 n) {     \
    SAMPLE_ROW(samples, n);                                                                                            \
    if (!row_valid) return; /* no barrier below */                                                                     \
    const uint64 ordinal = step_ordinal(step) + (uint64)sample, block = (uint64)first >> 2;                            \
    y += sample * n + first;                                                                                           \
    const int blocks = (int)(count >> 2);                                                                              \
    for (int i = LANE; i < blocks; i += LANES) {                                                                       \
      const gh_floats v = block_of(key0, key1, ordinal, block + (uint64)i);                                            \
      ST(y, 4 * i, v.a);                                                                                               \
      ST(y, 4 * i + 1, v.b);                                                                                           \
      ST(y, 4 * i + 2, v.c);                                                                                           \
      ST(y, 4 * i + 3, v.d);                                                                                           \
    }                                                                                                                  \
    for (int64 i = 4 * blocks + LANE; i < count; i += LANES)                                                           \
      ST(y, i, one_of(key0, key1, ordinal, (uint64)(first + i)));                                                      \
  }
RANDOM_FLOATS(random_normal_forward, gh_block_normals, gh_normal_at)
RANDOM_FLOATS(random_gumbel_forward, gh_block_gumbels, gh_gumbel_at)

/* y[b] = sigmoid(scale * eps), eps normal; or uniform in (0, 1). One number per sample, its element 0. */
KERNEL void random_timestep_forward(GLOBAL float *y, GLOBAL const uint32 *step, uint32 key0, uint32 key1, int64 samples,
                                    int32 uniform, float scale) {
  SAMPLE_ROW(samples, (int64)1);
  if (!row_valid || LANE != 0 || count != 1) return;
  const uint64 ordinal = step_ordinal(step) + (uint64)sample;
  const float eps = gh_normal_at(key0, key1, ordinal, 0);
  ST(y, sample, uniform ? gh_uniform_at(key0, key1, ordinal, 0) : gh_sigmoid_exact(scale * eps));
}

/* count distinct numbers of [0, n) per sample: the places of 0, 1, ... in its shuffle. */
KERNEL void random_index_forward(GLOBAL int32 *y, GLOBAL const uint32 *step, uint32 key0, uint32 key1, int64 samples,
                                 int64 n, int64 count_per_sample) {
  SAMPLE_ROW(samples, count_per_sample);
  if (!row_valid) return;
  const uint64 ordinal = step_ordinal(step) + (uint64)sample;
  y += sample * count_per_sample + first;
  for (int64 i = LANE; i < count; i += LANES)
    y[i] = (int32)gh_permuted(key0, key1, ordinal, (uint64)(first + i), (uint64)n);
}

/* words (samples, n): the draws by which positions are ordered, as integers: gh_uniform is 2^-24 of them */
KERNEL void random_mask_draw(GLOBAL uint32 *words, GLOBAL const uint32 *step, uint32 key0, uint32 key1, int64 samples,
                             int64 n) {
  SAMPLE_ROW(samples, n);
  if (!row_valid) return;
  const uint64 ordinal = step_ordinal(step) + (uint64)sample;
  words += sample * n + first;
  for (int64 i = LANE; i < count; i += LANES) words[i] = gh_word_at(key0, key1, ordinal, (uint64)(first + i)) >> 8 | 1u;
}

/* y[b, i] = 1 if fewer positions of the sample come before i than are to be masked */
KERNEL void random_mask_forward(GLOBAL int32 *y, GLOBAL const uint32 *words, GLOBAL const uint32 *step, uint32 key0,
                                uint32 key1, float low, float high, int64 samples, int64 n) {
  SAMPLE_ROW(samples, n);
  if (!row_valid) return;
  const uint64 ordinal = step_ordinal(step) + (uint64)sample;
  const int masked = gh_mask_count(gh_uniform_at(key0, key1, ordinal, 0), low, high, (int)n);
  words += sample * n;
  y += sample * n;
  for (int64 i = first + LANE; i < first + count; i += LANES) {
    const uint32 mine = words[i];
    int before = 0;
    for (int64 k = 0; k < n; k++) before += words[k] < mine || (words[k] == mine && k < i);
    y[i] = before < masked;
  }
}

/* The least word with gh_uniform(word) >= p, 0 <= p < 1. The number is odd / 2^24, odd = word >> 8 | 1: all is exact.
 */
inline uint32 least_kept(float p) {
  const float odd = p * 16777216.0f; /* at least this */
  const uint32 whole = (uint32)odd, up = whole + ((float)whole < odd ? 1u : 0u);
  return (up & ~1u) << 8;
}

/* y = x * (uniform >= p ? scale : 0): a product, so that NaN propagates. y may be x. */
KERNEL void dropout_forward(GLOBAL ELEM *y, GLOBAL const ELEM *x, GLOBAL const uint32 *step, uint32 key0, uint32 key1,
                            float p, float scale, int64 samples, int64 n) {
  SAMPLE_ROW(samples, n);
  if (!row_valid) return;
  const uint64 ordinal = step_ordinal(step) + (uint64)sample;
  const uint32 least = least_kept(p);
  x += sample * n + first;
  y += sample * n + first;
#if PIECE > 1 /* a piece is whole blocks of four */
  FOR_ROW_PIECES(i, count) {
    uvec words[PIECE];
    vec v[PIECE];
    row_load(v, x, i, count);
    UNROLL for (int k = 0; k < PIECE; k += 4)
        words_of_elements(words + k, key0, key1, ordinal, (uint64)(first + i + k) >> 2);
    EACH_OF_PIECE(k) v[k] *= words[k] >= least ? VEC(scale) : VEC(0);
    row_store(y, i, count, v);
  }
#else
  for (int64 i = 4 * VW * LANE; i < count; i += 4 * VW * LANES) {
    uvec words[4];
    words_of_elements(words, key0, key1, ordinal, (uint64)(first + i) >> 2);
    if (i + 4 * VW <= count) {
#pragma unroll
      for (int k = 0; k < 4; k++)
        VEC_RAW_STORE(y, i + k * VW, VEC_RAW_LOAD(x, i + k * VW) * (words[k] >= least ? VEC(scale) : VEC(0)));
    } else {
      for (int k = 0; k < 4 && i + k * VW < count; k++)
        vec_store(y, i + k * VW, count, vec_load(x, i + k * VW, count) * (words[k] >= least ? VEC(scale) : VEC(0)));
    }
  }
#endif
}

/* y = scale * mask * x; y may be x. */
KERNEL void dropout_masked_forward(GLOBAL ELEM *y, GLOBAL const ELEM *x, GLOBAL const float *mask, float scale,
                                   int64 n) {
  FOR_PIECES(i, n) {
    vec v[PIECE], w[PIECE];
    piece_load(v, x, i, n);
    piece_load(w, mask, i, n);
    EACH_OF_PIECE(k) v[k] *= w[k] * scale;
    piece_store(y, i, n, v);
  }
}
