/* Matrix product of float32 matrices for CPUs with AMX tiles: C = alpha op(A) op(B) + beta C (+ bias), row-major; C
 * float32 or bfloat16. For bfloat16 operands see tuned_gemm_amx_bf16.cl.
 *
 * AMX multiplies bfloat16 and adds in float32. A float32 has 24 bits and a bfloat16 8, so x = x1 + x2 + x3 exactly,
 * each piece rounded to nearest. Six of the nine products of two such sums are computed; those left out sum to less
 * than 2^-24 |a b|, of either sign: as accurate as one rounding of a float32 product. Six products at AMX's rate are
 * still more than twice as fast as float32. (NVIDIA's emulated SGEMM on Blackwell, "BF16x9", uses the same idea.)
 *
 *   C's 32 x 32 are four tiles; A's piece is two tiles of 16 rows x 32 k, B's is two of 16 pairs of k x 16 columns.
 *   A chunk of 256 k:  a3 b1, a2 b1, a2 b2, a1 b2, a1 b3 for all of k  (small: their rounding errors do not matter)
 *                      a1 b1 for all of k                              (one chain of 256, as in tuned_gemm_cpu.cl)
 *
 * A work-item owns mt x nb of C, packs kc x nb of B in three pieces, then 32 rows of A at a time. An element's
 * arithmetic does not depend on the block sizes, so all variants give the same bits; the last bits differ from
 * tuned_gemm_cpu.cl's. Non-finite numbers give non-finite results (Inf may become NaN); below 2^-110, pieces are lost
 * to underflow, which AMX flushes. */
#define GEMM_AMX_PIECES 3
#include "gemm_amx_f32.h"
#include "gemm_amx_pack.h"
#include "gemm_second.h"
#include "gemm_total.h"

#define CHUNK GEMM_CHUNK /* kc is a multiple of it, or all of k */

/* Private memory, in words: nb x kc of B, three parts of each, and 128 x kc of A; together most of a worker's
 * second-level cache. The host (backend/chooser/gemm_own.c) keeps nb x kc and kc within these limits. */
#define PANEL_WORDS (GEMM_AMX_PANEL / 2)
#define BLOCKS      4 /* of 32 rows: a strip of B is used for each in turn */
#define BLOCK_WORDS (GEMM_AMX_PIECES * SIDE * GEMM_AMX_DEPTH / 2)

/* Sums of a bfloat16 C; the host limits mt x nb to this. */
#define TOTAL_FLOATS GEMM_AMX_TOTAL

/* The second pair is packed like the first one; its sums are kept apart until they are stored. */

/* ---- tiles: 0 to 3 are C's, 4 and 5 A's two halves, 6 and 7 B's ---- */

#define LOAD_A(t, piece) TILES_LOAD(4, 5, (t) + 2 * ((piece)-1) * TILE, TILE, 64)
#define LOAD_B(t, piece) TILES_LOAD(6, 7, (t) + 2 * ((piece)-1) * TILE, TILE, 64)

/* The next data to read, prefetched between the tile instructions a few cache lines at a time (a burst would delay the
 * tiles' own loads): a 32 x 32 block of C whose rows are pages apart, and the next blocks of A, row by row. Prefetching
 * past an edge is harmless. Products of bfloat16, over six times faster, became a third slower with it. */
typedef struct ahead {
  TOTAL const float *c;
  int64 ldc;
  GLOBAL const gemm_ab *a;
  int64 gap;          /* from a row's end to the next row's start */
  int quarter, width; /* of a row, in LINES */
} ahead;

#define LINE  (64 / (int)sizeof(gemm_ab))
#define LINES 4

inline void ask(ahead *w) {
  for (int i = 0; i < SIDE / (CHUNK / STEP); i++, w->c += w->ldc) {
    PREFETCH(w->c);
    PREFETCH(w->c + 16);
  }
  for (int i = 0; i < LINES; i++, w->a += LINE) PREFETCH(w->a);
  if (++w->quarter == w->width) {
    w->quarter = 0;
    w->a += w->gap;
  }
}

/* sum (32 x 32) = A's block times B's strip over `steps` of 32 k. */
AMX void multiply(float *sum, const uint *a, const uint *b, int steps, ahead *next) {
  ahead w = *next;
  SUMS_BEGIN();
  const uint *x = a, *y = b;
  for (int s = 0; s < steps; s++, x += STEP_WORDS, y += STEP_WORDS) {
    MULTIPLY_SMALL(x, y);
    ask(&w);
  }
  x = a, y = b;
  for (int s = 0; s < steps; s++, x += STEP_WORDS, y += STEP_WORDS) {
    MULTIPLY_LARGE(x, y);
  }
  *next = w;
  SUMS_STORE(sum);
}

#ifdef SECOND_PAIR
/* The sums of both pairs; `alpha` is then 1. */
inline void join(float *sum, const float *more, float alpha, float alpha2) {
  for (int i = 0; i < SIDE * SIDE / 16; i++) vstore16(alpha * vload16(i, sum) + alpha2 * vload16(i, more), i, sum);
}
#define JOIN()                                                                                                         \
  if (last) {                                                                                                          \
    multiply(more, block2 + (r - r0) / SIDE * BLOCK2_WORDS, panel2 + j / SIDE * steps2 * STEP_WORDS, steps2, &next);   \
    join(sum, more, alpha, alpha2);                                                                                    \
  }
#define FACTOR_OF_SUMS (last ? 1.0f : alpha)
#else
#define JOIN()
#define FACTOR_OF_SUMS alpha
#endif

/* At most 32 x 32 of C: at = scale at + alpha sum (+ bias); rows and columns: the remaining size of C from here. */
typedef struct target {
  TOTAL float *at;
  GLOBAL const gemm_c *bias;
  float scale;
  int rows, columns;
} target;

inline void store(const target *t, int64 ld, const float *sum, float alpha) {
  TOTAL float *to = t->at;
  for (int i = 0; i < SIDE && i < t->rows; i++, to += ld, sum += SIDE) {
    if (t->columns >= SIDE) {
      float16 l = alpha * vload16(0, sum), r = alpha * vload16(1, sum);
      if (t->scale != 0.0f) l += t->scale * vload16(0, to), r += t->scale * vload16(1, to);
      if (t->bias) l += C_LOAD16(t->bias), r += C_LOAD16(t->bias + 16);
      vstore16(l, 0, to);
      vstore16(r, 1, to);
    } else {
      for (int j = 0; j < t->columns; j++) {
        float v = alpha * sum[j] + (t->scale != 0.0f ? t->scale * to[j] : 0.0f);
        if (t->bias) v += C_LOAD(t->bias, j);
        to[j] = v;
      }
    }
  }
}

/* ---- the kernels: GROUP(0) rows, GROUP(1) columns, GROUP(2) matrix of the batch ---- */

#define GEMM(name, trans_a, trans_b)                                                                                   \
  KERNEL_SIZED(1, 1, 1)                                                                                                \
  void name(GLOBAL gemm_c *c, GLOBAL const gemm_ab *a, GLOBAL const gemm_ab *b, int64 m, int64 n, int64 k, int64 lda,  \
            int64 ldb, int64 ldc, int64 offset_a, int64 offset_b, int64 offset_c, int64 stride_a, int64 stride_b,      \
            int64 stride_c, float alpha, float beta, GLOBAL const gemm_c *bias, int32 mt, int32 nb,                    \
            int32 kc SECOND_PARAMETERS) {                                                                              \
    uint panel[PANEL_WORDS] ALIGNED, block[BLOCKS * BLOCK_WORDS] ALIGNED;                                              \
    float sum[SIDE * SIDE] ALIGNED;                                                                                    \
    SECOND_MEMORY                                                                                                      \
    const int64 m0 = (int64)GROUP(0) * mt, n0 = (int64)GROUP(1) * nb;                                                  \
    const int rows = (int)min((int64)mt, m - m0), columns = (int)min((int64)nb, n - n0);                               \
    a += offset_a + GROUP(2) * stride_a + (trans_a ? m0 : m0 * lda);                                                   \
    b += offset_b + GROUP(2) * stride_b;                                                                               \
    b += trans_b ? n0 * ldb : n0;                                                                                      \
    PACK_B2(trans_a, trans_b);                                                                                         \
    c += offset_c + GROUP(2) * stride_c + m0 * ldc + n0;                                                               \
    TOTAL_BEGIN                                                                                                        \
    tiles_on();                                                                                                        \
    for (int64 k0 = 0; k0 < k; k0 += kc) {                                                                             \
      const int depth = (int)min((int64)kc, k - k0), steps = (depth + STEP - 1) / STEP;                                \
      PACK_B(trans_b);                                                                                                 \
      for (int r0 = 0; r0 < rows; r0 += BLOCKS * SIDE) {                                                               \
        const int r1 = min(rows, r0 + BLOCKS * SIDE);                                                                  \
        pack_a(block, BLOCK_WORDS, a, lda, trans_a, k0, depth, r0, r1, rows);                                          \
        PACK_A2(trans_a);                                                                                              \
        const int64 next_r = r1 < rows ? r1 : 0, next_k = r1 < rows ? k0 : k0 + kc;                                    \
        ahead next = {.a = a + (trans_a ? next_k * lda + next_r : next_r * lda + next_k), .ldc = ld};                  \
        next.width = max((trans_a ? BLOCKS * SIDE : depth) / (LINES * LINE), 1);                                       \
        next.gap = lda - next.width * LINES * LINE;                                                                    \
        for (int j = 0; j < columns; j += SIDE)                                                                        \
          for (int s = 0; s < steps; s += CHUNK / STEP) {                                                              \
            const bool last = k0 + s * STEP + CHUNK >= k;                                                              \
            for (int r = r0; r < r1; r += SIDE) {                                                                      \
              const target now = {total + r * ld + j, bias && last ? bias + n0 + j : 0, k0 + s ? 1.0f : beta,          \
                                  rows - r, columns - j};                                                              \
              next.c = now.at;                                                                                         \
              multiply(sum, block + (r - r0) / SIDE * BLOCK_WORDS + s * STEP_WORDS,                                    \
                       panel + (j / SIDE * steps + s) * STEP_WORDS, min(CHUNK / STEP, steps - s), &next);              \
              JOIN();                                                                                                  \
              store(&now, ld, sum, FACTOR_OF_SUMS);                                                                    \
            }                                                                                                          \
          }                                                                                                            \
      }                                                                                                                \
    }                                                                                                                  \
    tiles_off();                                                                                                       \
    TOTAL_END                                                                                                          \
  }

GEMM(gemm_nn, false, false)
GEMM(gemm_nt, false, true)
GEMM(gemm_tn, true, false)
GEMM(gemm_tt, true, true)
