/* tokenizer_config.json and similar files: the marks, the tokens matched in the line, the line length. */
#include "base/file.h"
#include "io/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST_LINE 65536 /* tokens; a larger value means no limit */

static const char *const keys[GH_MARKS] = {"bos_token",  "eos_token", "unk_token", "pad_token",
                                           "mask_token", "sep_token", "cls_token"};
static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};

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
  a->listed = true;
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

static bool has_text(const gh_json *value, const char *text) {
  const char *own = "";
  gh_error ignored;
  if (gh_json_type_of(value) == GH_JSON_OBJECT) value = gh_json_member(value, "content");
  return gh_json_type_of(value) == GH_JSON_STRING && !gh_json_to_string(&ignored, value, "", &own) &&
         !strcmp(own, text);
}

/* Whether the file names the token as a mark or in lists[first..]. */
static bool names(const gh_json *file, size_t first, const char *text) {
  for (size_t i = 0; i < GH_MARKS; i++)
    if (has_text(gh_json_member(file, keys[i]), text)) return true;
  for (size_t i = first; i < GH_COUNT(lists); i++)
    for (const gh_json *item = gh_json_first(gh_json_member(file, lists[i])); item; item = gh_json_next(item))
      if (has_text(item, text)) return true;
  return false;
}

/* added_tokens.json: an object of ids by texts. As in transformers, additional_special_tokens of the map do not make
 * its tokens special. */
static gh_status read_older_list(gh_error *err, gh_tokenizer *t, const gh_json *settings, const gh_json *map,
                                 const gh_json *added) {
  for (const gh_json *item = gh_json_first(added); item; item = gh_json_next(item)) {
    const char *text = gh_json_key(item);
    gh_added_token *a;
    int64_t id = -1;
    if (!text) return gh_fail(err, GH_ERROR_FORMAT, "added_tokens.json: not an object");
    if (gh_json_to_int(err, item, text, &id)) return gh_fail_in(err, "added_tokens.json");
    const int64_t known = t->kind->find(t, text);
    if (id < 0 || id > 1 << 24 || (known >= 0 && known != id))
      return gh_fail(err, GH_ERROR_FORMAT, "added_tokens.json: %.40s: %lld is not its id", text, (long long)id);
    if (ensure(err, t, text, &a)) return err->status;
    if (!a) continue;
    t->vocabulary = GH_MAX(t->vocabulary, id + 1);
    a->id = (int32_t)id;
    a->special = names(settings, 0, text) || names(map, 1, text);
    a->normalized = !a->special;
    a->listed = true;
  }
  return GH_OK;
}

/* An id is one token's: a list that gives it to two would put one token's embedding in place of the other's. (The
 * tokenizers library ignores the id in the list, and numbers the token anew.) */
static gh_status check_ids(gh_error *err, const gh_tokenizer *t) {
  for (size_t i = 0; i < t->added_count; i++) {
    const gh_added_token *a = &t->added[i];
    if (t->kind->has(t, a->id) && t->kind->find(t, a->text) != a->id)
      return gh_fail(err, GH_ERROR_FORMAT, "the added token %.40s has the id %d, which is another token's", a->text,
                     a->id);
    for (size_t k = 0; k < i; k++)
      if (t->added[k].id == a->id)
        return gh_fail(err, GH_ERROR_FORMAT, "the added tokens %.40s and %.40s have the same id, %d", t->added[k].text,
                       a->text, a->id);
  }
  return GH_OK;
}

/* ---- marks ---- */

/* Reads a mark given as a text or an object. The lists' settings win; without them the marks' objects count. */
static gh_status read_mark(gh_error *err, gh_tokenizer *t, const gh_json *value, const char *text,
                           gh_added_token **out) {
  bool object = gh_json_type_of(value) == GH_JSON_OBJECT;
  gh_status status = GH_OK;
  if (object) status = gh_json_get_string(err, value, "content", &text);
  if (!status && !object && value) status = gh_json_to_string(err, value, "a mark", &text);
  bool known = !status && find(t, text);
  if (!status) status = ensure(err, t, text, out);
  if (status || !*out) return status;
  (*out)->special = true;
  if (!object && !(*out)->listed) (*out)->normalized = false;
  if (known) return GH_OK;
  if (!object) (*out)->left = (*out)->right = t->kind->marks_strip;
  return object ? read_flags(err, value, *out) : GH_OK;
}

/* The map's marks count before those of the settings, as in transformers. */
static gh_status read_marks(gh_error *err, gh_tokenizer *t, const gh_json *settings, const gh_json *map) {
  gh_added_token *marks[GH_MARKS] = {0};
  int32_t ids[GH_MARKS] = {0};
  for (int i = 0; i < GH_MARKS; i++) {
    const gh_json *value = gh_json_member(map, keys[i]);
    const char *text = t->kind->marks[i];
    if (gh_json_type_of(value) == GH_JSON_NULL) value = gh_json_member(settings, keys[i]);
    if (gh_json_type_of(value) == GH_JSON_NULL) value = NULL;
    if (!value && !text) continue;
    gh_status status = read_mark(err, t, value, text, &marks[i]);
    if (status) return status;
    if (!marks[i]) return gh_fail(err, GH_ERROR_FORMAT, "%s: empty", keys[i]);
    ids[i] = marks[i]->id; /* ids, not pointers: the array moves as it grows */
  }
  t->begin = ids[GH_MARK_BEGIN];
  t->end = ids[GH_MARK_END];
  t->pad = ids[GH_MARK_PAD];
  return GH_OK;
}

/* Special tokens besides the marks. A plain text is matched as it is written, unless a list says otherwise. */
static gh_status read_special(gh_error *err, gh_tokenizer *t, const gh_json *file) {
  for (size_t i = 0; i < GH_COUNT(lists); i++)
    for (const gh_json *item = gh_json_first(gh_json_member(file, lists[i])); item; item = gh_json_next(item)) {
      const bool object = gh_json_type_of(item) == GH_JSON_OBJECT;
      const char *text = "";
      gh_added_token *a;
      gh_status status =
          object ? gh_json_get_string(err, item, "content", &text) : gh_json_to_string(err, item, lists[i], &text);
      if (status || ensure(err, t, text, &a)) return err->status;
      if (!a) continue;
      if (!a->listed) a->normalized = a->left = a->right = false;
      if (object && read_flags(err, item, a)) return err->status;
      a->special = true;
    }
  return GH_OK;
}

/* Tokens that are matched in the normalised line are normalised, too. */
static gh_status normalize_added(gh_error *err, gh_tokenizer *t) {
  gh_status status = GH_OK;
  for (size_t i = 0; t->kind->normalize && i < t->added_count && !status; i++) {
    gh_added_token *a = &t->added[i];
    gh_buffer_text text = {0};
    if (!a->normalized) continue;
    status = t->kind->normalize(err, t, &text, a->text, strlen(a->text));
    if (!status && text.size) {
      free(a->text);
      a->text = text.bytes;
      text = (gh_buffer_text){0};
    }
    gh_text_free(&text);
  }
  return status;
}

/* ---- the whole ---- */

static gh_status read_sides(gh_error *err, gh_tokenizer *t, const gh_json *settings, const gh_json *tokenizer) {
  const char *padding = t->pad_left ? "left" : "right", *cutting = "right";
  const gh_json *own = gh_json_member(tokenizer, "padding");
  if (gh_json_opt_string(err, own, "direction", &padding) ||
      gh_json_opt_string(err, settings, "padding_side", &padding) ||
      gh_json_opt_string(err, settings, "truncation_side", &cutting))
    return err->status;
  t->pad_left = !strcmp(padding, "left") || !strcmp(padding, "Left");
  if (!t->pad_left && strcmp(padding, "right") && strcmp(padding, "Right"))
    return gh_fail(err, GH_ERROR_FORMAT, "padding_side: %.40s", padding);
  if (strcmp(cutting, "right"))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "truncation_side: %.40s is not supported", cutting);
  return GH_OK;
}

typedef struct gh_settings {
  gh_json *settings, *map, *added; /* NULL: there is no such file */
} gh_settings;

/* Older folders have no added_tokens_decoder; the map and added_tokens.json count only in these. */
static gh_status read_all(gh_error *err, gh_tokenizer *t, const gh_settings *files, const gh_json *tokenizer) {
  const gh_json *settings = files->settings;
  const bool older = gh_json_type_of(gh_json_member(settings, "added_tokens_decoder")) == GH_JSON_NULL;
  const gh_json *map = older ? files->map : NULL, *own = t->kind->has_json ? tokenizer : NULL;
  double length = (double)t->kind->max_length;
  t->begins = t->kind->begins;
  t->ends = true;
  gh_status status = older ? read_older_list(err, t, settings, map, files->added) : GH_OK;
  if (!status) status = read_lists(err, t, settings, own);
  if (!status) status = read_marks(err, t, settings, map);
  if (!status) status = read_special(err, t, settings);
  if (!status) status = read_special(err, t, map);
  if (!status) status = gh_json_opt_double(err, settings, "model_max_length", &length);
  if (!status && t->kind->read_options) status = t->kind->read_options(err, t, settings, own);
  if (!status) status = read_sides(err, t, settings, own);
  if (!status) status = check_ids(err, t);
  if (!status) status = normalize_added(err, t);
  if (status) return status;
  if (length != 0 && !(length >= 2)) return gh_fail(err, GH_ERROR_FORMAT, "model_max_length: %g is invalid", length);
  t->max_length = length <= LONGEST_LINE ? (int64_t)length : 0;
  return GH_OK;
}

static gh_status read_optional(gh_error *err, gh_json **out, const char *folder, const char *name) {
  char *path = gh_path_join(err, folder, name);
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (path && gh_path_is_file(path)) status = gh_json_read_file(err, out, path, GH_JSON_MAX_BYTES);
  free(path);
  return status;
}

gh_status gh_tokenizer_read_settings(gh_error *err, gh_tokenizer *t, const char *folder, const gh_json *tokenizer) {
  gh_settings files = {0};
  gh_status status = read_optional(err, &files.settings, folder, "tokenizer_config.json");
  if (!status) status = read_optional(err, &files.map, folder, "special_tokens_map.json");
  if (!status) status = read_optional(err, &files.added, folder, "added_tokens.json");
  if (!status && (status = read_all(err, t, &files, tokenizer))) gh_fail_in(err, "%s: tokenizer", folder);
  gh_json_free(files.settings);
  gh_json_free(files.map);
  gh_json_free(files.added);
  return status;
}

gh_status gh_tokenizer_default_settings(gh_error *err, gh_tokenizer *t) {
  return read_all(err, t, &(gh_settings){0}, NULL);
}
