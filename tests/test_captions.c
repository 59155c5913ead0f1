/* Captions of pictures in folders and shards, and the tokenizer that is learnt from captions. */
#include "support/captioned.h"
#include "support/compare.h"
#include "support/scratch.h"
#include "support/tar.h"

#include "base/file.h"
#include "base/log.h"
#include "data/captions.h"
#include "io/bpe_train.h"
#include "io/tokenizer.h"
#include "models/module.h"

#include <stdlib.h>
#include <string.h>

#define HERE GH_FIXTURES "/clip"

static gh_error err;

/* ---- the tokenizer ---- */

static void read_lines(gh_strings *out, const char *path) {
  char *text, *rest = NULL;
  size_t size;
  check_ok(gh_file_read(&err, path, 1 << 20, &text, &size));
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
    check_ok(gh_strings_add(&err, out, line));
  free(text);
}

/* The merges are those of plain counting; with them, tokens are transformers'. */
static void the_tokenizer_is_learnt(void **state) {
  (void)state;
  enum { SIZE = 560, ROW = 48 };
  gh_strings lines = {0}, merges = {0}, backwards = {0};
  gh_bpe_model model, other;
  gh_tokenizer *tokenizer = NULL;
  gh_safetensors *file = NULL;
  check_ok(gh_safetensors_open(&err, &file, HERE "/ids.safetensors"));
  float *ids = compare_load(file, "ids", NULL);
  read_lines(&lines, HERE "/lines.txt");
  read_lines(&merges, HERE "/merges.txt");
  check_ok(gh_bpe_train(&err, &model, &lines, SIZE));
  assert_int_equal(model.merges.count, merges.count - 1); /* but for the version */
  for (size_t i = 0; i < model.merges.count; i++) assert_string_equal(model.merges.items[i], merges.items[i + 1]);
  for (size_t i = lines.count; i-- > 0;) check_ok(gh_strings_add(&err, &backwards, lines.items[i]));
  check_ok(gh_bpe_train(&err, &other, &backwards, SIZE));
  assert_true(gh_json_equal(model.vocabulary, other.vocabulary));
  check_ok(gh_bpe_model_write(&err, &model, scratch, ROW));
  for (int written = 0; written < 2; written++) {
    check_ok(written ? gh_tokenizer_open(&err, &tokenizer, scratch)
                     : gh_tokenizer_from_words(&err, &tokenizer, model.vocabulary, &model.merges));
    assert_int_equal(gh_tokenizer_max_length(tokenizer), written ? ROW : 0);
    for (size_t i = 0; i < lines.count; i++) {
      int32_t row[ROW];
      check_ok(gh_tokenizer_encode(&err, tokenizer, lines.items[i], ROW, row));
      for (int k = 0; k < ROW; k++) assert_int_equal(row[k], (int32_t)ids[i * ROW + (size_t)k]);
    }
    gh_tokenizer_close(tokenizer);
  }
  gh_bpe_model_free(&model);
  gh_bpe_model_free(&other);
  gh_strings_free(&lines);
  gh_strings_free(&merges);
  gh_strings_free(&backwards);
  gh_safetensors_close(file);
  free(ids);
}

/* No pair occurs twice, or there is no room for a merge: a vocabulary of bytes and marks. */
static void nothing_to_learn(void **state) {
  (void)state;
  static const struct {
    const char *line;
    int64_t size;
  } cases[] = {{"abc", 1000}, {"", 1000}, {"aaaa aaaa", GH_BPE_LEAST}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_strings lines = {0};
    gh_bpe_model model;
    check_ok(gh_strings_add(&err, &lines, cases[i].line));
    check_ok(gh_bpe_train(&err, &model, &lines, cases[i].size));
    assert_int_equal(model.merges.count, 0);
    assert_int_equal(gh_json_count(model.vocabulary), GH_BPE_LEAST);
    gh_bpe_model_free(&model);
    gh_strings_free(&lines);
  }
}

/* ---- captions ---- */

static gh_image_set *open_set(const char *source) {
  gh_image_set *set = NULL;
  check_ok(gh_image_set_open(&err, &set, "images", &source, 1));
  return set;
}

static const char *const captioned[] = {"a.png", "b.c.png", "d.png", "e.png", "f.png", NULL};
static const char *const captions[][2] = {{"a.txt", "a cat\n"},
                                          {"b.c.txt", "a dog"},
                                          {"d.json", "{\"key\": 1, \"caption\": \"a hat\"}"},
                                          {"e.txt", " \n"},
                                          {"e.json", "{\"caption\": \"a bee\"}"},
                                          {"f.json", "{\"text\": \"no caption\"}"},
                                          {NULL, NULL}};

static void captions_of_a_folder(void **state) {
  (void)state;
  char *folder = captioned_folder("captioned", captioned, captions);
  gh_image_set *set = open_set(folder);
  const uint64_t before = gh_image_set_hash(set);
  gh_strings out;
  gh_log_set_level(GH_LOG_QUIET);
  check_ok(gh_captions_read(&err, &out, set));
  gh_log_set_level(GH_LOG_WARNING);
  static const char *const want[] = {"a cat\n", "a dog", "a hat", "a bee"};
  assert_int_equal(out.count, GH_COUNT(want));
  for (size_t i = 0; i < GH_COUNT(want); i++) assert_string_equal(out.items[i], want[i]);
  assert_int_equal(gh_image_set_count(set), 4); /* f.png is left out */
  assert_int_equal(gh_image_set_left_out(set), 1);
  assert_true(gh_image_set_hash(set) != before);
  char *last = gh_image_set_name(&err, set, 3);
  assert_true(gh_ends_with(last, "/e.png"));
  gh_image image;
  check_ok(gh_image_set_decode(&err, &image, set, 3, NULL));
  gh_image_free(&image);
  free(last);
  gh_strings_free(&out);
  gh_image_set_free(set);
  free(folder);
}

static void captions_of_shards(void **state) {
  (void)state;
  static const char *const members[][2] = {{"x/2.json", "{\"caption\": \"not this\"}"},
                                           {"x/2.jpg", "?"},
                                           {"x/2.txt", "two"},
                                           {"1.png", "?"},
                                           {"1.json", "{\"caption\": \"one\"}"},
                                           {"lost.txt", "of no picture"},
                                           {"10.png", "?"},
                                           {"10.txt", "ten"}};
  static const char *const want[] = {"one", "ten", "two"}; /* 1.png, 10.png, x/2.jpg */
  tar_bytes tar = {0};
  char *path = check_path(scratch, "c.tar");
  for (size_t i = 0; i < GH_COUNT(members); i++) tar_text(&tar, '0', members[i][0], members[i][1]);
  tar_end(&tar);
  check_write(path, tar.bytes, tar.size);
  gh_image_set *set = open_set(path);
  gh_strings out;
  gh_log_set_level(GH_LOG_QUIET);
  check_ok(gh_captions_read(&err, &out, set));
  gh_log_set_level(GH_LOG_WARNING);
  assert_int_equal(out.count, GH_COUNT(want));
  for (size_t i = 0; i < GH_COUNT(want); i++) assert_string_equal(out.items[i], want[i]);
  gh_strings_free(&out);
  gh_image_set_free(set);
  tar_free(&tar);
  free(path);
}

static void broken_captions(void **state) {
  (void)state;
  static const char *const one[] = {"a.png", NULL};
  static const struct {
    const char *texts[2][2];
    gh_status status;
    const char *message;
  } cases[] = {
      {{{NULL, NULL}}, GH_ERROR_FILE, "images: none of the 1 pictures has a caption"},
      {{{"a.txt", "a \xff"}, {NULL, NULL}}, GH_ERROR_FORMAT, "a.txt: not UTF-8 text"},
      {{{"a.json", "{"}, {NULL, NULL}}, GH_ERROR_FORMAT, "a.json"},
      {{{"a.json", "{\"caption\": 3}"}, {NULL, NULL}}, GH_ERROR_FORMAT, "a.json: caption: expected a string"},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    char *folder = captioned_folder(gh_name_make("broken%zu", i).text, one, cases[i].texts);
    gh_image_set *set = open_set(folder);
    gh_strings out;
    gh_log_set_level(GH_LOG_QUIET);
    check_fails(gh_captions_read(&err, &out, set), cases[i].status, cases[i].message);
    gh_log_set_level(GH_LOG_WARNING);
    gh_image_set_free(set);
    free(folder);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_tokenizer_is_learnt), cmocka_unit_test(nothing_to_learn),
      cmocka_unit_test(captions_of_a_folder),    cmocka_unit_test(captions_of_shards),
      cmocka_unit_test(broken_captions),
  };
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
