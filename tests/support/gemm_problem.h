/* One matrix product of random numbers with gaps and canaries, computed by whatever the chooser takes and compared
 * element by element with float64 and, for the own kernels, with the arithmetic they promise. */
#ifndef TESTS_SUPPORT_GEMM_PROBLEM_H
#define TESTS_SUPPORT_GEMM_PROBLEM_H

#include "backend/chooser/gemm.h"

typedef struct gemm_problem {
  gh_device *device;
  gh_gemm_desc desc;
  int64_t elements[3]; /* of the buffers of a, b, c */
  float *a, *b, *c;    /* as stored, so rounded to bfloat16 where that is stored; c: what is there before */
  float *bias;         /* NULL: the description asks for none */
  float *got;          /* the whole buffer of c, after */
  gh_buffer *buffers[4];
} gemm_problem;

/* Layouts and factors, by turns: tight, gaps between rows, offsets, batches, shared B, interleaved heads. */
enum { GEMM_OPTIONS = 6 };
gh_gemm_desc gemm_desc_of(int64_t m, int64_t n, int64_t k, int trans, int option);

/* Where desc asks for an epilogue with a bias, one is made. Failures fail the cmocka test. */
void gemm_problem_make(gemm_problem *p, gh_device *device, const gh_gemm_desc *desc);
void gemm_problem_free(gemm_problem *p);
void gemm_problem_write(gemm_problem *p, int which); /* sends a (0), b (1) or c (2) again, after a change */
void gemm_problem_compute(gemm_problem *p);
/* Fails for an element off by more than the sum's rounding errors, for an own provider's that has not the promised
 * bits, and for anything written beside C. */
void gemm_problem_check(const gemm_problem *p, const char *provider);

#endif
