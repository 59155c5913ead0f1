/* Matrix product for GPUs: C = alpha op(A) op(B) + beta C [+ bias], row-major; storage types as in gemm_storage.h.
 *
 *   A work-group of 16 x 16 owns HIGH x WIDE of C, 16 times WORK x ACROSS; a work-item WORK x ACROSS of it, 16 apart,
 *   so that adjacent work-items store adjacent elements. k is walked in steps of DEPTH: the group loads HIGH x DEPTH of
 *   op(A) and DEPTH x WIDE of op(B) into local memory, along each one's contiguous direction.
 *
 *   WORK    4: small shapes; 8: large ones
 *   ACROSS  like WORK; but 4 for a bfloat16 C, whose two sums of 64 numbers each would spill on some devices
 *   DEPTH   16
 *
 * Every CHUNK of k is one chain sum = fma(a, b, sum) from 0 in the order of k; the first gives beta C + alpha sum, the
 * others add alpha sum to C: bit-identical to tuned_gemm_cpu.cl, and independent of the tile. A float32 C holds the
 * sums between chunks; for a bfloat16 C they stay in registers and are rounded once. Local memory: DEPTH (HIGH + WIDE +
 * 2) floats, 16.1 KiB at most. Loops over a work-item's own numbers are unrolled explicitly: otherwise some compilers
 * keep those in memory. */
#include "gemm_storage.h"

#ifndef WORK
#define WORK 4
#endif
#ifndef ACROSS
#define ACROSS WORK
#endif
#define DEPTH          16
#define CHUNK          GEMM_CHUNK /* a multiple of DEPTH */
#define SIDE           GEMM_GPU_SIDE
#define HIGH           (SIDE * WORK)
#define WIDE           (SIDE * ACROSS)

#define FOR_TILE(i, j) UNROLL for (int i = 0; i < WORK; i++) UNROLL for (int j = 0; j < ACROSS; j++)

/* Loads part[k][i] = op(X)[i, k0 + k], i < tile, with rows padded by one, to avoid bank conflicts along a column.
 * X is stored (i, k) if by_rows, else (k, i). */
inline void load_part(LOCAL_PTR float *part, GLOBAL const gemm_ab *x, int64 ld, int64 i0, int64 i_end, int64 k0,
                      int64 k_end, bool by_rows, int item, int tile) {
  for (int e = item; e < tile * DEPTH; e += SIDE * SIDE) {
    const int k = by_rows ? e % DEPTH : e / tile, i = by_rows ? e / DEPTH : e % tile;
    const bool inside = i0 + i < i_end && k0 + k < k_end;
    const int64 at = by_rows ? (i0 + i) * ld + k0 + k : (k0 + k) * ld + i0 + i;
    part[k * (tile + 1) + i] = inside ? AB_LOAD(x, at) : 0.0f;
  }
}

/* Updates an element of C with one chunk's sum; `first` and `last` tell whether it is the first or last chunk of k. */
inline void store(GLOBAL gemm_c *c, int64 at, float value, bool first, bool last, float beta, GLOBAL const gemm_c *bias,
                  int64 column) {
  const float scale = first ? beta : 1.0f;
  if (scale != 0.0f) value = value + scale * C_LOAD(c, at);
  if (bias && last) value = value + C_LOAD(bias, column);
  C_STORE(c, at, value);
}

inline void gemm(LOCAL_PTR float *as, LOCAL_PTR float *bs, GLOBAL gemm_c *c, GLOBAL const gemm_ab *a,
                 GLOBAL const gemm_ab *b, int64 m, int64 n, int64 k, int64 lda, int64 ldb, int64 ldc, float alpha,
                 float beta, GLOBAL const gemm_c *bias, bool trans_a, bool trans_b) {
  const int tx = LOCAL_ID(0), ty = LOCAL_ID(1), item = ty * SIDE + tx;
  const int64 m0 = (int64)GROUP(1) * HIGH, n0 = (int64)GROUP(0) * WIDE;
#ifdef C_BF16
  float total[WORK][ACROSS];
  FOR_TILE(i, j) {
    const int64 row = m0 + ty + i * SIDE, column = n0 + tx + j * SIDE;
    total[i][j] = beta != 0.0f && row < m && column < n ? beta * C_LOAD(c, row * ldc + column) : 0.0f;
  }
#endif
  for (int64 chunk = 0; chunk < k; chunk += CHUNK) {
    const int64 k_end = min(chunk + CHUNK, k);
    float sum[WORK][ACROSS];
    FOR_TILE(i, j) sum[i][j] = 0.0f;
    for (int64 k0 = chunk; k0 < k_end; k0 += DEPTH) {
      load_part(as, a, lda, m0, m, k0, k, !trans_a, item, HIGH);
      load_part(bs, b, ldb, n0, n, k0, k, trans_b, item, WIDE);
      BARRIER();
      for (int s = 0; s < DEPTH; s++) {
        float x[WORK], y[ACROSS];
        UNROLL for (int i = 0; i < WORK; i++) x[i] = as[s * (HIGH + 1) + ty + i * SIDE];
        UNROLL for (int j = 0; j < ACROSS; j++) y[j] = bs[s * (WIDE + 1) + tx + j * SIDE];
        FOR_TILE(i, j) sum[i][j] = fma(x[i], y[j], sum[i][j]);
      }
      BARRIER();
    }
#ifdef C_BF16
    const bool more = chunk || beta != 0.0f; /* + 0 would lose the sign of a zero */
    FOR_TILE(i, j) total[i][j] = more ? alpha * sum[i][j] + total[i][j] : alpha * sum[i][j];
#else
    FOR_TILE(i, j) {
      const int64 row = m0 + ty + i * SIDE, column = n0 + tx + j * SIDE;
      if (row < m && column < n)
        store(c, row * ldc + column, alpha * sum[i][j], chunk == 0, k_end == k, beta, bias, column);
    }
#endif
  }
#ifdef C_BF16
  FOR_TILE(i, j) {
    const int64 row = m0 + ty + i * SIDE, column = n0 + tx + j * SIDE;
    if (row < m && column < n) store(c, row * ldc + column, total[i][j], true, true, 0.0f, bias, column);
  }
#endif
}

#define GEMM(name, trans_a, trans_b)                                                                                   \
  KERNEL_DENSE(SIDE, SIDE, 1, WORK == 8 ? 1 : 2)                                                                       \
  void name(GLOBAL gemm_c *c, GLOBAL const gemm_ab *a, GLOBAL const gemm_ab *b, int64 m, int64 n, int64 k, int64 lda,  \
            int64 ldb, int64 ldc, int64 offset_a, int64 offset_b, int64 offset_c, int64 stride_a, int64 stride_b,      \
            int64 stride_c, float alpha, float beta, GLOBAL const gemm_c *bias) {                                      \
    LOCAL float as[DEPTH * (HIGH + 1)], bs[DEPTH * (WIDE + 1)];                                                        \
    const int64 batch = GROUP(2);                                                                                      \
    gemm(as, bs, c + offset_c + batch * stride_c, a + offset_a + batch * stride_a, b + offset_b + batch * stride_b, m, \
         n, k, lda, ldb, ldc, alpha, beta, bias, trans_a, trans_b);                                                    \
  }

GEMM(gemm_nn, false, false)
GEMM(gemm_nt, false, true)
GEMM(gemm_tn, true, false)
GEMM(gemm_tt, true, true)
