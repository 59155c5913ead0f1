/* A state written on one device resumes on another: here the two kernel shapes are the devices. Also what a run's plan
 * holds from its first state on. */
#include "support/check.h"
#include "support/tiny_run.h"

#include "backend/chooser/kinds.h"
#include "base/checksum.h"
#include "base/file.h"
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

/* Another provider of the same family: "own-cpu nb=256 kc=1024" for "own-cpu nb=512 kc=512". */
static const char *relative_of(const char *provider) {
  const size_t family = strcspn(provider, " ");
  for (int i = 0; gh_choice_kinds[0]->provider(i); i++) {
    const char *name = gh_choice_kinds[0]->provider(i)->name;
    if (!strncmp(name, provider, family) && name[family] == ' ' && strcmp(name, provider)) return name;
  }
  return NULL;
}

static gh_status train_with_cache(const char *name) {
  static const char *const overrides[] = {"data.latent_cache={\"crops\":2}", NULL};
  gh_config config;
  gh_stage_report reports[2];
  char *pictures = check_path(folder, "pictures"), *output = check_path(folder, name);
  tiny_config(&config, pictures, output, overrides);
  gh_status status = gh_train(&err, &config, &(gh_train_options){.quiet = true}, reports);
  gh_config_free(&config);
  free(pictures);
  free(output);
  return status;
}

/* Targets are computed for hours, and a run that is killed there must go on with the same kernels. */
static void test_the_plan_precedes_cached_targets(void **state) {
  (void)state;
  gh_stop_request(SIGTERM);
  check_fails(train_with_cache("cached"), GH_ERROR_STOPPED, "stopped while computing latents");
  gh_stop_request(0);
  gh_json *plan = plan_of("cached"), *gemm = NULL;
  const gh_json *first = gh_json_first(gh_json_member(plan, "gemm"));
  const char *provider = NULL, *kept = NULL;
  check_ok(gh_json_to_string(&err, first, "provider", &provider));
  const char *other = relative_of(provider);
  if (!other) {
    gh_json_free(plan);
    skip(); /* a vendor's library was chosen */
  }
  gh_name key = gh_name_make("%s", gh_json_key(first));
  check_ok(gh_json_copy(&err, &gemm, gh_json_member(plan, "gemm")));
  check_ok(gh_json_put_string(&err, gemm, key.text, other));
  check_ok(gh_json_put(&err, plan, "gemm", gemm));
  char *path = check_path(folder, "cached/plan.json");
  check_ok(gh_json_write_sealed(&err, path, plan));
  gh_json_free(plan);
  check_ok(train_with_cache("cached"));
  plan = plan_of("cached");
  check_ok(gh_json_to_string(&err, gh_json_member(gh_json_member(plan, "gemm"), key.text), "provider", &kept));
  assert_string_equal(kept, other);
  gh_json_free(plan);
  free(path);
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
      cmocka_unit_test(test_the_plan_precedes_cached_targets),
      cmocka_unit_test(test_the_first_state_holds_both_stages_choices),
      cmocka_unit_test(test_a_state_moves_between_devices),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
