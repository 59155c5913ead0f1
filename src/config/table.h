/* Configurations as tables: a row a key. And the rows of the run configuration; for config*.c and pretrain_config.c. */
#ifndef GH_CONFIG_TABLE_H
#define GH_CONFIG_TABLE_H

#include "config/config.h"

typedef enum gh_row_type {
  ROW_GROUP,        /* bool: false when the group is null; the rows below it have its path as prefix */
  ROW_INT,          /* int64_t */
  ROW_INT_OR_AUTO,  /* int64_t, 0 for "auto" */
  ROW_REAL,         /* double */
  ROW_BOOL,         /* bool */
  ROW_STRING,       /* char *, not null */
  ROW_MAYBE_STRING, /* char *, NULL for null */
  ROW_WORD,         /* an enum, by the names in words */
  ROW_PAIR,         /* double[2], the first not above the second */
  ROW_BETAS,        /* double[2] */
  ROW_AXES,         /* int64_t[3] */
  ROW_INTS,         /* gh_int_list */
  ROW_STRINGS,      /* gh_strings, at least one; a single string is a list of one */
  ROW_TARGETS,      /* lora.targets: gh_strings and all_linear */
  ROW_MAYBE_OBJECT, /* gh_json *, NULL for null */
  ROW_ARRAY         /* gh_json * */
} gh_row_type;

typedef struct gh_word {
  const char *name;
  int value; /* the first name of a value is the canonical one */
} gh_word;

enum {
  ROW_REQUIRED = 1,   /* the document must have it */
  ROW_OPEN_LOW = 2,   /* the least value itself is outside */
  ROW_OPEN_HIGH = 4,  /* the greatest value itself is outside */
  ROW_CONTINUOUS = 8, /* a key of the continuous denoiser only */
  ROW_DISCRETE = 16   /* a key of the discrete denoiser only */
};

typedef struct gh_row {
  const char *path;
  gh_row_type type;
  size_t offset;        /* in the record that is filled */
  const char *fallback; /* the default, as JSON */
  double least, greatest;
  int flags;
  const gh_word *words; /* ends with a null name */
} gh_row;

extern const gh_row gh_config_rows[];
extern const size_t gh_config_row_count;

bool gh_row_serves(const gh_row *row, const gh_config *config); /* false for a key of the other denoiser */

/* Fills the row's place in the record from the document's value, checked, or from its default; document NULL: that.
 * GH_ERROR_CONFIG names the row. */
gh_status gh_row_read(gh_error *err, void *record, const gh_row *row, const gh_json *document);

/* The value of "key=value": JSON where it parses, else the bare string; for a key of text always the bare string, but
 * for null and for text in quotes. row NULL: a key with others below it. */
gh_status gh_row_override(gh_error *err, gh_json **out, const gh_row *row, const char *text);

#endif
