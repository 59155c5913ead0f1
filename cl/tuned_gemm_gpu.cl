/* Matrix product for GPUs: C = alpha op(A) op(B) + beta C [+ bias], row-major; storage types as in gemm_storage.h.
 *
 *   A work-group of 16 x 16 owns HIGH x WIDE of C, 16 times WORK x ACROSS; a work-item WORK x ACROSS of it, in blocks
 * of 4 x 4 that are 64 apart, so that it reads four numbers of local memory at once. k is walked in steps of DEPTH:
 * while the group multiplies one, each work-item loads its numbers of the next into registers, and then keeps them in
 * the other half of local memory; there is one barrier per step.
 *
 *   WORK    4: small shapes; 8: large ones
 *   ACROSS  like WORK; but 4 for a narrow C, whose two sums of 64 numbers each would spill on some devices
 *   WIDTH   numbers of A, and of B, per load: 4 or 1. It divides the offsets, row lengths and strides of both, and m
 *           (n) if A (B) is stored along it. So the loop has no test: rows beyond the edge are loaded as the last one,
 * by addresses that are made before the loop, and their sums are not stored
 *
 *   IMAGE   set: B is formed from an image (gemm_image.h), the product is a convolution; WIDTH then is of A alone, and
 *           the bias is one of the rows of C
 *
 * The last k % DEPTH of k are loaded and multiplied one by one. Every CHUNK of k is one chain sum = fma(a, b, sum) from
 * 0 in the order of k; the first gives beta C + alpha sum, the others add alpha sum to C: bit-identical to
 * tuned_gemm_cpu.cl, and independent of the tile. A float32 C holds the sums between chunks; for a narrow C they stay
 * in registers and are rounded once. Local memory: GEMM_GPU_LOCAL at most. Loops over a work-item's own numbers are
 * unrolled explicitly: otherwise some compilers keep those in memory. */
#include "gemm_image.h"
#include "gemm_layout.h"
#include "gemm_second.h"
#include "gemm_storage.h"

#ifndef WORK
#define WORK 4
#endif
#ifndef ACROSS
#define ACROSS WORK
#endif
#ifndef WIDTH
#define WIDTH 4
#endif
#define SIDE    GEMM_GPU_SIDE
#define ITEMS   (SIDE * SIDE)
#define HIGH    (SIDE * WORK)
#define WIDE    (SIDE * ACROSS)
#define DEPTH   GEMM_GPU_DEPTH(WORK, ACROSS)
#define CHUNK   GEMM_CHUNK /* a multiple of DEPTH */
#define PITCH_A GEMM_GPU_PITCH(HIGH)
#define PITCH_B GEMM_GPU_PITCH(WIDE)
#define QUADS_A (HIGH * DEPTH / 4 / ITEMS) /* that a work-item loads per step */
#define QUADS_B (WIDE * DEPTH / 4 / ITEMS)
#define LOADS   (4 / WIDTH) /* of a quad */

/* Where a CPU emulates a GPU, all but the innermost loops stay loops: compiling them would take many times as long. */
#if defined(__OPENCL_C_VERSION__) && (defined(__x86_64__) || defined(__aarch64__))
#define UNROLL_OUTER _Pragma("nounroll")
#define UNROLL_STEP  UNROLL_OUTER
#else
#define UNROLL_OUTER UNROLL
/* All k's of a step at once need more registers than some devices have; Intel's have fewest. There two spilled on
 * Xe-HPC with narrow A and B in the small tile, whose numbers are widened as they are loaded. */
#if defined(cl_intel_required_subgroup_size) && defined(AB_NARROW) && WORK * ACROSS <= 16
#define UNROLL_STEP UNROLL_BY(1)
#elif defined(cl_intel_required_subgroup_size)
#define UNROLL_STEP UNROLL_BY(2)
#elif DEPTH == 16
#define UNROLL_STEP UNROLL_BY(4)
#else
#define UNROLL_STEP UNROLL
#endif
#endif
/* Whether the next step's loads begin before the multiplication. Where Intel's registers hold two sums of 32 numbers
 * each, or a sum and what an image's offsets are made of, they begin after it, and other threads work while one
 * waits. */
#if defined(cl_intel_required_subgroup_size) && defined(IMAGE) && (WORK * ACROSS > 16 || defined(C_NARROW))
#define AHEAD false
#elif defined(cl_intel_required_subgroup_size) && defined(C_NARROW) && WORK * ACROSS > 16
#define AHEAD false
#else
#define AHEAD true
#endif
#ifdef __AMDGCN__ /* two waves on each unit, so that one has work while the other waits */
#define RESIDENT __attribute__((amdgpu_waves_per_eu(2)))
#else
#define RESIDENT
#endif
#define FOR(i, n)      UNROLL for (int i = 0; i < (n); i++)
#define FOR_TILE(i, j) UNROLL_OUTER for (int i = 0; i < WORK; i++) UNROLL_OUTER for (int j = 0; j < ACROSS; j++)
#define ROW_OF(i)      (m0 + GEMM_GPU_FOUR(ty, (i) / 4) + (i) % 4)
#define COLUMN_OF(j)   (n0 + GEMM_GPU_FOUR(tx, (j) / 4) + (j) % 4)

/* ---- a quad: four adjacent numbers, as they are in memory until they are kept ---- */

#ifdef AB_NARROW
typedef uint32 raw; /* two numbers, or one */
#define RAWS (WIDTH == 1 ? 4 : 2)
inline float number(const raw *quad, int e) {
  return WIDTH == 1 ? gemm_half(quad[e], 0) : gemm_half(quad[e / 2], e % 2);
}
#else
typedef float raw;
#define RAWS 4
inline float number(const raw *quad, int e) { return quad[e]; }
#endif

/* One of its loads. */
inline void load(raw *to, GLOBAL const gemm_ab *from) {
#if WIDTH == 1
  to[0] = from[0];
#elif defined(AB_NARROW)
  const uint2 v = *(GLOBAL const uint2 *)from;
  to[0] = v.x, to[1] = v.y;
#else
  const float4 v = *(GLOBAL const float4 *)from;
  to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
#endif
}

/* What a work-item loads of op(X), which is stored (i, k) if `along` k, else (k, i). */
typedef struct quad {
  GLOBAL const gemm_ab *from; /* in the step that is loaded next */
  int later[LOADS];           /* where its loads begin, from there */
  int place;                  /* in a part of local memory */
} quad;

inline quad quad_of(int at, GLOBAL const gemm_ab *x, int64 ld, int64 i0, int64 end, bool along, int tile) {
  quad q;
  const int k = GEMM_QUAD_K(at, along, tile), row = GEMM_QUAD_ROW(at, along, tile);
  const int64 i = min(i0 + row, along ? end - 1 : end - WIDTH);
  q.from = x + (along ? i * ld + k : k * ld + i);
  FOR(e, LOADS) q.later[e] = along ? e * WIDTH : (int)(min(i0 + row + e * WIDTH, end - WIDTH) - i);
  q.place = k * GEMM_GPU_PITCH(tile) + row;
  return q;
}

inline void fetch(raw next[][RAWS], const quad *quads, int count) {
  FOR(q, count) FOR(e, LOADS) load(next[q] + e * RAWS / LOADS, quads[q].from + quads[q].later[e]);
}

inline void keep(LOCAL_PTR float *part, raw next[][RAWS], const quad *quads, int count, bool along, int pitch) {
  FOR(q, count) {
    LOCAL_PTR float *to = part + quads[q].place;
    if (along) {
      FOR(e, 4) to[e * pitch] = number(next[q], e);
    } else {
      float4 v;
      v.x = number(next[q], 0), v.y = number(next[q], 1), v.z = number(next[q], 2), v.w = number(next[q], 3);
      *(LOCAL_PTR float4 *)to = v;
    }
  }
}

/* Loads the last `left` k's, from k0 on. */
inline void load_rest(LOCAL_PTR float *part, GLOBAL const gemm_ab *x, int64 ld, int64 i0, int64 end, int64 k0, int left,
                      bool along, int item, int tile, float factor) {
  for (int e = item; e < tile * DEPTH; e += ITEMS) {
    const int k = along ? e % DEPTH : e / tile, row = along ? e / DEPTH : e % tile;
    const int64 i = min(i0 + row, end - 1);
    if (k < left)
      part[k * GEMM_GPU_PITCH(tile) + row] = factor * AB_LOAD(x, along ? i * ld + k0 + k : (k0 + k) * ld + i);
  }
}

/* ---- how B comes ---- */

#ifdef IMAGE
typedef window b_quad;
typedef gemm_ab b_raw;
#define B_RAWS                  4
#define B_SHAPE                 , image im
#define B_OF(at)                window_of(at, b, im, n0, n, trans_b, WIDE)
#define B_NEXT(q, on)           window_advance(q, on, DEPTH, trans_b)
#define BIAS_PLACE(row, column) (row)

inline void fetch_b(b_raw next[][B_RAWS], b_quad *quads, bool along) {
  FOR(q, QUADS_B) window_fetch(next[q], &quads[q], along);
}

inline void keep_b(LOCAL_PTR float *part, b_raw next[][B_RAWS], const b_quad *quads, bool along) {
  FOR(q, QUADS_B) FOR(e, 4) part[quads[q].place + e * (WIDE / 4)] = masked(next[q][e], quads[q].masks[e]);
}

inline void load_rest_b(LOCAL_PTR float *part, GLOBAL const gemm_ab *x, image s, int64 i0, int64 end, int64 k0,
                        int left, bool along, int item) {
  for (int e = item; e < WIDE * DEPTH; e += ITEMS) {
    const int k = along ? e % DEPTH : e / WIDE, row = along ? e / DEPTH : e % WIDE;
    if (k < left) part[k * PITCH_B + row] = image_number(x, s, (int)k0 + k, (int)min(i0 + row, end - 1), along);
  }
}
#define LOAD_REST_B(part, k0, left) load_rest_b(part, b, im, n0, n, k0, left, trans_b, item)
#else
typedef quad b_quad;
typedef raw b_raw;
#define B_RAWS RAWS
#define B_SHAPE
#define B_OF(at)                    quad_of(at, b, ldb, n0, n, trans_b, WIDE)
#define B_NEXT(q, on)               (q)->from += (on) ? step_b : 0
#define BIAS_PLACE(row, column)     (column)

inline void fetch_b(b_raw next[][B_RAWS], b_quad *quads, bool along) {
  (void)along;
  fetch(next, quads, QUADS_B);
}

inline void keep_b(LOCAL_PTR float *part, b_raw next[][B_RAWS], const b_quad *quads, bool along) {
  keep(part, next, quads, QUADS_B, along, PITCH_B);
}
#define LOAD_REST_B(part, k0, left) load_rest(part, b, ldb, n0, n, k0, left, trans_b, item, WIDE, 1.0f)
#endif

/* ---- the product ---- */

/* Sums are in pairs of adjacent columns, which some devices multiply and add in one instruction. */
inline float2 fma_pair(float x, float2 y, float2 sum) {
#ifdef __CUDACC_RTC__
  sum.x = fma(x, y.x, sum.x), sum.y = fma(x, y.y, sum.y);
  return sum;
#else
  return fma((float2)(x, x), y, sum);
#endif
}

inline float one_of(float2 pair, int which) { return which ? pair.y : pair.x; }

/* One k. */
inline void multiply(float2 sum[WORK][ACROSS / 2], LOCAL_PTR const float *as, LOCAL_PTR const float *bs) {
  float x[WORK];
  float2 y[ACROSS / 2];
  FOR(h, WORK / 4) {
    const float4 four = *(LOCAL_PTR const float4 *)(as + GEMM_GPU_FOUR(0, h));
    x[4 * h] = four.x, x[4 * h + 1] = four.y, x[4 * h + 2] = four.z, x[4 * h + 3] = four.w;
  }
  FOR(h, ACROSS / 4) {
    const float4 four = *(LOCAL_PTR const float4 *)(bs + GEMM_GPU_FOUR(0, h));
    y[2 * h].x = four.x, y[2 * h].y = four.y, y[2 * h + 1].x = four.z, y[2 * h + 1].y = four.w;
  }
  FOR(i, WORK) FOR(j, ACROSS / 2) sum[i][j] = fma_pair(x[i], y[j], sum[i][j]);
}

/* Updates an element of C with one chunk's sum; `first` and `last` tell whether it is the first or last chunk of k. */
inline void store(GLOBAL gemm_c *c, int64 at, float value, bool first, bool last, float beta, GLOBAL const gemm_c *bias,
                  int64 place) {
  const float scale = first ? beta : 1.0f;
  if (scale != 0.0f) value = value + scale * C_LOAD(c, at);
  if (bias && last) value = value + C_LOAD(bias, place);
  C_STORE(c, at, value);
}

inline void gemm(LOCAL_PTR float *as, LOCAL_PTR float *bs, GLOBAL gemm_c *c, GLOBAL const gemm_ab *a,
                 GLOBAL const gemm_ab *b, int64 m, int64 n, int64 k, int64 lda, int64 ldb, int64 ldc, float alpha,
                 float beta, GLOBAL const gemm_c *bias, bool trans_a, bool trans_b B_SHAPE SECOND_PARAMETERS) {
  const int tx = LOCAL_ID(0), ty = LOCAL_ID(1), item = ty * SIDE + tx;
  const int64 m0 = (int64)GROUP(1) * HIGH, n0 = (int64)GROUP(0) * WIDE;
  const int64 step_a = trans_a ? DEPTH * lda : DEPTH;
#ifndef IMAGE
  const int64 step_b = trans_b ? DEPTH : DEPTH * ldb;
#endif
  quad of_a[QUADS_A];
  b_quad of_b[QUADS_B];
  raw next_a[QUADS_A][RAWS];
  b_raw next_b[QUADS_B][B_RAWS];
  int now = 0; /* the half of local memory that holds the current step */
  FOR(q, QUADS_A) of_a[q] = quad_of(q * ITEMS + item, a, lda, m0, m, !trans_a, HIGH);
  FOR(q, QUADS_B) of_b[q] = B_OF(q * ITEMS + item);
  if (k >= DEPTH) {
    fetch(next_a, of_a, QUADS_A);
    fetch_b(next_b, of_b, trans_b);
    keep(as, next_a, of_a, QUADS_A, !trans_a, PITCH_A);
    keep_b(bs, next_b, of_b, trans_b);
  }
  BARRIER();
#ifdef C_NARROW
  float total[WORK][ACROSS];
  FOR_TILE(i, j) {
    const int64 row = ROW_OF(i), column = COLUMN_OF(j);
    total[i][j] = beta != 0.0f && row < m && column < n ? beta * C_LOAD(c, row * ldc + column) : 0.0f;
  }
#endif
  for (int64 chunk = 0; chunk < k; chunk += CHUNK) {
    const int64 k_end = min(chunk + CHUNK, k);
    const int rest = (int)(k_end - chunk) % DEPTH, stop = k - k_end < DEPTH; /* 1: the chunk has the last whole step */
    float2 sum[WORK][ACROSS / 2];
    FOR(i, WORK) FOR(j, ACROSS / 2) sum[i][j].x = sum[i][j].y = 0.0f;
    for (int steps = (int)(k_end - chunk) / DEPTH; steps; steps--) {
      FOR(q, QUADS_A) of_a[q].from += steps > stop ? step_a : 0; /* the last step is loaded again, for nothing */
      FOR(q, QUADS_B) B_NEXT(&of_b[q], steps > stop);
      if (AHEAD) fetch(next_a, of_a, QUADS_A);
      if (AHEAD) fetch_b(next_b, of_b, trans_b);
      LOCAL_PTR const float *x = as + now * DEPTH * PITCH_A + GEMM_GPU_FOUR(ty, 0);
      LOCAL_PTR const float *y = bs + now * DEPTH * PITCH_B + GEMM_GPU_FOUR(tx, 0);
      UNROLL_STEP for (int s = 0; s < DEPTH; s++) multiply(sum, x + s * PITCH_A, y + s * PITCH_B);
      if (!AHEAD) fetch(next_a, of_a, QUADS_A);
      if (!AHEAD) fetch_b(next_b, of_b, trans_b);
      now = 1 - now;
      keep(as + now * DEPTH * PITCH_A, next_a, of_a, QUADS_A, !trans_a, PITCH_A);
      keep_b(bs + now * DEPTH * PITCH_B, next_b, of_b, trans_b);
      BARRIER();
    }
    LOCAL_PTR float *last_a = as + now * DEPTH * PITCH_A, *last_b = bs + now * DEPTH * PITCH_B;
    if (rest) {
      load_rest(last_a, a, lda, m0, m, k - rest, rest, !trans_a, item, HIGH, 1.0f);
      LOAD_REST_B(last_b, k - rest, rest);
    }
    BARRIER();
    for (int s = 0; s < rest; s++)
      multiply(sum, last_a + s * PITCH_A + GEMM_GPU_FOUR(ty, 0), last_b + s * PITCH_B + GEMM_GPU_FOUR(tx, 0));
#ifdef SECOND_PAIR
    if (k_end == k) {
      for (int64 k0 = 0; k0 < k2; k0 += DEPTH) {
        const int left = (int)min(k2 - k0, (int64)DEPTH);
        BARRIER();
        load_rest(last_a, a2, lda2, m0, m, k0, left, !trans_a, item, HIGH, ratio);
        load_rest(last_b, b2, ldb2, n0, n, k0, left, trans_b, item, WIDE, 1.0f);
        BARRIER();
        for (int s = 0; s < left; s++)
          multiply(sum, last_a + s * PITCH_A + GEMM_GPU_FOUR(ty, 0), last_b + s * PITCH_B + GEMM_GPU_FOUR(tx, 0));
      }
    }
#endif
#ifdef C_NARROW
    const bool more = chunk || beta != 0.0f; /* + 0 would lose the sign of a zero */
    FOR_TILE(i, j) {
      const float part = alpha * one_of(sum[i][j / 2], j % 2);
      total[i][j] = more ? part + total[i][j] : part;
    }
#else
    FOR_TILE(i, j) {
      const int64 row = ROW_OF(i), column = COLUMN_OF(j);
      if (row < m && column < n)
        store(c, row * ldc + column, alpha * one_of(sum[i][j / 2], j % 2), chunk == 0, k_end == k, beta, bias,
              BIAS_PLACE(row, column));
    }
#endif
  }
#ifdef C_NARROW
  FOR_TILE(i, j) {
    const int64 row = ROW_OF(i), column = COLUMN_OF(j);
    if (row < m && column < n)
      store(c, row * ldc + column, total[i][j], true, true, 0.0f, bias, BIAS_PLACE(row, column));
  }
#endif
}

#ifdef IMAGE
#define IMAGE_MORE , IMAGE_PARAMETERS
#define IMAGE_TOO  , image_of(height, width, stride, top, left, out_width, inverse)
#else
#define IMAGE_MORE
#define IMAGE_TOO
#endif

#define GEMM(name, trans_a, trans_b)                                                                                   \
  RESIDENT KERNEL_DENSE(SIDE, SIDE, 1, WORK == 8 ? 1 : 2) void name(                                                   \
      GLOBAL gemm_c *c, GLOBAL const gemm_ab *a, GLOBAL const gemm_ab *b, int64 m, int64 n, int64 k, int64 lda,        \
      int64 ldb, int64 ldc, int64 offset_a, int64 offset_b, int64 offset_c, int64 stride_a, int64 stride_b,            \
      int64 stride_c, float alpha, float beta, GLOBAL const gemm_c *bias IMAGE_MORE SECOND_PARAMETERS) {               \
    LOCAL float4 as[2 * DEPTH * PITCH_A / 4], bs[2 * DEPTH * PITCH_B / 4];                                             \
    const int64 batch = GROUP(2);                                                                                      \
    gemm((LOCAL_PTR float *)as, (LOCAL_PTR float *)bs, c + offset_c + batch * stride_c,                                \
         a + offset_a + batch * stride_a, b + offset_b + batch * stride_b, m, n, k, lda, ldb, ldc, alpha, beta, bias,  \
         trans_a, trans_b IMAGE_TOO SECOND_ARGUMENTS);                                                                 \
  }

#ifdef IMAGE
GEMM(conv2d_product, false, false)
#ifndef AB_NARROW /* gradients are float32 alone */
GEMM(conv2d_product_weight, false, true)
#endif
#else
GEMM(gemm_nn, false, false)
GEMM(gemm_nt, false, true)
GEMM(gemm_tn, true, false)
GEMM(gemm_tt, true, true)
#endif
