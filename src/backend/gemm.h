/* GEMM is chosen, not assumed: several providers (the vendor library, the project's own kernels), each checked against
 * float64 on sampled rows and columns, then timed; the winner is cached on disk by device, driver, library and kernel
 * hash, and a run freezes its choices in plan.json, so that timing never changes a run's results. */
#ifndef GH_BACKEND_GEMM_H
#define GH_BACKEND_GEMM_H

#include "backend/backend.h"

/* Binds the chosen provider for desc; tunes the shape at its first use on this device. The epilogue has no say in the
 * choice: GH_ERROR_UNSUPPORTED where the chosen provider does not fuse it, and the caller then records it apart. */
gh_status gh_gemm_bind(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a, const gh_buffer *b,
                       gh_buffer *c, gh_launch **out);

/* The choice alone, as gh_gemm_bind will find it; no buffers are needed. */
gh_status gh_gemm_choose(gh_error *err, gh_device *d, const gh_gemm_desc *desc);

/* "m=.. n=.. k=.. nt batch=.. beta=0 f32": the key of a shape in caches and plans. What is stored ends it: "f32" or
 * "bf16" where A, B and C agree, "bf16:f32" where C differs. */
/* With " 3x3 w=.." at the end where it is a convolution. */
void gh_gemm_key(const gh_gemm_desc *desc, char *key, size_t size);

/* The frozen choices: fixes the provider for a key ("own-cpu kc=256 nb=32") before anything is bound; an unknown
 * provider is an error. Iteration gives every choice made so far, sorted by key, for plan.json. */
gh_status gh_gemm_freeze(gh_error *err, gh_device *d, const char *key, const char *provider);
int gh_gemm_choice_count(const gh_device *d);
void gh_gemm_choice(const gh_device *d, int index, const char **key, const char **provider);

/* Forces one provider by name for tests and benchmarks; NULL goes back to choosing. GH_GEMM in the environment too. */
gh_status gh_gemm_force(gh_error *err, gh_device *d, const char *provider);

/* Sizes, strides and extents against the buffers; GH_ERROR_ARGUMENT names what is wrong. */
gh_status gh_gemm_check(gh_error *err, const gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a,
                        const gh_buffer *b, const gh_buffer *c);

void gh_gemm_state_free(gh_gemm_state *state); /* gh_device_close calls it; NULL is fine */

#endif
