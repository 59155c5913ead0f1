/* The sinusoidal embedding of a time: cosines, then sines, of factor * t * 10000^(-i/pairs). Scalar: it is tiny. */

/* exp(a) for -80 < a <= 0, within 0.52 units in the last place: the frequencies are multiplied by 1000 or more before
 * the sine, so their last bit matters. Correctly rounded for FLUX's 128 pairs, and for any power of two up to 512. */
inline float timestep_exp(float a) {
  const float n = rint(a * 1.44269504f);
  const float high = fma(n, -0.693115234f, a); /* exact: the constant has 12 bits */
  const float low = n * -3.19461833e-5f;
  const float r = high + low, r_rest = (high - r) + low;
  float p = 2.75573192e-6f;
  p = fma(p, r, 2.48015873e-5f);
  p = fma(p, r, 1.98412698e-4f);
  p = fma(p, r, 1.38888889e-3f);
  p = fma(p, r, 8.33333333e-3f);
  p = fma(p, r, 4.16666667e-2f);
  p = fma(p, r, 1.66666667e-1f);
  const float half_r = 0.5f * r, square = half_r * r, square_rest = fma(half_r, r, -square); /* of r^2 / 2 */
  const float cube = p * r * (2.0f * square);
  const float s = r + square, s_rest = square - (s - r);
  const float one = 1.0f + s, one_rest = s - (one - 1.0f);
  return ldexp(one + (one_rest + (fma(r_rest, s, r_rest) + (square_rest + s_rest) + cube)), (int)n);
}

/* sine and cosine of a, |a| < 1e5: reduction by pi/2 in three parts, then Taylor's series on [-pi/4, pi/4]. */
inline float timestep_cosine(float a, int quarter) { /* cos(a + quarter * pi/2) */
  const float k = rint(a * 0.636619772f);
  float r = fma(k, -1.5703125f, a); /* exact: the constant has 11 bits */
  r = fma(k, -4.83826792e-4f, r);
  r = fma(k, -2.56334407e-12f, r);
  const float z = r * r;
  const int turn = ((int)k + quarter) & 3;
  float v;
  if (turn & 1) {
    float p = 2.75573192e-6f;
    p = fma(p, z, -1.98412698e-4f);
    p = fma(p, z, 8.33333333e-3f);
    p = fma(p, z, -1.66666667e-1f);
    v = -fma(p * z, r, r);
  } else {
    float p = -2.75573192e-7f;
    p = fma(p, z, 2.48015873e-5f);
    p = fma(p, z, -1.38888889e-3f);
    p = fma(p, z, 4.16666667e-2f);
    p = fma(p, z, -0.5f);
    v = fma(p, z, 1.0f);
  }
  return turn & 2 ? -v : v;
}

/* out (B, 2 pairs), t (B); n = B * pairs, one pair of outputs per element */
KERNEL void timestep_embedding_forward(GLOBAL float *out, GLOBAL const float *t, float factor, int32 pairs, int64 n) {
  FOR_ELEMENTS(i, n) for (int64 k = i; k < i + VW && k < n; k++) {
    const int64 sample = k / pairs, at = k % pairs;
    /* rounded at the same points as in FLUX: 10000^(-i/pairs) in float32, then the product */
    const float above = -9.21034037f * (float)at, below = (float)pairs;
    float exponent = above / below;
    exponent += fma(-exponent, below, above) / below; /* division may be off by 2.5 units in the last place */
    const float frequency = timestep_exp(exponent);
    const float angle = factor * LD(t, sample) * frequency;
    ST(out, 2 * sample * pairs + at, timestep_cosine(angle, 0));
    ST(out, (2 * sample + 1) * pairs + at, timestep_cosine(angle, 3)); /* sin a = cos(a - pi/2) */
  }
}
