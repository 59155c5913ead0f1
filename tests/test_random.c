/* Random numbers: Random123's answers, committed bits, accuracy against libm, moments, permutations. */
#include "support/check.h"

#include "base/random.h"
#include "cl/philox.h"

#if __has_include(<Random123/philox.h>)
#include <Random123/philox.h>
#define HAVE_RANDOM123
#endif

#include <stdio.h>
#include <stdlib.h>

/* Random123's kat_vectors for philox4x32 with 10 rounds. */
static void test_known_answers(void **state) {
  (void)state;
  static const gh_u32 cases[][10] = {{0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                     {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                     {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
                                      0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    const gh_u32 *c = cases[i];
    gh_words w = gh_philox(c[0], c[1], c[2], c[3], c[4], c[5]);
    assert_true(w.a == c[6] && w.b == c[7] && w.c == c[8] && w.d == c[9]);
  }
}

static void test_against_random123(void **state) {
  (void)state;
#ifdef HAVE_RANDOM123
  uint64_t random = 3;
  for (int i = 0; i < 20000; i++) {
    gh_u32 x[6];
    for (int j = 0; j < 6; j++) x[j] = check_random(&random) << 1 ^ check_random(&random);
    philox4x32_ctr_t counter = {{x[0], x[1], x[2], x[3]}};
    philox4x32_key_t key = {{x[4], x[5]}};
    philox4x32_ctr_t expected = philox4x32(counter, key);
    gh_words w = gh_philox(x[0], x[1], x[2], x[3], x[4], x[5]);
    assert_true(w.a == expected.v[0] && w.b == expected.v[1] && w.c == expected.v[2] && w.d == expected.v[3]);
  }
#else
  skip();
#endif
}

/* Every machine and device must give these bits, today and in every later version: runs depend on it. */
static void test_committed_bits(void **state) {
  (void)state;
  static const struct {
    uint64_t ordinal, element;
    uint32_t word, uniform, normal, gumbel;
  } cases[] = {
      {0u, 0u, 0x7c1b4aa5u, 0x3ef83696u, 0xbf835450u, 0x3ea554ecu},
      {0u, 1u, 0x9666c2f5u, 0x3f1666c3u, 0xbf20f84eu, 0x3f21a09au},
      {0u, 2u, 0x0df9c4ebu, 0x3d5f9c50u, 0xc0026371u, 0xbf88a122u},
      {0u, 3u, 0x9700e95au, 0x3f1700e9u, 0xbfa52ac5u, 0x3f238ecau},
      {0u, 4u, 0x6e0a0618u, 0x3edc140eu, 0xbf7ac87cu, 0x3e2d4273u},
      {0u, 5u, 0x62ca8236u, 0x3ec59506u, 0x3f5a9483u, 0x3d48c023u},
      {0u, 1000003u, 0x7306eff2u, 0x3ee60ddeu, 0x3f2a75c1u, 0x3e647c84u},
      {0u, 17179869214u, 0xb530a722u, 0x3f3530a7u, 0x3f2c766au, 0x3f87fc30u},
      {20015998343868u, 0u, 0x469aa297u, 0x3e8d3546u, 0x3fb4e5cfu, 0xbe819e41u},
      {20015998343868u, 1u, 0x141f1c17u, 0x3da0f8e8u, 0x3f42c5f5u, 0xbf6ef9a1u},
      {20015998343868u, 2u, 0x4d70483du, 0x3e9ae092u, 0xbefe1f92u, 0xbe3703b3u},
      {20015998343868u, 3u, 0x4d500b51u, 0x3e9aa016u, 0x3fbb77d2u, 0xbe386850u},
      {20015998343868u, 4u, 0xec01671fu, 0x3f6c0167u, 0xbc636134u, 0x402098ebu},
      {20015998343868u, 5u, 0xbe98ff4au, 0x3f3e98ffu, 0xbece5d0du, 0x3f9c4117u},
      {20015998343868u, 1000003u, 0xa30610d9u, 0x3f230611u, 0xbdd324a3u, 0x3f4bb094u},
      {20015998343868u, 17179869214u, 0x9c612b0eu, 0x3f1c612bu, 0x3f7d6da0u, 0x3f351c88u},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    const uint64_t o = cases[i].ordinal, e = cases[i].element;
    assert_int_equal(gh_word_at(0xdeadbeef, 0x01234567, o, e), cases[i].word);
    assert_int_equal(GH_AS_BITS(gh_uniform_at(0xdeadbeef, 0x01234567, o, e)), cases[i].uniform);
    assert_int_equal(GH_AS_BITS(gh_normal_at(0xdeadbeef, 0x01234567, o, e)), cases[i].normal);
    assert_int_equal(GH_AS_BITS(gh_gumbel_at(0xdeadbeef, 0x01234567, o, e)), cases[i].gumbel);
  }
  static const struct {
    float x;
    uint32_t sigmoid;
  } sigmoids[] = {
      {0.0f, 0x3f000000u},    {1.0f, 0x3f3b26a8u},
      {-1.0f, 0x3e89b2b1u},   {0.100000001f, 0x3f066509u},
      {-8.5f, 0x39554f03u},   {30.0f, 0x3f800000u},
      {-30.0f, 0x29d2b707u},  {100.0f, 0x3f800000u},
      {-100.0f, 0x05bfecbau}, {2.99999992e-05f, 0x3f00007eu},
  };
  for (size_t i = 0; i < GH_COUNT(sigmoids); i++)
    assert_int_equal(GH_AS_BITS(gh_sigmoid_exact(sigmoids[i].x)), sigmoids[i].sigmoid);
  gh_stream a = gh_stream_make(1234567, 2, "noise", "latents");
  assert_int_equal(a.key[0], 2468221501u);
  assert_int_equal(a.key[1], 4176777423u);
}

/* ---- accuracy ---- */

static double ulp(double exact) { return ldexp(1, ilogb(exact) - 23); }

#define ROUNDS 400000

static void test_sincos_accuracy(void **state) {
  (void)state;
  const double turn = 2 * acos(-1) / 67108864; /* the 26 significant bits, at midpoints */
  for (uint32_t i = 0; i < ROUNDS; i++) {
    float s, c;
    uint32_t word = i * 2654435761u;
    gh_exact_sincos(word, &s, &c);
    double angle = ((double)(word >> 6) + 0.5) * turn;
    assert_true(fabs((double)s - sin(angle)) <= 2e-7);
    assert_true(fabs((double)c - cos(angle)) <= 2e-7);
  }
}

static void test_function_accuracy(void **state) {
  (void)state;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    gh_words w = gh_block_words(5, 6, 7, i);
    float u = gh_uniform(w.a), x = ldexpf((float)(w.b >> 8 | 1), -(int)(w.c % 60)), y = (u - 0.5f) * 174;
    assert_true(fabs((double)gh_exact_log(u) - log((double)u)) <= 4 * ulp(log((double)u)));
    if (x != 1) assert_true(fabs((double)gh_exact_log(x) - log((double)x)) <= 4 * ulp(log((double)x)));
    assert_true(fabs((double)gh_exact_sqrt(x) - sqrt((double)x)) <= ulp(sqrt((double)x)));
    assert_true(fabs((double)gh_exact_reciprocal(x) - 1 / (double)x) <= ulp(1 / (double)x));
    assert_true(fabs((double)gh_exact_exp(y) - exp((double)y)) <= 4 * ulp(exp((double)y)));
    y = i % 2 ? y * 0.9f : (u - 0.5f) * 12;
    double sigmoid = 1 / (1 + exp(-(double)y));
    assert_true(fabs((double)gh_sigmoid_exact(y) - sigmoid) <= 4 * ulp(sigmoid));
  }
}

static void test_normal_pair(void **state) {
  (void)state;
  const double pi = acos(-1);
  float a, b;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    gh_words w = gh_block_words(1, 2, 3, i);
    gh_normal_pair(w.a, w.b, &a, &b);
    double u = w.a < 1u << 24 ? (double)(w.a | 1) : (double)((w.a & ~511u) | 256);
    double r = sqrt(-2 * log(u / 4294967296.0)), angle = 2 * pi * ((double)(w.b >> 6) + 0.5) / 67108864;
    assert_true(fabs((double)a - r * cos(angle)) <= 2e-6);
    assert_true(fabs((double)b - r * sin(angle)) <= 2e-6);
  }
  static const gh_u32 edges[] = {0, 1, 0xFFFFFF, 0x1000000, 0x10001FF, 0xFFFFFFFF};
  for (size_t i = 0; i < GH_COUNT(edges); i++)
    for (size_t j = 0; j < GH_COUNT(edges); j++) {
      gh_normal_pair(edges[i], edges[j], &a, &b);
      assert_true(fabsf(a) < 6.67f && fabsf(b) < 6.67f); /* false for NaN too */
    }
  assert_true(gh_uniform(0) > 0 && gh_uniform(~0u) < 1);
}

static void test_gumbel(void **state) {
  (void)state;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    gh_u32 word = i * 2654435761u;
    double exact = -log(-log((double)gh_uniform(word)));
    assert_true(fabs((double)gh_gumbel(word) - exact) <= 4 * ulp(fmax(fabs(exact), 1)));
  }
  assert_true(fabs((double)gh_gumbel(0) + 2.81154) <= 1e-4);
  assert_true(fabs((double)gh_gumbel(~0u) - 16.6355) <= 1e-4);
}

/* ---- distribution ---- */

#define MANY 1000000

static void test_moments(void **state) {
  (void)state;
  float *x = malloc(MANY * sizeof *x);
  double m[5] = {0}, u[3] = {0}, neighbours = 0;
  int beyond3 = 0;
  gh_stream stream = gh_stream_make(0, 1, "noise", "moments");
  gh_stream_normals(stream, 0, 0, MANY, x);
  for (int i = 0; i < MANY; i++) {
    double v = (double)x[i], p = v;
    for (int k = 1; k < 5; k++, p *= v) m[k] += p / MANY;
    neighbours += i ? v * (double)x[i - 1] / MANY : 0;
    beyond3 += fabs(v) > 3;
  }
  /* five standard errors: sqrt(var / n) of each */
  assert_true(fabs(m[1]) <= 5e-3);
  assert_true(fabs(m[2] - 1) <= 5 * 1.4143e-3);
  assert_true(fabs(m[3]) <= 5 * 3.873e-3);
  assert_true(fabs(m[4] - 3) <= 5 * 9.8e-3);
  assert_true(fabs(neighbours) <= 5e-3);
  assert_true(abs(beyond3 - 2700) <= 5 * 52);
  gh_stream_uniforms(stream, 1, 0, MANY, x);
  for (int i = 0; i < MANY; i++) {
    assert_true(x[i] > 0 && x[i] < 1);
    u[1] += (double)x[i] / MANY;
    u[2] += (double)x[i] * (double)x[i] / MANY;
  }
  assert_true(fabs(u[1] - 0.5) <= 5 * 2.887e-4);
  assert_true(fabs(u[2] - 1.0 / 3) <= 5 * 2.982e-4);
  free(x);
}

static void test_gumbel_moments(void **state) {
  (void)state;
  float *x = malloc(MANY * sizeof *x);
  double mean = 0, square = 0;
  const double pi = acos(-1), variance = pi * pi / 6, euler = 0.57721566490153286;
  gh_stream_gumbels(gh_stream_make(0, 1, "draw", ""), 0, 0, MANY, x);
  for (int i = 0; i < MANY; i++) mean += (double)x[i] / MANY;
  for (int i = 0; i < MANY; i++) square += ((double)x[i] - euler) * ((double)x[i] - euler) / MANY;
  assert_true(fabs(mean - euler) <= 5 * sqrt(variance / MANY));
  assert_true(fabs(square - variance) <= 5 * sqrt(variance * variance * 4.4 / MANY)); /* kurtosis 5.4 */
  free(x);
}

/* A quarter of the codes by their probabilities, at a temperature that doubles the logits. */
static void test_categorical(void **state) {
  (void)state;
  enum { codes = 4 };
  const int draws = 100000;
  static const float logits[codes] = {0.5f, -0.25f, 0, 1};
  int counts[codes] = {0};
  double sum = 0;
  gh_stream s = gh_stream_make(0, 1, "draw", "");
  for (int i = 0; i < codes; i++) sum += exp(2 * (double)logits[i]);
  for (int i = 0; i < draws; i++) counts[gh_categorical_at(s, (uint64_t)(i / 10), i % 10, logits, codes, 0.5)]++;
  for (int i = 0; i < codes; i++) {
    double p = exp(2 * (double)logits[i]) / sum;
    assert_true(fabs(counts[i] - p * draws) <= 6 * sqrt(draws * p * (1 - p)));
  }
  static const float none[3] = {NAN, NAN, NAN}, one[3] = {NAN, -1e30f, NAN}, same[1] = {3};
  assert_int_equal(gh_categorical_at(s, 0, 0, none, 3, 1), 0);
  assert_int_equal(gh_categorical_at(s, 0, 0, one, 3, 1), 1);
  assert_int_equal(gh_categorical_at(s, 0, 0, same, 1, 1), 0);
}

/* ---- masks ---- */

static int count_of(const int32_t *mask, int n) {
  int count = 0;
  for (int i = 0; i < n; i++) {
    assert_true(mask[i] == 0 || mask[i] == 1);
    count += mask[i];
  }
  return count;
}

static void test_mask_counts(void **state) {
  (void)state;
  static const struct {
    int n;
    double ratio;
    int want;
  } fixed[] = {{196, 0.5, 98},  {196, 0.125, 24}, {196, 0.375, 74}, {196, 0.625, 122}, {196, 0.875, 172},
               {441, 0.5, 220}, {576, 0.75, 432}, {196, 0, 1},      {196, 1, 195},     {2, 0.9, 1},
               {196, 0.9, 176}, {576, 0.9, 518},  {3, 0.5, 2},      {5, 0.5, 2}};
  gh_stream ratio = gh_stream_make(0, 1, "ratio", ""), order = gh_stream_make(0, 1, "order", "");
  int32_t mask[576];
  for (size_t i = 0; i < GH_COUNT(fixed); i++) {
    gh_mask_at(ratio, order, i, fixed[i].n, fixed[i].ratio, fixed[i].ratio, mask);
    assert_int_equal(count_of(mask, fixed[i].n), fixed[i].want);
    assert_int_equal(gh_mask_most(fixed[i].n, fixed[i].ratio), fixed[i].want);
  }
  double mean = 0;
  enum { n = 64 };
  const int draws = 2000;
  int times[n] = {0};
  for (uint64_t ordinal = 0; ordinal < (uint64_t)draws; ordinal++) {
    gh_mask_at(ratio, order, ordinal, n, 0.5, 0.9, mask);
    int count = count_of(mask, n);
    assert_in_range(count, 32, gh_mask_most(n, 0.9));
    mean += count / (double)(draws * n);
    for (int i = 0; i < n; i++) times[i] += mask[i];
  }
  assert_true(fabs(mean - 0.7) <= 6 * 0.4 / sqrt(12.0 * draws) + 1e-3);
  for (int i = 0; i < n; i++) assert_true(fabs(times[i] - 0.7 * draws) <= 6 * sqrt(draws * 0.21 + 1));
}

/* Every later version must draw these masks, as every machine: runs depend on it. Position i is bit i. */
static void test_committed_masks(void **state) {
  (void)state;
  enum { n = 32 };
  static const uint32_t masks[] = {0xb7a7e945u, 0x6fecf651u, 0xd70d5b6du, 0x78560badu};
  for (uint64_t k = 0; k < GH_COUNT(masks); k++) {
    int32_t mask[n];
    uint32_t bits = 0;
    gh_mask_at((gh_stream){{0xdeadbeef, 0x01234567}}, (gh_stream){{1, 2}}, 0xFFFFFFFE + k, n, 0.5, 0.9, mask);
    for (int i = 0; i < n; i++) bits |= (uint32_t)mask[i] << i;
    assert_int_equal(bits, masks[k]);
  }
}

/* The masked positions are those with the smallest draws, also where two are equal. */
static void test_mask_order(void **state) {
  (void)state;
  enum { n = 4096 };
  gh_stream ratio = gh_stream_make(1, 1, "ratio", ""), order = gh_stream_make(1, 1, "order", "");
  static int32_t mask[n];
  static float u[n];
  gh_mask_at(ratio, order, 3, n, 0.5, 0.5, mask);
  gh_stream_uniforms(order, 3, 0, n, u);
  float largest = 0, smallest = 1;
  for (int i = 0; i < n; i++) {
    if (mask[i] && u[i] > largest) largest = u[i];
    if (!mask[i] && u[i] < smallest) smallest = u[i];
  }
  assert_int_equal(count_of(mask, n), n / 2);
  assert_true(largest <= smallest);
}

/* A slice equals that part of the whole, wherever it starts; scalars agree. */
static void test_slices(void **state) {
  (void)state;
  gh_stream s = gh_stream_make(9, 2, "dropout", "layer.0");
  float whole[40], part[40], uniforms[40];
  gh_stream_normals(s, 77, 0, 40, whole);
  for (int64_t first = 0; first < 9; first++)
    for (int64_t n = 0; n < 12; n++) {
      for (int i = 0; i < 40; i++) part[i] = -99;
      gh_stream_normals(s, 77, first, n, part);
      assert_memory_equal(part, whole + first, (size_t)n * sizeof *part);
      assert_true(part[n] == -99);
    }
  gh_stream_uniforms(s, 77, 3, 30, uniforms);
  for (uint64_t i = 0; i < 30; i++) {
    assert_true(whole[i] == gh_normal_at(s.key[0], s.key[1], 77, i));
    assert_true(uniforms[i] == gh_uniform(gh_word_at(s.key[0], s.key[1], 77, i + 3)));
  }
}

/* Each part of a stream's identity matters. */
static void test_streams_differ(void **state) {
  (void)state;
  gh_stream s[] = {gh_stream_make(0, 1, "noise", "a"), gh_stream_make(1, 1, "noise", "a"),
                   gh_stream_make(0, 2, "noise", "a"), gh_stream_make(0, 1, "dropout", "a"),
                   gh_stream_make(0, 1, "noise", "b"), gh_stream_make(UINT64_C(1) << 32, 1, "noise", "a"),
                   gh_stream_make(0, 1, "noise", ""),  gh_stream_make(0, 1, "noisea", "")};
  for (size_t i = 0; i < GH_COUNT(s); i++)
    for (size_t j = 0; j < i; j++) assert_memory_not_equal(&s[i], &s[j], sizeof s[i]);
}

/* ---- permutations ---- */

static void test_permute(void **state) {
  (void)state;
  static const uint64_t sizes[] = {1, 2, 3, 4, 5, 16, 17, 255, 256, 257, 1000, 65537};
  for (size_t k = 0; k < GH_COUNT(sizes); k++) {
    const uint64_t n = sizes[k];
    gh_stream s = gh_stream_make(k, 1, "order", "");
    unsigned char *seen = calloc(n, 1);
    uint64_t fixed = 0;
    for (uint64_t i = 0; i < n; i++) {
      uint64_t p = gh_permute(s, i, n);
      assert_true(p < n && !seen[p]);
      seen[p] = 1;
      fixed += p == i;
    }
    free(seen);
    if (n > 100) assert_true(fixed <= 10); /* one fixed point is expected */
  }
  const uint64_t huge = UINT64_MAX;
  gh_stream s = gh_stream_make(0, 1, "order", "");
  assert_true(gh_permute(s, 0, huge) != gh_permute(s, 1, huge));
}

/* Different epochs shuffle differently, and positions are spread: the mean displacement of a random permutation is n/3.
 */
static void test_permute_spreads(void **state) {
  (void)state;
  const uint64_t n = 10007;
  gh_stream first = gh_stream_make(0, 1, "order", "0"), second = gh_stream_make(0, 1, "order", "1");
  double moved = 0;
  int same = 0;
  for (uint64_t i = 0; i < n; i++) {
    uint64_t p = gh_permute(first, i, n);
    moved += fabs((double)p - (double)i) / (double)n;
    same += p == gh_permute(second, i, n);
  }
  assert_true(fabs(moved / (double)n - 1.0 / 3) <= 0.015);
  assert_true(same <= 10);
}

/* A quarter of 64, drawn separately for every ordinal: distinct numbers, each equally often, as is every pair. */
static void test_permute_at(void **state) {
  (void)state;
  enum { n = 64, drawn = 16 };
  const int draws = 4096;
  int times[n] = {0}, first[n] = {0}, with_zero[n] = {0};
  gh_stream s = gh_stream_make(0, 1, "local", "");
  for (uint64_t ordinal = 0; ordinal < (uint64_t)draws; ordinal++) {
    bool in[n] = {false};
    for (uint64_t i = 0; i < drawn; i++) {
      uint64_t p = gh_permute_at(s, ordinal, i, n);
      assert_true(p < n && !in[p]);
      in[p] = true;
      times[p]++;
      first[p] += i == 0;
    }
    for (int i = 0; i < n; i++) with_zero[i] += in[0] && in[i];
  }
  for (int i = 0; i < n; i++) { /* within six standard deviations */
    assert_true(fabs(times[i] - draws / 4.0) <= 6 * 27.7);
    assert_true(fabs(first[i] - draws / 64.0) <= 6 * 7.9);
    assert_true(i == 0 || fabs(with_zero[i] - draws / 16.8) <= 6 * 15.2);
  }
}

static void test_below(void **state) {
  (void)state;
  gh_stream s = gh_stream_make(0, 1, "crop", "");
  int counts[7] = {0};
  for (int i = 0; i < 70000; i++) counts[gh_stream_below(s, 1, i, 7)]++;
  for (int i = 0; i < 7; i++) assert_true(abs(counts[i] - 10000) <= 500);
  assert_int_equal(gh_stream_below(s, 1, 5, 1), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known_answers),     cmocka_unit_test(test_against_random123),
      cmocka_unit_test(test_committed_bits),    cmocka_unit_test(test_sincos_accuracy),
      cmocka_unit_test(test_function_accuracy), cmocka_unit_test(test_normal_pair),
      cmocka_unit_test(test_moments),           cmocka_unit_test(test_slices),
      cmocka_unit_test(test_streams_differ),    cmocka_unit_test(test_permute),
      cmocka_unit_test(test_permute_spreads),   cmocka_unit_test(test_below),
      cmocka_unit_test(test_permute_at),        cmocka_unit_test(test_gumbel),
      cmocka_unit_test(test_gumbel_moments),    cmocka_unit_test(test_categorical),
      cmocka_unit_test(test_mask_counts),       cmocka_unit_test(test_mask_order),
      cmocka_unit_test(test_committed_masks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
