/* Matrix product for CPUs: C = alpha op(A) op(B) + beta C [+ bias], row-major; storage types as in gemm_storage.h.
 *
 *            <-- nb -->            A work-item (a work-group of one) owns mt x nb of C and walks k in blocks of kc:
 *           +----+----+            1. packs the kc x nb panel of B into private memory, strips of STRIP columns one
 *   B panel | s0 | s1 | kc            after another, transposed if needed: one row-major weight is used in forward
 *           +----+----+               and backward;
 *   +----+  +----+----+            2. packs as many rows of A as its private block holds, ROWS rows together;
 *   | A  |  |    |    | mt         3. for every strip and every ROWS rows: a tile of ROWS x STRIP in vector registers,
 *   +----+  +----+----+               CHUNK of k at a time, so that a strip's chunk stays in the first-level cache.
 *     kc
 *                                  All block sizes are arguments: one program for all variants.
 *
 * A tile is two vectors of VECTOR numbers wide. With 16 it is 8 x 32: 16 of AVX-512's 32 registers. With 8
 * it is 6 x 16: 12 of AVX2's 16 registers, which leaves room for two vectors of B and one number of A.
 *
 * An element's arithmetic does not depend on the block sizes, so all variants give the same bits: every CHUNK of k is
 * one chain sum = fma(a, b, sum) from 0 in the order of k; the first gives beta C + alpha sum, the others add theirs. A
 * single chain over all of k would work too, but its rounding errors grow with k.
 *
 * bfloat16 is widened during packing. A bfloat16 C is summed in private memory and rounded once, so it equals the
 * float32 C of the same numbers, rounded. */
#include "gemm_second.h"
#include "gemm_total.h"

#define CHUNK GEMM_CHUNK /* kc is a multiple of it, or all of k */

#ifndef NARROW_VECTORS
#define VECTOR 16
#define ROWS   GEMM_CPU_ROWS
typedef float16 vector;
#define LOAD(i, p)           vload16(i, p)
#define STORE(v, i, p)       vstore16(v, i, p)
#define C_LOAD_VECTOR(p)     C_LOAD16(p)
#define EACH_ROW(DO)         DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define PACK_A_COLUMN(to, a) vstore8(AB_LOAD8(a), 0, to);
#else
#define VECTOR           8
#define ROWS             GEMM_NARROW_ROWS
typedef float8 vector;
#define LOAD(i, p)       vload8(i, p)
#define STORE(v, i, p)   vstore8(v, i, p)
#define C_LOAD_VECTOR(p) C_LOAD8(p)
#define EACH_ROW(DO)     DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define PACK_A_COLUMN(to, a)                                                                                           \
  for (int i_ = 0; i_ < ROWS; i_++) (to)[i_] = AB_LOAD(a, i_);
#endif
#define STRIP (2 * VECTOR)

/* Private memory, in floats: kc x nb of B, at least kc x ROWS of A and, with a narrow C, mt x nb of it. Together 1.5
 * MiB of a worker's stack, which is most of a second-level cache; a second pair takes 0.9 MiB more. The host
 * (backend/chooser/gemm_own.c) respects these limits. */
#define PANEL_FLOATS GEMM_CPU_PANEL
#ifdef C_NARROW
#define TOTAL_FLOATS GEMM_CPU_TOTAL
#endif
#if defined(C_NARROW) || defined(NARROW_VECTORS) /* processors with AVX2 alone have second-level caches of 512 KiB */
#define BLOCK_FLOATS 65536
#else
#define BLOCK_FLOATS 131072
#endif

#define ALIGNED __attribute__((aligned(64))) /* a vector load that straddles two cache lines costs two */

#define AHEAD   16 /* rows to prefetch: their stride is beyond the hardware prefetcher */

#ifdef NARROW_VECTORS
#define LOW_PAIRS(a, b)   (float8)((a).s0, (b).s0, (a).s1, (b).s1, (a).s4, (b).s4, (a).s5, (b).s5)
#define HIGH_PAIRS(a, b)  (float8)((a).s2, (b).s2, (a).s3, (b).s3, (a).s6, (b).s6, (a).s7, (b).s7)
#define LOW_HALVES(a, b)  (float8)((a).s01, (b).s01, (a).s45, (b).s45)
#define HIGH_HALVES(a, b) (float8)((a).s23, (b).s23, (a).s67, (b).s67)

/* 8 x 8: within the halves of a register first, which is what AVX2's shuffles do */
inline void transpose8(float8 *r) {
  float8 t[8], u[8];
#pragma unroll
  for (int i = 0; i < 8; i += 2) {
    t[i] = LOW_PAIRS(r[i], r[i + 1]);
    t[i + 1] = HIGH_PAIRS(r[i], r[i + 1]);
  }
#pragma unroll
  for (int i = 0; i < 8; i += 4)
#pragma unroll
    for (int j = 0; j < 2; j++) {
      u[i + 2 * j] = LOW_HALVES(t[i + j], t[i + j + 2]);
      u[i + 2 * j + 1] = HIGH_HALVES(t[i + j], t[i + j + 2]);
    }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    r[i] = (float8)(u[i].lo, u[i + 4].lo);
    r[i + 4] = (float8)(u[i].hi, u[i + 4].hi);
  }
}
#endif

/* ---- packing B: panel[strip][k][STRIP], columns past the end are 0 ---- */

inline void pack_b_rows(float *panel, GLOBAL const gemm_ab *b, int64 ldb, int kc, int columns) {
  const int whole = columns / STRIP * STRIP;
  for (int k = 0; k < kc; k++, b += ldb) {
    float *to = panel + k * STRIP;
    for (int s = 0; s < whole; s += STRIP, to += kc * STRIP)
      for (int j = 0; j < STRIP; j += 16) vstore16(AB_LOAD16(b + s + j), 0, to + j);
    if (whole < columns)
      for (int j = 0; j < STRIP; j++) to[j] = whole + j < columns ? AB_LOAD(b, whole + j) : 0.0f;
  }
}

/* to[i][x] = b[x][i], 16 x 16 */
inline void pack_square(float *to, GLOBAL const gemm_ab *b, int64 ldb) {
#ifdef NARROW_VECTORS
  for (int k = 0; k < 16; k += 8)
    for (int j = 0; j < 16; j += 8) {
      float8 r[8];
#pragma unroll
      for (int i = 0; i < 8; i++) r[i] = AB_LOAD8(b + (j + i) * ldb + k);
      transpose8(r);
#pragma unroll
      for (int i = 0; i < 8; i++) vstore8(r[i], 0, to + (k + i) * STRIP + j);
    }
#else
  float square[256] ALIGNED;
  for (int i = 0; i < 16; i++) vstore16(AB_LOAD16(b + i * ldb), i, square);
  for (int i = 0; i < 16; i++)
    for (int x = 0; x < 16; x++) to[i * STRIP + x] = square[x * 16 + i];
#endif
}

/* B stored (n, k): transposes squares of 16 x 16. */
inline void pack_b_columns(float *panel, GLOBAL const gemm_ab *b, int64 ldb, int kc, int columns) {
  const int padded = (columns + STRIP - 1) / STRIP * STRIP;
  for (int j = 0; j < padded; j += 16, b += 16 * ldb) {
    float *to = panel + j / STRIP * (kc * STRIP) + j % STRIP;
    int k = 0;
    if (j + 16 <= columns)
      for (; k + 16 <= kc; k += 16) pack_square(to + k * STRIP, b + k, ldb);
    for (; k < kc; k++)
      for (int x = 0; x < 16; x++) to[k * STRIP + x] = j + x < columns ? AB_LOAD(b, x * ldb + k) : 0.0f;
  }
}

/* ---- packing A: block[row / ROWS][k][ROWS], rows past the end are 0 ---- */

/* to[x][i] = a[i][x], ROWS x 16 */
inline void pack_rows(float *to, GLOBAL const gemm_ab *a, int64 lda) {
#ifdef NARROW_VECTORS
  for (int k = 0; k < 16; k += 8, to += 8 * ROWS) {
    float8 r[8];
#pragma unroll
    for (int i = 0; i < 8; i++) r[i] = AB_LOAD8(a + min(i, ROWS - 1) * lda + k);
    transpose8(r);
    /* the next store corrects the last two numbers */
#pragma unroll
    for (int x = 0; x < 8; x++) vstore8(r[x], 0, to + x * ROWS);
  }
#else
  float part[ROWS * 16] ALIGNED;
  for (int i = 0; i < ROWS; i++) vstore16(AB_LOAD16(a + i * lda), i, part);
  for (int x = 0; x < 16; x++)
    for (int i = 0; i < ROWS; i++) to[x * ROWS + i] = part[i * 16 + x];
#endif
}

inline void pack_a_rows(float *block, GLOBAL const gemm_ab *a, int64 lda, int kc, int rows) {
  for (int r = 0; r < rows; r += ROWS, a += ROWS * lda, block += kc * ROWS) {
    int k = 0;
    if (r + ROWS <= rows)
      for (; k + 16 <= kc; k += 16) pack_rows(block + k * ROWS, a + k, lda);
    for (; k < kc; k++)
      for (int i = 0; i < ROWS; i++) block[k * ROWS + i] = r + i < rows ? AB_LOAD(a, i * lda + k) : 0.0f;
  }
}

/* A stored (k, m): its rows may be pages apart, so each visit takes WIDE columns. */
#define WIDE (4 * ROWS)

inline void pack_a_columns(float *block, GLOBAL const gemm_ab *a, int64 lda, int kc, int rows) {
  int r = 0;
  for (; r + WIDE <= rows; r += WIDE, a += WIDE, block += kc * WIDE) {
    for (int k = 0; k < kc; k++) {
      if (k + AHEAD < kc) {
        PREFETCH(a + (k + AHEAD) * lda);
        PREFETCH(a + (k + AHEAD) * lda + 16);
      }
      for (int i = 0; i < WIDE; i += ROWS) {
        PACK_A_COLUMN(block + i * kc + k * ROWS, a + k * lda + i)
      }
    }
  }
  for (; r < rows; r += ROWS, a += ROWS, block += kc * ROWS) {
    for (int k = 0; k < kc; k++) {
      if (k + AHEAD < kc) PREFETCH(a + (k + AHEAD) * lda);
      if (r + ROWS <= rows) {
        PACK_A_COLUMN(block + k * ROWS, a + k * lda)
      } else {
        for (int i = 0; i < ROWS; i++) block[k * ROWS + i] = r + i < rows ? AB_LOAD(a, k * lda + i) : 0.0f;
      }
    }
  }
}

/* ---- the tile: ROWS x STRIP of C = scale C + factor A B over kc, [+ bias] ---- */

#define DECLARE(i) vector l##i = (vector)(0.0f), r##i = (vector)(0.0f);
#define TIMES(i)   l##i = factor * l##i, r##i = factor * r##i;
#define FETCH(i)   l##i += scale * LOAD(0, c + i * ldc), r##i += scale * LOAD(1, c + i * ldc);
#define SHIFT(i)   l##i += bias0, r##i += bias1;
#define KEEP(i)    STORE(l##i, 0, c + i * ldc), STORE(r##i, 1, c + i * ldc);
#define SPILL(i)   STORE(l##i, 2 * i, edge), STORE(r##i, 2 * i + 1, edge);
#define STEP(i)                                                                                                        \
  {                                                                                                                    \
    const vector x = (vector)(a[i]);                                                                                   \
    l##i = fma(x, b0, l##i);                                                                                           \
    r##i = fma(x, b1, r##i);                                                                                           \
  }
#define STEPS(kc)                                                                                                      \
  for (int k = 0; k < (kc); k++, a += ROWS, b += STRIP) {                                                              \
    const vector b0 = LOAD(0, b), b1 = LOAD(1, b);                                                                     \
    EACH_ROW(STEP)                                                                                                     \
  }

/* The second pair joins the sums of the last chunk of the first one; `count` 0: it does not. */
#ifdef SECOND_PAIR
inline void scale(float *block, int count, float ratio) {
  for (int i = 0; i < count; i++) block[i] *= ratio;
}
#define JOIN_PARAMETERS      , const float *a2, const float *b2, int count
#define JOIN_ARGUMENTS(last) , block2 + (r - r0) * (int)k2, panel2 + s *(int)k2, (last) ? (int)k2 : 0
#define JOIN()                                                                                                         \
  if (count) {                                                                                                         \
    a = a2, b = b2;                                                                                                    \
    STEPS(count)                                                                                                       \
  }
#else
#define JOIN_PARAMETERS
#define JOIN_ARGUMENTS(last)
#define JOIN()
#endif

/* rows, columns: the remaining size of C from here; less than a tile is stored element by element. */
inline void tile(TOTAL float *c, int64 ldc, const float *a, const float *b, int kc, int rows, int columns, float factor,
                 float scale, GLOBAL const gemm_c *bias JOIN_PARAMETERS) {
  const bool whole = rows >= ROWS && columns >= STRIP;
#ifndef C_NARROW /* private sums are already in a cache */
  if (whole)
    for (int i = 0; i < ROWS; i++) {
      PREFETCH(c + i * ldc);
      PREFETCH(c + i * ldc + 16);
    }
#endif
  EACH_ROW(DECLARE)
  STEPS(kc)
  JOIN();
  EACH_ROW(TIMES)
  if (whole) {
    if (scale != 0.0f) {
      EACH_ROW(FETCH)
    }
    if (bias) {
      const vector bias0 = C_LOAD_VECTOR(bias), bias1 = C_LOAD_VECTOR(bias + VECTOR);
      EACH_ROW(SHIFT)
    }
    EACH_ROW(KEEP)
  } else {
    float edge[ROWS * STRIP] ALIGNED;
    EACH_ROW(SPILL)
    for (int i = 0; i < rows && i < ROWS; i++)
      for (int j = 0; j < columns && j < STRIP; j++) {
        float sum = edge[i * STRIP + j] + (scale != 0.0f ? scale * c[i * ldc + j] : 0.0f);
        if (bias) sum += C_LOAD(bias, j);
        c[i * ldc + j] = sum;
      }
  }
}

/* ---- the kernels: GROUP(0) rows, GROUP(1) columns, GROUP(2) matrix of the batch ---- */

#define PACK_B(panel, b, ldb, depth, trans)                                                                            \
  if (trans)                                                                                                           \
    pack_b_columns(panel, b, ldb, depth, columns);                                                                     \
  else                                                                                                                 \
    pack_b_rows(panel, b, ldb, depth, columns);
#define PACK_A(block, a, lda, depth, trans)                                                                            \
  if (trans)                                                                                                           \
    pack_a_columns(block, a, lda, depth, r1 - r0);                                                                     \
  else                                                                                                                 \
    pack_a_rows(block, a, lda, depth, r1 - r0);

#define GEMM(name, trans_a, trans_b)                                                                                   \
  KERNEL_SIZED(1, 1, 1)                                                                                                \
  void name(GLOBAL gemm_c *c, GLOBAL const gemm_ab *a, GLOBAL const gemm_ab *b, int64 m, int64 n, int64 k, int64 lda,  \
            int64 ldb, int64 ldc, int64 offset_a, int64 offset_b, int64 offset_c, int64 stride_a, int64 stride_b,      \
            int64 stride_c, float alpha, float beta, GLOBAL const gemm_c *bias, int32 mt, int32 nb,                    \
            int32 kc SECOND_PARAMETERS) {                                                                              \
    float panel[PANEL_FLOATS] ALIGNED, block[BLOCK_FLOATS + 8] ALIGNED;                                                \
    IF_SECOND(float panel2[GEMM_SECOND_PANEL] ALIGNED; float block2[GEMM_SECOND_BLOCK + 8] ALIGNED;)                   \
    const int64 m0 = (int64)GROUP(0) * mt, n0 = (int64)GROUP(1) * nb;                                                  \
    const int rows = (int)min((int64)mt, m - m0), columns = (int)min((int64)nb, n - n0);                               \
    a += offset_a + GROUP(2) * stride_a + (trans_a ? m0 : m0 * lda);                                                   \
    b += offset_b + GROUP(2) * stride_b + (trans_b ? n0 * ldb : n0);                                                   \
    IF_SECOND(a2 += trans_a ? m0 : m0 * lda2; PACK_B(panel2, b2 + (trans_b ? n0 * ldb2 : n0), ldb2, (int)k2, trans_b)) \
    c += offset_c + GROUP(2) * stride_c + m0 * ldc + n0;                                                               \
    TOTAL_BEGIN                                                                                                        \
    for (int64 k0 = 0; k0 < k; k0 += kc) {                                                                             \
      const int depth = (int)min((int64)kc, k - k0);                                                                   \
      int high = BLOCK_FLOATS / depth / ROWS * ROWS;                                                                   \
      IF_SECOND(high = min(high, GEMM_SECOND_BLOCK / (int)k2 / ROWS * ROWS);)                                          \
      PACK_B(panel, b + (trans_b ? k0 : k0 * ldb), ldb, depth, trans_b)                                                \
      for (int r0 = 0; r0 < rows; r0 += high) {                                                                        \
        const int r1 = min(high, rows - r0) + r0;                                                                      \
        PACK_A(block, a + (trans_a ? k0 * lda + r0 : r0 * lda + k0), lda, depth, trans_a)                              \
        IF_SECOND(if (k0 + depth >= k) {                                                                               \
          PACK_A(block2, a2 + (trans_a ? r0 : r0 * lda2), lda2, (int)k2, trans_a)                                      \
          scale(block2, (r1 - r0 + ROWS - 1) / ROWS * ROWS * (int)k2, ratio);                                          \
        })                                                                                                             \
        for (int s = 0; s < columns; s += STRIP)                                                                       \
          for (int k1 = 0; k1 < depth; k1 += CHUNK) {                                                                  \
            const bool last = k0 + k1 + CHUNK >= k;                                                                    \
            GLOBAL const gemm_c *shift = bias && last ? bias + n0 + s : 0;                                             \
            for (int r = r0; r < r1; r += ROWS)                                                                        \
              tile(total + r * ld + s, ld, block + (r - r0) * depth + k1 * ROWS, panel + s * depth + k1 * STRIP,       \
                   min(CHUNK, depth - k1), r1 - r, columns - s, alpha, k0 + k1 ? 1.0f : beta,                          \
                   shift JOIN_ARGUMENTS(last));                                                                        \
          }                                                                                                            \
      }                                                                                                                \
    }                                                                                                                  \
    TOTAL_END                                                                                                          \
  }

GEMM(gemm_nn, false, false)
GEMM(gemm_nt, false, true)
GEMM(gemm_tn, true, false)
GEMM(gemm_tt, true, true)
