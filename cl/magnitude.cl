/* By rows: gate = m / |W + s B A| - 1 and reciprocal = 1 / |W + s B A|. The sum is not stored: a row of B A costs
 * `rank` products per element, and A is read from a cache. */
KERNEL void magnitude_forward(GLOBAL float *gate, GLOBAL float *reciprocal, GLOBAL const ELEM *w, GLOBAL const float *m,
                              GLOBAL const float *a, GLOBAL const float *b, float scale, int64 rank, int64 rows,
                              int64 columns) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  w += row * columns;
  b += row * rank;
  vec squares = VEC(0);
  FOR_COLUMNS(i, columns) {
    vec product = VEC(0);
    for (int64 r = 0; r < rank; r++) product = fma(VEC(b[r]), vec_load(a + r * columns, i, columns), product);
    const vec v = fma(VEC(scale), product, vec_load(w, i, columns));
    squares = fma(v, v, squares);
  }
  const float norm = sqrt(row_sum(squares, scratch));
  if (row_valid && LANE == 0) {
    gate[row] = (m[row] - norm) / norm;
    if (reciprocal) reciprocal[row] = 1.0f / norm;
  }
}
