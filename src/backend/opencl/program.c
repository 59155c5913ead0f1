/* Programs: built once a key, kept with the device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "backend/opencl/opencl.h"
#include "backend/source.h"

/* The first line of a build log that speaks of an error, for the one line the user reads. */
static void first_error(const char *log, char *out, size_t size) {
  const char *line = strstr(log, "error:");
  if (!line) line = strstr(log, "error");
  if (!line) line = log + strspn(log, "\n ");
  while (line > log && line[-1] != '\n') line--;
  snprintf(out, size, "%.*s", (int)GH_MIN(strcspn(line, "\n"), size - 1), line);
}

static gh_status build_failed(gh_error *err, const gh_device *d, cl_program program, const char *what, cl_int code) {
  size_t size = 0;
  clGetProgramBuildInfo(program, gh_cl(d)->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
  char *log = gh_alloc(err, size + 1, 1);
  if (!log) return GH_ERROR_MEMORY;
  clGetProgramBuildInfo(program, gh_cl(d)->id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
  char line[400];
  first_error(log, line, sizeof line);
  fprintf(stderr, "%s\n", log);
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

gh_status gh_cl_program_get(gh_error *err, const gh_device *d, const gh_kernel_id *id, cl_program *out) {
  gh_cl_device *device = gh_cl(d);
  const char *what = id->source ? id->source : "the kernels";
  if (id->dtype != GH_F32)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s in %s: only f32 is served", what, gh_dtype_name(id->dtype));
  char options[1024], short_key[40];
  int size = snprintf(options, sizeof options, "%s %s", device->options, id->defines ? id->defines : "");
  if (size >= (int)sizeof options) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: too many defines", what);

  /* Within a process the sources are constants, so that their name stands for them. */
  XXH64_hash_t name_hash = XXH3_64bits(what, strlen(what));
  snprintf(short_key, sizeof short_key, "%016llx%016llx", (unsigned long long)name_hash,
           (unsigned long long)XXH3_64bits(options, (size_t)size));
  for (gh_cl_program *p = device->programs; p; p = p->next) {
    if (strcmp(p->key, short_key)) continue;
    *out = p->program;
    return GH_OK;
  }

  gh_cl_program *entry = gh_alloc(err, 1, sizeof *entry);
  if (!entry) return GH_ERROR_MEMORY;
  memcpy(entry->key, short_key, sizeof short_key);
  char *source;
  gh_status status = gh_source_build(err, id->source, &source);
  if (!status) status = build_source(err, d, source, options, what, &entry->program);
  free(source);
  if (status) {
    free(entry);
    return status;
  }
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
