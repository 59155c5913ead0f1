/* y = a + scale * b, b of a's shape or one row of it repeated, which is float32 always; y may be a. */

KERNEL void add_forward(GLOBAL ELEM *y, GLOBAL const ELEM *a, GLOBAL const ELEM *b, float scale, int64 n) {
  FOR_ELEMENTS(i, n) vec_store(y, i, n, vec_load(a, i, n) + scale * vec_load(b, i, n));
}

/* The same where a is float32 and b is not: a branch joins the residual stream. */
KERNEL void add_wide_forward(GLOBAL float *y, GLOBAL const float *a, GLOBAL const ELEM *b, float scale, int64 n) {
  FOR_ELEMENTS(i, n) vec_store(y, i, n, vec_load(a, i, n) + scale * vec_load(b, i, n));
}

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

KERNEL void cast_narrow(GLOBAL ELEM *y, GLOBAL const float *x, int64 n) {
  FOR_ELEMENTS(i, n) vec_store(y, i, n, vec_load(x, i, n));
}

KERNEL void cast_widen(GLOBAL float *y, GLOBAL const ELEM *x, int64 n) {
  FOR_ELEMENTS(i, n) vec_store(y, i, n, vec_load(x, i, n));
}
