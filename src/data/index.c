#include "data/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "io/image.h"

/* ---- names ---- */

#define NAME_WEBP (GH_WITH_WEBP ? GH_NAME_IMAGE : GH_NAME_REFUSED)
#define NAME_AVIF (GH_WITH_AVIF ? GH_NAME_IMAGE : GH_NAME_REFUSED)

static const struct {
  const char *ending;
  gh_name_kind kind;
} endings[] = {
    {".jpg", GH_NAME_IMAGE},    {".jpeg", GH_NAME_IMAGE},   {".jpe", GH_NAME_IMAGE},    {".jfif", GH_NAME_IMAGE},
    {".png", GH_NAME_IMAGE},    {".apng", GH_NAME_REFUSED}, {".bmp", GH_NAME_IMAGE},    {".webp", NAME_WEBP},
    {".jxl", GH_NAME_REFUSED},  {".avif", NAME_AVIF},       {".gif", GH_NAME_REFUSED},  {".tif", GH_NAME_REFUSED},
    {".tiff", GH_NAME_REFUSED}, {".heic", GH_NAME_REFUSED}, {".heif", GH_NAME_REFUSED}, {".jp2", GH_NAME_REFUSED},
    {".ppm", GH_NAME_REFUSED},  {".pgm", GH_NAME_REFUSED},  {".psd", GH_NAME_REFUSED},  {".svg", GH_NAME_REFUSED},
    {".ico", GH_NAME_REFUSED},  {".tga", GH_NAME_REFUSED},  {".pbm", GH_NAME_REFUSED},  {".pnm", GH_NAME_REFUSED},
    {".pfm", GH_NAME_REFUSED},  {".hif", GH_NAME_REFUSED},  {".j2k", GH_NAME_REFUSED},  {".jpx", GH_NAME_REFUSED},
    {".jpf", GH_NAME_REFUSED},  {".jxr", GH_NAME_REFUSED},  {".mpo", GH_NAME_REFUSED},  {".exr", GH_NAME_REFUSED},
    {".hdr", GH_NAME_REFUSED},  {".dds", GH_NAME_REFUSED},  {".pcx", GH_NAME_REFUSED},  {".xbm", GH_NAME_REFUSED},
    {".xpm", GH_NAME_REFUSED},  {".eps", GH_NAME_REFUSED},  {".dcm", GH_NAME_REFUSED},  {".dng", GH_NAME_REFUSED},
    {".cr2", GH_NAME_REFUSED},  {".cr3", GH_NAME_REFUSED},  {".nef", GH_NAME_REFUSED},  {".arw", GH_NAME_REFUSED},
};

gh_name_kind gh_name_kind_of(const char *name) {
  const char *dot = strrchr(name, '.');
  if (!dot || dot == name || dot[-1] == '/') return GH_NAME_OTHER; /* ".png" is a hidden file without an extension */
  for (size_t i = 0; i < GH_COUNT(endings); i++)
    if (strcasecmp(dot, endings[i].ending) == 0) return endings[i].kind;
  return GH_NAME_OTHER;
}

const char *gh_sample_key(const char *name) {
  const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name, *dot = strchr(last, '.');
  return dot && dot > last && dot[1] ? dot + 1 : NULL;
}

int gh_sample_key_rank(const char *key, const gh_strings *keys) {
  static const char *const usual[] = {"jpg", "jpeg", "png"};
  const size_t count = keys ? keys->count : GH_COUNT(usual);
  for (size_t i = 0; key && i < count; i++)
    if (!strcasecmp(key, keys ? keys->items[i] : usual[i])) return (int)i;
  return -1;
}

/* ---- what is left out ---- */

static void tally(gh_index *index, const char *reason, uint64_t count, bool quiet) {
  size_t row = 0;
  while (row + 1 < GH_INDEX_REASONS && index->reasons[row].count &&
         (strcmp(index->reasons[row].reason, reason) || index->reasons[row].quiet != quiet))
    row++;
  gh_left_out_row *r = &index->reasons[row];
  if (row + 1 == GH_INDEX_REASONS) reason = "for other reasons", quiet = false;
  if (!r->count) snprintf(r->reason, sizeof r->reason, "%s", reason);
  r->quiet = quiet;
  r->count += count;
}

void gh_index_tally(gh_index *index, const char *ending, const char *why, uint64_t count, bool quiet) {
  char reason[sizeof index->reasons[0].reason];
  snprintf(reason, sizeof reason, "%.30s%s%s%s", ending, why[0] ? " (" : "", why, why[0] ? ")" : "");
  for (char *c = reason; *c; c++)
    if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f) *c = '?';
  tally(index, reason, count, quiet);
}

void gh_index_reasons(char *out, size_t size, const gh_index *index, bool quiet) {
  size_t used = 0;
  out[0] = 0;
  for (size_t i = 0; i < GH_INDEX_REASONS && index->reasons[i].count && used < size; i++)
    if (index->reasons[i].quiet == quiet)
      used += (size_t)snprintf(out + used, size - used, "%s%llu %s", used ? ", " : "",
                               (unsigned long long)index->reasons[i].count, index->reasons[i].reason);
}

/* ---- growing ---- */

/* Reserves room for `added` more entries with `text_bytes` bytes of names. */
static gh_status reserve_names(gh_error *err, gh_index *index, size_t added, size_t text_bytes) {
  if (text_bytes > UINT32_MAX - index->text_used)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "more than 4 GiB of image names in one source");
  gh_status status = GH_ARRAY_RESERVE(err, index->text, index->text_capacity, index->text_used, text_bytes);
  return status ? status : GH_ARRAY_RESERVE(err, index->entries, index->capacity, index->count, added);
}

static gh_status add_entry(gh_error *err, gh_index *index, const char *name, uint64_t offset, uint64_t bytes) {
  size_t length = strlen(name) + 1;
  gh_status status = reserve_names(err, index, 1, length);
  if (status) return status;
  memcpy(index->text + index->text_used, name, length);
  index->entries[index->count++] = (gh_index_entry){offset, (uint32_t)bytes, (uint32_t)index->text_used};
  index->text_used += length;
  return GH_OK;
}

static gh_status note(gh_error *err, gh_index *index, const char *name, const char *why) {
  index->skipped++;
  if (index->notes.count >= GH_INDEX_NOTES) return GH_OK;
  char *text = gh_format(err, "%s%s: %s", name ? "/" : "", name ? name : "", why);
  gh_status status = text ? gh_strings_add(err, &index->notes, text) : GH_ERROR_MEMORY;
  free(text);
  return status;
}

gh_status gh_index_skip(gh_error *err, gh_index *index, const char *name, const char *why) {
  tally(index, name ? why : "shards or folders, in part", 1, false);
  return note(err, index, name, why);
}

gh_status gh_index_add_image(gh_error *err, gh_index *index, const char *name, uint64_t offset, uint64_t bytes) {
  char why[80];
  if (bytes <= GH_IMAGE_MAX_BYTES) return add_entry(err, index, name, offset, bytes);
  snprintf(why, sizeof why, "%llu bytes exceed the limit of %zu", (unsigned long long)bytes, GH_IMAGE_MAX_BYTES);
  tally(index, "too large", 1, false);
  return note(err, index, name, why);
}

/* What the name ends with, ".txt"; "without an ending". */
static const char *ending_of(const char *name) {
  const char *dot = strrchr(name, '.');
  return !dot || strchr(dot, '/') ? "without an ending" : dot;
}

gh_status gh_index_add(gh_error *err, gh_index *index, const char *name, uint64_t offset, uint64_t bytes) {
  char why[160];
  switch (gh_name_kind_of(name)) {
  case GH_NAME_OTHER:
    gh_index_tally(index, ending_of(name), "", 1, true);
    return GH_OK;
  case GH_NAME_REFUSED:
    gh_index_tally(index, ending_of(name), "format not supported", 1, false);
    snprintf(why, sizeof why, "images of this format are not supported, only %s", gh_image_formats());
    return note(err, index, name, why);
  case GH_NAME_IMAGE:
    break;
  }
  return gh_index_add_image(err, index, name, offset, bytes);
}

/* ---- places ---- */

gh_status gh_index_set_place(gh_error *err, gh_index *index, const char *place) {
  for (size_t i = 0; i < index->notes.count; i++) {
    char *text = gh_format(err, "%s%s", place, index->notes.items[i]);
    if (!text) return GH_ERROR_MEMORY;
    free(index->notes.items[i]);
    index->notes.items[i] = text;
  }
  return GH_OK;
}

gh_status gh_index_append(gh_error *err, gh_index *index, const gh_index *part, const char *place) {
  gh_status status = reserve_names(err, index, part->count, part->text_used);
  if (status) return status;
  if (part->text_used) memcpy(index->text + index->text_used, part->text, part->text_used);
  for (size_t i = 0; i < part->count; i++) {
    gh_index_entry entry = part->entries[i];
    entry.name += (uint32_t)index->text_used;
    index->entries[index->count++] = entry;
  }
  index->text_used += part->text_used;
  index->skipped += part->skipped;
  for (size_t i = 0; i < GH_INDEX_REASONS && part->reasons[i].count; i++)
    tally(index, part->reasons[i].reason, part->reasons[i].count, part->reasons[i].quiet);
  for (size_t i = 0; i < part->notes.count && index->notes.count < GH_INDEX_NOTES && !status; i++) {
    char *text = gh_format(err, "%s%s", place, part->notes.items[i]);
    status = text ? gh_strings_add(err, &index->notes, text) : GH_ERROR_MEMORY;
    free(text);
  }
  return status;
}

/* ---- order ---- */

static int compare(const void *a, const void *b, void *text) {
  const gh_index_entry *x = a, *y = b;
  int order = strcmp((const char *)text + x->name, (const char *)text + y->name); /* as unsigned bytes */
  return order ? order : x->offset < y->offset ? -1 : x->offset > y->offset;
}

gh_status gh_index_sort(gh_error *err, gh_index *index) {
  if (!index->count) return GH_OK;
  qsort_r(index->entries, index->count, sizeof *index->entries, compare, index->text);
  size_t kept = 1;
  for (size_t i = 1; i < index->count; i++) {
    const char *name = gh_index_name(index, i);
    if (strcmp(name, gh_index_name(index, kept - 1)) != 0) {
      index->entries[kept++] = index->entries[i];
      continue;
    }
    gh_status status = gh_index_skip(err, index, name, "a duplicate name");
    if (status) return status;
  }
  index->count = kept;
  return GH_OK;
}

/* ---- in a cache ---- */

typedef struct packed {
  uint64_t entries, text, skipped, notes; /* counts: entries, bytes of names, members left out, bytes of notes */
  gh_left_out_row reasons[GH_INDEX_REASONS];
} packed;

gh_status gh_index_pack(gh_error *err, const gh_index *index, char **bytes, size_t *size) {
  packed head = {.entries = index->count, .text = index->text_used, .skipped = index->skipped};
  memcpy(head.reasons, index->reasons, sizeof head.reasons);
  for (size_t i = 0; i < index->notes.count; i++) head.notes += strlen(index->notes.items[i]) + 1;
  *size = sizeof head + index->count * sizeof *index->entries + index->text_used + (size_t)head.notes;
  char *at = *bytes = gh_alloc(err, *size, 1);
  if (!at) return GH_ERROR_MEMORY;
  at = mempcpy(at, &head, sizeof head);
  if (index->count) at = mempcpy(at, index->entries, index->count * sizeof *index->entries);
  if (index->text_used) at = mempcpy(at, index->text, index->text_used);
  for (size_t i = 0; i < index->notes.count; i++)
    at = mempcpy(at, index->notes.items[i], strlen(index->notes.items[i]) + 1);
  return GH_OK;
}

static bool entries_are_sound(const gh_index *index, uint64_t shard_bytes) {
  if (index->count && (!index->text_used || index->text[index->text_used - 1])) return false;
  for (size_t i = 0; i < index->count; i++) {
    const gh_index_entry *e = &index->entries[i];
    if (e->name >= index->text_used || e->bytes > GH_IMAGE_MAX_BYTES) return false;
    if (e->offset > shard_bytes || e->bytes > shard_bytes - e->offset) return false;
  }
  return true;
}

bool gh_index_unpack(gh_index *out, const char *bytes, size_t size, uint64_t shard_bytes) {
  packed head;
  *out = (gh_index){0};
  if (size < sizeof head) return false;
  memcpy(&head, bytes, sizeof head);
  for (size_t i = 0; i < GH_INDEX_REASONS; i++)
    if (!memchr(head.reasons[i].reason, 0, sizeof head.reasons[i].reason)) return false;
  uint64_t left = size - sizeof head;
  if (head.entries > left / sizeof(gh_index_entry)) return false;
  left -= head.entries * sizeof(gh_index_entry);
  if (head.text > left || head.text > UINT32_MAX || head.notes != left - head.text) return false;
  const char *at = bytes + sizeof head, *end = bytes + size;
  gh_error err;
  gh_status status = reserve_names(&err, out, (size_t)head.entries, (size_t)head.text);
  if (!status) {
    out->count = (size_t)head.entries;
    out->text_used = (size_t)head.text;
    out->skipped = head.skipped;
    memcpy(out->reasons, head.reasons, sizeof out->reasons);
    size_t entries = out->count * sizeof *out->entries;
    if (entries) memcpy(out->entries, at, entries);
    if (out->text_used) memcpy(out->text, at + entries, out->text_used);
    at += entries + out->text_used;
    bool sound = entries_are_sound(out, shard_bytes) && (at == end || !end[-1]);
    for (; sound && at < end && !status; at += strlen(at) + 1) status = gh_strings_add(&err, &out->notes, at);
    if (sound && !status && out->notes.count <= GH_INDEX_NOTES) return true;
  }
  gh_index_free(out);
  return false;
}

/* ---- the rest ---- */

const char *gh_index_name(const gh_index *index, size_t i) { return index->text + index->entries[i].name; }

void gh_index_trim(gh_index *index) {
  void *entries = index->count ? realloc(index->entries, index->count * sizeof *index->entries) : NULL;
  void *text = index->text_used ? realloc(index->text, index->text_used) : NULL;
  if (entries) index->entries = entries, index->capacity = index->count;
  if (text) index->text = text, index->text_capacity = index->text_used;
}

void gh_index_free(gh_index *index) {
  free(index->entries);
  free(index->text);
  gh_strings_free(&index->notes);
  *index = (gh_index){0};
}
