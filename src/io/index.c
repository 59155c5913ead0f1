#include "io/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
  if (!dot || dot == name || dot[-1] == '/') return GH_NAME_OTHER; /* ".png" is a hidden file without an ending */
  for (size_t i = 0; i < GH_COUNT(endings); i++)
    if (strcasecmp(dot, endings[i].ending) == 0) return endings[i].kind;
  return GH_NAME_OTHER;
}

/* ---- growing ---- */

/* Room for `added` more of `size` bytes each behind the `used` ones. */
static gh_status reserve(gh_error *err, void **items, size_t *capacity, size_t used, size_t added, size_t size) {
  if (added <= *capacity - used) return GH_OK;
  size_t larger = GH_MAX(*capacity + *capacity / 2, used + added + 64);
  void *moved = gh_alloc(err, larger, size);
  if (!moved) return GH_ERROR_MEMORY;
  if (used) memcpy(moved, *items, used * size);
  free(*items);
  *items = moved;
  *capacity = larger;
  return GH_OK;
}

static gh_status add_entry(gh_error *err, gh_index *index, const char *place, const char *name, uint64_t offset,
                           uint64_t bytes) {
  size_t length = strlen(name) + 1;
  if (length > UINT32_MAX - index->text_used)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: more than 4 GiB of image names in one source", place);
  void *text = index->text, *entries = index->entries;
  gh_status status = reserve(err, &text, &index->text_capacity, index->text_used, length, 1);
  index->text = text;
  if (!status) status = reserve(err, &entries, &index->capacity, index->count, 1, sizeof *index->entries);
  index->entries = entries;
  if (status) return status;
  memcpy(index->text + index->text_used, name, length);
  index->entries[index->count++] = (gh_index_entry){offset, (uint32_t)bytes, (uint32_t)index->text_used};
  index->text_used += length;
  return GH_OK;
}

gh_status gh_index_add(gh_error *err, gh_index *index, const char *place, const char *name, uint64_t offset,
                       uint64_t bytes) {
  char why[80];
  switch (gh_name_kind_of(name)) {
  case GH_NAME_OTHER:
    return GH_OK;
  case GH_NAME_REFUSED:
    return gh_index_skip(err, index, place, name, "images of this format are not supported, only PNG and JPEG");
  case GH_NAME_IMAGE:
    break;
  }
  if (bytes <= GH_IMAGE_MAX_BYTES) return add_entry(err, index, place, name, offset, bytes);
  snprintf(why, sizeof why, "%llu bytes are more than the %zu allowed", (unsigned long long)bytes, GH_IMAGE_MAX_BYTES);
  return gh_index_skip(err, index, place, name, why);
}

gh_status gh_index_skip(gh_error *err, gh_index *index, const char *place, const char *name, const char *why) {
  index->skipped++;
  if (index->notes.count >= GH_INDEX_NOTES) return GH_OK;
  char *note = name ? gh_format(err, "%s/%s: %s", place, name, why) : gh_format(err, "%s: %s", place, why);
  gh_status status = note ? gh_strings_add(err, &index->notes, note) : GH_ERROR_MEMORY;
  free(note);
  return status;
}

/* ---- order ---- */

static int compare(const void *a, const void *b, void *text) {
  const gh_index_entry *x = a, *y = b;
  int order = strcmp((const char *)text + x->name, (const char *)text + y->name); /* as unsigned bytes */
  return order ? order : x->offset < y->offset ? -1 : x->offset > y->offset;
}

gh_status gh_index_sort(gh_error *err, gh_index *index, const char *place, size_t first) {
  if (index->count <= first) return GH_OK;
  qsort_r(index->entries + first, index->count - first, sizeof *index->entries, compare, index->text);
  size_t kept = first + 1;
  for (size_t i = first + 1; i < index->count; i++) {
    const char *name = gh_index_name(index, i);
    if (strcmp(name, gh_index_name(index, kept - 1)) != 0) {
      index->entries[kept++] = index->entries[i];
      continue;
    }
    gh_status status = gh_index_skip(err, index, place, name, "a second member of this name");
    if (status) return status;
  }
  index->count = kept;
  return GH_OK;
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
