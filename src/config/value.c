/* One row of a configuration: reads its value from JSON and checks it, writes it back, frees it. */
#include "config/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one value; the caller prefixes the error text ---- */

gh_status gh_as_config_error(gh_error *err, gh_status status) {
  if (status != GH_ERROR_FORMAT && status != GH_ERROR_ARGUMENT) return status;
  if (err) err->status = GH_ERROR_CONFIG;
  return GH_ERROR_CONFIG;
}

static gh_status check_range(gh_error *err, const gh_row *row, const char *what, double value) {
  bool low = row->flags & ROW_OPEN_LOW ? value > row->least : value >= row->least;
  bool high = row->flags & ROW_OPEN_HIGH ? value < row->greatest : value <= row->greatest;
  if (low && high) return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG, "%s: %.17g is not %s %.17g", what, value,
                 low ? (row->flags & ROW_OPEN_HIGH ? "below" : "at most")
                     : (row->flags & ROW_OPEN_LOW ? "above" : "at least"),
                 low ? row->greatest : row->least);
}

static gh_status set_int(gh_error *err, int64_t *out, const gh_row *row, const char *what, const gh_json *value) {
  gh_status status = gh_json_to_int(err, value, what, out);
  return status ? status : check_range(err, row, what, (double)*out);
}

static gh_status set_real(gh_error *err, double *out, const gh_row *row, const char *what, const gh_json *value) {
  gh_status status = gh_json_to_double(err, value, what, out);
  return status ? status : check_range(err, row, what, *out);
}

static gh_status set_string(gh_error *err, char **out, const gh_row *row, const gh_json *value) {
  const char *text;
  if (row->type == ROW_MAYBE_STRING && gh_json_type_of(value) == GH_JSON_NULL) return GH_OK;
  gh_status status = gh_json_to_string(err, value, row->path, &text);
  if (status) return status;
  if (!text[0]) return gh_fail(err, GH_ERROR_CONFIG, "%s: an empty string", row->path);
  *out = gh_strdup(err, text);
  return *out ? GH_OK : GH_ERROR_MEMORY;
}

static gh_status set_word(gh_error *err, int *out, const gh_row *row, const gh_json *value) {
  const char *text;
  char allowed[256] = "";
  gh_status status = gh_json_to_string(err, value, row->path, &text);
  if (status) return status;
  size_t used = 0;
  for (const gh_word *word = row->words; word->name; word++) {
    if (!strcmp(text, word->name)) {
      *out = word->value;
      return GH_OK;
    }
    int n = snprintf(allowed + used, sizeof allowed - used, "%s\"%s\"", used ? ", " : "", word->name);
    used = GH_MIN(used + (size_t)GH_MAX(n, 0), sizeof allowed - 1);
  }
  return gh_fail(err, GH_ERROR_CONFIG, "%s: \"%.100s\" is not one of %s", row->path, text, allowed);
}

/* Reads the n numbers of an array, each in the row's range. */
static gh_status set_numbers(gh_error *err, void *out, int n, const gh_row *row, const gh_json *value) {
  char what[128];
  if (gh_json_type_of(value) != GH_JSON_ARRAY || gh_json_count(value) != (size_t)n)
    return gh_fail(err, GH_ERROR_CONFIG, "%s: expected an array of %d numbers", row->path, n);
  const gh_json *item = gh_json_first(value);
  for (int i = 0; i < n; i++, item = gh_json_next(item)) {
    snprintf(what, sizeof what, "%s[%d]", row->path, i);
    gh_status status = row->type == ROW_AXES ? set_int(err, (int64_t *)out + i, row, what, item)
                                             : set_real(err, (double *)out + i, row, what, item);
    if (status) return status;
  }
  const double *pair = out;
  if (row->type == ROW_PAIR && pair[0] > pair[1])
    return gh_fail(err, GH_ERROR_CONFIG, "%s: %g is above %g", row->path, pair[0], pair[1]);
  return GH_OK;
}

static gh_status set_ints(gh_error *err, gh_int_list *out, const gh_row *row, const gh_json *value) {
  char what[128];
  if (gh_json_type_of(value) != GH_JSON_ARRAY)
    return gh_fail(err, GH_ERROR_CONFIG, "%s: expected an array of integers, found %s", row->path,
                   gh_json_type_name(value));
  out->items = gh_alloc(err, gh_json_count(value), sizeof *out->items);
  if (!out->items) return GH_ERROR_MEMORY;
  for (const gh_json *item = gh_json_first(value); item; item = gh_json_next(item)) {
    snprintf(what, sizeof what, "%s[%zu]", row->path, out->count);
    gh_status status = set_int(err, &out->items[out->count++], row, what, item);
    if (status) return status;
  }
  return GH_OK;
}

static gh_status set_strings(gh_error *err, gh_strings *out, const gh_row *row, const gh_json *value) {
  char what[128];
  const char *text;
  if (gh_json_type_of(value) == GH_JSON_STRING) {
    gh_json_to_string(NULL, value, row->path, &text);
    if (!text[0]) return gh_fail(err, GH_ERROR_CONFIG, "%s: an empty string", row->path);
    return gh_strings_add(err, out, text);
  }
  if (gh_json_type_of(value) != GH_JSON_ARRAY)
    return gh_fail(err, GH_ERROR_CONFIG, "%s: expected an array of strings, found %s", row->path,
                   gh_json_type_name(value));
  for (const gh_json *item = gh_json_first(value); item; item = gh_json_next(item)) {
    snprintf(what, sizeof what, "%s[%zu]", row->path, out->count);
    gh_status status = gh_json_to_string(err, item, what, &text);
    if (!status && !text[0]) status = gh_fail(err, GH_ERROR_CONFIG, "%s: an empty string", what);
    if (!status) status = gh_strings_add(err, out, text);
    if (status) return status;
  }
  return GH_OK;
}

static gh_status set_json(gh_error *err, gh_json **out, const gh_row *row, const gh_json *value) {
  gh_json_type wanted = row->type == ROW_ARRAY ? GH_JSON_ARRAY : GH_JSON_OBJECT;
  if (row->type == ROW_MAYBE_OBJECT && gh_json_type_of(value) == GH_JSON_NULL) return GH_OK;
  if (gh_json_type_of(value) != wanted)
    return gh_fail(err, GH_ERROR_CONFIG, "%s: expected %s, found %s", row->path,
                   wanted == GH_JSON_ARRAY ? "an array" : "an object or null", gh_json_type_name(value));
  return gh_json_copy(err, out, value);
}

static gh_status set_targets(gh_error *err, gh_target_list *list, const gh_row *row, const gh_json *value) {
  const char *text = "";
  if (gh_json_type_of(value) == GH_JSON_STRING) gh_json_to_string(NULL, value, row->path, &text);
  list->all_linear = !strcmp(text, "all-linear");
  if (list->all_linear) return GH_OK;
  gh_status status = set_strings(err, &list->names, row, value);
  if (!status && !list->names.count) status = gh_fail(err, GH_ERROR_CONFIG, "%s: an empty list", row->path);
  return status;
}

static gh_status set_group(gh_error *err, bool *out, const gh_row *row, const gh_json *value) {
  *out = gh_json_type_of(value) == GH_JSON_OBJECT;
  if (*out || gh_json_type_of(value) == GH_JSON_NULL) return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG, "%s: expected an object or null, found %s", row->path, gh_json_type_name(value));
}

static gh_status set_int_or_auto(gh_error *err, int64_t *out, const gh_row *row, const gh_json *value) {
  const char *text = "";
  if (gh_json_type_of(value) != GH_JSON_STRING) return set_int(err, out, row, row->path, value);
  gh_json_to_string(NULL, value, row->path, &text);
  *out = 0;
  if (!strcmp(text, "auto")) return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG, "%s: expected an integer or \"auto\", found \"%.100s\"", row->path, text);
}

static gh_status set_value(gh_error *err, void *record, const gh_row *row, const gh_json *value) {
  void *out = (char *)record + row->offset;
  switch (row->type) {
  case ROW_GROUP:
    return set_group(err, out, row, value);
  case ROW_INT:
    return set_int(err, out, row, row->path, value);
  case ROW_INT_OR_AUTO:
    return set_int_or_auto(err, out, row, value);
  case ROW_REAL:
    return set_real(err, out, row, row->path, value);
  case ROW_BOOL:
    return gh_json_to_bool(err, value, row->path, out);
  case ROW_STRING:
  case ROW_MAYBE_STRING:
    return set_string(err, out, row, value);
  case ROW_WORD:
    return set_word(err, out, row, value);
  case ROW_PAIR:
  case ROW_BETAS:
    return set_numbers(err, out, 2, row, value);
  case ROW_AXES:
    return set_numbers(err, out, 3, row, value);
  case ROW_INTS:
    return set_ints(err, out, row, value);
  case ROW_STRINGS:
    return set_strings(err, out, row, value);
  case ROW_TARGETS:
    return set_targets(err, out, row, value);
  case ROW_MAYBE_OBJECT:
  case ROW_ARRAY:
    return set_json(err, out, row, value);
  }
  return gh_fail(err, GH_ERROR_CONFIG, "%s: unknown type of row", row->path);
}

gh_status gh_row_read(gh_error *err, void *record, const gh_row *row, const gh_json *document, bool complete) {
  const gh_json *value = gh_json_at(document, row->path);
  gh_json *fallback = NULL;
  if (!value && complete && row->flags & ROW_REQUIRED)
    return gh_fail(err, GH_ERROR_CONFIG, "\"%s\" is missing: it has no default", row->path);
  if (!value && row->flags & ROW_REQUIRED && row->type == ROW_STRING) {
    char **out = (char **)((char *)record + row->offset);
    return (*out = gh_strdup(err, "")) ? GH_OK : GH_ERROR_MEMORY;
  }
  gh_status status = GH_OK;
  if (!value)
    status = gh_json_parse(err, &fallback, row->path, row->fallback, strlen(row->fallback), GH_JSON_MAX_BYTES);
  if (!status) status = gh_as_config_error(err, set_value(err, record, row, value ? value : fallback));
  if (!status && value && row->type == ROW_STRINGS && !((gh_strings *)((char *)record + row->offset))->count)
    status = gh_fail(err, GH_ERROR_CONFIG, "%s: an empty list", row->path);
  gh_json_free(fallback);
  return status;
}

/* ---- writing ---- */

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

gh_status gh_row_write(gh_error *err, gh_json *root, const gh_row *row, const void *record) {
  const void *in = (const char *)record + row->offset;
  const gh_target_list *targets = in;
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
    return gh_json_put_doubles(err, parent, key, in, 2);
  case ROW_AXES:
    return gh_json_put_ints(err, parent, key, in, 3);
  case ROW_INTS:
    return gh_json_put_ints(err, parent, key, ((const gh_int_list *)in)->items, ((const gh_int_list *)in)->count);
  case ROW_STRINGS:
    return gh_json_put_strings(err, parent, key, in);
  case ROW_TARGETS:
    if (targets->all_linear) return gh_json_put_string(err, parent, key, "all-linear");
    return gh_json_put_strings(err, parent, key, &targets->names);
  case ROW_MAYBE_OBJECT:
  case ROW_ARRAY:
    return put_json(err, parent, key, *(gh_json *const *)in);
  }
  return gh_fail(err, GH_ERROR_CONFIG, "%s: unknown type of row", row->path);
}

void gh_row_free(const gh_row *row, void *record) {
  void *member = (char *)record + row->offset;
  switch (row->type) {
  case ROW_STRING:
  case ROW_MAYBE_STRING:
    free(*(char **)member);
    break;
  case ROW_INTS:
    free(((gh_int_list *)member)->items);
    break;
  case ROW_STRINGS:
    gh_strings_free(member);
    break;
  case ROW_TARGETS:
    gh_strings_free(&((gh_target_list *)member)->names);
    break;
  case ROW_MAYBE_OBJECT:
  case ROW_ARRAY:
    gh_json_free(*(gh_json **)member);
    break;
  default:
    break;
  }
}
