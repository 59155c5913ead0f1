/* Shared by the files of matrix products, and used by tests to plant providers. gemm_dot.c and gemm_matrix.c use
 * gemm_common.c, the table in gemm_own.c uses these, and gemm.c uses the table and gemm_trial.c. */
#ifndef GH_BACKEND_CHOOSER_GEMM_INTERNAL_H
#define GH_BACKEND_CHOOSER_GEMM_INTERNAL_H

#include "backend/chooser/gemm.h"

typedef struct gh_gemm_provider gh_gemm_provider;

struct gh_gemm_provider {
  gh_provider base;
  bool (*supports)(const gh_gemm_desc *desc, const gh_device *d);
  gh_status (*bind)(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *desc,
                    const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out);
  /* gh_gemm_prepare for this provider; NULL: it needs nothing */
  gh_status (*prepare)(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a, gh_launch **out);
  int size[2];    /* the provider's own parameters */
  unsigned fuses; /* bit 1 << gh_epilogue for each epilogue that it fuses, and GH_GEMM_SECOND */
  int min_side;   /* of m, n and k: below it other families are better, and only forcing selects this one */
  bool convolves; /* supports descriptors with an image, and no others */
};

/* In order of preference: earlier rows are tried first and win ties. Variants with the same bits are adjacent. Ends
 * with a null name. */
extern const gh_gemm_provider gh_gemm_providers[];

/* It adds a second product, whose k is at most GEMM_SECOND_DEPTH (cl/gemm_second.h). */
#define GH_GEMM_SECOND (1u << 8)

/* Whether the provider has a kernel for desc->second on the device; gh_gemm_joins also checks its results. */
bool gh_gemm_has_second(const gh_gemm_provider *p, const gh_gemm_desc *desc, const gh_device *d);

/* gemm_space.c: the variants that only a search tries; NULL after the last */
const gh_provider *gh_gemm_searched(int index);

bool gh_gemm_supports(const gh_gemm_provider *provider, const gh_gemm_desc *desc, const gh_device *d);
/* Whether a choice may fall on it: it supports the product and, at these sizes, no later family is better. */
bool gh_gemm_suits(const gh_gemm_provider *provider, const gh_gemm_desc *desc, const gh_device *d);

/* gemm_trial.c: the members of gh_gemm_kind that check and time */
double gh_gemm_madds(const void *desc);
bool gh_gemm_is_timed(const void *desc); /* tiny shapes are not */
int gh_gemm_verdict(const void *desc);
gh_status gh_gemm_trial_open(gh_error *err, gh_device *d, const void *desc, bool timed, void **out);
gh_status gh_gemm_trial_run(gh_error *err, void *trial, const gh_provider *provider, gh_launch **launch);
void gh_gemm_trial_close(void *trial);
double gh_gemm_trial_time(gh_device *d, void *trial, const gh_provider *provider, gh_launch *launch);
bool gh_gemm_skips_library(gh_device *d, struct gh_choice_state *state, const gh_provider *provider);

/* gemm_conv.c: convolutions, descriptors with an image */

#define GH_GEMM_COLUMNS "columns" /* the provider that leaves a convolution to the op */

/* Stride 1 and a border of 1, 3 x 3: what CPUs compute without columns. */
bool gh_gemm_is_usual_image(const gh_gemm_desc *desc);
/* Such an image with contiguous rows and one type, alpha 1 and beta 0: what kernels of their own support. */
bool gh_gemm_is_plain_image(const gh_gemm_desc *desc);
void gh_gemm_image_key(const gh_gemm_desc *desc, char *key, size_t size); /* what a convolution adds to its key */
int64_t gh_gemm_image_positions(const gh_gemm_desc *desc);
/* The same convolution for fewer rows of the result, or of fewer channels; everything stays contiguous. */
void gh_gemm_image_resize(gh_gemm_desc *desc, int64_t channels, int64_t height, int64_t out_height);
bool gh_conv_gpu_supports_4(const gh_gemm_desc *desc, const gh_device *d);
bool gh_conv_gpu_supports_8(const gh_gemm_desc *desc, const gh_device *d);
const char *gh_conv_gpu_name(const gh_gemm_desc *desc); /* of the kernel */
int gh_conv_gpu_args(gh_arg *args, const gh_gemm_desc *desc);
/* On matrix units, which want the weights in another form: of as many float32 numbers; 0: they cannot convolve it.
 * `unit` as below. */
int64_t gh_conv_matrix_prepared(const gh_gemm_desc *desc);
bool gh_conv_matrix_supports_64(const gh_gemm_desc *desc, const gh_device *d);
bool gh_conv_matrix_supports_128(const gh_gemm_desc *desc, const gh_device *d);
gh_status gh_conv_matrix_prepare(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a,
                                 gh_launch **out);
gh_status gh_conv_matrix_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *desc,
                              const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out);
gh_status gh_conv_matrix_bind_as(gh_error *err, gh_device *d, const char *unit, int64_t tile, const gh_gemm_desc *desc,
                                 const gh_buffer *b, gh_buffer *c, gh_launch **out);
bool gh_columns_support(const gh_gemm_desc *desc, const gh_device *d);
gh_status gh_columns_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *desc,
                          const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out);
/* For a trial: the launch that writes the columns, and the product of them. */
gh_status gh_columns_write(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *b,
                           gh_buffer *columns, gh_launch **out);
gh_gemm_desc gh_columns_product(const gh_gemm_desc *desc);

/* gemm_conv_amx.c: convolutions on CPUs with AMX, which want the weights in another form: of as many
 * float32 numbers */
bool gh_conv_amx_supports(const gh_gemm_desc *desc, const gh_device *d);
int64_t gh_conv_amx_prepared(const gh_gemm_desc *desc);
gh_status gh_conv_amx_prepare(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a,
                              gh_launch **out);
gh_status gh_conv_amx_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *desc,
                           const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out);

/* gemm_common.c: what the own families share */

const char *gh_gemm_kernel_name(const gh_gemm_desc *desc);     /* "gemm_nt" */
const char *gh_gemm_storage_defines(const gh_gemm_desc *desc); /* the storage types, for cl/gemm_storage.h */
/* Fills in the first arguments of every own kernel; returns their number. */
int gh_gemm_common_args(gh_arg *args, const gh_gemm_desc *desc, const gh_buffer *a, const gh_buffer *b,
                        const gh_buffer *c);
/* The last arguments, for desc->second, and the define that its kernels need; none without it. */
int gh_gemm_second_args(gh_arg *args, const gh_gemm_desc *desc);
const char *gh_gemm_second_define(const gh_gemm_desc *desc);
/* How many numbers of A, and of B, a GPU's kernel may load at once: the largest of 8, 4 and 1, at most `most` (8 or 4),
 * that divides all that their addresses are made of and, of an operand stored along its rows in C (its columns, if it
 * is B), their number. Buffers begin at multiples of 16 bytes. */
int gh_gemm_load_width(const gh_gemm_desc *desc, int most);
/* The size of the pieces when `whole` is split evenly into multiples of `step`, each at most `most` rounded up to such
 * a multiple. */
int64_t gh_split_evenly(int64_t whole, int64_t most, int64_t step);

/* How a CPU's work-items split C, A and B: mt x nb elements of C per work-item, panels of kc x nb. If C is narrow,
 * the mt nb sums are in private memory, which holds `sums`. */
typedef struct gh_gemm_blocks {
  int64_t mt, nb, kc, sums;
} gh_gemm_blocks;
gh_gemm_blocks gh_gemm_cpu_blocks(const int size[2], bool amx, const gh_gemm_desc *desc, const gh_device_info *cpu);

/* gemm_dot.c: CPUs with AVX512_BF16 */
bool gh_dot_supports(const gh_gemm_desc *desc, const gh_device *d);
gh_status gh_dot_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *desc,
                      const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out);

/* gemm_matrix.c: GPUs with matrix units; `unit` ("-DUNIT_MMA -DTILE=64") for tests that emulate one */
bool gh_matrix_supports_64(const gh_gemm_desc *desc, const gh_device *d);
bool gh_matrix_supports_128(const gh_gemm_desc *desc, const gh_device *d);
const char *gh_matrix_unit_defines(const gh_device *d, int64_t tile);
gh_status gh_gemm_matrix_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *desc,
                              const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out);
gh_status gh_gemm_matrix_bind_as(gh_error *err, gh_device *d, const char *unit, int64_t tile, const gh_gemm_desc *desc,
                                 const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out);

#endif
