/* A second pair of operands that joins the sums of a product (gh_gemm_desc.second): with SECOND_PAIR,
 *
 *   C = alpha op(A) op(B) + alpha2 op(A2) op(B2) + beta C [+ bias]
 *
 * op(A2) is m x k2 and op(B2) k2 x n, stored like A and B; k2 is at most GEMM_SECOND_DEPTH. A kernel adds these k's
 * after the last of the first pair, before it stores. Where the sums of both are one, A2 is multiplied by `ratio`,
 * alpha2 / alpha, as it is loaded; the sums of the first pair keep their bits. */
#ifndef GEMM_SECOND_H
#define GEMM_SECOND_H
#include "gemm_storage.h"

#ifdef SECOND_PAIR
#define IF_SECOND(code) code
#define SECOND_PARAMETERS                                                                                              \
  , GLOBAL const gemm_ab *a2, GLOBAL const gemm_ab *b2, int64 k2, int64 lda2, int64 ldb2, float alpha2, float ratio
#define SECOND_ARGUMENTS , a2, b2, k2, lda2, ldb2, alpha2, ratio
#else
#define IF_SECOND(code)
#define SECOND_PARAMETERS
#define SECOND_ARGUMENTS
#endif

#endif
