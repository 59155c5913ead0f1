#include "support/on_device.h"

#include "backend/registry.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>

gh_device *device;
gh_error err;

static char folder[] = "/tmp/genhance-cache-XXXXXX";

int open_device(void **state) {
  (void)state;
  if (gh_device_open(&err, "auto", &device)) fprintf(stderr, "%s\n", err.text);
  return device ? 0 : -1;
}

int close_device(void **state) {
  (void)state;
  gh_device_close(device);
  device = NULL;
  return 0;
}

gh_device *open_as(const char *shape) {
  char id[48];
  gh_device *d = NULL;
  snprintf(id, sizeof id, "%s%s", device->info.id, shape);
  if (gh_device_open(&err, id, &d)) assert_int_equal(err.status, GH_ERROR_UNSUPPORTED);
  return d;
}

void assert_ok(gh_status status, const char *what) {
  if (status) fail_msg("%s: %s", what, err.text);
}

const char *own_cache(void) {
  if (!mkdtemp(folder) || setenv("GH_CACHE_DIR", folder, 1)) abort();
  return folder;
}

void remove_own_cache(void) { gh_folder_remove(&err, folder); }
