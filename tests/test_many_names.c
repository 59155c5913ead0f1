/* Many images: nested folders, and an equally large shard. Listed completely, in order, and identically each time; the
 * shard's list is built once and then read from the user's cache. For the time of a million:
 * bench/results/loader.md. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cache.h"
#include "base/file.h"
#include "base/log.h"
#include "data/loader.h"
#include "data/source.h"
#include "support/check.h"
#include "support/tar.h"

enum { OUTER = 8, INNER = 50, FILES = 50, IMAGES = OUTER * INNER * FILES }; /* 20000 */

static gh_error err;
static char *folder, *tree, *shard;

static void name_of(char out[64], int i) { /* in bytewise order */
  snprintf(out, 64, "%d/sub.%02d/deeper/%06d.%s", i / (INNER * FILES), i / FILES % INNER, i, i % 3 ? "jpg" : "PNG");
}

static void touch(const char *path) {
  int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  close(fd);
}

static int start(void **state) {
  (void)state;
  tar_bytes tar = {0};
  gh_log_set_level(GH_LOG_QUIET);
  folder = check_folder();
  tree = check_path(folder, "tree");
  shard = check_path(folder, "00000.tar");
  char *cache = check_path(folder, "cache");
  setenv("GH_CACHE_DIR", cache, 1);
  free(cache);
  for (int i = 0; i < IMAGES; i++) {
    char name[64];
    name_of(name, i);
    char *path = check_path(tree, name);
    if (i % FILES == 0) {
      char *parent = gh_path_folder(&err, path), *hidden = check_path(parent, ".left.jpg");
      char *caption = check_path(parent, "caption.txt");
      check_ok(gh_folder_make(&err, parent));
      touch(hidden);
      touch(caption);
      free(parent);
      free(hidden);
      free(caption);
    }
    touch(path);
    free(path);
  }
  for (int i = IMAGES; i-- > 0;) { /* not in order */
    char name[64];
    name_of(name, i);
    tar_file(&tar, name, "", 0);
  }
  tar_end(&tar);
  check_write(shard, tar.bytes, tar.size);
  tar_free(&tar);
  return 0;
}

static int end(void **state) {
  (void)state;
  free(tree);
  free(shard);
  check_folder_done(folder);
  return 0;
}

static gh_source *listed(const char *path) {
  gh_source *source = NULL;
  check_ok(gh_source_open(&err, &source, path));
  assert_int_equal(gh_source_count(source), IMAGES);
  assert_int_equal(gh_source_left_out(source), 0);
  return source;
}

static void every_name_in_order(void **state) {
  (void)state;
  gh_source *source = listed(tree), *again = listed(tree), *packed = listed(shard);
  for (int i = 0; i < IMAGES; i++) {
    char want[64];
    name_of(want, i);
    assert_string_equal(gh_source_name(source, (size_t)i), want);
    assert_int_equal(gh_source_bytes(source, (size_t)i), 0);
  }
  assert_true(gh_source_hash(source, 1) == gh_source_hash(again, 1));
  assert_true(gh_source_hash(source, 1) == gh_source_hash(packed, 1)); /* a folder's shard hashes like the folder */
  gh_source_free(source);
  gh_source_free(again);
  gh_source_free(packed);
}

/* An epoch of the loader's order shows each of them once. */
static void an_epoch_of_them(void **state) {
  (void)state;
  const char *const sources[] = {tree};
  const gh_loader_options options = {.sources = sources,
                                     .source_count = 1,
                                     .image_size = 8,
                                     .crop = {{1, 1}, {1, 1}},
                                     .seed = 7,
                                     .stage = 1,
                                     .ahead = 1};
  gh_loader *loader = NULL;
  gh_loader_stats stats;
  static bool seen[IMAGES];
  check_ok(gh_loader_create(&err, &loader, &options));
  gh_loader_get_stats(loader, &stats);
  assert_int_equal(stats.images, IMAGES);
  for (uint64_t p = 0; p < IMAGES; p++) {
    uint64_t image = gh_loader_image_of(loader, p);
    assert_true(image < IMAGES && !seen[image]);
    seen[image] = true;
  }
  gh_loader_free(loader);
}

static void a_shards_list_is_made_once(void **state) {
  (void)state;
  static const char changed[] = "0/sub.07/deeper/CHANGE.jpg";
  gh_strings names = {0};
  char *bytes = NULL, old[64], *cache = check_path(folder, "cache");
  size_t size = 0;
  gh_source_free(listed(shard));
  check_ok(gh_folder_list(&err, &names, cache, false));
  assert_int_equal(names.count, 1);
  assert_true(gh_cache_load(names.items[0], &bytes, &size));
  name_of(old, 7 * FILES + 2); /* 352: a jpg */
  assert_int_equal(strlen(old), strlen(changed));
  char *at = memmem(bytes, size, old, strlen(old));
  assert_non_null(at);
  memcpy(at, changed, strlen(changed));
  gh_cache_store(names.items[0], bytes, size);
  gh_source *source = listed(shard); /* reports the cached name: the shard was not walked */
  assert_string_equal(gh_source_name(source, 7 * FILES + 2), changed);
  gh_source_free(source);
  gh_strings_free(&names);
  free(bytes);
  free(cache);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_name_in_order),
      cmocka_unit_test(an_epoch_of_them),
      cmocka_unit_test(a_shards_list_is_made_once),
  };
  return cmocka_run_group_tests(tests, start, end);
}
