/* Words, as CLIPTokenizer has them: normalisation, words, byte-pair encoding. */
#include "io/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

/* NFC, every run of white space replaced by one space, each code point in lower case. */
static gh_status normalize(gh_error *err, const gh_tokenizer *t, gh_buffer_text *out, const char *text, size_t size) {
  (void)t;
  gh_buffer_text composed = {0}, spaced = {0};
  gh_status status = gh_text_compose(err, &composed, text, size);
  bool after_space = false;
  for (size_t at = 0; at < composed.size && !status;) {
    int32_t point = gh_utf8_next(composed.bytes, composed.size, &at);
    bool space = gh_is_space(point);
    if (!space || !after_space) status = gh_text_add_point(err, &spaced, space ? ' ' : point);
    after_space = space;
  }
  if (!status) status = gh_text_lower(err, out, spaced.bytes, spaced.size, false);
  gh_text_free(&composed);
  gh_text_free(&spaced);
  return status;
}

typedef enum gh_class { SPACE, LETTER, NUMBER, OTHER } gh_class;

static gh_class class_at(const char *text, size_t size, size_t at, size_t *behind) {
  *behind = at;
  int32_t point = gh_utf8_next(text, size, behind);
  return gh_is_space(point) ? SPACE : gh_is_letter(point) ? LETTER : gh_is_number(point) ? NUMBER : OTHER;
}

static bool at_word(const char *text, size_t size, size_t at, const char *word) {
  size_t n = strlen(word);
  return size - at >= n && !memcmp(text + at, word, n);
}

/* The end of the word that begins at `at` (not a space): a contraction's ending, a run of letters, one digit, or a run
 * of other characters. A begin or end mark that was not matched as a token is three words: this returns the first, the
 * others follow by themselves, and *limit is set to the end of the last, which must not run on. */
static size_t word_end(const char *text, size_t size, size_t at, size_t *limit) {
  static const char *const marks[] = {"<|startoftext|>", "<|endoftext|>"};
  static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  size_t end, next;
  for (size_t i = 0; i < GH_COUNT(marks) && at >= *limit; i++)
    if (at_word(text, size, at, marks[i])) {
      *limit = at + strlen(marks[i]);
      return at + strlen("<|");
    }
  for (size_t i = 0; i < GH_COUNT(endings); i++)
    if (at >= *limit && at_word(text, size, at, endings[i])) return at + strlen(endings[i]);
  gh_class class = class_at(text, size, at, &end);
  size_t bound = at < *limit ? *limit : size;
  while (class != NUMBER && end < bound && class_at(text, size, end, &next) == class) end = next;
  return end;
}

static gh_status visit_words(gh_error *err, const char *text, size_t size, gh_word_visit *visit, void *user) {
  gh_status status = GH_OK;
  for (size_t at = 0, limit = 0, next; at < size && !status; at = next) {
    if (class_at(text, size, at, &next) == SPACE) continue;
    next = word_end(text, size, at, &limit);
    status = visit(err, user, text + at, next - at);
  }
  return status;
}

gh_status gh_words_of_line(gh_error *err, const char *line, size_t size, gh_word_visit *visit, void *user) {
  gh_buffer_text text = {0};
  gh_status status = normalize(err, NULL, &text, line, size);
  if (!status) status = visit_words(err, text.bytes, text.size, visit, user);
  gh_text_free(&text);
  return status;
}

typedef struct gh_adding {
  const gh_bpe *bpe;
  gh_ids *ids;
} gh_adding;

static gh_status add_word(gh_error *err, void *user, const char *word, size_t size) {
  const gh_adding *a = user;
  return gh_bpe_word(err, a->bpe, word, size, a->ids);
}

static gh_status add_words(gh_error *err, const gh_tokenizer *t, const char *text, size_t size, gh_ids *ids) {
  return visit_words(err, text, size, add_word, &(gh_adding){t->bpe, ids});
}

/* ---- the rest of tokenizer.json ---- */

/* Whether the node, or anything in it, is of that type; type NULL: of any. */
static bool has_type(const gh_json *node, const char *type) {
  const char *own = "";
  gh_error ignored;
  const bool object = gh_json_type_of(node) == GH_JSON_OBJECT;
  if (object && !gh_json_opt_string(&ignored, node, "type", &own) && *own && (!type || !strcmp(own, type))) return true;
  for (const gh_json *item = gh_json_first(node); item; item = gh_json_next(item))
    if (has_type(item, type)) return true;
  return false;
}

/* transformers' CLIPTokenizer reads vocabulary and merges alone, but its general classes read the whole file. */
static gh_status check_rest(gh_error *err, gh_tokenizer *t, const gh_json *settings, const gh_json *tokenizer) {
  static const char *const general[] = {"PreTrainedTokenizerFast", "TokenizersBackend"};
  static const struct {
    const char *part, *type;
  } of_clip[] = {{"normalizer", "NFC"},
                 {"normalizer", "Lowercase"},
                 {"pre_tokenizer", "Split"},
                 {"pre_tokenizer", "ByteLevel"},
                 {"post_processor", NULL}};
  const char *class = "";
  bool counts = false;
  (void)t;
  if (gh_json_opt_string(err, settings, "tokenizer_class", &class)) return err->status;
  for (size_t i = 0; tokenizer && i < GH_COUNT(general); i++) counts |= !strcmp(class, general[i]);
  for (size_t i = 0; counts && i < GH_COUNT(of_clip); i++)
    if (!has_type(gh_json_member(tokenizer, of_clip[i].part), of_clip[i].type))
      return gh_fail(err, GH_ERROR_UNSUPPORTED,
                     "the %s of tokenizer.json is not CLIP's, which is not supported (tokenizer_class %s reads it)",
                     of_clip[i].part, class);
  return GH_OK;
}

int32_t gh_words_find(const gh_tokenizer *t, const char *token) { return gh_bpe_find(t->bpe, token); }
int64_t gh_words_size(const gh_tokenizer *t) { return gh_bpe_size(t->bpe); }
bool gh_words_has(const gh_tokenizer *t, int32_t id) { return gh_bpe_has(t->bpe, id); }

const gh_tokenizer_kind gh_tokenizer_words = {
    .marks = {"<|startoftext|>", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>"},
    .begins = true,
    .has_json = true,
    .find = gh_words_find,
    .size = gh_words_size,
    .has = gh_words_has,
    .read_options = check_rest,
    .normalize = normalize,
    .cut = add_words,
    .tokens_of = gh_tokens_between_added,
};
