/* Attention in bfloat16 and in float16: "matrix", the kernels of matrix units (cl/tuned_attention_matrix.cl for
 * NVIDIA's GPUs, cl/tuned_attention_columns.cl for AMD's and Intel's, cl/tuned_attention_amx.cl for CPUs with AMX,
 * bfloat16 alone), for the head sizes that they support, or "shared", the kernels of cl/attention_cpu.cl and
 * cl/attention_gpu.cl. The former are used only after a check on the device itself: all three kernels of a type and
 * head size compute on random numbers and must agree with the shared ones. Kernels that read a mask are checked apart
 * from those without. Nothing is timed; the tiles of either are another choice (attention_tile.h). */
#ifndef GH_BACKEND_CHOOSER_ATTENTION_H
#define GH_BACKEND_CHOOSER_ATTENTION_H

#include "backend/chooser/chooser.h"

extern const gh_choice_kind gh_attention_kind; /* keys are "size=64 f16", with a mask "size=64 f16 masked" */

/* The kernel of a part, and its grid. */
typedef struct gh_attention_kernel {
  gh_kernel_id id;
  gh_grid grid;
  const char *tile;  /* " columns=32 rows=32": what is not usual; "" */
  int32_t split;     /* the last argument of a shared kernel and of a CPU's; 0: a GPU's matrix units have none */
  char defines[160]; /* id's */
} gh_attention_kernel;

/* Chooses the kernel of the matrix units (*matrix) or the shared one, and its tiles. It fills *out, unless NULL, which
 * must not move while its id is used. GH_ERROR_UNSUPPORTED where "matrix" is forced or frozen and cannot run. */
gh_status gh_attention_choose(gh_error *err, gh_device *d, const gh_attention_desc *desc, bool *matrix,
                              gh_attention_kernel *out);

/* Adds the arguments that follow a part's own: at most GH_ATTENTION_SHARED_ARGS. hidden: NULL or the mask. Returns the
 * number of all. */
enum { GH_ATTENTION_SHARED_ARGS = 9 };
int gh_attention_args(gh_arg *args, int own, const gh_attention_desc *desc, const gh_buffer *hidden, double scale,
                      const gh_attention_kernel *kernel);

#endif
