/* The project's only access to JSON. Handles are opaque: only json.c names the library behind them.
 *
 * Input is hostile. Duplicate keys, non-finite numbers, nesting beyond GH_JSON_MAX_DEPTH, text after the value, invalid
 * UTF-8, lone surrogates and zero characters are errors whose text names the document, the line and the column. Keys
 * are case-sensitive.
 *
 * A node belongs to its document (the root): freeing the root frees all of it. Strings and keys that accessors return
 * are borrowed from the node. */
#ifndef GH_BASE_JSON_H
#define GH_BASE_JSON_H

#include "base/text.h"

typedef struct gh_json gh_json;

typedef enum gh_json_type {
  GH_JSON_NULL,
  GH_JSON_BOOL,
  GH_JSON_NUMBER,
  GH_JSON_STRING,
  GH_JSON_ARRAY,
  GH_JSON_OBJECT
} gh_json_type;

#define GH_JSON_MAX_DEPTH   64
#define GH_JSON_MAX_INTEGER ((INT64_C(1) << 53) - 1) /* beyond it, integers share a double: rejected */
#define GH_JSON_MAX_BYTES   ((size_t)100000000)      /* limit of a safetensors header; suits any file */

/* ---- reading ---- */

/* Parses size bytes (no terminating zero needed); rejects more than max_bytes. `name` begins the error text: a path, or
 * a description of the text. On failure *out is NULL. */
gh_status gh_json_parse(gh_error *err, gh_json **out, const char *name, const char *text, size_t size,
                        size_t max_bytes);
gh_status gh_json_read_file(gh_error *err, gh_json **out, const char *path, size_t max_bytes);
gh_status gh_json_copy(gh_error *err, gh_json **out, const gh_json *node);
bool gh_json_equal(const gh_json *a, const gh_json *b); /* the order of an object's keys does not matter */
void gh_json_free(gh_json *root);                       /* NULL is fine; only ever a root, never a child */

gh_json_type gh_json_type_of(const gh_json *node);  /* NULL counts as GH_JSON_NULL */
const char *gh_json_type_name(const gh_json *node); /* "a number", "an object", ... for error text */

/* Children of an array or object in the document's order; NULL at the end, and for other types:
 *   for (const gh_json *item = gh_json_first(node); item; item = gh_json_next(item)) */
const gh_json *gh_json_first(const gh_json *node);
const gh_json *gh_json_next(const gh_json *item);
const char *gh_json_key(const gh_json *item); /* the key of an object's member, else NULL */
size_t gh_json_count(const gh_json *node);

const gh_json *gh_json_member(const gh_json *object, const char *key); /* exact key, dots and all; NULL when absent */
const gh_json *gh_json_at(const gh_json *node, const char *path); /* "stage1.optimizer.betas[1]"; NULL when absent */

/* The node's value, or GH_ERROR_FORMAT "`what`: expected a number, found a string". */
gh_status gh_json_to_double(gh_error *err, const gh_json *node, const char *what, double *out);
gh_status gh_json_to_int(gh_error *err, const gh_json *node, const char *what, int64_t *out);
gh_status gh_json_to_bool(gh_error *err, const gh_json *node, const char *what, bool *out);
gh_status gh_json_to_string(gh_error *err, const gh_json *node, const char *what, const char **out);

/* The value at a dotted path below node; the error text names the path: "stage1.optimizer.lr: missing". */
gh_status gh_json_get_double(gh_error *err, const gh_json *node, const char *path, double *out);
gh_status gh_json_get_int(gh_error *err, const gh_json *node, const char *path, int64_t *out);
gh_status gh_json_get_bool(gh_error *err, const gh_json *node, const char *path, bool *out);
gh_status gh_json_get_string(gh_error *err, const gh_json *node, const char *path, const char **out);

/* The same, but an absent or null value leaves *out unchanged: put the default there first. */
gh_status gh_json_opt_double(gh_error *err, const gh_json *node, const char *path, double *out);
gh_status gh_json_opt_int(gh_error *err, const gh_json *node, const char *path, int64_t *out);
gh_status gh_json_opt_bool(gh_error *err, const gh_json *node, const char *path, bool *out);
gh_status gh_json_opt_string(gh_error *err, const gh_json *node, const char *path, const char **out);

/* ---- building ---- */

gh_json *gh_json_object(gh_error *err); /* a new empty root; NULL when memory runs out */
gh_json *gh_json_array(gh_error *err);
gh_status gh_json_string(gh_error *err, gh_json **out, const char *value); /* a root that is one string */

/* Put a member into an object (replacing one with that key) or, with key NULL, append to an array. A non-finite number
 * is GH_ERROR_NUMERIC, an integer beyond GH_JSON_MAX_INTEGER GH_ERROR_ARGUMENT, text that is not UTF-8
 * GH_ERROR_FORMAT. */
gh_status gh_json_put_double(gh_error *err, gh_json *parent, const char *key, double value);
gh_status gh_json_put_int(gh_error *err, gh_json *parent, const char *key, int64_t value);
gh_status gh_json_put_bool(gh_error *err, gh_json *parent, const char *key, bool value);
gh_status gh_json_put_string(gh_error *err, gh_json *parent, const char *key, const char *value);
gh_status gh_json_put_null(gh_error *err, gh_json *parent, const char *key);
gh_status gh_json_put(gh_error *err, gh_json *parent, const char *key,
                      gh_json *value);                                        /* takes value, on failure too */
gh_json *gh_json_put_object(gh_error *err, gh_json *parent, const char *key); /* the new child, NULL on failure */
gh_json *gh_json_put_array(gh_error *err, gh_json *parent, const char *key);
/* An array of n values, or of a list's. */
gh_status gh_json_put_doubles(gh_error *err, gh_json *parent, const char *key, const double *values, size_t n);
gh_status gh_json_put_ints(gh_error *err, gh_json *parent, const char *key, const int64_t *values, size_t n);
gh_status gh_json_put_strings(gh_error *err, gh_json *parent, const char *key, const gh_strings *values);

/* A member that has a new name keeps its old one for one release, so that programs which read the old one still work.
 * docs/json-keys.md lists them. Call after `key` has its final value; repeats it as `old`. */
gh_status gh_json_put_renamed(gh_error *err, gh_json *object, const char *key, const char *old);

/* The object that holds the last component of a dotted path; missing or null objects on the way are created. *key is
 * that last component, borrowed from path. NULL on failure. */
gh_json *gh_json_parent_at(gh_error *err, gh_json *root, const char *path, const char **key);
/* Puts value at that path; takes value, on failure too. */
gh_status gh_json_put_at(gh_error *err, gh_json *root, const char *path, gh_json *value);

/* ---- writing ---- */

/* *text is the caller's to free; size may be NULL. Compact is one line without a newline; indented is two spaces per
 * level and ends with a newline. Numbers are the shortest text that reads back as the same double. */
gh_status gh_json_print(gh_error *err, char **text, size_t *size, const gh_json *node, bool indented);
gh_status gh_json_write_file(gh_error *err, const char *path, const gh_json *node);  /* indented; atomic */
gh_status gh_json_append_line(gh_error *err, const char *path, const gh_json *node); /* compact + newline, one write */

#endif
