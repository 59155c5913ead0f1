/* Added tokens: where the next one begins in a line. */
#include "io/tokenizer_internal.h"

#include <string.h>

static bool is_space_before(const char *text, size_t at, size_t *start) {
  size_t i = at;
  while (i && ((unsigned char)text[i - 1] & 0xC0) == 0x80) i--;
  if (!i) return false;
  *start = --i;
  return gh_is_python_space(gh_utf8_next(text, at, &i));
}

const gh_added_token *gh_find_added(const gh_tokenizer *t, bool normalized, const char *text, size_t from, size_t size,
                                    size_t *start, size_t *stop) {
  const gh_added_token *found = NULL;
  size_t longest = 0, before, at, next;
  *start = *stop = size;
  for (at = from; at < size && !found; at++)
    for (size_t i = 0; i < t->added_count; i++) {
      const gh_added_token *a = &t->added[i];
      size_t n = strlen(a->text);
      if (a->normalized != normalized || n <= longest || size - at < n || memcmp(text + at, a->text, n)) continue;
      found = a;
      longest = n;
      *start = at;
      *stop = at + n;
    }
  if (!found) return NULL;
  while (found->left && *start > from && is_space_before(text, *start, &before) && before >= from) *start = before;
  for (next = *stop; found->right && next < size && gh_is_python_space(gh_utf8_next(text, size, &next));) *stop = next;
  return found;
}
