/* Column sums in two passes of fixed order: chunks of COLUMN_CHUNK rows into partials (chunks, columns), then those. */

KERNEL void column_sum_partial(GLOBAL float *partials, GLOBAL const ELEM *x, int64 rows, int64 columns) {
  COLUMN(columns);
  if (column >= columns) return;
  const int64 first = chunk * COLUMN_CHUNK, last = min(first + COLUMN_CHUNK, rows);
  vec sum = VEC(0);
  for (int64 row = first; row < last; row++) sum += vec_load(x + row * columns, column, columns);
  vec_store(partials + chunk * columns, column, columns, sum);
}

/* out (segments, columns) (+)= scale * sum of each segment's partials (segments, chunks, columns); GROUP(1) is the segment */
KERNEL void column_sum_final(GLOBAL float *out, GLOBAL const float *partials, int64 chunks, int64 columns, float scale,
                             int32 accumulate) {
  COLUMN(columns);
  if (column >= columns) return;
  const int64 segment = chunk;
  vec sum = VEC(0);
  partials += segment * chunks * columns;
  for (int64 c = 0; c < chunks; c++) sum += vec_load(partials + c * columns, column, columns);
  sum = scale * sum;
  if (accumulate) sum += vec_load(out + segment * columns, column, columns);
  vec_store(out + segment * columns, column, columns, sum);
}
