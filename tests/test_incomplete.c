/* Files that are not there, although something has their name: pointers, unfinished downloads, pages, dead links. */
#include "support/check.h"

#include "base/file.h"
#include "base/json.h"
#include "config/config.h"
#include "data/source.h"
#include "encode/encode.h"
#include "io/csv.h"
#include "io/image.h"
#include "io/tokenizer.h"
#include "io/torch_file.h"
#include "models/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINTER                                                                                                        \
  "version https://git-lfs.github.com/spec/v1\n"                                                                       \
  "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
#define ANNEX "/annex/objects/SHA256E-s12345--4d7a2146.safetensors\n"
#define PAGE  "\n<!DOCTYPE html><html><body>404</body></html>"

static gh_error err;

/* Each opens a file of one kind, as the kind's users do, and closes it. */

static gh_status open_safetensors(const char *path) {
  gh_safetensors *file;
  gh_status status = gh_safetensors_open(&err, &file, path);
  gh_safetensors_close(file);
  return status;
}

static gh_status open_torch(const char *path) {
  gh_torch_file *file;
  gh_status status = gh_torch_open(&err, &file, path, NULL);
  gh_torch_close(file);
  return status;
}

static gh_status open_weights(const char *path) {
  gh_safetensors *file;
  gh_status status = gh_weights_open(&err, &file, path);
  gh_safetensors_close(file);
  return status;
}

static gh_status open_json(const char *path) {
  gh_json *root;
  gh_status status = gh_json_read_file(&err, &root, path, GH_JSON_MAX_BYTES);
  gh_json_free(root);
  return status;
}

static gh_status open_picture(const char *path) {
  gh_image image;
  gh_status status = gh_image_read(&err, &image, path);
  gh_image_free(&image);
  return status;
}

static gh_status open_source(const char *path) {
  gh_source *source;
  gh_status status = gh_source_open(&err, &source, path);
  gh_source_free(source);
  return status;
}

typedef gh_status opener(const char *path);

static const struct {
  const char *name;
  opener *open;
  bool text; /* a page is not told apart from other text */
} kinds[] = {{"a.safetensors", open_safetensors, false},
             {"b.bin", open_torch, false},
             {"pytorch_model.bin", open_weights, false},
             {"c.json", open_json, true},
             {"d.safetensors.index.json", open_safetensors, true},
             {"e.png", open_picture, false},
             {"f.jpg", open_picture, false},
             {"g.tar", open_source, false}};

static void expect(opener *open, const char *path, const char *piece, int line) {
  err = (gh_error){0};
  gh_status status = open(path);
  check_failure(status, &err, status, piece, __FILE__, line);
  assert_true(status == GH_ERROR_FORMAT || status == GH_ERROR_FILE);
  assert_non_null(strstr(err.text, gh_path_name(path)));
}

static void test_what_stands_in_a_files_place(void **state) {
  (void)state;
  char *folder = check_folder();
  for (size_t i = 0; i < GH_COUNT(kinds); i++) {
    char *path = check_path(folder, kinds[i].name);
    check_write(path, POINTER, strlen(POINTER));
    expect(kinds[i].open, path, "a git-lfs pointer, not the file itself", __LINE__);
    check_write(path, ANNEX, strlen(ANNEX));
    expect(kinds[i].open, path, "a git-annex pointer, not the file itself", __LINE__);
    check_write(path, PAGE, strlen(PAGE));
    if (!kinds[i].text) expect(kinds[i].open, path, "a web page, not the file itself", __LINE__);
    free(path);
  }
  check_folder_done(folder);
}

static void test_a_tokenizer_of_pointers(void **state) {
  (void)state;
  static const char *const files[] = {"tokenizer.json", "vocab.json", "merges.txt", "spiece.model"};
  for (size_t i = 0; i < GH_COUNT(files); i++) {
    char *folder = check_folder(), *path = check_path(folder, files[i]);
    gh_tokenizer *tokenizer;
    check_ok(gh_file_copy(&err, GH_FIXTURES "/text/clip", folder, "tokenizer_config.json", true));
    if (i == 1 || i == 2) /* the other of the pair */
      check_ok(gh_file_copy(&err, GH_FIXTURES "/text/clip", folder, files[3 - i], true));
    check_write(path, POINTER, strlen(POINTER));
    check_fails(gh_tokenizer_open(&err, &tokenizer, folder), GH_ERROR_FORMAT, "a git-lfs pointer");
    gh_tokenizer_close(tokenizer);
    free(path);
    check_folder_done(folder);
  }
}

static gh_status open_lines(const char *path) {
  gh_strings lines = {0};
  gh_status status = gh_lines_read(&err, &lines, path);
  gh_strings_free(&lines);
  return status;
}

static gh_status open_csv(const char *path) {
  gh_csv csv;
  gh_status status = gh_csv_read(&err, &csv, path, ',');
  gh_csv_free(&csv);
  return status;
}

static gh_status open_config(const char *path) {
  gh_config config;
  gh_status status = gh_config_read(&err, &config, path, NULL, 0);
  gh_config_free(&config);
  return status;
}

static void test_text_of_two_bytes_a_letter(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
    const char *piece;
  } texts[] = {{"\xff\xfe{\0}\0", 6, "text in UTF-16"},
               {"\xfe\xff\0{\0}", 6, "text in UTF-16"},
               {"{\0}\0", 4, "text in UTF-16"},
               {"\xff\xfe\0\0{\0\0\0", 8, "text in UTF-32"}};
  opener *const readers[] = {open_json, open_lines, open_csv, open_config};
  char *folder = check_folder(), *path = check_path(folder, "text");
  for (size_t i = 0; i < GH_COUNT(texts); i++)
    for (size_t k = 0; k < GH_COUNT(readers); k++) {
      check_write(path, texts[i].bytes, texts[i].size);
      expect(readers[k], path, texts[i].piece, __LINE__);
    }
  free(path);
  check_folder_done(folder);
}

static void test_unfinished_downloads(void **state) {
  (void)state;
  char *folder = check_folder(), *path = check_path(folder, "a.safetensors"), *mark;
  char zeros[4096] = {0};
  check_write(path, zeros, sizeof zeros); /* a download that got its size first */
  expect(open_safetensors, path, "begins with 512 zero bytes (an incomplete download?)", __LINE__);
  check_write(path, "", 0);
  expect(open_safetensors, path, "empty (an incomplete download?)", __LINE__);
  check_ok(gh_file_copy(&err, GH_FIXTURES "/probe/tiny", folder, "ae.safetensors", true));
  free(path);
  path = check_path(folder, "ae.safetensors");
  check_ok(open_safetensors(path));
  uint64_t size;
  check_ok(gh_file_size(&err, path, &size));
  assert_int_equal(truncate(path, (off_t)size - 1), 0);
  expect(open_safetensors, path, "an incomplete download?", __LINE__);
  mark = check_path(folder, "ae.safetensors.aria2");
  check_write(mark, "", 0);
  expect(open_safetensors, path, "an incomplete download: ", __LINE__);
  free(mark);
  check_ok(gh_file_remove(&err, path));
  expect(open_safetensors, path, ".aria2 is an incomplete download of it", __LINE__);
  free(path);
  check_folder_done(folder);
}

static void test_links_to_nothing(void **state) {
  (void)state;
  char *folder = check_folder();
  for (size_t i = 0; i < GH_COUNT(kinds); i++) {
    char *path = check_path(folder, kinds[i].name);
    assert_int_equal(symlink("../blobs/4d7a", path), 0);
    if (kinds[i].open != open_source)
      expect(kinds[i].open, path, "a link to ../blobs/4d7a, which does not exist", __LINE__);
    free(path);
  }
  char *path = check_path(folder, "model.safetensors");
  assert_int_equal(symlink("../blobs/4d7b", path), 0);
  check_fails(open_safetensors(folder), GH_ERROR_FILE, "model.safetensors: a link to ../blobs/4d7b");
  free(path);
  check_folder_done(folder);
}

static void test_absent_shards(void **state) {
  (void)state;
  static const char index[] = "{\"weight_map\":{\"a\":\"model-00001-of-00003.safetensors\","
                              "\"b\":\"model-00002-of-00003.safetensors\",\"c\":\"model-00003-of-00003.safetensors\"}}";
  static const char tensor[] = "\x36\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}} 1234";
  char *folder = check_folder(), *shard = check_path(folder, "model-00001-of-00003.safetensors");
  check_write(shard, tensor, sizeof tensor - 1);
  check_fails(open_safetensors(folder), GH_ERROR_FILE,
              "model-00001-of-00003.safetensors is a shard, and there is no .safetensors.index.json");
  char *path = check_path(folder, "model.safetensors.index.json");
  check_write(path, index, sizeof index - 1);
  check_fails(open_safetensors(folder), GH_ERROR_FILE,
              "2 of the 3 shards that model.safetensors.index.json names are absent (an incomplete download?)");
  free(path);
  free(shard);
  check_folder_done(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_stands_in_a_files_place),
      cmocka_unit_test(test_a_tokenizer_of_pointers),
      cmocka_unit_test(test_unfinished_downloads),
      cmocka_unit_test(test_links_to_nothing),
      cmocka_unit_test(test_absent_shards),
      cmocka_unit_test(test_text_of_two_bytes_a_letter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
