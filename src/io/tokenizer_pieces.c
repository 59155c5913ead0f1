/* Pieces, as SiglipTokenizer has them: what it does around SentencePiece. */
#include "io/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

#define UNKNOWN "<unk>"

/* A piece of the line between added tokens. It is cut with the unknown token's text in front, whose own pieces are then
 * left out: so its beginning counts as the inside of a text. */
static gh_status add_piece(gh_error *err, const gh_tokenizer *t, const char *text, size_t size, gh_ids *ids) {
  const gh_clean_steps canonical = {.lower = t->lower, .no_punctuation = true};
  gh_buffer_text whole = {0};
  gh_ids front = {0}, all = {0};
  gh_status status = gh_text_add(err, &whole, UNKNOWN, strlen(UNKNOWN));
  if (!status) status = gh_spiece_encode(err, t->spiece, whole.bytes, whole.size, &front);
  if (!status) status = gh_text_clean(err, &whole, text, size, canonical);
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
  size_t wide = strlen(GH_UNDERLINE);
  gh_status status = gh_text_add(err, out, GH_UNDERLINE, wide);
  for (size_t at = 0, next; at < size && !status; at = next) {
    bool mark = size - at >= wide && !memcmp(line + at, GH_UNDERLINE, wide);
    next = at;
    gh_utf8_next(line, size, &next);
    status = mark ? gh_text_add(err, out, " ", 1) : gh_text_add(err, out, line + at, next - at);
  }
  return status;
}

static gh_status tokens_of(gh_error *err, const gh_tokenizer *t, const char *line, size_t size, gh_ids *ids) {
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
      ids->items[first] == gh_spiece_find(t->spiece, GH_UNDERLINE)) { /* the underline alone, in front of a mark */
    ids->count--;
    memmove(ids->items + first, ids->items + first + 1, (ids->count - first) * sizeof *ids->items);
  }
  gh_text_free(&text);
  return status;
}

static gh_status read_options(gh_error *err, gh_tokenizer *t, const gh_json *settings, const gh_json *tokenizer) {
  bool legacy = true;
  (void)tokenizer;
  t->lower = true;
  gh_status status = gh_json_opt_bool(err, settings, "do_lower_case", &t->lower);
  if (!status) status = gh_json_opt_bool(err, settings, "legacy", &legacy);
  if (!status && !legacy) gh_spiece_no_prefix(t->spiece);
  for (size_t i = 0; i < t->added_count; i++) t->added[i].normalized = false; /* there is no normalised line */
  return status;
}

int32_t gh_pieces_find(const gh_tokenizer *t, const char *token) { return gh_spiece_find(t->spiece, token); }
int64_t gh_pieces_size(const gh_tokenizer *t) { return gh_spiece_size(t->spiece); }
bool gh_pieces_has(const gh_tokenizer *t, int32_t id) { return id < gh_spiece_size(t->spiece); }

const gh_tokenizer_kind gh_tokenizer_pieces = {
    .marks = {NULL, "</s>", "<unk>", "</s>"},
    .max_length = 64, /* SiglipTokenizer's default */
    .ends_once = true,
    .marks_strip = true,
    .find = gh_pieces_find,
    .size = gh_pieces_size,
    .has = gh_pieces_has,
    .read_options = read_options,
    .tokens_of = tokens_of,
};
