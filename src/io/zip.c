/* Layout (PKWARE's APPNOTE 6.3): entries, each behind a header of its own; the directory, a row per entry; for zip64 an
 * end record and its locator; the end record. */
#include "io/zip.h"

#include "io/crc32.h"

#include <stdlib.h>
#include <string.h>

enum {
  ENTRY_SIGNATURE = 0x04034b50,
  ROW_SIGNATURE = 0x02014b50,
  END_SIGNATURE = 0x06054b50,
  END64_SIGNATURE = 0x06064b50,
  LOCATOR_SIGNATURE = 0x07064b50,
  ENTRY_BYTES = 30,
  ROW_BYTES = 46,
  END_BYTES = 22,
  END64_BYTES = 56,
  LOCATOR_BYTES = 20,
  MOST_COMMENT = 65535,
  ENCRYPTED = 1 | 1 << 6 | 1 << 13, /* flags: encryption, strong encryption, hidden directory */
  IN_ZIP64_16 = 0xffff,
  ZIP64_EXTRA = 1
};
#define IN_ZIP64 UINT32_MAX /* a 32-bit field whose value stands in the zip64 record */

typedef struct source {
  const char *path;
  const unsigned char *bytes;
  size_t size;
  size_t directory, directory_end; /* offsets */
  uint64_t rows;
} source;

static uint64_t number(const unsigned char *p, int bytes) {
  uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; i--) value = value << 8 | p[i];
  return value;
}

static gh_status broken(gh_error *err, const source *s, const char *what) {
  return gh_fail(err, GH_ERROR_FORMAT, "%s: not a valid zip file: %s", s->path, what);
}

/* ---- the ends of the file ---- */

/* Takes the directory's place from the zip64 end record that the locator before the end record names. */
static gh_status read_end64(gh_error *err, source *s, size_t locator) {
  const uint64_t at = number(s->bytes + locator + 8, 8);
  if (at > locator || locator - at < END64_BYTES || number(s->bytes + at, 4) != END64_SIGNATURE)
    return broken(err, s, "the zip64 end record is not where its locator says");
  const unsigned char *end = s->bytes + at;
  const uint64_t rows = number(end + 32, 8), size = number(end + 40, 8), offset = number(end + 48, 8);
  if (number(end + 16, 4) || number(end + 20, 4) || number(end + 24, 8) != rows)
    return broken(err, s, "it is one part of several");
  if (offset > at || size > at - offset) return broken(err, s, "its directory is outside the file");
  s->directory = (size_t)offset, s->directory_end = (size_t)(offset + size), s->rows = rows;
  return GH_OK;
}

static gh_status read_end(gh_error *err, source *s) {
  const size_t least = s->size < END_BYTES + MOST_COMMENT ? 0 : s->size - END_BYTES - MOST_COMMENT;
  if (s->size < END_BYTES) return broken(err, s, "it is too short");
  size_t at = s->size - END_BYTES;
  while (number(s->bytes + at, 4) != END_SIGNATURE || number(s->bytes + at + 20, 2) != s->size - at - END_BYTES) {
    if (at == least) return broken(err, s, "it has no directory (an incomplete download?)");
    at--;
  }
  const unsigned char *end = s->bytes + at;
  if (at >= LOCATOR_BYTES && number(end - LOCATOR_BYTES, 4) == LOCATOR_SIGNATURE)
    return read_end64(err, s, at - LOCATOR_BYTES);
  const uint64_t rows = number(end + 10, 2), size = number(end + 12, 4), offset = number(end + 16, 4);
  if (number(end + 4, 2) || number(end + 6, 2) || number(end + 8, 2) != rows)
    return broken(err, s, "it is one part of several");
  if (rows == IN_ZIP64_16 || size == IN_ZIP64 || offset == IN_ZIP64)
    return broken(err, s, "its zip64 end record is missing");
  if (offset > at || size > at - offset) return broken(err, s, "its directory is outside the file");
  s->directory = (size_t)offset, s->directory_end = (size_t)(offset + size), s->rows = rows;
  return GH_OK;
}

/* ---- entries ---- */

/* Replaces the sizes and the offset that do not fit 32 bits by those of the zip64 extra field. */
static bool read_zip64(const unsigned char *extra, size_t length, uint64_t *const values[3]) {
  bool wanted = *values[0] == IN_ZIP64 || *values[1] == IN_ZIP64 || *values[2] == IN_ZIP64;
  while (wanted && length >= 4) {
    const uint64_t id = number(extra, 2), size = number(extra + 2, 2);
    if (size > length - 4) return false;
    if (id == ZIP64_EXTRA) {
      size_t at = 0;
      for (int i = 0; i < 3; i++) {
        if (*values[i] != IN_ZIP64) continue;
        if (at + 8 > size) return false;
        *values[i] = number(extra + 4 + at, 8);
        at += 8;
      }
      return true;
    }
    extra += 4 + size, length -= 4 + (size_t)size;
  }
  return !wanted;
}

/* Finds the entry's data behind its own header, which must agree with the directory's row. */
static gh_status find_data(gh_error *err, const source *s, gh_zip_entry *e) {
  const int shown = (int)GH_MIN(e->name_length, 200);
  const char *problem = NULL;
  const unsigned char *p = s->bytes + GH_MIN(e->header, s->size);
  if (e->header > s->directory || s->directory - e->header < ENTRY_BYTES || number(p, 4) != ENTRY_SIGNATURE) {
    problem = "its header is not where the directory says";
  } else {
    const size_t name = (size_t)number(p + 26, 2), extra = (size_t)number(p + 28, 2);
    const size_t room = s->directory - (size_t)e->header - ENTRY_BYTES;
    if (number(p + 6, 2) & ENCRYPTED || number(p + 8, 2))
      problem = "its header disagrees with the directory";
    else if (name != e->name_length || name + extra > room || memcmp(p + ENTRY_BYTES, e->name, name))
      problem = "its header has another name";
    else if (e->bytes > room - name - extra)
      problem = "its data exceeds the file";
    else
      e->data = p + ENTRY_BYTES + name + extra;
  }
  if (!problem) return GH_OK;
  return gh_fail(err, GH_ERROR_FORMAT, "%s: zip entry \"%.*s\": %s", s->path, shown, e->name, problem);
}

/* Reads the directory's row at *at and moves on. */
static gh_status read_row(gh_error *err, const source *s, gh_zip_entry *e, size_t *at) {
  const unsigned char *row = s->bytes + *at;
  const size_t room = s->directory_end - *at;
  if (room < ROW_BYTES || number(row, 4) != ROW_SIGNATURE) return broken(err, s, "its directory is damaged");
  const size_t name = (size_t)number(row + 28, 2), extra = (size_t)number(row + 30, 2);
  const size_t comment = (size_t)number(row + 32, 2);
  if (name + extra + comment > room - ROW_BYTES) return broken(err, s, "its directory is damaged");
  uint64_t stored = number(row + 20, 4), bytes = number(row + 24, 4), header = number(row + 42, 4);
  const bool whole = read_zip64(row + ROW_BYTES + name, extra, (uint64_t *const[3]){&bytes, &stored, &header});
  *e = (gh_zip_entry){.name = (const char *)row + ROW_BYTES, .name_length = name, .crc = (uint32_t)number(row + 16, 4)};
  *at += ROW_BYTES + name + extra + comment;
  const int shown = (int)GH_MIN(name, 200);
  if (number(row + 8, 2) & ENCRYPTED)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: zip entry \"%.*s\" is encrypted", s->path, shown, e->name);
  if (number(row + 10, 2))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: zip entry \"%.*s\" is compressed, which torch.save never does",
                   s->path, shown, e->name);
  if (!whole || number(row + 34, 2) || stored != bytes || memchr(e->name, 0, name))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: zip entry \"%.*s\": its row of the directory is invalid", s->path, shown,
                   e->name);
  e->header = header;
  if (bytes > s->size)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: zip entry \"%.*s\" of %llu bytes exceeds the file", s->path, shown,
                   e->name, (unsigned long long)bytes);
  e->bytes = (size_t)bytes;
  return find_data(err, s, e);
}

static int by_place(const void *a, const void *b) {
  const gh_zip_entry *x = a, *y = b;
  return x->header < y->header ? -1 : x->header > y->header;
}

static int by_name(const void *a, const void *b) {
  const gh_zip_entry *x = a, *y = b;
  const int order = memcmp(x->name, y->name, GH_MIN(x->name_length, y->name_length));
  return order ? order : x->name_length < y->name_length ? -1 : x->name_length > y->name_length;
}

/* Leaves the entries sorted by name. */
static gh_status refuse_shared(gh_error *err, const source *s, gh_zip *zip) {
  gh_zip_entry *e = zip->entries;
  qsort(e, zip->count, sizeof *e, by_place);
  for (size_t i = 1; i < zip->count; i++)
    if (e[i - 1].data + e[i - 1].bytes > s->bytes + e[i].header)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: zip entries \"%.*s\" and \"%.*s\" overlap", s->path,
                     (int)GH_MIN(e[i - 1].name_length, 200), e[i - 1].name, (int)GH_MIN(e[i].name_length, 200),
                     e[i].name);
  qsort(e, zip->count, sizeof *e, by_name);
  for (size_t i = 1; i < zip->count; i++)
    if (!by_name(&e[i - 1], &e[i]))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: two zip entries are named \"%.*s\"", s->path,
                     (int)GH_MIN(e[i].name_length, 200), e[i].name);
  return GH_OK;
}

gh_status gh_zip_open(gh_error *err, gh_zip *zip, const char *path, const unsigned char *bytes, size_t size) {
  source s = {.path = path, .bytes = bytes, .size = size};
  *zip = (gh_zip){0};
  gh_status status = read_end(err, &s);
  if (!status && s.rows > (s.directory_end - s.directory) / ROW_BYTES)
    status = broken(err, &s, "its directory has fewer rows than it says");
  if (!status && !(zip->entries = gh_alloc(err, (size_t)s.rows, sizeof *zip->entries))) status = GH_ERROR_MEMORY;
  for (size_t at = s.directory; !status && zip->count < s.rows; zip->count++)
    status = read_row(err, &s, &zip->entries[zip->count], &at);
  return status ? status : refuse_shared(err, &s, zip);
}

void gh_zip_free(gh_zip *zip) {
  free(zip->entries);
  *zip = (gh_zip){0};
}

const gh_zip_entry *gh_zip_find(const gh_zip *zip, const char *name) {
  const gh_zip_entry wanted = {.name = name, .name_length = strlen(name)};
  return zip->count ? bsearch(&wanted, zip->entries, zip->count, sizeof wanted, by_name) : NULL;
}

gh_status gh_zip_check(gh_error *err, const gh_zip_entry *e, const char *path) {
  const uint32_t found = gh_crc32(0, e->data, e->bytes);
  if (found == e->crc) return GH_OK;
  return gh_fail(err, GH_ERROR_FORMAT, "%s: zip entry \"%.*s\" is damaged: its CRC is %08x, not %08x%s", path,
                 (int)GH_MIN(e->name_length, 200), e->name, found, e->crc,
                 e->crc ? "" : " (written without checksums?)");
}
