/* The vendor library's 2-D FFT: clFFT. Its peculiarities:
 * - It is set up once per process and complains on stderr at exit unless it was torn down. Devices are counted; the
 *   last one to close tears it down, after its plans are freed with their graphs.
 * - It generates its kernels and compiles them when a plan is baked, that is, at binding. It keeps them for later plans
 *   until it is torn down, but not on disk (PoCL's own cache does).
 * - A plan allocates its scratch memory at the first transform unless it is given some: it gets our workspace.
 * - It supports lengths whose prime factors are its radices, up to 2^24 in single precision. It rejects others only
 *   while baking, with one code for every reason, so lengths are checked here.
 * - Baking prints the warnings of PoCL's compiler, as every build does there. If the compiler rejects the kernels,
 *   baking does not fail, but the first transform does (quirks.c names these compilers).
 * A build without clFFT rejects every transform here; the op then uses its own kernels. */
#include "backend/core/libraries.h"
#include "backend/opencl/opencl.h"

#if GH_WITH_CLFFT
#include <clFFT.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define LONGEST (INT64_C(1) << 24)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int users; /* devices that have used it */

static gh_status clfft_fail(gh_error *err, clfftStatus code, const char *what) {
  return gh_cl_fail(err, (cl_int)code, "clFFT, %s", what);
}

static gh_status begin_use(gh_error *err, gh_cl_device *device) {
  if (device->uses_clfft) return GH_OK;
  const clfftSetupData setup = {clfftVersionMajor, clfftVersionMinor, clfftVersionPatch, 0};
  pthread_mutex_lock(&lock);
  clfftStatus code = users ? CLFFT_SUCCESS : clfftSetup(&setup);
  device->uses_clfft = code == CLFFT_SUCCESS;
  if (device->uses_clfft) users++;
  pthread_mutex_unlock(&lock);
  return device->uses_clfft ? GH_OK : clfft_fail(err, code, "setting up");
}

void gh_cl_clfft_end(gh_cl_device *device) {
  if (!device->uses_clfft) return;
  pthread_mutex_lock(&lock);
  if (!--users) clfftTeardown();
  pthread_mutex_unlock(&lock);
  device->uses_clfft = false;
}

static bool supports(int64_t length) {
  static const int radices[] = {2, 3, 5, 7, 11, 13};
  if (length < 1 || length > LONGEST) return false;
  for (size_t i = 0; i < GH_COUNT(radices); i++)
    while (length % radices[i] == 0) length /= radices[i];
  return length == 1;
}

static gh_status check(gh_error *err, const gh_fft_desc *desc, const gh_buffer *from, const gh_buffer *to) {
  const int64_t sides[] = {desc->rows, desc->columns};
  for (size_t i = 0; i < GH_COUNT(sides); i++)
    if (!supports(sides[i]))
      return gh_fail(err, GH_ERROR_UNSUPPORTED,
                     "fft of %lld x %lld: clFFT supports lengths to 2^24 whose prime factors are 2, 3, 5, 7, 11 and 13",
                     (long long)desc->rows, (long long)desc->columns);
  return gh_buffer_check_fft(err, desc, from, to);
}

/* Unscaled in both directions, packed rows, compiled for the device's queue. */
static clfftStatus make_plan(gh_cl_device *device, const gh_fft_desc *desc, bool in_place, clfftPlanHandle *plan) {
  const size_t lengths[] = {(size_t)desc->columns, (size_t)desc->rows};
  size_t strides[] = {1, lengths[0]}, distance = lengths[0] * lengths[1];
  clfftStatus code = clfftCreateDefaultPlan(plan, device->context, CLFFT_2D, lengths);
  if (code) return code;
  if (!code) code = clfftSetPlanPrecision(*plan, CLFFT_SINGLE);
  if (!code) code = clfftSetLayout(*plan, CLFFT_COMPLEX_INTERLEAVED, CLFFT_COMPLEX_INTERLEAVED);
  if (!code) code = clfftSetResultLocation(*plan, in_place ? CLFFT_INPLACE : CLFFT_OUTOFPLACE);
  if (!code) code = clfftSetPlanInStride(*plan, CLFFT_2D, strides);
  if (!code) code = clfftSetPlanOutStride(*plan, CLFFT_2D, strides);
  if (!code) code = clfftSetPlanDistance(*plan, distance, distance);
  if (!code) code = clfftSetPlanBatchSize(*plan, (size_t)desc->batch);
  if (!code) code = clfftSetPlanScale(*plan, CLFFT_BACKWARD, 1.0f);
  if (!code) code = clfftBakePlan(*plan, 1, &device->queue, NULL, NULL);
  if (code) clfftDestroyPlan(plan);
  return code;
}

static gh_status enqueue_fft(gh_error *err, gh_cl_device *device, gh_launch *launch) {
  gh_cl_fft_launch *f = &launch->of.fft;
  clfftStatus code =
      clfftEnqueueTransform(f->plan, f->inverse ? CLFFT_BACKWARD : CLFFT_FORWARD, 1, &device->queue, 0, NULL, NULL,
                            &f->from, f->from == f->to ? NULL : &f->to, f->scratch ? device->workspace : NULL);
  return code ? clfft_fail(err, code, launch->name) : GH_OK;
}

static void release_fft(gh_launch *launch) { clfftDestroyPlan(&launch->of.fft.plan); }

const char *gh_cl_fft_name(const gh_device *d) { return gh_cl(d)->quirks.no_clfft ? NULL : GH_CLFFT; }

gh_status gh_cl_bind_clfft(gh_error *err, gh_device *d, const gh_fft_desc *desc, const gh_buffer *from, gh_buffer *to,
                           gh_launch **out) {
  *out = NULL;
  size_t scratch = 0;
  clfftPlanHandle plan;
  if (gh_cl(d)->quirks.no_clfft)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "fft: %s does not compile clFFT's kernels", d->info.platform);
  gh_status status = check(err, desc, from, to);
  if (!status) status = begin_use(err, gh_cl(d));
  if (status) return status;
  gh_launch *launch = gh_alloc(err, 1, sizeof *launch);
  if (!launch) return GH_ERROR_MEMORY;
  snprintf(launch->name, sizeof launch->name, "fft %lldx%lldx%lld", (long long)desc->batch, (long long)desc->rows,
           (long long)desc->columns);
  clfftStatus code = make_plan(gh_cl(d), desc, from == to, &plan);
  if (code) {
    status = clfft_fail(err, code, launch->name);
    free(launch);
    return status;
  }
  launch->enqueue = enqueue_fft;
  launch->release = release_fft;
  launch->of.fft =
      (gh_cl_fft_launch){.plan = plan, .from = gh_cl_mem(from), .to = gh_cl_mem(to), .inverse = desc->inverse};
  code = clfftGetTmpBufSize(plan, &scratch);
  if (code) status = clfft_fail(err, code, launch->name);
  if (!status && scratch) status = gh_cl_reserve_workspace(err, d, scratch, "clFFT");
  if (status) {
    gh_cl_launch_free(launch);
    return status;
  }
  launch->of.fft.scratch = scratch > 0;
  d->counters.binds++;
  *out = launch;
  return GH_OK;
}

#else

void gh_cl_clfft_end(gh_cl_device *device) { (void)device; }

const char *gh_cl_fft_name(const gh_device *d) {
  (void)d;
  return NULL;
}

gh_status gh_cl_bind_clfft(gh_error *err, gh_device *d, const gh_fft_desc *desc, const gh_buffer *from, gh_buffer *to,
                           gh_launch **out) {
  (void)d, (void)desc, (void)from, (void)to;
  *out = NULL;
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "fft: genhance was built without clFFT");
}

#endif
