#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

gh_status gh_strings_add(gh_error *err, gh_strings *list, const char *text) {
  if (GH_ARRAY_RESERVE(err, list->items, list->capacity, list->count, 1)) return GH_ERROR_MEMORY;
  char *copy = gh_strdup(err, text);
  if (!copy) return GH_ERROR_MEMORY;
  list->items[list->count++] = copy;
  return GH_OK;
}

gh_status gh_strings_copy(gh_error *err, gh_strings *out, const gh_strings *list) {
  gh_strings copy = {0};
  for (size_t i = 0; i < list->count; i++)
    if (gh_strings_add(err, &copy, list->items[i])) {
      gh_strings_free(&copy);
      return GH_ERROR_MEMORY;
    }
  *out = copy;
  return GH_OK;
}

static int compare_strings(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b); /* strcmp compares as unsigned bytes */
}

void gh_strings_sort(gh_strings *list) {
  if (list->count) qsort(list->items, list->count, sizeof *list->items, compare_strings);
}

void gh_strings_free(gh_strings *list) {
  for (size_t i = 0; i < list->count; i++) free(list->items[i]);
  free(list->items);
  *list = (gh_strings){0};
}

char *gh_format(gh_error *err, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int length = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (length < 0) {
    gh_fail(err, GH_ERROR_ARGUMENT, "text cannot be formatted");
    return NULL;
  }
  char *text = gh_alloc(err, (size_t)length + 1, 1);
  if (!text) return NULL;
  va_start(args, format);
  vsnprintf(text, (size_t)length + 1, format, args);
  va_end(args);
  return text;
}

bool gh_starts_with(const char *text, const char *prefix) { return !strncmp(text, prefix, strlen(prefix)); }

bool gh_ends_with(const char *text, const char *suffix) {
  size_t length = strlen(text), tail = strlen(suffix);
  return length >= tail && !memcmp(text + length - tail, suffix, tail);
}

#define LONGEST 255

int gh_edit_distance(const char *a, const char *b) {
  size_t m = strnlen(a, LONGEST), n = strnlen(b, LONGEST);
  int rows[3][LONGEST + 1]; /* the two rows above and this one: swaps look two rows up */
  for (size_t j = 0; j <= n; j++) rows[0][j] = (int)j;
  for (size_t i = 1; i <= m; i++) {
    int *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
    row[0] = (int)i;
    for (size_t j = 1; j <= n; j++) {
      int best = above[j - 1] + (a[i - 1] != b[j - 1]);
      best = GH_MIN(best, above[j] + 1);
      best = GH_MIN(best, row[j - 1] + 1);
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) best = GH_MIN(best, above2[j - 2] + 1);
      row[j] = best;
    }
  }
  return rows[m % 3][n];
}

int gh_edit_bound(const char *a, const char *b) {
  int left[256] = {0}, common = 0;
  size_t m = strnlen(a, LONGEST), n = strnlen(b, LONGEST);
  for (size_t i = 0; i < m; i++) left[(unsigned char)a[i]]++;
  for (size_t j = 0; j < n; j++) common += left[(unsigned char)b[j]]-- > 0;
  return (int)GH_MAX(m, n) - common;
}

const char *gh_nearest(const char *name, const char *const *candidates, size_t count) {
  const char *nearest = NULL;
  int least = 0;
  for (size_t i = 0; i < count; i++) {
    int longer = (int)GH_MAX(strlen(name), strlen(candidates[i])), most = GH_MAX(2, longer / 3);
    if (gh_edit_bound(name, candidates[i]) > most) continue;
    int distance = gh_edit_distance(name, candidates[i]);
    if (distance > most) continue;
    if (!nearest || distance < least) {
      nearest = candidates[i];
      least = distance;
    }
  }
  return nearest;
}

void gh_shape_text(char *out, size_t size, int rank, const int64_t *shape) {
  size_t used = 0;
  if (!size) return;
  snprintf(out, size, "%s", rank ? "" : "scalar");
  for (int i = 0; i < rank && used < size; i++) {
    int n = shape[i] < 0 ? snprintf(out + used, size - used, "%s?", i ? "x" : "")
                         : snprintf(out + used, size - used, "%s%lld", i ? "x" : "", (long long)shape[i]);
    if (n > 0) used += (size_t)n;
  }
}

void gh_bytes_text(char *out, size_t size, int64_t bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = (double)bytes;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < GH_COUNT(units)) value /= 1024, unit++;
  snprintf(out, size, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}
