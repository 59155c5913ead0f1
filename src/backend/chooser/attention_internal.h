/* What attention_kernels.c, attention_check.c and attention.c, each above the one before, share; and what tests plant
 * providers with. */
#ifndef GH_BACKEND_CHOOSER_ATTENTION_INTERNAL_H
#define GH_BACKEND_CHOOSER_ATTENTION_INTERNAL_H

#include "backend/chooser/attention.h"

typedef struct gh_attention_provider {
  gh_provider base;
  const char *unit; /* defines of the matrix unit: "-DUNIT_MMA"; NULL: the shared kernels */
  bool (*supports)(const gh_attention_desc *desc, const gh_device *d);
} gh_attention_provider;

/* Whether the matrix units' kernels are written for the head size, and the device has room for their groups, whatever
 * its units. */
bool gh_attention_fits(const gh_attention_desc *desc, const gh_device *d);

/* The kernel of a part for a unit, whether or not the device has it. */
void gh_attention_kernel_of(const gh_attention_desc *desc, const char *unit, gh_attention_kernel *out);
/* Its head sizes, ending with 0; where one of them stands, -1 for any other. */
extern const int gh_attention_sizes[];
int gh_attention_index(int64_t size);
#define GH_ATTENTION_MAX_ROWS (1 << 30) /* queries, and keys */

/* Runs all three parts for a head size, and the shared kernels on the same numbers; GH_ERROR_DEVICE says where they
 * differ. */
gh_status gh_attention_check(gh_error *err, gh_device *d, int64_t size, const char *unit);

#endif
