/* tokenizer_config.json and similar files: the marks, the tokens matched in the line, the line length. */
#include "base/file.h"
#include "io/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST_LINE 65536 /* tokens; a larger value means no limit */

static const char *const keys[GH_MARKS] = {"bos_token", "eos_token", "unk_token", "pad_token"};

/* ---- added tokens ---- */

static gh_added_token *find(gh_tokenizer *t, const char *text) {
  for (size_t i = 0; i < t->added_count; i++)
    if (!strcmp(t->added[i].text, text)) return &t->added[i];
  return NULL;
}

/* The token of that text, added if new. *out is NULL for an empty text, which matches nothing. */
static gh_status ensure(gh_error *err, gh_tokenizer *t, const char *text, gh_added_token **out) {
  *out = find(t, text);
  if (*out || !*text) return GH_OK;
  gh_added_token *more = gh_alloc(err, t->added_count + 1, sizeof *more);
  char *copy = gh_strdup(err, text);
  if (!more || !copy) {
    free(more);
    free(copy);
    return GH_ERROR_MEMORY;
  }
  if (t->added_count) memcpy(more, t->added, t->added_count * sizeof *more);
  free(t->added);
  t->added = more;
  int32_t id = t->kind->find(t, text);
  if (id < 0) id = (int32_t)t->vocabulary++;
  *out = &t->added[t->added_count++];
  **out = (gh_added_token){.text = copy, .id = id, .special = true};
  return GH_OK;
}

static gh_status read_flags(gh_error *err, const gh_json *from, gh_added_token *a) {
  bool single = false;
  if (gh_json_opt_bool(err, from, "normalized", &a->normalized) || gh_json_opt_bool(err, from, "lstrip", &a->left) ||
      gh_json_opt_bool(err, from, "rstrip", &a->right) || gh_json_opt_bool(err, from, "special", &a->special) ||
      gh_json_opt_bool(err, from, "single_word", &single))
    return err->status;
  if (single) return gh_fail(err, GH_ERROR_UNSUPPORTED, "the token %s: single_word is not supported", a->text);
  return GH_OK;
}

/* One object with its id, from tokenizer.json's list or tokenizer_config.json's added_tokens_decoder. */
static gh_status read_added(gh_error *err, gh_tokenizer *t, const gh_json *from, int64_t id) {
  const char *text;
  gh_added_token *a;
  if (gh_json_get_string(err, from, "content", &text) || ensure(err, t, text, &a)) return err->status;
  if (!a) return GH_OK;
  if (id < 0 || id > 1 << 24) return gh_fail(err, GH_ERROR_FORMAT, "%.40s: not a token id", text);
  t->vocabulary = GH_MAX(t->vocabulary, id + 1); /* even if the vocabulary has the token under another id */
  a->id = (int32_t)id;
  return read_flags(err, from, a);
}

static gh_status read_lists(gh_error *err, gh_tokenizer *t, const gh_json *settings, const gh_json *tokenizer) {
  const gh_json *list = gh_json_member(tokenizer, "added_tokens");
  for (const gh_json *item = gh_json_first(list); item; item = gh_json_next(item)) {
    int64_t id;
    if (gh_json_get_int(err, item, "id", &id) || read_added(err, t, item, id)) return err->status;
  }
  list = gh_json_member(settings, "added_tokens_decoder");
  for (const gh_json *item = gh_json_first(list); item; item = gh_json_next(item)) {
    char *end = NULL;
    const char *key = gh_json_key(item);
    long long id = key && *key ? strtoll(key, &end, 10) : -1;
    if (read_added(err, t, item, end && !*end ? id : -1)) return err->status;
  }
  return GH_OK;
}

/* ---- marks ---- */

/* Reads a mark given as a text or an object. */
static gh_status read_mark(gh_error *err, gh_tokenizer *t, const gh_json *value, const char *text, bool fresh,
                           gh_added_token **out) {
  bool object = gh_json_type_of(value) == GH_JSON_OBJECT;
  gh_status status = GH_OK;
  if (object) status = gh_json_get_string(err, value, "content", &text);
  if (!status && !object && value) status = gh_json_to_string(err, value, "a mark", &text);
  bool known = !status && find(t, text);
  if (!status) status = ensure(err, t, text, out);
  if (status || !*out) return status;
  (*out)->special = true;
  if (!object && fresh) (*out)->normalized = false;
  if (known) return GH_OK;
  if (!object) (*out)->left = (*out)->right = t->kind->marks_strip;
  return object ? read_flags(err, value, *out) : GH_OK;
}

static gh_status read_marks(gh_error *err, gh_tokenizer *t, const gh_json *settings, const gh_json *map) {
  gh_added_token *marks[GH_MARKS] = {0};
  int32_t ids[GH_MARKS] = {0};
  bool fresh = !t->added_count; /* the lists' settings win; without lists the marks' objects count */
  for (int i = 0; i < GH_MARKS; i++) {
    const gh_json *value = gh_json_member(settings, keys[i]);
    const char *text = t->kind->marks[i];
    if (gh_json_type_of(value) == GH_JSON_NULL) value = gh_json_member(map, keys[i]);
    if (gh_json_type_of(value) == GH_JSON_NULL) value = NULL;
    if (!value && !text) continue;
    gh_status status = read_mark(err, t, value, text, fresh, &marks[i]);
    if (status) return status;
    if (!marks[i]) return gh_fail(err, GH_ERROR_FORMAT, "%s: empty", keys[i]);
    ids[i] = marks[i]->id; /* ids, not pointers: the array moves as it grows */
  }
  t->begin = ids[GH_MARK_BEGIN];
  t->end = ids[GH_MARK_END];
  t->pad = ids[GH_MARK_PAD];
  return GH_OK;
}

/* ---- the whole ---- */

static gh_status read_all(gh_error *err, gh_tokenizer *t, const gh_json *settings, const gh_json *map,
                          const gh_json *tokenizer) {
  double length = (double)t->kind->max_length;
  gh_status status = read_lists(err, t, settings, tokenizer);
  if (!status) status = read_marks(err, t, settings, map);
  if (!status) status = gh_json_opt_double(err, settings, "model_max_length", &length);
  if (!status && t->kind->read_options) status = t->kind->read_options(err, t, settings);
  if (status) return status;
  if (length != 0 && !(length >= 2)) return gh_fail(err, GH_ERROR_FORMAT, "model_max_length: %g is invalid", length);
  t->max_length = length <= LONGEST_LINE ? (int64_t)length : 0;
  return GH_OK;
}

static gh_status read_optional(gh_error *err, gh_json **out, const char *path) {
  return path && gh_path_is_file(path) ? gh_json_read_file(err, out, path, GH_JSON_MAX_BYTES) : GH_OK;
}

gh_status gh_tokenizer_read_settings(gh_error *err, gh_tokenizer *t, const char *folder, const gh_json *tokenizer) {
  gh_json *settings = NULL, *map = NULL;
  char *path = gh_path_join(err, folder, "tokenizer_config.json");
  char *other = gh_path_join(err, folder, "special_tokens_map.json");
  gh_status status = path && other ? read_optional(err, &settings, path) : GH_ERROR_MEMORY;
  if (!status) status = read_optional(err, &map, other);
  if (!status && (status = read_all(err, t, settings, map, tokenizer))) gh_fail_in(err, "%s: tokenizer", folder);
  gh_json_free(settings);
  gh_json_free(map);
  free(path);
  free(other);
  return status;
}
