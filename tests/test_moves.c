/* A state written on one device resumes on another: here the two kernel shapes are the devices. Also what a run's plan
 * holds from its first state on. */
#include "support/check.h"
#include "support/tiny_run.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_error err;
static char *folder;

static int set_up(void **state) {
  (void)state;
  folder = check_folder();
  char *pictures = check_path(folder, "pictures");
  tiny_pictures(pictures);
  free(pictures);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  check_folder_done(folder);
  return 0;
}

/* Trains folder/name on the device; `stop`: stops after the first update. */
static gh_status train(const char *name, const char *device, bool resume, bool stop) {
  gh_config config;
  gh_stage_report reports[2];
  char override[64];
  char *pictures = check_path(folder, "pictures"), *output = check_path(folder, name);
  const char *chosen = getenv("GH_TEST_DEVICE");
  snprintf(override, sizeof override, "device=%s/%s", chosen ? chosen : "auto", device);
  const char *const overrides[] = {override, NULL};
  const gh_train_options options = {.resume = resume, .quiet = true};
  tiny_config(&config, pictures, output, overrides);
  gh_stop_request(stop ? SIGTERM : 0);
  gh_status status = gh_train(&err, &config, &options, reports);
  gh_stop_request(0);
  gh_config_free(&config);
  free(pictures);
  free(output);
  return status;
}

static gh_json *plan_of(const char *name) {
  gh_json *plan = NULL;
  char *run = check_path(folder, name), *path = check_path(run, "plan.json");
  check_ok(gh_json_read_file(&err, &plan, path, 1 << 20));
  free(run);
  free(path);
  return plan;
}

static void test_the_first_state_holds_both_stages_choices(void **state) {
  (void)state;
  const char *shape = check_has_shape("cpu") ? "cpu" : "gpu";
  assert_int_equal(train("whole", shape, false, true), GH_ERROR_STOPPED);
  gh_json *first = plan_of("whole");
  check_ok(train("whole", shape, true, false));
  gh_json *last = plan_of("whole");
  assert_true(gh_json_count(gh_json_member(first, "gemm")) > 5);
  assert_true(gh_json_equal(gh_json_member(first, "gemm"), gh_json_member(last, "gemm")));
  gh_json_free(first);
  gh_json_free(last);
}

static void move(const char *name, const char *from, const char *to) {
  const char *shape = NULL;
  tiny_run moved, whole;
  char *run = check_path(folder, name), *other = check_path(folder, "whole");
  assert_int_equal(train(name, from, false, true), GH_ERROR_STOPPED);
  check_ok(train(name, to, true, false)); /* warns that kernels are chosen again */
  gh_json *plan = plan_of(name);
  check_ok(gh_json_get_string(&err, plan, "kernel_shape", &shape));
  assert_string_equal(shape, to);
  gh_json_free(plan);
  tiny_run_read(&moved, run);
  tiny_run_read(&whole, other);
  for (int stage = 0; stage < 2; stage++) {
    assert_int_equal(moved.stage[stage].updates, 2);
    for (int i = 0; i < 2; i++) {
      double want = whole.stage[stage].loss[i], error = fabs(moved.stage[stage].loss[i] - want) / want;
      if (!(error <= 1e-4)) fail_msg("%s: stage %d, update %d: loss off by %g", name, stage + 1, i + 1, error);
    }
  }
  tiny_run_free(&moved);
  tiny_run_free(&whole);
  free(run);
  free(other);
}

static void test_a_state_moves_between_devices(void **state) {
  (void)state;
  if (!check_has_shape("cpu") || !check_has_shape("gpu")) skip();
  move("cpu-to-gpu", "cpu", "gpu");
  move("gpu-to-cpu", "gpu", "cpu");
}

static void test_an_unknown_device_is_the_configurations_error(void **state) {
  (void)state;
  gh_config config;
  gh_stage_report reports[2];
  char *pictures = check_path(folder, "pictures"), *output = check_path(folder, "none");
  static const char *const overrides[] = {"device=opencl:97", NULL};
  tiny_config(&config, pictures, output, overrides);
  check_fails(gh_train(&err, &config, &(gh_train_options){.quiet = true}, reports), GH_ERROR_CONFIG,
              "device: there is no device \"opencl:97\"; available: auto, ");
  assert_false(gh_path_exists(output));
  gh_config_free(&config);
  free(pictures);
  free(output);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_unknown_device_is_the_configurations_error),
      cmocka_unit_test(test_the_first_state_holds_both_stages_choices),
      cmocka_unit_test(test_a_state_moves_between_devices),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
