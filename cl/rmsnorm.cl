/* y = x rstd weight, rstd = 1 / sqrt(mean(x^2) + eps), rows of any length. */

KERNEL void rmsnorm_forward(GLOBAL ELEM *y, GLOBAL float *rstd, GLOBAL const ELEM *x, GLOBAL const float *weight,
                            float eps, int64 rows, int64 columns) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  x += row * columns;
  y += row * columns;
  vec squares = VEC(0);
  FOR_ROW_PIECES(i, columns) {
    vec v[PIECE];
    row_load(v, x, i, columns);
    EACH_OF_PIECE(k) squares = fma(v[k], v[k], squares);
  }
  const float r = 1.0f / sqrt(row_sum(squares, scratch) / (float)columns + eps);
  if (!row_valid) return; /* no barrier below */
  FOR_ROW_PIECES(i, columns) {
    vec v[PIECE], w[PIECE];
    row_load(v, x, i, columns);
    row_load(w, weight, i, columns);
    EACH_OF_PIECE(k) v[k] = v[k] * r * w[k];
    row_store(y, i, columns, v);
  }
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
  FOR_ROW_PIECES(i, columns) {
    vec g[PIECE], w[PIECE], v[PIECE];
    row_load(g, dy, i, columns);
    row_load(v, x, i, columns);
    row_load(w, weight, i, columns);
    EACH_OF_PIECE(k) dot = fma(g[k] * w[k], v[k] * r, dot);
  }
  const float mean_gh = row_sum(dot, scratch) / (float)columns;
  if (!row_valid) return; /* no barrier below */
  FOR_ROW_PIECES(i, columns) {
    vec g[PIECE], w[PIECE], v[PIECE];
    row_load(g, dy, i, columns);
    row_load(v, x, i, columns);
    row_load(w, weight, i, columns);
    EACH_OF_PIECE(k) g[k] = r * (g[k] * w[k] - v[k] * r * mean_gh);
    row_store(dx, i, columns, g);
  }
}
