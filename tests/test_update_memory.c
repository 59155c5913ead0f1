/* AdamW with less memory: bf16 weights and gradients that are rounded at random, and 8-bit moments, in both shapes of
 * machine. The expected bits come from the float32 update (tests/test_update.c) and the host's Philox. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/registry.h"
#include "base/half.h"
#include "base/random.h"
#include "cl/launch.h"
#include "cl/philox.h"
#include "cl/step.h"
#include "ops/ops.h"
#include "support/check.h"

static gh_error err;
static const gh_adamw_options options = {
    .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .key = {0x12345678u, 0x9abcdef0u}};

enum { MOST = 32773 }; /* beyond the elements of a work-item in the CPUs' shape */
static const int64_t sizes[] = {1, 31, 33, 64, 65, 4099, MOST};

/* Two parameters of the same values and gradients: `wide` float32, `narrow` bf16. */
typedef struct twins {
  gh_device *device;
  gh_store *store;
  gh_graph *graph;
  gh_tensor *step, *control, *gradient, *wide, *narrow;
  int64_t n;
} twins;

static gh_tensor *add(twins *o, const char *name, gh_dtype dtype, int64_t n) {
  gh_tensor *t = NULL;
  check_ok(gh_store_add(&err, o->store, name, dtype, 1, &n, &t));
  return t;
}

static gh_tensor *moment(twins *o, const char *name, int64_t n, bool short_moments) {
  return short_moments ? add(o, name, GH_U32, gh_moment_words(n)) : add(o, name, GH_F32, n);
}

static void create(twins *o, const char *shape, int64_t n, bool short_moments) {
  const char *id = getenv("GH_TEST_DEVICE");
  *o = (twins){.n = n};
  setenv("GH_KERNEL_SHAPE", shape, 1);
  check_ok(gh_device_open(&err, id ? id : "auto", &o->device));
  check_ok(gh_store_create(&err, o->device, &o->store));
  check_ok(gh_graph_create(&err, o->device, &o->graph));
  o->step = add(o, "step", GH_U32, STEP_WORDS);
  o->control = add(o, "control", GH_U32, CONTROL_WORDS);
  o->gradient = add(o, "g", GH_F32, n);
  o->wide = add(o, "wide", GH_F32, n);
  o->narrow = add(o, "narrow", GH_BF16, n);
  gh_adamw(o->graph, o->wide, o->gradient, moment(o, "m0", n, short_moments), moment(o, "v0", n, short_moments),
           o->step, o->control, options);
  gh_adamw(o->graph, o->narrow, o->gradient, moment(o, "m1", n, short_moments), moment(o, "v1", n, short_moments),
           o->step, o->control, options);
  check_ok(gh_graph_plan(&err, o->graph));
}

static void destroy(twins *o) {
  gh_graph_free(o->graph);
  gh_store_free(o->store);
  gh_device_close(o->device);
}

static void run(twins *o, uint64_t t, double rate, float clip, uint32_t bad) {
  const float numbers[] = {(float)rate, (float)(1 / (1 - pow(options.beta1, (double)t))),
                           (float)(1 / (1 - pow(options.beta2, (double)t)))};
  uint32_t step[STEP_WORDS] = {0}, control[CONTROL_WORDS] = {0};
  memcpy(step + STEP_LEARNING_RATE, numbers, sizeof numbers);
  step[STEP_UPDATE_LO] = (uint32_t)t;
  step[STEP_UPDATE_HI] = (uint32_t)(t >> 32);
  memcpy(control + CONTROL_CLIP, &clip, sizeof clip);
  control[CONTROL_BAD] = bad;
  check_ok(gh_tensor_write(&err, o->device, o->step, step));
  check_ok(gh_tensor_write(&err, o->device, o->control, control));
  check_ok(gh_graph_run(&err, o->graph));
}

/* Both start from bf16 numbers. */
static void set_weights(twins *o, const float *values) {
  check_ok(gh_tensor_write_f32(&err, o->device, o->narrow, values));
  check_ok(gh_tensor_write(&err, o->device, o->wide, values));
}

static uint32_t bits_of(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

static uint16_t rounded(float value, uint64_t update, int64_t element) {
  const uint32_t word = gh_word_at(options.key[0], options.key[1], update, (uint64_t)element);
  const uint32_t bits = bits_of(value), rest = bits & 0xffffu;
  return (uint16_t)((bits >> 16) + (rest + (word & 0xffffu) > 0xffffu));
}

static float weights[MOST], gradients[MOST], wide[MOST];
static uint16_t narrow[MOST], unchanged[MOST];

static float uniform(uint64_t *state) { return (float)check_random(state) * 0x1p-30f - 1; } /* of [-1, 1) */

static void draw(int64_t n, uint64_t seed) {
  uint64_t state = seed;
  for (int64_t i = 0; i < n; i++) weights[i] = gh_bf16_to_f32(gh_f32_to_bf16(0.1f * uniform(&state)));
  for (int64_t i = 0; i < n; i++) gradients[i] = uniform(&state);
}

/* Three updates, each from the weights that the one before left, and one that must change nothing. */
static void check_bits(const char *shape, int64_t n) {
  static const uint64_t updates[] = {1, 2, UINT64_C(0x100000007)};
  twins o;
  int moved = 0, up = 0;
  create(&o, shape, n, false);
  draw(n, (uint64_t)n);
  set_weights(&o, weights);
  check_ok(gh_tensor_write(&err, o.device, o.gradient, gradients));
  for (size_t k = 0; k < GH_COUNT(updates); k++) {
    run(&o, updates[k], 1e-3, 0.25f, 0);
    check_ok(gh_tensor_read(&err, o.device, o.wide, wide));
    check_ok(gh_tensor_read(&err, o.device, o.narrow, narrow));
    for (int64_t i = 0; i < n; i++) {
      const uint16_t want = rounded(wide[i], updates[k], i);
      if (narrow[i] != want)
        fail_msg("%s shape, update %d, %lld of %lld: %a is rounded to %04x, expected %04x", shape, (int)k, (long long)i,
                 (long long)n, (double)wide[i], narrow[i], want);
      up += narrow[i] != (uint16_t)(bits_of(wide[i]) >> 16);
      moved += gh_bf16_to_f32(narrow[i]) != weights[i];
      weights[i] = gh_bf16_to_f32(narrow[i]);
    }
    check_ok(gh_tensor_write(&err, o.device, o.wide, weights));
  }
  if (n > 4000 && !(moved > 2 * n && up > n && up < 2 * n)) /* of three updates, half are rounded up */
    fail_msg("of %lld numbers, %d moved and %d were rounded up in three updates", (long long)n, moved, up);
  run(&o, 4, 1e-3, 1, 1);
  check_ok(gh_tensor_read(&err, o.device, o.narrow, unchanged));
  assert_memory_equal(unchanged, narrow, (size_t)n * sizeof *narrow);
  destroy(&o);
}

static void test_the_bits(void **state) {
  (void)state;
  for (size_t i = 0; i < GH_COUNT(sizes); i++) {
    static uint16_t first[MOST];
    check_bits("gpu", sizes[i]);
    memcpy(first, narrow, sizeof first);
    if (!check_has_shape("cpu")) continue;
    check_bits("cpu", sizes[i]);
    assert_memory_equal(first, narrow, (size_t)sizes[i] * sizeof *narrow);
  }
}

static double mean(const uint16_t *values, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)gh_bf16_to_f32(values[i]);
  return sum / (double)n;
}

/* Many steps that are each a small part of the distance between two bf16 numbers: rounding to nearest would undo every
 * one of them. On average the weights follow the float32 ones. */
static void check_mean(const char *shape, float start, float gradient) {
  enum { N = 8192, UPDATES = 40 };
  const double apart = (double)(gh_bf16_to_f32((uint16_t)((bits_of(start) >> 16) + 1)) - start),
               rate = fabs(apart) / 17;
  twins o;
  create(&o, shape, N, false);
  for (int i = 0; i < N; i++) weights[i] = start;
  for (int i = 0; i < N; i++) gradients[i] = gradient;
  set_weights(&o, weights);
  check_ok(gh_tensor_write(&err, o.device, o.gradient, gradients));
  for (int t = 1; t <= UPDATES; t++) run(&o, (uint64_t)t, rate, 1, 0);
  check_ok(gh_tensor_read(&err, o.device, o.wide, wide));
  check_ok(gh_tensor_read(&err, o.device, o.narrow, narrow));
  const double moved = (double)(wide[0] - start), error = mean(narrow, N) - (double)wide[0];
  assert_true(fabs(moved) > 2 * fabs(apart));
  /* each update adds a variance of at most p (1 - p) with p = 1/17, in units of the distance */
  const double sigma = fabs(apart) * sqrt(UPDATES * (1.0 / 17) * (16.0 / 17) / N);
  if (!(fabs(error) <= 4 * sigma))
    fail_msg("%s shape: the mean is %g beside its value, which is %.1f standard deviations", shape, error,
             error / sigma);
  destroy(&o);
}

static void test_the_mean(void **state) {
  (void)state;
  const char *const shapes[] = {"cpu", "gpu"};
  for (int i = 0; i < 2; i++) {
    if (!check_has_shape(shapes[i])) continue;
    check_mean(shapes[i], 1.5f, 1);
    check_mean(shapes[i], -0.0234375f, 0.001f);
  }
}

/* ---- moments in eight bits ---- */

typedef struct moments {
  float m[MOST], v[MOST]; /* decoded */
  uint32_t m_words[MOST], v_words[MOST];
} moments;

/* cl/moments.h, written down once more, in float64. */
static double decoded(const uint32_t *words, int64_t n, int64_t i, bool is_v) {
  const int64_t quads = GH_CEIL_DIV(n, MOMENT_BLOCK) * (MOMENT_BLOCK / 4);
  const uint32_t code = words[i / 4] >> 8 * (i % 4) & 255u, size = is_v ? code : code & 127u;
  float scale;
  memcpy(&scale, &words[quads + i / MOMENT_BLOCK], sizeof scale);
  if (!is_v && !size) return 0;
  const double value = ldexp((double)scale * (1 + (size & 7) / 8.0), (int)(size >> 3) - (is_v ? 31 : 15));
  return code & 128u && !is_v ? -value : value;
}

static uint32_t coded(double value, double scale, uint32_t chance, bool is_v) {
  const double places = is_v ? 31 : 15, size = fabs(value) / scale, least = ldexp(is_v ? 1 : 1.125, (int)-places);
  uint32_t code = 0;
  if (size >= least) {
    int exponent;
    const double fraction = 2 * frexp(size, &exponent) - 1; /* size = (1 + fraction) 2^(exponent - 1) */
    code = (uint32_t)(8 * (exponent - 1 + places) + floor(8 * fraction + chance / 65536.0));
  } else if (!is_v) {
    code = size > least * (2 * chance + 1) / 131072.0;
  }
  return code | (!is_v && value < 0 ? 128u : 0);
}

/* The smallest power of two, at least 2^-64, that numbers up to 1.875 times as large fit. */
static double scale_of(const float *values, int64_t count) {
  double largest = 0, scale = ldexp(1, -64);
  for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)values[i]));
  while (largest > 1.875 * scale) scale *= 2;
  return scale;
}

static void expect_coded(const char *what, const uint32_t *words, const float *values, int64_t n, uint64_t update,
                         bool is_v) {
  const int64_t quads = GH_CEIL_DIV(n, MOMENT_BLOCK) * (MOMENT_BLOCK / 4);
  double scale = 0;
  for (int64_t i = 0; i < n; i++) {
    if (i % MOMENT_BLOCK == 0) scale = scale_of(values + i, GH_MIN(n - i, MOMENT_BLOCK));
    const uint32_t word = gh_word_at(options.key[0], options.key[1], update | UINT64_C(1) << 63, (uint64_t)i);
    const uint32_t want = coded((double)values[i], scale, is_v ? word >> 16 : word & 0xffffu, is_v);
    const uint32_t got = words[i / 4] >> 8 * (i % 4) & 255u;
    float stored;
    memcpy(&stored, &words[quads + i / MOMENT_BLOCK], sizeof stored);
    if ((double)stored != scale)
      fail_msg("%s: the scale of %lld is %g, not %g", what, (long long)i, (double)stored, scale);
    if (got != want)
      fail_msg("%s: %a of %lld (scale %g) has the code %u, expected %u", what, (double)values[i], (long long)i, scale,
               got, want);
  }
  for (int64_t i = n; i < 4 * quads; i++) assert_int_equal(words[i / 4] >> 8 * (i % 4) & 255u, 0); /* the last block */
}

static void read_moments(twins *o, const char *m, const char *v, moments *to) {
  check_ok(gh_tensor_read(&err, o->device, gh_store_find(o->store, m), to->m_words));
  check_ok(gh_tensor_read(&err, o->device, gh_store_find(o->store, v), to->v_words));
  for (int64_t i = 0; i < o->n; i++) {
    to->m[i] = (float)decoded(to->m_words, o->n, i, false);
    to->v[i] = (float)decoded(to->v_words, o->n, i, true);
  }
}

/* The float32 update of these moments and weights, one rounding per operation. */
static void expect_moments(moments *s, const float *gradient, int64_t n, float clip) {
  const float b1 = (float)(1 - options.beta1), b2 = (float)options.beta2, c2 = (float)(1 - options.beta2);
  for (int64_t i = 0; i < n; i++) {
    const volatile float g = gradient[i] * clip, away = g - s->m[i], change = b1 * away;
    const volatile float kept = s->v[i] * b2, scaled = c2 * g, added = scaled * g;
    s->m[i] += change;
    s->v[i] = kept + added;
  }
}

static moments seen, twin;

static void check_short(const char *shape, int64_t n) {
  twins o;
  create(&o, shape, n, true);
  draw(n, (uint64_t)n);
  for (int64_t i = 0; i < n; i++) gradients[i] *= powf(10, (float)(i % 7) - 5) * (i % 5 ? 1 : 0);
  read_moments(&o, "m0", "v0", &seen);
  for (uint64_t t = 1; t <= 4; t++) {
    set_weights(&o, weights);
    check_ok(gh_tensor_write(&err, o.device, o.gradient, gradients));
    expect_moments(&seen, gradients, n, 0.25f);
    run(&o, t, 1e-3, 0.25f, 0);
    check_ok(gh_tensor_read(&err, o.device, o.wide, wide));
    check_ok(gh_tensor_read(&err, o.device, o.narrow, narrow));
    for (int64_t i = 0; i < n; i++) {
      const double root = sqrt((double)seen.v[i] / (1 - pow(options.beta2, (double)t))) + options.eps;
      const double step = 1e-3 / (1 - pow(options.beta1, (double)t)) * (double)seen.m[i] / root;
      const double want = (double)weights[i] * (1 - 1e-3 * options.weight_decay) - step;
      if (!(fabs((double)wide[i] - want) <= 3e-7 * fabs(want) + 1e-6 * fabs(step)))
        fail_msg("%s shape, update %d, weight %lld is %.9g, expected %.9g", shape, (int)t, (long long)i,
                 (double)wide[i], want);
      assert_int_equal(narrow[i], rounded(wide[i], t, i));
    }
    read_moments(&o, "m0", "v0", &twin);
    expect_coded("m", twin.m_words, seen.m, n, t, false);
    expect_coded("v", twin.v_words, seen.v, n, t, true);
    read_moments(&o, "m1", "v1", &seen); /* the bf16 twin's */
    assert_memory_equal(&seen, &twin, sizeof seen);
    for (int64_t i = 0; i < n; i++) gradients[i] = (float)(t == 2 ? 0 : -0.5) * gradients[(i + 1) % n];
  }
  run(&o, 5, 1e-3, 1, 1);
  read_moments(&o, "m0", "v0", &twin);
  assert_memory_equal(&seen, &twin, sizeof seen);
  destroy(&o);
}

static void test_short_moments(void **state) {
  (void)state;
  static const int64_t short_sizes[] = {1, 31, 33, 64, 65, 255, 256, 257, 4099};
  for (size_t i = 0; i < GH_COUNT(short_sizes); i++) {
    check_short("gpu", short_sizes[i]);
    if (check_has_shape("cpu")) check_short("cpu", short_sizes[i]);
  }
}

/* Gradients whose sizes differ a thousandfold within a block, for 200 updates: v changes by a thousandth per update, a
 * hundredth of the distance between two codes. Single elements are right within a fifth, their average within a
 * hundredth. */
static void test_moments_follow(void **state) {
  (void)state;
  enum { N = 4096, UPDATES = 200 };
  static double exact_v[N], exact_m[N];
  double ratio = 0, square = 0, m_error = 0, m_size = 0;
  twins o;
  uint64_t seed = 5;
  create(&o, check_has_shape("cpu") ? "cpu" : "gpu", N, true);
  for (int t = 1; t <= UPDATES; t++) {
    for (int i = 0; i < N; i++) {
      gradients[i] = uniform(&seed) * powf(10, -(float)(i % 7) / 2);
      exact_m[i] += (1 - options.beta1) * ((double)gradients[i] - exact_m[i]);
      exact_v[i] += (1 - options.beta2) * ((double)gradients[i] * (double)gradients[i] - exact_v[i]);
    }
    check_ok(gh_tensor_write(&err, o.device, o.gradient, gradients));
    run(&o, (uint64_t)t, 1e-3, 1, 0);
  }
  read_moments(&o, "m0", "v0", &seen);
  for (int i = 0; i < N; i++) {
    const double r = (double)seen.v[i] / exact_v[i], scale = pow(10, (i % 7) / 2.0);
    ratio += r / N;
    square += (r - 1) * (r - 1) / N;
    m_error += pow(scale * ((double)seen.m[i] - exact_m[i]), 2);
    m_size += pow(scale * exact_m[i], 2);
  }
  print_message("v: mean ratio %.4f, deviation %.3f; m: relative error %.3f\n", ratio, sqrt(square),
                sqrt(m_error / m_size));
  assert_true(fabs(ratio - 1) <= 0.01 && sqrt(square) <= 0.2 && m_error / m_size <= 0.12 * 0.12);
  destroy(&o);
}

/* ---- gradients in bf16 ---- */

/* Three sums rounded at random; then a bf16 gradient and a float32 one of the same values give the same square and the
 * same update. */
static void check_gradients(const char *shape, int64_t n) {
  twins o;
  float squares[2];
  create(&o, shape, n, false);
  gh_tensor *total = add(&o, "total", GH_BF16, n), *sums = add(&o, "squares", GH_F32, 2),
            *other = add(&o, "w", GH_F32, n);
  gh_graph *g;
  check_ok(gh_graph_create(&err, o.device, &g));
  gh_accumulate_rounded(g, total, o.gradient, o.step, options.key);
  check_ok(gh_graph_plan(&err, g));
  memset(unchanged, 0, sizeof unchanged);
  for (int k = 0; k < 3; k++) {
    uint32_t step[STEP_WORDS] = {[STEP_ORDINAL_LO] = 16 * (uint32_t)k, [STEP_ORDINAL_HI] = 1};
    draw(n, (uint64_t)(n + k));
    check_ok(gh_tensor_write(&err, o.device, o.gradient, gradients));
    check_ok(gh_tensor_write(&err, o.device, o.step, step));
    check_ok(gh_graph_run(&err, g));
    check_ok(gh_tensor_read(&err, o.device, total, narrow));
    for (int64_t i = 0; i < n; i++) {
      const uint64_t ordinal = 16 * (uint64_t)k + (UINT64_C(1) << 32);
      assert_int_equal(narrow[i], rounded(gh_bf16_to_f32(unchanged[i]) + gradients[i], ordinal, i));
    }
    memcpy(unchanged, narrow, sizeof unchanged);
  }
  gh_graph_free(g);
  check_ok(gh_graph_create(&err, o.device, &g));
  gh_square_sum(g, o.gradient, sums, 0);
  gh_square_sum(g, total, sums, 1);
  gh_adamw(g, other, total, add(&o, "m", GH_F32, n), add(&o, "v", GH_F32, n), o.step, o.control, options);
  gh_zero(g, total);
  check_ok(gh_graph_plan(&err, g));
  check_ok(gh_tensor_read_f32(&err, o.device, total, gradients));
  check_ok(gh_tensor_write(&err, o.device, o.gradient, gradients));
  set_weights(&o, weights);
  check_ok(gh_tensor_write(&err, o.device, other, weights));
  run(&o, 1, 1e-3, 0.5f, 0);
  check_ok(gh_graph_run(&err, g));
  check_ok(gh_tensor_read(&err, o.device, sums, squares));
  assert_true(squares[0] > 0 && squares[0] == squares[1]);
  check_ok(gh_tensor_read(&err, o.device, o.wide, wide));
  check_ok(gh_tensor_read(&err, o.device, other, weights));
  assert_memory_equal(wide, weights, (size_t)n * sizeof *wide);
  check_ok(gh_tensor_read_f32(&err, o.device, total, gradients));
  for (int64_t i = 0; i < n; i++) assert_true(gradients[i] == 0);
  gh_graph_free(g);
  destroy(&o);
}

static void test_gradients(void **state) {
  (void)state;
  for (size_t i = 0; i + 1 < GH_COUNT(sizes); i++) {
    check_gradients("gpu", sizes[i]);
    if (check_has_shape("cpu")) check_gradients("cpu", sizes[i]);
  }
}

static void expect_zeros(twins *o, const gh_tensor *t) {
  check_ok(gh_tensor_read_f32(&err, o->device, t, gradients));
  for (int64_t i = 0; i < o->n; i++) assert_int_equal(bits_of(gradients[i]), 0);
}

/* Updates that clear their gradients give the bits of those that do not; a bad gradient is cleared, too. */
static void check_clear(const char *shape, int64_t n, bool short_moments) {
  static float cleared[MOST];
  gh_adamw_options clear = options;
  clear.clear = true;
  twins o;
  gh_graph *g;
  create(&o, shape, n, short_moments);
  gh_tensor *w = add(&o, "w2", GH_F32, n), *v = add(&o, "w3", GH_BF16, n);
  gh_tensor *of_w = add(&o, "g2", GH_F32, n), *of_v = add(&o, "g3", GH_BF16, n);
  check_ok(gh_graph_create(&err, o.device, &g));
  gh_adamw(g, w, of_w, moment(&o, "m2", n, short_moments), moment(&o, "v2", n, short_moments), o.step, o.control,
           clear);
  gh_adamw(g, v, of_v, moment(&o, "m3", n, short_moments), moment(&o, "v3", n, short_moments), o.step, o.control,
           clear);
  check_ok(gh_graph_plan(&err, g));
  draw(n, (uint64_t)n);
  set_weights(&o, weights);
  check_ok(gh_tensor_write(&err, o.device, w, weights));
  check_ok(gh_tensor_write_f32(&err, o.device, v, weights));
  for (uint64_t t = 1; t <= 3; t++) {
    draw(n, t);
    for (int64_t i = 0; i < n; i++) gradients[i] = gh_bf16_to_f32(gh_f32_to_bf16(gradients[i]));
    if (t == 3) gradients[n - 1] = NAN;
    gh_tensor *const all[] = {o.gradient, of_w, of_v};
    for (int k = 0; k < 3; k++) check_ok(gh_tensor_write_f32(&err, o.device, all[k], gradients));
    run(&o, t, 1e-3, 0.25f, t == 3);
    check_ok(gh_graph_run(&err, g));
    check_ok(gh_tensor_read(&err, o.device, o.wide, wide));
    check_ok(gh_tensor_read(&err, o.device, w, cleared));
    assert_memory_equal(wide, cleared, (size_t)n * sizeof *wide);
    check_ok(gh_tensor_read(&err, o.device, o.narrow, narrow));
    check_ok(gh_tensor_read(&err, o.device, v, unchanged));
    assert_memory_equal(narrow, unchanged, (size_t)n * sizeof *narrow);
    expect_zeros(&o, of_w);
    expect_zeros(&o, of_v);
  }
  gh_graph_free(g);
  destroy(&o);
}

static void test_gradients_are_cleared(void **state) {
  (void)state;
  for (size_t i = 0; i + 1 < GH_COUNT(sizes); i++)
    for (int k = 0; k < 2; k++) {
      check_clear("gpu", sizes[i], k);
      if (check_has_shape("cpu")) check_clear("cpu", sizes[i], k);
    }
}

static void test_wrong_uses_are_named(void **state) {
  (void)state;
  twins o;
  create(&o, "gpu", 33, false);
  gh_graph *g;
  gh_tensor *half = add(&o, "half", GH_BF16, 33), *m = gh_store_find(o.store, "m0");
  check_ok(gh_graph_create(&err, o.device, &g));
  gh_adamw(g, o.wide, o.gradient, half, m, o.step, o.control, options);
  check_fails(gh_graph_plan(&err, g), GH_ERROR_CONFIG, "input 2 is not float32");
  gh_graph_free(g);
  gh_tensor *words = add(&o, "words", GH_U32, gh_moment_words(33) - 1);
  check_ok(gh_graph_create(&err, o.device, &g));
  gh_adamw(g, o.wide, o.gradient, words, words, o.step, o.control, options);
  check_fails(gh_graph_plan(&err, g), GH_ERROR_CONFIG, "input 2 must have 65 words of 8-bit moments");
  gh_graph_free(g);
  destroy(&o);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_bits),
      cmocka_unit_test(test_the_mean),
      cmocka_unit_test(test_short_moments),
      cmocka_unit_test(test_moments_follow),
      cmocka_unit_test(test_gradients),
      cmocka_unit_test(test_gradients_are_cleared),
      cmocka_unit_test(test_wrong_uses_are_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
