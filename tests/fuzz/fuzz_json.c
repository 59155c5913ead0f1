/* JSON: an accepted value prints to text that parses to the same value. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "fuzz.h"

const char *const fuzz_words[] = {"true",
                                  "false",
                                  "null",
                                  "\\u0000",
                                  "\\ud83d\\ude00",
                                  "\\udc00",
                                  "1e308",
                                  "-0.0",
                                  "1e400",
                                  "{\"a\":",
                                  "[[[[[[[[",
                                  "]]]]]]]]",
                                  "\"\":",
                                  "\xef\xbb\xbf",
                                  "\xc0\x80",
                                  "\xf4\x90\x80\x80",
                                  "NaN",
                                  "Infinity",
                                  "\"stage1\":{",
                                  ",",
                                  "\"a\":1",
                                  NULL};

/* Calls every accessor on every node. */
static void touch(const gh_json *node) {
  gh_error err;
  double number = 0;
  int64_t integer = 0;
  bool flag = false;
  const char *text = "";
  if (!gh_json_to_int(&err, node, "x", &integer))
    FUZZ_CHECK(integer >= -GH_JSON_MAX_INTEGER && integer <= GH_JSON_MAX_INTEGER);
  if (!gh_json_to_double(&err, node, "x", &number)) FUZZ_CHECK(number - number == 0);
  gh_json_to_bool(&err, node, "x", &flag);
  gh_json_to_string(&err, node, "x", &text);
  FUZZ_CHECK(strlen(text) < SIZE_MAX && gh_json_type_name(node)[0]);
  size_t count = 0;
  for (const gh_json *item = gh_json_first(node); item; item = gh_json_next(item), count++) {
    const char *key = gh_json_key(item);
    if (key) FUZZ_CHECK(gh_json_member(node, key) == item); /* no duplicate names */
    touch(item);
  }
  FUZZ_CHECK(count == gh_json_count(node));
}

static void print_and_parse(const gh_json *value, bool indented) {
  gh_error err;
  char *text = NULL;
  size_t size = 0;
  gh_json *again = NULL;
  FUZZ_CHECK(!gh_json_print(&err, &text, &size, value, indented));
  FUZZ_CHECK(strlen(text) == size);
  FUZZ_CHECK(!gh_json_parse(&err, &again, "printed", text, size, GH_JSON_MAX_BYTES));
  FUZZ_CHECK(gh_json_equal(value, again));
  gh_json_free(again);
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_json *value = NULL;
  if (gh_json_parse(&err, &value, "fuzz", (const char *)data, size, GH_JSON_MAX_BYTES)) {
    FUZZ_CHECK(!value && err.text[0]);
    return 0;
  }
  touch(value);
  print_and_parse(value, false);
  print_and_parse(value, true);
  gh_json_at(value, "stage1.a[0].b[12345678901234567890]");
  gh_json_free(value);
  return 0;
}
