/* What check.c (reading cases) and check_case.c (running one) share. */
#ifndef GH_OPS_CHECK_CASE_H
#define GH_OPS_CHECK_CASE_H

#include "base/json.h"
#include "ops/check/check.h"

/* A persistent tensor between two stretches of poison. */
typedef struct gh_guarded {
  gh_tensor tensor;
  char name[32];
  gh_buffer *parent, *view; /* NULL: absent */
} gh_guarded;

/* What a tensor must be. */
typedef struct gh_expected {
  double *values; /* NULL: absent */
  int64_t elements;
  double tolerance; /* 0 for integers */
  double room;      /* in bf16 an element's error is relative to its own size and this part of the average one */
} gh_expected;

typedef struct gh_check {
  gh_device *device;
  const gh_safetensors *file;
  const gh_json *errors;
  const gh_check_listener *listener;
  gh_check_options options;

  const char *name;
  const gh_op *op;
  double attr[GH_MAX_ATTRS];
  int inputs, outputs;
  bool finite;
  gh_guarded in[GH_MAX_INPUTS], grad[GH_MAX_INPUTS], dout[GH_MAX_OUTPUTS], zero;
  float *in_data[GH_MAX_INPUTS]; /* as stored: 4-byte elements but for bf16 */
  float *dout_data[GH_MAX_OUTPUTS];
  gh_expected out[GH_MAX_OUTPUTS], din[GH_MAX_INPUTS], after[GH_MAX_INPUTS];
} gh_check;

gh_status gh_check_run(gh_error *err, gh_check *c);
/* Runs the direct graph; its results become the expected values. */
gh_status gh_check_take(gh_error *err, gh_check *c);

/* check_bf16.c */
gh_status gh_check_run_bf16(gh_error *err, gh_check *c);

/* check_tensor.c */
gh_status gh_guarded_create(gh_error *err, gh_device *d, gh_guarded *out, const char *name, gh_dtype dtype, int rank,
                            const int64_t *shape, const void *data);
void gh_guarded_free(gh_device *d, gh_guarded *guarded);
/* GH_ERROR_DEVICE where the poison on either side was overwritten. */
gh_status gh_guarded_intact(gh_error *err, gh_device *d, const gh_guarded *guarded);

/* Reads t and reports how far it is from factor * expected. plant: with one element off by 1 % (in bf16, by four times
 * the tolerance where that is more) it must fail, too. */
gh_status gh_check_judge(gh_error *err, const gh_check *c, const char *what, const gh_tensor *t,
                         const gh_expected *expected, double factor, bool plant);
void gh_check_report(const gh_check *c, const char *tensor, double error, double tolerance, bool passed,
                     const char *note);

#endif
