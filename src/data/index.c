#include "data/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "io/image.h"

/* ---- names ---- */

static const struct {
  const char *ending;
  gh_name_kind kind;
} endings[] = {
    {".jpg", GH_NAME_IMAGE},    {".jpeg", GH_NAME_IMAGE},   {".png", GH_NAME_IMAGE},    {".webp", GH_NAME_REFUSED},
    {".gif", GH_NAME_REFUSED},  {".bmp", GH_NAME_REFUSED},  {".tif", GH_NAME_REFUSED},  {".tiff", GH_NAME_REFUSED},
    {".avif", GH_NAME_REFUSED}, {".heic", GH_NAME_REFUSED}, {".heif", GH_NAME_REFUSED}, {".jxl", GH_NAME_REFUSED},
    {".jp2", GH_NAME_REFUSED},
};

gh_name_kind gh_name_kind_of(const char *name) {
  const char *dot = strrchr(name, '.');
  if (!dot || dot == name || dot[-1] == '/') return GH_NAME_OTHER; /* ".png" is a hidden file without an extension */
  for (size_t i = 0; i < GH_COUNT(endings); i++)
    if (strcasecmp(dot, endings[i].ending) == 0) return endings[i].kind;
  return GH_NAME_OTHER;
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

gh_status gh_index_add(gh_error *err, gh_index *index, const char *name, uint64_t offset, uint64_t bytes) {
  char why[80];
  switch (gh_name_kind_of(name)) {
  case GH_NAME_OTHER:
    return GH_OK;
  case GH_NAME_REFUSED:
    return gh_index_skip(err, index, name, "images of this format are not supported, only PNG and JPEG");
  case GH_NAME_IMAGE:
    break;
  }
  if (bytes <= GH_IMAGE_MAX_BYTES) return add_entry(err, index, name, offset, bytes);
  snprintf(why, sizeof why, "%llu bytes exceed the limit of %zu", (unsigned long long)bytes, GH_IMAGE_MAX_BYTES);
  return gh_index_skip(err, index, name, why);
}

gh_status gh_index_skip(gh_error *err, gh_index *index, const char *name, const char *why) {
  index->skipped++;
  if (index->notes.count >= GH_INDEX_NOTES) return GH_OK;
  char *note = gh_format(err, "%s%s: %s", name ? "/" : "", name ? name : "", why);
  gh_status status = note ? gh_strings_add(err, &index->notes, note) : GH_ERROR_MEMORY;
  free(note);
  return status;
}

/* ---- places ---- */

gh_status gh_index_set_place(gh_error *err, gh_index *index, const char *place) {
  for (size_t i = 0; i < index->notes.count; i++) {
    char *note = gh_format(err, "%s%s", place, index->notes.items[i]);
    if (!note) return GH_ERROR_MEMORY;
    free(index->notes.items[i]);
    index->notes.items[i] = note;
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
  for (size_t i = 0; i < part->notes.count && index->notes.count < GH_INDEX_NOTES && !status; i++) {
    char *note = gh_format(err, "%s%s", place, part->notes.items[i]);
    status = note ? gh_strings_add(err, &index->notes, note) : GH_ERROR_MEMORY;
    free(note);
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
} packed;

gh_status gh_index_pack(gh_error *err, const gh_index *index, char **bytes, size_t *size) {
  packed head = {.entries = index->count, .text = index->text_used, .skipped = index->skipped};
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
