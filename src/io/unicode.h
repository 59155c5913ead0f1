/* The tokenizers' Unicode functions: categories, case, composition. Code points are int32_t; texts are valid UTF-8. */
#ifndef GH_IO_UNICODE_H
#define GH_IO_UNICODE_H

#include "base/status.h"

/* A growing text, zero-terminated once anything has been added. */
typedef struct gh_buffer_text {
  char *bytes;
  size_t size, capacity;
} gh_buffer_text;
gh_status gh_text_add(gh_error *err, gh_buffer_text *to, const char *bytes, size_t size);
gh_status gh_text_add_point(gh_error *err, gh_buffer_text *to, int32_t point);
void gh_text_free(gh_buffer_text *text); /* leaves an empty one */

/* Returns the code point at *at and advances *at past it; *at < size. */
int32_t gh_utf8_next(const char *text, size_t size, size_t *at);

/* Advances *at past the extended grapheme cluster (what a reader takes for one character) that begins there. */
void gh_grapheme_next(const char *text, size_t size, size_t *at);

bool gh_is_letter(int32_t point); /* \p{L} */
bool gh_is_number(int32_t point); /* \p{N} */
bool gh_is_space(int32_t point);  /* White_Space: \s of the regular expressions */
/* str.isspace() and \s of Python, which count the four information separators as spaces too. */
bool gh_is_python_space(int32_t point);

/* The whole text in lower case. final_sigma: handle a Greek word's final sigma as Python's str.lower() (and Unicode)
 * do; otherwise each code point is converted by itself. */
gh_status gh_text_lower(gh_error *err, gh_buffer_text *out, const char *text, size_t size, bool final_sigma);
/* Canonical composition (NFC). */
gh_status gh_text_compose(gh_error *err, gh_buffer_text *out, const char *text, size_t size);

#endif
