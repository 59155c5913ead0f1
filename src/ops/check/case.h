/* Shared by check.c (reads cases) and case.c (runs one). */
#ifndef GH_OPS_CHECK_CASE_H
#define GH_OPS_CHECK_CASE_H

#include "base/json.h"
#include "ops/check/check.h"

/* A persistent tensor between two regions of poison. */
typedef struct gh_guarded {
  gh_tensor tensor;
  char name[32];
  gh_buffer *parent, *view; /* NULL: absent */
} gh_guarded;

/* A tensor's expected values. */
typedef struct gh_expected {
  double *values; /* NULL: absent */
  int64_t elements;
  double tolerance; /* 0 for integers */
  double room; /* in a narrow type an element's error is relative to its own size plus this fraction of the average */
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
  float *in_data[GH_MAX_INPUTS]; /* as stored: 4-byte elements, except narrow ones */
  float *dout_data[GH_MAX_OUTPUTS];
  gh_expected out[GH_MAX_OUTPUTS], din[GH_MAX_INPUTS], after[GH_MAX_INPUTS];
} gh_check;

gh_status gh_check_run(gh_error *err, gh_check *c);
/* Runs the direct graph; its results become the expected values. */
gh_status gh_check_take(gh_error *err, gh_check *c);

/* narrow.c */
gh_status gh_check_run_narrow(gh_error *err, gh_check *c);

/* tensor.c */
gh_status gh_guarded_create(gh_error *err, gh_device *d, gh_guarded *out, const char *name, gh_dtype dtype, int rank,
                            const int64_t *shape, const void *data);
void gh_guarded_free(gh_device *d, gh_guarded *guarded);
/* GH_ERROR_DEVICE if the poison on either side was overwritten. */
gh_status gh_guarded_intact(gh_error *err, gh_device *d, const gh_guarded *guarded);

/* Reads t and reports its distance from factor * expected. plant: with an error of 1 % in one element (in a narrow
 * type, four times the tolerance if that is larger) it must fail. */
gh_status gh_check_judge(gh_error *err, const gh_check *c, const char *what, const gh_tensor *t,
                         const gh_expected *expected, double factor, bool plant);
void gh_check_report(const gh_check *c, const char *tensor, double error, double tolerance, bool passed,
                     const char *note);

#endif
