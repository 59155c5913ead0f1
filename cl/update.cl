/* The update: gradient norm, clip factor and non-finite flag, AdamW. Nothing here waits for the host. */
#include "moments.h"
#include "sample.h"
#include "words.h"

/* ---- gradients that are bf16 ---- */

/* y += x for VW elements at a time, rounded at random: element i by word i of the stream at the micro-batch's ordinal.
 */
KERNEL void accumulate_bf16_update(GLOBAL bf16 *y, GLOBAL const float *x, GLOBAL const uint32 *step, uint32 key0,
                                   uint32 key1, int64 n) {
  const uint64 ordinal = step_ordinal(step);
  FOR_ELEMENTS(quad, (n + 3) / 4) {
    uvec words[4];
    words_of_elements(words, key0, key1, ordinal, (uint64)quad);
    UNROLL for (int k = 0; k < 4; k++) {
      const int64 i = 4 * quad + k * VW;
      if (i >= n) continue;
      vec_store(y, i, n, bf16_at_random(vec_load(y, i, n) + vec_load(x, i, n), words[k]));
    }
  }
}

/* ---- the gradients' norm ---- */

/* Both kernels take a list of SQUARE_TENSORS tensors, of which the last may be empty. A row of the launch is a chunk of
 * one of them, or one of them, and has a whole group in the GPU's shape; as many lanes of it take part as gh_grid_rows
 * gives a single row, so that a sum does not depend on what else is in the list. */
#define SQUARE_LIST(X)   X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define SQUARE_CHUNKS(n) (((n) + SQUARE_CHUNK - 1) / SQUARE_CHUNK)

#ifdef CPU_SHAPE
#define LANES_OF(columns) 1
#else
inline int lanes_of(int64 columns) {
  const int64 wanted = max(min(columns, (int64)128), (columns + 3) / 4);
  int lanes = 32;
  while (lanes < wanted && 2 * lanes <= LANES) lanes *= 2;
  return lanes;
}
#define LANES_OF(columns) lanes_of(columns)
#endif
#define FIRST_OF_LANE(lanes, count) (LANE < (lanes) ? (int64)LANE * VW : (int64)(count))
#define EACH_OF_LANE(k, i, first, lanes, count)                                                                        \
  UNROLL for (int64 k = 0, i = first; k < TOGETHER; k++, i += (int64)(lanes)*VW) if (i < (int64)(count))

/* partials[c] = sum of the squares of the elements [k SQUARE_CHUNK, (k + 1) SQUARE_CHUNK) of a tensor: c counts the
 * chunks of all tensors in the list's order. */
#define SQUARE_ARG(t) , GLOBAL const ELEM *x##t, int64 n##t
#define SQUARE_TAKE(t)                                                                                                 \
  if (at >= 0 && at < SQUARE_CHUNKS(n##t)) {                                                                           \
    x = x##t + at * SQUARE_CHUNK;                                                                                      \
    n = n##t;                                                                                                          \
    first = at * SQUARE_CHUNK;                                                                                         \
  }                                                                                                                    \
  at -= SQUARE_CHUNKS(n##t);
KERNEL void square_sum_partial(GLOBAL float *partials SQUARE_LIST(SQUARE_ARG)) {
  ROW_SCRATCH(scratch);
  GLOBAL const ELEM *x = x0;
  int64 n = 0, first = 0, at = GROUP(0);
  SQUARE_LIST(SQUARE_TAKE)
  const int64 count = min((int64)SQUARE_CHUNK, n - first);
  const int lanes = LANES_OF(min((int64)SQUARE_CHUNK, n));
  vec sum = VEC(0);
  for (int64 start = FIRST_OF_LANE(lanes, count); start < count; start += (int64)TOGETHER * lanes * VW) {
    vec v[TOGETHER];
    EACH_OF_LANE(k, i, start, lanes, count) v[k] = vec_load(x, i, count);
    EACH_OF_LANE(k, i, start, lanes, count) sum += v[k] * v[k];
  }
  const float total = row_sum(sum, scratch);
  if (LANE == 0) partials[GROUP(0)] = total;
}

/* squares[index] = the sum of a tensor's partials. */
#define FINAL_ARG(t) , int32 index##t, int64 n##t
#define FINAL_TAKE(t)                                                                                                  \
  if (GROUP(0) == t) {                                                                                                 \
    from = partials + at;                                                                                              \
    chunks = SQUARE_CHUNKS(n##t);                                                                                      \
    index = index##t;                                                                                                  \
  }                                                                                                                    \
  at += SQUARE_CHUNKS(n##t);
KERNEL void square_sum_final(GLOBAL float *squares, GLOBAL const float *partials SQUARE_LIST(FINAL_ARG)) {
  ROW_SCRATCH(scratch);
  GLOBAL const float *from = partials;
  int64 chunks = 0, at = 0;
  int index = 0;
  SQUARE_LIST(FINAL_TAKE)
  const int lanes = LANES_OF(chunks);
  vec sum = VEC(0);
  for (int64 i = FIRST_OF_LANE(lanes, chunks); i < chunks; i += (int64)lanes * VW) sum += vec_load(from, i, chunks);
  const float total = row_sum(sum, scratch);
  if (LANE == 0) squares[index] = total;
}

/* Tests the bits: a compiler's NaN optimisations, fmin or fmax could lose one. */
inline bool is_finite_bits(float v) { return (GH_AS_BITS(v) & 0x7F800000u) != 0x7F800000u; }

/* scale: what the gradients are multiplied by; NULL: 1. */
KERNEL void clip_control_update(GLOBAL uint32 *control, GLOBAL const float *squares, GLOBAL const float *loss,
                                GLOBAL const float *scale, int64 count, float max_norm) {
  ONE_ROW;
  ROW_SCRATCH(scratch);
  vec sum = VEC(0);
  FOR_COLUMNS(i, count) sum += vec_load(squares, i, count);
  const float total = row_sum(sum, scratch);
  if (!row_valid || LANE != 0) return;
  const float unscaled = scale ? 1.0f / scale[0] : 1.0f; /* exact: powers of two */
  const float norm = sqrt(total) * unscaled;
  float clip = unscaled;
  if (max_norm > 0.0f && max_norm < norm + 1e-6f) clip = max_norm / (norm + 1e-6f) * unscaled;
  control[CONTROL_LOSS] = GH_AS_BITS(loss[0]);
  control[CONTROL_NORM] = GH_AS_BITS(norm);
  control[CONTROL_CLIP] = GH_AS_BITS(clip);
  control[CONTROL_BAD] = is_finite_bits(total) && is_finite_bits(loss[0]) ? 0u : 1u;
}

/* After clip_control_update: the next update's scale. Adam's bias corrections count only the updates that were made;
 * their weights follow 1 - beta^t = beta (1 - beta^(t - 1)) + (1 - beta). */
KERNEL void loss_scale_update(GLOBAL uint32 *control, GLOBAL float *scale, GLOBAL float *scaling, float beta1,
                              float one_minus_beta1, float beta2, float one_minus_beta2) {
  ONE_ROW;
  if (!row_valid || LANE != 0) return;
  const float used = scale[0], grown = used * LOSS_SCALE_GROWTH;
  const bool bad = control[CONTROL_BAD] != 0u;
  const bool skipped = bad && used > LOSS_SCALE_LEAST && is_finite_bits(GH_AS_FLOAT(control[CONTROL_LOSS]));
  control[CONTROL_SCALE] = GH_AS_BITS(used);
  control[CONTROL_SKIPPED] = skipped ? 1u : 0u;
  if (skipped) {
    scale[0] = used * LOSS_SCALE_BACKOFF;
    scaling[SCALING_GOOD] = 0.0f;
    scaling[SCALING_SKIPPED] += 1.0f;
  } else if (!bad) {
    const float weight1 = scaling[SCALING_WEIGHT1] * beta1 + one_minus_beta1;
    const float weight2 = scaling[SCALING_WEIGHT2] * beta2 + one_minus_beta2;
    const bool grows = scaling[SCALING_GOOD] + 1.0f >= LOSS_SCALE_PERIOD;
    scaling[SCALING_WEIGHT1] = weight1;
    scaling[SCALING_WEIGHT2] = weight2;
    control[CONTROL_BIAS1] = GH_AS_BITS(1.0f / weight1);
    control[CONTROL_BIAS2] = GH_AS_BITS(1.0f / weight2);
    scaling[SCALING_GOOD] = grows ? 0.0f : scaling[SCALING_GOOD] + 1.0f;
    if (grows && is_finite_bits(grown)) scale[0] = grown;
  }
  control[CONTROL_SKIPS] = (uint32)scaling[SCALING_SKIPPED];
}

/* ---- torch.optim.AdamW, in its order of operations: decay first, then the step; eps outside the root. The program's
 * ELEM is the type of the gradient, which is float32 in the program of f16; the copies of weights are NARROW_ELEM ----
 */

#ifdef ELEM_F16
#define GRADIENT float
#else
#define GRADIENT ELEM
#endif

typedef struct adamw_numbers {
  float clip, keep, size, root, one_minus_beta1, beta2, one_minus_beta2, eps;
} adamw_numbers;

/* Through a pointer: from a function that returns a structure, clang makes an intrinsic that Oclgrind does not know. */
inline void adamw_numbers_of(adamw_numbers *a, GLOBAL const uint32 *step, GLOBAL const uint32 *control,
                             float one_minus_beta1, float beta2, float one_minus_beta2, float eps, float weight_decay) {
  const float rate = GH_AS_FLOAT(step[STEP_LEARNING_RATE]);
  a->clip = GH_AS_FLOAT(control[CONTROL_CLIP]);
  a->keep = 1.0f - rate * weight_decay;
  const bool scaled = control[CONTROL_SCALE] != 0u;
  a->size = rate * GH_AS_FLOAT(scaled ? control[CONTROL_BIAS1] : step[STEP_BIAS1]);
  a->root = sqrt(GH_AS_FLOAT(scaled ? control[CONTROL_BIAS2] : step[STEP_BIAS2]));
  a->one_minus_beta1 = one_minus_beta1;
  a->beta2 = beta2;
  a->one_minus_beta2 = one_minus_beta2;
  a->eps = eps;
}

inline vec adamw_m(adamw_numbers a, vec m, vec g) { return m + a.one_minus_beta1 * (g - m); }
inline vec adamw_v(adamw_numbers a, vec v, vec g) { return v * a.beta2 + a.one_minus_beta2 * g * g; }
inline vec adamw_parameter(adamw_numbers a, vec w, vec m, vec v) {
  return w * a.keep - a.size * (m / (sqrt(v) * a.root + a.eps));
}

/* `clear`, in all three kernels: the gradient becomes 0, for the next update's sums, even where nothing is updated.
 *
 * copy: w rounded, read by matrix products; NULL: none. */
KERNEL void adamw_update(GLOBAL float *w, GLOBAL NARROW_ELEM *copy, GLOBAL float *m, GLOBAL float *v,
                         GLOBAL GRADIENT *gradient, GLOBAL const uint32 *step, GLOBAL const uint32 *control,
                         int32 clear, float one_minus_beta1, float beta2, float one_minus_beta2, float eps,
                         float weight_decay, int64 n) {
  const bool bad = control[CONTROL_BAD] != 0u;
  adamw_numbers a;
  adamw_numbers_of(&a, step, control, one_minus_beta1, beta2, one_minus_beta2, eps, weight_decay);
  FOR_ELEMENTS(i, n) {
    if (bad) {
      if (clear) vec_store(gradient, i, n, VEC(0));
      continue;
    }
    const vec g = vec_load(gradient, i, n) * a.clip;
    const vec m1 = adamw_m(a, vec_load(m, i, n), g), v1 = adamw_v(a, vec_load(v, i, n), g);
    const vec before = vec_load(w, i, n); /* in flight with the others: no compiler may move it past the stores */
    if (clear) vec_store(gradient, i, n, VEC(0));
    vec_store(m, i, n, m1);
    vec_store(v, i, n, v1);
    const vec updated = adamw_parameter(a, before, m1, v1);
    vec_store(w, i, n, updated);
    if (copy) vec_store(copy, i, n, updated);
  }
}

/* ---- the same for weights that are bf16 and nothing else, rounded at random ---- */

inline uint64 step_update(GLOBAL const uint32 *step) {
  return (uint64)step[STEP_UPDATE_LO] | (uint64)step[STEP_UPDATE_HI] << 32;
}

/* Element i takes word i of the stream (key0, key1) at the update's number. */
KERNEL void adamw_bf16_update(GLOBAL bf16 *w, GLOBAL float *m, GLOBAL float *v, GLOBAL GRADIENT *gradient,
                              GLOBAL const uint32 *step, GLOBAL const uint32 *control, int32 clear, uint32 key0,
                              uint32 key1, float one_minus_beta1, float beta2, float one_minus_beta2, float eps,
                              float weight_decay, int64 n) {
  const bool bad = control[CONTROL_BAD] != 0u;
  adamw_numbers a;
  adamw_numbers_of(&a, step, control, one_minus_beta1, beta2, one_minus_beta2, eps, weight_decay);
  const uint64 update = step_update(step);
  FOR_ELEMENTS(quad, (n + 3) / 4) {
    uvec words[4];
    words_of_elements(words, key0, key1, update, (uint64)quad);
    UNROLL for (int k = 0; k < 4; k++) {
      const int64 i = 4 * quad + k * VW;
      if (i >= n) continue;
      if (bad) {
        if (clear) vec_store(gradient, i, n, VEC(0));
        continue;
      }
      const vec g = vec_load(gradient, i, n) * a.clip;
      const vec m1 = adamw_m(a, vec_load(m, i, n), g), v1 = adamw_v(a, vec_load(v, i, n), g);
      const vec before = vec_load(w, i, n);
      if (clear) vec_store(gradient, i, n, VEC(0));
      vec_store(m, i, n, m1);
      vec_store(v, i, n, v1);
      vec_store(w, i, n, bf16_at_random(adamw_parameter(a, before, m1, v1), words[k]));
    }
  }
}

/* ---- moments in eight bits (moments.h) ---- */

/* What a row reads of its block: codes and the exponents of the scales. */
typedef struct moment_block {
  GLOBAL uint32 *m, *v;
  uint32 m_exponent, v_exponent;
} moment_block;

/* The moments of elements i .. i + VW - 1 after this update; 0 from n on. */
inline void moments_after(vec *m, vec *v, moment_block b, adamw_numbers a, GLOBAL const GRADIENT *gradient, int64 i,
                          int64 n, uvec m_code, uvec v_code) {
  const vec g = vec_load(gradient, i, n) * a.clip;
  *m = vec_keep(adamw_m(a, moment_m(m_code, b.m_exponent), g), i, n, 0.0f);
  *v = vec_keep(adamw_v(a, moment_v(v_code, b.v_exponent), g), i, n, 0.0f);
}

/* The weights of VW elements: narrow, rounded at random, where it is given; else wide, and its copy if there is one. */
inline void weights_after(GLOBAL float *wide, GLOBAL NARROW_ELEM *copy, GLOBAL bf16 *narrow, int64 i, int64 n,
                          adamw_numbers a, vec m, vec v, uvec random) {
  if (narrow) {
    vec_store(narrow, i, n, bf16_at_random(adamw_parameter(a, vec_load(narrow, i, n), m, v), random));
    return;
  }
  const vec updated = adamw_parameter(a, vec_load(wide, i, n), m, v);
  vec_store(wide, i, n, updated);
  if (copy) vec_store(copy, i, n, updated);
}

/* A block has few quads for every lane: a loop that is unrolled for loads in flight would only take registers. */
#define FOR_QUADS(i) UNROLL_BY(1) for (int64 i = LANE * VW; i < MOMENT_QUADS; i += LANES * VW)

inline void clear_block(GLOBAL GRADIENT *gradient, int64 row, int64 n) {
  FOR_QUADS(column)
  for (int k = 0; k < 4; k++) {
    const int64 i = 4 * (row * MOMENT_QUADS + column) + k * VW;
    if (i < n) vec_store(gradient, i, n, VEC(0));
  }
}

/* A row is a block of MOMENT_BLOCK elements. The first pass finds the new scales, the second computes the moments once
 * more and codes them. Their random words are those of the stream at the update's number with the highest bit set. */
KERNEL void adamw_8bit_update(GLOBAL float *wide, GLOBAL NARROW_ELEM *copy, GLOBAL bf16 *narrow, GLOBAL uint32 *m,
                              GLOBAL uint32 *v, GLOBAL GRADIENT *gradient, GLOBAL const uint32 *step,
                              GLOBAL const uint32 *control, int32 clear, uint32 key0, uint32 key1,
                              float one_minus_beta1, float beta2, float one_minus_beta2, float eps, float weight_decay,
                              int64 n) {
  const int64 blocks = (n + MOMENT_BLOCK - 1) / MOMENT_BLOCK;
  ROW(blocks);
  ROW_SCRATCH(scratch);
  if (control[CONTROL_BAD]) { /* for the whole group */
    if (clear && row_valid) clear_block(gradient, row, n);
    return;
  }
  adamw_numbers a;
  adamw_numbers_of(&a, step, control, one_minus_beta1, beta2, one_minus_beta2, eps, weight_decay);
  const uint64 update = step_update(step);
  GLOBAL uint32 *m_scale = m + blocks * MOMENT_QUADS + row, *v_scale = v + blocks * MOMENT_QUADS + row;
  moment_block b;
  b.m = m;
  b.v = v;
  b.m_exponent = *m_scale >> 23;
  b.v_exponent = *v_scale >> 23;
  vec largest_m = VEC(0), largest_v = VEC(0), m1, v1;
  uvec m_codes[4], v_codes[4], random[4], weight_random[4];
  FOR_QUADS(column) {
    const int64 quad = row * MOMENT_QUADS + column;
    moment_codes_load(m_codes, b.m, quad);
    moment_codes_load(v_codes, b.v, quad);
    UNROLL for (int k = 0; k < 4; k++) {
      const int64 i = 4 * quad + k * VW;
      if (i >= n) continue;
      moments_after(&m1, &v1, b, a, gradient, i, n, m_codes[k], v_codes[k]);
      largest_m = fmax(largest_m, fabs(m1));
      largest_v = fmax(largest_v, v1);
    }
  }
  const uint32 m_exponent = moment_exponent(row_max(largest_m, scratch));
  const uint32 v_exponent = moment_exponent(row_max(largest_v, scratch));
#ifndef CPU_SHAPE
  BARRIER_GLOBAL(); /* all have read the row, teams that redo it too: its codes and scales may be written */
#endif
  FOR_QUADS(column) {
    if (!row_valid) break; /* a team that redoes a row would read what the row's own team is writing */
    const int64 quad = row * MOMENT_QUADS + column;
    words_of_elements(random, key0, key1, update | (uint64)1 << 63, (uint64)quad);
    if (narrow) words_of_elements(weight_random, key0, key1, update, (uint64)quad);
    moment_codes_load(m_codes, b.m, quad);
    moment_codes_load(v_codes, b.v, quad);
    UNROLL for (int k = 0; k < 4; k++) {
      const int64 i = 4 * quad + k * VW;
      if (i >= n) continue;
      moments_after(&m1, &v1, b, a, gradient, i, n, m_codes[k], v_codes[k]);
      if (clear) vec_store(gradient, i, n, VEC(0));
      weights_after(wide, copy, narrow, i, n, a, m1, v1, weight_random[k]);
      m_codes[k] = moment_code_m(m1, m_exponent, random[k]);
      v_codes[k] = moment_code_v(v1, v_exponent, random[k]);
    }
    moment_codes_store(b.m, quad, m_codes);
    moment_codes_store(b.v, quad, v_codes);
  }
  if (!row_valid || LANE != 0) return;
  *m_scale = m_exponent << 23;
  *v_scale = v_exponent << 23;
}
