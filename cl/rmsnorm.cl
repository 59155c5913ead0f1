/* y = x rstd weight, rstd = 1 / sqrt(mean(x^2) + eps), rows of any length. */

KERNEL void rmsnorm_forward(GLOBAL ELEM *y, GLOBAL float *rstd, GLOBAL const ELEM *x, GLOBAL const float *weight,
                            float eps, int64 rows, int64 columns) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  x += row * columns;
  y += row * columns;
  vec squares = VEC(0);
  FOR_COLUMNS(i, columns) {
    const vec v = vec_load(x, i, columns);
    squares = fma(v, v, squares);
  }
  const float r = 1.0f / sqrt(row_sum(squares, scratch) / (float)columns + eps);
  if (!row_valid) return; /* no barrier below */
  FOR_COLUMNS(i, columns) vec_store(y, i, columns, vec_load(x, i, columns) * r * vec_load(weight, i, columns));
  if (LANE == 0 && rstd) rstd[row] = r;
}

/* With g = dy weight and h = x rstd: dx = rstd (g - h mean(g h)). dx may be dy. */
KERNEL void rmsnorm_backward(GLOBAL ELEM *dx, GLOBAL const ELEM *dy, GLOBAL const ELEM *x, GLOBAL const float *weight,
                             GLOBAL const float *rstd, int64 rows, int64 columns) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  const float r = rstd[row];
  x += row * columns;
  dy += row * columns;
  dx += row * columns;
  vec dot = VEC(0);
  FOR_COLUMNS(i, columns) {
    const vec g = vec_load(dy, i, columns) * vec_load(weight, i, columns);
    dot = fma(g, vec_load(x, i, columns) * r, dot);
  }
  const float mean_gh = row_sum(dot, scratch) / (float)columns;
  if (!row_valid) return; /* no barrier below */
  FOR_COLUMNS(i, columns) {
    const vec g = vec_load(dy, i, columns) * vec_load(weight, i, columns), h = vec_load(x, i, columns) * r;
    vec_store(dx, i, columns, r * (g - h * mean_gh));
  }
}
