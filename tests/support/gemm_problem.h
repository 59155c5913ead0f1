/* One matrix product of random numbers with gaps and canaries, computed by the chosen provider and compared element by
 * element with float64 and, for our own kernels, with the arithmetic they guarantee. */
#ifndef TESTS_SUPPORT_GEMM_PROBLEM_H
#define TESTS_SUPPORT_GEMM_PROBLEM_H

#include "backend/chooser/gemm.h"

typedef struct gemm_problem {
  gh_device *device;
  gh_gemm_desc desc;
  int64_t elements[3];   /* sizes of the buffers of a, b, c */
  float *a, *b, *c;      /* as stored (rounded if stored in a narrow type); c: its content before the product */
  float *bias;           /* NULL: desc has no bias */
  float *a2, *b2;        /* of desc.second; NULL: it has none */
  float *got;            /* the whole buffer of c after the product */
  gh_buffer *buffers[6]; /* a, b, c, bias, a2, b2 */
} gemm_problem;

/* Layouts and factors, in turn: tight, gaps between rows, offsets, batches, shared B, interleaved heads. */
enum { GEMM_OPTIONS = 6 };
gh_gemm_desc gemm_desc_of(int64_t m, int64_t n, int64_t k, int trans, int option);

/* With a second product of this k, whose rows are `gap` elements longer than they need to be. */
gh_gemm_desc gemm_desc_with(gh_gemm_desc desc, int64_t k, double alpha, int64_t gap);

/* Makes a bias if desc has an epilogue with one. Failures fail the cmocka test. */
void gemm_problem_make(gemm_problem *p, gh_device *device, const gh_gemm_desc *desc);
void gemm_problem_free(gemm_problem *p);
void gemm_problem_write(gemm_problem *p, int which); /* resends a (0), b (1) or c (2) after a change */
void gemm_problem_compute(gemm_problem *p);
/* Fails for an element off by more than the sum's rounding errors, for an own provider without the guaranteed bits, and
 * for anything written outside C. */
void gemm_problem_check(const gemm_problem *p, const char *provider);

#endif
