/* The tar walk: every dialect libarchive writes, handmade members, truncated and mutated files; brace patterns. */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "data/braces.h"
#include "io/tar.h"
#include "support/check.h"
#include "support/tar.h"

static gh_error err;

/* ---- records of a walk ---- */

enum { MOST = 64 };

typedef struct seen {
  struct {
    char name[GH_TAR_MAX_NAME + 1];
    uint64_t offset, bytes;
    const char *problem;
    bool name_unsure;
  } members[MOST];
  size_t count;
  uint64_t size; /* of the file */
  uint64_t last;
} seen;

static gh_status note(gh_error *unused, void *context, const gh_tar_member *member) {
  (void)unused;
  seen *s = context;
  assert_true(member->offset <= s->size && member->bytes <= s->size - member->offset);
  assert_true(member->offset > s->last && strlen(member->name) <= GH_TAR_MAX_NAME);
  s->last = member->offset;
  if (s->count < MOST) {
    strcpy(s->members[s->count].name, member->name);
    s->members[s->count].offset = member->offset;
    s->members[s->count].bytes = member->bytes;
    s->members[s->count].problem = member->problem;
    s->members[s->count].name_unsure = member->name_unsure;
  }
  s->count++;
  return GH_OK;
}

/* Walks a copy of exactly this size, so that a sanitizer detects reading one byte too many. */
static gh_tar_end walk(seen *s, const void *bytes, size_t size) {
  gh_tar_end end;
  char *copy = malloc(size + !size);
  assert_non_null(copy);
  memcpy(copy, bytes, size);
  s->count = 0;
  s->last = 0;
  s->size = size;
  check_ok(gh_tar_walk(&err, &(gh_tar_input){.bytes = copy, .size = size}, note, s, &end));
  assert_int_equal(end.members, s->count);
  assert_true(end.offset <= size);
  free(copy);
  return end;
}

static seen first, second;

/* ---- archivers' dialects ---- */

static void write_archive(tar_bytes *out, const char *format, const char *const *names, size_t count) {
  out->capacity = 1 << 20;
  out->bytes = malloc(out->capacity);
  assert_non_null(out->bytes);
  struct archive *a = archive_write_new();
  assert_int_equal(archive_write_set_format_by_name(a, format), ARCHIVE_OK);
  assert_int_equal(archive_write_open_memory(a, out->bytes, out->capacity, &out->size), ARCHIVE_OK);
  for (size_t i = 0; i < count; i++) {
    char content[3000];
    size_t size = i * 511 % sizeof content;
    memset(content, (int)('a' + i), sizeof content);
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, names[i]);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, 1700000000, 123456789); /* fractions of a second need a pax header */
    archive_entry_set_size(entry, (la_int64_t)size);
    if (archive_write_header(a, entry) != ARCHIVE_OK) fail_msg("%s: %s", format, archive_error_string(a));
    assert_int_equal(archive_write_data(a, content, size), size);
    archive_entry_free(entry);
  }
  assert_int_equal(archive_write_close(a), ARCHIVE_OK);
  archive_write_free(a);
}

static void test_what_libarchive_writes(void **state) {
  (void)state;
  static char deep[2000], wide[240];
  for (size_t i = 0; i + 1 < sizeof deep; i++) deep[i] = i % 50 == 49 ? '/' : 'd';
  memset(wide, 'w', sizeof wide - 1);
  wide[145] = '/';
  const char *const names[] = {"000000001.jpg", "000000001.txt", "sub/b.PNG", "x/\xc3\xa9t\xc3\xa9.jpg", wide, deep};
  static const struct {
    const char *format;
    size_t names; /* this many fit the format */
  } formats[] = {{"v7tar", 4}, {"ustar", 5}, {"gnutar", 6}, {"pax", 6}, {"paxr", 6}};
  for (size_t f = 0; f < GH_COUNT(formats); f++) {
    tar_bytes tar = {0};
    write_archive(&tar, formats[f].format, names, formats[f].names);
    gh_tar_end end = walk(&first, tar.bytes, tar.size);
    if (end.broken[0] || first.count != formats[f].names)
      fail_msg("%s: %zu members, \"%s\"", formats[f].format, first.count, end.broken);
    for (size_t i = 0; i < first.count; i++) {
      assert_string_equal(first.members[i].name, names[i]);
      assert_null(first.members[i].problem);
      assert_int_equal(first.members[i].bytes, i * 511 % 3000);
      for (size_t b = 0; b < first.members[i].bytes; b++)
        assert_int_equal(tar.bytes[first.members[i].offset + b], 'a' + i);
    }
    tar_free(&tar);
  }
}

/* ---- members by hand ---- */

static void test_every_kind_of_member(void **state) {
  (void)state;
  tar_bytes tar = {0};
  char long_name[151];
  memset(long_name, 'n', sizeof long_name);
  memcpy(long_name + sizeof long_name - 5, ".jpg", 5);
  tar_text(&tar, 'g', "pax_global_header", "19 comment=abcdefg\n");
  tar_text(&tar, '0', "././plain.jpg", "plain");
  tar_text(&tar, 'L', "././@LongLink", long_name);
  tar_text(&tar, '0', "short.jpg", "long");
  tar_text(&tar, 'x', "PaxHeaders/a", "22 path=sub/\xe2\x82\xac=1.png\n11 size=00\n"); /* a size of 0 */
  tar_header(&tar, '0', "a", 777);
  size_t prefixed = tar_header(&tar, 0, "old.jpg", 3);
  tar_patch(&tar, prefixed, 345, "some/folder", 11);
  tar_content(&tar, "old", 3);
  tar_header(&tar, '5', "folder.jpg/", 1234); /* the sizes of folders and links have no content */
  tar_header(&tar, '1', "hard.jpg", 1234);
  tar_header(&tar, '2', "link.jpg", 0);
  tar_header(&tar, '3', "device.jpg", 0);
  tar_header(&tar, '6', "pipe.jpg", 0);
  tar_text(&tar, '9', "unknown.jpg", "?");
  tar_text(&tar, 0, "folder7/", "");
  size_t sparse = tar_header(&tar, 'S', "sparse.jpg", 5);
  tar_patch(&tar, sparse, 482, "\1", 1);
  char map[512] = {0};
  map[504] = 1;
  tar_content(&tar, map, sizeof map);
  map[504] = 0;
  tar_content(&tar, map, sizeof map);
  tar_content(&tar, "holes", 5);
  tar_text(&tar, 'x', "PaxHeaders/b", "22 GNU.sparse.major=1\n25 GNU.sparse.realsize=9\n");
  tar_text(&tar, '0', "sparse2.jpg", "9\n");
  tar_text(&tar, 'x', "PaxHeaders/c", "99 path=no.jpg\n");
  tar_text(&tar, '0', "damaged.jpg", "x");
  tar_text(&tar, '7', "last.jpg", "last");
  tar_end(&tar);
  const struct {
    const char *name, *content, *problem;
  } want[] = {
      {"plain.jpg", "plain", NULL},
      {long_name, "long", NULL},
      {"sub/\xe2\x82\xac=1.png", "", NULL},
      {"some/folder/old.jpg", "old", NULL},
      {"folder.jpg", "", "a folder"},
      {"hard.jpg", "", "a hard link"},
      {"link.jpg", "", "a symbolic link"},
      {"device.jpg", "", "a device"},
      {"pipe.jpg", "", "a pipe"},
      {"unknown.jpg", "?", "of an unknown type"},
      {"folder7", "", "a folder"},
      {"sparse.jpg", "holes", "a sparse file"},
      {"sparse2.jpg", "9\n", "a sparse file"},
      {"damaged.jpg", "x", "its extended header is unusable"},
      {"last.jpg", "last", NULL},
  };
  gh_tar_end end = walk(&first, tar.bytes, tar.size);
  assert_string_equal(end.broken, "");
  assert_int_equal(end.offset, tar.size - 1024);
  assert_int_equal(first.count, GH_COUNT(want));
  for (size_t i = 0; i < first.count; i++) {
    assert_string_equal(first.members[i].name, want[i].name);
    assert_int_equal(first.members[i].bytes, strlen(want[i].content));
    assert_memory_equal(tar.bytes + first.members[i].offset, want[i].content, first.members[i].bytes);
    if (want[i].problem)
      assert_string_equal(first.members[i].problem, want[i].problem);
    else
      assert_null(first.members[i].problem);
    assert_int_equal(first.members[i].name_unsure, i == 13);
  }
  tar_free(&tar);
}

static void test_numbers_and_checksums(void **state) {
  (void)state;
  static const struct {
    const char *field; /* of 12 bytes */
    uint64_t bytes;
    bool valid;
  } cases[] = {
      {"00000000144\0", 100, true},
      {"        144 ", 100, true},
      {"144\0\0\0\0\0\0\0\0\0", 100, true},
      {"000000000144", 100, true},
      {"\x80\0\0\0\0\0\0\0\0\0\0\x64", 100, true},
      {"\0\0\0\0\0\0\0\0\0\0\0\0", 0, true},
      {"0000000014x\0", 0, false},
      {"00000000188\0", 0, false},
      {"-0000000001\0", 0, false},
      {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 0, false},
      {"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 0, false},
      {"\x80\0\0\0\x80\0\0\0\0\0\0\0", 0, false},
      {"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 0, false}, /* valid, but not in a file of this size */
      {"777777777777", 0, false},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    tar_bytes tar = {0};
    tar_header(&tar, '0', "a.jpg", 0);
    tar_patch(&tar, 0, 124, cases[i].field, 12);
    if (cases[i].bytes) tar_content(&tar, cases[i].field, 12);
    tar_end(&tar);
    gh_tar_end end = walk(&first, tar.bytes, tar.size);
    if (first.count != cases[i].valid || !end.broken[0] != cases[i].valid) fail_msg("number %zu: %s", i, end.broken);
    if (cases[i].valid) assert_int_equal(first.members[0].bytes, cases[i].bytes);
    tar_free(&tar);
  }
  tar_bytes tar = {0};
  tar_text(&tar, '0', "\xe9t\xe9.jpg", "x"); /* bytes above 127: the two ways of summing differ */
  tar_end(&tar);
  char sum[8];
  snprintf(sum, sizeof sum, "%06o", (unsigned)strtoul(tar.bytes + 148, NULL, 8) - 512);
  tar_patch(&tar, 0, 148, sum, 7);
  assert_string_equal(walk(&first, tar.bytes, tar.size).broken, "");
  tar.bytes[0] = 'x';
  assert_string_equal(walk(&first, tar.bytes, tar.size).broken, "no tar header");
  tar_free(&tar);
}

/* An exaggerated size or name length does not allocate that much memory. */
static void test_lengths_are_not_trusted(void **state) {
  (void)state;
  static const char types[] = {'0', 'x', 'L', 'K', 'g', 'S', '9'};
  static const uint64_t sizes[] = {1025, UINT64_C(1) << 31, UINT64_C(1) << 40, UINT64_MAX >> 1};
  for (size_t t = 0; t < GH_COUNT(types); t++)
    for (size_t i = 0; i < GH_COUNT(sizes); i++) {
      tar_bytes tar = {0};
      tar_text(&tar, '0', "good.jpg", "x");
      tar_header(&tar, types[t], "bad.jpg", sizes[i]);
      tar_end(&tar);
      gh_tar_end end = walk(&first, tar.bytes, tar.size);
      assert_int_equal(first.count, 1);
      assert_string_equal(end.broken, "cut off inside the member bad.jpg");
      assert_int_equal(end.offset, 1024);
      tar_free(&tar);
    }
  const size_t large = GH_TAR_MAX_EXTENDED + 1; /* present, but larger than the limit */
  char *bytes = calloc(large, 1);
  assert_non_null(bytes);
  memset(bytes, 'n', large - 1);
  tar_bytes tar = {0};
  tar_header(&tar, 'x', "PaxHeaders/a", large);
  tar_content(&tar, bytes, large);
  tar_text(&tar, '0', "a.jpg", "x");
  tar_header(&tar, 'L', "././@LongLink", GH_TAR_MAX_NAME + 2); /* one byte more than a name may have */
  tar_content(&tar, bytes, GH_TAR_MAX_NAME + 1);
  tar_text(&tar, '0', "b.jpg", "x");
  tar_header(&tar, 'L', "././@LongLink", GH_TAR_MAX_NAME);
  tar_content(&tar, bytes, GH_TAR_MAX_NAME);
  tar_text(&tar, '0', "c.jpg", "x");
  tar_end(&tar);
  assert_string_equal(walk(&first, tar.bytes, tar.size).broken, "");
  assert_int_equal(first.count, 3);
  for (int i = 0; i < 3; i++) assert_int_equal(first.members[i].name_unsure, i < 2);
  assert_int_equal(strlen(first.members[2].name), GH_TAR_MAX_NAME);
  free(bytes);
  tar_free(&tar);
}

static void test_pax_records(void **state) {
  (void)state;
  static const struct {
    const char *records;
    bool usable;
  } cases[] = {
      {"", true},
      {"14 path=a.png\n", true},
      {"12 path=b.c\n14 path=a.png\n", true},
      {"6 a=b\n", true},
      {"5 a=\n", true},
      {"14 path=a.png", false},
      {"13 path=a.png\n", false},
      {"15 path=a.png\n", false},
      {"0 path=a.png\n", false},
      {"14path=a.png\n", false},
      {" 14 path=a.png\n", false},
      {"-4 path=a.png\n", false},
      {"99999999999999999999 path=a.png\n", false},
      {"7 path=\n", false},
      {"8 path=\n", false},
      {"10 path=\n\n", true},
      {"9 pathan\n", false},
      {"2 \n", false},
      {"1 ", false},
      {"1", false},
      {"10 size=-1\n", false},
      {"8 size=\n", false},
      {"11 size=1e2\n", false},
      {"28 size=9999999999999999999\n", false},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    tar_bytes tar = {0};
    tar_text(&tar, 'x', "PaxHeaders/a", cases[i].records);
    tar_text(&tar, '0', "a.jpg", "content");
    tar_end(&tar);
    gh_tar_end end = walk(&first, tar.bytes, tar.size);
    if (first.count != 1 || end.broken[0] || first.members[0].name_unsure == cases[i].usable)
      fail_msg("\"%s\": %zu members, %s", cases[i].records, first.count, end.broken);
    tar_free(&tar);
  }
}

/* ---- broken files ---- */

/* Twelve members as written by img2dataset, with an extended header of each kind in between. */
static void make_shard(tar_bytes *tar) {
  static const char pax[] = "27 mtime=1700000000.123456\n";
  char name[32], content[1600];
  memset(content, 'c', sizeof content);
  for (int i = 0; i < 4; i++) {
    static const char *const endings[] = {"jpg", "json", "txt"};
    for (int k = 0; k < 3; k++) {
      snprintf(name, sizeof name, "%09d.%s", i, endings[k]);
      if (i == 1) tar_text(tar, 'x', "PaxHeaders/x", pax);
      if (i == 2) tar_text(tar, 'L', "././@LongLink", name);
      tar_file(tar, name, content, (size_t)(i * 400 + k * 150 + 1));
    }
  }
  tar_end(tar);
}

static void test_truncation_keeps_whole_members(void **state) {
  (void)state;
  tar_bytes tar = {0};
  make_shard(&tar);
  assert_string_equal(walk(&first, tar.bytes, tar.size).broken, "");
  assert_int_equal(first.count, 12);
  for (size_t size = 0; size < tar.size; size += size % 512 == 511 || size % 512 == 0 ? 1 : 255) {
    gh_tar_end end = walk(&second, tar.bytes, size);
    size_t whole = 0;
    while (whole < 12 && first.members[whole].offset + first.members[whole].bytes <= size) whole++;
    assert_int_equal(second.count, whole);
    bool complete = size >= tar.size - 512; /* one zero block counts as the end mark */
    if (complete != !end.broken[0]) fail_msg("truncated to %zu of %zu: \"%s\"", size, tar.size, end.broken);
    for (size_t i = 0; i < whole; i++) {
      assert_string_equal(second.members[i].name, first.members[i].name);
      assert_true(second.members[i].offset == first.members[i].offset);
    }
  }
  tar_free(&tar);
}

static void test_a_file_walks_like_memory(void **state) {
  (void)state;
  char *folder = check_folder(), *path = check_path(folder, "a.tar");
  tar_bytes tar = {0};
  for (int i = 0; i < 5; i++) make_shard(&tar), tar.size -= 1024; /* more than a window */
  tar_end(&tar);
  for (size_t cut = 0; cut < 4; cut++) {
    size_t size = tar.size - cut * 700;
    check_write(path, tar.bytes, size);
    gh_tar_end want = walk(&first, tar.bytes, size), got;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    second.count = 0;
    second.last = 0;
    second.size = size;
    check_ok(gh_tar_walk(&err, &(gh_tar_input){.fd = fd, .size = size}, note, &second, &got));
    assert_true(got.members == want.members && got.offset == want.offset);
    assert_string_equal(got.broken, want.broken);
    for (size_t i = 0; i < GH_MIN(first.count, (size_t)MOST); i++)
      assert_true(second.members[i].offset == first.members[i].offset);
    /* A file that became shorter after its size was read counts as broken. */
    second.last = 0;
    second.size = size + 4096;
    check_ok(gh_tar_walk(&err, &(gh_tar_input){.fd = fd, .size = size + 4096}, note, &second, &got));
    close(fd);
    /* One that cannot be read says nothing about its content. */
    int unreadable = open(path, O_WRONLY);
    check_fails(gh_tar_walk(&err, &(gh_tar_input){.fd = unreadable, .size = size}, note, &second, &got), GH_ERROR_FILE,
                "reading failed: ");
    close(unreadable);
  }
  tar_free(&tar);
  free(path);
  check_folder_done(folder);
}

static void test_after_the_end_mark(void **state) {
  (void)state;
  tar_bytes tar = {0};
  tar_text(&tar, '0', "a.jpg", "x");
  tar_end(&tar);
  tar_end(&tar);
  assert_string_equal(walk(&first, tar.bytes, tar.size).broken, "");
  tar_text(&tar, '0', "b.jpg", "x"); /* two archives, one after the other */
  gh_tar_end end = walk(&first, tar.bytes, tar.size);
  assert_string_equal(end.broken, "data after the end mark is ignored");
  assert_int_equal(end.offset, 1024 + 2048);
  assert_int_equal(first.count, 1);
  tar_free(&tar);
}

/* Mutated files, half of them with corrected checksums so that the damage passes them. */
static void test_mutations(void **state) {
  (void)state;
  tar_bytes tar = {0};
  uint64_t random = 7, broken = 0, problems = 0;
  make_shard(&tar);
  tar.size -= 1024;
  size_t sparse = tar_header(&tar, 'S', "sparse.jpg", 5);
  tar_patch(&tar, sparse, 482, "\1", 1);
  tar_content(&tar, "", 0);
  tar_text(&tar, '0', "0", "0");
  tar_end(&tar);
  size_t capacity = tar.size + 4096;
  char *copy = malloc(capacity);
  assert_non_null(copy);
  for (int round = 0; round < 4000; round++) {
    memcpy(copy, tar.bytes, tar.size);
    size_t size = tar.size;
    if (round % 4) {
      /* Damage inside one header keeps the blocks' positions. */
      size_t at = check_random(&random) % (size / 512) * 512;
      check_mutate(copy + at + (round % 4 == 1 ? 124 : 0), round % 4 == 1 ? 36 : 512, round % 4 == 1 ? 36 : 512,
                   &random);
    } else {
      size = check_mutate(copy, size, capacity, &random);
    }
    for (size_t at = 0; round % 2 && at + 512 <= size; at += 512)
      if (!memcmp(copy + at + 257, "ustar", 5)) tar_checksum(copy + at);
    broken += walk(&first, copy, size).broken[0] != 0;
    for (size_t i = 0; i < GH_MIN(first.count, (size_t)MOST); i++) problems += first.members[i].problem != NULL;
  }
  assert_true(broken > 100 && broken < 4000 && problems > 100); /* the loop covers both outcomes */
  free(copy);
  tar_free(&tar);
}

static gh_status walk_body(gh_error *e, void *context) {
  const tar_bytes *tar = context;
  gh_tar_end end;
  first.count = 0;
  first.last = 0;
  first.size = tar->size;
  return gh_tar_walk(e, &(gh_tar_input){.bytes = tar->bytes, .size = tar->size}, note, &first, &end);
}

static void test_memory_may_run_out(void **state) {
  (void)state;
  tar_bytes tar = {0};
  make_shard(&tar);
  check_allocation_failures(walk_body, &tar);
  tar_free(&tar);
}

static void test_compression_is_named(void **state) {
  (void)state;
  assert_string_equal(gh_tar_compression("\x1f\x8b\x08\0", 4), "gzip");
  assert_string_equal(gh_tar_compression("\xfd\x37zXZ\0", 6), "xz");
  assert_string_equal(gh_tar_compression("\x28\xb5\x2f\xfd", 4), "zstd");
  assert_null(gh_tar_compression("\x1f", 1));
  assert_null(gh_tar_compression("000.jpg", 7));
}

/* ---- brace patterns ---- */

static void test_braces(void **state) {
  (void)state;
  static const struct {
    const char *pattern, *want; /* joined by spaces */
  } cases[] = {
      {"plain.tar", "plain.tar"},
      {"a-{0..3}.tar", "a-0.tar a-1.tar a-2.tar a-3.tar"},
      {"{00008..00011}", "00008 00009 00010 00011"},
      {"{8..11}", "8 9 10 11"},
      {"{08..11}", "08 09 10 11"},
      {"{8..011}", "008 009 010 011"},
      {"{0..0}", "0"},
      {"{000..000}", "000"},
      {"{a,bc}{1..2}x", "a1x a2x bc1x bc2x"},
      {"{a..b,c}", "a..b c"},
      {"{x,y,z}/{0,1}.tar", "x/0.tar x/1.tar y/0.tar y/1.tar z/0.tar z/1.tar"},
      {"{999999999999999998..999999999999999999}", "999999999999999998 999999999999999999"},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_strings out = {0};
    char joined[256] = "";
    check_ok(gh_braces_expand(&err, &out, cases[i].pattern));
    for (size_t k = 0; k < out.count; k++) {
      if (k) strcat(joined, " ");
      strcat(joined, out.items[k]);
    }
    assert_string_equal(joined, cases[i].want);
    gh_strings_free(&out);
  }
}

static void test_invalid_braces(void **state) {
  (void)state;
  static const struct {
    const char *pattern, *says;
  } cases[] = {
      {"a{0..3", "a { without its }"},
      {"a0..3}", "a } without its {"},
      {"a{b{c,d},e}", "nested braces"},
      {"a{}", "empty part"},
      {"a{b}", "a range {00000..00331} or a list {a,b}"},
      {"a{b,}", "empty part"},
      {"a{,b}", "empty part"},
      {"a{b,,c}", "empty part"},
      {"a{3..1}", "ends before it begins"},
      {"a{..}", "must be {FIRST..LAST}, integers"},
      {"a{1..}", "must be {FIRST..LAST}, integers"},
      {"a{..1}", "must be {FIRST..LAST}, integers"},
      {"a{-1..3}", "must be {FIRST..LAST}, integers"},
      {"a{a..e}", "must be {FIRST..LAST}, integers"},
      {"a{0..10..2}", "must be {FIRST..LAST}, integers"},
      {"a{0...2}", "must be {FIRST..LAST}, integers"},
      {"a{0..9999999999999999999}", "must be {FIRST..LAST}, integers"},
      {"a{0..999999999}", "more than 1000000 paths"},
      {"a{0..1000000}", "more than 1000000 paths"},
      {"a{0..999}{0..999}{0..1}", "more than 1000000 paths"},
      {"{0..999999999999999999}{0..999999999999999999}{0..999999999999999999}{0..999999999999999999}",
       "more than 1000000 paths"},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_strings out = {0};
    check_fails(gh_braces_expand(&err, &out, cases[i].pattern), GH_ERROR_CONFIG, cases[i].says);
    assert_int_equal(out.count, 0);
    assert_true(gh_starts_with(err.text, cases[i].pattern));
    gh_strings_free(&out);
  }
}

static gh_status expand_body(gh_error *e, void *context) {
  gh_strings out = {0};
  gh_status status = gh_braces_expand(e, &out, context);
  gh_strings_free(&out);
  return status;
}

static void test_braces_may_run_out_of_memory(void **state) {
  (void)state;
  check_allocation_failures(expand_body, (void *)"{a,b}{00..20}.tar");
}

int main(void) {
  setlocale(LC_CTYPE, "C.UTF-8"); /* libarchive's writers convert names */
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_libarchive_writes),
      cmocka_unit_test(test_every_kind_of_member),
      cmocka_unit_test(test_numbers_and_checksums),
      cmocka_unit_test(test_lengths_are_not_trusted),
      cmocka_unit_test(test_pax_records),
      cmocka_unit_test(test_truncation_keeps_whole_members),
      cmocka_unit_test(test_a_file_walks_like_memory),
      cmocka_unit_test(test_after_the_end_mark),
      cmocka_unit_test(test_mutations),
      cmocka_unit_test(test_memory_may_run_out),
      cmocka_unit_test(test_compression_is_named),
      cmocka_unit_test(test_braces),
      cmocka_unit_test(test_invalid_braces),
      cmocka_unit_test(test_braces_may_run_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
