/* Options that a run refuses; of resumed runs, what may change, and what an older configuration lacks. */
#include "support/check.h"
#include "support/tiny_run.h"

#include "base/json.h"
#include "base/log.h"
#include "config/run.h"
#include "train/frozen_choices.h"

#include <stdlib.h>
#include <string.h>

static gh_error err;
static char *folder;

#define STAGE1 "stage2.steps=0"
#define STAGE2 "stage1.steps=0"

/* ---- rejections ---- */

/* An option that is implemented moves from this list to a row above. */
static void the_rest_is_rejected(void **state) {
  (void)state;
  static const struct {
    const char *option, *text;
    gh_status status;
  } table[] = {{"stage2.guard={}", "\"evaluate\" is empty", GH_ERROR_CONFIG},
               {"evaluate=[{}]", "evaluate[0]: kind: missing", GH_ERROR_CONFIG},
               {"device=opencl:77", "opencl:77", GH_ERROR_CONFIG},
               {"stage2.lora.targets=[\"q_proj\",\"qproj\"]", "is called qproj", GH_ERROR_CONFIG}};
  char *pictures = check_path(folder, "pictures"), *output = check_path(folder, "refused");
  const gh_train_options options = {.quiet = true};
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_config config;
    gh_stage_report reports[2];
    const char *const overrides[] = {STAGE2, table[i].option, NULL};
    tiny_config(&config, pictures, output, overrides);
    check_fails(gh_train(&err, &config, &options, reports), table[i].status, table[i].text);
    gh_config_free(&config);
  }
  free(pictures);
  free(output);
}

/* ---- resumed runs ---- */

/* Trains stage 1 with these options, five updates at once and three and two; the other option must be refused. */
static void resume_with(const char *name, const char *const options[4], const char *other) {
  const char *whole[8] = {STAGE1, "stage1.steps=5"}, *half[8] = {STAGE1, "stage1.steps=3"};
  const gh_train_options resuming = {.quiet = true, .resume = true};
  tiny_run straight, resumed;
  gh_config config;
  gh_stage_report reports[2];
  int count = 2;
  for (; count - 2 < 4 && options[count - 2]; count++) whole[count] = half[count] = options[count - 2];
  char *pictures = check_path(folder, "pictures"), *again = gh_format(&err, "%s-resumed", name);
  tiny_train(&straight, folder, name, whole);
  tiny_train(&resumed, folder, again, half);
  if (other) {
    half[count] = other;
    char *key = gh_format(&err, "%.*s differs", (int)strcspn(other, "="), other);
    tiny_config(&config, pictures, resumed.folder, half);
    check_fails(gh_train(&err, &config, &resuming, reports), GH_ERROR_CONFIG, key);
    gh_config_free(&config);
    free(key);
  }
  tiny_config(&config, pictures, resumed.folder, whole);
  check_ok(gh_train(&err, &config, &resuming, reports));
  char *output = gh_strdup(&err, resumed.folder);
  tiny_run_free(&resumed);
  tiny_run_read(&resumed, output);
  assert_int_equal(resumed.stage[0].updates, 5);
  assert_memory_equal(resumed.stage[0].loss, straight.stage[0].loss, sizeof straight.stage[0].loss);
  assert_true(tiny_difference(resumed.stage[0].denoiser, straight.stage[0].denoiser) == 0);
  gh_config_free(&config);
  tiny_run_free(&straight);
  tiny_run_free(&resumed);
  free(pictures);
  free(output);
  free(again);
}

static void resumed_with_latents(void **state) {
  (void)state;
  resume_with("latents-state", (const char *[4]){"data.latent_cache={\"crops\":2}"}, NULL);
}

static void resumed_with_less_memory(void **state) {
  (void)state;
  resume_with(
      "memory-state",
      (const char *[4]){"precision=bf16", "memory.master_weights=bf16", "memory.moments=8bit", "memory.gradients=bf16"},
      "memory.moments=float32");
}

/* The configuration of a run by an older version lacks keys: it is what it would be with their defaults. */
static void an_older_run_is_compared(void **state) {
  (void)state;
  static const struct {
    const char *before, *now, *differs; /* NULL: the run may be resumed */
  } table[] = {
      {"{\"memory\":{\"recompute\":\"auto\"}}", "{\"memory\":{\"recompute\":\"auto\",\"gradients\":\"float32\"}}",
       NULL},
      {"{\"memory\":{\"recompute\":\"auto\"}}", "{\"memory\":{\"gradients\":\"bfloat16\"}}",
       "memory.gradients differs"},
      {"{}", "{\"memory\":{\"master_weights\":\"bfloat16\"}}", "memory.master_weights differs"},
      {"{}", "{\"memory\":{\"master_weights\":\"float32\",\"moments\":\"8bit\"}}", "memory.moments differs"},
      {"{\"memory\":{\"moments\":\"8bit\"}}", "{\"memory\":{\"moments\":\"float32\"}}", "memory.moments differs"},
      {"{}", "{\"autoencoder_precision\":\"bfloat16\"}", "autoencoder_precision differs"},
      {"{}", "{\"data\":{\"exif\":false}}", NULL},
  };
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_json *before, *now;
    check_ok(gh_json_parse(&err, &before, "before", table[i].before, strlen(table[i].before), GH_JSON_MAX_BYTES));
    check_ok(gh_json_parse(&err, &now, "now", table[i].now, strlen(table[i].now), GH_JSON_MAX_BYTES));
    if (table[i].differs)
      check_fails(gh_choices_same_run(&err, now, before), GH_ERROR_CONFIG, table[i].differs);
    else
      check_ok(gh_choices_same_run(&err, now, before));
    gh_json_free(before);
    gh_json_free(now);
  }
}

static int begin(void **state) {
  (void)state;
  gh_log_set_level(GH_LOG_QUIET);
  folder = check_folder();
  char *pictures = check_path(folder, "pictures");
  tiny_pictures(pictures);
  free(pictures);
  return 0;
}

static int end(void **state) {
  (void)state;
  check_folder_done(folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_rest_is_rejected),
      cmocka_unit_test(an_older_run_is_compared),
      cmocka_unit_test(resumed_with_latents),
      cmocka_unit_test(resumed_with_less_memory),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
