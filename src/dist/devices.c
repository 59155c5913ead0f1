#include "dist/devices.h"
#include "backend/identity.h"
#include "backend/registry.h"
#include "base/text.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEVICES 64

/* Whether an earlier device is the same hardware: an NVIDIA GPU is there for CUDA and for OpenCL. */
static bool seen(const gh_device_info *infos, int index) {
  char name[256], other[256];
  gh_hardware_name(name, sizeof name, &infos[index].identity, infos[index].is_cpu, infos[index].name);
  for (int i = 0; i < index; i++) {
    if (!strncmp(infos[i].id, infos[index].id, strcspn(infos[i].id, ":"))) continue; /* alike, of one backend */
    gh_hardware_name(other, sizeof other, &infos[i].identity, infos[i].is_cpu, infos[i].name);
    if (!strcmp(name, other)) return true;
  }
  return false;
}

static gh_status choose(gh_error *err, const gh_comm *comm, char **out) {
  gh_device_info infos[MAX_DEVICES] = {0};
  int kept[MAX_DEVICES], count = 0;
  const int known = GH_MIN(gh_device_list(infos, MAX_DEVICES, NULL, 0), MAX_DEVICES);
  for (int i = 0; i < known; i++)
    if (!infos[i].is_cpu && !infos[i].unfit && !seen(infos, i)) kept[count++] = i;
  *out = gh_strdup(err, count ? infos[kept[gh_comm_local_rank(comm) % count]].id : "auto");
  return *out ? GH_OK : GH_ERROR_MEMORY;
}

/* ---- a device per host ---- */

/* Whether a pattern of the shell names a host, with or without its domain. */
static bool matches(const char *pattern, const char *host) {
  char first[256];
  snprintf(first, sizeof first, "%.*s", (int)strcspn(host, "."), host);
  return !fnmatch(pattern, host, 0) || !fnmatch(pattern, first, 0);
}

/* In *list, what "HOST=DEVICES;HOST=DEVICES" says of this host: the first that matches. The caller frees it. */
static gh_status look_up(gh_error *err, const gh_comm *comm, const char *given, char **list) {
  char own[256] = "", *rest = NULL;
  if (!comm) gh_host_name(own, sizeof own);
  const char *host = comm ? gh_comm_host(comm, gh_comm_rank(comm)) : own;
  char *items = gh_strdup(err, given);
  gh_status status = items ? GH_OK : GH_ERROR_MEMORY;
  *list = NULL;
  for (char *item = items ? strtok_r(items, ";", &rest) : NULL; item && !status; item = strtok_r(NULL, ";", &rest)) {
    char *equals = strchr(item, '=');
    if (!equals || equals == item || !equals[1]) {
      status = gh_fail(err, GH_ERROR_ARGUMENT, "device \"%s\": \"%s\" is not HOST=DEVICES", given, item);
      break;
    }
    *equals = 0;
    if (!*list && matches(item, host) && !(*list = gh_strdup(err, equals + 1))) status = GH_ERROR_MEMORY;
  }
  free(items);
  if (!status && !*list)
    status = gh_fail(err, GH_ERROR_ARGUMENT, "device \"%s\" has no devices for the host %s", given, host);
  return status;
}

/* ---- a device per rank ---- */

static gh_status take(gh_error *err, const gh_comm *comm, const char *given, char **out) {
  const int local = gh_comm_local_rank(comm);
  const char *item = given;
  if (!strcmp(given, "auto")) return choose(err, comm, out);
  for (int i = 0; i < local && strchr(given, ','); i++) {
    item = strchr(item, ',');
    if (!item)
      return gh_fail(err, GH_ERROR_ARGUMENT, "device \"%s\" names %d, but %d ranks are on this host", given, i + 1,
                     gh_comm_local_ranks(comm));
    item++;
  }
  *out = gh_format(err, "%.*s", (int)strcspn(item, ","), item);
  return *out ? GH_OK : GH_ERROR_MEMORY;
}

gh_status gh_comm_device(gh_error *err, const gh_comm *comm, const char *given, char **out) {
  char *list = NULL;
  if (!strchr(given, '=')) return take(err, comm, given, out);
  gh_status status = look_up(err, comm, given, &list);
  if (!status) status = take(err, comm, list, out);
  free(list);
  return status;
}
