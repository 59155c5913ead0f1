/* What a run's folder holds, as a page: rows of results, the device, the best snapshot, the configuration. The first
 * byte selects the file that the rest becomes. The page is valid UTF-8 without hidden characters, and text from the
 * files is no markup. */
#include <string.h>

#include "base/utf8.h"
#include "fuzz.h"
#include "report/report.h"

const char *const fuzz_words[] = {
    "{\"stage\":1,\"update\":1,\"loss\":0.5,\"grad_norm\":1,\"lr\":1e-3,\"samples\":4,\"ms\":2,\"images_per_second\":3}"
    "\n",
    "{\"stage\":2,\"update\":2,\"scores\":{\"mmvp\":20,\"zeroshot.top1\":75.5},\"ms\":1}\n",
    "\"stage\":2",
    "\"update\":9007199254740991",
    "\"loss\":-1e308",
    "\"loss\":1e308",
    "\"<script>\":1",
    "\"patterns\":{",
    "\"Orientation and Direction\":{\"percent\":10,\"low\":0,\"high\":20}",
    "\"guard\":{\"watch\":\"mmvp\",\"change\":-1,",
    "\"within\":false}",
    "\"snapshot\":\"stage2-00000002\"",
    "\"score\":\"mmvp\",\"value\":20,\"start\":10",
    "\"stage1\":{\"steps\":2",
    "\"optimizer\":{\"lr\":1}",
    "\"device\":{\"name\":\"<script>\"",
    "\"memory\":{",
    "\xc2\x9b",
    "\xe2\x80\xae",
    "null",
    "\n",
    NULL};

static const char *const files[] = {"run/metrics.jsonl", "run/evaluations.jsonl", "run/info.json", "run/best.json",
                                    "run/config.json"};
enum { METRICS, EVALUATIONS, INFO, BEST, CONFIG, COUNT };

static const char *const usual[COUNT] = {
    [METRICS] =
        "{\"stage\":2,\"update\":1,\"loss\":0.5,\"grad_norm\":1,\"lr\":1e-3,\"samples\":4,\"ms\":2,\"images_per_"
        "second\":3}\n",
    [EVALUATIONS] = "{\"stage\":2,\"update\":0,\"scores\":{\"mmvp\":20},\"ms\":1}\n"
                    "{\"stage\":2,\"update\":1,\"scores\":{\"mmvp\":25},\"ms\":1}\n",
    [CONFIG] = "{\"clip\":\"m\",\"stage1\":{\"steps\":2},\"stage2\":{\"steps\":2}}"};

static void check_page(void) {
  size_t size = 0;
  const char *page = (const char *)fuzz_content("page.html", &size);
  uint32_t code;
  FUZZ_CHECK(page && !memmem(page, size, "<script", 7));
  for (size_t length; size; page += length, size -= length) {
    length = gh_utf8_read(page, size, &code);
    FUZZ_CHECK(length && (code == '\n' || !gh_code_is_hidden(code)));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  if (!size) return 0;
  for (int i = 0; i < COUNT; i++)
    if (usual[i]) fuzz_file(files[i], usual[i], strlen(usual[i]));
  fuzz_file(files[data[0] % COUNT], data + 1, size - 1);
  gh_json *result = gh_json_object(&err);
  const gh_report_options options = {.run = "/fuzz/run"};
  if (gh_report_write(&err, "/fuzz/page.html", &options, result))
    FUZZ_CHECK(err.text[0]);
  else
    check_page();
  gh_json_free(result);
  fuzz_clear();
  return 0;
}
