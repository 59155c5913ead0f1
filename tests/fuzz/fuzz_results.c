/* Rows of benchmark results: what was read is written, and reads back as the same rows. */
#include <string.h>

#include "bench/results.h"
#include "fuzz.h"

const char *const fuzz_words[] = {"{\"schema\":1,",
                                  "\"kind\":\"op\"",
                                  "\"kind\":\"step\"",
                                  "\"kind\":\"peak\"",
                                  "\"status\":\"ok\"",
                                  "\"status\":\"unsupported\"",
                                  "\"gflops\":1e308",
                                  "\"gflops\":-1",
                                  "\"device\":\"x\"",
                                  "\"share_of_peak\":",
                                  "null",
                                  "1e400",
                                  "\xc2\x9b",
                                  "\n",
                                  NULL};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_results rows = {0}, again = {0};
  fuzz_file("rows/rows.jsonl", data, size);
  if (gh_results_read(&err, &rows, "/fuzz/rows")) {
    FUZZ_CHECK(err.text[0]);
  } else {
    FUZZ_CHECK(!gh_results_write(&err, &rows, "/fuzz/again"));
    FUZZ_CHECK(!gh_results_read(&err, &again, "/fuzz/again"));
    FUZZ_CHECK(again.count == rows.count);
    for (size_t i = 0; i < rows.count; i++)
      for (int field = 0; field < GH_RESULT_COUNT; field++)
        FUZZ_CHECK(!strcmp(gh_result_text(&rows.items[i], (gh_result_field)field),
                           gh_result_text(&again.items[i], (gh_result_field)field)));
    gh_results_share(&err, &rows);
  }
  gh_results_free(&rows);
  gh_results_free(&again);
  fuzz_clear();
  return 0;
}
