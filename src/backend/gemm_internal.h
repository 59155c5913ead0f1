/* What gemm.c (choices), gemm_own.c (providers) and gemm_tune.c (check and timing) share; tests plant providers here.
 */
#ifndef GH_BACKEND_GEMM_INTERNAL_H
#define GH_BACKEND_GEMM_INTERNAL_H

#include "backend/gemm.h"

typedef struct gh_gemm_provider gh_gemm_provider;

struct gh_gemm_provider {
  const char *name;   /* "own-cpu nb=256 kc=512": what plans and caches say */
  const char *family; /* "own-cpu": shares its kernels, so that one check of a family stands for tiny shapes */
  bool (*applies)(const gh_gemm_desc *desc, const gh_device *d);
  gh_status (*bind)(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *desc,
                    const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out);
  int size[2];    /* the provider's own parameters */
  unsigned fuses; /* bit 1 << gh_epilogue for each that it serves */
  int min_side;   /* of m, n and k: below, other families are better; only forcing gets it there */
  bool convolves; /* serves descriptors with an image, and no others */
};

/* Ordered: what is tried first, and wins a tie. The families that give the same bits stand together. Ends with a null
 * name. */
extern const gh_gemm_provider gh_gemm_providers[];

#define GH_GEMM_MAX_PROVIDERS 48

typedef struct gh_gemm_choice_entry {
  char *key;
  const gh_gemm_provider *provider;
  bool forced; /* by gh_gemm_force: forgotten when that ends */
} gh_gemm_choice_entry;

struct gh_gemm_state {
  const gh_gemm_provider *providers[GH_GEMM_MAX_PROVIDERS + 1]; /* the table and planted ones; ends with NULL */
  const gh_gemm_provider *forced;
  gh_gemm_choice_entry *choices; /* sorted by key */
  int count, capacity;
  char *cache_file; /* NULL: none */
  /* of tiny shapes, by provider, storage and transposition: 0 not yet, 1 right, -1 wrong */
  signed char family_good[GH_GEMM_MAX_PROVIDERS][16];
  int skip_library; /* 0 not yet known, 1 it lost by far, -1 it is timed */
  int tuned;
  double tuned_seconds, told;
};

/* The device's state, made at first use; NULL with err set when memory runs out or GH_GEMM names no provider. */
gh_gemm_state *gh_gemm_state_get(gh_error *err, gh_device *d);
const gh_gemm_provider *gh_gemm_find(const gh_gemm_state *state, const char *name);

/* gemm_tune.c: the provider for desc, by check and timing; GH_ERROR_DEVICE when none gives right numbers. */
gh_status gh_gemm_tune(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_gemm_provider **out);

/* Whether a provider that stands later in the table is so much faster that it is taken instead of an earlier one. */
bool gh_gemm_displaces(const gh_gemm_provider *later, double seconds, const gh_gemm_provider *earlier,
                       double its_seconds);

bool gh_gemm_serves(const gh_gemm_provider *provider, const gh_gemm_desc *desc, const gh_device *d);
/* Serves it, and is worth choosing for it. */
bool gh_gemm_suits(const gh_gemm_provider *provider, const gh_gemm_desc *desc, const gh_device *d);

bool gh_gemm_is_timed(const gh_gemm_desc *desc); /* tiny shapes are not: their choice needs no cache */

/* ---- what the own families share ---- */

const char *gh_gemm_kernel_name(const gh_gemm_desc *desc);     /* "gemm_nt" */
const char *gh_gemm_storage_defines(const gh_gemm_desc *desc); /* what is stored, for cl/gemm_storage.h */
/* The arguments every own kernel begins with; returns how many. */
int gh_gemm_common_args(gh_arg *args, const gh_gemm_desc *desc, const gh_buffer *a, const gh_buffer *b,
                        const gh_buffer *c);
/* Evenly cut, in multiples of `step`, into pieces of at most `most` rounded up to such a multiple. */
int64_t gh_split_evenly(int64_t whole, int64_t most, int64_t step);

/* How a CPU's work-items share C, A and B: mt x nb of C each, panels of kc x nb. Where C is bfloat16, mt nb sums lie in
 * private memory, which holds `sums`. */
typedef struct gh_gemm_blocks {
  int64_t mt, nb, kc, sums;
} gh_gemm_blocks;
gh_gemm_blocks gh_gemm_cpu_blocks(const int size[2], bool amx, const gh_gemm_desc *desc, int64_t cores);

/* gemm_dot.c: CPUs with AVX512_BF16 */
bool gh_gemm_dot_applies(const gh_gemm_desc *desc, const gh_device *d);
gh_status gh_gemm_dot_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *desc,
                           const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out);

/* gemm_matrix.c: GPUs with matrix units; `unit` ("-DUNIT_MMA -DTILE=64") for tests that emulate one */
bool gh_gemm_matrix_small_applies(const gh_gemm_desc *desc, const gh_device *d);
bool gh_gemm_matrix_large_applies(const gh_gemm_desc *desc, const gh_device *d);
gh_status gh_gemm_matrix_bind(gh_error *err, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *desc,
                              const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out);
gh_status gh_gemm_matrix_bind_as(gh_error *err, gh_device *d, const char *unit, int64_t tile, const gh_gemm_desc *desc,
                                 const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out);

/* Adds a provider for tests, before all others. */
gh_status gh_gemm_plant(gh_error *err, gh_device *d, const gh_gemm_provider *provider);

#endif
