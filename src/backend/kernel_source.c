#include "backend/kernel_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/embedded.h"
#include "base/array.h"
#include "base/text.h"

#define MAX_FILES 256
#define MAX_DEPTH 8

static const char *const elem_defines[GH_DTYPES] = {[GH_F32] = "", [GH_BF16] = "-DELEM_BF16", [GH_F16] = "-DELEM_F16"};

typedef struct source_text {
  char *text;
  size_t size, capacity;
  bool included[MAX_FILES];
} source_text;

static gh_status append(gh_error *err, source_text *s, const char *text, size_t size) {
  if (GH_ARRAY_RESERVE(err, s->text, s->capacity, s->size, size + 1)) return GH_ERROR_MEMORY;
  memcpy(s->text + s->size, text, size);
  s->size += size;
  s->text[s->size] = 0;
  return GH_OK;
}

static gh_status mark_line(gh_error *err, source_text *s, int line, const char *file) {
  char mark[160];
  int size = snprintf(mark, sizeof mark, "#line %d \"%s\"\n", line, file);
  return append(err, s, mark, (size_t)size);
}

static int find_file(const char *name, size_t size) {
  for (int i = 0; gh_embedded_kernels[i].name; i++)
    if (strlen(gh_embedded_kernels[i].name) == size && !memcmp(gh_embedded_kernels[i].name, name, size)) return i;
  return -1;
}

/* The file name in an include line, as a pointer into the line; NULL for any other line. */
static const char *included_name(const char *line, size_t size, size_t *name_size) {
  static const char word[] = "#include \"";
  if (size < sizeof word || memcmp(line, word, sizeof word - 1)) return NULL;
  const char *name = line + sizeof word - 1;
  const char *end = memchr(name, '"', size - (sizeof word - 1));
  *name_size = end ? (size_t)(end - name) : 0;
  return end ? name : NULL;
}

static gh_status add_file(gh_error *err, source_text *s, int index, int depth) {
  const gh_embedded_file *file = &gh_embedded_kernels[index];
  if (s->included[index]) return GH_OK;
  s->included[index] = true;
  if (depth > MAX_DEPTH)
    return gh_fail(err, GH_ERROR_FORMAT, "kernel source %s: includes are nested too deeply", file->name);
  gh_status status = mark_line(err, s, 1, file->name);
  int number = 1;
  for (const char *line = file->text; !status && *line; number++) {
    const char *end = strchr(line, '\n');
    size_t size = end ? (size_t)(end - line) + 1 : strlen(line), name_size;
    const char *name = included_name(line, size, &name_size);
    if (name) {
      int found = find_file(name, name_size);
      if (found < 0)
        return gh_fail(err, GH_ERROR_FORMAT, "kernel source %s: there is no %.*s", file->name, (int)name_size, name);
      status = add_file(err, s, found, depth + 1);
      if (!status) status = mark_line(err, s, number + 1, file->name);
    } else {
      status = append(err, s, line, size);
    }
    line += size;
  }
  return status ? status : append(err, s, "\n", 1);
}

static gh_status add_all(gh_error *err, source_text *s) {
  /* The table is sorted. Headers include what they need, so only platform.h must come first. */
  int platform = find_file("platform.h", strlen("platform.h"));
  if (platform < 0) return gh_fail(err, GH_ERROR_FORMAT, "kernel source: there is no platform.h");
  gh_status status = add_file(err, s, platform, 0);
  for (int i = 0; !status && gh_embedded_kernels[i].name; i++)
    if (gh_ends_with(gh_embedded_kernels[i].name, ".h")) status = add_file(err, s, i, 0);
  for (int i = 0; !status && gh_embedded_kernels[i].name; i++) {
    const char *name = gh_embedded_kernels[i].name;
    if (gh_ends_with(name, ".cl") && strncmp(name, "tuned_", strlen("tuned_"))) status = add_file(err, s, i, 0);
  }
  return status;
}

gh_status gh_kernel_source(gh_error *err, const char *name, char **out) {
  static const char *const kinds[] = {".cl", ".cu"};
  *out = NULL;
  source_text s = {0};
  gh_status status;
  if (!name) {
    status = add_all(err, &s);
  } else {
    char file[128];
    int found = -1;
    for (size_t i = 0; found < 0 && i < GH_COUNT(kinds); i++) {
      int size = snprintf(file, sizeof file, "%s%s", name, kinds[i]);
      if (size < (int)sizeof file) found = find_file(file, (size_t)size);
    }
    status = found < 0 ? gh_fail(err, GH_ERROR_ARGUMENT, "there is no kernel source %s.cl", name)
                       : add_file(err, &s, found, 0);
  }
  if (status)
    free(s.text);
  else
    *out = s.text;
  return status;
}

const char *gh_kernel_elem_define(gh_dtype dtype) { return elem_defines[dtype]; }

gh_status gh_kernel_cuda_options(gh_error *err, const gh_device_info *info, gh_dtype dtype, char *out, size_t size) {
  const char *elem = gh_kernel_elem_define(dtype);
  if (!elem) return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: kernels do not support it", gh_dtype_name(dtype));
  if (info->shape != GH_SHAPE_GPU)
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "CUDA has only kernels of the GPU's shape; GH_KERNEL_SHAPE=cpu is not supported");
  /* No contraction, as FP_CONTRACT is off in OpenCL; NVRTC's division, roots and denormals are exact by default. */
  char sub_group[32] = "";
  if (info->sub_group > 1) snprintf(sub_group, sizeof sub_group, " " GH_KERNEL_SUB_GROUP, (int)info->sub_group);
  int written = snprintf(out, size, "--std=c++17 --device-as-default-execution-space --fmad=false%s%s%s", sub_group,
                         *elem ? " " : "", elem);
  if (written < 0 || (size_t)written >= size) return gh_fail(err, GH_ERROR_ARGUMENT, "options longer than %zu", size);
  return GH_OK;
}
