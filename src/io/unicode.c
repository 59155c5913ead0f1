#include "io/unicode.h"

#include "base/array.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- growing texts ---- */

gh_status gh_text_add(gh_error *err, gh_buffer_text *to, const char *bytes, size_t size) {
  if (GH_ARRAY_RESERVE(err, to->bytes, to->capacity, to->size, size + 1)) return GH_ERROR_MEMORY;
  if (size) memcpy(to->bytes + to->size, bytes, size);
  to->size += size;
  to->bytes[to->size] = 0;
  return GH_OK;
}

gh_status gh_text_add_point(gh_error *err, gh_buffer_text *to, int32_t point) {
  utf8proc_uint8_t bytes[4];
  utf8proc_ssize_t n = utf8proc_encode_char(point, bytes);
  return gh_text_add(err, to, (const char *)bytes, (size_t)n);
}

void gh_text_free(gh_buffer_text *text) {
  free(text->bytes);
  *text = (gh_buffer_text){0};
}

int32_t gh_utf8_next(const char *text, size_t size, size_t *at) {
  utf8proc_int32_t point;
  utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + *at, (utf8proc_ssize_t)(size - *at), &point);
  *at += n > 0 ? (size_t)n : 1;
  return n > 0 ? point : 0xFFFD;
}

void gh_grapheme_next(const char *text, size_t size, size_t *at) {
  utf8proc_int32_t state = 0, point = gh_utf8_next(text, size, at);
  for (size_t next = *at; *at < size; *at = next) {
    utf8proc_int32_t follows = gh_utf8_next(text, size, &next);
    if (utf8proc_grapheme_break_stateful(point, follows, &state)) return;
    point = follows;
  }
}

/* ---- categories ---- */

bool gh_is_letter(int32_t point) {
  utf8proc_category_t c = utf8proc_category(point);
  return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool gh_is_number(int32_t point) {
  utf8proc_category_t c = utf8proc_category(point);
  return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
}

bool gh_is_space(int32_t point) {
  if ((point >= 9 && point <= 13) || point == 0x85) return true;
  utf8proc_category_t c = utf8proc_category(point);
  return c >= UTF8PROC_CATEGORY_ZS && c <= UTF8PROC_CATEGORY_ZP;
}

bool gh_is_python_space(int32_t point) { return (point >= 0x1C && point <= 0x1F) || gh_is_space(point); }

/* ---- case ---- */

#define SIGMA       0x3A3
#define SMALL_SIGMA 0x3C3
#define FINAL_SIGMA 0x3C2

/* Lower case of a code point: one or two code points; returns how many. */
static int lower_of(int32_t point, int32_t out[2]) {
  if (point == 0x130) { /* the one code point whose lower case is two: I with a dot above */
    out[0] = 'i';
    out[1] = 0x307;
    return 2;
  }
  out[0] = utf8proc_tolower(point);
  return 1;
}

/* Case_Ignorable: marks, formats, modifiers, and word-internal punctuation. */
static bool case_ignorable(int32_t point) {
  static const int32_t inside[] = {'\'',   '.',    ':',    0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
                                   0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
  for (size_t i = 0; i < GH_COUNT(inside); i++)
    if (point == inside[i]) return true;
  switch (utf8proc_category(point)) {
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_ME:
  case UTF8PROC_CATEGORY_CF:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_SK:
    return true;
  default:
    return false;
  }
}

/* Cased: letters with case, and the ordinals, Roman numerals and enclosed letters that count as such. */
static bool cased(int32_t point) {
  static const int32_t others[][2] = {{0xAA, 0xAA},       {0xBA, 0xBA},       {0x2160, 0x217F},  {0x24B6, 0x24E9},
                                      {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
  utf8proc_category_t c = utf8proc_category(point);
  if (c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT) return true;
  for (size_t i = 0; i < GH_COUNT(others); i++)
    if (point >= others[i][0] && point <= others[i][1]) return true;
  return false;
}

/* Whether the sigma that ends at `after` ends its word: a cased character before it (`before`) and none after it,
 * skipping case-ignorable ones. */
static bool ends_word(const char *text, size_t size, size_t after, bool before) {
  int32_t point = 0;
  bool ignorable = true;
  while (after < size && ignorable) {
    point = gh_utf8_next(text, size, &after);
    ignorable = case_ignorable(point);
  }
  return before && (ignorable || !cased(point));
}

gh_status gh_text_lower(gh_error *err, gh_buffer_text *out, const char *text, size_t size, bool final_sigma) {
  bool before = false; /* the previous code point that is not case-ignorable is cased */
  gh_status status = gh_text_add(err, out, "", 0);
  for (size_t at = 0; at < size && !status;) {
    int32_t point = gh_utf8_next(text, size, &at), lower[2];
    int n = lower_of(point, lower);
    if (final_sigma && point == SIGMA) lower[0] = ends_word(text, size, at, before) ? FINAL_SIGMA : SMALL_SIGMA;
    for (int i = 0; i < n && !status; i++) status = gh_text_add_point(err, out, lower[i]);
    if (!case_ignorable(point)) before = cased(point);
  }
  return status;
}

/* ---- composition ---- */

gh_status gh_text_compose(gh_error *err, gh_buffer_text *out, const char *text, size_t size) {
  utf8proc_uint8_t *composed = NULL;
  utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, &composed,
                                    UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  if (n == UTF8PROC_ERROR_NOMEM) return gh_fail(err, GH_ERROR_MEMORY, "out of memory");
  if (n < 0) return gh_fail(err, GH_ERROR_FORMAT, "%s", utf8proc_errmsg(n));
  gh_status status = gh_text_add(err, out, (const char *)composed, (size_t)n);
  free(composed);
  return status;
}
