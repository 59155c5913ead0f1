/* Small text helpers: string lists, formatted strings, the nearest match of a misspelt name. */
#ifndef GH_BASE_TEXT_H
#define GH_BASE_TEXT_H

#include "base/status.h"
#include "base/utf8.h"

/* A growing list of owned strings; start from `gh_strings list = {0};`. */
typedef struct gh_strings {
  char **items;
  size_t count, capacity;
} gh_strings;

gh_status gh_strings_add(gh_error *err, gh_strings *list, const char *text); /* copies */
gh_status gh_strings_copy(gh_error *err, gh_strings *out, const gh_strings *list);
void gh_strings_sort(gh_strings *list); /* bytewise, as strcmp: independent of the locale */
void gh_strings_free(gh_strings *list); /* leaves an empty list */

/* printf into a fresh string; NULL and GH_ERROR_MEMORY when memory runs out. */
char *gh_format(gh_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool gh_starts_with(const char *text, const char *prefix);
bool gh_ends_with(const char *text, const char *suffix);

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b; texts beyond 255 bytes are compared
 * by their first 255. */
int gh_edit_distance(const char *a, const char *b);
/* A lower bound of it, in linear time: at most the characters that both texts have can stay. */
int gh_edit_bound(const char *a, const char *b);

/* The candidate nearest to name, or NULL when none is a likely misspelling (at most a third of the
 * longer text, but at least 2 edits). Ties go to the first. */
const char *gh_nearest(const char *name, const char *const *candidates, size_t count);

/* "64x3x14x14", "scalar" for rank 0. */
void gh_shape_text(char *out, size_t size, int rank, const int64_t *shape);

/* "1.5 GiB" */
void gh_bytes_text(char *out, size_t size, int64_t bytes);

#endif
