/* Shared by attention_kernels.c, attention_check.c and attention.c (each builds on the previous one), and used by tests
 * to plant providers. */
#ifndef GH_BACKEND_CHOOSER_ATTENTION_INTERNAL_H
#define GH_BACKEND_CHOOSER_ATTENTION_INTERNAL_H

#include "backend/chooser/attention.h"

typedef struct gh_attention_provider {
  gh_provider base;
  /* Defines of the matrix unit: "-DUNIT_MMA"; "": those of the device's own; NULL: the shared kernels. */
  const char *unit;
  bool (*supports)(const gh_attention_desc *desc, const gh_device *d);
} gh_attention_provider;

/* The defines of a unit; NULL: attention has no kernels for it. */
const char *gh_attention_unit(gh_matrix_unit unit);

/* Whether the kernels of a unit support the head size, and the device has room for their work-groups. Whether it has
 * the unit is not checked. */
bool gh_attention_fits(const gh_attention_desc *desc, const gh_device *d, const char *unit);

/* The kernel of a part for a unit, whether or not the device has it. */
void gh_attention_kernel_of(const gh_attention_desc *desc, const char *unit, gh_attention_kernel *out);
/* The supported head sizes, ending with 0, and the index of a size there (-1: not supported). */
extern const int gh_attention_sizes[];
int gh_attention_index(int64_t size);
#define GH_ATTENTION_MAX_ROWS (1 << 30) /* queries, and keys */

/* Runs all three parts for a head size, with or without a mask, and the shared kernels on the same numbers.
 * GH_ERROR_DEVICE: they differ, and the text says where. */
gh_status gh_attention_check(gh_error *err, gh_device *d, int64_t size, bool masked, const char *unit);

#endif
