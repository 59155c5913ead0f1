/* Matrix product of bfloat16 matrices for CPUs with AMX tiles: C = alpha op(A) op(B) + beta C (+ bias), row-major; C
 * float32 or bfloat16. For float32 operands see tuned_gemm_amx.cl, for convolutions tuned_conv_amx.cl.
 *
 *   C's 32 x 32 are four tiles; A's are two tiles of 16 rows x 32 k, B's two of 16 pairs of k x 16 columns.
 *   for each kc of k:              pack kc x nb of B
 *     for each 128 rows:           pack 128 x kc of A, in four blocks of 32 rows
 *       for each 32 columns:
 *         for each CHUNK of k:     B's chunk, 24 KiB, stays in the first-level cache for the four blocks of A
 *           for each block:        sum its 32 x 32 over the chunk, begun from what the chunks before have left
 *
 * The sums of a work-item's mt x nb are private float32, 32 x 32 after 32 x 32: a tile's rows are adjacent cache lines.
 * The last chunk's sums are scaled and stored while they are in the first-level cache. If kc is all of k, nothing is
 * kept, so each block's sums take the same place.
 *
 * An element is one chain of sums in the order of k, whatever the block sizes are, so all variants give the same bits.
 * AMX takes and gives subnormal numbers as 0. Inf may become NaN. */
#define GEMM_AMX_PIECES 1
#include "gemm_amx_bf16.h"
#include "gemm_amx_pack.h"
#include "gemm_second.h"

#define CHUNK GEMM_AMX_CHUNK

/* Private memory, in words: nb x kc of B and 128 x kc of A; floats: the sums. Together most of a worker's second-level
 * cache. The host (backend/chooser/gemm_own.c) keeps nb x kc, kc and mt x nb within these limits. */
#define PANEL_WORDS (GEMM_AMX_PANEL / 2)
#define BLOCKS      4 /* of 32 rows */
#define BLOCK_WORDS (SIDE * GEMM_AMX_DEPTH / 2)
#define TOTAL       GEMM_AMX_TOTAL

/* The second pair is packed like the first one; its sums are kept apart until they are stored. */
#ifdef SECOND_PAIR
#define JOIN()                                                                                                         \
  multiply(more, block2 + (r - r0) / SIDE * BLOCK2_WORDS, panel2 + j / SIDE * steps2 * STEP_WORDS, steps2, true);
#define MORE_PARAMETERS , const float *more, float alpha2
#define MORE_ARGUMENTS  , more, alpha2
#define MORE_SUMS(i)    +alpha2 *vload16(i, more)
#define MORE_SUM(j)     +alpha2 *more[j]
#define MORE_NEXT       , more += SIDE
#else
#define JOIN()
#define MORE_PARAMETERS
#define MORE_ARGUMENTS
#define MORE_SUMS(i)
#define MORE_SUM(j)
#define MORE_NEXT
#endif

/* sum (32 x 32) = (begin ? 0 : sum) + A's block times B's strip over `steps` of 32 k. */
AMX void multiply(float *sum, const uint *a, const uint *b, int steps, bool begin) {
  SUMS_LOAD(sum, begin)
  for (int s = 0; s < steps; s++, a += STEP_WORDS, b += STEP_WORDS) {
    __builtin_ia32_tileloadd64(4, a, 64);
    __builtin_ia32_tileloadd64(6, b, 64);
    __builtin_ia32_tileloadd64(7, b + TILE, 64);
    __builtin_ia32_tileloadd64(5, a + TILE, 64);
    MULTIPLY();
  }
  SUMS_STORE(sum);
}

/* At most 32 x 32 of C = alpha sum (+ alpha2 more) + beta C (+ bias); rows and columns: the remaining size of C from
 * here. */
inline void finish(GLOBAL gemm_c *c, int64 ldc, const float *sum, float alpha, float beta, GLOBAL const gemm_c *bias,
                   int rows, int columns MORE_PARAMETERS) {
  for (int i = 0; i < SIDE && i < rows; i++, c += ldc, sum += SIDE MORE_NEXT) {
    if (columns >= SIDE) {
      float16 l = alpha * vload16(0, sum) MORE_SUMS(0), r = alpha * vload16(1, sum) MORE_SUMS(1);
      if (beta != 0.0f) l += beta * C_LOAD16(c), r += beta * C_LOAD16(c + 16);
      if (bias) l += C_LOAD16(bias), r += C_LOAD16(bias + 16);
      C_STORE16(c, l);
      C_STORE16(c + 16, r);
    } else {
      for (int j = 0; j < columns; j++) {
        float v = alpha * sum[j] MORE_SUM(j) + (beta != 0.0f ? beta * C_LOAD(c, j) : 0.0f);
        if (bias) v += C_LOAD(bias, j);
        C_STORE(c, j, v);
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
    float total[TOTAL] ALIGNED;                                                                                        \
    SECOND_MEMORY                                                                                                      \
    const int64 m0 = (int64)GROUP(0) * mt, n0 = (int64)GROUP(1) * nb;                                                  \
    const int rows = (int)min((int64)mt, m - m0), columns = (int)min((int64)nb, n - n0);                               \
    const int high = kc < k ? mt / SIDE : 0; /* blocks of sums from one strip to the next; 0: none is kept */          \
    a += offset_a + GROUP(2) * stride_a + (trans_a ? m0 : m0 * lda);                                                   \
    b += offset_b + GROUP(2) * stride_b;                                                                               \
    b += trans_b ? n0 * ldb : n0;                                                                                      \
    PACK_B2(trans_a, trans_b);                                                                                         \
    c += offset_c + GROUP(2) * stride_c + m0 * ldc + n0;                                                               \
    tiles_on();                                                                                                        \
    for (int64 k0 = 0; k0 < k; k0 += kc) {                                                                             \
      const int depth = (int)min((int64)kc, k - k0), steps = (depth + STEP - 1) / STEP;                                \
      PACK_B(trans_b);                                                                                                 \
      for (int r0 = 0; r0 < rows; r0 += BLOCKS * SIDE) {                                                               \
        const int r1 = min(rows, r0 + BLOCKS * SIDE);                                                                  \
        pack_a(block, BLOCK_WORDS, a, lda, trans_a, k0, depth, r0, r1, rows);                                          \
        PACK_A2(trans_a);                                                                                              \
        for (int j = 0; j < columns; j += SIDE)                                                                        \
          for (int s = 0; s < steps; s += CHUNK / STEP) {                                                              \
            const bool last = k0 + depth >= k && s + CHUNK / STEP >= steps;                                            \
            for (int r = r0; r < r1; r += SIDE) {                                                                      \
              float *sum = total + (j / SIDE * high + (high ? r : r - r0) / SIDE) * (SIDE * SIDE);                     \
              multiply(sum, block + (r - r0) / SIDE * BLOCK_WORDS + s * STEP_WORDS,                                    \
                       panel + (j / SIDE * steps + s) * STEP_WORDS, min(CHUNK / STEP, steps - s), !k0 && !s);          \
              if (last) {                                                                                              \
                JOIN();                                                                                                \
                finish(c + r * ldc + j, ldc, sum, alpha, beta, bias ? bias + n0 + j : 0, rows - r,                     \
                       columns - j MORE_ARGUMENTS);                                                                    \
              }                                                                                                        \
            }                                                                                                          \
          }                                                                                                            \
      }                                                                                                                \
    }                                                                                                                  \
    tiles_off();                                                                                                       \
  }

GEMM(gemm_nn, false, false)
GEMM(gemm_nt, false, true)
GEMM(gemm_tn, true, false)
GEMM(gemm_tt, true, true)
