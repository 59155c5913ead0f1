/* Programs: compiled by NVRTC once a key; what comes out is kept on disk for the next process, the modules with the
 * device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/internal.h"
#include "backend/kernel_source.h"
#include "backend/limits.h"
#include "base/cache.h"
#include "base/log.h"

#define MAX_ARCHS   64
#define MAX_OPTIONS 48
#define LOG_BYTES   4096

/* ---- what to compile for ---- */

/* Machine code of these runs on themselves alone, and they run none but their own: boards with the processor built in.
 */
static bool is_embedded(int arch) {
  static const int known[] = {53, 62, 72, 87, 88, 101, 110};
  for (size_t i = 0; i < GH_COUNT(known); i++)
    if (known[i] == arch) return true;
  return false;
}

/* Machine code of an older machine of the same generation runs on the device; from an older generation there is only
 * the portable form, which the driver finishes. */
gh_status gh_cuda_choose_target(gh_error *err, gh_cuda_device *device) {
  int archs[MAX_ARCHS], count = 0, oldest = 0;
  device->nvrtc = gh_nvrtc_get(err, device->arch);
  if (!device->nvrtc) return gh_fail_in(err, "%s (sm_%d)", device->id, device->arch);
  if (device->nvrtc->nvrtcGetNumSupportedArchs(&count) || count < 1 || count > MAX_ARCHS ||
      device->nvrtc->nvrtcGetSupportedArchs(archs))
    return gh_fail(err, GH_ERROR_DEVICE, "%s: NVRTC %d.%d does not say what it compiles for", device->id,
                   device->nvrtc->major, device->nvrtc->minor);
  device->target = 0;
  for (int i = 0; i < count; i++) {
    if (!oldest || archs[i] < oldest) oldest = archs[i];
    if (archs[i] > device->arch || archs[i] <= device->target) continue;
    if (archs[i] == device->arch || !is_embedded(archs[i])) device->target = archs[i];
  }
  if (!device->target)
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s is sm_%d, and NVRTC %d.%d compiles for sm_%d and newer: an older one "
                   "is needed",
                   device->id, device->arch, device->nvrtc->major, device->nvrtc->minor, oldest);
  device->ptx =
      device->target / 10 != device->arch / 10 || (is_embedded(device->arch) && device->target != device->arch);
  gh_debug("%s: sm_%d, NVRTC %d.%d compiles for %s_%d", device->id, device->arch, device->nvrtc->major,
           device->nvrtc->minor, device->ptx ? "compute" : "sm", device->target);
  return GH_OK;
}

/* ---- compiling ---- */

typedef struct options {
  char text[1024]; /* joined by blanks, as in the cache key */
  char cut[1024];  /* the same, with zeros between them */
  const char *items[MAX_OPTIONS];
  int count;
} options;

static gh_status make_options(gh_error *err, const gh_device *d, const gh_kernel_id *id, const char *what, options *o) {
  const gh_cuda_device *device = gh_cuda(d);
  char dialect[512];
  gh_status status = gh_kernel_cuda_options(err, &d->info, id->dtype, dialect, sizeof dialect);
  if (status) return gh_fail_in(err, "%s", what);
  size_t size =
      (size_t)snprintf(o->text, sizeof o->text, "--gpu-architecture=%s_%d %s %s", device->ptx ? "compute" : "sm",
                       device->target, dialect, id->defines ? id->defines : "");
  if (size >= sizeof o->text) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: too many defines", what);
  memcpy(o->cut, o->text, sizeof o->cut);
  char *rest = NULL;
  o->count = 0;
  for (char *item = strtok_r(o->cut, " ", &rest); item; item = strtok_r(NULL, " ", &rest)) {
    if (o->count == MAX_OPTIONS) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: too many defines", what);
    o->items[o->count++] = item;
  }
  return GH_OK;
}

static gh_status compile_failed(gh_error *err, const gh_device *d, nvrtcProgram program, const char *what,
                                unsigned code) {
  const gh_nvrtc *rtc = gh_cuda(d)->nvrtc;
  size_t size = 0;
  char line[400] = "";
  char *log = rtc->nvrtcGetProgramLogSize(program, &size) || !size ? NULL : gh_alloc(NULL, size + 1, 1);
  if (log && !rtc->nvrtcGetProgramLog(program, log)) {
    gh_first_error(log, line, sizeof line);
    if (gh_log_get_level() > GH_LOG_QUIET) fprintf(stderr, "%s\n", log);
  }
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
    return gh_fail(err, GH_ERROR_DEVICE, "%s: NVRTC gives no code: %s", device->id, rtc->nvrtcGetErrorString(code));
  }
  *out = bytes;
  return GH_OK;
}

static gh_status compile(gh_error *err, const gh_device *d, const char *source, const options *o, const char *what,
                         char **out, size_t *size) {
  const gh_nvrtc *rtc = gh_cuda(d)->nvrtc;
  nvrtcProgram program = NULL;
  unsigned code = rtc->nvrtcCreateProgram(&program, source, what, 0, NULL, NULL);
  if (code) return gh_fail(err, GH_ERROR_DEVICE, "%s: %s: %s", d->info.id, what, rtc->nvrtcGetErrorString(code));
  code = rtc->nvrtcCompileProgram(program, o->count, o->items);
  gh_status status = code ? compile_failed(err, d, program, what, code) : fetch(err, gh_cuda(d), program, out, size);
  rtc->nvrtcDestroyProgram(&program);
  return status;
}

/* ---- loading, and the cache ---- */

static gh_status load_module(gh_error *err, const gh_device *d, const char *code_bytes, const char *what,
                             CUmodule *out) {
  const gh_cuda_device *device = gh_cuda(d);
  char log[LOG_BYTES] = "", line[400] = "";
  unsigned names[] = {GH_CU_JIT_ERROR_LOG, GH_CU_JIT_ERROR_LOG_BYTES};
  void *values[] = {log, (void *)(uintptr_t)sizeof log};
  unsigned code = device->cu->cuModuleLoadDataEx(out, code_bytes, GH_COUNT(names), names, values);
  if (!code) return GH_OK;
  log[sizeof log - 1] = 0;
  gh_first_error(log, line, sizeof line);
  return gh_cuda_fail(err, device->cu, code, "%s: %s (%s_%d, NVRTC %d.%d) is refused by the driver%s%s", d->info.id,
                      what, device->ptx ? "compute" : "sm", device->target, device->nvrtc->major, device->nvrtc->minor,
                      *line ? ": " : "", line);
}

static void cache_name(const gh_device *d, const char *source, const options *o, char *name, size_t size) {
  const gh_cuda_device *device = gh_cuda(d);
  char key[GH_CACHE_KEY_SIZE], compiler[48];
  snprintf(compiler, sizeof compiler, "NVRTC %d.%d", device->nvrtc->major, device->nvrtc->minor);
  gh_cache_key(key, (const char *[]){"cuda program", source, o->text, compiler, d->info.driver, NULL});
  snprintf(name, size, "%s.%s", key, device->ptx ? "ptx" : "cubin");
}

static gh_status load_or_compile(gh_error *err, const gh_device *d, const gh_kernel_id *id, const options *o,
                                 const char *what, CUmodule *out) {
  char *source, *bytes = NULL, name[GH_CACHE_KEY_SIZE + 8];
  size_t size = 0;
  gh_error refused = {0};
  gh_status status = gh_kernel_source(err, id->source, &source);
  if (status) return status;
  cache_name(d, source, o, name, sizeof name);
  if (gh_cache_load(name, &bytes, &size)) {
    if (!load_module(&refused, d, bytes, what, out)) goto done;
    gh_debug("%s; cached program %s: made anew", refused.text, name);
    gh_cache_remove(name);
    free(bytes);
    bytes = NULL;
  }
  status = compile(err, d, source, o, what, &bytes, &size);
  if (!status) status = load_module(err, d, bytes, what, out);
  if (!status) gh_cache_store(name, bytes, size);
done:
  free(bytes);
  free(source);
  return status;
}

gh_status gh_cuda_program_get(gh_error *err, gh_device *d, const gh_kernel_id *id, CUmodule *out) {
  gh_cuda_device *device = gh_cuda(d);
  const char *what = id->source ? id->source : "the kernels";
  char key[GH_CACHE_KEY_SIZE];
  options o;
  gh_status status = make_options(err, d, id, what, &o);
  if (status) return status;

  /* Within a process the sources are constants, so that their name stands for them. */
  gh_cache_key(key, (const char *[]){what, o.text, NULL});
  for (gh_cuda_program *p = device->programs; p; p = p->next) {
    if (strcmp(p->key, key)) continue;
    *out = p->module;
    return GH_OK;
  }
  status = gh_cuda_enter_uncaptured(err, device, "a program is compiled");
  if (status) return status;
  gh_cuda_program *entry = gh_alloc(err, 1, sizeof *entry);
  if (!entry) return GH_ERROR_MEMORY;
  memcpy(entry->key, key, sizeof key);
  status = load_or_compile(err, d, id, &o, what, &entry->module);
  if (status) {
    free(entry);
    return status;
  }
  d->counters.compilations++;
  entry->next = device->programs;
  device->programs = entry;
  *out = entry->module;
  return GH_OK;
}

void gh_cuda_programs_free(gh_cuda_device *device) {
  while (device->programs) {
    gh_cuda_program *next = device->programs->next;
    device->cu->cuModuleUnload(device->programs->module);
    free(device->programs);
    device->programs = next;
  }
}
