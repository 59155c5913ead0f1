/* A run started by version 0.1.0: its state, plan and configuration (fixtures/resume) resume here and end in the same
 * bits as the run that 0.1.0 finished itself. The bits are those of one device; other devices may differ by
 * rounding. */
#include "backend/registry.h"
#include "support/check.h"
#include "support/run_folder.h"
#include "support/tiny_run.h"

#include "base/file.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESUME "tests/fixtures/resume"

static gh_error err;

/* Whether the plan was made on the device that runs this test. */
static bool same_device(const char *plan_path) {
  gh_json *plan = NULL;
  gh_device *device = NULL;
  const char *name = NULL, *driver = NULL, *shape = NULL;
  check_ok(gh_json_read_file(&err, &plan, plan_path, 1 << 20));
  check_ok(gh_json_get_string(&err, plan, "device", &name));
  check_ok(gh_json_get_string(&err, plan, "driver", &driver));
  check_ok(gh_json_get_string(&err, plan, "kernel_shape", &shape));
  check_ok(gh_device_open(&err, "auto", &device));
  bool same = !strcmp(device->info.name, name) && !strcmp(device->info.driver, driver) &&
              !strcmp(shape, device->info.shape == GH_SHAPE_CPU ? "cpu" : "gpu");
  gh_device_close(device);
  gh_json_free(plan);
  return same;
}

static void resumes(void **state) {
  (void)state;
  static const char *const files[][2] = {{".", "config.json"},
                                         {".", "plan.json"},
                                         {".", "metrics.jsonl"},
                                         {".", "train.log"},
                                         {"state/stage2-00000003", "manifest.json"},
                                         {"state/stage2-00000003", "part-00000.safetensors"}};
  char *folder = check_folder(), *run = check_path(folder, "run"), output[512];
  if (chdir(GH_FIXTURES "/../.."))
    fail_msg("no folder above the fixtures"); /* the configuration's paths are relative */
  for (size_t i = 0; i < GH_COUNT(files); i++) {
    char *from = gh_format(&err, RESUME "/run/%s/%s", files[i][0], files[i][1]);
    run_folder_copy(run, from, files[i][0], files[i][1]);
    free(from);
  }
  snprintf(output, sizeof output, "output=%s", run);
  const char *const sets[] = {"stage2.steps=6", output};
  const gh_train_options options = {.resume = true, .quiet = true};
  gh_config config;
  gh_stage_report reports[2];
  gh_safetensors *want = NULL;
  tiny_run got;
  check_ok(gh_config_read(&err, &config, RESUME "/run.json", sets, GH_COUNT(sets)));
  check_ok(gh_train(&err, &config, &options, reports));
  gh_config_free(&config);
  assert_int_equal(reports[1].updates, 6);
  tiny_run_read(&got, run);
  check_ok(gh_safetensors_open(&err, &want, RESUME "/expected.safetensors"));
  bool bits = same_device(RESUME "/run/plan.json");
  double difference = tiny_difference(got.stage[1].adapter, want);
  printf("%s: worst difference %g\n", bits ? "the same device" : "another device", difference);
  assert_true(difference <= (bits ? 0 : 1e-3));
  gh_safetensors_close(want);
  tiny_run_free(&got);
  free(run);
  check_folder_done(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(resumes)};
  gh_log_set_level(GH_LOG_QUIET);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
