/* Characters, as GemmaTokenizer has them: the spaces of a line become underlines, and byte-pair encoding merges the
 * characters of all of it; a character that the vocabulary does not have is its bytes' tokens. */
#include "io/tokenizer_internal.h"

#include <string.h>

static gh_status normalize(gh_error *err, const gh_tokenizer *t, gh_buffer_text *out, const char *text, size_t size) {
  gh_buffer_text lower = {0};
  gh_status status = t->lower ? gh_text_lower(err, &lower, text, size, false) : gh_text_add(err, &lower, text, size);
  for (size_t at = 0, end; at < lower.size && !status; at = end) {
    const char *space = memchr(lower.bytes + at, ' ', lower.size - at);
    end = space ? (size_t)(space - lower.bytes) : lower.size;
    status = gh_text_add(err, out, lower.bytes + at, end - at);
    if (!status && space) status = gh_text_add(err, out, GH_UNDERLINE, strlen(GH_UNDERLINE));
    end += space ? 1 : 0;
  }
  gh_text_free(&lower);
  return status;
}

static gh_status cut(gh_error *err, const gh_tokenizer *t, const char *text, size_t size, gh_ids *ids) {
  return size ? gh_bpe_characters(err, t->bpe, text, size, ids) : GH_OK;
}

/* ---- settings ---- */

static gh_status refuse(gh_error *err, const char *what, const char *type) {
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "tokenizer.json: a %s of type %.40s is not supported", what, type);
}

/* Lower case, and underlines for spaces, which there must be. */
static gh_status read_normalizer(gh_error *err, gh_tokenizer *t, const gh_json *step, int depth, bool *replaces) {
  const char *type = NULL, *from = "", *to = "";
  if (gh_json_type_of(step) == GH_JSON_NULL) return GH_OK;
  gh_status status = gh_json_get_string(err, step, "type", &type);
  if (!status && !strcmp(type, "Sequence") && !depth) {
    const gh_json *steps = gh_json_member(step, "normalizers");
    for (step = gh_json_first(steps); step && !status; step = gh_json_next(step))
      status = read_normalizer(err, t, step, depth + 1, replaces);
    return status;
  }
  if (status) return status;
  if (!strcmp(type, "Lowercase")) {
    t->lower = true;
    return GH_OK;
  }
  if (strcmp(type, "Replace")) return refuse(err, "normalizer", type);
  status = gh_json_opt_string(err, gh_json_member(step, "pattern"), "String", &from);
  if (!status) status = gh_json_opt_string(err, step, "content", &to);
  if (!status && (strcmp(from, " ") || strcmp(to, GH_UNDERLINE))) status = refuse(err, "normalizer", "Replace");
  *replaces = !status;
  return status;
}

/* After the normalisation there is no space left to split at. */
static gh_status check_splitting(gh_error *err, const gh_json *splitting) {
  const char *type = NULL, *at = "";
  if (gh_json_type_of(splitting) == GH_JSON_NULL) return GH_OK;
  gh_status status = gh_json_get_string(err, splitting, "type", &type);
  if (!status) status = gh_json_opt_string(err, gh_json_member(splitting, "pattern"), "String", &at);
  if (!status && (strcmp(type, "Split") || strcmp(at, " "))) status = refuse(err, "pre_tokenizer", type);
  return status;
}

/* transformers' classes bring their own steps, whatever the file says, and pad on the left unless told. */
static gh_status read_options(gh_error *err, gh_tokenizer *t, const gh_json *settings, const gh_json *tokenizer) {
  const char *class = "";
  bool replaces = false;
  if (gh_json_opt_string(err, settings, "tokenizer_class", &class)) return err->status;
  t->lower = gh_starts_with(class, "Siglip2Tokenizer");
  t->pad_left = t->lower || gh_starts_with(class, "GemmaTokenizer");
  gh_status status = gh_tokenizer_read_frame(err, t, tokenizer);
  if (status || t->pad_left) return status;
  status = read_normalizer(err, t, gh_json_member(tokenizer, "normalizer"), 0, &replaces);
  if (!status && !replaces)
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "tokenizer.json: a normalizer that keeps spaces is not supported");
  return status ? status : check_splitting(err, gh_json_member(tokenizer, "pre_tokenizer"));
}

const gh_tokenizer_kind gh_tokenizer_chars = {
    .marks = {"<bos>", "<eos>", "<unk>", "<pad>", "<mask>"},
    .has_json = true,
    .find = gh_words_find,
    .size = gh_words_size,
    .has = gh_words_has,
    .read_options = read_options,
    .normalize = normalize,
    .cut = cut,
    .tokens_of = gh_tokens_between_added,
};
