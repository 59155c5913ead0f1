/* The sinusoidal embedding of a time: cosines, then sines, of 2 pi t f_i. A frequency f_i, in turns, is the sum of two floats,
 * and the product is kept exactly: an angle of a thousand radians loses nothing but whole turns. Scalar: it is tiny. */

/* sine and cosine of x turns, |x| <= 1/2: a quarter of a turn and an exact rest within an eighth of one */
inline float timestep_cosine(float x, int quarter) { /* cos(2 pi (x + quarter / 4)) */
  const float k = rint(4.0f * x), rest = fma(k, -0.25f, x), z = rest * rest;
  const int turn = ((int)k + quarter) & 3;
  float s = fma(-75.2428333436f, z, 81.5882066457f); /* as cl/philox.h's */
  s = fma(s, z, -41.3416287703f);
  s = fma(s, z, 6.28318522215f) * rest;
  float c = fma(59.2460060911f, z, -85.4437430749f);
  c = fma(c, z, 64.9393264851f);
  c = fma(c, z, -19.7392086937f);
  c = fma(c, z, 1.0f);
  const float v = (turn & 1) ? -s : c; /* cos(a + 90 degrees) = -sin a */
  return (turn & 2) ? -v : v;
}

/* out (B, 2 pairs), t (B), table (pairs, 2); n = B * pairs, a pair of outputs each */
KERNEL void timestep_embedding_forward(GLOBAL ELEM *out, GLOBAL const ELEM *t, GLOBAL const ELEM *table, int32 pairs,
                                       int64 n) {
  FOR_ELEMENTS(i, n) for (int64 k = i; k < i + VW && k < n; k++) {
    const int64 sample = k / pairs, at = k % pairs;
    const float time = LD(t, sample), high = LD(table, 2 * at), low = LD(table, 2 * at + 1);
    const float turns = time * high, rest = fma(time, high, -turns) + time * low;
    const float x = (turns - rint(turns)) + rest;
    ST(out, 2 * sample * pairs + at, timestep_cosine(x, 0));
    ST(out, (2 * sample + 1) * pairs + at, timestep_cosine(x, 3)); /* sin a = cos(a - 90 degrees) */
  }
}
