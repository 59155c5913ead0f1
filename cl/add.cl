/* y = a + scale * b, b of a's shape or one row of it repeated; y may be a. */

KERNEL void add_forward(GLOBAL ELEM *y, GLOBAL const ELEM *a, GLOBAL const ELEM *b, float scale, int64 n) {
  FOR_ELEMENTS(i, n) vec_store(y, i, n, vec_load(a, i, n) + scale * vec_load(b, i, n));
}

KERNEL void add_rows_forward(GLOBAL ELEM *y, GLOBAL const ELEM *a, GLOBAL const ELEM *b, float scale, int64 rows,
                             int64 columns) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  a += row * columns;
  y += row * columns;
  FOR_COLUMNS(i, columns) vec_store(y, i, columns, vec_load(a, i, columns) + scale * vec_load(b, i, columns));
}

KERNEL void constant_forward(GLOBAL ELEM *y, float value) {
  if (GROUP(0) == 0 && LANE == 0) ST(y, 0, value);
}
