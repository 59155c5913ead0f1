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
  FOR_ROW_PIECES(i, columns) {
    vec v[PIECE];
    row_load(v, x, i, columns);
    EACH_OF_PIECE(k) sum += v[k];
  }
  const float m = row_sum(sum, scratch) / (float)columns;
  FOR_ROW_PIECES(i, columns) {
    vec v[PIECE];
    row_load(v, x, i, columns);
    EACH_OF_PIECE(k) {
      const vec d = vec_keep(v[k] - m, i, columns, 0.0f);
      squares = fma(d, d, squares);
    }
  }
  const float r = 1.0f / sqrt(row_sum(squares, scratch) / (float)columns + eps);
  if (!row_valid) return; /* no barrier below */
  FOR_ROW_PIECES(i, columns) {
    vec v[PIECE], w[PIECE], b[PIECE];
    row_load(v, x, i, columns);
    EACH_OF_PIECE(k) v[k] = (v[k] - m) * r;
    if (weight) {
      row_load(w, weight + modulation, i, columns);
      row_load(b, bias + modulation, i, columns);
      EACH_OF_PIECE(k) v[k] = fma(v[k], base + w[k], b[k]);
    }
    row_store(y, i, columns, v);
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
  FOR_ROW_PIECES_ONE_BY_ONE(i, columns) {
    vec g[PIECE], v[PIECE], w[PIECE];
    row_load(g, dy, i, columns);
    row_load(v, x, i, columns);
    if (weight) {
      row_load(w, weight + modulation, i, columns);
      EACH_OF_PIECE(k) g[k] *= base + w[k];
    }
    EACH_OF_PIECE(k) {
      sum += g[k];
      dot = fma(g[k], (v[k] - m) * r, dot);
    }
  }
  const float mean_g = row_sum(sum, scratch) / (float)columns, mean_gh = row_sum(dot, scratch) / (float)columns;
  if (!row_valid) return; /* no barrier below */
  FOR_ROW_PIECES_ONE_BY_ONE(i, columns) {
    vec g[PIECE], v[PIECE], w[PIECE];
    row_load(g, dy, i, columns);
    row_load(v, x, i, columns);
    if (weight) {
      row_load(w, weight + modulation, i, columns);
      EACH_OF_PIECE(k) g[k] *= base + w[k];
    }
    EACH_OF_PIECE(k) g[k] = r * (g[k] - mean_g - (v[k] - m) * r * mean_gh);
    row_store(dx, i, columns, g);
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
  FOR_ROW_PIECES(i, columns) {
    vec v[PIECE], w[PIECE], u[PIECE];
    row_load(v, x, i, columns);
    row_load(w, f, i, columns);
    row_load(u, gate, i, columns);
    EACH_OF_PIECE(k) v[k] = fma(u[k], w[k], v[k]);
    row_store(y, i, columns, v);
  }
}

/* df = gate * dy */
KERNEL void gated_add_backward(GLOBAL ELEM *df, GLOBAL const float *dy, GLOBAL const float *gate, int64 rows,
                               int64 columns, int64 rows_per_gate) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  gate += row / rows_per_gate * columns;
  dy += row * columns;
  df += row * columns;
  FOR_ROW_PIECES(i, columns) {
    vec u[PIECE], v[PIECE];
    row_load(u, gate, i, columns);
    row_load(v, dy, i, columns);
    EACH_OF_PIECE(k) u[k] *= v[k];
    row_store(df, i, columns, u);
  }
}
