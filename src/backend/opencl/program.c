/* Programs: built once a key; their binaries are kept on disk for the next process, the programs with the device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/kernel_source.h"
#include "backend/limits.h"
#include "backend/opencl/opencl.h"
#include "base/cache.h"
#include "base/log.h"

static gh_status build_failed(gh_error *err, const gh_device *d, cl_program program, const char *what, cl_int code) {
  size_t size = 0;
  clGetProgramBuildInfo(program, gh_cl(d)->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
  char *log = gh_alloc(err, size + 1, 1);
  if (!log) return GH_ERROR_MEMORY;
  clGetProgramBuildInfo(program, gh_cl(d)->id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
  char line[400];
  gh_first_error(log, line, sizeof line);
  if (gh_log_get_level() > GH_LOG_QUIET) fprintf(stderr, "%s\n", log);
  free(log);
  return gh_cl_fail(err, code, "%s: %s does not compile: %s", d->info.id, what, line);
}

static gh_status build_source(gh_error *err, const gh_device *d, const char *source, const char *options,
                              const char *what, cl_program *out) {
  gh_cl_device *device = gh_cl(d);
  cl_int code;
  cl_program program = clCreateProgramWithSource(device->context, 1, &source, NULL, &code);
  if (code != CL_SUCCESS) return gh_cl_fail(err, code, "%s: %s", d->info.id, what);
  code = clBuildProgram(program, 1, &device->id, options, NULL, NULL);
  if (code == CL_SUCCESS) {
    *out = program;
    return GH_OK;
  }
  gh_status status = build_failed(err, d, program, what, code);
  clReleaseProgram(program);
  return status;
}

/* ---- the cache of binaries ---- */

static void program_key(const gh_device *d, const char *source, const char *options, char key[GH_CACHE_KEY_SIZE]) {
  const char *parts[] = {"program",
                         source,
                         options,
                         d->info.platform,
                         d->info.driver,
                         d->info.name,
                         d->info.is_cpu ? gh_cache_cpu_flags() : "",
                         NULL};
  gh_cache_key(key, parts);
}

/* NULL where the driver no longer wants the binary: it is then built from source and replaced. */
static cl_program load_binary(const gh_device *d, const char *name, const char *options) {
  gh_cl_device *device = gh_cl(d);
  char *bytes;
  size_t size;
  if (device->quirks.no_binaries || !gh_cache_load(name, &bytes, &size)) return NULL;
  const unsigned char *binary = (const unsigned char *)bytes;
  cl_int accepted = CL_INVALID_BINARY, code;
  cl_program program = clCreateProgramWithBinary(device->context, 1, &device->id, &size, &binary, &accepted, &code);
  free(bytes);
  if (code == CL_SUCCESS && accepted == CL_SUCCESS &&
      clBuildProgram(program, 1, &device->id, options, NULL, NULL) == CL_SUCCESS)
    return program;
  if (code == CL_SUCCESS) clReleaseProgram(program);
  gh_debug("%s: the driver refuses the cached program %s: built anew", d->info.id, name);
  gh_cache_remove(name);
  return NULL;
}

static void store_binary(const gh_device *d, const char *name, cl_program program) {
  size_t size = 0;
  if (gh_cl(d)->quirks.no_binaries) return;
  if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) != CL_SUCCESS || !size) return;
  unsigned char *bytes = gh_alloc(NULL, size, 1);
  if (bytes && clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof bytes, &bytes, NULL) == CL_SUCCESS)
    gh_cache_store(name, bytes, size);
  free(bytes);
}

static gh_status load_or_build(gh_error *err, const gh_device *d, const gh_kernel_id *id, const char *options,
                               const char *what, cl_program *out) {
  char *source, key[GH_CACHE_KEY_SIZE], name[GH_CACHE_KEY_SIZE + 8];
  gh_status status = gh_kernel_source(err, id->source, &source);
  if (status) return status;
  program_key(d, source, options, key);
  snprintf(name, sizeof name, "%s.bin", key);
  *out = load_binary(d, name, options);
  if (!*out) {
    status = build_source(err, d, source, options, what, out);
    if (!status) store_binary(d, name, *out);
  }
  free(source);
  return status;
}

gh_status gh_cl_program_get(gh_error *err, gh_device *d, const gh_kernel_id *id, cl_program *out) {
  gh_cl_device *device = gh_cl(d);
  const char *what = id->source ? id->source : "the kernels";
  const char *elem = gh_kernel_elem_define(id->dtype);
  if (!elem)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: kernels are not served in %s", what, gh_dtype_name(id->dtype));
  char options[1024], key[GH_CACHE_KEY_SIZE];
  int size = snprintf(options, sizeof options, "%s %s %s", device->options, id->defines ? id->defines : "", elem);
  if (size >= (int)sizeof options) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: too many defines", what);

  /* Within a process the sources are constants, so that their name stands for them. */
  gh_cache_key(key, (const char *[]){what, options, NULL});
  for (gh_cl_program *p = device->programs; p; p = p->next) {
    if (strcmp(p->key, key)) continue;
    *out = p->program;
    return GH_OK;
  }
  gh_cl_program *entry = gh_alloc(err, 1, sizeof *entry);
  if (!entry) return GH_ERROR_MEMORY;
  memcpy(entry->key, key, sizeof key);
  gh_status status = load_or_build(err, d, id, options, what, &entry->program);
  if (status) {
    free(entry);
    return status;
  }
  d->counters.compilations++;
  entry->next = device->programs;
  device->programs = entry;
  *out = entry->program;
  return GH_OK;
}

void gh_cl_programs_free(gh_cl_device *device) {
  while (device->programs) {
    gh_cl_program *next = device->programs->next;
    clReleaseProgram(device->programs->program);
    free(device->programs);
    device->programs = next;
  }
}
