/* The same steps on two devices: the two shapes of kernels on whatever device is first. */
#include "support/compare.h"
#include "support/tiny_run.h"

#include "backend/registry.h"
#include "base/file.h"
#include "base/json.h"
#include "compare/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A sanitizer watches the host's code, the same for all steps and ops. Their numbers are compared without one. */
#ifdef __SANITIZE_ADDRESS__
enum { STEPS1 = 10, STEPS2 = 3, PLANTED = 2 };
#else
enum { STEPS1 = 100, STEPS2 = 20, PLANTED = 7 };
#endif

static gh_error err;
static char *folder, *pictures, *nowhere;

static int set_up(void **state) {
  (void)state;
  folder = check_folder();
  pictures = check_path(folder, "pictures");
  nowhere = check_path(folder, "out");
  tiny_pictures(pictures);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  check_folder_done(folder);
  free(pictures);
  free(nowhere);
  return 0;
}

static gh_status compare(gh_compare_options options, gh_json **result) {
  gh_config config;
  tiny_config(&config, pictures, nowhere, NULL);
  *result = gh_json_object(&err);
  assert_non_null(*result);
  if (!options.devices[0]) options.devices[0] = check_has_shape("cpu") ? "auto/cpu" : "auto/gpu";
  if (!options.devices[1]) options.devices[1] = "auto/gpu";
  err.text[0] = 0;
  gh_status status = gh_compare(&err, &config, &options, *result);
  gh_config_free(&config);
  assert_false(gh_path_exists(nowhere));
  return status;
}

static double number(const gh_json *node, const char *path) {
  double value = 0;
  check_ok(gh_json_get_double(&err, node, path, &value));
  return value;
}

static void expect_stage(const gh_json *result, int at, int steps, double tolerance) {
  char path[64];
  snprintf(path, sizeof path, "stages[%d].steps", at);
  const gh_json *list = gh_json_at(result, path);
  assert_int_equal((int)gh_json_count(list), steps);
  for (const gh_json *step = gh_json_first(list); step; step = gh_json_next(step)) {
    assert_true(number(step, "loss_drift") <= tolerance);
    assert_true(number(step, "loss[0]") > 0);
    assert_true(gh_json_count(gh_json_at(step, "gradients.tensors")) > 20);
    assert_true(gh_json_count(gh_json_at(step, "weights.tensors")) > 20);
  }
  snprintf(path, sizeof path, "stages[%d].op_by_op", at);
  const gh_json *walk = gh_json_at(result, path);
  assert_true(number(walk, "nodes") > 500);
  assert_true(gh_json_count(gh_json_at(walk, "ops")) > 20);
  assert_int_equal(gh_json_type_of(gh_json_at(walk, "first_wrong")), GH_JSON_NULL);
}

static void test_the_shapes_agree_over_many_steps(void **state) {
  (void)state;
  gh_json *result;
  check_ok(compare((gh_compare_options){.steps = STEPS1, .stage = 1, .tolerance = 1e-4}, &result));
  expect_stage(result, 0, STEPS1, 1e-4);
  gh_json_free(result);
  check_ok(compare((gh_compare_options){.steps = STEPS2, .stage = 2, .tolerance = 1e-4}, &result));
  expect_stage(result, 0, STEPS2, 1e-4);
  gh_json_free(result);
}

static void test_one_device_twice_gives_the_same_bits(void **state) {
  (void)state;
  gh_json *result;
  check_ok(compare((gh_compare_options){.steps = 3, .devices = {"auto/gpu", "auto/gpu"}}, &result));
  for (int at = 0; at < 2; at++) {
    char path[64];
    expect_stage(result, at, 3, 0);
    snprintf(path, sizeof path, "stages[%d]", at);
    const gh_json *stage = gh_json_at(result, path);
    for (const gh_json *step = gh_json_first(gh_json_member(stage, "steps")); step; step = gh_json_next(step)) {
      assert_true(number(step, "gradients.total") == 0);
      assert_true(number(step, "weights.total") == 0);
    }
    for (const gh_json *op = gh_json_first(gh_json_at(stage, "op_by_op.ops")); op; op = gh_json_next(op))
      assert_true(number(op, "worst") == 0);
  }
  gh_json_free(result);
}

/* An op that is wrong on one device is named, whatever part of the step it belongs to. */
static void test_a_planted_error_is_named(void **state) {
  (void)state;
  static const struct {
    const char *op;
    int stage;
  } planted[] = {{"conv2d", 1},     {"random_normal", 1},        {"mse_loss", 1}, {"column_sum", 2}, {"adamw", 1},
                 {"square_sum", 2}, {"attention_backward_kv", 2}};
  assert_true(PLANTED <= GH_COUNT(planted));
  for (size_t i = 0; i < PLANTED; i++) {
    gh_json *result;
    const char *op = NULL;
    gh_status status = compare(
        (gh_compare_options){.steps = 2, .stage = planted[i].stage, .tolerance = 1e-4, .sabotage = planted[i].op},
        &result);
    if (status != GH_ERROR_NUMERIC) fail_msg("%s: status %d", planted[i].op, (int)status);
    if (!strstr(err.text, planted[i].op)) fail_msg("%s is not named: %s", planted[i].op, err.text);
    check_ok(gh_json_get_string(&err, result, "stages[0].op_by_op.first_wrong.op", &op));
    assert_string_equal(op, planted[i].op);
    assert_true(number(result, "stages[0].op_by_op.first_wrong.difference") > 1e-6);
    gh_json_free(result);
  }
}

static void test_drift_beyond_the_tolerance_ends_the_comparison(void **state) {
  (void)state;
  gh_json *result;
  if (!check_has_shape("cpu")) skip(); /* the same shape twice: the same bits */
  assert_int_equal(compare((gh_compare_options){.steps = 50, .stage = 1, .tolerance = 1e-12}, &result),
                   GH_ERROR_NUMERIC);
  assert_non_null(strstr(err.text, "diverge at step"));
  assert_non_null(strstr(err.text, "no op differs by more than rounding"));
  assert_true(gh_json_count(gh_json_at(result, "stages[0].steps")) < 50);
  gh_json_free(result);
}

static void test_devices_with_a_shape(void **state) {
  (void)state;
  gh_device *d;
  check_ok(gh_device_open(&err, "auto/gpu", &d));
  assert_int_equal(d->info.shape, GH_SHAPE_GPU);
  assert_true(gh_ends_with(d->info.id, "/gpu"));
  char *id = gh_strdup(&err, d->info.id);
  gh_device_close(d);
  check_ok(gh_device_open(&err, id, &d));
  assert_string_equal(d->info.id, id);
  gh_device_close(d);
  free(id);
  if (check_has_shape("cpu")) {
    check_ok(gh_device_open(&err, "auto/cpu", &d));
    assert_int_equal(d->info.shape, GH_SHAPE_CPU);
    gh_device_close(d);
  } else {
    assert_int_equal(gh_device_open(&err, "auto/cpu", &d), GH_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "has no kernels of the shape cpu"));
  }
  assert_int_equal(gh_device_open(&err, "auto/triangle", &d), GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, "/cpu or /gpu"));
  assert_int_equal(gh_device_open(&err, "opencl:97/gpu", &d), GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, "opencl:0 ("));
}

static void test_wrong_usage(void **state) {
  (void)state;
  static const struct {
    const char *option, *value, *said;
  } wrong[] = {{"--devices", "auto", "expected two"},
               {"--devices", "auto,", "expected two"},
               {"--devices", "auto,auto,auto", "expected two"},
               {"--tolerance", "x", "--tolerance is \"x\""},
               {"--tolerance", "nan", "--tolerance is \"nan\""},
               {"--device", "auto", "use --devices A,B"}};
  for (size_t i = 0; i < GH_COUNT(wrong); i++) {
    const char *devices = strcmp(wrong[i].option, "--devices") ? "auto,auto" : wrong[i].value;
    const char *rest = strcmp(wrong[i].option, "--devices") ? wrong[i].option : NULL;
    gh_status status =
        compare_run(&err, "compare", "--config", "x.json", "--devices", devices, rest, wrong[i].value, NULL);
    assert_int_equal(status, GH_ERROR_ARGUMENT);
    if (!strstr(err.text, wrong[i].said)) fail_msg("%s", err.text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_devices_with_a_shape),
      cmocka_unit_test(test_wrong_usage),
      cmocka_unit_test(test_one_device_twice_gives_the_same_bits),
      cmocka_unit_test(test_a_planted_error_is_named),
      cmocka_unit_test(test_drift_beyond_the_tolerance_ends_the_comparison),
      cmocka_unit_test(test_the_shapes_agree_over_many_steps),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
