#include "bench/result.h"
#include "base/array.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table of fields ---- */

typedef enum gh_result_type { TEXT, CHOICE, WHOLE, REAL, TRUTH } gh_result_type;

static const struct {
  const char *name;
  gh_result_type type;
  bool null; /* may be null */
  const char *help;
} rules[GH_RESULT_COUNT] = {
#define RULE(constant, name, type, null, help) {name, type, null, help},
    GH_RESULT_FIELDS(RULE)
#undef RULE
};

#define CHOICES 9
static const char *const choices[GH_RESULT_COUNT][CHOICES] = {
    [GH_RESULT_KERNEL_SHAPE] = {"cpu", "gpu"},
    [GH_RESULT_KIND] = {"peak", "latency", "transfer", "op", "product", "step", "loader", "drift"},
    [GH_RESULT_PASS] = {"forward", "backward"},
    [GH_RESULT_DTYPE] = {"f32", "bf16", "f16"},
    [GH_RESULT_STATUS] = {"ok", "unsupported", "skipped", "error"},
    [GH_RESULT_BETTER] = {"higher", "lower"},
    [GH_RESULT_CLOCK] = {"wall", "processor"},
    [GH_RESULT_LIMIT] = {"arithmetic", "memory"},
};

static bool is_text(gh_result_field field) { return rules[field].type == TEXT || rules[field].type == CHOICE; }

const char *gh_result_name(gh_result_field field) { return rules[field].name; }

/* ---- one row ---- */

void gh_result_init(gh_result *row) {
  for (int f = 0; f < GH_RESULT_COUNT; f++) {
    row->of[f].text = NULL;
    row->of[f].number = NAN;
  }
  row->of[GH_RESULT_SCHEMA].number = GH_RESULT_VERSION;
}

void gh_result_free(gh_result *row) {
  for (int f = 0; f < GH_RESULT_COUNT; f++) free(row->of[f].text);
  gh_result_init(row);
}

gh_status gh_result_copy(gh_error *err, gh_result *out, const gh_result *row) {
  gh_result_init(out);
  gh_status status = GH_OK;
  for (int f = 0; f < GH_RESULT_COUNT && !status; f++) {
    out->of[f].number = row->of[f].number;
    if (!row->of[f].text) continue;
    out->of[f].text = gh_strdup(err, row->of[f].text);
    if (!out->of[f].text) status = GH_ERROR_MEMORY;
  }
  if (status) gh_result_free(out);
  return status;
}

static gh_status check_choice(gh_error *err, gh_result_field field, const char *text) {
  if (rules[field].type != CHOICE) return GH_OK;
  for (int i = 0; i < CHOICES && choices[field][i]; i++)
    if (!strcmp(choices[field][i], text)) return GH_OK;
  return gh_fail(err, GH_ERROR_FORMAT, "%s is \"%.60s\", which is not in its list", rules[field].name, text);
}

gh_status gh_result_set(gh_error *err, gh_result *row, gh_result_field field, const char *text) {
  char *copy = NULL;
  if (text && check_choice(err, field, text)) return err->status;
  if (text && !(copy = gh_strdup(err, text))) return GH_ERROR_MEMORY;
  if (copy) gh_text_show(copy);
  free(row->of[field].text);
  row->of[field].text = copy;
  return GH_OK;
}

gh_status gh_result_format(gh_error *err, gh_result *row, gh_result_field field, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return gh_result_set(err, row, field, text);
}

void gh_result_put(gh_result *row, gh_result_field field, double number) {
  row->of[field].number = isfinite(number) ? number : NAN;
}

const char *gh_result_text(const gh_result *row, gh_result_field field) {
  return row->of[field].text ? row->of[field].text : "";
}
double gh_result_number(const gh_result *row, gh_result_field field) { return row->of[field].number; }
bool gh_result_is(const gh_result *row, gh_result_field field, const char *text) {
  return row->of[field].text && !strcmp(row->of[field].text, text);
}

double gh_result_best_rate(const gh_result *row, gh_result_field rate) {
  const double value = row->of[GH_RESULT_VALUE].number;
  const double gain = gh_result_is(row, GH_RESULT_BETTER, "lower") ? value / row->of[GH_RESULT_MINIMUM].number
                                                                   : row->of[GH_RESULT_MAXIMUM].number / value;
  return row->of[rate].number * (isfinite(gain) && gain > 1 ? gain : 1);
}

static bool same_number(double a, double b) { return isnan(a) ? isnan(b) : a == b; }

bool gh_result_same(const gh_result *a, const gh_result *b, const gh_result_field *fields, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(gh_result_text(a, fields[i]), gh_result_text(b, fields[i])) ||
        !same_number(a->of[fields[i]].number, b->of[fields[i]].number))
      return false;
  return true;
}

gh_status gh_result_outcome(gh_error *err, gh_result *row, const char *status, const char *reason) {
  gh_status set = gh_result_set(err, row, GH_RESULT_STATUS, status);
  return set ? set : gh_result_set(err, row, GH_RESULT_REASON, reason);
}

/* ---- JSON ---- */

static gh_status put_field(gh_error *err, gh_json *to, const gh_result *row, gh_result_field f) {
  const char *name = rules[f].name, *text = row->of[f].text;
  const double number = row->of[f].number;
  if (is_text(f)) return text ? gh_json_put_string(err, to, name, text) : gh_json_put_null(err, to, name);
  if (isnan(number)) return gh_json_put_null(err, to, name);
  if (rules[f].type == TRUTH) return gh_json_put_bool(err, to, name, number != 0);
  return gh_json_put_double(err, to, name, number);
}

gh_status gh_result_to_json(gh_error *err, gh_json **out, const gh_result *row) {
  gh_status status = (*out = gh_json_object(err)) ? GH_OK : GH_ERROR_MEMORY;
  for (int f = 0; f < GH_RESULT_COUNT && !status; f++) status = put_field(err, *out, row, (gh_result_field)f);
  if (status) {
    gh_json_free(*out);
    *out = NULL;
  }
  return status;
}

static gh_status read_field(gh_error *err, gh_result *row, gh_result_field f, const gh_json *value) {
  const char *what = rules[f].name, *text;
  bool truth = false;
  int64_t whole = 0;
  if (gh_json_type_of(value) == GH_JSON_NULL)
    return rules[f].null ? GH_OK : gh_fail(err, GH_ERROR_FORMAT, "%s must not be null", what);
  gh_status status = GH_OK;
  if (is_text(f)) {
    status = gh_json_to_string(err, value, what, &text);
    return status ? status : gh_result_set(err, row, f, text);
  }
  if (rules[f].type == REAL) return gh_json_to_double(err, value, what, &row->of[f].number);
  if (rules[f].type == WHOLE)
    status = gh_json_to_int(err, value, what, &whole);
  else
    status = gh_json_to_bool(err, value, what, &truth);
  row->of[f].number = truth ? 1 : (double)whole;
  return status;
}

static int field_named(const char *name) {
  for (int f = 0; f < GH_RESULT_COUNT; f++)
    if (!strcmp(rules[f].name, name)) return f;
  return -1;
}

/* Fields that rows of earlier versions lack. */
static bool is_recent(int f) { return f == GH_RESULT_NOMINAL; }

/* What such a row means: before, every convolution's count was taken for nominal, and every other product's for exact.
 */
static void complete_earlier(gh_result *row, const bool *seen) {
  if (!seen[GH_RESULT_NOMINAL] &&
      (gh_result_is(row, GH_RESULT_KIND, "peak") || gh_result_is(row, GH_RESULT_KIND, "product")))
    row->of[GH_RESULT_NOMINAL].number = gh_starts_with(gh_result_text(row, GH_RESULT_OP), "conv");
}

static gh_status check_whole(gh_error *err, const gh_result *row) {
  const bool ok = gh_result_is(row, GH_RESULT_STATUS, "ok");
  if (row->of[GH_RESULT_SCHEMA].number != GH_RESULT_VERSION)
    return gh_fail(err, GH_ERROR_FORMAT, "schema %.0f; this program reads %d", row->of[GH_RESULT_SCHEMA].number,
                   GH_RESULT_VERSION);
  if (ok == isnan(row->of[GH_RESULT_VALUE].number))
    return gh_fail(err, GH_ERROR_FORMAT, "a row has a value if and only if its status is ok");
  if (!ok && !row->of[GH_RESULT_REASON].text)
    return gh_fail(err, GH_ERROR_FORMAT, "a status other than ok needs a reason");
  if (row->of[GH_RESULT_SHARE].number > 1 && !row->of[GH_RESULT_SHARE_NOTE].text)
    return gh_fail(err, GH_ERROR_FORMAT, "share_of_peak is above 1 without a share_note");
  if (row->of[GH_RESULT_VALUE].number < 0) return gh_fail(err, GH_ERROR_FORMAT, "value is negative");
  return GH_OK;
}

gh_status gh_result_from_json(gh_error *err, gh_result *out, const char *name, const gh_json *json) {
  bool seen[GH_RESULT_COUNT] = {false};
  gh_result_init(out);
  gh_status status = GH_OK;
  if (gh_json_type_of(json) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: expected an object, found %s", name, gh_json_type_name(json));
  for (const gh_json *item = gh_json_first(json); item && !status; item = gh_json_next(item)) {
    const int f = field_named(gh_json_key(item));
    if (f < 0) {
      status = gh_fail(err, GH_ERROR_FORMAT, "unknown field %.60s", gh_json_key(item));
    } else {
      seen[f] = true;
      status = read_field(err, out, (gh_result_field)f, item);
    }
  }
  for (int f = 0; f < GH_RESULT_COUNT && !status; f++)
    if (!seen[f] && !is_recent(f)) status = gh_fail(err, GH_ERROR_FORMAT, "%s is missing", rules[f].name);
  if (!status) complete_earlier(out, seen);
  if (!status) status = check_whole(err, out);
  if (status) {
    gh_result_free(out);
    gh_fail_in(err, "%s", name);
  }
  return status;
}

/* ---- CSV ---- */

char *gh_csv_quoted(gh_error *err, const char *text) {
  if (!strpbrk(text, ",\"\r\n")) return gh_strdup(err, text);
  char *out = gh_alloc(err, 2 * strlen(text) + 3, 1), *to = out;
  if (!out) return NULL;
  *to++ = '"';
  for (; *text; text++) {
    if (*text == '"') *to++ = '"';
    *to++ = *text;
  }
  *to = '"';
  return out;
}

char *gh_result_csv_cell(gh_error *err, const gh_result *row, gh_result_field f) {
  const double number = row->of[f].number;
  if (is_text(f)) return gh_csv_quoted(err, gh_result_text(row, f));
  if (isnan(number)) return gh_strdup(err, "");
  if (rules[f].type == TRUTH) return gh_strdup(err, number != 0 ? "true" : "false");
  char text[40];
  for (int digits = 6; digits <= 17; digits++) { /* the shortest that reads back as the same number */
    snprintf(text, sizeof text, "%.*g", digits, number);
    if (strtod(text, NULL) == number) break;
  }
  return gh_strdup(err, text);
}

/* ---- JSON Schema ---- */

/* What relates two fields. */
static const char relations[] =
    "[{\"if\":{\"properties\":{\"status\":{\"const\":\"ok\"}}},"
    "\"then\":{\"properties\":{\"value\":{\"type\":\"number\",\"minimum\":0}}},"
    "\"else\":{\"properties\":{\"value\":{\"type\":\"null\"},\"reason\":{\"type\":\"string\"}}}},"
    "{\"if\":{\"properties\":{\"share_of_peak\":{\"type\":\"number\",\"exclusiveMinimum\":1}}},"
    "\"then\":{\"properties\":{\"share_note\":{\"type\":\"string\"}}}}]";

static gh_status describe_field(gh_error *err, gh_json *properties, gh_result_field f) {
  static const char *const types[] = {
      [TEXT] = "string", [CHOICE] = "string", [WHOLE] = "integer", [REAL] = "number", [TRUTH] = "boolean"};
  gh_json *one = gh_json_put_object(err, properties, rules[f].name), *list = NULL;
  if (!one || gh_json_put_string(err, one, "description", rules[f].help)) return err->status;
  if (f == GH_RESULT_SCHEMA) return gh_json_put_int(err, one, "const", GH_RESULT_VERSION);
  list = gh_json_put_array(err, one, "type");
  if (!list || gh_json_put_string(err, list, NULL, types[rules[f].type]) ||
      (rules[f].null && gh_json_put_string(err, list, NULL, "null")))
    return err->status;
  if (rules[f].type != CHOICE) return GH_OK;
  list = gh_json_put_array(err, one, "enum");
  gh_status status = list ? GH_OK : err->status;
  for (int i = 0; i < CHOICES && choices[f][i] && !status; i++)
    status = gh_json_put_string(err, list, NULL, choices[f][i]);
  return !status && rules[f].null ? gh_json_put_null(err, list, NULL) : status;
}

gh_status gh_result_schema(gh_error *err, gh_json **out) {
  gh_json *schema = *out = gh_json_object(err), *properties = NULL, *required = NULL, *related = NULL;
  gh_status status = schema ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_string(err, schema, "$schema", "https://json-schema.org/draft/2020-12/schema");
  if (!status) status = gh_json_put_string(err, schema, "title", "A row of genhance's benchmark results");
  if (!status) status = gh_json_put_string(err, schema, "type", "object");
  if (!status) status = gh_json_put_bool(err, schema, "additionalProperties", false);
  if (!status && !(properties = gh_json_put_object(err, schema, "properties"))) status = err->status;
  if (!status && !(required = gh_json_put_array(err, schema, "required"))) status = err->status;
  for (int f = 0; f < GH_RESULT_COUNT && !status; f++) {
    status = describe_field(err, properties, (gh_result_field)f);
    if (!status && !is_recent(f)) status = gh_json_put_string(err, required, NULL, rules[f].name);
  }
  if (!status) status = gh_json_parse(err, &related, "the relations", relations, strlen(relations), sizeof relations);
  if (!status) status = gh_json_put(err, schema, "allOf", related);
  if (status) {
    gh_json_free(schema);
    *out = NULL;
  }
  return status;
}
