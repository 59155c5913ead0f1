#include "data/braces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One brace, or the plain text between two. Borrowed from the pattern. */
typedef struct piece {
  const char *text; /* the plain text, or the text between the braces */
  size_t length;
  bool range, list;
  uint64_t first, last; /* of a range */
  int width;            /* of a range's numbers, 0 for no padding */
  uint64_t count;       /* number of alternatives, 1 for plain text */
} piece;

static gh_status refuse(gh_error *err, const char *pattern, const char *why) {
  return gh_fail(err, GH_ERROR_CONFIG, "%s: %s", pattern, why);
}

/* At most 18 digits, so that no sum overflows. */
static bool parse_number(const char *text, size_t length, uint64_t *value) {
  *value = 0;
  if (!length || length > 18) return false;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9') return false;
    *value = 10 * *value + (uint64_t)(text[i] - '0');
  }
  return true;
}

static gh_status parse_range(gh_error *err, const char *pattern, piece *p, const char *dots) {
  size_t first = (size_t)(dots - p->text), last = p->length - first - 2;
  if (!parse_number(p->text, first, &p->first) || !parse_number(dots + 2, last, &p->last))
    return refuse(err, pattern, "a range in braces must be {FIRST..LAST}, integers of at most 18 digits");
  if (p->first > p->last) return refuse(err, pattern, "a range in braces ends before it begins");
  bool padded = (first > 1 && p->text[0] == '0') || (last > 1 && dots[2] == '0');
  p->width = padded ? (int)GH_MAX(first, last) : 0;
  p->range = true;
  p->count = p->last - p->first + 1;
  return GH_OK;
}

static gh_status parse_list(gh_error *err, const char *pattern, piece *p) {
  size_t part = 0;
  p->list = true;
  p->count = 1;
  for (size_t i = 0; i <= p->length; i++) {
    if (i < p->length && p->text[i] != ',') {
      part++;
      continue;
    }
    if (!part) return refuse(err, pattern, "a list in braces has an empty part");
    part = 0;
    p->count += i < p->length;
  }
  return p->count > 1 ? GH_OK : refuse(err, pattern, "braces must hold a range {00000..00331} or a list {a,b}");
}

/* The piece that starts at `at`. */
static gh_status parse_piece(gh_error *err, const char *pattern, const char *at, piece *p) {
  *p = (piece){.text = at, .length = strcspn(at, "{}"), .count = 1};
  if (p->length) return GH_OK;
  if (*at == '}') return refuse(err, pattern, "a } without its {");
  p->text = at + 1;
  p->length = strcspn(p->text, "{}");
  if (!p->text[p->length]) return refuse(err, pattern, "a { without its }");
  if (p->text[p->length] == '{') return refuse(err, pattern, "nested braces are not supported");
  const char *dots = memmem(p->text, p->length, "..", 2);
  bool comma = memchr(p->text, ',', p->length);
  return dots && !comma ? parse_range(err, pattern, p, dots) : parse_list(err, pattern, p);
}

static const char *after(const piece *p) { return p->text + p->length + (p->range || p->list); }

static gh_status parse(gh_error *err, const char *pattern, piece *pieces, size_t *count, uint64_t *paths) {
  gh_status status = GH_OK;
  *count = 0;
  *paths = 1;
  for (const char *at = pattern; *at && !status; at = after(&pieces[(*count)++])) {
    if ((status = parse_piece(err, pattern, at, &pieces[*count]))) break;
    if (pieces[*count].count > GH_BRACES_MAX / *paths)
      return gh_fail(err, GH_ERROR_CONFIG, "%s: expands to more than %d paths", pattern, GH_BRACES_MAX);
    *paths *= pieces[*count].count;
  }
  return status;
}

/* Alternative `which` of the piece, appended to out. */
static size_t append(char *out, const piece *p, uint64_t which) {
  if (p->range) return (size_t)sprintf(out, "%0*llu", p->width, (unsigned long long)(p->first + which));
  const char *part = p->text, *end = p->text + p->length;
  while (p->list && which--) part = (const char *)memchr(part, ',', (size_t)(end - part)) + 1;
  const char *comma = p->list ? memchr(part, ',', (size_t)(end - part)) : NULL;
  size_t length = (size_t)((comma ? comma : end) - part);
  memcpy(out, part, length);
  return length;
}

gh_status gh_braces_expand(gh_error *err, gh_strings *out, const char *pattern) {
  size_t length = strlen(pattern), count = 0;
  uint64_t paths = 0;
  piece *pieces = gh_alloc(err, length + 1, sizeof *pieces);
  char *path = gh_alloc(err, length + 20 * (length / 5 + 1), 1); /* a range of >= 5 bytes gives at most 18 digits */
  gh_status status = pieces && path ? parse(err, pattern, pieces, &count, &paths) : GH_ERROR_MEMORY;
  for (uint64_t i = 0; i < paths && !status; i++) {
    uint64_t left = paths, rest = i;
    size_t used = 0;
    for (size_t k = 0; k < count; k++) {
      left /= pieces[k].count;
      used += append(path + used, &pieces[k], rest / left);
      rest %= left;
    }
    path[used] = 0;
    status = gh_strings_add(err, out, path);
  }
  free(path);
  free(pieces);
  return status;
}
