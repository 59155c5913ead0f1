#include "dist/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_SIZE 160

static bool listed(const char *path, const char *const *paths) {
  for (; *paths; paths++)
    if (!strcmp(path, *paths)) return true;
  return false;
}

static void value_text(char *out, size_t size, const gh_json *value) {
  gh_error ignored;
  char *text = NULL;
  if (!value)
    snprintf(out, size, "absent");
  else if (gh_json_print(&ignored, &text, NULL, value, false))
    snprintf(out, size, "?");
  else
    snprintf(out, size, "%s", text);
  free(text);
}

static gh_status differ(gh_error *err, const char *path, const gh_json *own, const gh_json *other) {
  char here[VALUE_SIZE], there[VALUE_SIZE];
  value_text(here, sizeof here, own);
  value_text(there, sizeof there, other);
  return gh_fail(err, GH_ERROR_CONFIG, "%s is %s, but %s on rank 0", path, here, there);
}

static gh_status compare(gh_error *err, const char *path, const gh_json *own, const gh_json *other,
                         const char *const *except);

static gh_status compare_member(gh_error *err, const char *path, const char *key, const gh_json *own,
                                const gh_json *other, const char *const *except) {
  char *name = gh_format(err, "%s%s%s", path, path[0] ? "." : "", key);
  gh_status status = name ? GH_OK : GH_ERROR_MEMORY;
  if (!status && !listed(name, except))
    status = own && other ? compare(err, name, own, other, except) : differ(err, name, own, other);
  free(name);
  return status;
}

static gh_status compare(gh_error *err, const char *path, const gh_json *own, const gh_json *other,
                         const char *const *except) {
  gh_status status = GH_OK;
  if (gh_json_type_of(own) != GH_JSON_OBJECT || gh_json_type_of(other) != GH_JSON_OBJECT)
    return gh_json_equal(own, other) ? GH_OK : differ(err, path, own, other);
  for (const gh_json *item = gh_json_first(own); item && !status; item = gh_json_next(item))
    status = compare_member(err, path, gh_json_key(item), item, gh_json_member(other, gh_json_key(item)), except);
  for (const gh_json *item = gh_json_first(other); item && !status; item = gh_json_next(item))
    if (!gh_json_member(own, gh_json_key(item)))
      status = compare_member(err, path, gh_json_key(item), NULL, item, except);
  return status;
}

gh_status gh_comm_compare(gh_error *err, gh_comm *comm, gh_json *own, const char *const *except) {
  char *text = NULL;
  gh_json *first = NULL;
  gh_status status = own ? gh_json_print(err, &text, NULL, own, false) : GH_ERROR_MEMORY;
  status = gh_comm_agree(err, comm, status, "what is compared", NULL);
  if (!status) status = gh_comm_share_text(err, comm, &text);
  if (!status) {
    status = gh_json_parse(err, &first, "rank 0", text, strlen(text), GH_JSON_MAX_BYTES);
    if (!status) status = compare(err, "", own, first, except);
    status = gh_comm_agree(err, comm, status, "the comparison", NULL);
  }
  gh_json_free(first);
  gh_json_free(own);
  free(text);
  return status;
}
