/* SigLIP's side of the tokenizer: SiglipTokenizer's steps around SentencePiece. */
#include "io/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

#define UNDERLINE "\xe2\x96\x81" /* SentencePiece's space */
#define UNKNOWN   "<unk>"

/* Lower case, no ASCII punctuation, every run of white space one space, none at the ends. */
static gh_status canonical(gh_error *err, const gh_tokenizer *t, gh_buffer_text *out, const char *text, size_t size) {
  gh_buffer_text lower = {0};
  size_t first = out->size;
  gh_status status = t->lower ? gh_text_lower(err, &lower, text, size, true) : gh_text_add(err, &lower, text, size);
  bool space = false;
  for (size_t at = 0; at < lower.size && !status;) {
    int32_t point = gh_utf8_next(lower.bytes, lower.size, &at);
    if (point < 128 && strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", point)) continue;
    if (gh_is_python_space(point)) {
      space = out->size > first;
      continue;
    }
    if (space) status = gh_text_add(err, out, " ", 1);
    space = false;
    if (!status) status = gh_text_add_point(err, out, point);
  }
  gh_text_free(&lower);
  return status;
}

/* A piece of the line between added tokens. It is cut with the unknown token's text in front, whose own pieces are then
 * left out: so its beginning counts as the inside of a text. */
static gh_status add_piece(gh_error *err, const gh_tokenizer *t, const char *text, size_t size, gh_ids *ids) {
  gh_buffer_text whole = {0};
  gh_ids front = {0}, all = {0};
  gh_status status = gh_text_add(err, &whole, UNKNOWN, strlen(UNKNOWN));
  if (!status) status = gh_spiece_encode(err, t->spiece, whole.bytes, whole.size, &front);
  if (!status) status = canonical(err, t, &whole, text, size);
  if (!status) status = gh_spiece_encode(err, t->spiece, whole.bytes, whole.size, &all);
  size_t skipped = all.count >= front.count ? front.count : 0;
  for (size_t i = skipped; i < all.count && !status; i++) status = gh_ids_add(err, ids, all.items[i]);
  gh_text_free(&whole);
  gh_ids_free(&front);
  gh_ids_free(&all);
  return status;
}

/* The line with the underline in front and spaces for any in it. */
static gh_status underlined(gh_error *err, gh_buffer_text *out, const char *line, size_t size) {
  size_t wide = strlen(UNDERLINE);
  gh_status status = gh_text_add(err, out, UNDERLINE, wide);
  for (size_t at = 0, next; at < size && !status; at = next) {
    bool mark = size - at >= wide && !memcmp(line + at, UNDERLINE, wide);
    next = at;
    gh_utf8_next(line, size, &next);
    status = mark ? gh_text_add(err, out, " ", 1) : gh_text_add(err, out, line + at, next - at);
  }
  return status;
}

gh_status gh_siglip_tokens_of(gh_error *err, const gh_tokenizer *t, const char *line, size_t size, gh_ids *ids) {
  gh_buffer_text text = {0};
  size_t first = ids->count;
  bool marked = false; /* the second token is a mark */
  gh_status status = underlined(err, &text, line, size);
  for (size_t at = 0, start, stop; at < text.size && !status; at = stop) {
    const gh_added_token *added = gh_find_added(t, false, text.bytes, at, text.size, &start, &stop);
    if (start > at) status = add_piece(err, t, text.bytes + at, start - at, ids);
    if (!status && added) {
      marked |= ids->count == first + 1 && added->special;
      status = gh_ids_add(err, ids, added->id);
    }
  }
  if (marked &&
      ids->items[first] == gh_spiece_find(t->spiece, UNDERLINE)) { /* the underline alone, in front of a mark */
    ids->count--;
    memmove(ids->items + first, ids->items + first + 1, (ids->count - first) * sizeof *ids->items);
  }
  gh_text_free(&text);
  return status;
}
