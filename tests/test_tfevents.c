/* TensorBoard's event files: byte-identical to its own writer's (reference/make_tfevents.py). */
#include "support/check.h"
#include "support/scratch.h"

#include "base/file.h"
#include "train/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void checksum(void **state) {
  (void)state;
  /* RFC 3720, B.4: crc32c of 32 zero bytes is 8A9136AA, of "123456789" E3069283; masked as TFRecord does. */
  const char zeros[32] = {0};
  assert_int_equal(gh_masked_crc32c(zeros, 32), (uint32_t)((0x8A9136AAu >> 15 | 0x8A9136AAu << 17) + 0xA282EAD8u));
  assert_int_equal(gh_masked_crc32c("123456789", 9), (uint32_t)((0xE3069283u >> 15 | 0xE3069283u << 17) + 0xA282EAD8u));
}

static void known_bytes(void **state) {
  (void)state;
  gh_error err = {0};
  char *path = check_path(scratch, "events"), *got = NULL, *want = NULL;
  size_t size = 0, expected = 0;
  const gh_scalar a[] = {{"stage1/loss", 0.7321}, {"stage1/learning_rate", 1e-4}};
  const gh_scalar b[] = {{"eval/mmvp", 31.9}, {"eval/zeroshot.top1", -0.0}, {"x", 1e30}};
  const gh_scalar c[] = {{"stage2/loss", 0.25}};
  check_ok(gh_tfevents_begin(&err, path, 1700000000.25));
  check_ok(gh_tfevents_add(&err, path, 1700000002.5, 1, a, 2));
  check_ok(gh_tfevents_add(&err, path, 1700000301.5, 300, b, 3));
  check_ok(gh_tfevents_add(&err, path, 1800000000.5, 99999999, c, 1));
  check_ok(gh_file_read(&err, path, 1 << 20, &got, &size));
  check_ok(gh_file_read(&err, GH_FIXTURES "/eval/events.tfevents", 1 << 20, &want, &expected));
  assert_int_equal(size, expected);
  assert_memory_equal(got, want, size);
  free(got);
  free(want);
  free(path);
}

/* A text, a picture and histograms. */
static void rich_bytes(void **state) {
  (void)state;
  gh_error err = {0};
  char *path = check_path(scratch, "rich"), *got = NULL, *want = NULL, png[300];
  size_t size = 0, expected = 0;
  const double norms[] = {0.5, 0.25, 4.25, 1, 1, 2.0625}, same[] = {3, 3};
  for (size_t i = 0; i < sizeof png; i++) png[i] = (char)(i * 7);
  check_ok(gh_tfevents_begin(&err, path, 1700000000.25));
  check_ok(gh_tfevents_text(&err, path, 1700000001.5, 0, "made_by", "{\"version\":\"0.2.0\"}"));
  check_ok(gh_tfevents_image(&err, path, 1700000002.5, 50, "stage2/reconstructions", png, sizeof png, 320, 200));
  check_ok(gh_tfevents_histogram(&err, path, 1700000003.5, 50, "adapter/norm", norms, GH_COUNT(norms)));
  check_ok(gh_tfevents_histogram(&err, path, 1700000004.5, 100, "adapter/norm", same, GH_COUNT(same)));
  check_ok(gh_file_read(&err, path, 1 << 20, &got, &size));
  check_ok(gh_file_read(&err, GH_FIXTURES "/eval/rich.tfevents", 1 << 20, &want, &expected));
  assert_int_equal(size, expected);
  assert_memory_equal(got, want, size);
  free(got);
  free(want);
  free(path);
}

static void rejections(void **state) {
  (void)state;
  gh_error err = {0};
  char *path = check_path(scratch, "events"), tag[80];
  memset(tag, 'x', sizeof tag - 1);
  tag[79] = 0;
  const gh_scalar many[33] = {{"x", 1}}, one = {tag, 1};
  check_fails(gh_tfevents_add(&err, path, 0, 0, many, 33), GH_ERROR_ARGUMENT, "33 scalars");
  check_fails(gh_tfevents_add(&err, path, 0, 0, &one, 1), GH_ERROR_ARGUMENT, "too long");
  check_fails(gh_tfevents_histogram(&err, path, 0, 0, "x", (const double[]){1, NAN}, 2), GH_ERROR_NUMERIC,
              "not finite");
  check_fails(gh_tfevents_histogram(&err, path, 0, 0, "x", NULL, 0), GH_ERROR_ARGUMENT, "no numbers");
  free(path);
}

/* After a resume, lines after the state are removed from every file, and the events are rewritten. */
static void rewound(void **state) {
  (void)state;
  gh_error err = {0};
  char *run = check_path(scratch, "run"), *evaluations = check_path(scratch, "run/evaluations.jsonl");
  char *events = check_path(scratch, "run/tensorboard/events.out.tfevents.genhance");
  uint64_t before = 0, after = 0;
  const char lines[] =
      "{\"stage\":2,\"update\":2,\"scores\":{\"mmvp\":20.5}}\n{\"stage\":2,\"update\":3,\"scores\":{}}\n";
  check_ok(gh_folder_make(&err, run));
  check_ok(gh_metrics_rewind(&err, run, 0, 0, NULL));
  for (int64_t i = 1; i <= 3; i++) {
    const gh_metrics_row row = {
        .stage = 2, .update = i, .updates = 3, .loss = 0.5, .norm = 1, .seconds = 2, .samples = 4, .time = 1e9};
    check_ok(gh_metrics_write(&err, run, &row, false));
    if (i == 2) check_ok(gh_metrics_note(&err, run, 2, 2, 3, "a note", false));
    if (i == 2) check_ok(gh_metrics_scalars(&err, run, 1e9, 2, &(gh_scalar){"eval/mmvp", 20.5}, 1));
    if (i == 2) check_ok(gh_file_size(&err, events, &before));
  }
  check_write(evaluations, lines, sizeof lines - 1);
  check_ok(gh_metrics_rewind(&err, run, 2, 2, NULL));
  check_ok(gh_file_size(&err, events, &after));
  assert_int_equal(before, after);
  double *losses = NULL;
  int64_t count = 0;
  check_ok(gh_metrics_losses(&err, run, 2, &losses, &count));
  assert_int_equal(count, 2);
  free(losses);
  char *log = check_path(scratch, "run/train.log"), *text = NULL;
  size_t size = 0;
  check_ok(gh_file_read(&err, log, 1 << 20, &text, &size));
  assert_non_null(strstr(text, "stage 2 update 2/3 a note\n"));
  assert_null(strstr(text, "update 3/3"));
  free(text);
  check_ok(gh_file_read(&err, evaluations, 1 << 20, &text, &size));
  assert_non_null(strstr(text, "mmvp"));
  assert_null(strstr(text, "\"update\":3"));
  free(text);
  free(log);
  free(run);
  free(evaluations);
  free(events);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(checksum),   cmocka_unit_test(known_bytes), cmocka_unit_test(rich_bytes),
      cmocka_unit_test(rejections), cmocka_unit_test(rewound),
  };
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
