/* Tar shards: members lie inside the file, and walking bytes in memory equals walking the file. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "data/source.h"
#include "fuzz.h"
#include "io/tar.h"

const char *const fuzz_words[] = {"ustar",
                                  "ustar  ",
                                  "./a.jpg",
                                  "../a.jpg",
                                  "/a.png",
                                  "a.webp",
                                  "PaxHeader",
                                  "30 path=b.jpg\n",
                                  "20 size=512\n",
                                  "11 GNU.sparse",
                                  "0000644",
                                  "00000001000",
                                  "\x80",
                                  "x",
                                  "L",
                                  "K",
                                  "S",
                                  "g",
                                  "1 ",
                                  NULL};

/* Corrects the checksums of apparent headers in most cases. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  for (size_t at = 0; at + GH_TAR_BLOCK <= size && seed % 8; at += GH_TAR_BLOCK) {
    uint8_t *header = data + at;
    unsigned sum = 0;
    if (memcmp(header + 257, "ustar", 5) || header[155]) continue; /* a header's checksum ends with "\0 " */
    memset(header + 148, ' ', 8);
    for (int i = 0; i < GH_TAR_BLOCK; i++) sum += header[i];
    for (int i = 5; i >= 0; i--, sum /= 8) header[148 + i] = (uint8_t)('0' + sum % 8);
    header[154] = 0;
    header[155] = ' ';
  }
  return size;
}

typedef struct walk {
  uint64_t size, members, hash;
} walk;

static gh_status visit(gh_error *err, void *context, const gh_tar_member *m) {
  (void)err;
  walk *w = context;
  FUZZ_CHECK(m->offset <= w->size && m->bytes <= w->size - m->offset);
  FUZZ_CHECK(strlen(m->name) <= GH_TAR_MAX_NAME);
  w->members++;
  for (const char *c = m->name; *c; c++) w->hash = w->hash * 31 + (unsigned char)*c;
  w->hash = w->hash * 31 + m->offset * 7 + m->bytes + (m->problem != NULL);
  return GH_OK;
}

static void walk_both(const uint8_t *data, size_t size, const char *path) {
  gh_error err = {0};
  gh_tar_end end = {0};
  walk memory = {.size = size}, file = {.size = size};
  FUZZ_CHECK(!gh_tar_walk(&err, &(gh_tar_input){.bytes = data, .size = size}, visit, &memory, &end));
  FUZZ_CHECK(end.members == memory.members && end.offset <= size);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  FUZZ_CHECK(fd >= 0);
  FUZZ_CHECK(!gh_tar_walk(&err, &(gh_tar_input){.fd = fd, .size = size}, visit, &file, &end));
  close(fd);
  FUZZ_CHECK(file.members == memory.members && file.hash == memory.hash);
}

static void open_source(const char *path) {
  gh_error err = {0};
  gh_source *source = NULL;
  if (gh_source_open(&err, &source, path)) return;
  FUZZ_CHECK(gh_source_count(source) > 0);
  for (size_t i = 0; i < gh_source_count(source); i++) {
    char *bytes = NULL;
    size_t size = 0;
    FUZZ_CHECK(gh_path_stays_inside(gh_source_name(source, i)));
    FUZZ_CHECK(!gh_source_load(&err, source, i, &bytes, &size));
    FUZZ_CHECK(size == gh_source_bytes(source, i));
    free(bytes);
  }
  gh_source_free(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *path = fuzz_file("shard.tar", data, size);
  walk_both(data, size, path);
  open_source(path);
  fuzz_clear();
  return 0;
}
