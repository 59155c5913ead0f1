/* y = a + scale * b, b has a's shape, or is one float32 row broadcast over the rows; y may be a. */

#define ADD(name, type)                                                                                                \
  KERNEL void name(GLOBAL type *y, GLOBAL const type *a, GLOBAL const ELEM *b, float scale, int64 n) {                 \
    FOR_PIECES(i, n) {                                                                                                 \
      vec u[PIECE], v[PIECE];                                                                                          \
      piece_load(u, a, i, n);                                                                                          \
      piece_load(v, b, i, n);                                                                                          \
      EACH_OF_PIECE(k) u[k] += scale * v[k];                                                                           \
      piece_store(y, i, n, u);                                                                                         \
    }                                                                                                                  \
  }
ADD(add_forward, ELEM)
ADD(add_wide_forward, float) /* a is float32, b is not: a branch is added to the residual stream */

KERNEL void add_rows_forward(GLOBAL ELEM *y, GLOBAL const ELEM *a, GLOBAL const float *b, float scale, int64 rows,
                             int64 columns) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  a += row * columns;
  y += row * columns;
  FOR_ROW_PIECES(i, columns) {
    vec u[PIECE], v[PIECE];
    row_load(u, a, i, columns);
    row_load(v, b, i, columns);
    EACH_OF_PIECE(k) u[k] += scale * v[k];
    row_store(y, i, columns, u);
  }
}

KERNEL void constant_forward(GLOBAL float *y, float value) {
  if (GROUP(0) == 0 && LANE == 0) ST(y, 0, value);
}

#define CAST(name, to, from)                                                                                           \
  KERNEL void name(GLOBAL to *y, GLOBAL const from *x, int64 n) {                                                      \
    FOR_PIECES(i, n) {                                                                                                 \
      vec v[PIECE];                                                                                                    \
      piece_load(v, x, i, n);                                                                                          \
      piece_store(y, i, n, v);                                                                                         \
    }                                                                                                                  \
  }
CAST(cast_narrow, ELEM, float)
CAST(cast_widen, float, ELEM)
