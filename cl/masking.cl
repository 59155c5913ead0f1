/* Masks of tokens, one int32 per token: where they are, and another row instead. */
#include "platform.h"

/* y[b] = the positions of the ones of mask[b], ascending, as many as fit, then -1. A lane handles a run of positions.
 */
KERNEL void masked_positions_forward(GLOBAL int32 *y, GLOBAL const int32 *mask, int64 samples, int64 n, int64 count) {
  ROW(samples);
  if (!row_valid) return; /* no barrier below */
  const int64 run = (n + LANES - 1) / LANES, first = run * LANE;
  const int64 last = min(first + run, n);
  int64 before = 0, ones = 0;
  mask += row * n;
  y += row * count;
  for (int64 i = 0; i < n; i++) {
    if (i == first) before = ones;
    ones += mask[i] != 0;
  }
  for (int64 i = first; i < last && before < count; i++)
    if (mask[i] != 0) y[before++] = (int32)i;
  for (int64 i = ones + LANE; i < count; i += LANES) y[i] = -1;
}

/* y = mask ? replacement : x, by row; no replacement: zeros. y may be x. */
KERNEL void replace_rows_forward(GLOBAL ELEM *y, GLOBAL const ELEM *x, GLOBAL const int32 *mask,
                                 GLOBAL const float *replacement, int64 rows, int64 columns) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  x += row * columns;
  y += row * columns;
  if (mask[row] == 0) {
    FOR_ROW_PIECES(i, columns) {
      vec v[PIECE];
      row_load(v, x, i, columns);
      row_store(y, i, columns, v);
    }
  } else {
    FOR_ROW_PIECES(i, columns) {
      vec v[PIECE];
      EACH_OF_PIECE(k) v[k] = VEC(0);
      if (replacement) row_load(v, replacement, i, columns);
      row_store(y, i, columns, v);
    }
  }
}

/* partials (chunks, columns): sums of the masked rows of dy */
KERNEL void replace_rows_partial(GLOBAL float *partials, GLOBAL const ELEM *dy, GLOBAL const int32 *mask, int64 rows,
                                 int64 columns) {
  COLUMN(columns);
  if (column >= columns) return;
  const int64 first = chunk * COLUMN_CHUNK, last = min(first + COLUMN_CHUNK, rows);
  vec sum = VEC(0);
  for (int64 row = first; row < last; row++)
    if (mask[row] != 0) sum += vec_load(dy + row * columns, column, columns);
  vec_store(partials + chunk * columns, column, columns, sum);
}
