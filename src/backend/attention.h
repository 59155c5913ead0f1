/* Attention in bfloat16 is chosen as matrix products are: "matrix", the kernels of a GPU's matrix units
 * (cl/tuned_attention_matrix.cl), where the device has units that they are written for and a head size that they serve,
 * or "shared", the kernels of cl/attention_gpu.cl. The first are used only after a check on the device itself: all
 * three of a head size compute drawn numbers, once a device, and have to agree with the shared ones. Nothing is timed.
 */
#ifndef GH_BACKEND_ATTENTION_H
#define GH_BACKEND_ATTENTION_H

#include "backend/backend.h"

/* What runs a part. */
typedef struct gh_attention_kernel {
  gh_kernel_id id;
  gh_grid grid;
  char defines[96]; /* id's */
} gh_attention_kernel;

/* Whether the matrix units' kernel does it (*out, if not NULL, is then filled, and stays where it is while id is used),
 * or the shared one. GH_ERROR_UNSUPPORTED where "matrix" is forced or frozen and cannot be. */
gh_status gh_attention_choose(gh_error *err, gh_device *d, const gh_attention_desc *desc, bool *matrix,
                              gh_attention_kernel *out);

/* The frozen choices, as in backend/gemm.h: keys are "size=64 bf16". */
gh_status gh_attention_freeze(gh_error *err, gh_device *d, const char *key, const char *provider);
int gh_attention_choice_count(const gh_device *d);
void gh_attention_choice(const gh_device *d, int index, const char **key, const char **provider);

/* "matrix" or "shared" for all; NULL goes back to choosing, which begins anew. GH_ATTENTION in the environment too. */
gh_status gh_attention_force(gh_error *err, gh_device *d, const char *provider);

void gh_attention_state_free(gh_attention_state *state); /* gh_device_close calls it; NULL is fine */

#endif
