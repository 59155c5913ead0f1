/* Python's pickles as data: a reader of the opcodes of protocols 0 to 5 that builds values and executes nothing.
 *
 * Where a pickle asks for a call, the result is a GH_PICKLE_CALL: the callable's name, its arguments, and whatever the
 * pickle then puts into the result. Which names a pickle may mention is the caller's table; any other is
 * GH_ERROR_UNSUPPORTED, and the text has its name ("posix.system").
 *
 * Input is hostile. Every length and count is checked against the remaining bytes; the limits below bound the stack,
 * the memo, the nesting, the values and their memory. Nothing here recurses. */
#ifndef GH_IO_PICKLE_H
#define GH_IO_PICKLE_H

#include "base/status.h"

#define GH_PICKLE_MAX_BYTES  ((size_t)256 << 20) /* of a pickle */
#define GH_PICKLE_MAX_MEMORY ((size_t)512 << 20) /* of its values */
#define GH_PICKLE_MAX_VALUES ((size_t)1 << 22)   /* and of memo indices, and of the stack's height */
#define GH_PICKLE_MAX_NAME   ((size_t)512)       /* bytes of a global's module, and of its name */
#define GH_PICKLE_MAX_DEPTH  1000                /* of marks, and of values inside values when they are put there */

typedef enum gh_pickle_type {
  GH_PICKLE_NONE,
  GH_PICKLE_BOOL,
  GH_PICKLE_INT,
  GH_PICKLE_LONG, /* an integer beyond 64 bits: its bytes, little-endian, as `text` */
  GH_PICKLE_FLOAT,
  GH_PICKLE_TEXT,
  GH_PICKLE_BYTES,
  GH_PICKLE_LIST,
  GH_PICKLE_TUPLE,
  GH_PICKLE_SET,
  GH_PICKLE_DICT, /* items: key, value, key, value, ... */
  GH_PICKLE_GLOBAL,
  GH_PICKLE_CALL,      /* callable(args), then items appended or set, then a state; never executed */
  GH_PICKLE_PERSISTENT /* args: what identifies an object outside the pickle */
} gh_pickle_type;

/* A row of the table of known names. One that ends with '.' stands for everything below it. */
typedef struct gh_pickle_global {
  const char *name; /* "collections.OrderedDict"; NULL ends the table */
  int kind, detail; /* the caller's */
} gh_pickle_global;

/* Values may contain themselves: whoever walks them limits the depth. */
typedef struct gh_pickle_value gh_pickle_value;
struct gh_pickle_value {
  gh_pickle_type type;
  gh_pickle_type filled; /* of a CALL with items: the type whose items they are, LIST, SET or DICT */
  int depth;             /* levels of values inside it */
  union {
    int64_t integer; /* INT, BOOL */
    double real;     /* FLOAT */
    struct {
      const char *bytes; /* TEXT, BYTES, LONG; NOT zero-terminated */
      size_t size;
    } text;
    struct {
      gh_pickle_value **items; /* LIST, TUPLE, SET, DICT, and of a CALL */
      size_t count, capacity;
    } list;
  } as;
  const gh_pickle_value *callable, *args, *state; /* CALL; args: PERSISTENT */
  const gh_pickle_global *global;                 /* GLOBAL */
  const char *global_name;                        /* GLOBAL: "module.name", zero-terminated */
};

typedef struct gh_pickle gh_pickle;

/* Reads the pickle that starts at bytes. *used (NULL allowed) is its length; more bytes may follow. `name` begins the
 * error text. bytes must outlive *out, which is NULL on failure. */
gh_status gh_pickle_read(gh_error *err, gh_pickle **out, const char *name, const void *bytes, size_t size,
                         const gh_pickle_global *known, size_t *used);
void gh_pickle_free(gh_pickle *pickle); /* NULL is fine */
const gh_pickle_value *gh_pickle_root(const gh_pickle *pickle);
/* Every PERSISTENT value, also one that was dropped later, in the pickle's order. */
size_t gh_pickle_persistent_count(const gh_pickle *pickle);
const gh_pickle_value *gh_pickle_persistent_at(const gh_pickle *pickle, size_t index);

bool gh_pickle_is_text(const gh_pickle_value *value, const char *text);
/* The row of a GLOBAL, or of the callable of a CALL; NULL for other values. */
const gh_pickle_global *gh_pickle_global_of(const gh_pickle_value *value);

#endif
