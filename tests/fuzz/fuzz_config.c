/* A run's configuration: an accepted one is written as a document that reads back as the same. Lines after the
 * first zero byte are --set's overrides. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "config/config.h"
#include "fuzz.h"

#define MOST_OVERRIDES 8

const char *const fuzz_words[] = {"\"stage1\"",
                                  "\"stage2\"",
                                  "\"steps\":",
                                  "\"optimizer\":",
                                  "\"lora\": null",
                                  "\"auto\"",
                                  "\"all-linear\"",
                                  "\"continuous\"",
                                  "\"checkpoint_at\": [1, 2]",
                                  "\"betas\": [0.9, 0.999]",
                                  "\"rope_axes\": [16, 56, 56]",
                                  "\"guard\": {}",
                                  "true",
                                  "null",
                                  "stage1.steps=5",
                                  "stage2.lora.targets=[\"q\"]",
                                  "denoiser.rope_axes[0]=2",
                                  "\nseed=",
                                  "{}",
                                  "[]",
                                  NULL};

/* Splits `text` in place into the lines of the overrides. */
static size_t split(char *text, const char **lines) {
  size_t count = 0;
  for (char *line = text, *next; line && *line && count < MOST_OVERRIDES; line = next) {
    next = strchr(line, '\n');
    if (next) *next++ = 0;
    lines[count++] = line;
  }
  return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_config config, again;
  const char *lines[MOST_OVERRIDES];
  size_t length = strnlen((const char *)data, size), rest = length < size ? size - length - 1 : 0;
  char *overrides = calloc(rest + 1, 1);
  FUZZ_CHECK(overrides);
  if (rest) memcpy(overrides, data + length + 1, rest);
  size_t count = split(overrides, lines);
  if (!gh_config_parse(&err, &config, "fuzz", (const char *)data, length, lines, count)) {
    gh_json *first = NULL, *second = NULL;
    FUZZ_CHECK(!gh_config_to_json(&err, &first, &config));
    FUZZ_CHECK(!gh_config_from_json(&err, &again, "written", first));
    FUZZ_CHECK(!gh_config_to_json(&err, &second, &again));
    FUZZ_CHECK(gh_json_equal(first, second));
    gh_config_free(&again);
    gh_config_free(&config);
    gh_json_free(first);
    gh_json_free(second);
  } else {
    FUZZ_CHECK(err.text[0]);
  }
  free(overrides);
  return 0;
}
