/* Works on whole documents with the rows of a schema: unknown keys, reading, writing, overrides. */
#include "base/build.h"
#include "config/table.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- finding rows ---- */

static bool is_group(const gh_schema *schema, const char *path) {
  size_t length = strlen(path);
  for (size_t s = 0; s < schema->count; s++)
    for (size_t i = 0; i < schema->sets[s].count; i++) {
      const char *row = schema->sets[s].rows[i].path;
      if (!strncmp(row, path, length) && row[length] == '.') return true;
    }
  return false;
}

/* Prefers a row that this document may have to a foreign row with the same path. */
static const gh_row *find_row(const gh_schema *schema, const char *path, const gh_row_set **set) {
  const gh_row *found = NULL;
  for (size_t s = 0; s < schema->count; s++)
    for (size_t i = 0; i < schema->sets[s].count; i++) {
      if (strcmp(schema->sets[s].rows[i].path, path) || (found && !schema->sets[s].record)) continue;
      found = &schema->sets[s].rows[i];
      *set = &schema->sets[s];
    }
  return found;
}

/* ---- unknown keys ---- */

static const char *last_part(const char *path) {
  const char *dot = strrchr(path, '.');
  return dot ? dot + 1 : path;
}

typedef struct gh_nearest_path {
  const char *path; /* the path asked about */
  int least;        /* its score so far */
  char text[128];
} gh_nearest_path;

static int score_of(int distance, int whole, bool near) {
  return !whole ? 4 * distance : (distance ? 4 * distance + 16 : 10) + !near;
}

/* Scores a row's path, and the part of it that ends one level below the group of the path asked about. */
static void try_path(gh_nearest_path *n, const char *row) {
  const size_t stem = (size_t)(last_part(n->path) - n->path), first_part = strcspn(n->path, ".");
  const bool sibling = !strncmp(row, n->path, stem), near = !strncmp(row, n->path, first_part);
  const size_t shortened = stem + strcspn(row + (sibling ? stem : 0), "."); /* one candidate for a whole group */
  for (int whole = 0; whole < 2; whole++) {
    char candidate[128];
    if (!whole && !sibling) continue;
    snprintf(candidate, sizeof candidate, "%.*s", whole ? (int)strlen(row) : (int)shortened, row);
    if (score_of(gh_edit_bound(last_part(n->path), last_part(candidate)), whole, near) >= n->least) continue;
    int score = score_of(gh_edit_distance(last_part(n->path), last_part(candidate)), whole, near);
    if (score >= n->least) continue;
    n->least = score;
    snprintf(n->text, sizeof n->text, "%s", candidate);
  }
}

/* Reports the nearest valid path: a key of the same group (rows and groups below it), else a path with the same last
 * part, preferably in the same stage, else the path with the smallest distance. */
static gh_status refuse_key(gh_error *err, const gh_schema *schema, const char *path) {
  const gh_row_set *set = NULL;
  const gh_row *row = find_row(schema, path, &set);
  if (row && set->record)
    return gh_fail(err, GH_ERROR_CONFIG, "key \"%.200s\": write nested objects, not a name with dots", path);
  if (row) return gh_fail(err, GH_ERROR_CONFIG, "%s is a key of %s only", path, set->foreign);
  gh_nearest_path nearest = {.path = path, .least = INT_MAX};
  for (size_t s = 0; s < schema->count; s++)
    for (size_t i = 0; i < schema->sets[s].count && schema->sets[s].record; i++)
      try_path(&nearest, schema->sets[s].rows[i].path);
  return gh_fail(err, GH_ERROR_CONFIG, "unknown key \"%.200s\" (the nearest is \"%s\")", path, nearest.text);
}

/* Whether a foreign key says nothing: it has its default value, and its group has no keys of this document's kind. So
 * `--set` can give a complete configuration another kind; the groups of the first may stay. */
static bool says_nothing(const gh_schema *schema, const gh_row *row, const gh_json *value) {
  const char *dot = strchr(row->path, '.');
  const size_t group = dot ? (size_t)(dot - row->path) + 1 : 0;
  gh_error ignored;
  gh_json *fallback = NULL;
  for (size_t s = 0; s < schema->count; s++)
    for (size_t i = 0; i < schema->sets[s].count && schema->sets[s].record; i++)
      if (!strncmp(schema->sets[s].rows[i].path, row->path, group)) return false;
  if (gh_json_parse(&ignored, &fallback, row->path, row->fallback, strlen(row->fallback), GH_JSON_MAX_BYTES))
    return false;
  const bool same = gh_json_equal(value, fallback);
  gh_json_free(fallback);
  return same;
}

/* Checks every key of the object, whose own path is `path`. */
static gh_status check_keys(gh_error *err, const gh_schema *schema, const gh_json *object, const char *path) {
  for (const gh_json *item = gh_json_first(object); item; item = gh_json_next(item)) {
    gh_status status = GH_OK;
    if (!*path && !strcmp(gh_json_key(item), GH_MADE_BY)) continue; /* a run's config.json has it */
    char *below = gh_format(err, "%s%s%s", path, *path ? "." : "", gh_json_key(item));
    if (!below) return GH_ERROR_MEMORY;
    const gh_row_set *set = NULL;
    const gh_row *row = find_row(schema, below, &set);
    bool dotted = strchr(gh_json_key(item), '.');
    if (is_group(schema, below) && !dotted) {
      if (gh_json_type_of(item) == GH_JSON_OBJECT)
        status = check_keys(err, schema, item, below);
      else if (!row || !set->record)
        status = gh_fail(err, GH_ERROR_CONFIG, "%s: expected an object, found %s", below, gh_json_type_name(item));
    } else if (!row || dotted || (!set->record && !says_nothing(schema, row, item))) {
      status = refuse_key(err, schema, below);
    }
    free(below);
    if (status) return status;
  }
  return GH_OK;
}

gh_status gh_schema_check_keys(gh_error *err, const gh_schema *schema, const gh_json *document) {
  return check_keys(err, schema, document, "");
}

/* ---- all rows ---- */

gh_status gh_schema_read(gh_error *err, const gh_schema *schema, const gh_json *document, bool complete) {
  gh_status status = GH_OK;
  for (size_t s = 0; s < schema->count; s++)
    for (size_t i = 0; i < schema->sets[s].count && schema->sets[s].record && !status; i++)
      status = gh_row_read(err, schema->sets[s].record, &schema->sets[s].rows[i], document, complete);
  return status;
}

static gh_status write_set(gh_error *err, const gh_row_set *set, gh_json *root) {
  const char *absent = NULL; /* the group that is null: its rows are skipped */
  gh_status status = GH_OK;
  for (size_t i = 0; i < set->count && !status; i++) {
    const gh_row *row = &set->rows[i];
    if (absent && gh_starts_with(row->path, absent) && row->path[strlen(absent)] == '.') continue;
    absent = row->type == ROW_GROUP && !*(const bool *)((const char *)set->record + row->offset) ? row->path : NULL;
    status = gh_row_write(err, root, row, set->record);
  }
  return status;
}

gh_status gh_schema_write(gh_error *err, const gh_schema *schema, gh_json *root) {
  gh_status status = GH_OK;
  for (size_t s = 0; s < schema->count && !status; s++)
    if (schema->sets[s].record) status = write_set(err, &schema->sets[s], root);
  return status;
}

void gh_schema_free(const gh_schema *schema) {
  for (size_t s = 0; s < schema->count; s++)
    for (size_t i = 0; i < schema->sets[s].count && schema->sets[s].record; i++)
      gh_row_free(&schema->sets[s].rows[i], schema->sets[s].record);
}

/* ---- overrides ---- */

static bool holds_text(const gh_row *row) {
  return row && (row->type == ROW_STRING || row->type == ROW_MAYBE_STRING || row->type == ROW_WORD);
}

static gh_status parse_value(gh_error *err, gh_json **out, const gh_row *row, const char *text) {
  bool bare = holds_text(row) && text[0] != '"' && strcmp(text, "null");
  gh_error ignored = {0};
  gh_status status =
      bare ? GH_ERROR_FORMAT : gh_json_parse(&ignored, out, "value", text, strlen(text), GH_JSON_MAX_BYTES);
  if (status != GH_ERROR_FORMAT) return status == GH_ERROR_MEMORY ? gh_fail(err, status, "%s", ignored.text) : status;
  return gh_json_string(err, out, text);
}

gh_status gh_schema_override(gh_error *err, const gh_schema *schema, gh_json *document, const char *text) {
  const char *equals = strchr(text, '=');
  gh_json *value = NULL;
  if (!equals || equals == text) return gh_fail(err, GH_ERROR_ARGUMENT, "--set %.200s: expected key=value", text);
  char *path = gh_format(err, "%.*s", (int)(equals - text), text);
  if (!path) return GH_ERROR_MEMORY;
  const gh_row_set *set = NULL;
  const gh_row *row = find_row(schema, path, &set);
  gh_status status = row || is_group(schema, path) ? GH_OK : refuse_key(err, schema, path);
  if (!status) status = parse_value(err, &value, row, equals + 1);
  if (!status) status = gh_as_config_error(err, gh_json_put_at(err, document, path, value));
  free(path);
  return status == GH_ERROR_CONFIG ? gh_fail_in(err, "--set %.200s", text), status : status;
}
