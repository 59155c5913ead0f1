/* Rotary positions on adjacent pairs (FLUX): y = (c x0 - s x1, s x0 + c x1) with (c, s) of the token and the pair.
 * x, y (B, N, H, D), table (N, D/2, 2); a row is a token with all its heads. sign -1 rotates back, for the gradient. */

KERNEL void rope_forward(GLOBAL ELEM *y, GLOBAL const ELEM *x, GLOBAL const float *table, int64 rows, int64 tokens,
                         int32 heads, int32 size, float sign) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  x += row * heads * size;
  y += row * heads * size;
  table += row % tokens * size;
#ifdef CPU_SHAPE
  const vec signs = (vec_index() & (veci)(1)) != (veci)(0) ? VEC(sign) : VEC(-sign);
  for (int64 i = 0; i < size; i += VW) {
    const vec cs = vec_load(table, i, size), c = vec_even_pairs(cs), s = vec_odd_pairs(cs) * signs;
    for (int head = 0; head < heads; head++) {
      const vec v = vec_load(x + head * size, i, size);
      vec_store(y + head * size, i, size, v * c + vec_swap_pairs(v) * s);
    }
  }
#else
  const int pairs = size / 2;
  for (int k = LANE; k < heads * pairs; k += LANES) {
    const int pair = k % pairs;
    const float c = LD(table, 2 * pair), s = LD(table, 2 * pair + 1) * sign;
    const float a = LD(x, 2 * k), b = LD(x, 2 * k + 1);
    ST(y, 2 * k, a * c - b * s);
    ST(y, 2 * k + 1, b * c + a * s);
  }
#endif
}
