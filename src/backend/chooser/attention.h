/* Attention in bfloat16: "matrix", the kernels of a GPU's matrix units (cl/tuned_attention_matrix.cl), for the head
 * sizes that they support, or "shared", the kernels of cl/attention_gpu.cl. The first are used only after a check on
 * the device itself: all three of a head size compute drawn numbers and have to agree with the shared ones. Nothing is
 * timed. */
#ifndef GH_BACKEND_CHOOSER_ATTENTION_H
#define GH_BACKEND_CHOOSER_ATTENTION_H

#include "backend/chooser/chooser.h"

extern const gh_choice_kind gh_attention_kind; /* keys are "size=64 bf16" */

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

#endif
