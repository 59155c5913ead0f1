/* Gathers rows of one matrix per sample by index. Row k of sample b: y[b, k] = x[b, index[b, k]]; 0 if the index is -1,
 * which no row of the gradient matches. */
#include "sample.h"

/* Any other index outside [0, rows) is a bug in its producer: reads nothing, gives NaN. */
KERNEL void gather_rows_forward(GLOBAL ELEM *y, GLOBAL const ELEM *x, GLOBAL const int32 *index, int64 samples,
                                int64 chosen, int64 rows, int64 columns) {
  ROW(samples * chosen);
  if (!row_valid) return; /* no barrier below */
  const int64 from = index[row];
  const bool inside = from >= 0 && from < rows;
  const vec outside = VEC(from == -1 ? 0.0f : GH_AS_FLOAT(0x7fc00000u));
  x += (row / chosen * rows + (inside ? from : 0)) * columns;
  y += row * columns;
  FOR_COLUMNS(i, columns) vec_store(y, i, columns, inside ? vec_load(x, i, columns) : outside);
}

/* dx[b, n] = sum over the k with index[b, k] = n, in the order of k, of dy[b, k]. */
KERNEL void gather_rows_backward(GLOBAL ELEM *dx, GLOBAL const ELEM *dy, GLOBAL const int32 *index, int64 samples,
                                 int64 chosen, int64 rows, int64 columns) {
  ROW(samples * rows);
  if (!row_valid) return; /* no barrier below */
  const int64 sample = row / rows;
  const int32 wanted = (int32)(row % rows);
  index += sample * chosen;
  dy += sample * chosen * columns;
  dx += row * columns;
  int64 begin = chosen, end = 0; /* of the places where the row was chosen */
  for (int64 k = 0; k < chosen; k++)
    if (index[k] == wanted) {
      begin = min(begin, k);
      end = k + 1;
    }
  FOR_COLUMNS(i, columns) {
    vec sum = VEC(0);
    for (int64 k = begin; k < end; k++)
      if (index[k] == wanted) sum += vec_load(dy + k * columns, i, columns);
    vec_store(dx, i, columns, sum);
  }
}

/* y[row] = how often `row` occurs in the index of the samples that count. A lane's count stands in every place of its
 * vector. */
KERNEL void count_rows_forward(GLOBAL float *y, GLOBAL const int32 *index, GLOBAL const uint32 *step, int64 samples,
                               int64 chosen, int64 rows) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  const int64 n = min((int64)step[STEP_SAMPLES], samples) * chosen;
  const int32 wanted = (int32)row;
  int32 mine = 0;
  for (int64 i = LANE; i < n; i += LANES) mine += index[i] == wanted ? 1 : 0;
  const float total = row_sum(VEC((float)mine), scratch) / (float)VW;
  if (row_valid && LANE == 0) y[row] = total;
}
