/* Configurations as tables: one row per key. A document is described by a few sets of rows, each of which fills its own
 * record. The run configuration has a set for the keys of every run and a set for its kind of denoiser;
 * pre-training has a set for its common keys and one per kind. */
#ifndef GH_CONFIG_TABLE_H
#define GH_CONFIG_TABLE_H

#include "base/json.h"
#include "base/text.h"

typedef enum gh_row_type {
  ROW_GROUP,        /* bool: false if the group is null; the rows in it have its path as prefix */
  ROW_INT,          /* int64_t */
  ROW_INT_OR_AUTO,  /* int64_t, 0 for "auto" */
  ROW_REAL,         /* double */
  ROW_BOOL,         /* bool */
  ROW_STRING,       /* char *, not null */
  ROW_MAYBE_STRING, /* char *, NULL for null */
  ROW_WORD,         /* an enum, by the names in words */
  ROW_PAIR,         /* double[2], the first at most the second */
  ROW_BETAS,        /* double[2] */
  ROW_AXES,         /* int64_t[3] */
  ROW_INTS,         /* gh_int_list */
  ROW_STRINGS,      /* gh_strings, at least one; a single string is a list of one */
  ROW_TARGETS,      /* gh_target_list */
  ROW_MAYBE_OBJECT, /* gh_json *, NULL for null */
  ROW_ARRAY         /* gh_json * */
} gh_row_type;

typedef struct gh_int_list {
  int64_t *items;
  size_t count;
} gh_int_list;

typedef struct gh_target_list {
  bool all_linear;  /* "all-linear" ... */
  gh_strings names; /* ... or the names of modules */
} gh_target_list;

typedef struct gh_word {
  const char *name;
  int value; /* the first name of a value is the canonical one */
} gh_word;

enum {
  ROW_REQUIRED = 1, /* the document must have the key */
  ROW_OPEN_LOW = 2, /* the least value itself is outside */
  ROW_OPEN_HIGH = 4 /* the greatest value itself is outside */
};

typedef struct gh_row {
  const char *path;     /* "stage1.optimizer.lr" */
  gh_row_type type;     /* of the member at `offset` */
  size_t offset;        /* in the record that is filled */
  const char *fallback; /* the default, as JSON */
  double least, greatest;
  int flags;
  const gh_word *words; /* of ROW_WORD; ends with a null name */
} gh_row;

typedef struct gh_row_set {
  const gh_row *rows;
  size_t count;
  void *record;        /* the rows fill it; NULL: these keys are known, but this document must not have them */
  const char *foreign; /* for a set without a record: the owner of these keys, "the continuous denoiser" */
} gh_row_set;

typedef struct gh_schema {
  const gh_row_set *sets;
  size_t count;
} gh_schema;

/* Checks that every key of the document is a row of the schema. GH_ERROR_CONFIG names the first unknown key and the
 * nearest valid one. */
gh_status gh_schema_check_keys(gh_error *err, const gh_schema *schema, const gh_json *document);
/* Fills the records from the document's checked values or from the defaults. `complete`: required keys must be present;
 * otherwise a missing one is "" or an empty list. GH_ERROR_CONFIG names the row. Records start zeroed; after a failure
 * gh_schema_free frees their contents. */
gh_status gh_schema_read(gh_error *err, const gh_schema *schema, const gh_json *document, bool complete);
/* Writes every key, in the order of the rows. */
gh_status gh_schema_write(gh_error *err, const gh_schema *schema, gh_json *root);
/* Frees strings, lists and objects of the records. The caller zeroes the records. */
void gh_schema_free(const gh_schema *schema);
/* Puts "key=value" into the document: a dotted key, and JSON or, if that does not parse, a bare string. A string key
 * always takes a bare string, except for null and quoted text. Records are not read. */
gh_status gh_schema_override(gh_error *err, const gh_schema *schema, gh_json *document, const char *text);

/* Turns the GH_ERROR_FORMAT of the JSON accessors into GH_ERROR_CONFIG. */
gh_status gh_as_config_error(gh_error *err, gh_status status);

/* ---- value.c, for schema.c ---- */

/* The same functions for one row. */
gh_status gh_row_read(gh_error *err, void *record, const gh_row *row, const gh_json *document, bool complete);
gh_status gh_row_write(gh_error *err, gh_json *root, const gh_row *row, const void *record);
void gh_row_free(const gh_row *row, void *record);

/* ---- for writing tables ---- */

/* An upper bound within the integers that JSON represents exactly. */
#define GH_ROW_MANY 9e15

/* clang-format off */
#define GH_ROW(path, type, record, member, fallback, least, greatest, flags) \
  {path, type, offsetof(record, member), fallback, least, greatest, flags, NULL}
#define GH_ROW_OF_WORDS(path, record, member, fallback, words) \
  {path, ROW_WORD, offsetof(record, member), fallback, 0, 0, 0, words}
/* clang-format on */

#endif
