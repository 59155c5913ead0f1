/* Programs of CUDA C++: the target architecture, compiling with NVRTC, and loading the result. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/internal.h"
#include "backend/kernel_source.h"
#include "base/log.h"

#define MAX_ARCHS   64
#define MAX_OPTIONS 48
#define LOG_BYTES   4096

/* ---- what to compile for ---- */

/* Architectures of boards with a built-in processor: their machine code runs only on themselves, and they run no
 * other. */
static bool is_embedded(int arch) {
  static const int known[] = {53, 62, 72, 87, 88, 101, 110};
  for (size_t i = 0; i < GH_COUNT(known); i++)
    if (known[i] == arch) return true;
  return false;
}

/* Machine code for an older architecture of the same generation runs on the device. Of an older generation only the
 * portable form (PTX) does, which the driver compiles. */
static gh_status choose_target(gh_error *err, gh_cuda_device *device) {
  int archs[MAX_ARCHS], count = 0, oldest = 0;
  device->nvrtc = gh_nvrtc_get(err, device->arch);
  if (!device->nvrtc) return gh_fail_in(err, "%s (sm_%d)", device->id, device->arch);
  if (device->nvrtc->nvrtcGetNumSupportedArchs(&count) || count < 1 || count > MAX_ARCHS ||
      device->nvrtc->nvrtcGetSupportedArchs(archs))
    return gh_fail(err, GH_ERROR_DEVICE, "%s: NVRTC %d.%d does not report its architectures", device->id,
                   device->nvrtc->major, device->nvrtc->minor);
  device->target = 0;
  for (int i = 0; i < count; i++) {
    if (!oldest || archs[i] < oldest) oldest = archs[i];
    if (archs[i] > device->arch || archs[i] <= device->target) continue;
    if (archs[i] == device->arch || !is_embedded(archs[i])) device->target = archs[i];
  }
  if (!device->target)
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s is sm_%d, but NVRTC %d.%d compiles for sm_%d and newer: an older NVRTC "
                   "is needed",
                   device->id, device->arch, device->nvrtc->major, device->nvrtc->minor, oldest);
  device->ptx =
      device->target / 10 != device->arch / 10 || (is_embedded(device->arch) && device->target != device->arch);
  gh_debug("%s: sm_%d, NVRTC %d.%d compiles for %s_%d", device->id, device->arch, device->nvrtc->major,
           device->nvrtc->minor, device->ptx ? "compute" : "sm", device->target);
  return GH_OK;
}

/* ---- compiling ---- */

static gh_status options(gh_error *err, const gh_device *d, gh_program_request *request) {
  const gh_cuda_device *device = gh_cuda(d);
  char dialect[512];
  gh_status status = gh_kernel_cuda_options(err, &d->info, request->id->dtype, dialect, sizeof dialect);
  if (status) return gh_fail_in(err, "%s", request->what);
  size_t size = (size_t)snprintf(request->options, sizeof request->options, "--gpu-architecture=%s_%d %s %s",
                                 device->ptx ? "compute" : "sm", device->target, dialect,
                                 request->id->defines ? request->id->defines : "");
  if (size >= sizeof request->options) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: too many defines", request->what);
  return GH_OK;
}

/* Splits `text` into one item per option, replacing blanks by zero bytes. Returns the count; -1: more than
 * MAX_OPTIONS. */
static int split_options(char *text, const char *items[MAX_OPTIONS]) {
  char *rest = NULL;
  int count = 0;
  for (char *item = strtok_r(text, " ", &rest); item; item = strtok_r(NULL, " ", &rest)) {
    if (count == MAX_OPTIONS) return -1;
    items[count++] = item;
  }
  return count;
}

static gh_status compile_failed(gh_error *err, const gh_device *d, nvrtcProgram program, const char *what,
                                unsigned code) {
  const gh_nvrtc *rtc = gh_cuda(d)->nvrtc;
  size_t size = 0;
  char line[400] = "";
  char *log = rtc->nvrtcGetProgramLogSize(program, &size) || !size ? NULL : gh_alloc(NULL, size + 1, 1);
  if (log && !rtc->nvrtcGetProgramLog(program, log)) gh_report_compiler_log(log, line, sizeof line);
  free(log);
  return gh_fail(err, GH_ERROR_DEVICE, "%s: %s does not compile: %s%s%s", d->info.id, what,
                 rtc->nvrtcGetErrorString(code), *line ? ": " : "", line);
}

static gh_status fetch(gh_error *err, const gh_cuda_device *device, nvrtcProgram program, char **out, size_t *size) {
  const gh_nvrtc *rtc = device->nvrtc;
  unsigned code = device->ptx ? rtc->nvrtcGetPTXSize(program, size) : rtc->nvrtcGetCUBINSize(program, size);
  char *bytes = code || !*size ? NULL : gh_alloc(err, *size + 1, 1); /* the zero ends PTX */
  if (!code && *size && !bytes) return GH_ERROR_MEMORY;
  if (bytes) code = device->ptx ? rtc->nvrtcGetPTX(program, bytes) : rtc->nvrtcGetCUBIN(program, bytes);
  if (!bytes || code) {
    free(bytes);
    return gh_fail(err, GH_ERROR_DEVICE, "%s: NVRTC returns no code: %s", device->id, rtc->nvrtcGetErrorString(code));
  }
  *out = bytes;
  return GH_OK;
}

static gh_status to_code(gh_error *err, const gh_device *d, const gh_program_request *request, const char *source,
                         char **bytes, size_t *size) {
  const gh_nvrtc *rtc = gh_cuda(d)->nvrtc;
  nvrtcProgram program = NULL;
  char text[GH_PROGRAM_OPTIONS];
  const char *items[MAX_OPTIONS];
  memcpy(text, request->options, sizeof text);
  const int count = split_options(text, items);
  if (count < 0) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: too many defines", request->what);
  unsigned code = rtc->nvrtcCreateProgram(&program, source, request->what, 0, NULL, NULL);
  if (code)
    return gh_fail(err, GH_ERROR_DEVICE, "%s: %s: %s", d->info.id, request->what, rtc->nvrtcGetErrorString(code));
  code = rtc->nvrtcCompileProgram(program, count, items);
  gh_status status =
      code ? compile_failed(err, d, program, request->what, code) : fetch(err, gh_cuda(d), program, bytes, size);
  rtc->nvrtcDestroyProgram(&program);
  return status;
}

/* ---- loading ---- */

static gh_status load(gh_error *err, gh_device *d, const gh_program_request *request, const char *bytes, size_t size,
                      void **out) {
  const gh_cuda_device *device = gh_cuda(d);
  char log[LOG_BYTES] = "", line[400] = "";
  unsigned names[] = {GH_CU_JIT_ERROR_LOG, GH_CU_JIT_ERROR_LOG_BYTES};
  void *values[] = {log, (void *)(uintptr_t)sizeof log};
  CUmodule module = NULL;
  (void)size; /* the driver finds the end of both forms itself */
  unsigned code = device->cu->cuModuleLoadDataEx(&module, bytes, GH_COUNT(names), names, values);
  *out = module;
  if (!code) return GH_OK;
  log[sizeof log - 1] = 0;
  gh_first_error(log, line, sizeof line);
  return gh_cuda_fail(err, device->cu, code, "%s: %s (%s_%d, NVRTC %d.%d) is rejected by the driver%s%s", d->info.id,
                      request->what, device->ptx ? "compute" : "sm", device->target, device->nvrtc->major,
                      device->nvrtc->minor, *line ? ": " : "", line);
}

static gh_status compile(gh_error *err, gh_device *d, const gh_program_request *request, const char *source, void **out,
                         char **bytes, size_t *size) {
  gh_status status = to_code(err, d, request, source, bytes, size);
  return status ? status : load(err, d, request, *bytes, *size, out);
}

static void unload(gh_device *d, void *program) { gh_cuda(d)->cu->cuModuleUnload(program); }

static gh_status enter(gh_error *err, gh_device *d) {
  return gh_cuda_enter_uncaptured(err, gh_cuda(d), "a program is compiled");
}

static const gh_program_kind kind = {
    .name = "cuda program", .options = options, .enter = enter, .load = load, .compile = compile, .unload = unload};

gh_status gh_cuda_programs_open(gh_error *err, gh_device *d) {
  gh_cuda_device *device = gh_cuda(d);
  gh_status status = choose_target(err, device);
  if (status) return status;
  snprintf(device->compiler, sizeof device->compiler, "NVRTC %d.%d", device->nvrtc->major, device->nvrtc->minor);
  device->programs = (gh_program_cache){
      .kind = &kind, .suffix = device->ptx ? "ptx" : "cubin", .identity = {device->compiler, d->info.driver, NULL}};
  return GH_OK;
}
