/* Shards as sources: the indexed and the omitted members, and that the loader shows the same crops as from a folder. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "data/index.h"
#include "data/loader.h"
#include "data/shards.h"
#include "data/source.h"
#include "io/png_write.h"
#include "support/check.h"
#include "support/tar.h"

enum { S = 8, FLOATS = 3 * S * S, IMAGES = 12 };

static gh_error err;
static char *folder;
static tar_bytes pictures[IMAGES]; /* PNG files, each with its own size and shade of red */

static char *in_folder(const char *name) { return check_path(folder, name); }

static void write_tar(const char *name, tar_bytes *tar) {
  char *path = in_folder(name);
  check_write(path, tar->bytes, tar->size);
  tar_free(tar);
  free(path);
}

/* Writes a shard as img2dataset does, with pictures [from, to). */
static void write_shard(const char *name, int from, int to) {
  tar_bytes tar = {0};
  char member[32];
  for (int i = from; i < to; i++) {
    snprintf(member, sizeof member, "%09d.jpg", i); /* its name does not matter to the decoder */
    tar_file(&tar, member, pictures[i].bytes, pictures[i].size);
    snprintf(member, sizeof member, "%09d.json", i);
    tar_text(&tar, '0', member, "{\"caption\": \"a picture\", \"key\": \"x\"}");
    snprintf(member, sizeof member, "%09d.txt", i);
    tar_text(&tar, '0', member, "a picture");
  }
  tar_end(&tar);
  write_tar(name, &tar);
}

static int make_files(void **state) {
  (void)state;
  folder = check_folder();
  gh_log_set_level(GH_LOG_QUIET);
  static const char *const caches[] = {"GH_CACHE_DIR", "XDG_CACHE_HOME", "HOME"}; /* no cache: see test_shard_cache.c */
  for (size_t i = 0; i < GH_COUNT(caches); i++) unsetenv(caches[i]);
  char *photos = in_folder("photos");
  check_ok(gh_folder_make(&err, photos));
  for (int i = 0; i < IMAGES; i++) {
    char name[40];
    snprintf(name, sizeof name, "photos/%09d.jpg", i);
    char *path = in_folder(name);
    gh_image image;
    check_ok(gh_image_new(&err, &image, 9 + i, 30 - 2 * i));
    for (int k = 0; k < image.width * image.height; k++) {
      image.pixels[3 * k] = (uint8_t)(20 * i);
      image.pixels[3 * k + 1] = (uint8_t)(k * 7);
    }
    check_ok(gh_png_write(&err, path, &image));
    check_ok(gh_file_read(&err, path, 1 << 20, &pictures[i].bytes, &pictures[i].size));
    gh_image_free(&image);
    free(path);
  }
  write_shard("all.tar", 0, IMAGES);
  write_shard("s-00008.tar", 0, 5);
  write_shard("s-00009.tar", 5, 5); /* none */
  write_shard("s-00010.tar", 5, IMAGES);
  free(photos);
  return 0;
}

static int remove_files(void **state) {
  (void)state;
  for (int i = 0; i < IMAGES; i++) tar_free(&pictures[i]);
  check_folder_done(folder);
  return 0;
}

static gh_source *open_source(const char *name) {
  char *path = in_folder(name);
  gh_source *source;
  check_ok(gh_source_open(&err, &source, path));
  free(path);
  return source;
}

/* ---- sources ---- */

static void test_a_pattern_is_the_folder_it_was_made_from(void **state) {
  (void)state;
  gh_source *photos = open_source("photos"), *one = open_source("all.tar"), *many = open_source("s-{00008..00010}.tar");
  assert_int_equal(gh_source_count(many), IMAGES);
  assert_true(gh_source_hash(photos, 1) == gh_source_hash(one, 1) && gh_source_hash(one, 1) == gh_source_hash(many, 1));
  assert_int_equal(gh_source_left_out(many), 0);
  for (size_t i = 0; i < IMAGES; i++) {
    char *bytes, want[64], *name = gh_source_full_name(&err, many, i);
    size_t size;
    check_ok(gh_source_load(&err, many, i, &bytes, &size));
    assert_int_equal(size, pictures[i].size);
    assert_int_equal(size, gh_source_bytes(many, i));
    assert_memory_equal(bytes, pictures[i].bytes, size);
    snprintf(want, sizeof want, "/s-000%s.tar/%09zu.jpg", i < 5 ? "08" : "10", i);
    assert_true(gh_ends_with(name, want));
    assert_string_equal(gh_source_name(many, i), gh_source_name(photos, i));
    free(bytes);
    free(name);
  }
  gh_source_free(photos);
  gh_source_free(one);
  gh_source_free(many);
}

static void test_members_are_sorted_and_hidden_ones_left_out(void **state) {
  (void)state;
  static const char *const order[] = {"Z.PNG", "a.png", "sub-1.png", "sub/x.jpeg"};
  static const char *const members[] = {"sub/x.jpeg", "./sub-1.png", "._a.png", "sub/.b.png", "Z.PNG", "a.png", ".png"};
  tar_bytes tar = {0};
  for (size_t i = 0; i < GH_COUNT(members); i++) tar_text(&tar, '0', members[i], members[i]);
  tar_end(&tar);
  write_tar("sorted.tar", &tar);
  gh_source *source = open_source("sorted.tar");
  assert_int_equal(gh_source_count(source), GH_COUNT(order));
  assert_int_equal(gh_source_left_out(source), 0);
  for (size_t i = 0; i < GH_COUNT(order); i++) {
    char *bytes;
    size_t size;
    check_ok(gh_source_load(&err, source, i, &bytes, &size));
    assert_string_equal(gh_source_name(source, i), order[i]);
    assert_non_null(strstr(bytes, order[i]));
    free(bytes);
  }
  gh_source_free(source);
}

/* A sample's members are told apart by what follows the first dot, as in webdataset. */
static void test_masks_are_not_pictures(void **state) {
  (void)state;
  static const char *const members[] = {"a.jpg",     "a.seg.png",    "a.txt",    "b.JPG",
                                        "b.seg.png", "sub.d/c.jpeg", "d.v2.png", "e.jfif"};
  static const char *const pictures_of[] = {"a.jpg", "b.JPG", "sub.d/c.jpeg"}, *const masks[] = {"a.seg.png",
                                                                                                 "b.seg.png"};
  tar_bytes tar = {0};
  for (size_t i = 0; i < GH_COUNT(members); i++) tar_text(&tar, '0', members[i], "x");
  tar_end(&tar);
  write_tar("masks.tar", &tar);
  gh_source *source = open_source("masks.tar");
  assert_int_equal(gh_source_count(source), GH_COUNT(pictures_of));
  for (size_t i = 0; i < GH_COUNT(pictures_of); i++) {
    char *name = gh_source_short_name(&err, source, i), *want = gh_format(&err, "masks.tar/%s", pictures_of[i]);
    assert_string_equal(gh_source_name(source, i), pictures_of[i]);
    assert_string_equal(name, want); /* names of several shards stay distinct */
    free(name);
    free(want);
  }
  gh_source_free(source);
  gh_strings keys = {0};
  char *path = in_folder("masks.tar");
  check_ok(gh_strings_add(&err, &keys, "Seg.png"));
  check_ok(gh_source_open_keys(&err, &source, path, &keys));
  assert_int_equal(gh_source_count(source), GH_COUNT(masks));
  for (size_t i = 0; i < GH_COUNT(masks); i++) assert_string_equal(gh_source_name(source, i), masks[i]);
  gh_source_free(source);
  gh_strings_free(&keys);
  check_ok(gh_strings_add(&err, &keys, "depth.png"));
  check_fails(gh_source_open_keys(&err, &source, path, &keys), GH_ERROR_FILE, "no image");
  gh_strings_free(&keys);
  free(path);
}

/* Of several pictures in a sample, the one whose key comes first counts, wherever it lies. */
static void test_a_sample_has_one_picture(void **state) {
  (void)state;
  static const char *const members[] = {"a.png", "a.txt", "a.jpg", "a.JPEG", "b.png", "d/a.jpg", "d/a.png", "e.v.jpg"};
  static const char *const wanted[] = {"a.jpg", "b.png", "d/a.jpg"}, *const others[] = {"a.png", "b.png", "d/a.png"};
  char reasons[300];
  tar_bytes tar = {0};
  for (size_t i = 0; i < GH_COUNT(members); i++) tar_text(&tar, '0', members[i], "x");
  tar_end(&tar);
  write_tar("samples.tar", &tar);
  char *path = in_folder("samples.tar");
  gh_shards shards = {0};
  gh_index index = {0};
  check_ok(gh_shards_index(&err, &shards, &index, path, NULL));
  assert_int_equal(index.count, GH_COUNT(wanted));
  for (size_t i = 0; i < index.count; i++) assert_string_equal(gh_index_name(&index, i), wanted[i]);
  gh_index_reasons(reasons, sizeof reasons, &index, false);
  assert_string_equal(reasons, "2 png (another picture of its sample), 1 JPEG (another picture of its sample), "
                               "1 v.jpg (no picture by its key)");
  gh_index_free(&index);
  gh_shards_free(&shards);
  gh_strings keys = {0};
  gh_source *source = NULL;
  check_ok(gh_strings_add(&err, &keys, "png"));
  check_ok(gh_strings_add(&err, &keys, "jpg"));
  check_ok(gh_source_open_keys(&err, &source, path, &keys));
  assert_int_equal(gh_source_count(source), GH_COUNT(others));
  for (size_t i = 0; i < GH_COUNT(others); i++) assert_string_equal(gh_source_name(source, i), others[i]);
  gh_source_free(source);
  gh_strings_free(&keys);
  free(path);
}

static void test_what_is_left_out_is_counted_by_reason(void **state) {
  (void)state;
  char text[600];
  gh_index index = {0}, whole = {0};
  static const char *const names[] = {"a.gif", "b.gif", "c.tiff", "d.txt", "e", "f.png", "sub.d/g"};
  for (size_t i = 0; i < GH_COUNT(names); i++) check_ok(gh_index_add(&err, &index, names[i], 0, 1));
  check_ok(gh_index_add(&err, &index, "h.png", 0, UINT64_C(1) << 40));
  gh_index_tally(&index, "seg.png", "no picture by its key", 7, false);
  check_ok(gh_index_append(&err, &whole, &index, "x.tar"));
  check_ok(gh_index_append(&err, &whole, &index, "y.tar"));
  gh_index_reasons(text, sizeof text, &whole, false);
  assert_string_equal(text, "4 .gif (format not supported), 2 .tiff (format not supported), 2 too large, "
                            "14 seg.png (no picture by its key)");
  gh_index_reasons(text, sizeof text, &whole, true);
  assert_string_equal(text, "2 .txt, 4 without an ending");
  for (int i = 0; i < 2 * GH_INDEX_REASONS; i++) {
    snprintf(text, sizeof text, "kind%d.png", i);
    gh_index_tally(&whole, text, "", 1, false);
  }
  gh_index_reasons(text, sizeof text, &whole, false);
  assert_non_null(strstr(text, " for other reasons"));
  gh_index_free(&index);
  gh_index_free(&whole);
}

static void check_notes(const gh_source *source, const char *const *want, size_t count) {
  const gh_strings *notes = gh_source_notes(source);
  for (size_t i = 0; i < GH_MIN(notes->count, count); i++)
    if (!strstr(notes->items[i], want[i])) fail_msg("note %zu: \"%s\", expected \"%s\"", i, notes->items[i], want[i]);
  assert_int_equal(notes->count, count);
  assert_int_equal(gh_source_left_out(source), count);
}

static void test_unusable_members_are_counted_and_named(void **state) {
  (void)state;
  tar_bytes tar = {0};
  tar_file(&tar, "good.png", pictures[0].bytes, pictures[0].size);
  tar_text(&tar, '0', "../up.png", "x");
  tar_text(&tar, '0', "a/../../up.png", "x");
  tar_text(&tar, '0', "/etc/absolute.png", "x");
  tar_text(&tar, '0', "a\\b.png", "x");
  tar_text(&tar, '0', "../up.txt", "captions are never looked at");
  tar_header(&tar, '2', "link.png", 0);
  tar_header(&tar, '1', "hard.jpg", 0);
  tar_header(&tar, '5', "folder.jpg/", 0);
  tar_header(&tar, '5', "photos/", 0); /* tar writes this for every folder */
  tar_text(&tar, 'S', "sparse.jpeg", "x");
  tar_text(&tar, '0', "picture.gif", "RIFF");
  tar_text(&tar, '0', "picture.TIFF", "x");
  tar_text(&tar, 'x', "PaxHeaders/x", "no records");
  tar_text(&tar, '0', "cut-off-name", "x");
  tar_text(&tar, '0', "good.png", "the first stays");
  tar_file(&tar, "good2.png", pictures[1].bytes, pictures[1].size);
  tar_header(&tar, '0', "gone.png", 100);
  write_tar("hostile.tar", &tar);
  static const char *const want[] = {"hostile.tar/../up.png: a name outside its folder",
                                     "hostile.tar/a/../../up.png: a name outside",
                                     "hostile.tar//etc/absolute.png: a name outside",
                                     "hostile.tar/a\\b.png: a name outside",
                                     "hostile.tar/link.png: a symbolic link",
                                     "hostile.tar/hard.jpg: a hard link",
                                     "hostile.tar/folder.jpg: a folder",
                                     "hostile.tar/sparse.jpeg: a sparse file",
                                     "hostile.tar/picture.gif: images of this format are not supported",
                                     "hostile.tar/picture.TIFF: images of this format",
                                     "hostile.tar/cut-off-name: its extended header is unusable",
                                     "hostile.tar: broken at byte ",
                                     "hostile.tar/good.png: a duplicate name"};
  gh_source *source = open_source("hostile.tar");
  check_notes(source, want, GH_COUNT(want));
  assert_non_null(strstr(gh_source_notes(source)->items[11], "(cut off inside the member gone.png)"));
  assert_int_equal(gh_source_count(source), 2);
  assert_int_equal(gh_source_bytes(source, 0), pictures[0].size);
  gh_source_free(source);
}

/* A sparse file, which takes no space: an image of 3 GiB, and another after it. */
static void test_a_huge_member_only_skips_itself(void **state) {
  (void)state;
  const uint64_t huge = UINT64_C(3) << 30;
  char *path = in_folder("huge.tar");
  tar_bytes tar = {0}, rest = {0};
  tar_file(&tar, "a.png", pictures[0].bytes, pictures[0].size);
  tar_header(&tar, '0', "huge.png", huge);
  check_write(path, tar.bytes, tar.size);
  tar_file(&rest, "z.png", pictures[1].bytes, pictures[1].size);
  tar_end(&rest);
  int fd = open(path, O_WRONLY);
  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, rest.bytes, rest.size, (off_t)(tar.size + huge)), rest.size);
  close(fd);
  gh_source *source = open_source("huge.tar");
  static const char *const want[] = {"huge.tar/huge.png: 3221225472 bytes exceed"};
  check_notes(source, want, 1);
  assert_int_equal(gh_source_count(source), 2);
  char *bytes;
  size_t size;
  check_ok(gh_source_load(&err, source, 1, &bytes, &size));
  assert_memory_equal(bytes, pictures[1].bytes, size);
  free(bytes);
  gh_source_free(source);
  tar_free(&tar);
  tar_free(&rest);
  free(path);
}

/* One shard of many may be completely damaged; the others are used. */
static void test_a_broken_shard_among_whole_ones(void **state) {
  (void)state;
  char *path = in_folder("b-1.tar");
  write_shard("b-0.tar", 0, 2);
  check_write(path, "<html>404 not found</html>", 26);
  write_shard("b-2.tar", 2, 4);
  gh_source *source = open_source("b-{0..2}.tar");
  static const char *const want[] = {"b-1.tar: a web page, not the file itself: the download failed"};
  check_notes(source, want, 1);
  assert_int_equal(gh_source_count(source), 4);
  gh_source_free(source);
  check_write(path, "", 0);
  source = open_source("b-{0..2}.tar");
  assert_int_equal(gh_source_left_out(source), 1);
  gh_source_free(source);
  free(path);
}

static void test_notes_are_limited(void **state) {
  (void)state;
  tar_bytes tar = {0};
  for (int i = 0; i < 3 * GH_INDEX_NOTES; i++) tar_text(&tar, '0', "x.gif", "");
  tar_file(&tar, "a.png", pictures[0].bytes, pictures[0].size);
  tar_end(&tar);
  write_tar("gif.tar", &tar);
  gh_source *source = open_source("gif.tar");
  assert_int_equal(gh_source_left_out(source), 3 * GH_INDEX_NOTES);
  assert_int_equal(gh_source_notes(source)->count, GH_INDEX_NOTES);
  gh_source_free(source);
}

static void test_formats_in_a_folder_are_counted_too(void **state) {
  (void)state;
  char *sub = in_folder("mixed/sub");
  check_ok(gh_folder_make(&err, sub));
  static const char *const files[] = {"mixed/a.gif", "mixed/sub/b.png", "mixed/c.txt"};
  for (size_t i = 0; i < GH_COUNT(files); i++) {
    char *path = in_folder(files[i]);
    check_write(path, "x", 1);
    free(path);
  }
  char *large = in_folder("mixed/large.jpg");
  check_write(large, "x", 1);
  assert_int_equal(truncate(large, (off_t)5 << 30), 0); /* a hole */
  gh_source *source = open_source("mixed");
  assert_int_equal(gh_source_count(source), 1);
  assert_int_equal(gh_source_left_out(source), 2);
  gh_source_free(source);
  free(large);
  free(sub);
}

static void test_rejected_sources(void **state) {
  (void)state;
  static const struct {
    const char *name, *content; /* NULL: not written */
    gh_status status;
    const char *says;
  } cases[] = {
      {"absent.tar", NULL, GH_ERROR_FILE, "no such file"},
      {"s-{00008..00013}.tar", NULL, GH_ERROR_FILE, "s-00011.tar: no such file: shard 4 of the 6 of"},
      {"s-{00008,x}.tar", NULL, GH_ERROR_FILE, "s-x.tar: no such file: shard 2 of the 2 of"},
      {"s-{0..999999999}.tar", NULL, GH_ERROR_CONFIG, "more than 1000000 paths"},
      {"s-{00008..00013.tar", NULL, GH_ERROR_CONFIG, "a { without its }"},
      {"{photos,photos}", NULL, GH_ERROR_CONFIG, "a pattern must name .tar shards; "},
      {"none.tar", "", GH_ERROR_FILE, "no image by its key (jpg, jpeg, png; "},
      {"zipped.tar", "\x1f\x8b\x08 and so on", GH_ERROR_UNSUPPORTED, "compressed with gzip"},
      {"zipped.tar.gz", "\x1f\x8b\x08 and so on", GH_ERROR_UNSUPPORTED, "compressed with gzip"},
      {"zipped.tar.zst", "\x28\xb5\x2f\xfd and so on", GH_ERROR_UNSUPPORTED, "compressed with zstd"},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    char *path = in_folder(cases[i].name);
    gh_source *source;
    if (cases[i].content) check_write(path, cases[i].content, strlen(cases[i].content));
    check_fails(gh_source_open(&err, &source, path), cases[i].status, cases[i].says);
    assert_null(source);
    free(path);
  }
}

static void test_a_folder_of_shards_gives_a_hint(void **state) {
  (void)state;
  char *sub = in_folder("only-shards"), *path = in_folder("only-shards/00000.tar");
  gh_source *source;
  check_ok(gh_folder_make(&err, sub));
  check_write(path, "x", 1);
  check_fails(gh_source_open(&err, &source, sub), GH_ERROR_FILE, "to use its shards, write");
  free(path);
  free(sub);
}

static void test_a_shard_that_changes_is_noticed(void **state) {
  (void)state;
  char *path = in_folder("changing.tar"), *bytes;
  size_t size;
  write_shard("changing.tar", 0, 3);
  gh_source *source = open_source("changing.tar");
  assert_int_equal(truncate(path, 700), 0);
  check_fails(gh_source_load(&err, source, 2, &bytes, &size), GH_ERROR_FILE, "changing.tar: changed since");
  assert_null(bytes);
  check_ok(gh_file_remove(&err, path));
  check_fails(gh_source_load(&err, source, 2, &bytes, &size), GH_ERROR_FILE, "changing.tar: ");
  gh_source_free(source);
  free(path);
}

static gh_status open_body(gh_error *e, void *context) {
  gh_source *source;
  gh_status status = gh_source_open(e, &source, context);
  if (status) assert_null(source);
  gh_source_free(source);
  return status;
}

static void test_memory_may_run_out(void **state) {
  (void)state;
  static const char *const names[] = {"s-{00008..00010}.tar", "hostile.tar", "photos"};
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    char *path = in_folder(names[i]);
    check_allocation_failures(open_body, path);
    free(path);
  }
}

/* ---- the loader ---- */

static gh_loader *open_loader(const char *name, int workers) {
  char *path = in_folder(name);
  const char *const sources[] = {path};
  const gh_loader_options options = {.sources = sources,
                                     .source_count = 1,
                                     .image_size = S,
                                     .crop = {{0.08, 1.0}, {0.75, 1.3333333}},
                                     .seed = 5,
                                     .stage = 1,
                                     .workers = workers,
                                     .ahead = 7};
  gh_loader *loader;
  check_ok(gh_loader_create(&err, &loader, &options));
  free(path);
  return loader;
}

static void test_shards_give_a_folders_crops(void **state) {
  (void)state;
  enum { TOTAL = 3 * IMAGES };
  static const char *const names[] = {"photos", "all.tar", "s-{00008..00010}.tar"};
  static float want[TOTAL * FLOATS], got[TOTAL * FLOATS];
  gh_loader *loader = open_loader("photos", 0);
  check_ok(gh_loader_next(&err, loader, want, NULL, TOTAL));
  gh_loader_free(loader);
  for (size_t n = 0; n < GH_COUNT(names); n++)
    for (int workers = 0; workers <= 4; workers++) {
      loader = open_loader(names[n], workers);
      memset(got, 0, sizeof got);
      for (size_t done = 0; done < TOTAL; done += 9)
        check_ok(gh_loader_next(&err, loader, got + done * FLOATS, NULL, 9));
      assert_memory_equal(got, want, sizeof got);
      gh_loader_free(loader);
    }
}

static uint32_t crc32_of(const unsigned char *bytes, size_t size) {
  uint32_t crc = ~UINT32_C(0);
  for (size_t i = 0; i < size; i++) {
    crc ^= bytes[i];
    for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xEDB88320) : 0);
  }
  return ~crc;
}

/* Headers of 30 000 x 30 000 pictures: 2.7 GB when decoded. */
static void add_bombs(tar_bytes *tar) {
  unsigned char png[] =
      "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x75\x30\0\0\x75\x30\x08\2\0\0\0....\0\0\0\0IDAT\x35\xaf\x06\x1e";
  uint32_t crc = crc32_of(png + 12, 17);
  for (int i = 0; i < 4; i++) png[29 + i] = (unsigned char)(crc >> (24 - 8 * i));
  tar_file(tar, "bomb.png", png, sizeof png - 1);
  static const char jpeg[] =
      "\xff\xd8\xff\xc0\0\x11\x08\x75\x30\x75\x30\3\1\x11\0\2\x11\1\3\x11\1\xff\xda\0\x0c\3\1\0\2"
      "\x11\3\x11\0\x3f\0\0\xff\xd9";
  tar_file(tar, "bomb-2.jpg", jpeg, sizeof jpeg - 1);
}

static void test_hostile_images_are_skipped_and_named(void **state) {
  (void)state;
  enum { TOTAL = 20 };
  float want[TOTAL * FLOATS], got[TOTAL * FLOATS];
  tar_bytes tar = {0};
  add_bombs(&tar);
  tar_text(&tar, '0', "text.jpg", "not an image");
  tar_text(&tar, '0', "../up.jpg", "x");
  tar_file(&tar, "whole.png", pictures[3].bytes, pictures[3].size);
  tar_file(&tar, "whole2.png", pictures[4].bytes, pictures[4].size);
  tar_header(&tar, '0', "cut.png", 5000);
  write_tar("bombs.tar", &tar);
  for (int workers = 0; workers <= 3; workers++) {
    gh_loader *loader = open_loader("bombs.tar", workers);
    check_ok(gh_loader_next(&err, loader, workers ? got : want, NULL, TOTAL));
    if (workers) assert_memory_equal(got, want, sizeof got);
    gh_loader_stats stats;
    gh_loader_get_stats(loader, &stats);
    assert_true(stats.images == 5 && stats.left_out == 2 && stats.skipped == 5 && stats.samples == TOTAL);
    gh_strings broken = {0};
    check_ok(gh_loader_skipped(&err, loader, &broken));
    static const char *const names[] = {"bombs.tar/bomb-2.jpg", "bombs.tar/bomb.png", "bombs.tar/text.jpg"};
    assert_int_equal(broken.count, GH_COUNT(names));
    for (size_t i = 0; i < GH_COUNT(names); i++) assert_true(gh_ends_with(broken.items[i], names[i]));
    gh_strings_free(&broken);
    gh_loader_free(loader);
  }
  gh_source *source = open_source("bombs.tar"); /* rejected for its size, not for damage */
  for (size_t i = 0; i < 2; i++) {
    char *bytes;
    size_t size;
    gh_image image;
    check_ok(gh_source_load(&err, source, i, &bytes, &size));
    check_fails(gh_image_decode(&err, &image, "bomb", bytes, size), GH_ERROR_FORMAT, "30000 x 30000 pixels are more");
    free(bytes);
  }
  gh_source_free(source);
}

/* Damaged shards give samples or one clear error, whatever the damage. */
static void test_mutated_shards(void **state) {
  (void)state;
  char *whole = in_folder("all.tar"), *path = in_folder("mutated.tar"), *bytes;
  size_t size;
  check_ok(gh_file_read(&err, whole, 1 << 20, &bytes, &size));
  char *copy = malloc(size + 4096);
  assert_non_null(copy);
  uint64_t random = 11;
  int opened = 0, shown = 0;
  for (int round = 0; round < 150; round++) {
    memcpy(copy, bytes, size);
    size_t damaged = size;
    for (int k = 0; k < 12; k++) damaged = check_mutate(copy, damaged, size + 4096, &random);
    check_write(path, copy, damaged);
    const char *const sources[] = {path};
    const gh_loader_options options = {.sources = sources,
                                       .source_count = 1,
                                       .image_size = S,
                                       .crop = {{0.5, 1.0}, {1, 1}},
                                       .workers = round % 3,
                                       .ahead = 4};
    gh_loader *loader;
    float image[4 * FLOATS];
    if (gh_loader_create(&err, &loader, &options)) {
      assert_int_equal(err.status, GH_ERROR_FILE);
      continue;
    }
    opened++;
    shown += !gh_loader_next(&err, loader, image, NULL, 4);
    gh_loader_free(loader);
  }
  assert_true(opened > 30 && shown > 30);
  free(copy);
  free(bytes);
  free(path);
  free(whole);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_pattern_is_the_folder_it_was_made_from),
      cmocka_unit_test(test_members_are_sorted_and_hidden_ones_left_out),
      cmocka_unit_test(test_masks_are_not_pictures),
      cmocka_unit_test(test_a_sample_has_one_picture),
      cmocka_unit_test(test_what_is_left_out_is_counted_by_reason),
      cmocka_unit_test(test_unusable_members_are_counted_and_named),
      cmocka_unit_test(test_a_huge_member_only_skips_itself),
      cmocka_unit_test(test_a_broken_shard_among_whole_ones),
      cmocka_unit_test(test_notes_are_limited),
      cmocka_unit_test(test_formats_in_a_folder_are_counted_too),
      cmocka_unit_test(test_rejected_sources),
      cmocka_unit_test(test_a_folder_of_shards_gives_a_hint),
      cmocka_unit_test(test_a_shard_that_changes_is_noticed),
      cmocka_unit_test(test_memory_may_run_out),
      cmocka_unit_test(test_shards_give_a_folders_crops),
      cmocka_unit_test(test_hostile_images_are_skipped_and_named),
      cmocka_unit_test(test_mutated_shards),
  };
  return cmocka_run_group_tests(tests, make_files, remove_files);
}
