/* Text, halves, files, folders and locks. */
#include "support/check.h"

#include "base/array.h"
#include "base/file.h"
#include "base/half.h"
#include "base/log.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- status ---- */

static void test_error_text(void **state) {
  (void)state;
  gh_error err = {0};
  assert_int_equal(gh_fail(&err, GH_ERROR_FILE, "a\nb\x1b[c"), GH_ERROR_FILE);
  assert_string_equal(err.text, "a?b?[c");
  gh_fail_in(&err, "%s", "file");
  assert_string_equal(err.text, "file: a?b?[c");
  char lots[3000];
  memset(lots, 'x', sizeof lots);
  lots[sizeof lots - 1] = 0;
  gh_fail(&err, GH_ERROR_FILE, "%s", lots);
  gh_fail_in(&err, "%s", lots); /* both longer than the text: truncated, no overrun */
  assert_in_range(strlen(err.text), GH_ERROR_TEXT_SIZE - 4, GH_ERROR_TEXT_SIZE - 1);
  gh_alloc_fail_after(2);
  void *first = gh_alloc(&err, 1, 1), *second = gh_alloc(&err, 1, 1);
  assert_non_null(first);
  assert_null(second);
  free(first);
  assert_null(gh_alloc(&err, SIZE_MAX / 2, 4)); /* overflow of the product */
}

/* ---- text ---- */

static void test_edit_distance(void **state) {
  (void)state;
  assert_int_equal(gh_edit_distance("", ""), 0);
  assert_int_equal(gh_edit_distance("abc", ""), 3);
  assert_int_equal(gh_edit_distance("kitten", "sitting"), 3);
  assert_int_equal(gh_edit_distance("ab", "ba"), 1); /* a swap */
  assert_int_equal(gh_edit_distance("steps", "step"), 1);
}

static void test_nearest(void **state) {
  (void)state;
  const char *const names[] = {"train", "probe", "encode", "export"};
  assert_string_equal(gh_nearest("trian", names, 4), "train");
  assert_string_equal(gh_nearest("exprt", names, 4), "export");
  assert_null(gh_nearest("completely-else", names, 4));
}

static void test_utf8(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bool valid;
  } cases[] = {{"plain", true},
               {"\xc3\xa9", true},
               {"\xe2\x82\xac", true},
               {"\xf0\x9f\x98\x80", true},
               {"\xc0\x80", false},
               {"\xed\xa0\x80", false},
               {"\xf5\x80\x80\x80", false},
               {"\xe2\x82", false},
               {"\xf4\x90\x80\x80", false},
               {"\x80", false},
               {"\xe0\x80\x80", false}};
  for (size_t i = 0; i < GH_COUNT(cases); i++)
    assert_int_equal(gh_utf8_valid(cases[i].text, strlen(cases[i].text)), cases[i].valid);
  char text[] = "a\xff\xc3\xa9\xe2\x82z\xf0\x9f";
  gh_text_show(text);
  assert_string_equal(text, "a?\xc3\xa9??z??");
}

static void test_hidden_characters(void **state) {
  (void)state;
  static const uint32_t hidden[] = {0x1b,   0x7f,   0x80,   0x9b,   0x9f,   0xad,   0x61c,  0x200b, 0x200d, 0x200e,
                                    0x2028, 0x2029, 0x202a, 0x202e, 0x2060, 0x2066, 0x2069, 0xfeff, 0xfffb, 0xe0041};
  static const uint32_t shown[] = {' ', '~', 0xa0, 0xe9, 0x391, 0x5d0, 0x627, 0x2027, 0x202f, 0xfe0f, 0xfffd, 0x1f436};
  for (size_t i = 0; i < GH_COUNT(hidden); i++) assert_true(gh_code_is_hidden(hidden[i]));
  for (size_t i = 0; i < GH_COUNT(shown); i++) assert_false(gh_code_is_hidden(shown[i]));
  char text[] = "a\xc2\x9b[2J\xe2\x80\xaegnp.\xe2\x80\x8b\xf0\x9f\x90\xb6\xf3\xa0\x81\x81\n";
  gh_text_show(text);
  assert_string_equal(text, "a?[2J?gnp.?\xf0\x9f\x90\xb6??");
  gh_error err = {0};
  gh_fail(&err, GH_ERROR_FILE, "%s: %s", "photo\xe2\x80\xaegnp.jpg",
          "\xc2\x9b"
          "31m");
  assert_string_equal(err.text, "photo?gnp.jpg: ?31m");
}

static void test_shape_text(void **state) {
  (void)state;
  char text[64];
  gh_shape_text(text, sizeof text, 3, (const int64_t[]){64, -1, 14});
  assert_string_equal(text, "64x?x14");
  gh_shape_text(text, sizeof text, 0, NULL);
  assert_string_equal(text, "scalar");
  gh_shape_text(text, 4, 3, (const int64_t[]){64, 3, 14}); /* too small: truncated */
  assert_int_equal(strlen(text), 3);
}

/* ---- halves ---- */

static void test_f16(void **state) {
  (void)state;
  static const struct {
    float f;
    uint16_t h;
  } cases[] = {{0.0f, 0},
               {1.0f, 0x3C00},
               {-2.0f, 0xC000},
               {65504.0f, 0x7BFF},
               {65519.99f, 0x7BFF},
               {65520.0f, 0x7C00},
               {1e30f, 0x7C00},
               {0x1p-24f, 1},
               {0x1p-25f, 0},
               {0x1.8p-25f, 1},
               {0x1p-14f, 0x0400},
               {0x1.ff8p-15f, 0x03FF},
               {0x1.ffcp-15f, 0x0400},
               {1.00048828125f, 0x3C00},
               {1.00146484375f, 0x3C02}}; /* the last two: ties to even */
  for (size_t i = 0; i < GH_COUNT(cases); i++) assert_int_equal(gh_f32_to_f16(cases[i].f), cases[i].h);
  for (uint32_t h = 0; h < 65536; h++) { /* every half survives the round trip */
    float f = gh_f16_to_f32((uint16_t)h);
    if (isnan(f))
      assert_true((gh_f32_to_f16(f) & 0x7FFF) > 0x7C00);
    else
      assert_int_equal(gh_f32_to_f16(f), h);
  }
  assert_true(isinf(gh_f16_to_f32(0x7C00)));
}

static void test_bf16(void **state) {
  (void)state;
  assert_int_equal(gh_f32_to_bf16(1.0f), 0x3F80);
  assert_int_equal(gh_f32_to_bf16(1.00390625f), 0x3F80); /* half way: to even */
  assert_int_equal(gh_f32_to_bf16(1.01171875f), 0x3F82);
  assert_int_equal(gh_f32_to_bf16(1.0039063692f), 0x3F81);
  assert_int_equal(gh_f32_to_bf16(3.4e38f), 0x7F80);
  assert_true(isnan(gh_bf16_to_f32(gh_f32_to_bf16(NAN))));
  for (uint32_t h = 0; h < 65536; h++)
    if (!isnan(gh_bf16_to_f32((uint16_t)h))) assert_int_equal(gh_f32_to_bf16(gh_bf16_to_f32((uint16_t)h)), h);
}

/* ---- paths and files ---- */

static void test_paths(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bool inside;
  } cases[] = {{"a.bin", true},   {"sub/a.bin", true}, {"a..b", true}, {"", false},   {"/a", false},   {"..", false},
               {"a/../b", false}, {"a//b", false},     {"./a", false}, {"a/", false}, {"a\\b", false}, {"../a", false}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) assert_int_equal(gh_path_stays_inside(cases[i].name), cases[i].inside);
  char *joined = gh_path_join(NULL, "a/", "b"), *absolute = gh_path_join(NULL, "a", "/b");
  char *folder = gh_path_folder(NULL, "/a"), *here = gh_path_folder(NULL, "a");
  assert_string_equal(joined, "a/b");
  assert_string_equal(absolute, "/b");
  assert_string_equal(folder, "/");
  assert_string_equal(here, ".");
  assert_string_equal(gh_path_name("a/b/c.txt"), "c.txt");
  free(joined), free(absolute), free(folder), free(here);
}

static void test_files(void **state) {
  (void)state;
  gh_error err = {0};
  char *folder = check_folder(), *path = check_path(folder, "x/y/z.txt"), *below = check_path(folder, "x/y"), *text;
  size_t size;
  check_fails(gh_file_write(&err, path, "a", 1), GH_ERROR_FILE, "z.txt");
  check_ok(gh_folder_make(&err, below));
  check_ok(gh_folder_make(&err, below)); /* repeating it is fine */
  check_ok(gh_file_write(&err, path, "hello", 5));
  check_ok(gh_file_write(&err, path, "hello!", 6));
  check_ok(gh_file_append(&err, path, "?", 1));
  check_ok(gh_file_read(&err, path, 7, &text, &size));
  assert_int_equal(size, 7);
  assert_string_equal(text, "hello!?");
  free(text);
  check_fails(gh_file_read(&err, path, 6, &text, &size), GH_ERROR_FORMAT, "larger than the 6 bytes");
  assert_null(text);
  check_fails(gh_file_read(&err, below, 6, &text, &size), GH_ERROR_FILE, "is a folder");
  check_fails(gh_folder_make(&err, path), GH_ERROR_FILE, "is not a folder");
  check_fails(gh_file_write(&err, below, "", 0), GH_ERROR_FILE, "is a folder");
  uint64_t left;
  char *deep = check_path(folder, "not/yet/there");
  check_ok(gh_file_free_bytes(&err, deep, &left));
  check_fails(gh_file_check_space(&err, deep, UINT64_MAX), GH_ERROR_FILE, "GiB free");
  check_fails(gh_file_check_space(&err, deep, UINT64_MAX), GH_ERROR_FILE, "needs 16777216.00 TiB, the disk has ");
  check_ok(gh_file_remove(&err, path));
  check_ok(gh_file_remove(&err, path));
  assert_int_equal(symlink("/dev/full", path), 0); /* a device is written, not replaced */
  check_fails(gh_file_write(&err, path, "a", 1), GH_ERROR_FILE, "no space left");
  struct stat facts;
  assert_int_equal(lstat(path, &facts), 0);
  assert_true(S_ISLNK(facts.st_mode));
  check_ok(gh_file_remove(&err, path));
  check_ok(gh_file_read(&err, "/dev/null", 10, &text, &size)); /* no size to trust */
  assert_int_equal(size, 0);
  free(text), free(deep), free(below), free(path);
  check_folder_done(folder);
}

static void test_full_disk(void **state) {
  (void)state;
  gh_error err = {0};
  char *folder = check_folder(), *path = check_path(folder, "state.bin"), *text;
  gh_strings names = {0};
  check_ok(gh_file_write(&err, path, "old", 3));
  gh_write_fail_after(1);
  check_fails(gh_file_write(&err, path, "new", 3), GH_ERROR_FILE, "state.bin: no space left on the disk");
  gh_write_fail_after(0);
  check_ok(gh_file_read(&err, path, 100, &text, NULL));
  assert_string_equal(text, "old"); /* unchanged */
  free(text);
  struct stat facts;
  assert_int_equal(stat(folder, &facts), 0);
  check_ok(gh_folder_list(&err, &names, folder, true));
  assert_int_equal(names.count, 1);
  gh_strings_free(&names);
  check_ok(gh_file_remove(&err, path));
  assert_int_equal(rmdir(folder), 0); /* no temporary file, hidden or not, is left */
  free(path), free(folder);
}

static void test_list(void **state) {
  (void)state;
  gh_error err = {0};
  char *folder = check_folder();
  static const char *const made[] = {"b.png", "a/2.png", "a/10.png", "B.png", ".hidden", "\xc3\xa9.png", "a-b.png"};
  static const char *const sorted[] = {"B.png", "a-b.png", "a/10.png", "a/2.png", "b.png", "\xc3\xa9.png"};
  gh_strings names = {0};
  char *sub = check_path(folder, "a"), *loop = check_path(folder, "a/loop"), *dangling = check_path(folder, "dangling");
  check_ok(gh_folder_make(&err, sub));
  for (size_t i = 0; i < GH_COUNT(made); i++) {
    char *path = check_path(folder, made[i]);
    check_write(path, "", 0);
    free(path);
  }
  assert_int_equal(symlink("nowhere", dangling), 0);
  check_ok(gh_folder_list(&err, &names, folder, true));
  assert_int_equal(names.count, GH_COUNT(sorted));
  for (size_t i = 0; i < names.count; i++) assert_string_equal(names.items[i], sorted[i]);
  gh_strings_free(&names);
  check_ok(gh_folder_list(&err, &names, folder, false));
  assert_int_equal(names.count, 4);
  gh_strings_free(&names);
  check_ok(gh_folder_list_all(&err, &names, folder, false));
  assert_int_equal(names.count, 5);
  assert_string_equal(names.items[3], "dangling");
  gh_strings_free(&names);
  assert_int_equal(symlink("..", loop), 0);
  check_fails(gh_folder_list(&err, &names, folder, true), GH_ERROR_FILE, "links back");
  assert_null(names.items);
  free(sub), free(loop), free(dangling);
  check_folder_done(folder);
  assert_false(gh_path_exists("/nonexistent/genhance"));
  check_fails(gh_folder_list(&err, &names, "/nonexistent/genhance", true), GH_ERROR_FILE, "/nonexistent/genhance");
}

static void test_lock(void **state) {
  (void)state;
  gh_error err = {0};
  char *folder = check_folder(), *path = check_path(folder, "lock");
  gh_file_lock *lock, *second;
  check_ok(gh_file_lock_take(&err, &lock, path, false));
  check_fails(gh_file_lock_take(&err, &second, path, false), GH_ERROR_FILE, "in use by another process");
  assert_null(second);
  gh_file_lock_release(lock);
  check_ok(gh_file_lock_take(&err, &second, path, true));
  gh_file_lock_release(second);
  gh_file_lock_release(NULL);
  free(path);
  check_folder_done(folder);
}

static gh_status write_and_list(gh_error *err, void *state) {
  gh_strings names = {0}, copy = {0};
  char *path = gh_path_join(err, state, "file.bin"), *text = NULL;
  gh_status status = path ? gh_folder_make(err, state) : GH_ERROR_MEMORY;
  if (!status) status = gh_file_write(err, path, "abc", 3);
  if (!status) status = gh_file_read(err, path, 100, &text, NULL);
  if (!status) status = gh_folder_list(err, &names, state, true);
  if (!status) status = gh_strings_copy(err, &copy, &names);
  free(text), free(path);
  gh_strings_free(&names), gh_strings_free(&copy);
  return status;
}

static void test_file_allocation_failures(void **state) {
  (void)state;
  char *folder = check_folder(), *sub = check_path(folder, "sub");
  check_allocation_failures(write_and_list, sub);
  free(sub);
  check_folder_done(folder);
}

/* ---- log and stop ---- */

/* Captures what a child writes to stderr. */
static void capture(void (*body)(void), char *out, size_t size) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  fflush(NULL);
  pid_t child = fork();
  if (!child) {
    dup2(ends[1], 2);
    body();
    _exit(0);
  }
  close(ends[1]);
  size_t used = 0;
  for (ssize_t n; (n = read(ends[0], out + used, size - 1 - used)) > 0;) used += (size_t)n;
  out[used] = 0;
  close(ends[0]);
  waitpid(child, NULL, 0);
}

static void say_things(void) {
  gh_progress progress;
  gh_info("one\nline");
  gh_warn("number %d", 7);
  gh_warn("%s", "a\xe2\x80\xae"
                "b\xff");
  gh_debug("hidden");
  gh_log_set_level(GH_LOG_DEBUG);
  gh_debug("seen");
  gh_progress_start(&progress, "stage\xc2\x9b 1", "steps", 100, 90);
  gh_progress_update(&progress, 95, "loss 1"); /* too early for a line */
  gh_progress_end(&progress);
}

static void test_log(void **state) {
  (void)state;
  char text[1000];
  capture(say_things, text, sizeof text);
  assert_true(
      gh_starts_with(text, "one?line\nwarning: number 7\nwarning: a?b?\ndebug: seen\nstage? 1: 95/100 steps, "));
  assert_null(strstr(text, "hidden"));
  assert_null(strstr(text, "loss"));
}

static void test_stop(void **state) {
  (void)state;
  signal(SIGHUP, SIG_IGN); /* like nohup */
  gh_stop_install();
  raise(SIGHUP);
  assert_false(gh_stop_requested());
  signal(SIGHUP, SIG_DFL);
  gh_stop_install();
  raise(SIGHUP);
  assert_int_equal(gh_stop_signal(), SIGHUP);
  gh_stop_request(0);
  assert_false(gh_stop_requested());
  raise(SIGTERM);
  assert_true(gh_stop_requested());
  assert_int_equal(gh_stop_signal(), SIGTERM);
  fflush(NULL);
  pid_t child = fork();
  if (!child) { /* the second signal ends the process */
    raise(SIGINT);
    _exit(0);
  }
  int result = 0;
  waitpid(child, &result, 0);
  assert_true(WIFSIGNALED(result) && WTERMSIG(result) == SIGINT);
  gh_stop_request(0);
  assert_false(gh_stop_requested());
}

/* ---- arrays ---- */

static void test_arrays_grow(void **state) {
  (void)state;
  gh_error e = {0};
  int32_t *items = NULL;
  size_t capacity = 0, count = 0;
  for (; count < 1000; count++) {
    assert_int_equal(GH_ARRAY_RESERVE(&e, items, capacity, count, 1), GH_OK);
    items[count] = (int32_t)count;
  }
  assert_true(capacity >= 1000 && capacity < 2000);
  for (size_t i = 0; i < count; i++) assert_int_equal(items[i], i);
  const int32_t *before = items;
  assert_int_equal(GH_ARRAY_RESERVE(&e, items, capacity, count, SIZE_MAX - 10), GH_ERROR_MEMORY);
  gh_alloc_fail_after(1);
  assert_int_equal(GH_ARRAY_RESERVE(&e, items, capacity, count, 5000), GH_ERROR_MEMORY);
  assert_ptr_equal(items, before);
  assert_int_equal(items[999], 999);
  free(items);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_arrays_grow),
      cmocka_unit_test(test_error_text),
      cmocka_unit_test(test_edit_distance),
      cmocka_unit_test(test_nearest),
      cmocka_unit_test(test_utf8),
      cmocka_unit_test(test_shape_text),
      cmocka_unit_test(test_hidden_characters),
      cmocka_unit_test(test_f16),
      cmocka_unit_test(test_bf16),
      cmocka_unit_test(test_paths),
      cmocka_unit_test(test_files),
      cmocka_unit_test(test_full_disk),
      cmocka_unit_test(test_list),
      cmocka_unit_test(test_lock),
      cmocka_unit_test(test_file_allocation_failures),
      cmocka_unit_test(test_log),
      cmocka_unit_test(test_stop),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
