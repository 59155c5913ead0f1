#include "io/tar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A header block: {offset, length} of its fields. */
typedef struct field {
  int at, length;
} field;
enum { NAME_LENGTH = 100, PREFIX_LENGTH = 155, TYPE_AT = 156, SPARSE_MORE_AT = 482, MAP_MORE_AT = 504 };
static const field NAME = {0, NAME_LENGTH}, SIZE = {124, 12}, CHECKSUM = {148, 8}, MAGIC = {257, 6},
                   PREFIX = {345, PREFIX_LENGTH};

enum { WINDOW = 8192 }; /* one read covers an image's caption, its metadata and the next image's header */

typedef struct walk {
  const gh_tar_input *input;
  gh_tar_end *end;
  int failed;  /* errno of a read; 0: none failed */
  uint64_t at; /* the next header's */

  unsigned char window[WINDOW]; /* the file's bytes from window_at on */
  uint64_t window_at;
  size_t window_used;

  char *extended; /* the content of an extended header, zero-terminated */
  size_t extended_capacity;

  char header_name[PREFIX_LENGTH + 1 + NAME_LENGTH + 1]; /* from the current header */
  char name[GH_TAR_MAX_NAME + 1];                        /* after applying the extended headers before it */
  bool named, sized, sparse, unusable;                   /* set by those */
  uint64_t size;
} walk;

/* ---- reading ---- */

static bool stop_broken(walk *w, const char *format, const char *detail) {
  w->end->offset = w->at;
  snprintf(w->end->broken, sizeof w->end->broken, format, detail);
  return false;
}

/* Exactly `bytes` bytes at `offset`, which lie inside the file; else end->broken or `failed` is set. */
static bool read_exactly(walk *w, void *out, uint64_t offset, size_t bytes) {
  if (w->input->bytes) {
    memcpy(out, (const char *)w->input->bytes + offset, bytes);
    return true;
  }
  for (size_t done = 0; done < bytes;) {
    ssize_t got = pread(w->input->fd, (char *)out + done, bytes - done, (off_t)(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      w->failed = errno;
      return false;
    }
    if (!got) return stop_broken(w, "%s", "the file became shorter");
    done += (size_t)got;
  }
  return true;
}

/* The block at `offset`, or NULL with end->broken or `failed` set. Valid until the next call. */
static const unsigned char *read_block(walk *w, uint64_t offset) {
  bool inside = offset >= w->window_at && offset + GH_TAR_BLOCK <= w->window_at + w->window_used;
  if (!inside) {
    size_t bytes = (size_t)GH_MIN((uint64_t)WINDOW, w->input->size - offset);
    w->window_used = 0;
    if (!read_exactly(w, w->window, offset, bytes)) return NULL;
    w->window_at = offset;
    w->window_used = bytes;
  }
  return w->window + (offset - w->window_at);
}

static bool is_zero(const unsigned char *block) {
  for (int i = 0; i < GH_TAR_BLOCK; i++)
    if (block[i]) return false;
  return true;
}

/* ---- fields ---- */

/* Octal digits between spaces, ended by a space or a zero byte; or base 256 after a byte 0x80. At most INT64_MAX. */
static bool parse_number(const unsigned char *block, field f, uint64_t *value) {
  const unsigned char *p = block + f.at, *end = p + f.length;
  *value = 0;
  if (*p & 0x80) {
    if (*p & 0x7f) return false; /* negative or too large */
    while (++p < end) {
      if (*value >> 55) return false;
      *value = *value << 8 | *p;
    }
    return true;
  }
  while (p < end && *p == ' ') p++;
  for (; p < end && *p >= '0' && *p <= '7'; p++) *value = *value << 3 | (uint64_t)(*p - '0'); /* 12 digits at most */
  while (p < end && (*p == ' ' || !*p)) p++;
  return p == end;
}

/* Also accepts sums of signed bytes, which old writers produced. */
static bool checksum_is_right(const unsigned char *block) {
  uint64_t want, sum = 0, signed_sum = 0;
  for (int i = 0; i < GH_TAR_BLOCK; i++) {
    bool own = i >= CHECKSUM.at && i < CHECKSUM.at + CHECKSUM.length;
    unsigned char byte = own ? ' ' : block[i];
    sum += byte;
    signed_sum += (uint64_t)(int64_t)(signed char)byte;
  }
  return parse_number(block, CHECKSUM, &want) && (want == sum || want == signed_sum);
}

static void take_header_name(walk *w, const unsigned char *block) {
  const char *name = (const char *)block + NAME.at, *prefix = (const char *)block + PREFIX.at;
  bool ustar = memcmp(block + MAGIC.at, "ustar", 6) == 0; /* incl. zero byte: GNU's has a space, no prefix */
  snprintf(w->header_name, sizeof w->header_name, "%.*s%s%.*s", ustar ? PREFIX.length : 0, prefix,
           ustar && prefix[0] ? "/" : "", NAME.length, name);
}

/* ---- extended headers ---- */

static void take_name(walk *w, const char *name, size_t length) {
  if (!length || length > GH_TAR_MAX_NAME || memchr(name, 0, length)) {
    w->unusable = true;
    return;
  }
  memcpy(w->name, name, length);
  w->name[length] = 0;
  w->named = true;
}

static void take_pax_record(walk *w, const char *key, size_t key_length, const char *value, size_t length) {
  static const char sparse[] = "GNU.sparse.";
  const size_t sparse_length = sizeof sparse - 1;
  if (key_length == 4 && memcmp(key, "path", 4) == 0) take_name(w, value, length);
  if (key_length == 4 && memcmp(key, "size", 4) == 0) {
    w->size = 0;
    w->sized = length >= 1 && length <= 18;
    for (size_t i = 0; i < length && w->sized; i++) {
      w->sized = value[i] >= '0' && value[i] <= '9';
      w->size = 10 * w->size + (uint64_t)(value[i] - '0');
    }
    w->unusable |= !w->sized;
  }
  if (key_length > sparse_length && memcmp(key, sparse, sparse_length) == 0) w->sparse = true;
}

/* Records "LENGTH KEY=VALUE\n", LENGTH includes itself. */
static void take_pax(walk *w, const char *at, size_t size) {
  const char *end = at + size;
  while (at < end) {
    size_t length = 0;
    const char *p = at;
    while (p < end && *p >= '0' && *p <= '9' && length <= GH_TAR_MAX_EXTENDED)
      length = 10 * length + (size_t)(*p++ - '0');
    const char *stop = length && length <= (size_t)(end - at) ? at + length - 1 : NULL; /* at its newline */
    if (!stop || p == at || p >= stop || *p != ' ' || *stop != '\n') break;
    const char *key = p + 1, *equals = memchr(key, '=', (size_t)(stop - key));
    if (!equals) break;
    take_pax_record(w, key, (size_t)(equals - key), equals + 1, (size_t)(stop - equals - 1));
    at = stop + 1;
  }
  w->unusable |= at < end;
}

/* Reads an extended header of `size` bytes at `offset`: a longer name or link ('L', 'K') or pax records ('x', 'X').
 * False: reading failed; *status is set only when out of memory. */
static bool take_extended(gh_error *err, walk *w, char type, uint64_t offset, uint64_t size, gh_status *status) {
  if (type == 'g' || type == 'K') return true; /* global comments; a link's target */
  if (size > GH_TAR_MAX_EXTENDED) {
    w->unusable = true;
    return true;
  }
  if (size + 1 > w->extended_capacity) {
    free(w->extended);
    w->extended_capacity = (size_t)size + 1;
    w->extended = gh_alloc(err, w->extended_capacity, 1);
    if (!w->extended) {
      *status = GH_ERROR_MEMORY;
      return false;
    }
  }
  if (!read_exactly(w, w->extended, offset, (size_t)size)) return false;
  w->extended[size] = 0;
  if (type == 'L')
    take_name(w, w->extended, strlen(w->extended));
  else
    take_pax(w, w->extended, (size_t)size);
  return true;
}

/* ---- members ---- */

typedef struct member_type {
  char type;
  bool extended, content; /* extended: describes the next member; content: `size` bytes follow */
  const char *problem;
} member_type;

static const member_type types[] = {
    {'0', false, true, NULL},
    {0, false, true, NULL},
    {'7', false, true, NULL},
    {'L', true, true, NULL},
    {'K', true, true, NULL},
    {'x', true, true, NULL},
    {'X', true, true, NULL},
    {'g', true, true, NULL},
    {'1', false, false, "a hard link"},
    {'2', false, false, "a symbolic link"},
    {'3', false, false, "a device"},
    {'4', false, false, "a device"},
    {'5', false, false, "a folder"},
    {'6', false, false, "a pipe"},
    {'D', false, true, "a folder"},
    {'M', false, true, "the rest of a file in another archive"},
    {'S', false, true, "a sparse file"},
    {'V', false, true, "the archive's label"},
};

static const member_type *find_type(char type) {
  static const member_type unknown = {'?', false, true, "of an unknown type"};
  for (size_t i = 0; i < GH_COUNT(types); i++)
    if (types[i].type == type) return &types[i];
  return &unknown;
}

/* GNU's sparse members have map blocks after the header. */
static bool pass_sparse_map(walk *w, bool more, uint64_t *content) {
  while (more) {
    if (w->input->size - *content < GH_TAR_BLOCK) return stop_broken(w, "cut off inside the member %.150s", w->name);
    const unsigned char *block = read_block(w, *content);
    if (!block) return false;
    more = block[MAP_MORE_AT];
    *content += GH_TAR_BLOCK;
  }
  return true;
}

static gh_status visit_member(gh_error *err, walk *w, const member_type *type, uint64_t offset, uint64_t bytes,
                              gh_tar_visitor *visit, void *context) {
  const char *name = w->name, *problem = type->problem;
  size_t length = strlen(name);
  bool slash = length && name[length - 1] == '/';
  while (length && w->name[length - 1] == '/') w->name[--length] = 0;
  while (name[0] == '.' && name[1] == '/') name += 2;
  if (slash && !problem) problem = "a folder"; /* as v7 wrote them */
  if (w->sparse) problem = "a sparse file";
  if (w->unusable) problem = "its extended header is unusable";
  w->end->members++;
  const gh_tar_member member = {name, offset, bytes, problem, w->unusable};
  w->named = w->sized = w->sparse = w->unusable = false;
  return visit(err, context, &member);
}

/* Processes one header and its member. False ends the walk: *status, end->broken or `failed`. */
static bool step(gh_error *err, walk *w, const unsigned char *block, gh_tar_visitor *visit, void *context,
                 gh_status *status) {
  uint64_t bytes, content = w->at + GH_TAR_BLOCK;
  if (!checksum_is_right(block) || !parse_number(block, SIZE, &bytes))
    return stop_broken(w, "%s", w->at ? "no valid header" : "no tar header");
  const member_type *type = find_type((char)block[TYPE_AT]);
  bool more = type->type == 'S' && block[SPARSE_MORE_AT];
  take_header_name(w, block);
  if (!type->extended) {
    if (!w->named) strcpy(w->name, w->header_name);
    if (w->sized) bytes = w->size;
    if (!pass_sparse_map(w, more, &content)) return false;
  }
  const char *name = type->extended ? w->header_name : w->name;
  if (!type->content) bytes = 0;
  if (bytes > w->input->size - content) return stop_broken(w, "cut off inside the member %.150s", name);
  if (type->extended) {
    if (!take_extended(err, w, type->type, content, bytes, status)) return false;
  } else if ((*status = visit_member(err, w, type, content, bytes, visit, context))) {
    return false;
  }
  uint64_t blocks = bytes / GH_TAR_BLOCK + (bytes % GH_TAR_BLOCK > 0);
  w->at = GH_MIN(content + blocks * GH_TAR_BLOCK, w->input->size); /* the last member's padding may be missing */
  return true;
}

/* Two zero blocks, or one at the very end of the file; padding to a tape record may follow. */
static void check_end(walk *w) {
  const uint64_t record = 20 * GH_TAR_BLOCK;
  uint64_t left = (w->input->size - w->at) / GH_TAR_BLOCK, zeros = 1;
  const unsigned char *block = NULL;
  while (zeros < left && zeros < record / GH_TAR_BLOCK) {
    if (!(block = read_block(w, w->at + zeros * GH_TAR_BLOCK))) return;
    if (!is_zero(block)) {
      w->at += zeros * GH_TAR_BLOCK;
      stop_broken(w, "%s", "data after the end mark is ignored");
      return;
    }
    zeros++;
  }
  w->end->offset = w->at;
}

gh_status gh_tar_walk(gh_error *err, const gh_tar_input *input, gh_tar_visitor *visit, void *context, gh_tar_end *end) {
  *end = (gh_tar_end){0};
  gh_status status = GH_OK;
  walk *w = gh_alloc(err, 1, sizeof *w);
  if (!w) return GH_ERROR_MEMORY;
  w->input = input;
  w->end = end;
  for (bool go = true; go;) {
    if (input->size - w->at < GH_TAR_BLOCK) {
      stop_broken(w, "%s", input->size == w->at && w->at ? "no end mark" : "cut off inside a header");
      break;
    }
    const unsigned char *block = read_block(w, w->at);
    if (!block) break;
    if (is_zero(block)) {
      check_end(w);
      break;
    }
    go = step(err, w, block, visit, context, &status);
  }
  if (!status && w->failed) status = gh_fail(err, GH_ERROR_FILE, "reading failed: %s", strerror(w->failed));
  free(w->extended);
  free(w);
  return status;
}

const char *gh_tar_compression(const void *bytes, size_t size) {
  static const struct {
    const char *magic;
    size_t length;
    const char *name;
  } known[] = {{"\x1f\x8b", 2, "gzip"},   {"BZh", 3, "bzip2"},
               {"\xfd\67zXZ\0", 6, "xz"}, {"\x28\xb5\x2f\xfd", 4, "zstd"},
               {"\x04\"M\x18", 4, "lz4"}, {"\x1f\x9d", 2, "compress"},
               {"PK\3\4", 4, "zip"},      {"7z\xbc\xaf\x27\x1c", 6, "7-Zip"}};
  for (size_t i = 0; i < GH_COUNT(known); i++)
    if (size >= known[i].length && memcmp(bytes, known[i].magic, known[i].length) == 0) return known[i].name;
  return NULL;
}
