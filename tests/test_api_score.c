/* The public library's scores against `genhance eval --json`: every share and every row has the command's numbers. */
#include "support/compare.h"
#include "support/run_folder.h"
#include "support/scratch.h"

#include "base/json.h"
#include "genhance/genhance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL    GH_FIXTURES "/text/clip"
#define PICTURES 4

static const char *const pictures[PICTURES] = {"Exact.png", "alpha.png", "crop-only.png", "enlarge.png"};
static const char *const statements[PICTURES] = {"a dog", "two dogs, with tails", "the cat's wings", "birds"};
static const char *const labels[PICTURES] = {"dog", "cat", "dog", "bird"};

static genhance_device *device;
static gh_error err;

static void ok(genhance_status status) {
  if (status) fail_msg("status %d: %s", (int)status, genhance_last_error());
}

static void refused(genhance_status status, genhance_status expected, const char *text) {
  assert_int_equal(status, expected);
  if (!strstr(genhance_last_error(), text)) fail_msg("no \"%s\" in: %s", text, genhance_last_error());
}

/* ---- the data ---- */

static void make_data(void) {
  char questions[512] = "", captions[512] = "[", number[32], where[64], from[256];
  for (int i = 0; i < PICTURES; i++) {
    size_t q = strlen(questions), c = strlen(captions);
    snprintf(number, sizeof number, "%d.png", i + 1);
    snprintf(where, sizeof where, "zeroshot/%s", labels[i]);
    snprintf(from, sizeof from, GH_FIXTURES "/encode/images/%s", pictures[i]);
    run_folder_copy(scratch, from, "mmvp/MLLM_VLM Images/A b", number);
    run_folder_copy(scratch, from, where, number);
    run_folder_copy(scratch, from, "retrieval", number);
    snprintf(questions + q, sizeof questions - q, "%d,A b,\"%s\"\r\n", i + 1, statements[i]);
    snprintf(captions + c, sizeof captions - c, "%s{\"image\": \"%s\", \"captions\": [\"%s\"%s]}", i ? ", " : "",
             number, statements[i], i % 2 ? ", \"one more\"" : "");
  }
  strcat(captions, "]");
  check_put(scratch, "mmvp/Questions.csv", questions);
  check_put(scratch, "words.txt", "a photo of a {}\nthe {}'s words\n");
  check_put(scratch, "retrieval/captions.json", captions);
}

/* ---- both sides ---- */

/* What the command writes; `option`, `value`: one more, or NULL. */
static gh_json *command(const char *kind, const char *option, const char *value) {
  gh_json *got = NULL;
  char *data = check_path(scratch, kind), *json = check_path(scratch, "out.json");
  check_ok(compare_run(&err, "eval", kind, "--model", MODEL, "--data", data, "--json", json, option, value, NULL));
  check_ok(gh_json_read_file(&err, &got, json, GH_JSON_MAX_BYTES));
  free(data);
  free(json);
  return got;
}

static genhance_score *library(genhance_score_kind kind, const char *name, const genhance_score_options *options) {
  genhance_score *score = NULL;
  char *data = check_path(scratch, name);
  ok(genhance_score_run(&score, device, kind, MODEL, data, options));
  free(data);
  return score;
}

static double number(const gh_json *node, const char *path) {
  double value = 0;
  check_ok(gh_json_get_double(&err, node, path, &value));
  return value;
}

static const gh_json *row_of(const gh_json *results, const char *list, size_t index) {
  char path[64];
  snprintf(path, sizeof path, "%s[%zu]", list, index);
  const gh_json *row = gh_json_at(results, path);
  assert_non_null(row);
  return row;
}

static const char *text(const gh_json *node, const char *path) {
  const char *value = "";
  check_ok(gh_json_get_string(&err, node, path, &value));
  return value;
}

static genhance_score_summary summary_of(const genhance_score *score) {
  genhance_score_summary s = GENHANCE_SIZED(genhance_score_summary);
  ok(genhance_score_summarize(score, &s));
  return s;
}

/* Every share stands in the command's object of its name, in `patterns` but for "all" where that is given. */
static void compare_shares(const genhance_score *score, const gh_json *expected, int count) {
  assert_int_equal(summary_of(score).shares, count);
  genhance_share share = GENHANCE_SIZED(genhance_share);
  for (size_t i = 0; i < (size_t)count; i++) {
    ok(genhance_score_share(score, i, &share));
    const gh_json *node = gh_json_member(expected, share.name);
    if (!node) node = gh_json_member(gh_json_member(expected, "patterns"), share.name);
    assert_non_null(node);
    assert_true(share.percent == number(node, "percent") && (double)share.hits == number(node, "hits") &&
                (double)share.total == number(node, "total"));
    assert_true(share.low == number(node, "low") && share.high == number(node, "high"));
  }
  refused(genhance_score_share(score, (size_t)count, &share), GENHANCE_ERROR_ARGUMENT, "there is no share");
}

/* ---- the three ---- */

static void mmvp(void **state) {
  (void)state;
  gh_json *expected = command("mmvp", NULL, NULL);
  genhance_score *score = library(GENHANCE_SCORE_MMVP, "mmvp", NULL);
  const genhance_score_summary s = summary_of(score);
  assert_true(s.kind == GENHANCE_SCORE_MMVP && s.images == PICTURES && s.lines == PICTURES && s.pairs == PICTURES / 2);
  assert_true(s.average == number(expected, "average") && !s.classes);
  compare_shares(score, expected, 2);
  genhance_mmvp_pair pair = GENHANCE_SIZED(genhance_mmvp_pair);
  for (size_t p = 0; p < s.pairs; p++) {
    ok(genhance_score_mmvp_pair(score, p, &pair));
    const gh_json *row = row_of(expected, "pairs", p);
    assert_string_equal(pair.pattern, text(row, "pattern"));
    assert_string_equal(pair.type, text(row, "type"));
    for (int k = 0; k < 2; k++) {
      char path[32];
      bool right = false;
      snprintf(path, sizeof path, "first_image_probability[%d]", k);
      assert_true(pair.first_image_probability[k] == number(row, path));
      snprintf(path, sizeof path, "ids[%d]", k);
      assert_true((double)pair.ids[k] == number(row, path));
      snprintf(path, sizeof path, "statement_correct[%d]", k);
      check_ok(gh_json_get_bool(&err, row, path, &right));
      assert_int_equal(pair.statement_correct[k], right);
      assert_string_equal(pair.statements[k], statements[2 * p + (size_t)k]);
    }
  }
  genhance_zeroshot_image image = GENHANCE_SIZED(genhance_zeroshot_image);
  refused(genhance_score_mmvp_pair(score, s.pairs, &pair), GENHANCE_ERROR_ARGUMENT, "there is no row 2 of 2");
  refused(genhance_score_zeroshot_image(score, 0, &image), GENHANCE_ERROR_ARGUMENT, "the score is of kind mmvp");
  pair.struct_size = 0;
  refused(genhance_score_mmvp_pair(score, 0, &pair), GENHANCE_ERROR_ARGUMENT, "genhance_mmvp_pair: struct_size is 0");
  genhance_score_close(score);
  gh_json_free(expected);
}

static void zeroshot(void **state) {
  (void)state;
  char *words = check_path(scratch, "words.txt");
  gh_json *expected = command("zeroshot", "--templates", words);
  const genhance_score_options options = {.struct_size = sizeof options, .templates = words};
  genhance_score *score = library(GENHANCE_SCORE_ZEROSHOT, "zeroshot", &options);
  const genhance_score_summary s = summary_of(score);
  assert_true(s.images == PICTURES && s.classes == 3 && s.templates == 2 && s.lines == 6 && !s.pairs);
  compare_shares(score, expected, 2);
  genhance_zeroshot_image image = GENHANCE_SIZED(genhance_zeroshot_image);
  for (size_t i = 0; i < s.images; i++) {
    ok(genhance_score_zeroshot_image(score, i, &image));
    const gh_json *row = row_of(expected, "results", i);
    assert_string_equal(image.path, text(row, "image"));
    assert_string_equal(image.class_name, text(row, "class"));
    assert_string_equal(image.predicted, text(row, "predicted"));
    assert_true((double)image.rank == number(row, "rank"));
  }
  genhance_score_close(score);
  gh_json_free(expected);
  free(words);
}

static void retrieval(void **state) {
  (void)state;
  gh_json *expected = command("retrieval", NULL, NULL);
  genhance_score *score = library(GENHANCE_SCORE_RETRIEVAL, "retrieval", NULL);
  const genhance_score_summary s = summary_of(score);
  assert_true(s.images == PICTURES && s.lines == 6);
  compare_shares(score, expected, 6);
  genhance_retrieval_caption caption = GENHANCE_SIZED(genhance_retrieval_caption);
  genhance_retrieval_image image = GENHANCE_SIZED(genhance_retrieval_image);
  char path[64];
  for (size_t i = 0; i < s.lines; i++) {
    ok(genhance_score_retrieval_caption(score, i, &caption));
    snprintf(path, sizeof path, "image_ranks[%zu]", i);
    assert_true((double)caption.rank == number(expected, path));
  }
  assert_string_equal(caption.caption, "one more");
  assert_non_null(strstr(caption.path, "retrieval/4.png"));
  for (size_t i = 0; i < s.images; i++) {
    ok(genhance_score_retrieval_image(score, i, &image));
    snprintf(path, sizeof path, "text_ranks[%zu]", i);
    assert_true((double)image.rank == number(expected, path));
  }
  refused(genhance_score_retrieval_image(score, s.images, &image), GENHANCE_ERROR_ARGUMENT, "there is no row");
  genhance_score_close(score);
  gh_json_free(expected);
}

static void refusals(void **state) {
  (void)state;
  genhance_score *score = (genhance_score *)&score;
  const genhance_score_options large = {.struct_size = sizeof large, .batch = 65537};
  char *data = check_path(scratch, "zeroshot");
  refused(genhance_score_run(&score, device, GENHANCE_SCORE_MMVP, MODEL, data, NULL), GENHANCE_ERROR_FILE,
          "no Questions.csv");
  assert_null(score);
  refused(genhance_score_run(&score, device, (genhance_score_kind)7, MODEL, data, NULL), GENHANCE_ERROR_ARGUMENT,
          "no such kind");
  refused(genhance_score_run(&score, device, GENHANCE_SCORE_ZEROSHOT, MODEL, data, &large), GENHANCE_ERROR_ARGUMENT,
          "batch is 65537");
  refused(genhance_score_run(&score, NULL, GENHANCE_SCORE_ZEROSHOT, MODEL, data, NULL), GENHANCE_ERROR_ARGUMENT,
          "is NULL");
  refused(genhance_score_summarize(NULL, NULL), GENHANCE_ERROR_ARGUMENT, "is NULL");
  genhance_score_close(NULL);
  free(data);
}

static int setup(void **state) {
  if (scratch_begin(state)) return -1;
  make_data();
  return genhance_device_open(&device, getenv("GH_TEST_DEVICE"));
}

static int teardown(void **state) {
  genhance_device_close(device);
  return scratch_end(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(mmvp), cmocka_unit_test(zeroshot), cmocka_unit_test(retrieval),
                                     cmocka_unit_test(refusals)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
