#include "support/scratch.h"

#include "backend/registry.h"

char *scratch;
gh_device *scratch_device;

int scratch_begin(void **state) {
  (void)state;
  scratch = check_folder();
  return 0;
}

int scratch_begin_with_device(void **state) {
  gh_error err = {0};
  scratch_begin(state);
  return gh_device_open(&err, "auto", &scratch_device);
}

int scratch_end(void **state) {
  (void)state;
  gh_device_close(scratch_device);
  check_folder_done(scratch);
  return 0;
}
