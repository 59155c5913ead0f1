/* Packing for matrix products on AMX tiles: for each 32 k, STEP_WORDS of the tiles of 32 columns of B or 32 rows of A.
 * The kernel that includes this says what it packs: put_pairs, put_row, put_square and put_rows. */
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

#define PACK_B(trans_b)                                                                                                \
  if (trans_b)                                                                                                         \
    pack_b_columns(panel, b + k0, ldb, depth, columns);                                                                \
  else                                                                                                                 \
    pack_b_rows(panel, b + k0 * ldb, ldb, depth, columns)

/* The second pair (gemm_second.h), packed like the first one: B2 once, A2's rows with the last of A's. */
#define PANEL2_WORDS (GEMM_AMX_PIECES * GEMM_SECOND_PANEL / 2)
#define BLOCK2_WORDS (GEMM_AMX_PIECES * SIDE * GEMM_SECOND_DEPTH / 2)
#define SECOND_MEMORY                                                                                                  \
  IF_SECOND(uint panel2[PANEL2_WORDS] ALIGNED; uint block2[BLOCKS * BLOCK2_WORDS] ALIGNED;                             \
            float more[SIDE * SIDE] ALIGNED; const int steps2 = ((int)k2 + STEP - 1) / STEP;)
#define PACK_B2(trans_a, trans_b)                                                                                      \
  IF_SECOND(a2 += trans_a ? m0 : m0 * lda2;                                                                            \
            if (trans_b) pack_b_columns(panel2, b2 + n0 * ldb2, ldb2, (int)k2, columns);                               \
            else pack_b_rows(panel2, b2 + n0, ldb2, (int)k2, columns))
#define PACK_A2(trans_a)                                                                                               \
  IF_SECOND(if (k0 + depth >= k) pack_a(block2, BLOCK2_WORDS, a2, lda2, trans_a, 0, (int)k2, r0, r1, rows))

#endif
#endif
