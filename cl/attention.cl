/* What both shapes of attention share: delta (B, H, N) = the row sums of dout * out, both (B, N, H, D). */

KERNEL void attention_delta(GLOBAL float *delta, GLOBAL const ELEM *dout, GLOBAL const ELEM *out, int64 rows,
                            int64 tokens, int32 heads, int32 size) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  vec sum = VEC(0);
  FOR_COLUMNS(i, size) sum += vec_load(dout + row * size, i, size) * vec_load(out + row * size, i, size);
  const float total = row_sum(sum, scratch);
  const int64 head = row % heads, token = row / heads;
  if (row_valid && LANE == 0) delta[(token / tokens * heads + head) * tokens + token % tokens] = total;
}
