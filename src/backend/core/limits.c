#include "backend/core/limits.h"

#include <stdlib.h>

#include "cl/launch.h"

/* Lowers *value to the value of the variable times unit; with this, tests emulate a smaller device. */
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
  gh_status status = limit(err, "GH_MAX_MEMORY_MIB", 1 << 20, &info->memory_bytes);
  info->max_buffer_bytes = GH_MIN(info->max_buffer_bytes, info->memory_bytes);
  return status ? status : limit(err, "GH_MAX_BUFFER_MIB", 1 << 20, &info->max_buffer_bytes);
}

gh_status gh_limit_groups(gh_error *err, gh_device_info *info) {
  gh_status status = limit(err, "GH_MAX_GROUP", 1, &info->max_group);
  if (!status) status = limit(err, "GH_MAX_LOCAL_KIB", 1024, &info->local_bytes);
  return status ? status : limit(err, "GH_MAX_VECTOR", 1, &info->vector_lanes);
}

gh_status gh_limit_sub_group(gh_error *err, gh_device_info *info) {
  const char *text = getenv("GH_SUB_GROUP");
  if (!text || !*text) return GH_OK;
  char *end;
  const int64_t most = info->is_cpu ? GH_MOST_SUB_GROUP : info->sub_group;
  const long wanted = strtol(text, &end, 10);
  if (*end || wanted < 0 || wanted > most || (wanted & (wanted - 1)))
    return gh_fail(err, GH_ERROR_ARGUMENT, "GH_SUB_GROUP is \"%s\": on %s it can be 0 or a power of two up to %lld",
                   text, info->id, (long long)most);
  info->sub_group = wanted;
  return GH_OK;
}

bool gh_has_narrow_vectors(const gh_device_info *info) { return info->vector_lanes && info->vector_lanes < 16; }

bool gh_fits_gpu_shape(const gh_device_info *info) {
  return info->max_group >= GROUP_ITEMS && info->local_bytes >= GROUP_LOCAL_BYTES;
}
