/* Sentences, as XLMRobertaTokenizer has them: a unigram model's rules, words at white space, and the model's pieces of
 * each word, by the rules of the tokenizers library. */
#include "io/tokenizer_internal.h"

#include <string.h>

static gh_status normalize(gh_error *err, const gh_tokenizer *t, gh_buffer_text *out, const char *text, size_t size) {
  return gh_spiece_replace(err, t->spiece, out, text, size);
}

static bool at_underline(const char *text, size_t size, size_t at) {
  return size - at >= strlen(GH_UNDERLINE) && !memcmp(text + at, GH_UNDERLINE, strlen(GH_UNDERLINE));
}

/* A word, an underline in front; the underlines begin its parts. */
static gh_status add_word(gh_error *err, const gh_tokenizer *t, const char *text, size_t size, gh_ids *ids) {
  gh_buffer_text word = {0};
  gh_status status = at_underline(text, size, 0) ? GH_OK : gh_text_add(err, &word, GH_UNDERLINE, strlen(GH_UNDERLINE));
  if (!status) status = gh_text_add(err, &word, text, size);
  for (size_t at = 0, end; at < word.size && !status; at = end) {
    end = at;
    do gh_utf8_next(word.bytes, word.size, &end);
    while (end < word.size && !at_underline(word.bytes, word.size, end));
    status = gh_spiece_cut(err, t->spiece, word.bytes + at, end - at, ids);
  }
  gh_text_free(&word);
  return status;
}

/* The end of the white space, or of what is none, that begins at `at`. */
static size_t run_end(const char *text, size_t size, size_t at, bool *space) {
  size_t end = at, next = at;
  *space = gh_is_space(gh_utf8_next(text, size, &next));
  for (end = next; end < size && gh_is_space(gh_utf8_next(text, size, &next)) == *space;) end = next;
  return end;
}

static gh_status cut(gh_error *err, const gh_tokenizer *t, const char *text, size_t size, gh_ids *ids) {
  gh_status status = GH_OK;
  bool space;
  for (size_t at = 0, end; at < size && !status; at = end) {
    end = run_end(text, size, at, &space);
    if (!space) status = add_word(err, t, text + at, end - at, ids);
  }
  return status;
}

const gh_tokenizer_kind gh_tokenizer_sentences = {
    .marks = {"<s>", "</s>", "<unk>", "<pad>", "<mask>"},
    .begins = true,
    .has_json = true,
    .find = gh_pieces_find,
    .size = gh_pieces_size,
    .has = gh_pieces_has,
    .normalize = normalize,
    .cut = cut,
    .tokens_of = gh_tokens_between_added,
};
