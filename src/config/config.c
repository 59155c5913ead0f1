#include "config/config.h"

#include "config/table.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1

/* ---- one value: text in front of the error is put there by the caller ---- */

/* What the JSON accessors call a wrong format is a wrong configuration here. */
static gh_status as_config(gh_error *err, gh_status status) {
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

/* The n numbers of an array, each in the row's range. */
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

static gh_status set_targets(gh_error *err, gh_lora_config *lora, const gh_row *row, const gh_json *value) {
  const char *text = "";
  if (gh_json_type_of(value) == GH_JSON_STRING) gh_json_to_string(NULL, value, row->path, &text);
  lora->all_linear = !strcmp(text, "all-linear");
  if (lora->all_linear) return GH_OK;
  gh_status status = set_strings(err, &lora->targets, row, value);
  if (!status && !lora->targets.count) status = gh_fail(err, GH_ERROR_CONFIG, "%s: an empty list", row->path);
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

/* ---- unknown keys ---- */

static bool is_group(const char *path) {
  size_t length = strlen(path);
  for (size_t i = 0; i < gh_config_row_count; i++)
    if (!strncmp(gh_config_rows[i].path, path, length) && gh_config_rows[i].path[length] == '.') return true;
  return false;
}

static const gh_row *find_row(const char *path, const gh_config *config) {
  const gh_row *other = NULL;
  for (size_t i = 0; i < gh_config_row_count; i++) {
    if (strcmp(gh_config_rows[i].path, path)) continue;
    if (!config || gh_row_serves(&gh_config_rows[i], config)) return &gh_config_rows[i];
    other = &gh_config_rows[i];
  }
  return other;
}

static const char *last_part(const char *path) {
  const char *dot = strrchr(path, '.');
  return dot ? dot + 1 : path;
}

/* The nearest valid path: a key of the same group (rows and groups below it), else one of the same last part,
 * preferably in the same stage, else whatever is least far away. A key of the other denoiser is no suggestion. */
static void nearest_path(char *out, size_t size, const char *path, const gh_config *config) {
  const size_t stem = (size_t)(last_part(path) - path), first_part = strcspn(path, ".");
  int least = INT_MAX;
  for (size_t i = 0; i < gh_config_row_count; i++) {
    const char *row = gh_config_rows[i].path;
    if (!gh_row_serves(&gh_config_rows[i], config)) continue;
    const bool sibling = !strncmp(row, path, stem), near = !strncmp(row, path, first_part);
    const size_t shortened = stem + strcspn(row + (sibling ? stem : 0), "."); /* a group stands for all its rows */
    for (int whole = 0; whole < 2; whole++) {
      char candidate[128];
      if (!whole && !sibling) continue;
      snprintf(candidate, sizeof candidate, "%.*s", whole ? (int)strlen(row) : (int)shortened, row);
      int distance = gh_edit_distance(last_part(path), last_part(candidate));
      int score = !whole ? 4 * distance : (distance ? 4 * distance + 16 : 10) + !near;
      if (score >= least) continue;
      least = score;
      snprintf(out, size, "%s", candidate);
    }
  }
}

static gh_status refuse_key(gh_error *err, const char *path, const gh_config *config) {
  char nearest[128] = "";
  const gh_row *row = find_row(path, config);
  if (row && gh_row_serves(row, config))
    return gh_fail(err, GH_ERROR_CONFIG, "key \"%.200s\": write objects in objects, not a name with dots", path);
  if (row)
    return gh_fail(err, GH_ERROR_CONFIG, "%s: the %s denoiser has no such key", path,
                   config->denoiser.kind == GH_DENOISER_DISCRETE ? "discrete" : "continuous");
  nearest_path(nearest, sizeof nearest, path, config);
  return gh_fail(err, GH_ERROR_CONFIG, "unknown key \"%.200s\" (the nearest is \"%s\")", path, nearest);
}

/* Every key of the object, whose own path is `path`, must be in the table. */
static gh_status check_keys(gh_error *err, const gh_json *object, const char *path, const gh_config *config) {
  for (const gh_json *item = gh_json_first(object); item; item = gh_json_next(item)) {
    gh_status status = GH_OK;
    char *below = gh_format(err, "%s%s%s", path, *path ? "." : "", gh_json_key(item));
    if (!below) return GH_ERROR_MEMORY;
    const gh_row *row = find_row(below, config);
    bool dotted = strchr(gh_json_key(item), '.');
    if (is_group(below) && !dotted) {
      if (gh_json_type_of(item) == GH_JSON_OBJECT)
        status = check_keys(err, item, below, config);
      else if (!row)
        status = gh_fail(err, GH_ERROR_CONFIG, "%s: expected an object, found %s", below, gh_json_type_name(item));
    } else if (!row || dotted || !gh_row_serves(row, config)) {
      status = refuse_key(err, below, config);
    }
    free(below);
    if (status) return status;
  }
  return GH_OK;
}

/* ---- the whole document ---- */

/* Keys that mean something only together. */
static gh_status check_together(gh_error *err, const gh_config *c) {
  const gh_denoiser_config *d = &c->denoiser;
  if (d->hidden % d->heads)
    return gh_fail(err, GH_ERROR_CONFIG, "denoiser.hidden: %lld is not a multiple of denoiser.heads, %lld",
                   (long long)d->hidden, (long long)d->heads);
  if (d->kind == GH_DENOISER_CONTINUOUS) {
    const int64_t *axes = d->rope_axes;
    if (axes[0] + axes[1] + axes[2] != d->hidden / d->heads)
      return gh_fail(err, GH_ERROR_CONFIG, "denoiser.rope_axes: %lld + %lld + %lld is not hidden / heads = %lld",
                     (long long)axes[0], (long long)axes[1], (long long)axes[2], (long long)(d->hidden / d->heads));
    if (axes[0] % 2 || axes[1] % 2 || axes[2] % 2)
      return gh_fail(err, GH_ERROR_CONFIG, "denoiser.rope_axes: rotations take pairs, so every axis must be even");
  }
  for (int i = 0; i < 2; i++)
    if (c->stages[i].micro_batch > c->stages[i].batch)
      return gh_fail(err, GH_ERROR_CONFIG, "stage%d.micro_batch: %lld is above stage%d.batch, %lld", i + 1,
                     (long long)c->stages[i].micro_batch, i + 1, (long long)c->stages[i].batch);
  return GH_OK;
}

gh_status gh_row_read(gh_error *err, void *record, const gh_row *row, const gh_json *document) {
  const gh_json *value = document ? gh_json_at(document, row->path) : NULL;
  gh_json *fallback = NULL;
  if (!value && document && row->flags & ROW_REQUIRED)
    return gh_fail(err, GH_ERROR_CONFIG, "\"%s\" is missing: it has no default", row->path);
  if (!value && row->flags & ROW_REQUIRED && row->type == ROW_STRING) {
    char **out = (char **)((char *)record + row->offset);
    return (*out = gh_strdup(err, "")) ? GH_OK : GH_ERROR_MEMORY;
  }
  gh_status status = GH_OK;
  if (!value)
    status = gh_json_parse(err, &fallback, row->path, row->fallback, strlen(row->fallback), GH_JSON_MAX_BYTES);
  if (!status) status = as_config(err, set_value(err, record, row, value ? value : fallback));
  if (!status && value && row->type == ROW_STRINGS && !((gh_strings *)((char *)record + row->offset))->count)
    status = gh_fail(err, GH_ERROR_CONFIG, "%s: an empty list", row->path);
  gh_json_free(fallback);
  return status;
}

/* document NULL: the defaults alone. */
static gh_status fill(gh_error *err, gh_config *config, const gh_json *document) {
  const gh_row *kind = find_row("denoiser.kind", NULL);
  *config = (gh_config){0};
  gh_status status = gh_row_read(err, config, kind, document); /* first: it decides which keys there are */
  if (!status) status = check_keys(err, document, "", config);
  for (size_t i = 0; i < gh_config_row_count && !status; i++)
    if (&gh_config_rows[i] != kind && gh_row_serves(&gh_config_rows[i], config))
      status = gh_row_read(err, config, &gh_config_rows[i], document);
  if (!status) status = check_together(err, config);
  if (status) gh_config_free(config);
  return status;
}

gh_status gh_config_defaults(gh_error *err, gh_config *config) { return fill(err, config, NULL); }

/* Before the keys: those that a later version added would else be called unknown. */
static gh_status check_version(gh_error *err, const gh_json *document) {
  gh_error ignored;
  int64_t version = VERSION;
  gh_json_opt_int(&ignored, document, "version", &version);
  if (version <= VERSION) return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG, "version: %lld is of a later genhance; this one reads up to %d",
                 (long long)version, VERSION);
}

gh_status gh_config_from_json(gh_error *err, gh_config *config, const char *name, const gh_json *document) {
  *config = (gh_config){0};
  if (gh_json_type_of(document) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_CONFIG, "%s: expected an object, found %s", name, gh_json_type_name(document));
  gh_status status = check_version(err, document);
  if (!status) status = fill(err, config, document);
  if (status) gh_fail_in(err, "%s", name);
  return status;
}

/* ---- overrides ---- */

static bool holds_text(const gh_row *row) {
  return row && (row->type == ROW_STRING || row->type == ROW_MAYBE_STRING || row->type == ROW_WORD);
}

gh_status gh_row_override(gh_error *err, gh_json **out, const gh_row *row, const char *text) {
  bool bare = holds_text(row) && text[0] != '"' && strcmp(text, "null");
  gh_error ignored = {0};
  gh_status status =
      bare ? GH_ERROR_FORMAT : gh_json_parse(&ignored, out, "value", text, strlen(text), GH_JSON_MAX_BYTES);
  if (status != GH_ERROR_FORMAT) return status == GH_ERROR_MEMORY ? gh_fail(err, status, "%s", ignored.text) : status;
  return gh_json_string(err, out, text);
}

static gh_status apply_override(gh_error *err, gh_json *document, const char *override) {
  const char *equals = strchr(override, '=');
  gh_json *value = NULL;
  if (!equals || equals == override)
    return gh_fail(err, GH_ERROR_ARGUMENT, "--set %.200s: expected key=value", override);
  char *path = gh_format(err, "%.*s", (int)(equals - override), override);
  if (!path) return GH_ERROR_MEMORY;
  gh_status status = GH_OK;
  const gh_row *row = find_row(path, NULL);
  if (!row && !is_group(path)) {
    gh_config every = {0};
    status = refuse_key(err, path, &every);
  }
  if (!status) status = gh_row_override(err, &value, row, equals + 1);
  if (!status) status = as_config(err, gh_json_put_at(err, document, path, value));
  free(path);
  return status == GH_ERROR_CONFIG ? gh_fail_in(err, "--set %.200s", override), status : status;
}

gh_status gh_config_parse(gh_error *err, gh_config *config, const char *name, const char *text, size_t size,
                          const char *const *overrides, size_t override_count) {
  gh_json *document;
  *config = (gh_config){0};
  gh_status status = gh_json_parse(err, &document, name, text, size, GH_JSON_MAX_BYTES);
  if (status) return as_config(err, status);
  if (gh_json_type_of(document) != GH_JSON_OBJECT) override_count = 0; /* refused below, by name */
  for (size_t i = 0; i < override_count && !status; i++) status = apply_override(err, document, overrides[i]);
  if (!status) status = gh_config_from_json(err, config, name, document);
  gh_json_free(document);
  return status;
}
