/* Normalisation of rows: y = (x - mean) * rstd * (base + weight) + bias. LayerNorm has base 0 and one weight for all
 * rows; adaLN has base 1 and one weight per sample: row r uses weight r / rows_per_weight. Also the gated residual. x
 * is the residual stream, always float32; y and the branches added to the stream are ELEM. */

KERNEL void layernorm_forward(GLOBAL ELEM *y, GLOBAL float *mean, GLOBAL float *rstd, GLOBAL const float *x,
                              GLOBAL const float *weight, GLOBAL const float *bias, float base, float eps, int64 rows,
                              int64 columns, int64 rows_per_weight) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  const int64 modulation = row / rows_per_weight * columns;
  x += row * columns;
  y += row * columns;
  vec sum = VEC(0), squares = VEC(0);
  FOR_COLUMNS_TOGETHER(first, columns) {
    vec v[TOGETHER];
    EACH_COLUMN(k, i, first, columns) v[k] = vec_load(x, i, columns);
    EACH_COLUMN(k, i, first, columns) sum += v[k];
  }
  const float m = row_sum(sum, scratch) / (float)columns;
  FOR_COLUMNS_TOGETHER(first, columns) {
    vec v[TOGETHER];
    EACH_COLUMN(k, i, first, columns) v[k] = vec_load(x, i, columns);
    EACH_COLUMN(k, i, first, columns) {
      const vec d = vec_keep(v[k] - m, i, columns, 0.0f);
      squares = fma(d, d, squares);
    }
  }
  const float r = 1.0f / sqrt(row_sum(squares, scratch) / (float)columns + eps);
  if (!row_valid) return; /* no barrier below */
  FOR_COLUMNS(i, columns) {
    vec v = (vec_load(x, i, columns) - m) * r;
    if (weight) v = fma(v, base + vec_load(weight + modulation, i, columns), vec_load(bias + modulation, i, columns));
    vec_store(y, i, columns, v);
  }
  if (LANE == 0 && mean) mean[row] = m;
  if (LANE == 0 && rstd) rstd[row] = r;
}

/* With g = dy (base + weight) and h = (x - mean) rstd: dx = rstd (g - mean(g) - h mean(g h)). dx may be dy. */
KERNEL void layernorm_backward(GLOBAL float *dx, GLOBAL const ELEM *dy, GLOBAL const float *x,
                               GLOBAL const float *weight, GLOBAL const float *mean, GLOBAL const float *rstd,
                               float base, int64 rows, int64 columns, int64 rows_per_weight) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  const int64 modulation = row / rows_per_weight * columns;
  const float m = mean[row], r = rstd[row];
  x += row * columns;
  dy += row * columns;
  dx += row * columns;
  vec sum = VEC(0), dot = VEC(0);
  FOR_COLUMNS(i, columns) {
    vec g = vec_load(dy, i, columns);
    if (weight) g *= base + vec_load(weight + modulation, i, columns);
    sum += g;
    dot = fma(g, (vec_load(x, i, columns) - m) * r, dot);
  }
  const float mean_g = row_sum(sum, scratch) / (float)columns, mean_gh = row_sum(dot, scratch) / (float)columns;
  if (!row_valid) return; /* no barrier below */
  FOR_COLUMNS(i, columns) {
    vec g = vec_load(dy, i, columns);
    if (weight) g *= base + vec_load(weight + modulation, i, columns);
    const vec h = (vec_load(x, i, columns) - m) * r;
    vec_store(dx, i, columns, r * (g - mean_g - h * mean_gh));
  }
}

/* y = x + gate * f, one gate row per rows_per_gate rows. y may be x. */
KERNEL void gated_add_forward(GLOBAL float *y, GLOBAL const float *x, GLOBAL const ELEM *f, GLOBAL const float *gate,
                              int64 rows, int64 columns, int64 rows_per_gate) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  gate += row / rows_per_gate * columns;
  f += row * columns;
  x += row * columns;
  y += row * columns;
  FOR_COLUMNS(i, columns)
  vec_store(y, i, columns, fma(vec_load(gate, i, columns), vec_load(f, i, columns), vec_load(x, i, columns)));
}

/* df = gate * dy */
KERNEL void gated_add_backward(GLOBAL ELEM *df, GLOBAL const float *dy, GLOBAL const float *gate, int64 rows,
                               int64 columns, int64 rows_per_gate) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  gate += row / rows_per_gate * columns;
  dy += row * columns;
  df += row * columns;
  FOR_COLUMNS(i, columns) vec_store(df, i, columns, vec_load(gate, i, columns) * vec_load(dy, i, columns));
}
