/* Added tokens: where the next one begins in a line, and what is between them. */
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

/* A piece of the line between the added tokens that match before normalisation. */
static gh_status add_piece(gh_error *err, const gh_tokenizer *t, const char *text, size_t size, gh_ids *ids) {
  gh_buffer_text normal = {0};
  const gh_added_token *added;
  gh_status status = t->kind->normalize(err, t, &normal, text, size);
  for (size_t at = 0, start, stop; !status && at < normal.size; at = stop) {
    added = gh_find_added(t, true, normal.bytes, at, normal.size, &start, &stop);
    status = t->kind->cut(err, t, normal.bytes + at, start - at, ids);
    if (!status && added) status = gh_ids_add(err, ids, added->id);
  }
  gh_text_free(&normal);
  return status;
}

gh_status gh_tokens_between_added(gh_error *err, const gh_tokenizer *t, const char *line, size_t size, gh_ids *ids) {
  gh_status status = GH_OK;
  for (size_t at = 0, start, stop; at < size && !status; at = stop) {
    const gh_added_token *added = gh_find_added(t, false, line, at, size, &start, &stop);
    if (start > at) status = add_piece(err, t, line + at, start - at, ids);
    if (!status && added) status = gh_ids_add(err, ids, added->id);
  }
  return status;
}
