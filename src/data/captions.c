#include "data/captions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "data/source.h"
#include "io/tar.h"

#define NAMED_AT_MOST 10

typedef struct gh_reading {
  char **texts;      /* [images] of the whole set; NULL: none so far */
  bool *from_json;   /* [images] */
  uint64_t orphans;  /* captions without a picture */
  const char *place; /* the shard, in messages */
  /* of the shard that is read */
  const gh_source *source;
  size_t first, last; /* its pictures in the source */
  uint64_t start;     /* the source's first picture in the set */
  int fd;
} gh_reading;

/* ---- one caption ---- */

static bool is_blank(const char *text) { return text[strspn(text, " \t\r\n\f\v")] == 0; }

/* The caption in the `size` bytes of a file, which a zero byte follows; *out is NULL if it has none. */
static gh_status caption_of(gh_error *err, const char *name, const char *bytes, size_t size, bool json, char **out) {
  gh_json *root = NULL;
  const char *text = bytes;
  gh_status status = GH_OK;
  *out = NULL;
  if (json) {
    status = gh_json_parse(err, &root, name, bytes, size, GH_CAPTION_BYTES);
    text = "";
    if (!status && (status = gh_json_opt_string(err, root, "caption", &text))) gh_fail_in(err, "%s", name);
  } else if (strlen(bytes) != size || !gh_utf8_valid(bytes, size)) {
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: not UTF-8 text", name);
  }
  if (!status && !is_blank(text) && !(*out = gh_strdup(err, text))) status = GH_ERROR_MEMORY;
  gh_json_free(root);
  return status;
}

/* A text counts before a JSON file's caption. */
static void put_caption(gh_reading *r, uint64_t image, char *text, bool json) {
  if (text && (!r->texts[image] || r->from_json[image])) {
    free(r->texts[image]);
    r->texts[image] = text;
    r->from_json[image] = json;
  } else {
    free(text);
  }
}

/* ---- a folder ---- */

/* `path` with its ending replaced. */
static char *beside(gh_error *err, const char *path, const char *ending) {
  const char *dot = strrchr(gh_path_name(path), '.');
  return gh_format(err, "%.*s%s", (int)(dot ? dot - path : (ptrdiff_t)strlen(path)), path, ending);
}

static gh_status read_file(gh_error *err, gh_reading *r, const char *picture, uint64_t image, bool json) {
  char *bytes = NULL, *text = NULL, *path = beside(err, picture, json ? ".json" : ".txt");
  size_t size = 0;
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_is_file(path)) {
    status = gh_file_read(err, path, GH_CAPTION_BYTES, &bytes, &size);
    if (!status) status = caption_of(err, path, bytes, size, json, &text);
  }
  put_caption(r, image, text, json);
  free(bytes);
  free(path);
  return status;
}

static gh_status read_folder(gh_error *err, gh_reading *r, const gh_source *source, uint64_t start) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < gh_source_count(source) && !status; i++) {
    char *picture = gh_source_full_name(err, source, i);
    status = picture ? read_file(err, r, picture, start + i, false) : GH_ERROR_MEMORY;
    if (!status && !r->texts[start + i]) status = read_file(err, r, picture, start + i, true);
    free(picture);
  }
  return status;
}

/* ---- shards ---- */

/* The bytes of the name up to and with the dot in front of its key: the sample's name. */
static size_t stem_of(const char *name) {
  const char *key = gh_sample_key(name);
  return key ? (size_t)(key - name) : 0;
}

/* The first of the shard's pictures whose name is not below the stem. */
static size_t first_of_sample(const gh_reading *r, const char *stem, size_t length) {
  size_t low = r->first, high = r->last;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strncmp(gh_source_name(r->source, middle), stem, length) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static gh_status load(gh_error *err, const gh_reading *r, const gh_tar_member *member, char **bytes) {
  const size_t size = (size_t)member->bytes;
  size_t done = 0;
  if (member->bytes > GH_CAPTION_BYTES)
    return gh_fail(err, GH_ERROR_FORMAT, "%s/%s: a caption of %llu bytes", r->place, member->name,
                   (unsigned long long)member->bytes);
  if (!(*bytes = gh_alloc(err, size + 1, 1))) return GH_ERROR_MEMORY;
  while (done < size) {
    ssize_t got = pread(r->fd, *bytes + done, size - done, (off_t)(member->offset + done));
    if (got > 0) done += (size_t)got;
    if (got == 0 || (got < 0 && errno != EINTR))
      return gh_fail(err, GH_ERROR_FILE, "%s/%s: cannot be read: %s", r->place, member->name,
                     got ? strerror(errno) : "the file became shorter");
  }
  return GH_OK;
}

static gh_status read_member(gh_error *err, void *user, const gh_tar_member *member) {
  gh_reading *r = user;
  const char *key = gh_sample_key(member->name);
  const bool json = key && !strcmp(key, "json");
  if (member->problem || !key || (!json && strcmp(key, "txt"))) return GH_OK;
  const size_t stem = stem_of(member->name);
  char *bytes = NULL, *name = gh_format(err, "%s/%s", r->place, member->name);
  gh_status status = name ? load(err, r, member, &bytes) : GH_ERROR_MEMORY;
  size_t at = first_of_sample(r, member->name, stem), owners = 0;
  for (; at < r->last && !strncmp(gh_source_name(r->source, at), member->name, stem) && !status; at++, owners++) {
    char *text = NULL;
    status = caption_of(err, name, bytes, (size_t)member->bytes, json, &text);
    put_caption(r, r->start + at, text, json);
  }
  r->orphans += !owners && !json;
  free(bytes);
  free(name);
  return status;
}

static gh_status read_shard(gh_error *err, gh_reading *r, const char *path, uint64_t bytes) {
  gh_tar_end end;
  r->place = path;
  r->fd = open(path, O_RDONLY | O_CLOEXEC);
  if (r->fd < 0) return gh_fail(err, GH_ERROR_FILE, "%s: %s", path, strerror(errno));
  gh_status status = gh_tar_walk(err, &(gh_tar_input){.fd = r->fd, .size = bytes}, read_member, r, &end);
  close(r->fd);
  return status;
}

static gh_status read_shards(gh_error *err, gh_reading *r, const gh_source *source, uint64_t start) {
  const gh_shards *shards = gh_source_shards(source);
  gh_status status = GH_OK;
  r->source = source;
  r->start = start;
  for (size_t i = 0; i < shards->paths.count && !status; i++) {
    r->first = shards->starts[i];
    r->last = shards->starts[i + 1];
    status = read_shard(err, r, shards->paths.items[i], shards->bytes[i]);
  }
  return status;
}

/* ---- the whole set ---- */

static gh_status read_sources(gh_error *err, gh_reading *r, const gh_image_set *set) {
  uint64_t start = 0;
  gh_status status = GH_OK;
  for (size_t i = 0; i < gh_image_set_sources(set) && !status; i++) {
    const gh_source *source = gh_image_set_source(set, i);
    status = (gh_source_shards(source) ? read_shards : read_folder)(err, r, source, start);
    start += gh_source_count(source);
  }
  return status;
}

/* Names the pictures without a caption and leaves them out; moves the captions of the others to `out`. */
static gh_status keep_captioned(gh_error *err, const gh_reading *r, gh_image_set *set, gh_strings *out) {
  const uint64_t count = gh_image_set_count(set);
  uint64_t missing = 0;
  bool *leave = gh_alloc(err, count, sizeof *leave);
  gh_status status = leave ? GH_OK : GH_ERROR_MEMORY;
  for (uint64_t i = 0; i < count && !status; i++) {
    leave[i] = !r->texts[i];
    if (r->texts[i]) {
      status = gh_strings_add(err, out, r->texts[i]);
    } else if (missing++ < NAMED_AT_MOST) {
      char *name = gh_image_set_name(err, set, i);
      if (name) gh_warn("no caption: %s", name);
      free(name);
      status = name ? GH_OK : GH_ERROR_MEMORY;
    }
  }
  if (!status && missing == count)
    status = gh_fail(err, GH_ERROR_FILE,
                     "none of the %llu pictures has a caption (picture.txt beside it, or \"caption\" in picture.json)",
                     (unsigned long long)count);
  if (!status && missing) {
    gh_warn("captions: %llu of %llu pictures have none and are left out", (unsigned long long)missing,
            (unsigned long long)count);
    status = gh_image_set_leave_out(err, set, leave);
  }
  if (!status && r->orphans) gh_warn("captions: %llu in shards belong to no picture", (unsigned long long)r->orphans);
  free(leave);
  return status;
}

gh_status gh_captions_read(gh_error *err, gh_strings *out, gh_image_set *set) {
  const uint64_t count = gh_image_set_count(set);
  gh_reading r = {.texts = gh_alloc(err, count, sizeof(char *)), .from_json = gh_alloc(err, count, sizeof(bool))};
  *out = (gh_strings){0};
  gh_status status = r.texts && r.from_json ? read_sources(err, &r, set) : GH_ERROR_MEMORY;
  if (!status) status = keep_captioned(err, &r, set, out);
  if (status && status != GH_ERROR_MEMORY) gh_fail_in(err, "%s", gh_image_set_key(set));
  for (uint64_t i = 0; r.texts && i < count; i++) free(r.texts[i]);
  free(r.texts);
  free(r.from_json);
  if (status) gh_strings_free(out);
  return status;
}
