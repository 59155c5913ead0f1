/* The logs of a run, rewound to an update. The first byte is the position; zero bytes part the three files. What is
 * kept is the beginning of what was there, in whole lines, and a second rewinding changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "train/metrics.h"

const char *const fuzz_words[] = {
    "{\"stage\":1,\"update\":1,\"loss\":0.5,\"grad_norm\":1,\"lr\":1e-3,\"samples\":4,\"ms\":2,\"images_per_second\":3}"
    "\n",
    "\"stage\":2",
    "\"update\":9007199254740991",
    "\"loss\":1e300",
    "\"accuracy\":null",
    "\"time\":1.5",
    "{\"stage\":2,\"update\":2,\"scores\":{\"mmvp\":20,\"zeroshot.top1\":75.5},\"ms\":1}\n",
    "\"scores\":{}",
    "stage 1 update 1/2 loss 0.5\n",
    "stage 2 update 1/2 evaluation\n",
    "stage 99999999999 update 1/",
    "\n",
    "{}",
    NULL};

static const char *const names[] = {"run/metrics.jsonl", "run/evaluations.jsonl", "run/train.log"};
enum { COUNT = sizeof names / sizeof *names };

static void put_files(const uint8_t *data, size_t size) {
  for (int i = 0; i < COUNT; i++) {
    const size_t length = i + 1 < COUNT ? strnlen((const char *)data, size) : size;
    fuzz_file(names[i], data, length);
    data += length < size ? length + 1 : length;
    size -= length < size ? length + 1 : length;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  if (size < 2) return 0;
  const int stage = 1 + data[0] % 2;
  const int64_t update = data[0] / 2 % 4;
  put_files(data + 1, size - 1);
  if (gh_metrics_rewind(&err, "/fuzz/run", stage, update, NULL)) {
    FUZZ_CHECK(err.text[0]);
    fuzz_clear();
    return 0;
  }
  uint8_t *before[COUNT];
  size_t sizes[COUNT];
  for (int i = 0; i < COUNT; i++) {
    const uint8_t *bytes = fuzz_content(names[i], &sizes[i]);
    FUZZ_CHECK(bytes && (!sizes[i] || bytes[sizes[i] - 1] == '\n'));
    before[i] = malloc(sizes[i] + 1);
    FUZZ_CHECK(before[i]);
    memcpy(before[i], bytes, sizes[i]);
  }
  FUZZ_CHECK(!gh_metrics_rewind(&err, "/fuzz/run", stage, update, NULL));
  for (int i = 0; i < COUNT; i++) {
    size_t again = 0;
    const uint8_t *bytes = fuzz_content(names[i], &again);
    FUZZ_CHECK(again == sizes[i] && !memcmp(bytes, before[i], again));
    free(before[i]);
  }
  fuzz_clear();
  return 0;
}
