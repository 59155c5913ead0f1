/* Matrix product for CPUs with AMX tiles: C = alpha op(A) op(B) + beta C (+ bias), row-major; storage types as in
 * gemm_storage.h. AMX takes bfloat16 operands directly. For float32 operands:
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
#include "conv2d_place.h"
#include "gemm_total.h"

#define SIDE  GEMM_AMX_ROWS
#define CHUNK GEMM_CHUNK /* kc is a multiple of it, or all of k */
#define STEP  32         /* k of a tile */
#define TILE  256        /* words of a tile: 16 x 16 pairs of bfloat16 */

#ifdef AB_BF16
#define PIECES 1
#else
#define PIECES 3
#endif
#define STEP_WORDS (PIECES * 2 * TILE) /* for 32 k of 32 rows of A or columns of B */

/* Private memory, in words: nb x kc of B, PIECES of each, and 128 x kc of A; together most of a worker's second-level
 * cache. The host (backend/chooser/gemm_own.c) keeps nb x kc and kc within these limits. */
#define PANEL_WORDS (GEMM_AMX_PANEL / 2)
#define BLOCKS      4 /* of 32 rows: a strip of B is used for each in turn */
#define BLOCK_WORDS (PIECES * SIDE * GEMM_AMX_DEPTH / 2)

/* Sums of a bfloat16 C; the host limits mt x nb to this. */
#define TOTAL_FLOATS GEMM_AMX_TOTAL

#define ALIGNED      __attribute__((aligned(64)))
#define AMX          __attribute__((target("amx-bf16,amx-tile"), noinline))

/* ---- runs: 16 adjacent elements of A or B ---- */

/* Loads and stores go through pointers: PoCL's vload16 and vstore16 work element by element, or by quarters, for some
 * types. */
#ifdef AB_BF16
typedef ushort16 run;
#define LOAD_RUN(p) *(GLOBAL const loose_ushort16 *)(p)
#else
typedef float16 run;
#define LOAD_RUN(p) vload16(0, p)
#endif
#define PUT(to, v) *(uint16 *)(to) = (v)

/* Elements from n on are 0. */
inline run load_run(GLOBAL const gemm_ab *p, int n) {
  if (n >= 16) return LOAD_RUN(p);
  gemm_ab part[16] ALIGNED;
  for (int i = 0; i < 16; i++) part[i] = i < n ? p[i] : (gemm_ab)0;
  return vload16(0, part);
}

/* Transposes a 16 x 16 square, rows in v: four rounds that exchange halves of ever smaller blocks. */
#define TURN(v, far, LOW, UP)                                                                                          \
  for (int i = 0; i < 16; i++)                                                                                         \
    if (!(i & far)) {                                                                                                  \
      const float16 x = v[i], y = v[i + far];                                                                          \
      v[i] = LOW(x, y);                                                                                                \
      v[i + far] = UP(x, y);                                                                                           \
    }
#define LOW8(x, y) (float16)(x.s01234567, y.s01234567)
#define UP8(x, y)  (float16)(x.s89abcdef, y.s89abcdef)
#define LOW4(x, y) (float16)(x.s0123, y.s0123, x.s89ab, y.s89ab)
#define UP4(x, y)  (float16)(x.s4567, y.s4567, x.scdef, y.scdef)
#define LOW2(x, y) (float16)(x.s01, y.s01, x.s45, y.s45, x.s89, y.s89, x.scd, y.scd)
#define UP2(x, y)  (float16)(x.s23, y.s23, x.s67, y.s67, x.sab, y.sab, x.sef, y.sef)
#define LOW1(x, y)                                                                                                     \
  (float16)(x.s0, y.s0, x.s2, y.s2, x.s4, y.s4, x.s6, y.s6, x.s8, y.s8, x.sa, y.sa, x.sc, y.sc, x.se, y.se)
#define UP1(x, y)                                                                                                      \
  (float16)(x.s1, y.s1, x.s3, y.s3, x.s5, y.s5, x.s7, y.s7, x.s9, y.s9, x.sb, y.sb, x.sd, y.sd, x.sf, y.sf)

inline void turn(float16 *v) {
  TURN(v, 8, LOW8, UP8)
  TURN(v, 4, LOW4, UP4)
  TURN(v, 2, LOW2, UP2)
  TURN(v, 1, LOW1, UP1)
}

/* put_pairs: sixteen pairs adjacent along k, the even one in a word's lower half. put_row: 32 numbers along k.
 * put_square: 32 k of 16 rows, transposed into 16 rows of pairs of 16 columns. */
#ifdef AB_BF16
#define WORDS(v) __builtin_convertvector(v, uint16)
inline void put_pairs(uint *to, run even, run odd) { PUT(to, WORDS(even) | WORDS(odd) << 16); }
inline uint16 row_of(run x, run y) { return (uint16)(as_uint8(x), as_uint8(y)); }
inline void put_row(uint *to, run x, run y) { PUT(to, row_of(x, y)); }
inline void put_square(uint *to, const run *near, const run *far) {
  float16 v[16];
  for (int i = 0; i < 16; i++) v[i] = as_float16(row_of(near[i], far[i]));
  turn(v);
  for (int i = 0; i < 16; i++) PUT(to + i * 16, as_uint16(v[i]));
}
/* From 32 k of 16 columns: 16 rows along k. */
inline void put_rows(uint *to, const run *columns) {
  float16 v[16];
  for (int i = 0; i < 16; i++) v[i] = as_float16(WORDS(columns[2 * i]) | WORDS(columns[2 * i + 1]) << 16);
  turn(v);
  for (int i = 0; i < 16; i++) PUT(to + i * 16, as_uint16(v[i]));
}
#else
/* Three pieces of 16 numbers, each in the upper halves of 16 words. */

#define HIGH 0xffff0000u

typedef struct pieces {
  uint16 p1, p2, p3;
} pieces;

/* The integer addition, which rounds half away from 0, would carry a NaN of all ones to 0 and the largest numbers to
 * Inf: those are truncated instead. The first piece's remainder has 16 bits, the second's 8. */
inline pieces split(float16 x) {
  const uint16 u = as_uint16(x), magnitude = u & 0x7fffffffu;
  pieces s;
  s.p1 = (magnitude < 0x7f7f8000u ? u + 0x8000u : u) & HIGH;
  const float16 r = x - as_float16(s.p1);
  s.p2 = (as_uint16(r) + 0x8000u) & HIGH;
  s.p3 = as_uint16(r - as_float16(s.p2));
  return s;
}

inline void put_pairs(uint *to, run even, run odd) {
  const pieces e = split(even), o = split(odd);
  PUT(to, e.p1 >> 16 | o.p1);
  PUT(to + 2 * TILE, e.p2 >> 16 | o.p2);
  PUT(to + 4 * TILE, e.p3 >> 16 | (o.p3 & HIGH));
}
inline void put_row(uint *to, run x, run y) { put_pairs(to, (float16)(x.even, y.even), (float16)(x.odd, y.odd)); }
inline void put_square(uint *to, run *near, run *far) {
  turn(near);
  turn(far);
  for (int i = 0; i < 8; i++) put_pairs(to + i * 16, near[2 * i], near[2 * i + 1]);
  for (int i = 0; i < 8; i++) put_pairs(to + (8 + i) * 16, far[2 * i], far[2 * i + 1]);
}
/* From 32 k of 16 columns: 16 rows along k. */
inline void put_rows(uint *to, run *columns) {
  turn(columns);
  turn(columns + 16);
  for (int i = 0; i < 16; i++) put_row(to + i * 16, columns[i], columns[16 + i]);
}
#endif

/* ---- packing B: panel[strip of 32][step of 32 k][piece][half of 16 columns] of tiles ---- */

/* B stored (k, n). */
inline void pack_b_rows(uint *panel, GLOBAL const gemm_ab *b, int64 ldb, int depth, int columns) {
  const int steps = (depth + STEP - 1) / STEP;
  for (int s = 0; s < steps; s++, b += STEP * ldb)
    for (int j = 0; j < columns; j += SIDE) {
      uint *to = panel + (j / SIDE * steps + s) * STEP_WORDS;
      GLOBAL const gemm_ab *even = b + j;
      for (int pair = 0; pair < 16; pair++, even += 2 * ldb, to += 16) {
        const int in = depth - s * STEP - 2 * pair; /* rows left */
        for (int h = 0; h < 2; h++) {
          const int left = columns - j - 16 * h;
          const run x = in > 0 && left > 0 ? load_run(even + 16 * h, left) : (run)(0);
          const run y = in > 1 && left > 0 ? load_run(even + ldb + 16 * h, left) : (run)(0);
          put_pairs(to + h * TILE, x, y);
        }
      }
    }
}

/* B stored (n, k). */
inline void pack_b_columns(uint *panel, GLOBAL const gemm_ab *b, int64 ldb, int depth, int columns) {
  const int steps = (depth + STEP - 1) / STEP, padded = (columns + SIDE - 1) / SIDE * SIDE;
  for (int j = 0; j < padded; j += 16)
    for (int s = 0; s < steps; s++) {
      run near[16], far[16];
      const int left = depth - s * STEP;
      for (int i = 0; i < 16; i++) {
        GLOBAL const gemm_ab *from = b + (j + i) * ldb + s * STEP;
        near[i] = j + i < columns ? load_run(from, left) : (run)(0);
        far[i] = j + i < columns && left > 16 ? load_run(from + 16, left - 16) : (run)(0);
      }
      put_square(panel + (j / SIDE * steps + s) * STEP_WORDS + j % SIDE / 16 * TILE, near, far);
    }
}

#ifdef IMAGE
/* B built from an image x of `total` elements, 3 x 3 with zero padding of 1: row k is tap k % 9 of channel k / 9. at:
 * which taps are inside, for each 16 of the columns, which are positions from `first` on. */
inline void pack_b_image(uint *panel, GLOBAL const float *x, int64 total, int64 k, int depth, int64 first, int columns,
                         const conv_window *at, int height, int width) {
  const int steps = (depth + STEP - 1) / STEP;
  const int64 plane = (int64)height * width;
  for (int pair = 0; pair < steps * 16; pair++) {
    uint *to = panel + pair / 16 * STEP_WORDS + pair % 16 * 16;
    const int64 even = k + 2 * pair, odd = even + 1;
    const int left = depth - 2 * pair, tap = (int)(even % 9), next = (int)(odd % 9);
    const int64 from = even / 9 * plane + (tap / 3 - 1) * width + tap % 3 - 1 + first;
    const int64 then = odd / 9 * plane + (next / 3 - 1) * width + next % 3 - 1 + first;
    for (int j = 0; j < columns; j += SIDE, to += steps * STEP_WORDS)
      for (int h = 0; h < 2; h++) {
        const int v = j + 16 * h;
        run x0 = (run)(0), x1 = (run)(0);
        if (left > 0 && v < columns) x0 = conv_inside(at[v / 16], tap, conv_load(x, from + v, total));
        if (left > 1 && v < columns) x1 = conv_inside(at[v / 16], next, conv_load(x, then + v, total));
        put_pairs(to + h * TILE, x0, x1);
      }
  }
}
#endif

/* ---- packing A, 32 rows: block[step][piece][half of 16 rows] of tiles ---- */

inline void pack_a_rows(uint *block, GLOBAL const gemm_ab *a, int64 lda, int depth, int rows) {
  for (int k = 0; k < depth; k += STEP, block += STEP_WORDS)
    for (int r = 0; r < SIDE; r++) {
      GLOBAL const gemm_ab *from = a + r * lda + k;
      const int left = r < rows ? depth - k : 0;
      put_row(block + r * 16, left > 0 ? load_run(from, left) : (run)(0),
              left > 16 ? load_run(from + 16, left - 16) : (run)(0));
    }
}

/* A stored (k, m). */
inline void pack_a_columns(uint *block, GLOBAL const gemm_ab *a, int64 lda, int depth, int rows) {
  for (int k = 0; k < depth; k += STEP, block += STEP_WORDS)
    for (int h = 0; h < 2; h++) {
      run v[32];
      for (int i = 0; i < 32; i++)
        v[i] = k + i < depth && rows > 16 * h ? load_run(a + (k + i) * lda + 16 * h, rows - 16 * h) : (run)(0);
      put_rows(block + h * TILE, v);
    }
}

/* ---- tiles: 0 to 3 are C's, 4 and 5 A's two halves, 6 and 7 B's ---- */

#define LOAD_A(t, piece)                                                                                               \
  __builtin_ia32_tileloadd64(4, (t) + 2 * ((piece)-1) * TILE, 64);                                                     \
  __builtin_ia32_tileloadd64(5, (t) + (2 * ((piece)-1) + 1) * TILE, 64)
#define LOAD_B(t, piece)                                                                                               \
  __builtin_ia32_tileloadd64(6, (t) + 2 * ((piece)-1) * TILE, 64);                                                     \
  __builtin_ia32_tileloadd64(7, (t) + (2 * ((piece)-1) + 1) * TILE, 64)
#define MULTIPLY()                                                                                                     \
  __builtin_ia32_tdpbf16ps(0, 4, 6);                                                                                   \
  __builtin_ia32_tdpbf16ps(1, 4, 7);                                                                                   \
  __builtin_ia32_tdpbf16ps(2, 5, 6);                                                                                   \
  __builtin_ia32_tdpbf16ps(3, 5, 7)

/* The next data to read, prefetched between the tile instructions a few cache lines at a time (a burst would delay the
 * tiles' own loads): a 32 x 32 block of C whose rows are pages apart, and the next blocks of A, row by row. Prefetching
 * past an edge is harmless. Not used for bfloat16, whose products are over six times faster and became a third slower
 * with it. */
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
  __builtin_ia32_tilezero(0);
  __builtin_ia32_tilezero(1);
  __builtin_ia32_tilezero(2);
  __builtin_ia32_tilezero(3);
  const uint *x = a, *y = b;
#if PIECES == 3
  for (int s = 0; s < steps; s++, x += STEP_WORDS, y += STEP_WORDS) {
    LOAD_A(x, 3);
    LOAD_B(y, 1);
    MULTIPLY();
    LOAD_A(x, 2);
    MULTIPLY();
    LOAD_B(y, 2);
    MULTIPLY();
    LOAD_A(x, 1);
    MULTIPLY();
    LOAD_B(y, 3);
    MULTIPLY();
    ask(&w);
  }
  x = a, y = b;
#endif
  for (int s = 0; s < steps; s++, x += STEP_WORDS, y += STEP_WORDS) {
    LOAD_A(x, 1);
    LOAD_B(y, 1);
    MULTIPLY();
  }
  *next = w;
  __builtin_ia32_tilestored64(0, sum, 4 * SIDE);
  __builtin_ia32_tilestored64(1, sum + 16, 4 * SIDE);
  __builtin_ia32_tilestored64(2, sum + 16 * SIDE, 4 * SIDE);
  __builtin_ia32_tilestored64(3, sum + 16 * SIDE + 16, 4 * SIDE);
}

/* Palette 1, eight tiles of 16 rows of 64 bytes: the 64 bytes that LDTILECFG reads. */
AMX void tiles_on(void) {
  uint words[16] ALIGNED;
  for (int i = 0; i < 16; i++) words[i] = 0;
  words[0] = 1;
  for (int i = 4; i < 8; i++) words[i] = 64u << 16 | 64u;
  for (int i = 12; i < 14; i++) words[i] = 0x10101010u;
  __builtin_ia32_tile_loadconfig(words);
}
AMX void tiles_off(void) { __builtin_ia32_tilerelease(); }

/* Row i, columns from j on: a product's bias is per column, a convolution's per row. */
#ifdef IMAGE
#define BIAS_AT(i, j)   (i)
#define BIAS(b, i, j)   C_LOAD(b, i)
#define BIAS16(b, i, j) (float16)(C_LOAD(b, i))
#else
#define BIAS_AT(i, j)   (j)
#define BIAS(b, i, j)   C_LOAD(b, j)
#define BIAS16(b, i, j) C_LOAD16((b) + (j))
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
      if (t->bias) l += BIAS16(t->bias, i, 0), r += BIAS16(t->bias, i, 16);
      vstore16(l, 0, to);
      vstore16(r, 1, to);
    } else {
      for (int j = 0; j < t->columns; j++) {
        float v = alpha * sum[j] + (t->scale != 0.0f ? t->scale * to[j] : 0.0f);
        if (t->bias) v += BIAS(t->bias, i, j);
        to[j] = v;
      }
    }
  }
}

/* ---- the kernels: GROUP(0) rows, GROUP(1) columns, GROUP(2) matrix of the batch ---- */

#ifdef IMAGE
#define IMAGE_ARGUMENTS , int32 height, int32 width
#define B_BEGIN(trans_b)                                                                                               \
  conv_window at[GEMM_AMX_WIDTH / 16];                                                                                 \
  for (int v = 0; v < columns; v += 16)                                                                                \
    at[v / 16] = conv_window_of(conv_locate((int)n0 + v, width), 1, 1, 1, height, width);
#define PACK_B(trans_b) pack_b_image(panel, b, k / 9 * n, k0, depth, n0, columns, at, height, width)
#else
#define IMAGE_ARGUMENTS
#define B_BEGIN(trans_b) b += trans_b ? n0 * ldb : n0;
#define PACK_B(trans_b)                                                                                                \
  if (trans_b)                                                                                                         \
    pack_b_columns(panel, b + k0, ldb, depth, columns);                                                                \
  else                                                                                                                 \
    pack_b_rows(panel, b + k0 * ldb, ldb, depth, columns)
#endif

#define GEMM(name, trans_a, trans_b)                                                                                   \
  KERNEL_SIZED(1, 1, 1)                                                                                                \
  void name(GLOBAL gemm_c *c, GLOBAL const gemm_ab *a, GLOBAL const gemm_ab *b, int64 m, int64 n, int64 k, int64 lda,  \
            int64 ldb, int64 ldc, int64 offset_a, int64 offset_b, int64 offset_c, int64 stride_a, int64 stride_b,      \
            int64 stride_c, float alpha, float beta, GLOBAL const gemm_c *bias, int32 mt, int32 nb,                    \
            int32 kc IMAGE_ARGUMENTS) {                                                                                \
    uint panel[PANEL_WORDS] ALIGNED, block[BLOCKS * BLOCK_WORDS] ALIGNED;                                              \
    float sum[SIDE * SIDE] ALIGNED;                                                                                    \
    const int64 m0 = (int64)GROUP(0) * mt, n0 = (int64)GROUP(1) * nb;                                                  \
    const int rows = (int)min((int64)mt, m - m0), columns = (int)min((int64)nb, n - n0);                               \
    a += offset_a + GROUP(2) * stride_a + (trans_a ? m0 : m0 * lda);                                                   \
    b += offset_b + GROUP(2) * stride_b;                                                                               \
    B_BEGIN(trans_b)                                                                                                   \
    c += offset_c + GROUP(2) * stride_c + m0 * ldc + n0;                                                               \
    TOTAL_BEGIN                                                                                                        \
    tiles_on();                                                                                                        \
    for (int64 k0 = 0; k0 < k; k0 += kc) {                                                                             \
      const int depth = (int)min((int64)kc, k - k0), steps = (depth + STEP - 1) / STEP;                                \
      PACK_B(trans_b);                                                                                                 \
      for (int r0 = 0; r0 < rows; r0 += BLOCKS * SIDE) {                                                               \
        const int r1 = min(rows, r0 + BLOCKS * SIDE);                                                                  \
        for (int r = r0; r < r1; r += SIDE) {                                                                          \
          uint *to = block + (r - r0) / SIDE * BLOCK_WORDS;                                                            \
          if (trans_a)                                                                                                 \
            pack_a_columns(to, a + k0 * lda + r, lda, depth, rows - r);                                                \
          else                                                                                                         \
            pack_a_rows(to, a + r * lda + k0, lda, depth, rows - r);                                                   \
        }                                                                                                              \
        const int64 next_r = r1 < rows ? r1 : 0, next_k = r1 < rows ? k0 : k0 + kc;                                    \
        ahead next = {.a = a + (trans_a ? next_k * lda + next_r : next_r * lda + next_k), .ldc = ld};                  \
        next.width = max((trans_a ? BLOCKS * SIDE : depth) / (LINES * LINE), 1);                                       \
        next.gap = lda - next.width * LINES * LINE;                                                                    \
        for (int j = 0; j < columns; j += SIDE)                                                                        \
          for (int s = 0; s < steps; s += CHUNK / STEP) {                                                              \
            const bool last = k0 + s * STEP + CHUNK >= k;                                                              \
            for (int r = r0; r < r1; r += SIDE) {                                                                      \
              const target now = {total + r * ld + j, bias && last ? bias + BIAS_AT(m0 + r, n0 + j) : 0,               \
                                  k0 + s ? 1.0f : beta, rows - r, columns - j};                                        \
              next.c = now.at;                                                                                         \
              multiply(sum, block + (r - r0) / SIDE * BLOCK_WORDS + s * STEP_WORDS,                                    \
                       panel + (j / SIDE * steps + s) * STEP_WORDS, min(CHUNK / STEP, steps - s), &next);              \
              store(&now, ld, sum, alpha);                                                                             \
            }                                                                                                          \
          }                                                                                                            \
      }                                                                                                                \
    }                                                                                                                  \
    tiles_off();                                                                                                       \
    TOTAL_END                                                                                                          \
  }

GEMM(gemm_nn, false, false)
#ifndef IMAGE
GEMM(gemm_nt, false, true)
GEMM(gemm_tn, true, false)
GEMM(gemm_tt, true, true)
#endif
