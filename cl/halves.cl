/* A float32 matrix times a factor as narrow parts, whose products together equal the float32 product to 2^-14 in bf16:
 * high = it rounded, low = the rounding error. The three parts of a row are part_stride apart, rows row_stride; two
 * parts are high, the one at place_low is low. */

KERNEL void halves_forward(GLOBAL NARROW_ELEM *y, GLOBAL const float *x, int64 rows, int64 columns, int64 row_stride,
                           int64 part_stride, int place_low, float factor) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  GLOBAL NARROW_ELEM *high = y + row * row_stride, *again = high + (3 - place_low) * part_stride;
  GLOBAL NARROW_ELEM *low = high + place_low * part_stride;
  x += row * columns;
  FOR_COLUMNS(i, columns) {
    const vec v = vec_load(x, i, columns) * factor;
    vec_store(high, i, columns, v);
    vec_store(again, i, columns, v);
    vec_store(low, i, columns, v - vec_load(high, i, columns));
  }
}

/* Each part's gradient is a product with one part (high or low) of the other factor: dx sums the two high ones. */
KERNEL void halves_backward(GLOBAL float *dx, GLOBAL const float *dy, int64 rows, int64 columns, int64 row_stride,
                            int64 part_stride, int place_low, float factor, int accumulate) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  GLOBAL const float *high = dy + row * row_stride, *again = high + (3 - place_low) * part_stride;
  dx += row * columns;
  FOR_COLUMNS(i, columns) {
    vec sum = (vec_load(high, i, columns) + vec_load(again, i, columns)) * factor;
    if (accumulate) sum += vec_load(dx, i, columns);
    vec_store(dx, i, columns, sum);
  }
}
