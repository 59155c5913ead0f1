/* The op table: one line per op. */
#include "ops/ops.h"

#include <string.h>

#define OPS(X)                                                                                                         \
  X(accumulate)                                                                                                        \
  X(activation)                                                                                                        \
  X(activation_backward)                                                                                               \
  X(adamw)                                                                                                             \
  X(add)                                                                                                               \
  X(attention)                                                                                                         \
  X(attention_backward_kv)                                                                                             \
  X(attention_backward_q)                                                                                              \
  X(attention_delta)                                                                                                   \
  X(cast)                                                                                                              \
  X(categorical)                                                                                                       \
  X(clip_control)                                                                                                      \
  X(column_dot)                                                                                                        \
  X(column_sum)                                                                                                        \
  X(concat)                                                                                                            \
  X(constant)                                                                                                          \
  X(conv2d)                                                                                                            \
  X(conv2d_backward_bias)                                                                                              \
  X(conv2d_backward_weight)                                                                                            \
  X(conv2d_backward_x)                                                                                                 \
  X(count_rows)                                                                                                        \
  X(cross_entropy)                                                                                                     \
  X(cross_entropy_backward)                                                                                            \
  X(dropout)                                                                                                           \
  X(exp_scale)                                                                                                         \
  X(fft2d)                                                                                                             \
  X(flow_interpolate)                                                                                                  \
  X(gated_add)                                                                                                         \
  X(gated_add_backward)                                                                                                \
  X(gather_rows)                                                                                                       \
  X(gather_rows_backward)                                                                                              \
  X(gaussian_kl)                                                                                                       \
  X(gaussian_kl_backward)                                                                                              \
  X(gaussian_sample)                                                                                                   \
  X(gaussian_sample_backward)                                                                                          \
  X(groupnorm)                                                                                                         \
  X(groupnorm_backward)                                                                                                \
  X(groupnorm_sums)                                                                                                    \
  X(halves)                                                                                                            \
  X(halves_backward)                                                                                                   \
  X(layernorm)                                                                                                         \
  X(layernorm_backward)                                                                                                \
  X(linear)                                                                                                            \
  X(loss_scale)                                                                                                        \
  X(magnitude)                                                                                                         \
  X(masked_positions)                                                                                                  \
  X(matmul)                                                                                                            \
  X(modulate)                                                                                                          \
  X(mse_loss)                                                                                                          \
  X(mse_loss_backward)                                                                                                 \
  X(multiply)                                                                                                          \
  X(nearest_row)                                                                                                       \
  X(normalize_image)                                                                                                   \
  X(patchify)                                                                                                          \
  X(random_gumbel)                                                                                                     \
  X(random_index)                                                                                                      \
  X(random_mask)                                                                                                       \
  X(random_normal)                                                                                                     \
  X(random_timestep)                                                                                                   \
  X(repeat)                                                                                                            \
  X(replace_rows)                                                                                                      \
  X(replace_rows_backward_row)                                                                                         \
  X(reshape)                                                                                                           \
  X(rmsnorm)                                                                                                           \
  X(rmsnorm_backward)                                                                                                  \
  X(rope)                                                                                                              \
  X(split)                                                                                                             \
  X(square_sum)                                                                                                        \
  X(straight_through)                                                                                                  \
  X(timestep_embedding)                                                                                                \
  X(transpose)                                                                                                         \
  X(unpatchify)                                                                                                        \
  X(upsample2x)                                                                                                        \
  X(upsample2x_backward)                                                                                               \
  X(zero)

#define DECLARE(op) extern const gh_op gh_op_##op;
#define ROW(op)     &gh_op_##op,

OPS(DECLARE)

const gh_op *const gh_ops[] = {OPS(ROW) NULL};

const gh_op *gh_op_find(const char *name) {
  for (int i = 0; gh_ops[i]; i++)
    if (!strcmp(gh_ops[i]->name, name)) return gh_ops[i];
  return NULL;
}
