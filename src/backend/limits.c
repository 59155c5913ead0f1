#include "backend/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

gh_status gh_limit_buffers(gh_error *err, gh_device_info *info) {
  info->max_buffer_bytes = GH_MIN(info->max_buffer_bytes, info->memory_bytes);
  const char *text = getenv("GH_MAX_BUFFER_MIB");
  if (!text || !*text) return GH_OK;
  char *end;
  long mib = strtol(text, &end, 10);
  if (*end || mib < 1 || mib > 1L << 30)
    return gh_fail(err, GH_ERROR_ARGUMENT, "GH_MAX_BUFFER_MIB is \"%s\": it must be a whole number from 1", text);
  info->max_buffer_bytes = GH_MIN(info->max_buffer_bytes, (int64_t)mib << 20);
  return GH_OK;
}

gh_status gh_check_range(gh_error *err, const char *what, int64_t whole, int64_t offset, int64_t bytes) {
  if (whole < 0) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: no buffer", what);
  if (offset >= 0 && bytes > 0 && offset <= whole && bytes <= whole - offset) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s: %lld bytes at %lld of a buffer of %lld", what, (long long)bytes,
                 (long long)offset, (long long)whole);
}

gh_status gh_check_buffer_size(gh_error *err, const gh_device_info *info, int64_t bytes) {
  if (bytes < 1) return gh_fail(err, GH_ERROR_ARGUMENT, "a buffer of %lld bytes", (long long)bytes);
  if (bytes <= info->max_buffer_bytes) return GH_OK;
  return gh_fail(err, GH_ERROR_MEMORY, "a buffer of %.1f MiB: %s allows %.1f MiB at once", (double)bytes / 1048576,
                 info->id, (double)info->max_buffer_bytes / 1048576);
}

void gh_first_error(const char *log, char *out, size_t size) {
  const char *line = strstr(log, "error:");
  if (!line) line = strstr(log, "error");
  if (!line) line = log + strspn(log, "\n ");
  while (line > log && line[-1] != '\n') line--;
  snprintf(out, size, "%.*s", (int)GH_MIN(strcspn(line, "\n"), size - 1), line);
}
