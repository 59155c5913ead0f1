/* `genhance eval` on whole folders against transformers (reference/check_eval.py), the spectrum against numpy's FFT,
 * and what happens when the data is wrong. */
#include "backend/registry.h"
#include "support/compare.h"
#include "support/run_folder.h"

#include "base/file.h"
#include "base/json.h"
#include "eval/spectrum.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL    GH_FIXTURES "/text/clip"
#define PICTURES 8

static const char *const pictures[PICTURES] = {"Exact.png",   "alpha.png",   "crop-only.png", "enlarge.png",
                                               "one-bit.png", "palette.png", "reduce.png",    "sub/grey-alpha.png"};
static const char *const statements[PICTURES] = {
    "a dog", "two dogs, with tails", "the cat's wings", "the wings are open",
    "birds", "the butterfly",        "it's closed",     "a very long line"};
static const char *const labels[PICTURES] = {"dog", "cat", "dog", "bird", "cat", "cat", "bird", "dog"};

static char *folder;
static gh_json *expected;
static gh_error err;

/* ---- the data, as in make_eval.py ---- */

static void make_data(void) {
  char questions[1024] = "", captions[2048] = "[", number[32], where[96], from[256];
  for (int i = 0; i < PICTURES; i++) {
    size_t q = strlen(questions), c = strlen(captions);
    snprintf(questions + q, sizeof questions - q, "%d,A b,\"%s\"\r\n", i + 1, statements[i]);
    snprintf(number, sizeof number, "%d.png", i + 1);
    snprintf(from, sizeof from, GH_FIXTURES "/encode/images/%s", pictures[i]);
    snprintf(where, sizeof where, "zeroshot/%s", labels[i]);
    run_folder_copy(folder, from, "mmvp/MLLM_VLM Images/A b", number);
    run_folder_copy(folder, from, where, number);
    run_folder_copy(folder, from, "retrieval", number);
    snprintf(captions + c, sizeof captions - c, "%s{\"image\": \"%s\", \"captions\": [\"%s\"", i ? ", " : "", number,
             statements[i]);
    c = strlen(captions);
    if (i % 2) snprintf(captions + c, sizeof captions - c, ", \"a photo of %s\"", labels[i]);
    strcat(captions, "]}");
  }
  strcat(captions, "]");
  check_put(folder, "mmvp/Questions.csv", questions);
  check_put(folder, "zeroshot/templates.txt", "a photo of a {}\nthe {}'s words\n");
  check_put(folder, "retrieval/captions.json", captions);
}

static gh_json *evaluate(const char *command, const char *batch) {
  gh_json *got = NULL;
  char *data = check_path(folder, strchr(command, ' ') + 1), *json = check_path(folder, "out.json");
  check_ok(gh_file_remove(&err, json));
  check_ok(compare_run(&err, "eval", strchr(command, ' ') + 1, "--model", MODEL, "--data", data, "--json", json,
                       "--batch", batch, NULL));
  check_ok(gh_json_read_file(&err, &got, json, GH_JSON_MAX_BYTES));
  free(data);
  free(json);
  return got;
}

static double number(const gh_json *node, const char *path) {
  double value = NAN;
  check_ok(gh_json_get_double(&err, node, path, &value));
  return value;
}

static void mmvp(void **state) {
  (void)state;
  for (int round = 0; round < 2; round++) { /* batches that do not divide the count, and one batch for all */
    gh_json *got = evaluate("eval mmvp", round ? "8" : "3");
    assert_int_equal(gh_json_count(gh_json_member(got, "pairs")), PICTURES / 2);
    for (int i = 0; i < PICTURES; i++) {
      char ours[64], old[64], theirs[64];
      snprintf(ours, sizeof ours, "pairs[%d].first_image_probability[%d]", i / 2, i % 2);
      snprintf(old, sizeof old, "pairs[%d].first_image[%d]", i / 2, i % 2);
      snprintf(theirs, sizeof theirs, "mmvp.first_image[%d]", i);
      assert_true(fabs(number(got, ours) - number(expected, theirs)) <= 1e-5);
      assert_true(number(got, ours) == number(got, old)); /* for one release */
    }
    for (int p = 0; p < PICTURES / 2; p++) {
      char ours[48], theirs[48];
      bool a = false, b = true;
      snprintf(ours, sizeof ours, "pairs[%d].correct", p);
      snprintf(theirs, sizeof theirs, "mmvp.right[%d]", p);
      check_ok(gh_json_get_bool(&err, got, ours, &a));
      check_ok(gh_json_get_bool(&err, expected, theirs, &b));
      assert_int_equal(a, b);
    }
    assert_true(fabs(number(got, "average") - number(expected, "mmvp.average")) <= 1e-9);
    gh_json_free(got);
  }
}

static void zeroshot(void **state) {
  (void)state;
  gh_json *got = evaluate("eval zeroshot", "3");
  for (int i = 0; i < PICTURES; i++) {
    char ours[48], theirs[48];
    const char *a = "", *b = "-";
    snprintf(ours, sizeof ours, "results[%d].rank", i);
    snprintf(theirs, sizeof theirs, "zeroshot.rank[%d]", i);
    assert_true(number(got, ours) == number(expected, theirs));
    snprintf(ours, sizeof ours, "results[%d].predicted", i);
    snprintf(theirs, sizeof theirs, "zeroshot.predicted[%d]", i);
    check_ok(gh_json_get_string(&err, got, ours, &a));
    check_ok(gh_json_get_string(&err, expected, theirs, &b));
    assert_string_equal(a, b);
  }
  assert_true(fabs(number(got, "top1.percent") - number(expected, "zeroshot.top1")) <= 1e-9);
  assert_true(number(got, "top1.low") <= number(got, "top1.percent"));
  gh_json_free(got);
}

static void retrieval(void **state) {
  (void)state;
  gh_json *got = evaluate("eval retrieval", "3");
  assert_true(gh_json_equal(gh_json_member(got, "image_ranks"), gh_json_at(expected, "retrieval.image_ranks")));
  assert_true(gh_json_equal(gh_json_member(got, "text_ranks"), gh_json_at(expected, "retrieval.text_ranks")));
  assert_true(number(got, "text@1.total") == PICTURES);
  gh_json_free(got);
}

/* ---- the spectrum ---- */

static void spectrum(void **state) {
  const char *group = *state;
  gh_safetensors *file = NULL;
  gh_device *device = NULL;
  gh_spectrum s;
  char name[48];
  int64_t total = 0, cells = 0;
  check_ok(gh_safetensors_open(&err, &file, GH_FIXTURES "/eval/score.safetensors"));
  check_ok(gh_device_open(&err, "auto", &device));
  snprintf(name, sizeof name, "%s.originals", group);
  float *originals = compare_load(file, name, &total);
  int64_t side = gh_safetensors_find(file, name)->shape[3];
  snprintf(name, sizeof name, "%s.images", group);
  float *images = compare_load(file, name, NULL);
  snprintf(name, sizeof name, "%s.rings", group);
  float *rings = compare_load(file, name, &cells);
  check_ok(gh_spectrum_compute(&err, &s, device, originals, images, total / (3 * side * side), side));
  assert_int_equal(s.rings, side / 2);
  assert_int_equal(cells, 5 * s.rings);
  for (int64_t r = 0; r < s.rings; r++) {
    const double got[] = {s.original[r], s.reconstruction[r], s.correlation[r], s.low[r], s.high[r]};
    for (int i = 0; i < 5; i++) {
      double want = (double)rings[5 * r + i];
      assert_true(fabs(got[i] - want) <= 1e-5 * (i < 2 ? fabs(want) : 1)); /* the transform is float32 */
    }
    assert_true(fabs(s.ratio[r] - s.reconstruction[r] / s.original[r]) <= 1e-12);
  }
  gh_spectrum_free(&s);
  check_ok(gh_spectrum_compute(&err, &s, device, originals, originals, 1, side)); /* an image and itself */
  for (int64_t r = 0; r < s.rings; r++) assert_true(fabs(s.correlation[r] - 1) <= 1e-6 && fabs(s.ratio[r] - 1) <= 1e-6);
  gh_spectrum_free(&s);
  free(originals);
  free(images);
  free(rings);
  gh_device_close(device);
  gh_safetensors_close(file);
}

static void spectrum_of_a_run(void **state) {
  (void)state;
  gh_json *got = NULL;
  char *run = check_path(folder, "run"), *json = check_path(folder, "spectrum.json");
  run_folder_config(run, GH_FIXTURES "/probe/tiny", "stage2-only.json");
  run_folder_copy(run, GH_FIXTURES "/probe/tiny/denoiser.safetensors", "snapshots/stage1-00000010",
                  "denoiser.safetensors");
  check_ok(compare_run(&err, "eval", "spectrum", "--model", run, "--data", GH_FIXTURES "/encode/images", "--limit", "3",
                       "--batch", "2", "--json", json, NULL));
  check_ok(gh_json_read_file(&err, &got, json, GH_JSON_MAX_BYTES));
  assert_int_equal(gh_json_count(gh_json_member(got, "correlation")), 32);
  assert_true(number(got, "images") == 3);
  gh_json_free(got);
  check_fails(compare_run(&err, "eval", "spectrum", "--data", GH_FIXTURES "/encode/images", NULL), GH_ERROR_ARGUMENT,
              "--run DIR is missing");
  free(run);
  free(json);
}

/* ---- bad data ---- */

static void rejections(void **state) {
  (void)state;
  char *data = check_path(folder, "mmvp"), *zero = check_path(folder, "zeroshot"),
       *json = check_path(folder, "no.json");
  char *picture = check_path(folder, "zeroshot/dog/1.png");
  check_fails(compare_run(&err, "eval", "mmvp", "--model", MODEL, "--data", zero, NULL), GH_ERROR_FILE,
              "no Questions.csv");
  check_fails(compare_run(&err, "eval", "zeroshot", "--model", GH_FIXTURES "/probe/tiny/clip", "--data", zero, NULL),
              GH_ERROR_FILE, "token");
  check_write(picture, "no picture", 10);
  check_fails(compare_run(&err, "eval", "zeroshot", "--model", MODEL, "--data", zero, NULL), GH_ERROR_FORMAT,
              "zeroshot/dog/1.png");
  check_fails(compare_run(&err, "eval", "colours", "--model", MODEL, "--data", data, NULL), GH_ERROR_ARGUMENT,
              "unknown kind colours");
  check_put(folder, "mmvp/Questions.csv", "1,A b,x\n");
  check_fails(compare_run(&err, "eval", "mmvp", "--model", MODEL, "--data", data, NULL), GH_ERROR_FORMAT,
              "an odd number");
  free(picture);
  free(data);
  free(zero);
  free(json);
}

static int begin(void **state) {
  (void)state;
  folder = check_folder();
  make_data();
  return gh_json_read_file(&err, &expected, GH_FIXTURES "/eval/expected.json", GH_JSON_MAX_BYTES);
}

static int end(void **state) {
  (void)state;
  gh_json_free(expected);
  check_folder_done(folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mmvp),
      cmocka_unit_test(zeroshot),
      cmocka_unit_test(retrieval),
      cmocka_unit_test_prestate(spectrum, "even"),
      cmocka_unit_test_prestate(spectrum, "odd"),
      cmocka_unit_test(spectrum_of_a_run),
      cmocka_unit_test(rejections),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
