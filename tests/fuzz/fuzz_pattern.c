/* Regular expressions of adapters: a pattern, a zero byte, and the name of a layer. */
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"
#include "fuzz.h"

const char *const fuzz_words[] = {".*",    "(a|b)", "(a*)*b", "[^.]+",  "\\.",       "\\d+",      "\\w*?",
                                  "(?=q)", "(?!k)", "(?:",    ")",      "|",         "^",         "$",
                                  "[a-z]", "{2,3}", "\\b",    "q_proj", "layers.0.", "a?a?a?aaa", NULL};

enum { LONGEST = 191 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  bool matches = false;
  char text[LONGEST + 1] = "";
  const size_t length = strnlen((const char *)data, size);
  char *pattern = calloc(length + 1, 1);
  FUZZ_CHECK(pattern);
  memcpy(pattern, data, length);
  if (length < size) {
    const size_t rest = size - length - 1;
    memcpy(text, data + length + 1, rest < LONGEST ? rest : LONGEST);
  }
  const gh_status status = gh_pattern_match(&err, pattern, text, &matches);
  if (status) FUZZ_CHECK(err.text[0] && !matches);
  if (!strpbrk(pattern, ".^$*+?{}[]\\|()") && !status) FUZZ_CHECK(matches == !strcmp(pattern, text));
  free(pattern);
  return 0;
}
