/* What attention.c (choices) and attention_check.c share; tests set `unit` here. */
#ifndef GH_BACKEND_ATTENTION_INTERNAL_H
#define GH_BACKEND_ATTENTION_INTERNAL_H

#include "backend/attention.h"

#define GH_ATTENTION_SIZES 4

typedef enum gh_attention_provider {
  GH_ATTENTION_OPEN,
  GH_ATTENTION_SHARED,
  GH_ATTENTION_MATRIX
} gh_attention_provider;

struct gh_attention_state {
  gh_attention_provider forced;                     /* open: not */
  gh_attention_provider chosen[GH_ATTENTION_SIZES]; /* by head size */
  signed char good[GH_ATTENTION_SIZES];             /* the check: 0 not yet, 1 right, -1 wrong */
  const char *unit;                                 /* tests: defines of a unit, whatever the device has */
};

/* The device's state, made at first use; NULL with err set when memory runs out or GH_ATTENTION names no provider. */
gh_attention_state *gh_attention_state_get(gh_error *err, gh_device *d);

/* The kernel of a part for a unit, whether or not the device has it; `unit`: "-DUNIT_MMA". */
void gh_attention_kernel_of(const gh_attention_desc *desc, const char *unit, gh_attention_kernel *out);
/* Its head sizes, ending with 0. */
extern const int gh_attention_sizes[];

/* Runs all three parts for a head size, and the shared kernels on the same numbers; GH_ERROR_DEVICE says where they
 * differ. */
gh_status gh_attention_check(gh_error *err, gh_device *d, int64_t size, const char *unit);

#endif
