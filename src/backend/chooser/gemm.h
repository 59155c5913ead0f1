/* Matrix products and convolutions: the vendor library's and the project's own kernels, each checked against
 * float64 on sampled rows and columns, then timed. */
#ifndef GH_BACKEND_CHOOSER_GEMM_H
#define GH_BACKEND_CHOOSER_GEMM_H

#include "backend/chooser/chooser.h"

extern const gh_choice_kind gh_gemm_kind;

/* Binds the chosen provider for desc; chooses at the first use of a shape on this device. The epilogue does not affect
 * the choice: GH_ERROR_UNSUPPORTED where the chosen provider cannot fuse it; the caller then records it separately. */
gh_status gh_gemm_bind(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a, const gh_buffer *b,
                       gh_buffer *c, gh_launch **out);

/* Whether the chosen provider adds desc->second in the same launch. If not, gh_gemm_bind returns GH_ERROR_UNSUPPORTED
 * for it, and the caller records two products. Like the epilogue, the second product does not affect the choice: so it
 * is fused or not as the frozen provider of the first one says, unless the check on the device has found it wrong. */
gh_status gh_gemm_joins(gh_error *err, gh_device *d, const gh_gemm_desc *desc, bool *itself);

/* For a convolution, the launch that the chosen provider needs before gh_gemm_bind's: it writes the weights A in
 * another form to desc->image.prepared, which has room for gh_gemm_prepared_elements float32 numbers. *out is NULL if
 * it needs none. */
gh_status gh_gemm_prepare(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a, gh_launch **out);
int64_t gh_gemm_prepared_elements(const gh_device *d, const gh_gemm_desc *desc);

/* Whether the chosen provider computes a convolution from the image, or the op does by columns in memory and a product
 * of them; chooses at the first use of a shape. Only convolutions of a GPU may be left to the op. */
gh_status gh_gemm_convolves(gh_error *err, gh_device *d, const gh_gemm_desc *desc, bool *itself);

/* Makes only the choice, which gh_gemm_bind then uses; no buffers are needed. */
gh_status gh_gemm_choose(gh_error *err, gh_device *d, const gh_gemm_desc *desc);

/* Whether a provider computes less than the 2 m n k operations that a product is counted as: Winograd's minimal
 * filtering. Other names are false. */
bool gh_gemm_saves(const char *provider);

/* "m=.. n=.. k=.. nt batch=.. beta=0 f32": the key of a shape in caches and plans. It ends with the storage types:
 * "f32", "bf16" or "f16" where A, B and C agree, "bf16:f32" where C differs; a second product adds its k, "k=1024+16";
 * a convolution adds " 3x3 w=..", or more where its stride or border is not 1. */
void gh_gemm_key(const gh_gemm_desc *desc, char *key, size_t size);
/* The key that decides who computes it: that of the first product, without the k of a second one. */
void gh_gemm_deciding_key(const char *key, char *out, size_t size);

#endif
