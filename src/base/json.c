#include "base/json.h"

#include "base/file.h"
#include "base/incomplete.h"
#include "base/json_check.h"

#include <cJSON.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A gh_json is a cJSON node; a cast is all the wrapping there is. */
static cJSON *raw(const gh_json *node) { return (cJSON *)(uintptr_t)node; }
static gh_json *wrap(cJSON *node) { return (gh_json *)node; }

/* cJSON allocates through gh_alloc, so that tests can make its allocations fail too. */
static void *hook_malloc(size_t size) { return gh_alloc(NULL, size, 1); }
static void install_hooks(void) {
  cJSON_Hooks hooks = {.malloc_fn = hook_malloc, .free_fn = free};
  cJSON_InitHooks(&hooks);
}
static void use_hooks(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install_hooks);
}

static gh_status no_memory(gh_error *err) { return gh_fail(err, GH_ERROR_MEMORY, "out of memory for JSON"); }

/* ---- reading ---- */

static int compare_keys(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gh_status refuse_duplicates(gh_error *err, const char *name, const cJSON *object, int count) {
  const char **keys = gh_alloc(err, (size_t)count, sizeof *keys);
  if (!keys) return GH_ERROR_MEMORY;
  size_t n = 0;
  for (const cJSON *item = object->child; item; item = item->next) keys[n++] = item->string;
  qsort(keys, n, sizeof *keys, compare_keys); /* sorted, not compared pairwise: a hostile header has a million keys */
  gh_status status = GH_OK;
  for (size_t i = 1; i < n && !status; i++)
    if (!strcmp(keys[i - 1], keys[i]))
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: duplicate key \"%.200s\"", name, keys[i]);
  free(keys);
  return status;
}

static gh_status check_keys(gh_error *err, const char *name, const cJSON *node) {
  int count = 0;
  for (const cJSON *item = node->child; item; item = item->next, count++) {
    gh_status status = item->child ? check_keys(err, name, item) : GH_OK;
    if (status) return status;
  }
  return cJSON_IsObject(node) && count > 1 ? refuse_duplicates(err, name, node, count) : GH_OK;
}

gh_status gh_json_parse(gh_error *err, gh_json **out, const char *name, const char *text, size_t size,
                        size_t max_bytes) {
  *out = NULL;
  use_hooks();
  if (size > max_bytes)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %zu bytes of JSON exceed the limit of %zu", name, size, max_bytes);
  gh_status status = gh_json_check(err, name, text, size);
  if (status) return status;
  cJSON *root = cJSON_ParseWithLengthOpts(text, size, NULL, 0);
  if (!root) return no_memory(err); /* the grammar is checked: nothing else can go wrong */
  status = check_keys(err, name, root);
  if (status)
    cJSON_Delete(root);
  else
    *out = wrap(root);
  return status;
}

gh_status gh_json_read_file(gh_error *err, gh_json **out, const char *path, size_t max_bytes) {
  char *text;
  size_t size;
  *out = NULL;
  gh_status status = gh_file_read(err, path, max_bytes, &text, &size);
  if (!status) status = gh_refuse_wide_text(err, path, text, size);
  if (!status) status = gh_json_parse(err, out, path, text, size, max_bytes);
  free(text);
  return status;
}

gh_status gh_json_copy(gh_error *err, gh_json **out, const gh_json *node) {
  use_hooks();
  *out = wrap(cJSON_Duplicate(raw(node), 1));
  return *out ? GH_OK : no_memory(err);
}

bool gh_json_equal(const gh_json *a, const gh_json *b) {
  if (gh_json_type_of(a) != gh_json_type_of(b) || gh_json_count(a) != gh_json_count(b)) return false;
  switch (gh_json_type_of(a)) {
  case GH_JSON_NULL:
    return true;
  case GH_JSON_BOOL:
    return cJSON_IsTrue(raw(a)) == cJSON_IsTrue(raw(b));
  case GH_JSON_NUMBER:
    return raw(a)->valuedouble == raw(b)->valuedouble;
  case GH_JSON_STRING:
    return !strcmp(raw(a)->valuestring, raw(b)->valuestring);
  case GH_JSON_ARRAY:
    for (const gh_json *x = gh_json_first(a), *y = gh_json_first(b); x; x = gh_json_next(x), y = gh_json_next(y))
      if (!gh_json_equal(x, y)) return false;
    return true;
  case GH_JSON_OBJECT:
    for (const gh_json *x = gh_json_first(a); x; x = gh_json_next(x)) {
      const gh_json *y = gh_json_member(b, gh_json_key(x));
      if (!y || !gh_json_equal(x, y)) return false;
    }
    return true;
  }
  return false;
}

void gh_json_free(gh_json *root) { cJSON_Delete(raw(root)); }

gh_json_type gh_json_type_of(const gh_json *node) {
  const cJSON *n = raw(node);
  if (cJSON_IsBool(n)) return GH_JSON_BOOL;
  if (cJSON_IsNumber(n)) return GH_JSON_NUMBER;
  if (cJSON_IsString(n)) return GH_JSON_STRING;
  if (cJSON_IsArray(n)) return GH_JSON_ARRAY;
  if (cJSON_IsObject(n)) return GH_JSON_OBJECT;
  return GH_JSON_NULL;
}

const char *gh_json_type_name(const gh_json *node) {
  static const char *const names[] = {"null", "true or false", "a number", "a string", "an array", "an object"};
  return node ? names[gh_json_type_of(node)] : "nothing";
}

const gh_json *gh_json_first(const gh_json *node) {
  return node && (cJSON_IsArray(raw(node)) || cJSON_IsObject(raw(node))) ? wrap(raw(node)->child) : NULL;
}

const gh_json *gh_json_next(const gh_json *item) { return item ? wrap(raw(item)->next) : NULL; }
const char *gh_json_key(const gh_json *item) { return item ? raw(item)->string : NULL; }

size_t gh_json_count(const gh_json *node) {
  size_t count = 0;
  for (const gh_json *item = gh_json_first(node); item; item = gh_json_next(item)) count++;
  return count;
}

static const gh_json *member_of(const gh_json *object, const char *key, size_t length) {
  if (!object || !cJSON_IsObject(raw(object))) return NULL;
  for (const cJSON *item = raw(object)->child; item; item = item->next)
    if (!strncmp(item->string, key, length) && !item->string[length]) return wrap((cJSON *)(uintptr_t)item);
  return NULL;
}

const gh_json *gh_json_member(const gh_json *object, const char *key) { return member_of(object, key, strlen(key)); }

const gh_json *gh_json_at(const gh_json *node, const char *path) {
  while (node && *path) {
    if (*path == '[') {
      char *end;
      unsigned long index = strtoul(path + 1, &end, 10);
      if (*end != ']' || !cJSON_IsArray(raw(node))) return NULL;
      for (node = gh_json_first(node); node && index; index--) node = gh_json_next(node);
      path = end + 1;
    } else {
      size_t length = strcspn(path, ".[");
      node = member_of(node, path, length);
      path += length;
    }
    if (*path == '.') path++;
  }
  return node;
}

static gh_status wrong_type(gh_error *err, const gh_json *node, const char *what, const char *expected) {
  return gh_fail(err, GH_ERROR_FORMAT, "%s: expected %s, found %s", what, expected, gh_json_type_name(node));
}

gh_status gh_json_to_double(gh_error *err, const gh_json *node, const char *what, double *out) {
  if (gh_json_type_of(node) != GH_JSON_NUMBER) return wrong_type(err, node, what, "a number");
  *out = raw(node)->valuedouble;
  return GH_OK;
}

gh_status gh_json_to_int(gh_error *err, const gh_json *node, const char *what, int64_t *out) {
  if (gh_json_type_of(node) != GH_JSON_NUMBER) return wrong_type(err, node, what, "an integer");
  double value = raw(node)->valuedouble;
  if (!(fabs(value) <= (double)GH_JSON_MAX_INTEGER))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %g exceeds the largest exact integer (2^53 - 1)", what, value);
  if (value != floor(value)) return gh_fail(err, GH_ERROR_FORMAT, "%s: expected an integer, found %.17g", what, value);
  *out = (int64_t)value;
  return GH_OK;
}

gh_status gh_json_to_bool(gh_error *err, const gh_json *node, const char *what, bool *out) {
  if (gh_json_type_of(node) != GH_JSON_BOOL) return wrong_type(err, node, what, "true or false");
  *out = cJSON_IsTrue(raw(node));
  return GH_OK;
}

gh_status gh_json_to_string(gh_error *err, const gh_json *node, const char *what, const char **out) {
  if (gh_json_type_of(node) != GH_JSON_STRING) return wrong_type(err, node, what, "a string");
  *out = raw(node)->valuestring;
  return GH_OK;
}

/* get: an absent value is an error. opt: an absent or null value leaves *out unchanged. */
#define ACCESSORS(name, type)                                                                                          \
  gh_status gh_json_get_##name(gh_error *err, const gh_json *node, const char *path, type *out) {                      \
    const gh_json *found = gh_json_at(node, path);                                                                     \
    if (!found) return gh_fail(err, GH_ERROR_FORMAT, "%s: missing", path);                                             \
    return gh_json_to_##name(err, found, path, out);                                                                   \
  }                                                                                                                    \
  gh_status gh_json_opt_##name(gh_error *err, const gh_json *node, const char *path, type *out) {                      \
    const gh_json *found = gh_json_at(node, path);                                                                     \
    if (gh_json_type_of(found) == GH_JSON_NULL) return GH_OK;                                                          \
    return gh_json_to_##name(err, found, path, out);                                                                   \
  }

ACCESSORS(double, double)
ACCESSORS(int, int64_t)
ACCESSORS(bool, bool)
ACCESSORS(string, const char *)

/* ---- building ---- */

static gh_json *made(gh_error *err, cJSON *node) {
  if (!node) no_memory(err);
  return wrap(node);
}

gh_json *gh_json_object(gh_error *err) {
  use_hooks();
  return made(err, cJSON_CreateObject());
}

gh_json *gh_json_array(gh_error *err) {
  use_hooks();
  return made(err, cJSON_CreateArray());
}

gh_status gh_json_string(gh_error *err, gh_json **out, const char *value) {
  use_hooks();
  *out = NULL;
  if (!gh_utf8_valid(value, strlen(value))) return gh_fail(err, GH_ERROR_FORMAT, "text \"%s\" is not UTF-8", value);
  *out = made(err, cJSON_CreateString(value));
  return *out ? GH_OK : GH_ERROR_MEMORY;
}

/* The new value gets the old one's key and position. */
static void replace(cJSON *parent, cJSON *old, cJSON *value) {
  free(value->string);
  value->string = old->string;
  old->string = NULL;
  cJSON_ReplaceItemViaPointer(parent, old, value);
}

gh_status gh_json_put(gh_error *err, gh_json *parent, const char *key, gh_json *value) {
  cJSON *into = raw(parent), *item = raw(value);
  if (!item) return GH_ERROR_MEMORY; /* its creation has already reported the error */
  if (key ? !cJSON_IsObject(into) : !cJSON_IsArray(into)) {
    cJSON_Delete(item);
    return gh_fail(err, GH_ERROR_ARGUMENT, "cannot put %s%s into %s", key ? "the key " : "an element", key ? key : "",
                   gh_json_type_name(parent));
  }
  if (key && !gh_utf8_valid(key, strlen(key))) {
    cJSON_Delete(item);
    return gh_fail(err, GH_ERROR_FORMAT, "JSON key \"%s\": not UTF-8", key);
  }
  cJSON *old = key ? raw(gh_json_member(parent, key)) : NULL;
  if (old) {
    replace(into, old, item);
  } else if (!(key ? cJSON_AddItemToObject(into, key, item) : cJSON_AddItemToArray(into, item))) {
    cJSON_Delete(item);
    return no_memory(err);
  }
  return GH_OK;
}

gh_status gh_json_put_double(gh_error *err, gh_json *parent, const char *key, double value) {
  if (!isfinite(value))
    return gh_fail(err, GH_ERROR_NUMERIC, "%s: %g cannot be written as JSON", key ? key : "element", value);
  return gh_json_put(err, parent, key, made(err, cJSON_CreateNumber(value)));
}

gh_status gh_json_put_int(gh_error *err, gh_json *parent, const char *key, int64_t value) {
  if (value > GH_JSON_MAX_INTEGER || value < -GH_JSON_MAX_INTEGER)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: %lld exceeds the largest exact JSON integer (2^53 - 1)",
                   key ? key : "element", (long long)value);
  return gh_json_put(err, parent, key, made(err, cJSON_CreateNumber((double)value)));
}

gh_status gh_json_put_bool(gh_error *err, gh_json *parent, const char *key, bool value) {
  return gh_json_put(err, parent, key, made(err, cJSON_CreateBool(value)));
}

gh_status gh_json_put_string(gh_error *err, gh_json *parent, const char *key, const char *value) {
  if (!gh_utf8_valid(value, strlen(value)))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: text \"%s\" is not UTF-8", key ? key : "element", value);
  return gh_json_put(err, parent, key, made(err, cJSON_CreateString(value)));
}

gh_status gh_json_put_null(gh_error *err, gh_json *parent, const char *key) {
  return gh_json_put(err, parent, key, made(err, cJSON_CreateNull()));
}

gh_json *gh_json_put_object(gh_error *err, gh_json *parent, const char *key) {
  gh_json *child = gh_json_object(err);
  return gh_json_put(err, parent, key, child) ? NULL : child;
}

gh_json *gh_json_put_array(gh_error *err, gh_json *parent, const char *key) {
  gh_json *child = gh_json_array(err);
  return gh_json_put(err, parent, key, child) ? NULL : child;
}

#define PUT_ALL(put, count, value)                                                                                     \
  gh_json *array = gh_json_put_array(err, parent, key);                                                                \
  gh_status status = array ? GH_OK : err->status;                                                                      \
  for (size_t i = 0; i < (count) && !status; i++) status = put(err, array, NULL, value);                               \
  return status

gh_status gh_json_put_doubles(gh_error *err, gh_json *parent, const char *key, const double *values, size_t n) {
  PUT_ALL(gh_json_put_double, n, values[i]);
}

gh_status gh_json_put_ints(gh_error *err, gh_json *parent, const char *key, const int64_t *values, size_t n) {
  PUT_ALL(gh_json_put_int, n, values[i]);
}

gh_status gh_json_put_strings(gh_error *err, gh_json *parent, const char *key, const gh_strings *values) {
  PUT_ALL(gh_json_put_string, values->count, values->items[i]);
}

gh_status gh_json_put_renamed(gh_error *err, gh_json *object, const char *key, const char *old) {
  gh_json *copy = NULL;
  gh_status status = gh_json_copy(err, &copy, gh_json_member(object, key));
  return status ? status : gh_json_put(err, object, old, copy);
}

gh_json *gh_json_parent_at(gh_error *err, gh_json *root, const char *path, const char **key) {
  for (const char *dot; root && (dot = strchr(path, '.')); path = dot + 1) {
    gh_json *child = wrap(raw(member_of(root, path, (size_t)(dot - path))));
    if (!child || gh_json_type_of(child) == GH_JSON_NULL) {
      char *part = gh_format(err, "%.*s", (int)(dot - path), path);
      child = part ? gh_json_put_object(err, root, part) : NULL;
      free(part);
    }
    root = child;
  }
  *key = path;
  return root;
}

gh_status gh_json_put_at(gh_error *err, gh_json *root, const char *path, gh_json *value) {
  const char *key;
  gh_error reason = {0};
  gh_json *parent = gh_json_parent_at(&reason, root, path, &key);
  if (parent) return gh_json_put(err, parent, key, value);
  gh_json_free(value);
  return gh_fail(err, reason.status, "%s", reason.text);
}
