/* Rotary positions on adjacent pairs (FLUX): y = (c x0 - s x1, s x0 + c x1) with (c, s) of the token and the pair.
 * x, y (B, N, H, D), table (N, D/2, 2); a row is a token with all its heads. sign -1 rotates back, for the gradient. */

#ifndef CPU_SHAPE /* whole pairs, of one head */
#if PIECE == 1
#define ROPE_STEP        2
#define rope_load(v, p)  (v)[0] = LD(p, 0), (v)[1] = LD(p, 1)
#define rope_store(p, v) ST(p, 0, (v)[0]), ST(p, 1, (v)[1])
#else
#define ROPE_STEP        PIECE
#define rope_load(v, p)  whole_load(v, p)
#define rope_store(p, v) whole_store(p, v)
#endif
#endif

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
  for (int i = LANE * ROPE_STEP; i < heads * size; i += LANES * ROPE_STEP) {
    float v[ROPE_STEP], cs[ROPE_STEP];
    rope_load(v, x + i);
    rope_load(cs, table + i % size);
    UNROLL for (int k = 0; k < ROPE_STEP; k += 2) {
      const float a = v[k], b = v[k + 1], c = cs[k], s = cs[k + 1] * sign;
      v[k] = a * c - b * s;
      v[k + 1] = b * c + a * s;
    }
    rope_store(y + i, v);
  }
#endif
}
