/* Results of searches from elsewhere (`genhance tune --import`): read, merged twice, searched for the nearest device.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/gemm.h"
#include "backend/chooser/tuned.h"
#include "base/log.h"
#include "fuzz.h"

#define KERNELS "KERNELSKERNELSKERNELSKERNELSKERN" /* in the input: the hash of this program's kernels */

const char *const fuzz_words[] = {"\"format\":\"genhance tuning results\"",
                                  "\"version\":1",
                                  "\"devices\":{",
                                  "\"00112233445566778899aabbccddeeff\":{",
                                  "\"choices\":{\"gemm\":{",
                                  "\"kernels\":\"" KERNELS "\"",
                                  "\"results\":{",
                                  "\"m=1 n=2 k=3 nn batch=1 beta=0 f32\":{",
                                  "\"provider\":\"own-gpu work=8\"",
                                  "\"seconds\":1",
                                  "\"untuned_seconds\":null",
                                  "\"space\":\"00112233445566778899aabbccddeeff\"",
                                  "\"kind\":\"cpu\"",
                                  "\"kernel_shape\":\"cpu\"",
                                  "\"vendor_id\":4318",
                                  "\"vector_lanes\":9007199254740991",
                                  "{}",
                                  NULL};

static const char *no_library(const gh_device *d) { return d ? NULL : NULL; }

static void merge(const gh_json *from, gh_device *device, gh_choice_state *state) {
  gh_error err = {0};
  gh_tuned_counts counts = {0}, again = {0};
  gh_choice_state *const states[] = {state, NULL};
  gh_json *document = gh_tuned_new(&err), *read = NULL;
  char *text = NULL;
  size_t size = 0;
  FUZZ_CHECK(document && !gh_tuned_merge(&err, document, from, "fuzz", device, states, &counts));
  FUZZ_CHECK(!gh_json_print(&err, &text, &size, document, true));
  FUZZ_CHECK(!gh_tuned_parse(&err, &read, "merged", text, size)); /* what was merged can be imported */
  FUZZ_CHECK(!gh_tuned_merge(&err, document, from, "fuzz", device, states, &again));
  FUZZ_CHECK(counts.others == again.others && counts.other_kernels == again.other_kernels);
  const char *nearest = gh_tuned_nearest(document, device, state);
  const gh_json *devices = gh_json_member(document, "devices");
  gh_tuned found;
  FUZZ_CHECK(!nearest || gh_json_member(devices, nearest));
  for (const gh_json *d = gh_json_first(devices); d; d = gh_json_next(d))
    if (gh_tuned_find(document, gh_json_key(d), state, "m=1 n=2 k=3 nn batch=1 beta=0 f32", &found))
      FUZZ_CHECK(gh_choice_provider(state, found.provider) && found.seconds >= 0 && found.untuned >= 0);
  free(text);
  gh_json_free(read);
  gh_json_free(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const gh_backend backend = {.name = "fuzz", .library_name = no_library};
  static gh_device device = {.backend = &backend, .info = {.name = "fuzz", .driver = "1", .shape = GH_SHAPE_GPU}};
  gh_error err = {0};
  gh_json *from = NULL;
  unsetenv("GH_CACHE_DIR"); /* a device's choices look for their cache */
  unsetenv("XDG_CACHE_HOME");
  unsetenv("HOME");
  gh_log_set_level(GH_LOG_QUIET);
  gh_choice_state *state = gh_choice_state_get(&err, &device, &gh_gemm_kind); /* made once, with its hash */
  FUZZ_CHECK(state && strlen(state->kernels) == sizeof KERNELS - 1);
  char *text = malloc(size + 1);
  FUZZ_CHECK(text);
  memcpy(text, data, size);
  for (char *at = text; (at = memmem(at, size - (size_t)(at - text), KERNELS, sizeof KERNELS - 1)); at++)
    memcpy(at, state->kernels, sizeof KERNELS - 1);
  if (gh_tuned_parse(&err, &from, "fuzz", text, size))
    FUZZ_CHECK(err.text[0] && !from);
  else
    merge(from, &device, state);
  free(text);
  gh_json_free(from);
  fuzz_clear();
  return 0;
}
