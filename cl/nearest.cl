/* The nearest row of a table, from the products of all rows with it. */

/* The numbers of a vec's lanes. */
#ifdef CPU_SHAPE
inline vec nearest_lanes(void) { return (vec)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
#else
inline vec nearest_lanes(void) { return 0; }
#endif

/* work + squares (entries): |e|^2 of each row of table (entries, columns) */
KERNEL void nearest_row_squares(GLOBAL float *work, GLOBAL const float *table, int64 squares, int64 entries,
                                int64 columns) {
  ROW_SCRATCH(scratch);
  ROW(entries);
  table += row * columns;
  vec sum = VEC(0);
  FOR_COLUMNS(i, columns) {
    const vec v = vec_load(table, i, columns);
    sum = fma(v, v, sum);
  }
  const float total = row_sum(sum, scratch);
  if (row_valid && LANE == 0) work[squares + row] = total;
}

/* index[first + row]: the column with the least products[row, column] + squares[column], the lowest one at a tie; 0 if
 * none is less than infinity, as with NaN. work: products (rows, entries), and the squares at their offset. Numbers of
 * columns are exact as float32: there are at most 2^24. */
KERNEL void nearest_row_forward(GLOBAL int32 *index, GLOBAL const float *work, int64 first, int64 squares, int64 rows,
                                int64 entries) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  GLOBAL const float *products = work + row * entries;
  /* Distances and indices are negative, so that both need a maximum: -row_max(-x) is wrong as Intel's compiler for CPUs
   * (2026.2) makes it. */
  const float infinity = as_float(0x7f800000);
  vec most = VEC(-infinity), at = VEC(0);
  FOR_COLUMNS(i, entries) {
    const vec sum = vec_load(products, i, entries) + vec_load(work + squares, i, entries);
    const vec nearness = vec_keep(0 - sum, i, entries, -infinity);
    at = nearness > most ? VEC(-(float)i) - nearest_lanes() : at;
    most = nearness > most ? nearness : most;
  }
  const float best = row_max(most, scratch);
  const float lowest = row_max(most == VEC(best) ? at : VEC(-16777216.0f), scratch);
  if (row_valid && LANE == 0) index[first + row] = -(int32)lowest;
}
