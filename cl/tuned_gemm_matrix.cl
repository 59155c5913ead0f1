/* Matrix product on a GPU's matrix units: C = alpha op(A) op(B) + beta C [+ bias], row-major; A and B bfloat16, C as in
 * gemm_storage.h, sums in float32 in the units' own order along all of k.
 *
 *   A work-group of 256 owns TILE x TILE of C. k is walked in steps of DEPTH: while the units work on one step, every
 *   work-item already loads its words of the next into registers; local memory holds both operands as rows of words
 *   (pairs along k; a row of B's is a column), so that a fragment is read the same way for any transposition.
 *   The waves share the tile as WAVES_DOWN x WAVES_ACROSS rectangles; each is MI x NI units of UM x UN.
 *
 *   TILE   128, or 64 for small shapes
 *   PITCH  20 words per row: rows 8 apart then lie in different banks for every unit's access
 *
 * For the units and the layout of their lanes, see gemm_matrix_units.h. Local memory: 2 TILE PITCH words, 20 KiB at
 * most. */
#include "gemm_matrix_units.h"

#ifndef WAVE
#error "no matrix unit chosen: see gemm_matrix_units.h"
#endif

#ifndef TILE
#define TILE 128
#endif
#define ITEMS GEMM_MATRIX_ITEMS
#define DEPTH 32
#define WORDS (DEPTH / 2)
#define PITCH GEMM_MATRIX_PITCH      /* 4 more than WORDS */
#define MINE  (TILE * WORDS / ITEMS) /* words of an operand that a work-item moves */
#define WAVES (ITEMS / WAVE)
#if WAVES <= 4
#define WAVES_DOWN 2
#elif WAVES <= 8
#define WAVES_DOWN 2
#else
#define WAVES_DOWN 4
#endif
#define WAVES_ACROSS (WAVES / WAVES_DOWN)
#define MI           (TILE / WAVES_DOWN / UM)
#define NI           (TILE / WAVES_ACROSS / UN)

#if defined(UNIT_DPAS16) && !defined(UNIT_EMULATED)
#define SUB_GROUP __attribute__((intel_reqd_sub_group_size(16)))
#elif defined(UNIT_DPAS8) && !defined(UNIT_EMULATED)
#define SUB_GROUP __attribute__((intel_reqd_sub_group_size(8)))
#else
#define SUB_GROUP
#endif

#undef UNROLL        /* here for every device; some compilers reject a second definition */
#ifdef UNIT_EMULATED /* its barriers must not be duplicated by unrolling */
#define UNROLL
#else
#define UNROLL _Pragma("unroll")
#endif
#define FOR_SUMS(i, j, r)                                                                                              \
  UNROLL for (int i = 0; i < MI; i++) UNROLL for (int j = 0; j < NI; j++) UNROLL for (int r = 0; r < C_FLOATS; r++)

inline uint32 element(GLOBAL const gemm_ab *x, int64 ld, int64 i, int64 i_end, int64 k, int64 k_end, bool along) {
  if (i >= i_end || k >= k_end) return 0u;
  return x[along ? i * ld + k : k * ld + i];
}

/* The work-item's words of op(X)[i0 .. i0 + TILE][k0 .. k0 + DEPTH]: adjacent work-items load adjacent words. Zero
 * beyond the edges. */
inline void fetch(uint32 *words, GLOBAL const gemm_ab *x, int64 ld, int64 i0, int64 i_end, int64 k0, int64 k_end,
                  bool along, int item) {
  UNROLL for (int e = 0; e < MINE; e++) {
    const int at = e * ITEMS + item, i = along ? at / WORDS : at % TILE, w = along ? at % WORDS : at / TILE;
    const int64 k = k0 + 2 * w;
    words[e] = element(x, ld, i0 + i, i_end, k, k_end, along) | element(x, ld, i0 + i, i_end, k + 1, k_end, along)
                                                                    << 16;
  }
}
inline void keep(LOCAL_PTR uint32 *part, const uint32 *words, bool along, int item) {
  UNROLL for (int e = 0; e < MINE; e++) {
    const int at = e * ITEMS + item, i = along ? at / WORDS : at % TILE, w = along ? at % WORDS : at / TILE;
    part[i * PITCH + w] = words[e];
  }
}

#ifdef UNIT_DPAS16
#define A_KEPT(word, lane) ((lane) % 2 ? (word) >> 16 : (word)&0xffffu)
#else
#define A_KEPT(word, lane) (word)
#endif

inline void finish(GLOBAL gemm_c *at, float value, float beta, GLOBAL const gemm_c *bias, int64 column) {
  if (beta != 0.0f) value = value + beta * C_LOAD(at, 0);
  if (bias) value = value + C_LOAD(bias, column);
  C_STORE(at, 0, value);
}

/* One step of k on the units: sum += as bs. */
inline void multiply(float sum[MI][NI][C_FLOATS], LOCAL_PTR const uint32 *as, LOCAL_PTR const uint32 *bs,
                     UNIT_SCRATCH scratch, int row0, int column0, int lane, int item) {
  UNROLL for (int w = 0; w < WORDS; w += 8) {
    uint32 y[NI][B_WORDS];
    UNROLL for (int j = 0; j < NI; j++) UNROLL for (int i = 0; i < B_WORDS; i++) y[j][i] =
        bs[(column0 + j * UN + B_COLUMN(lane, i)) * PITCH + w + B_WORD(lane, i)];
    UNROLL for (int i = 0; i < MI; i++) {
      uint32 x[A_WORDS];
      UNROLL for (int q = 0; q < A_WORDS; q++) x[q] =
          A_KEPT(as[(row0 + i * UM + A_ROW(lane, q)) * PITCH + w + A_WORD(lane, q)], lane);
      UNROLL for (int j = 0; j < NI; j++) unit_multiply(sum[i][j], x, y[j], scratch, item);
    }
  }
}

inline void gemm(LOCAL_PTR uint32 *as, LOCAL_PTR uint32 *bs, UNIT_SCRATCH scratch, GLOBAL gemm_c *c,
                 GLOBAL const gemm_ab *a, GLOBAL const gemm_ab *b, int64 m, int64 n, int64 k, int64 lda, int64 ldb,
                 int64 ldc, float alpha, float beta, GLOBAL const gemm_c *bias, bool trans_a, bool trans_b) {
  const int item = LOCAL_ID(0), lane = item % WAVE, wave = item / WAVE;
  const int row0 = wave / WAVES_ACROSS * (MI * UM), column0 = wave % WAVES_ACROSS * (NI * UN);
  const int64 m0 = (int64)GROUP(1) * TILE, n0 = (int64)GROUP(0) * TILE;
  float sum[MI][NI][C_FLOATS];
  FOR_SUMS(i, j, r) sum[i][j][r] = 0.0f;
  uint32 next_a[MINE], next_b[MINE];
  fetch(next_a, a, lda, m0, m, 0, k, !trans_a, item);
  fetch(next_b, b, ldb, n0, n, 0, k, trans_b, item);
  for (int64 k0 = 0; k0 < k; k0 += DEPTH) {
    keep(as, next_a, !trans_a, item);
    keep(bs, next_b, trans_b, item);
    BARRIER();
    if (k0 + DEPTH < k) {
      fetch(next_a, a, lda, m0, m, k0 + DEPTH, k, !trans_a, item);
      fetch(next_b, b, ldb, n0, n, k0 + DEPTH, k, trans_b, item);
    }
    multiply(sum, as, bs, scratch, row0, column0, lane, item);
    BARRIER();
  }
  FOR_SUMS(i, j, r) {
    const int64 row = m0 + row0 + i * UM + C_ROW(lane, r), column = n0 + column0 + j * UN + C_COLUMN(lane, r);
    if (row < m && column < n) finish(c + row * ldc + column, alpha * sum[i][j][r], beta, bias, column);
  }
}

#define GEMM(name, trans_a, trans_b)                                                                                   \
  SUB_GROUP KERNEL_SIZED(ITEMS, 1, 1) void name(                                                                       \
      GLOBAL gemm_c *c, GLOBAL const gemm_ab *a, GLOBAL const gemm_ab *b, int64 m, int64 n, int64 k, int64 lda,        \
      int64 ldb, int64 ldc, int64 offset_a, int64 offset_b, int64 offset_c, int64 stride_a, int64 stride_b,            \
      int64 stride_c, float alpha, float beta, GLOBAL const gemm_c *bias) {                                            \
    LOCAL uint32 as[TILE * PITCH], bs[TILE * PITCH];                                                                   \
    UNIT_DECLARE                                                                                                       \
    const int64 batch = GROUP(2);                                                                                      \
    gemm(as, bs, UNIT_PLACE, c + offset_c + batch * stride_c, a + offset_a + batch * stride_a,                         \
         b + offset_b + batch * stride_b, m, n, k, lda, ldb, ldc, alpha, beta, bias, trans_a, trans_b);                \
  }

GEMM(gemm_nn, false, false)
GEMM(gemm_nt, false, true)
GEMM(gemm_tn, true, false)
GEMM(gemm_tt, true, true)
