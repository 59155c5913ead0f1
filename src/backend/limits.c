#include "backend/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lowers *value to what the variable says, times unit; tests pretend to have a smaller device. */
static gh_status limit(gh_error *err, const char *variable, int64_t unit, int64_t *value) {
  const char *text = getenv(variable);
  if (!text || !*text) return GH_OK;
  char *end;
  long most = strtol(text, &end, 10);
  if (*end || most < 1 || most > 1L << 30)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s is \"%s\": it must be a whole number from 1", variable, text);
  *value = GH_MIN(*value, most * unit);
  return GH_OK;
}

gh_status gh_limit_buffers(gh_error *err, gh_device_info *info) {
  info->max_buffer_bytes = GH_MIN(info->max_buffer_bytes, info->memory_bytes);
  return limit(err, "GH_MAX_BUFFER_MIB", 1 << 20, &info->max_buffer_bytes);
}

gh_status gh_limit_groups(gh_error *err, gh_device_info *info) {
  gh_status status = limit(err, "GH_MAX_GROUP", 1, &info->max_group);
  return status ? status : limit(err, "GH_MAX_LOCAL_KIB", 1024, &info->local_bytes);
}

bool gh_fits_gpu_shape(const gh_device_info *info) {
  return info->max_group >= GH_GPU_GROUP && info->local_bytes >= GH_GPU_LOCAL_BYTES;
}

gh_status gh_limit_check_range(gh_error *err, const char *what, int64_t whole, int64_t offset, int64_t bytes) {
  if (whole < 0) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: no buffer", what);
  if (offset >= 0 && bytes > 0 && offset <= whole && bytes <= whole - offset) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s: %lld bytes at %lld of a buffer of %lld", what, (long long)bytes,
                 (long long)offset, (long long)whole);
}

gh_status gh_limit_check_size(gh_error *err, const gh_device_info *info, int64_t bytes) {
  if (bytes < 1) return gh_fail(err, GH_ERROR_ARGUMENT, "a buffer of %lld bytes", (long long)bytes);
  if (bytes <= info->max_buffer_bytes) return GH_OK;
  return gh_fail(err, GH_ERROR_MEMORY, "a buffer of %.1f MiB: %s allows %.1f MiB at once", (double)bytes / 1048576,
                 info->id, (double)info->max_buffer_bytes / 1048576);
}

int64_t gh_staging_bytes(int64_t bytes) {
  int64_t size = 64;
  while (size < bytes) size *= 2;
  return size;
}

void gh_first_error(const char *log, char *out, size_t size) {
  const char *line = strstr(log, "error:");
  if (!line) line = strstr(log, "error");
  if (!line) line = log + strspn(log, "\n ");
  while (line > log && line[-1] != '\n') line--;
  snprintf(out, size, "%.*s", (int)GH_MIN(strcspn(line, "\n"), size - 1), line);
  for (; *out; out++) /* quotes of gcc's, say, which may be cut in the middle */
    if ((unsigned char)*out >= 0x80) *out = '?';
}
