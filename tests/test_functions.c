/* The elementary functions of cl/functions.h against the C library's in float64, in both shapes of machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "backend/registry.h"
#include "support/check.h"

#define COUNT 600011 /* floats of all magnitudes and signs */

static gh_error err;

static double exact_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double exact_cdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
static double exact_density(double x) { return exp(-0.5 * x * x) * 0.39894228040143267794; }

static const struct {
  const char *name;
  double (*exact)(double);
  double limit; /* units in the last place */
} functions[] = {
    {"exp", exp, 2},
    {"log", log, 2},
    {"tanh", tanh, 3},
    {"sigmoid", exact_sigmoid, 3},
    {"normal cdf", exact_cdf, 6},
    {"normal density", exact_density, 3},
    {"float_exp", exp, 2},
    {"float_log", log, 2},
};

static float float_of(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static void fill(float *x) {
  static const float special[] = {0.0f,     -0.0f,    INFINITY, -INFINITY, NAN,     1.0f,  -1.0f,       88.72283f,
                                  88.8f,    89.5f,    -87.3f,   -103.9f,   -104.5f, 1e30f, -1e30f,      3e38f,
                                  -3e38f,   1e-40f,   -1e-40f,  1e-45f,    2e19f,   9.0f,  -9.0f,       10.0f,
                                  0.34657f, 0.34658f, 12.0f,    -12.0f,    -13.9f,  5.0f,  0.70710677f, 1.4142135f};
  for (uint32_t i = 0; i < COUNT; i++) {
    x[i] = float_of(i * UINT32_C(7159));                                                /* all magnitudes */
    if (i % 3 == 1) x[i] = -110.0f + 220.0f * (float)i / COUNT;                         /* the range of exp */
    if (i % 3 == 2) x[i] = -6.0f + 12.0f * (float)(i * UINT64_C(7919) % COUNT) / COUNT; /* the range of activations */
  }
  memcpy(x, special, sizeof special);
}

/* Distance in units of the last place; subnormal results are measured in units of the smallest normal. */
static double distance(float got, double want) {
  float rounded = (float)want;
  if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
  if (isinf(rounded) || isinf(got)) return rounded == got ? 0 : INFINITY;
  int exponent;
  frexp(want, &exponent);
  double unit = ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
  if (fabs(want) < 1.2e-38) return fabs(got - want) <= 1.2e-38 ? 0 : INFINITY; /* may be flushed to zero */
  return fabs((double)got - want) / unit;
}

static void check_function(gh_device *d, gh_buffer *x, gh_buffer *y, const float *in, float *out, int which) {
  const gh_backend *b = d->backend;
  const gh_kernel_id id = {.name = "functions_evaluate", .source = "tuned_functions"};
  const gh_arg args[] = {gh_arg_buffer(y), gh_arg_buffer(x), gh_arg_i32(which), gh_arg_i64(COUNT)};
  bool cpu = d->info.shape == GH_SHAPE_CPU;
  const gh_grid grid = {.groups = {cpu ? GH_CEIL_DIV(COUNT, 4096) : 64, 1, 1}, .local = {cpu ? 1 : 64, 1, 1}};
  gh_launch *launch;
  check_ok(b->bind_kernel(&err, d, &id, &grid, args, GH_COUNT(args), &launch));
  check_ok(b->enqueue(&err, d, launch));
  check_ok(b->read(&err, d, y, 0, out, (int64_t)COUNT * 4));
  b->launch_free(launch);
  double worst = 0;
  int at = 0;
  for (int i = 0; i < COUNT; i++) {
    double far = distance(out[i], functions[which].exact((double)in[i]));
    if (far <= worst) continue;
    worst = far;
    at = i;
  }
  printf("%-15s %5.2f units of the last place, at %.9g\n", functions[which].name, worst, (double)in[at]);
  if (!(worst <= functions[which].limit))
    fail_msg("%s(%.9g) is %.9g, expected %.9g", functions[which].name, (double)in[at], (double)out[at],
             functions[which].exact((double)in[at]));
}

static void check_shape(const char *shape) {
  gh_device *d;
  gh_buffer *x, *y;
  float *in = malloc(COUNT * sizeof *in), *out = malloc(COUNT * sizeof *out);
  assert_true(in && out);
  setenv("GH_KERNEL_SHAPE", shape, 1);
  check_ok(gh_device_open(&err, "auto", &d));
  check_ok(d->backend->buffer_create(&err, d, (int64_t)COUNT * 4, &x));
  check_ok(d->backend->buffer_create(&err, d, (int64_t)COUNT * 4, &y));
  fill(in);
  check_ok(d->backend->write(&err, d, x, 0, in, (int64_t)COUNT * 4));
  for (int i = 0; i < (int)GH_COUNT(functions); i++) check_function(d, x, y, in, out, i);
  d->backend->buffer_free(x);
  d->backend->buffer_free(y);
  gh_device_close(d);
  free(in);
  free(out);
}

static void test_cpu_shape(void **state) {
  (void)state;
  if (!check_has_shape("cpu")) return;
  check_shape("cpu");
}

static void test_gpu_shape(void **state) {
  (void)state;
  check_shape("gpu");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_cpu_shape), cmocka_unit_test(test_gpu_shape)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
