/* Shared by both shapes of attention: delta (B, H, N) = the row sums of dout * (out + residual), all (B, N, H, D).
 * residual is the rounding error of out, NULL if nothing was rounded. delta is subtracted from nearly equal terms, so
 * without it out's rounding error would enter much smaller gradients. */

KERNEL void attention_delta(GLOBAL float *delta, GLOBAL const ELEM *dout, GLOBAL const ELEM *out,
                            GLOBAL const ELEM *residual, int64 rows, int64 tokens, int32 heads, int32 size) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  vec sum = VEC(0);
  FOR_COLUMNS(i, size) {
    vec whole = vec_load(out + row * size, i, size);
    if (residual) whole += vec_load(residual + row * size, i, size);
    sum += vec_load(dout + row * size, i, size) * whole;
  }
  const float total = row_sum(sum, scratch);
  const int64 head = row % heads, token = row / heads;
  if (row_valid && LANE == 0) delta[(token / tokens * heads + head) * tokens + token % tokens] = total;
}
