/* Shared by both shapes of attention: delta (B, H, N) = the row sums of dout * (out + residual), all (B, N, H, D).
 * residual is the rounding error of out, NULL if nothing was rounded. delta is subtracted from nearly equal terms, so
 * without it out's rounding error would enter much smaller gradients. */

KERNEL void attention_delta(GLOBAL float *delta, GLOBAL const ELEM *dout, GLOBAL const ELEM *out,
                            GLOBAL const ELEM *residual, int64 rows, int64 tokens, int32 heads, int32 size) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  vec sum = VEC(0);
  FOR_ROW_PIECES(i, size) {
    vec whole[PIECE], rest[PIECE], d[PIECE];
    row_load(whole, out + row * size, i, size);
    row_load(d, dout + row * size, i, size);
    if (residual) {
      row_load(rest, residual + row * size, i, size);
      EACH_OF_PIECE(k) whole[k] += rest[k];
    }
    EACH_OF_PIECE(k) sum += d[k] * whole[k];
  }
  const float total = row_sum(sum, scratch);
  const int64 head = row % heads, token = row / heads;
  if (row_valid && LANE == 0) delta[(token / tokens * heads + head) * tokens + token % tokens] = total;
}
