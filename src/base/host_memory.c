/* The machine's memory is not what counts in a container: a process is killed at the container's limit. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host_memory.h"
#include "base/status.h"

static int64_t read_limit(const char *path) {
  FILE *file = fopen(path, "re");
  if (!file) return INT64_MAX;
  unsigned long long bytes = 0;
  int found = fscanf(file, "%llu", &bytes); /* "max" is not a number: no limit */
  fclose(file);
  return found == 1 && bytes < INT64_MAX ? (int64_t)bytes : INT64_MAX;
}

/* The smallest limit of a cgroup and its parents; `group` is "/a/b" and is shortened on the way up. */
static int64_t limit_up(const char *mount, char *group, const char *file) {
  int64_t limit = INT64_MAX;
  for (;;) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s%s/%s", mount, group, file) < (int)sizeof path)
      limit = GH_MIN(limit, read_limit(path));
    char *slash = strrchr(group, '/');
    if (!slash || !*group) return limit;
    *slash = 0;
  }
}

static int64_t cgroup_limit(void) {
  FILE *file = fopen("/proc/self/cgroup", "re");
  if (!file) return INT64_MAX;
  int64_t limit = INT64_MAX;
  char line[PATH_MAX];
  while (fgets(line, sizeof line, file)) { /* "0::/path" (version 2) or "9:memory:/path" */
    line[strcspn(line, "\n")] = 0;
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) continue;
    *group++ = 0;
    int64_t found = INT64_MAX;
    if (!controllers[1]) found = limit_up("/sys/fs/cgroup", group, "memory.max");
    if (strstr(controllers, "memory")) found = limit_up("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
    limit = GH_MIN(limit, found);
  }
  fclose(file);
  return limit;
}

int64_t gh_host_memory_limit(void) {
  int64_t pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  int64_t physical = pages > 0 && size > 0 ? pages * size : INT64_MAX;
  int64_t group = cgroup_limit();
  return GH_MIN(physical, group);
}
