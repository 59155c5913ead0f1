/* Programs of OpenCL C: building them, and loading their binaries. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/kernel_source.h"
#include "backend/opencl/opencl.h"
#include "backend/pci.h"
#include "base/cache.h"

static gh_status options(gh_error *err, const gh_device *d, gh_program_request *request) {
  const gh_kernel_id *id = request->id;
  const char *elem = gh_kernel_elem_define(id->dtype);
  if (!elem)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: kernels do not support %s", request->what, gh_dtype_name(id->dtype));
  int size = snprintf(request->options, sizeof request->options, "%s %s %s", gh_cl(d)->options,
                      id->defines ? id->defines : "", elem);
  if (size >= (int)sizeof request->options)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: too many defines", request->what);
  return GH_OK;
}

static gh_status build_failed(gh_error *err, const gh_device *d, cl_program program, const char *what, cl_int code) {
  size_t size = 0;
  clGetProgramBuildInfo(program, gh_cl(d)->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
  char *log = gh_alloc(err, size + 1, 1);
  if (!log) return GH_ERROR_MEMORY;
  clGetProgramBuildInfo(program, gh_cl(d)->id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
  char line[400];
  gh_report_compiler_log(log, line, sizeof line);
  free(log);
  return gh_cl_fail(err, code, "%s: %s does not compile: %s%s%s", d->info.id, what, line,
                    d->info.is_cpu ? "" : "; see ",
                    d->info.is_cpu ? "" : gh_vendor_page((unsigned)d->info.identity.vendor_id));
}

/* The binary, for the cache. NULL: there is none. */
static char *binary_of(cl_program program, size_t *size) {
  if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof *size, size, NULL) != CL_SUCCESS || !*size) return NULL;
  char *bytes = gh_alloc(NULL, *size, 1);
  if (bytes && clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof bytes, &bytes, NULL) == CL_SUCCESS) return bytes;
  free(bytes);
  return NULL;
}

static gh_status compile(gh_error *err, gh_device *d, const gh_program_request *request, const char *source, void **out,
                         char **bytes, size_t *size) {
  gh_cl_device *device = gh_cl(d);
  cl_int code;
  cl_program program = clCreateProgramWithSource(device->context, 1, &source, NULL, &code);
  if (code != CL_SUCCESS) return gh_cl_fail(err, code, "%s: %s", d->info.id, request->what);
  code = clBuildProgram(program, 1, &device->id, request->options, NULL, NULL);
  if (code == CL_SUCCESS) {
    *out = program;
    *bytes = device->quirks.no_binaries ? NULL : binary_of(program, size);
    return GH_OK;
  }
  gh_status status = build_failed(err, d, program, request->what, code);
  clReleaseProgram(program);
  return status;
}

static gh_status load(gh_error *err, gh_device *d, const gh_program_request *request, const char *bytes, size_t size,
                      void **out) {
  gh_cl_device *device = gh_cl(d);
  const unsigned char *binary = (const unsigned char *)bytes;
  cl_int accepted = CL_INVALID_BINARY, code;
  cl_program program = clCreateProgramWithBinary(device->context, 1, &device->id, &size, &binary, &accepted, &code);
  if (code != CL_SUCCESS) return gh_cl_fail(err, code, "%s: %s", d->info.id, request->what);
  code = accepted == CL_SUCCESS ? clBuildProgram(program, 1, &device->id, request->options, NULL, NULL) : accepted;
  if (code == CL_SUCCESS) {
    *out = program;
    return GH_OK;
  }
  clReleaseProgram(program);
  return gh_cl_fail(err, code, "%s: the driver rejects the binary of %s", d->info.id, request->what);
}

static void unload(gh_device *d, void *program) {
  (void)d;
  clReleaseProgram(program);
}

static const gh_program_kind kind = {
    .name = "program", .options = options, .load = load, .compile = compile, .unload = unload};

void gh_cl_programs_open(gh_device *d) {
  gh_cl(d)->programs = (gh_program_cache){
      .kind = &kind,
      .suffix = gh_cl(d)->quirks.no_binaries ? NULL : "bin",
      .identity = {d->info.platform, d->info.driver, d->info.name, d->info.is_cpu ? gh_cache_cpu_flags() : "", NULL}};
}
