/* Matrix product for CPUs with AVX512_BF16: C = alpha op(A) op(B) + beta C [+ bias], row-major; A and B bfloat16, C as
 * in gemm_storage.h, sums in float32. vdpbf16ps adds 16 pairs of products to a vector of 16 sums.
 *
 * OpenCL C has no builtin for it, but a clang-based compiler accepts a target attribute and a builtin, whatever CPU it
 * compiles for. The host offers this kernel if the processor has the instruction and the platform has such a compiler
 * (backend/chooser/gemm_dot.c), and uses it once it has given correct results.
 *
 * As in tuned_gemm_cpu.cl, a work-item owns mt x nb of C and walks k in blocks of kc: it packs the panel of B and the
 * block of A into private memory, here in pairs of k (a word each, the lower k in the lower half), zero-padded to whole
 * tiles, and adds the products to sums in private memory, which are scaled and stored once at the end.
 *
 *   panel[column / 32][pair][32]   k is padded to 32, a CHUNK of 16 pairs
 *   block[row / 8][pair][8]        rows are padded to 32
 *
 * The instruction fixes the order of summation along all of k; it does not depend on mt, nb or kc. */
#include "gemm_storage.h"

#define STRIP GEMM_STRIP
#define CHUNK GEMM_DOT_PAIRS

/* Private memory; mt x nb, kc x nb / 2 and mt x kc / 2 stay within; the host ensures it. */
#define TOTAL_FLOATS GEMM_DOT_TOTAL
#define PANEL_WORDS  GEMM_DOT_PANEL
#define BLOCK_WORDS  GEMM_DOT_BLOCK

#define ALIGNED      __attribute__((aligned(64)))

typedef uint16 pairs; /* 16 pairs of bfloat16 */
typedef uint8 half_pairs;

/* The compiler splits vload16 into four; this stays whole. */
typedef pairs loose_pairs __attribute__((aligned(2)));

/* ---- squares: 16 rows (or columns) of X times 16 pairs of k, in registers x0 .. x15 ---- */

#define EACH16(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)

/* Stored along k: x##i is row i. Across k: x##i is the pair i of every row. */
#define LOAD_ALONG(i)                                                                                                  \
  pairs x##i = *(GLOBAL const loose_pairs *)(from + i * ld);                                                           \
  PREFETCH(from + (i + 16) * ld);
#define LOAD_ACROSS(i)                                                                                                 \
  pairs x##i = convert_uint16(*(GLOBAL const loose_ushort16 *)(from + 2 * i * ld)) |                                   \
               convert_uint16(*(GLOBAL const loose_ushort16 *)(from + (2 * i + 1) * ld)) << 16;                        \
  PREFETCH(from + (2 * i + 32) * ld);                                                                                  \
  PREFETCH(from + (2 * i + 33) * ld);

/* Transposes the square: swaps off-diagonal blocks of 8, 4, 2 and 1. */
#define EXCHANGE(i, j, first, second)                                                                                  \
  {                                                                                                                    \
    const pairs a = x##i, b = x##j;                                                                                    \
    x##i = (pairs)first;                                                                                               \
    x##j = (pairs)second;                                                                                              \
  }
#define SWAP8(i, j) EXCHANGE(i, j, (a.lo, b.lo), (a.hi, b.hi))
#define SWAP4(i, j) EXCHANGE(i, j, (a.s0123, b.s0123, a.s89ab, b.s89ab), (a.s4567, b.s4567, a.scdef, b.scdef))
#define SWAP2(i, j)                                                                                                    \
  EXCHANGE(i, j, (a.s01, b.s01, a.s45, b.s45, a.s89, b.s89, a.scd, b.scd),                                             \
           (a.s23, b.s23, a.s67, b.s67, a.sab, b.sab, a.sef, b.sef))
#define SWAP1(i, j)                                                                                                    \
  EXCHANGE(i, j, (a.s0, b.s0, a.s2, b.s2, a.s4, b.s4, a.s6, b.s6, a.s8, b.s8, a.sa, b.sa, a.sc, b.sc, a.se, b.se),     \
           (a.s1, b.s1, a.s3, b.s3, a.s5, b.s5, a.s7, b.s7, a.s9, b.s9, a.sb, b.sb, a.sd, b.sd, a.sf, b.sf))
#define TURN                                                                                                           \
  SWAP8(0, 8);                                                                                                         \
  SWAP8(1, 9);                                                                                                         \
  SWAP8(2, 10);                                                                                                        \
  SWAP8(3, 11);                                                                                                        \
  SWAP8(4, 12);                                                                                                        \
  SWAP8(5, 13);                                                                                                        \
  SWAP8(6, 14);                                                                                                        \
  SWAP8(7, 15);                                                                                                        \
  SWAP4(0, 4);                                                                                                         \
  SWAP4(1, 5);                                                                                                         \
  SWAP4(2, 6);                                                                                                         \
  SWAP4(3, 7);                                                                                                         \
  SWAP4(8, 12);                                                                                                        \
  SWAP4(9, 13);                                                                                                        \
  SWAP4(10, 14);                                                                                                       \
  SWAP4(11, 15);                                                                                                       \
  SWAP2(0, 2);                                                                                                         \
  SWAP2(1, 3);                                                                                                         \
  SWAP2(4, 6);                                                                                                         \
  SWAP2(5, 7);                                                                                                         \
  SWAP2(8, 10);                                                                                                        \
  SWAP2(9, 11);                                                                                                        \
  SWAP2(12, 14);                                                                                                       \
  SWAP2(13, 15);                                                                                                       \
  SWAP1(0, 1);                                                                                                         \
  SWAP1(2, 3);                                                                                                         \
  SWAP1(4, 5);                                                                                                         \
  SWAP1(6, 7);                                                                                                         \
  SWAP1(8, 9);                                                                                                         \
  SWAP1(10, 11);                                                                                                       \
  SWAP1(12, 13);                                                                                                       \
  SWAP1(14, 15);

/* A pair of an incomplete square: elements past `rows` or `depth` are 0. */
inline uint edge_pair(GLOBAL const gemm_narrow *x, int64 ld, bool along, int i, int q, int rows, int depth) {
  const int64 row = along ? ld : 1, step = along ? 1 : ld;
  const uint low = i < rows && 2 * q < depth ? x[i * row + 2 * q * step] : 0;
  const uint high = i < rows && 2 * q + 1 < depth ? x[i * row + (2 * q + 1) * step] : 0;
  return low | high << 16;
}

/* ---- packing ---- */

#define KEEP_PAIRS(i) *(pairs *)(to + i * STRIP) = x##i; /* the pair i of 16 columns */

inline void pack_b_square(uint *to, GLOBAL const gemm_narrow *from, int64 ld, int depth, int columns, bool along) {
  if (columns < 16 || depth < 32) {
    for (int i = 0; i < 16; i++)
      for (int x = 0; x < 16; x++) to[i * STRIP + x] = edge_pair(from, ld, along, x, i, columns, depth);
  } else if (along) {
    EACH16(LOAD_ALONG)
    TURN EACH16(KEEP_PAIRS)
  } else {
    EACH16(LOAD_ACROSS)
    EACH16(KEEP_PAIRS)
  }
}

/* In B's memory order. */
inline void pack_b(uint *panel, GLOBAL const gemm_narrow *b, int64 ld, int depth, int columns, bool along, int count) {
  const int wide = (columns + STRIP - 1) / STRIP * STRIP;
  if (along) {
    for (int j = 0; j < wide; j += 16)
      for (int q = 0; q < count; q += CHUNK)
        pack_b_square(panel + j / STRIP * (count * STRIP) + q * STRIP + j % STRIP, b + j * ld + 2 * q, ld,
                      depth - 2 * q, columns - j, true);
  } else {
    for (int q = 0; q < count; q += CHUNK)
      for (int j = 0; j < wide; j += 16)
        pack_b_square(panel + j / STRIP * (count * STRIP) + q * STRIP + j % STRIP, b + 2 * q * ld + j, ld,
                      depth - 2 * q, columns - j, false);
  }
}

#define KEEP_ROWS(i) /* the pair i of 16 rows, 8 and 8 */                                                              \
  *(half_pairs *)(to + i * 8) = x##i.lo;                                                                               \
  *(half_pairs *)(to + count * 8 + i * 8) = x##i.hi;
#define A_AT(r, q)    (block + (r)*count + (q)*8)
#define A_PLACE(i, q) (i / 8 * (count * 8) + q * 8 + i % 8)

inline void pack_a_square(uint *to, int count, GLOBAL const gemm_narrow *from, int64 ld, int depth, int rows,
                          bool along) {
  if (rows < 16 || depth < 32) {
    for (int i = 0; i < 16; i++)
      for (int x = 0; x < 16; x++) to[A_PLACE(i, x)] = edge_pair(from, ld, along, i, x, rows, depth);
  } else if (along) {
    EACH16(LOAD_ALONG)
    TURN EACH16(KEEP_ROWS)
  } else {
    EACH16(LOAD_ACROSS)
    EACH16(KEEP_ROWS)
  }
}

inline void pack_a(uint *block, GLOBAL const gemm_narrow *a, int64 ld, int depth, int rows, bool along, int count) {
  const int high = (rows + GEMM_DOT_ROWS - 1) / GEMM_DOT_ROWS * GEMM_DOT_ROWS;
  if (along) {
    for (int r = 0; r < high; r += 16)
      for (int q = 0; q < count; q += CHUNK)
        pack_a_square(A_AT(r, q), count, a + r * ld + 2 * q, ld, depth - 2 * q, rows - r, true);
  } else {
    for (int q = 0; q < count; q += CHUNK)
      for (int r = 0; r < high; r += 16)
        pack_a_square(A_AT(r, q), count, a + 2 * q * ld + r, ld, depth - 2 * q, rows - r, false);
  }
}

/* ---- the tile: total (ROWS x 32, rows ld apart) = [total +] A B over all pairs ---- */

#define ROWS         8
#define DOT          __attribute__((target("avx512bf16,avx512f,avx512bw,avx512vl,avx512dq")))

#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define CLEAR(i)     float16 l##i = (float16)(0.0f), r##i = (float16)(0.0f);
#define FETCH(i)     l##i = *(const float16 *)(total + i * ld), r##i = *(const float16 *)(total + i * ld + 16);
#define KEEP(i)      *(float16 *)(total + i * ld) = l##i, *(float16 *)(total + i * ld + 16) = r##i;
#define STEP(i)                                                                                                        \
  {                                                                                                                    \
    const int16 x = (int16)((int)a[i]);                                                                                \
    l##i = __builtin_ia32_dpbf16ps_512(l##i, x, b0);                                                                   \
    r##i = __builtin_ia32_dpbf16ps_512(r##i, x, b1);                                                                   \
  }

DOT void tile(float *total, int ld, const uint *a, const uint *b, int count, bool first) {
  EACH_ROW(CLEAR)
  if (!first) {
    EACH_ROW(FETCH)
  }
  for (int q = 0; q < count; q++, a += 8, b += STRIP) {
    const int16 b0 = *(const int16 *)b, b1 = *(const int16 *)(b + 16);
    EACH_ROW(STEP)
  }
  EACH_ROW(KEEP)
}

/* ---- the end: C = alpha total + beta C [+ bias] ---- */

#ifdef C_NARROW
typedef loose_ushort16 loose_c16;
#define WIDE(v)   gemm_widened16(v)
#define NARROW(v) gemm_narrowed16(v)
#else
typedef float16 loose_c16 __attribute__((aligned(4)));
#define WIDE(v)   (v)
#define NARROW(v) (v)
#endif

inline void store(GLOBAL gemm_c *c, int64 ldc, const float *total, int nb, int rows, int columns, float alpha,
                  float beta, GLOBAL const gemm_c *bias) {
  for (int i = 0; i < rows; i++, c += ldc, total += nb) {
    int j = 0;
    for (; j + 16 <= columns; j += 16) {
      GLOBAL loose_c16 *at = (GLOBAL loose_c16 *)(c + j);
      float16 v = alpha * *(const float16 *)(total + j);
      if (beta != 0.0f) v += beta * WIDE(*at);
      if (bias) v += WIDE(*(GLOBAL const loose_c16 *)(bias + j));
      *at = NARROW(v);
    }
    for (; j < columns; j++) {
      float v = alpha * total[j];
      if (beta != 0.0f) v += beta * C_LOAD(c, j);
      if (bias) v += C_LOAD(bias, j);
      C_STORE(c, j, v);
    }
  }
}

/* ---- the kernels: GROUP(0) rows, GROUP(1) columns, GROUP(2) matrix of the batch ---- */

#define GEMM(name, trans_a, trans_b)                                                                                   \
  KERNEL_SIZED(1, 1, 1)                                                                                                \
  void name(GLOBAL gemm_c *c, GLOBAL const gemm_narrow *a, GLOBAL const gemm_narrow *b, int64 m, int64 n, int64 k,     \
            int64 lda, int64 ldb, int64 ldc, int64 offset_a, int64 offset_b, int64 offset_c, int64 stride_a,           \
            int64 stride_b, int64 stride_c, float alpha, float beta, GLOBAL const gemm_c *bias, int32 mt, int32 nb,    \
            int32 kc) {                                                                                                \
    float total[TOTAL_FLOATS] ALIGNED;                                                                                 \
    uint panel[PANEL_WORDS] ALIGNED, block[BLOCK_WORDS] ALIGNED;                                                       \
    const int64 m0 = (int64)GROUP(0) * mt, n0 = (int64)GROUP(1) * nb;                                                  \
    const int rows = (int)min((int64)mt, m - m0), columns = (int)min((int64)nb, n - n0);                               \
    a += offset_a + GROUP(2) * stride_a + (trans_a ? m0 : m0 * lda);                                                   \
    b += offset_b + GROUP(2) * stride_b + (trans_b ? n0 * ldb : n0);                                                   \
    c += offset_c + GROUP(2) * stride_c + m0 * ldc + n0;                                                               \
    for (int64 k0 = 0; k0 < k; k0 += kc) {                                                                             \
      const int depth = (int)min((int64)kc, k - k0), count = (depth + 2 * CHUNK - 1) / (2 * CHUNK) * CHUNK;            \
      pack_b(panel, b + (trans_b ? k0 : k0 * ldb), ldb, depth, columns, trans_b, count);                               \
      pack_a(block, a + (trans_a ? k0 * lda : k0), lda, depth, rows, !trans_a, count);                                 \
      for (int s = 0; s < columns; s += STRIP)                                                                         \
        for (int r = 0; r < rows; r += ROWS)                                                                           \
          tile(total + r * nb + s, nb, block + r * count, panel + s * count, count, k0 == 0);                          \
    }                                                                                                                  \
    store(c, ldc, total, nb, rows, columns, alpha, beta, bias ? bias + n0 : 0);                                        \
  }

GEMM(gemm_nn, false, false)
GEMM(gemm_nt, false, true)
GEMM(gemm_tn, true, false)
GEMM(gemm_tt, true, true)
