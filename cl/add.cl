/* y = a + scale * b, b has a's shape, or is one float32 row broadcast over the rows; y may be a. */

#define ADD(name, type)                                                                                                \
  KERNEL void name(GLOBAL type *y, GLOBAL const type *a, GLOBAL const ELEM *b, float scale, int64 n) {                 \
    FOR_ELEMENTS_TOGETHER(first, n) {                                                                                  \
      vec u[TOGETHER], v[TOGETHER];                                                                                    \
      EACH(k, i, first, n) {                                                                                           \
        u[k] = vec_load(a, i, n);                                                                                      \
        v[k] = vec_load(b, i, n);                                                                                      \
      }                                                                                                                \
      EACH(k, i, first, n) vec_store(y, i, n, u[k] + scale * v[k]);                                                    \
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
  FOR_COLUMNS(i, columns) vec_store(y, i, columns, vec_load(a, i, columns) + scale * vec_load(b, i, columns));
}

KERNEL void constant_forward(GLOBAL float *y, float value) {
  if (GROUP(0) == 0 && LANE == 0) ST(y, 0, value);
}

#define CAST(name, to, from)                                                                                           \
  KERNEL void name(GLOBAL to *y, GLOBAL const from *x, int64 n) {                                                      \
    FOR_ELEMENTS_TOGETHER(first, n) {                                                                                  \
      vec v[TOGETHER];                                                                                                 \
      EACH(k, i, first, n) v[k] = vec_load(x, i, n);                                                                   \
      EACH(k, i, first, n) vec_store(y, i, n, v[k]);                                                                   \
    }                                                                                                                  \
  }
CAST(cast_narrow, ELEM, float)
CAST(cast_widen, float, ELEM)
