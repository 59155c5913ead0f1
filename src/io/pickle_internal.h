/* What the two halves of the pickle reader share: pickle.c has the machine, pickle_scalars.c reads its input and makes
 * numbers and texts. Failures are in m->err. */
#ifndef GH_IO_PICKLE_INTERNAL_H
#define GH_IO_PICKLE_INTERNAL_H

#include "io/pickle.h"

typedef struct machine {
  gh_error *err;
  const char *name;
  const unsigned char *bytes;
  size_t size, at; /* at: the next byte */
  size_t opcode_at;
  const gh_pickle_global *known;
  gh_pickle *pickle;
  gh_pickle_value **stack;
  size_t count, capacity;
  size_t *marks; /* heights of the stack */
  size_t mark_count;
  gh_pickle_value **memo; /* NULL where nothing is stored */
  size_t memo_size, memo_capacity, memo_used;
} machine;

gh_status gh_pickle_bad(machine *m, const char *what);
gh_pickle_value *gh_pickle_push_new(machine *m, gh_pickle_type type); /* NULL on failure */
void *gh_pickle_memory(machine *m, size_t size);                      /* zeroed; freed with the pickle */

gh_status gh_pickle_take(machine *m, uint64_t size, const unsigned char **bytes);
gh_status gh_pickle_take_number(machine *m, int bytes, uint64_t *number);   /* unsigned, little-endian */
gh_status gh_pickle_take_line(machine *m, const char **text, size_t *size); /* without its line feed */
gh_status gh_pickle_take_index(machine *m, int bytes, uint64_t *index);     /* bytes 0: a line of digits */

gh_status gh_pickle_step_bool(machine *m, int value);
gh_status gh_pickle_step_int(machine *m, int bytes);  /* negative: signed */
gh_status gh_pickle_step_long(machine *m, int bytes); /* of the length */
gh_status gh_pickle_step_decimal(machine *m, int unused);
gh_status gh_pickle_step_float(machine *m, int binary);
gh_status gh_pickle_step_text(machine *m, int bytes); /* of the length */
gh_status gh_pickle_step_bytes(machine *m, int bytes);
gh_status gh_pickle_step_quoted(machine *m, int quoted); /* 1: Python's repr; 0: raw-unicode-escape */

#endif
