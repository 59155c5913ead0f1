/* The vendor library's 2-D FFT: cuFFT, opened when the first transform is bound. */
#include <stdio.h>

#include "backend/core/libraries.h"
#include "backend/cuda/internal.h"

static const struct {
  unsigned code;
  const char *name;
} results[] = {{1, "INVALID_PLAN"},    {2, "ALLOC_FAILED"},     {4, "INVALID_VALUE"}, {5, "INTERNAL_ERROR"},
               {6, "EXEC_FAILED"},     {7, "SETUP_FAILED"},     {8, "INVALID_SIZE"},  {9, "UNALIGNED_DATA"},
               {11, "INVALID_DEVICE"}, {14, "NOT_IMPLEMENTED"}, {16, "NOT_SUPPORTED"}};

static gh_status fft_fail(gh_error *err, unsigned code, const char *what) {
  const char *name = "result";
  for (size_t i = 0; i < GH_COUNT(results); i++)
    if (results[i].code == code) name = results[i].name;
  gh_status status = code == GH_FFT_ALLOC_FAILED    ? GH_ERROR_MEMORY
                     : code == GH_FFT_NOT_SUPPORTED ? GH_ERROR_UNSUPPORTED
                                                    : GH_ERROR_DEVICE;
  return gh_fail(err, status, "cuFFT, %s: CUFFT_%s (%u)", what, name, code);
}

static gh_status enqueue_fft(gh_error *err, gh_cuda_device *device, gh_launch *launch) {
  gh_cuda_fft_launch *f = &launch->of.fft;
  unsigned code =
      device->fft->cufftExecC2C(f->plan, (cufftComplex *)(uintptr_t)f->from, (cufftComplex *)(uintptr_t)f->to,
                                f->inverse ? GH_FFT_INVERSE : GH_FFT_FORWARD);
  return code ? fft_fail(err, code, launch->name) : GH_OK;
}

static void release_fft(gh_launch *launch) {
  gh_cuda_fft_launch *f = &launch->of.fft;
  if (f->planned) launch->device->fft->cufftDestroy(f->plan);
  if (f->workspace) launch->device->cu->cuMemFree_v2(f->workspace);
}

static gh_status check(gh_error *err, const gh_fft_desc *desc, const gh_buffer *from, const gh_buffer *to) {
  if (desc->rows < 1 || desc->columns < 1 || desc->rows > INT32_MAX || desc->columns > INT32_MAX)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "fft of %lld x %lld", (long long)desc->rows, (long long)desc->columns);
  return gh_buffer_check_fft(err, desc, from, to);
}

/* The plan is unscaled and packed, runs on the device's queue, and uses our workspace, so that enqueueing allocates
 * nothing. */
static gh_status make_plan(gh_error *err, gh_device *d, const gh_fft_desc *desc, gh_launch *launch) {
  gh_cuda_device *device = gh_cuda(d);
  const gh_cufft *fft = device->fft;
  gh_cuda_fft_launch *f = &launch->of.fft;
  long long sides[] = {desc->rows, desc->columns}, distance = desc->rows * desc->columns;
  size_t bytes = 0;
  unsigned code = fft->cufftCreate(&f->plan);
  f->planned = !code;
  if (!code) code = fft->cufftSetAutoAllocation(f->plan, 0);
  if (!code)
    code = fft->cufftMakePlanMany64(f->plan, 2, sides, NULL, 1, distance, NULL, 1, distance, GH_FFT_C2C, desc->batch,
                                    &bytes);
  if (!code) code = fft->cufftSetStream(f->plan, device->stream);
  if (code) return fft_fail(err, code, launch->name);
  if (!bytes) return GH_OK;
  gh_status status = gh_cuda_allocate(err, device, (int64_t)bytes, "cuFFT's workspace", &f->workspace);
  if (status) return status;
  d->counters.allocations++;
  code = fft->cufftSetWorkArea(f->plan, (void *)(uintptr_t)f->workspace);
  return code ? fft_fail(err, code, launch->name) : GH_OK;
}

const char *gh_cuda_fft_name(const gh_device *d) {
  (void)d;
  return GH_CUFFT;
}

gh_status gh_cuda_bind_fft(gh_error *err, gh_device *d, const gh_fft_desc *desc, const gh_buffer *from, gh_buffer *to,
                           gh_launch **out) {
  *out = NULL;
  gh_cuda_device *device = gh_cuda(d);
  gh_status status = check(err, desc, from, to);
  if (!status) status = gh_cuda_enter_uncaptured(err, device, "a transform is planned");
  if (status) return status;
  if (!device->fft) device->fft = gh_cufft_get(err, device->arch);
  if (!device->fft) return gh_fail_in(err, "%s: fft", device->id);
  char name[64];
  snprintf(name, sizeof name, "fft %lldx%lldx%lld", (long long)desc->batch, (long long)desc->rows,
           (long long)desc->columns);
  gh_launch *launch = gh_cuda_launch_new(err, d, name);
  if (!launch) return GH_ERROR_MEMORY;
  launch->enqueue = enqueue_fft;
  launch->release = release_fft;
  launch->of.fft = (gh_cuda_fft_launch){.from = gh_cuda_at(from), .to = gh_cuda_at(to), .inverse = desc->inverse};
  status = make_plan(err, d, desc, launch);
  if (status) {
    gh_cuda_launch_free(launch);
    return status;
  }
  d->counters.binds++;
  *out = launch;
  return GH_OK;
}
