/* cuFFT's double: 2-D complex transforms, one dimension at a time, in float64. */
#include "double.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifndef CMPLX /* glibc has it for GCC alone */
#define CMPLX(x, y) __builtin_complex((double)(x), (double)(y))
#endif

GH_CUDA_FFT(DECLARE)

enum { INVALID_PLAN = 1, INVALID_VALUE = 4, EXEC_FAILED = 6, NO_WORKSPACE = 20 };
enum { MAX_PLANS = 256, WORKSPACE = 512, WORKSPACE_ALIGNMENT = 256 };
#define PI 3.14159265358979323846

static struct {
  bool used, made, ran; /* ran: outside a capture, so its kernels are loaded */
  CUcontext context;
  int64_t sides[2], batch;
  void *workspace;
  CUstream stream;
} plans[MAX_PLANS];

unsigned cufftGetVersion(int *version) {
  *version = 12000;
  return GH_FFT_SUCCESS;
}

unsigned cufftCreate(int *plan) {
  unsigned code = double_fault(__func__, GH_FFT_ALLOC_FAILED);
  int p = 0;
  while (p < MAX_PLANS && plans[p].used) p++;
  if (code || p == MAX_PLANS) return code ? code : GH_FFT_ALLOC_FAILED;
  plans[p].used = true;
  plans[p].made = plans[p].ran = false;
  plans[p].context = gh_double_context();
  plans[p].stream = NULL;
  plans[p].workspace = NULL;
  *plan = p;
  return GH_FFT_SUCCESS;
}

static bool is_plan(int plan) {
  return plan >= 0 && plan < MAX_PLANS && plans[plan].used && plans[plan].context &&
         plans[plan].context == gh_double_context();
}

unsigned cufftDestroy(int plan) {
  if (!is_plan(plan)) return INVALID_PLAN;
  plans[plan].used = false;
  return GH_FFT_SUCCESS;
}

/* The double's plans have no own memory. */
unsigned cufftSetAutoAllocation(int plan, int automatic) {
  if (!is_plan(plan)) return INVALID_PLAN;
  return automatic ? double_refuse(GH_FFT_NOT_SUPPORTED, "cuFFT: a plan's own memory") : GH_FFT_SUCCESS;
}

unsigned cufftMakePlanMany64(int plan, int rank, long long *n, long long *in_embed, long long in_stride,
                             long long in_distance, long long *out_embed, long long out_stride, long long out_distance,
                             unsigned type, long long batch, size_t *workspace_bytes) {
  unsigned code = double_fault(__func__, GH_FFT_ALLOC_FAILED);
  if (code) return code;
  if (!is_plan(plan)) return INVALID_PLAN;
  bool packed = rank == 2 && !in_embed && !out_embed && in_stride == 1 && out_stride == 1 &&
                in_distance == n[0] * n[1] && out_distance == in_distance;
  if (!packed || type != GH_FFT_C2C)
    return double_refuse(GH_FFT_NOT_SUPPORTED, "cuFFT: only packed complex transforms in two dimensions");
  if (batch < 1) return INVALID_VALUE;
  plans[plan].made = true;
  plans[plan].sides[0] = n[0];
  plans[plan].sides[1] = n[1];
  plans[plan].batch = batch;
  *workspace_bytes = WORKSPACE;
  return GH_FFT_SUCCESS;
}

unsigned cufftSetWorkArea(int plan, void *workspace) {
  if (!is_plan(plan)) return INVALID_PLAN;
  plans[plan].workspace = workspace;
  return GH_FFT_SUCCESS;
}

unsigned cufftSetStream(int plan, CUstream stream) {
  if (!is_plan(plan)) return INVALID_PLAN;
  plans[plan].stream = stream;
  return GH_FFT_SUCCESS;
}

typedef struct transform {
  int64_t rows, columns, batch;
  void *workspace;
  const cufftComplex *from;
  cufftComplex *to;
  int direction;
} transform;

static double complex turned(double complex x, double complex by) {
  return CMPLX(creal(x) * creal(by) - cimag(x) * cimag(by), creal(x) * cimag(by) + cimag(x) * creal(by));
}

/* For n numbers `step` apart: an even n from its halves, an odd one by definition. */
static void transform_numbers(double complex *out, const double complex *x, int64_t n, int64_t step, int direction) {
  if (n % 2) {
    for (int64_t k = 0; k < n; k++) {
      out[k] = 0;
      for (int64_t i = 0; i < n; i++)
        out[k] += turned(x[i * step], cexp(direction * 2 * PI * I * (double)(i * k % n) / (double)n));
    }
    return;
  }
  transform_numbers(out, x, n / 2, 2 * step, direction);
  transform_numbers(out + n / 2, x + step, n / 2, 2 * step, direction);
  for (int64_t k = 0; k < n / 2; k++) {
    const double complex even = out[k],
                         odd = turned(out[n / 2 + k], cexp(direction * 2 * PI * I * (double)k / (double)n));
    out[k] = even + odd;
    out[n / 2 + k] = even - odd;
  }
}

/* In place; `out` has room for n. */
static void transform_line(double complex *x, int64_t n, int64_t step, int direction, double complex *out) {
  transform_numbers(out, x, n, step, direction);
  for (int64_t k = 0; k < n; k++) x[k * step] = out[k];
}

static unsigned run_transform(const void *data) {
  const transform *t = data;
  const int64_t n = t->rows * t->columns, longest = GH_MAX(t->rows, t->columns);
  const size_t bytes = (size_t)(n * t->batch) * sizeof *t->from;
  if (!gh_double_is_device(t->from, bytes) || !gh_double_is_device(t->to, bytes))
    return double_refuse(CODE_ILLEGAL_ADDRESS, "cuFFT: not device memory");
  if (!gh_double_is_device(t->workspace, WORKSPACE)) return double_refuse(CODE_ILLEGAL_ADDRESS, "cuFFT: the workspace");
  memset(t->workspace, 0xff, WORKSPACE); /* exposes others that keep data there */
  double complex *x = malloc((size_t)n * sizeof *x), *rest = malloc((size_t)longest * sizeof *rest);
  for (int64_t b = 0; x && rest && b < t->batch; b++) {
    for (int64_t i = 0; i < n; i++) x[i] = CMPLX((double)t->from[b * n + i].x, (double)t->from[b * n + i].y);
    for (int64_t r = 0; r < t->rows; r++) transform_line(x + r * t->columns, t->columns, 1, t->direction, rest);
    for (int64_t c = 0; c < t->columns; c++) transform_line(x + c, t->rows, t->columns, t->direction, rest);
    for (int64_t i = 0; i < n; i++) t->to[b * n + i] = (cufftComplex){(float)creal(x[i]), (float)cimag(x[i])};
  }
  unsigned code = x && rest ? GH_CU_SUCCESS : GH_CU_OUT_OF_MEMORY;
  free(x);
  free(rest);
  return code;
}

unsigned cufftExecC2C(int plan, cufftComplex *in, cufftComplex *out, int direction) {
  unsigned code = double_fault(__func__, EXEC_FAILED);
  if (code) return code;
  if (!is_plan(plan) || !plans[plan].made) return INVALID_PLAN;
  if (!gh_double_is_device(plans[plan].workspace, WORKSPACE)) return NO_WORKSPACE;
  if ((size_t)plans[plan].workspace % WORKSPACE_ALIGNMENT) return NO_WORKSPACE;
  const size_t bytes = (size_t)(plans[plan].sides[0] * plans[plan].sides[1] * plans[plan].batch) * sizeof *in;
  if (in != out && (char *)in < (char *)out + bytes && (char *)out < (char *)in + bytes)
    return double_refuse(INVALID_VALUE, "cuFFT: a transform onto part of itself");
  const bool captured = gh_double_is_captured(plans[plan].stream);
  if (captured && !plans[plan].ran) return double_refuse(EXEC_FAILED, "cuFFT: a plan's first run is captured");
  plans[plan].ran = plans[plan].ran || !captured;
  const transform t = {.rows = plans[plan].sides[0],
                       .columns = plans[plan].sides[1],
                       .batch = plans[plan].batch,
                       .workspace = plans[plan].workspace,
                       .from = in,
                       .to = out,
                       .direction = direction};
  return gh_double_submit(plans[plan].stream, run_transform, &t, sizeof t) ? EXEC_FAILED : GH_FFT_SUCCESS;
}
