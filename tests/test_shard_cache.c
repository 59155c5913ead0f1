/* The index of a large shard is kept in the user's cache: used, but rejected if damaged or if the shard changed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cache.h"
#include "base/file.h"
#include "base/log.h"
#include "data/index.h"
#include "data/source.h"
#include "support/check.h"
#include "support/tar.h"

enum { IMAGES = 1100 };

static gh_error err;
static char *folder, *cache, *shard;

static void write_shard(const char *first_name) {
  tar_bytes tar = {0};
  tar_text(&tar, '0', first_name, "first");
  for (int i = 1; i < IMAGES; i++) {
    char name[32];
    snprintf(name, sizeof name, "%06d.jpg", i);
    tar_text(&tar, '0', name, "picture");
  }
  tar_text(&tar, '0', "a.gif", "no");
  tar_text(&tar, '2', "b.jpg", "");
  check_write(shard, tar.bytes, tar.size); /* no end mark: a third note */
  tar_free(&tar);
}

static int start(void **state) {
  (void)state;
  gh_log_set_level(GH_LOG_QUIET);
  folder = check_folder();
  cache = check_path(folder, "cache");
  shard = check_path(folder, "00000.tar");
  setenv("GH_CACHE_DIR", cache, 1);
  write_shard("000000.jpg");
  return 0;
}

static int end(void **state) {
  (void)state;
  free(cache);
  free(shard);
  check_folder_done(folder);
  return 0;
}

static gh_source *open_shard(const char *path) {
  gh_source *source;
  check_ok(gh_source_open(&err, &source, path));
  assert_int_equal(gh_source_count(source), IMAGES);
  assert_int_equal(gh_source_left_out(source), 3);
  assert_int_equal(gh_source_notes(source)->count, 3);
  for (size_t i = 0; i < 3; i++) assert_true(gh_starts_with(gh_source_notes(source)->items[i], path));
  return source;
}

/* The only entry's name; the caller frees. */
static char *entry_name(void) {
  gh_strings names = {0};
  check_ok(gh_folder_list(&err, &names, cache, false));
  assert_int_equal(names.count, 1);
  char *name = gh_strdup(&err, names.items[0]);
  gh_strings_free(&names);
  return name;
}

static void test_the_second_open_uses_the_cache(void **state) {
  (void)state;
  char *linked = check_path(folder, "linked.tar");
  gh_source *walked = open_shard(shard);
  assert_int_equal(symlink(shard, linked), 0);
  gh_source *kept = open_shard(shard), *link = open_shard(linked); /* one entry, each with its own name in the notes */
  assert_true(gh_source_hash(walked, 0) == gh_source_hash(kept, 0));
  assert_true(gh_source_hash(walked, 0) == gh_source_hash(link, 0));
  char *bytes, *name = entry_name();
  size_t size;
  check_ok(gh_source_load(&err, kept, 0, &bytes, &size));
  assert_string_equal(bytes, "first");
  free(bytes);
  gh_source_free(walked);
  gh_source_free(kept);
  gh_source_free(link);

  assert_true(gh_cache_load(name, &bytes, &size)); /* its text shows that it is used */
  char *at = memmem(bytes, size, "000777.jpg", 10);
  assert_non_null(at);
  memcpy(at, "CHANGED", 7);
  gh_cache_store(name, bytes, size);
  kept = open_shard(shard);
  assert_string_equal(gh_source_name(kept, 777), "CHANGEDjpg");
  gh_source_free(kept);
  free(bytes);
  free(name);
  free(linked);
}

static void test_a_shard_that_changed_is_walked_again(void **state) {
  (void)state;
  struct stat before, after;
  gh_source_free(open_shard(shard));
  assert_int_equal(stat(shard, &before), 0);
  do { /* same size, different tick of the file system's clock */
    write_shard("000000.PNG");
    assert_int_equal(stat(shard, &after), 0);
  } while (!memcmp(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim));
  gh_source *source = open_shard(shard);
  assert_string_equal(gh_source_name(source, 0), "000000.PNG");
  assert_string_equal(gh_source_name(source, 777), "000777.jpg");
  gh_source_free(source);
}

/* Whatever the cache contains, a source's entries are the shard's, or at least lie inside it. */
static void test_damaged_entries_are_not_used(void **state) {
  (void)state;
  gh_source *source = open_shard(shard);
  const uint64_t hash = gh_source_hash(source, 0);
  gh_source_free(source);
  char *name = entry_name(), *bytes;
  size_t size;
  assert_true(gh_cache_load(name, &bytes, &size));
  for (size_t cut = 0; cut < size; cut += 1 + cut / 3) {
    gh_cache_store(name, bytes, cut);
    source = open_shard(shard);
    assert_true(gh_source_hash(source, 0) == hash);
    gh_source_free(source);
  }
  free(bytes);
  free(name);
}

static void test_unpacking_trusts_nothing(void **state) {
  (void)state;
  gh_index index = {0}, out;
  char name[32], *bytes;
  size_t size;
  for (int i = 0; i < 40; i++) {
    snprintf(name, sizeof name, "%d.jpg", i);
    check_ok(gh_index_add(&err, &index, name, (uint64_t)i * 1000, 900));
    if (i % 10 == 0) check_ok(gh_index_skip(&err, &index, name, "for a reason"));
  }
  check_ok(gh_index_pack(&err, &index, &bytes, &size));
  assert_true(gh_index_unpack(&out, bytes, size, 40000));
  assert_int_equal(out.count, 40);
  assert_string_equal(gh_index_name(&out, 39), "39.jpg");
  assert_string_equal(out.notes.items[3], "/30.jpg: for a reason");
  gh_index_free(&out);
  assert_false(gh_index_unpack(&out, bytes, size, 39899)); /* the last image would end past the shard */
  assert_true(gh_index_unpack(&out, bytes, size, 39900));
  gh_index_free(&out);

  uint64_t random = 3;
  int good = 0;
  for (int round = 0; round < 3000; round++) {
    char *copy = malloc(size + 64);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    size_t damaged = check_mutate(copy, size, size + 64, &random);
    char *exact = malloc(damaged + !damaged);
    assert_non_null(exact);
    memcpy(exact, copy, damaged);
    if (gh_index_unpack(&out, exact, damaged, 40000)) {
      good++;
      for (size_t i = 0; i < out.count; i++) {
        assert_true(out.entries[i].offset + out.entries[i].bytes <= 40000);
        assert_true(strlen(gh_index_name(&out, i)) < size);
      }
    }
    assert_true(out.notes.count <= GH_INDEX_NOTES);
    gh_index_free(&out);
    free(exact);
    free(copy);
  }
  assert_true(good > 30 && good < 2970);
  gh_index_free(&index);
  free(bytes);
}

static void test_small_shards_are_not_kept(void **state) {
  (void)state;
  char *path = check_path(folder, "small.tar"), *name = entry_name();
  tar_bytes tar = {0};
  tar_text(&tar, '0', "a.jpg", "x");
  tar_end(&tar);
  check_write(path, tar.bytes, tar.size);
  gh_source *source;
  check_ok(gh_source_open(&err, &source, path));
  gh_source_free(source);
  free(name);
  free(entry_name()); /* still a single entry */
  tar_free(&tar);
  free(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_second_open_uses_the_cache),
      cmocka_unit_test(test_a_shard_that_changed_is_walked_again),
      cmocka_unit_test(test_damaged_entries_are_not_used),
      cmocka_unit_test(test_unpacking_trusts_nothing),
      cmocka_unit_test(test_small_shards_are_not_kept),
  };
  return cmocka_run_group_tests(tests, start, end);
}
