/* Packing for matrix products on AMX tiles: for each 32 k, STEP_WORDS of the tiles of 32 columns of B or 32 rows of A.
 * The kernel that includes this says what it packs: put_pairs, put_row, put_square, put_rows and,
 * for images, put_pairs_inside, which takes 0 where a mask has no bits set. */
#ifndef GEMM_AMX_PACK_H
#define GEMM_AMX_PACK_H
#include "gemm_amx.h"

#ifdef GEMM_AMX_PIECES

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
/* Elements [i, i + 16) of x, 0 outside [0, total). */
inline run image_run(GLOBAL const gemm_ab *x, int64 i, int64 total) {
  if (i >= 0 && i + 16 <= total) return LOAD_RUN(x + i);
  gemm_ab part[16] ALIGNED;
  for (int j = 0; j < 16; j++) part[j] = i + j >= 0 && i + j < total ? x[i + j] : (gemm_ab)0;
  return vload16(0, part);
}

/* B built from an image x of `total` elements, 3 x 3 with zero padding of 1: row k is tap k % 9 of channel k / 9. at:
 * which taps are inside, for each 16 of the columns, which are positions from `first` on. */
inline void pack_b_image(uint *panel, GLOBAL const gemm_ab *x, int64 total, int64 k, int depth, int64 first,
                         int columns, const conv_window *at, int height, int width) {
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
        const run x0 = left > 0 && v < columns ? image_run(x, from + v, total) : (run)(0);
        const run x1 = left > 1 && v < columns ? image_run(x, then + v, total) : (run)(0);
        put_pairs_inside(to + h * TILE, x0, conv_mask(at[v / 16], tap), x1, conv_mask(at[v / 16], next));
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

/* Rows [first, end) of A from k on, in blocks of SIDE rows of `words` each; of `rows` in all. */
inline void pack_a(uint *block, int words, GLOBAL const gemm_ab *a, int64 lda, bool trans, int64 k, int depth,
                   int first, int end, int rows) {
  for (int r = first; r < end; r += SIDE, block += words) {
    if (trans)
      pack_a_columns(block, a + k * lda + r, lda, depth, rows - r);
    else
      pack_a_rows(block, a + r * lda + k, lda, depth, rows - r);
  }
}

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

#endif
#endif
