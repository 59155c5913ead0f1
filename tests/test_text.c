/* Text: lines to embeddings, as transformers computes them with the folder's own tokenizer. */
#include "support/compare.h"

#include "base/file.h"
#include "eval/encode.h"
#include "models/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TEXT GH_FIXTURES "/text"

static gh_device *device;
static char *folder; /* scratch */

/* The lines through `model` in launches of `batch`, against the fixture. */
static void same_embeddings(const char *model, const char *lines_path, const char *expected, int64_t batch) {
  gh_error err = {0};
  gh_strings lines = {0};
  gh_text_embedder *e = NULL;
  gh_text_encoding out = {0};
  gh_safetensors *want = NULL;
  const gh_embed_options options = {.batch = batch};
  check_ok(gh_lines_read(&err, &lines, lines_path));
  check_ok(gh_safetensors_open(&err, &want, expected));
  check_ok(gh_text_embedder_open(&err, &e, device, model, &options));
  check_ok(gh_encode_text(&err, &out, e, &lines, lines_path));
  const gh_st_tensor *t = gh_safetensors_find(want, "text_embeddings");
  assert_int_equal(out.lines, t->shape[0]);
  assert_int_equal(out.width, t->shape[1]);
  float *values = compare_load(want, t->name, NULL);
  double tolerance = 4 * (double)compare_number(want, "error.text_embeddings");
  compare_values(model, out.embeddings, values, t->elements, tolerance);
  out.embeddings[t->elements - 1] += (float)(2 * tolerance); /* the comparison sees a difference */
  assert_true(compare_distance(out.embeddings, values, t->elements) > tolerance);
  free(values);
  gh_text_encoding_free(&out);
  gh_text_embedder_close(e);
  gh_safetensors_close(want);
  gh_strings_free(&lines);
}

static void clip_lines(void **state) {
  (void)state;
  same_embeddings(TEXT "/clip", TEXT "/lines.txt", TEXT "/expected.safetensors", 1);
  same_embeddings(TEXT "/clip", TEXT "/lines.txt", TEXT "/expected.safetensors", 4);
  same_embeddings(TEXT "/clip", TEXT "/lines.txt", TEXT "/expected.safetensors", 11);
}

static void pooled_token(void **state) {
  (void)state;
  const int32_t ids[] = {5, 9, 2, 9, 3, 9};
  gh_text_config c = {.family = GH_CLIP, .eos = 2};
  assert_int_equal(gh_text_pooled(&c, ids, 6), 1); /* the first of the greatest, as 2 once meant */
  c.eos = 3;
  assert_int_equal(gh_text_pooled(&c, ids, 6), 4);
  c.eos = 9;
  assert_int_equal(gh_text_pooled(&c, ids, 6), 1);
  c.eos = 7; /* not there: the first, as argmax of nothing but zeros */
  assert_int_equal(gh_text_pooled(&c, ids, 6), 0);
  c.family = GH_SIGLIP;
  assert_int_equal(gh_text_pooled(&c, ids, 6), 5);
}

static void command_line(void **state) {
  (void)state;
  gh_error err = {0};
  char *out = check_path(folder, "both.safetensors");
  check_ok(compare_run(&err, "encode", "--model", TEXT "/clip", "--text", TEXT "/lines.txt", "--images",
                       GH_FIXTURES "/encode/images", "--out", out, "--batch", "3", NULL));
  gh_safetensors *got = NULL, *want = NULL;
  check_ok(gh_safetensors_open(&err, &got, out));
  check_ok(gh_safetensors_open(&err, &want, TEXT "/expected.safetensors"));
  assert_non_null(gh_safetensors_find(got, "embeddings"));
  compare_tensors(got, want, "text_embeddings", 4 * (double)compare_number(want, "error.text_embeddings"));
  gh_safetensors_close(got);
  gh_safetensors_close(want);
  free(out);
}

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
    const char *text;
  } table[] = {{"", 0, "no line"}, {"a\nb\xff\n", 5, "line 2: not UTF-8"}, {"a\0b\n", 4, "zero byte"}};
  gh_error err = {0};
  char *lines = check_path(folder, "lines.txt"), *out = check_path(folder, "refused.safetensors");
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    check_write(lines, table[i].bytes, table[i].size);
    check_fails(compare_run(&err, "encode", "--model", TEXT "/clip", "--text", lines, "--out", out, NULL),
                GH_ERROR_FORMAT, table[i].text);
  }
  check_write(lines, "a\n", 2);
  check_fails(
      compare_run(&err, "encode", "--model", GH_FIXTURES "/probe/tiny/clip", "--text", lines, "--out", out, NULL),
      GH_ERROR_FILE, "no tokenizer");
  assert_false(gh_path_exists(out));
  free(lines);
  free(out);
}

static int begin(void **state) {
  (void)state;
  gh_error err = {0};
  folder = check_folder();
  return gh_device_open(&err, "auto", &device);
}

static int end(void **state) {
  (void)state;
  gh_device_close(device);
  check_folder_done(folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(clip_lines),
      cmocka_unit_test(pooled_token),
      cmocka_unit_test(command_line),
      cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
