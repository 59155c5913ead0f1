/* Comma-separated values: any text is rejected or gives rows whose fields are text, with valid line numbers. */
#include <string.h>

#include "fuzz.h"
#include "io/csv.h"

const char *const fuzz_words[] = {"\"",       "\"\"", ",", "\t", "\r\n", "\n\n", "\xef\xbb\xbf", "1,Color,\"a, b\"\n",
                                  "\xc0\x80", NULL};

static void check(const uint8_t *data, size_t size, char separator) {
  gh_error err = {0};
  gh_csv csv = {0};
  gh_status status = gh_csv_parse(&err, &csv, "fuzz", (const char *)data, size, separator);
  if (status) {
    FUZZ_CHECK(status == GH_ERROR_FORMAT && err.text[0] && !csv.rows);
    return;
  }
  size_t line = 0;
  for (size_t i = 0; i < csv.count; i++) {
    FUZZ_CHECK(csv.rows[i].line > line && csv.rows[i].line <= size + 1);
    line = csv.rows[i].line;
    FUZZ_CHECK(csv.rows[i].fields.count > 0);
    for (size_t k = 0; k < csv.rows[i].fields.count; k++) {
      const char *field = csv.rows[i].fields.items[k];
      FUZZ_CHECK(gh_utf8_valid(field, strlen(field)));
    }
  }
  gh_csv_free(&csv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  check(data, size, ',');
  check(data, size, '\t');
  return 0;
}
