/* The other direction of config.h: writing, freeing, and small questions. */
#include "base/file.h"
#include "config/config.h"
#include "config/table.h"

#include <stdlib.h>
#include <string.h>

gh_status gh_config_read(gh_error *err, gh_config *config, const char *path, const char *const *overrides,
                         size_t override_count) {
  char *text;
  size_t size;
  *config = (gh_config){0};
  gh_status status = gh_file_read(err, path, GH_JSON_MAX_BYTES, &text, &size);
  if (status) return status;
  status = gh_config_parse(err, config, path, text, size, overrides, override_count);
  free(text);
  return status;
}

static gh_status put_ints(gh_error *err, gh_json *parent, const char *key, const int64_t *values, size_t n) {
  gh_json *array = gh_json_put_array(err, parent, key);
  gh_status status = array ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < n && !status; i++) status = gh_json_put_int(err, array, NULL, values[i]);
  return status;
}

static gh_status put_pair(gh_error *err, gh_json *parent, const char *key, const double *values) {
  gh_json *array = gh_json_put_array(err, parent, key);
  gh_status status = array ? GH_OK : GH_ERROR_MEMORY;
  for (int i = 0; i < 2 && !status; i++) status = gh_json_put_double(err, array, NULL, values[i]);
  return status;
}

static gh_status put_strings(gh_error *err, gh_json *parent, const char *key, const gh_strings *values) {
  gh_json *array = gh_json_put_array(err, parent, key);
  gh_status status = array ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < values->count && !status; i++) status = gh_json_put_string(err, array, NULL, values->items[i]);
  return status;
}

static gh_status put_string(gh_error *err, gh_json *parent, const char *key, const char *value) {
  return value ? gh_json_put_string(err, parent, key, value) : gh_json_put_null(err, parent, key);
}

static gh_status put_json(gh_error *err, gh_json *parent, const char *key, const gh_json *value) {
  gh_json *copy;
  if (!value) return gh_json_put_null(err, parent, key);
  gh_status status = gh_json_copy(err, &copy, value);
  return status ? status : gh_json_put(err, parent, key, copy);
}

static const char *word_name(const gh_row *row, int value) {
  for (const gh_word *word = row->words; word->name; word++)
    if (word->value == value) return word->name;
  return "?";
}

static gh_status put_row(gh_error *err, gh_json *root, const gh_row *row, const gh_config *config) {
  const void *in = (const char *)config + row->offset;
  const gh_lora_config *lora = in;
  const char *key;
  gh_json *parent = gh_json_parent_at(err, root, row->path, &key);
  if (!parent) return GH_ERROR_MEMORY;
  switch (row->type) {
  case ROW_GROUP:
    return *(const bool *)in ? GH_OK : gh_json_put_null(err, parent, key);
  case ROW_INT:
    return gh_json_put_int(err, parent, key, *(const int64_t *)in);
  case ROW_INT_OR_AUTO:
    if (!*(const int64_t *)in) return gh_json_put_string(err, parent, key, "auto");
    return gh_json_put_int(err, parent, key, *(const int64_t *)in);
  case ROW_REAL:
    return gh_json_put_double(err, parent, key, *(const double *)in);
  case ROW_BOOL:
    return gh_json_put_bool(err, parent, key, *(const bool *)in);
  case ROW_STRING:
  case ROW_MAYBE_STRING:
    return put_string(err, parent, key, *(char *const *)in);
  case ROW_WORD:
    return gh_json_put_string(err, parent, key, word_name(row, *(const int *)in));
  case ROW_PAIR:
  case ROW_BETAS:
    return put_pair(err, parent, key, in);
  case ROW_AXES:
    return put_ints(err, parent, key, in, 3);
  case ROW_INTS:
    return put_ints(err, parent, key, ((const gh_int_list *)in)->items, ((const gh_int_list *)in)->count);
  case ROW_STRINGS:
    return put_strings(err, parent, key, in);
  case ROW_TARGETS:
    if (lora->all_linear) return gh_json_put_string(err, parent, key, "all-linear");
    return put_strings(err, parent, key, &lora->targets);
  case ROW_MAYBE_OBJECT:
  case ROW_ARRAY:
    return put_json(err, parent, key, *(gh_json *const *)in);
  }
  return gh_fail(err, GH_ERROR_CONFIG, "%s: unknown type of row", row->path);
}

gh_status gh_config_to_json(gh_error *err, gh_json **out, const gh_config *config) {
  gh_status status = GH_OK;
  const char *absent = NULL; /* the group that is null: its rows are left out */
  gh_json *root = gh_json_object(err);
  *out = NULL;
  if (!root) return GH_ERROR_MEMORY;
  for (size_t i = 0; i < gh_config_row_count && !status; i++) {
    const gh_row *row = &gh_config_rows[i];
    if (!gh_row_serves(row, config)) continue;
    if (absent && gh_starts_with(row->path, absent) && row->path[strlen(absent)] == '.') continue;
    absent = NULL;
    if (row->type == ROW_GROUP && !*(const bool *)((const char *)config + row->offset)) absent = row->path;
    status = put_row(err, root, row, config);
  }
  if (status)
    gh_json_free(root);
  else
    *out = root;
  return status;
}

void gh_config_free(gh_config *config) {
  for (size_t i = 0; i < gh_config_row_count; i++) {
    const gh_row *row = &gh_config_rows[i];
    void *member = (char *)config + row->offset;
    if (row->type == ROW_STRING || row->type == ROW_MAYBE_STRING) free(*(char **)member);
    if (row->type == ROW_INTS) free(((gh_int_list *)member)->items);
    if (row->type == ROW_STRINGS) gh_strings_free(member);
    if (row->type == ROW_TARGETS) gh_strings_free(&((gh_lora_config *)member)->targets);
    if (row->type == ROW_MAYBE_OBJECT || row->type == ROW_ARRAY) gh_json_free(*(gh_json **)member);
  }
  *config = (gh_config){0};
}

bool gh_config_checkpoint_due(const gh_stage_config *stage, int64_t update) {
  if (stage->checkpoint_every && update > 0 && update % stage->checkpoint_every == 0) return true;
  for (size_t i = 0; i < stage->checkpoint_at.count; i++)
    if (stage->checkpoint_at.items[i] == update) return true;
  return false;
}
