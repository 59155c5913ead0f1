/* Keys of a model's config.json, for the families and for what they share. */
#include "models/family.h"

#include <string.h>

#define LARGEST_SIZE (1 << 20)

gh_status gh_config_read_size(gh_error *err, const gh_json *from, const char *key, int64_t value, int *out) {
  gh_status status = gh_json_opt_int(err, from, key, &value);
  if (status) return status;
  if (value < 1 || value > LARGEST_SIZE)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %lld is not a valid size", key, (long long)value);
  *out = (int)value;
  return GH_OK;
}

bool gh_config_is_of(const gh_json *root, const char *class) {
  const gh_json *first = gh_json_first(gh_json_member(root, "architectures"));
  const char *name = "";
  gh_error ignored;
  return gh_json_type_of(first) == GH_JSON_STRING && !gh_json_to_string(&ignored, first, "", &name) &&
         !strcmp(name, class);
}
