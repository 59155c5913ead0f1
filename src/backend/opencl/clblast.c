/* The vendor library's GEMM: CLBlast. Half precision is not supported here, because CLBlast accumulates it in half
 * precision. A build without CLBlast reports no library name, so that the table of GEMM providers skips it. */
#include "backend/core/libraries.h"
#include "backend/opencl/opencl.h"

#if GH_WITH_CLBLAST
#include <clblast_c.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_status clblast_fail(gh_error *err, CLBlastStatusCode code, const gh_launch *launch) {
  return gh_fail(err, GH_ERROR_DEVICE, "CLBlast %s: code %d", launch->name, (int)code);
}

static gh_status enqueue_gemm(gh_error *err, gh_cl_device *device, gh_launch *launch) {
  const gh_gemm_desc *g = &launch->of.gemm.desc;
  cl_mem a = launch->of.gemm.a, b = launch->of.gemm.b, c = launch->of.gemm.c;
  CLBlastTranspose ta = g->trans_a ? CLBlastTransposeYes : CLBlastTransposeNo;
  CLBlastTranspose tb = g->trans_b ? CLBlastTransposeYes : CLBlastTransposeNo;
  size_t m = (size_t)g->m, n = (size_t)g->n, k = (size_t)g->k, batch = (size_t)g->batch;
  size_t oa = (size_t)g->offset_a, ob = (size_t)g->offset_b, oc = (size_t)g->offset_c;
  size_t lda = (size_t)g->lda, ldb = (size_t)g->ldb, ldc = (size_t)g->ldc;
  float alpha = (float)g->alpha, beta = (float)g->beta;
  CLBlastStatusCode code;
  if (batch == 1)
    code = CLBlastSgemmWithTempBuffer(CLBlastLayoutRowMajor, ta, tb, m, n, k, alpha, a, oa, lda, b, ob, ldb, beta, c,
                                      oc, ldc, &device->queue, NULL, device->workspace);
  else
    code = CLBlastSgemmStridedBatched(CLBlastLayoutRowMajor, ta, tb, m, n, k, alpha, a, oa, lda, (size_t)g->stride_a, b,
                                      ob, ldb, (size_t)g->stride_b, beta, c, oc, ldc, (size_t)g->stride_c, batch,
                                      &device->queue, NULL);
  return code == CLBlastSuccess ? GH_OK : clblast_fail(err, code, launch);
}

/* Reserves the workspace in which CLBlast copies the operands of a single product, so that it allocates nothing when
 * enqueued. */
static gh_status reserve_workspace(gh_error *err, gh_device *d, const gh_gemm_desc *g) {
  size_t bytes = 0;
  CLBlastStatusCode found =
      CLBlastSGemmTempBufferSize(CLBlastLayoutRowMajor, g->trans_a ? CLBlastTransposeYes : CLBlastTransposeNo,
                                 g->trans_b ? CLBlastTransposeYes : CLBlastTransposeNo, (size_t)g->m, (size_t)g->n,
                                 (size_t)g->k, (size_t)g->offset_a, (size_t)g->lda, (size_t)g->offset_b, (size_t)g->ldb,
                                 (size_t)g->offset_c, (size_t)g->ldc, &gh_cl(d)->queue, &bytes);
  if (found != CLBlastSuccess) return gh_fail(err, GH_ERROR_DEVICE, "CLBlast's workspace: code %d", (int)found);
  return gh_cl_reserve_workspace(err, d, bytes, "CLBlast");
}

gh_status gh_cl_bind_clblast(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a,
                             const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  *out = NULL;
  if (desc->dtype != GH_F32)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "CLBlast GEMM in %s: only f32 is supported", gh_dtype_name(desc->dtype));
  gh_status status = desc->batch == 1 ? reserve_workspace(err, d, desc) : GH_OK;
  if (status) return status;
  gh_launch *launch = gh_alloc(err, 1, sizeof *launch);
  if (!launch) return GH_ERROR_MEMORY;
  snprintf(launch->name, sizeof launch->name, "gemm %lldx%lldx%lld", (long long)desc->m, (long long)desc->n,
           (long long)desc->k);
  launch->enqueue = enqueue_gemm;
  launch->of.gemm = (gh_cl_gemm_launch){*desc, gh_cl_mem(a), gh_cl_mem(b), gh_cl_mem(c)};
  d->counters.binds++;
  *out = launch;
  return GH_OK;
}

const char *gh_cl_gemm_name(const gh_device *d) {
  (void)d;
  return GH_CLBLAST;
}

static char library_name[64];

/* CLBlast has no function for its version, so the version comes from the name of the loaded file
 * (libclblast.so.1.5.3). */
static void find_library_name(void) {
  Dl_info where;
  char *path = dladdr((void *)CLBlastSgemm, &where) && where.dli_fname ? realpath(where.dli_fname, NULL) : NULL;
  const char *version = path ? strstr(path, ".so.") : NULL;
  snprintf(library_name, sizeof library_name, "CLBlast %s", version ? version + 4 : "of unknown version");
  free(path);
}

const char *gh_cl_library_name(const gh_device *d) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)d;
  pthread_once(&once, find_library_name);
  return library_name;
}

#else

const char *gh_cl_gemm_name(const gh_device *d) {
  (void)d;
  return NULL;
}

gh_status gh_cl_bind_clblast(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a,
                             const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  (void)d, (void)desc, (void)a, (void)b, (void)c;
  *out = NULL;
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "CLBlast GEMM: genhance was built without CLBlast");
}

const char *gh_cl_library_name(const gh_device *d) {
  (void)d;
  return NULL;
}

#endif
