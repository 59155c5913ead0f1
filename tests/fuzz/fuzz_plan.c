/* The frozen plan of a run, its configuration against an earlier one, and the cache of tuning. The first byte selects.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/gemm.h"
#include "backend/chooser/internal.h"
#include "fuzz.h"
#include "train/frozen_choices.h"

const char *const fuzz_words[] = {"\"device\":\"fuzz\"",
                                  "\"driver\":\"1\"",
                                  "\"kernel_shape\":\"cpu\"",
                                  "\"kernel_shape\":\"gpu\"",
                                  "\"micro_batch\":2",
                                  "\"gemm\":{",
                                  "\"attention\":{",
                                  "\"fft\":{",
                                  "\"m=1 n=2 k=3 nn batch=1 beta=0 f32\":\"own\"",
                                  "\"size=16 bf16\":\"own\"",
                                  "\"batch=1 rows=2 columns=3 f32\":\"own\"",
                                  "\"key\":",
                                  "\"stage1\":{\"steps\":3}",
                                  "\"stage2\":{\"steps\":3}",
                                  "\"data\":{\"images\":[\"a\"]}",
                                  "null",
                                  "{}",
                                  NULL};

static const char *no_library(const gh_device *d) { return d ? NULL : NULL; }

static void freeze(const gh_json *plan) {
  static const gh_backend backend = {.name = "fuzz", .library_name = no_library};
  gh_device device = {.backend = &backend, .info = {.name = "fuzz", .driver = "1", .shape = GH_SHAPE_CPU}};
  gh_error err = {0};
  gh_json *again = NULL;
  if (gh_choices_freeze(&err, &device, plan)) {
    FUZZ_CHECK(err.text[0]);
  } else { /* what was frozen is a plan that can be frozen */
    FUZZ_CHECK(!gh_choices_describe(&err, &device, 1, &again));
    FUZZ_CHECK(!gh_choices_freeze(&err, &device, again));
    gh_json_free(again);
  }
  gh_choices_free(device.choices);
}

static void compare(const gh_json *root) {
  const gh_json *config = gh_json_member(root, "config"), *before = gh_json_member(root, "before");
  gh_error err = {0};
  if (!config || !before) return;
  if (gh_choices_same_run(&err, config, before)) FUZZ_CHECK(err.text[0]);
  FUZZ_CHECK(!gh_choices_same_run(&err, config, config));
  for (int stage = 1; stage <= 2; stage++)
    if (gh_choices_steps_left(&err, config, before, stage, 2)) FUZZ_CHECK(err.text[0]);
}

static void load_tuning(const uint8_t *data, size_t size) {
  gh_choice_state state = {.kind = &gh_gemm_kind};
  for (int i = 0; i < GH_MAX_PROVIDERS && gh_gemm_kind.provider(i); i++) state.providers[i] = gh_gemm_kind.provider(i);
  char *path = strdup(fuzz_file("gemm.json", data, size));
  FUZZ_CHECK(path);
  state.cache_file = path;
  gh_choice_load(&state, "key");
  gh_choice_save(&state, "key", state.providers[0]); /* over a broken file, too */
  FUZZ_CHECK(gh_choice_load(&state, "key") == state.providers[0]);
  free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_json *root = NULL;
  unsetenv("GH_CACHE_DIR"); /* a device's choices look for their cache, whose name is a hash over all kernels */
  unsetenv("XDG_CACHE_HOME");
  unsetenv("HOME");
  if (!size) return 0;
  if (data[0] % 3 == 2) {
    load_tuning(data + 1, size - 1);
  } else if (!gh_json_parse(&err, &root, "fuzz", (const char *)data + 1, size - 1, GH_JSON_MAX_BYTES)) {
    if (data[0] % 3)
      compare(root);
    else
      freeze(root);
  }
  gh_json_free(root);
  fuzz_clear();
  return 0;
}
