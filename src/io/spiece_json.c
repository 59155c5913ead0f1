/* A SentencePiece model, message ModelProto: 1 pieces {1 text, 2 score, 3 kind}, 2 trainer {3 kind of model},
 * 3 normalizer {2 table}. */
#include "io/spiece_json.h"
#include "io/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED }; /* kinds of pieces */
enum { VARINT = 0, BYTES = 2, FIXED32 = 5 };         /* wire types */

/* ---- writing ---- */

static gh_status add_varint(gh_error *err, gh_buffer_text *to, uint64_t value) {
  char bytes[10];
  size_t n = 0;
  for (; value > 127; value >>= 7) bytes[n++] = (char)(value | 128);
  bytes[n++] = (char)value;
  return gh_text_add(err, to, bytes, n);
}

static gh_status add_number(gh_error *err, gh_buffer_text *to, int field, uint64_t value) {
  gh_status status = add_varint(err, to, (uint64_t)(field << 3 | VARINT));
  return status ? status : add_varint(err, to, value);
}

static gh_status add_float(gh_error *err, gh_buffer_text *to, int field, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const char bytes[] = {(char)bits, (char)(bits >> 8), (char)(bits >> 16), (char)(bits >> 24)};
  gh_status status = add_varint(err, to, (uint64_t)(field << 3 | FIXED32));
  return status ? status : gh_text_add(err, to, bytes, sizeof bytes);
}

static gh_status add_bytes(gh_error *err, gh_buffer_text *to, int field, const char *bytes, size_t size) {
  gh_status status = add_varint(err, to, (uint64_t)(field << 3 | BYTES));
  if (!status) status = add_varint(err, to, size);
  return status ? status : gh_text_add(err, to, bytes, size);
}

/* ---- pieces ---- */

/* For SentencePiece's rules: special tokens are cut out of a line before it reaches the model; other added tokens
 * always match whole. */
static gh_status read_kinds(gh_error *err, char *kinds, int64_t count, const gh_json *tokenizer, gh_unigram rules,
                            int64_t unknown) {
  memset(kinds, NORMAL, (size_t)count);
  const gh_json *added = rules == GH_UNIGRAM_SPIECE ? gh_json_member(tokenizer, "added_tokens") : NULL;
  for (const gh_json *item = gh_json_first(added); item; item = gh_json_next(item)) {
    int64_t id = -1;
    bool special = false;
    if (gh_json_get_int(err, item, "id", &id) || gh_json_opt_bool(err, item, "special", &special)) return err->status;
    if (id >= 0 && id < count) kinds[id] = special ? CONTROL : USER_DEFINED;
  }
  if (unknown >= 0 && unknown < count) kinds[unknown] = UNKNOWN;
  return GH_OK;
}

static gh_status add_piece(gh_error *err, gh_buffer_text *to, const gh_json *pair, int kind) {
  const char *text = NULL;
  double score = 0;
  gh_buffer_text piece = {0};
  gh_status status = gh_json_count(pair) == 2 ? GH_OK : gh_fail(err, GH_ERROR_FORMAT, "model.vocab: not pairs");
  if (!status) status = gh_json_to_string(err, gh_json_first(pair), "model.vocab", &text);
  if (!status) status = gh_json_to_double(err, gh_json_next(gh_json_first(pair)), "model.vocab", &score);
  if (!status) status = add_bytes(err, &piece, 1, text, strlen(text));
  if (!status) status = add_float(err, &piece, 2, (float)score);
  if (!status) status = add_number(err, &piece, 3, (uint64_t)kind);
  if (!status) status = add_bytes(err, to, 1, piece.bytes, piece.size);
  gh_text_free(&piece);
  return status;
}

static gh_status add_pieces(gh_error *err, gh_buffer_text *to, const gh_json *tokenizer, gh_unigram rules) {
  const gh_json *model = gh_json_member(tokenizer, "model"), *pieces = gh_json_member(model, "vocab");
  int64_t unknown = -1, count = (int64_t)gh_json_count(pieces), id = 0;
  bool fallback = false;
  gh_status status = gh_json_opt_int(err, model, "unk_id", &unknown);
  if (!status) status = gh_json_opt_bool(err, model, "byte_fallback", &fallback);
  if (status) return status;
  if (fallback) return gh_fail(err, GH_ERROR_UNSUPPORTED, "byte_fallback is not supported");
  if (gh_json_type_of(pieces) != GH_JSON_ARRAY || !count)
    return gh_fail(err, GH_ERROR_FORMAT, "model.vocab: not a list of pieces");
  char *kinds = gh_alloc(err, (size_t)count, 1);
  status = kinds ? read_kinds(err, kinds, count, tokenizer, rules, unknown) : GH_ERROR_MEMORY;
  for (const gh_json *pair = gh_json_first(pieces); pair && !status; pair = gh_json_next(pair), id++)
    status = add_piece(err, to, pair, kinds[id]);
  free(kinds);
  return status;
}

/* ---- around the model ---- */

static gh_status refuse(gh_error *err, const char *what, const char *type) {
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "a %s of type %.40s is not supported", what, type);
}

static gh_status decode_base64(gh_error *err, gh_buffer_text *out, const char *text) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint32_t bits = 0;
  int count = 0;
  gh_status status = GH_OK;
  for (; *text && *text != '=' && !status; text++) {
    const char *digit = strchr(digits, *text);
    if (!digit) return gh_fail(err, GH_ERROR_FORMAT, "precompiled_charsmap: not base64");
    bits = bits << 6 | (uint32_t)(digit - digits);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    status = gh_text_add(err, out, (const char[]){(char)(bits >> count)}, 1);
  }
  return status;
}

/* Finds the table among the steps. Spaces are handled elsewhere, whatever the steps do to them; SigLIP's tokenizer
 * itself handles lower case and punctuation, too. */
static gh_status read_normalizer(gh_error *err, gh_buffer_text *table, const gh_json *normalizer, gh_unigram rules,
                                 int depth) {
  static const char *const known[] = {"Replace", "Strip", "Lowercase", "Prepend"};
  const size_t count = rules == GH_UNIGRAM_SPIECE ? GH_COUNT(known) : 2;
  const char *type = NULL, *text = "";
  if (gh_json_type_of(normalizer) == GH_JSON_NULL) return GH_OK;
  gh_status status = gh_json_get_string(err, normalizer, "type", &type);
  if (status) return status;
  if (!strcmp(type, "Precompiled")) {
    status = gh_json_opt_string(err, normalizer, "precompiled_charsmap", &text);
    return status ? status : decode_base64(err, table, text);
  }
  if (!strcmp(type, "Sequence") && !depth) {
    const gh_json *steps = gh_json_member(normalizer, "normalizers");
    for (const gh_json *step = gh_json_first(steps); step && !status; step = gh_json_next(step))
      status = read_normalizer(err, table, step, rules, depth + 1);
    return status;
  }
  for (size_t i = 0; i < count; i++)
    if (!strcmp(type, known[i])) return GH_OK;
  return refuse(err, "normalizer", type);
}

/* Accepts only SentencePiece's handling of spaces, with one added in front of a text. */
static gh_status check_splitting(gh_error *err, const gh_json *splitting, gh_unigram rules, int depth) {
  const char *type = NULL, *scheme = "always";
  gh_status status = gh_json_get_string(err, splitting, "type", &type);
  if (status) return status;
  if (!strcmp(type, "Sequence") && !depth) {
    const gh_json *steps = gh_json_member(splitting, "pretokenizers");
    for (const gh_json *step = gh_json_first(steps); step && !status; step = gh_json_next(step))
      status = check_splitting(err, step, rules, depth + 1);
    return status;
  }
  if (!strcmp(type, "WhitespaceSplit") && depth) return GH_OK;
  if (strcmp(type, "Metaspace")) return refuse(err, "pre_tokenizer", type);
  status = gh_json_opt_string(err, splitting, "prepend_scheme", &scheme);
  if (!status && (!strcmp(scheme, "never") || (rules != GH_UNIGRAM_SPIECE && strcmp(scheme, "always"))))
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "a prepend_scheme of %.40s is not supported", scheme);
  return status;
}

/* ---- the whole ---- */

gh_status gh_spiece_from_json(gh_error *err, char **bytes, size_t *size, const char *name, const gh_json *tokenizer,
                              gh_unigram rules) {
  gh_buffer_text model = {0}, trainer = {0}, normalizer = {0}, table = {0};
  *bytes = NULL;
  gh_status status = check_splitting(err, gh_json_member(tokenizer, "pre_tokenizer"), rules, 0);
  if (!status) status = read_normalizer(err, &table, gh_json_member(tokenizer, "normalizer"), rules, 0);
  if (!status) status = add_pieces(err, &model, tokenizer, rules);
  if (!status) status = add_number(err, &trainer, 3, 1); /* unigram */
  if (!status) status = add_bytes(err, &model, 2, trainer.bytes, trainer.size);
  if (!status && table.size) status = add_bytes(err, &normalizer, 2, table.bytes, table.size);
  if (!status && table.size) status = add_bytes(err, &model, 3, normalizer.bytes, normalizer.size);
  if (!status) {
    *bytes = model.bytes;
    *size = model.size;
    model = (gh_buffer_text){0};
  } else if (status != GH_ERROR_MEMORY) {
    gh_fail_in(err, "%s", name);
  }
  gh_text_free(&model);
  gh_text_free(&trainer);
  gh_text_free(&normalizer);
  gh_text_free(&table);
  return status;
}
