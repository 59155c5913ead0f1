#include "support/captioned.h"
#include "support/scratch.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

static gh_error err;

#define PICTURES GH_FIXTURES "/encode/images"

char *captioned_folder(const char *name, const char *const *pictures, const char *const (*texts)[2]) {
  char *folder = check_path(scratch, name), *bytes;
  size_t size;
  gh_strings list = {0};
  check_ok(gh_folder_make(&err, folder));
  check_ok(gh_folder_list(&err, &list, PICTURES, false));
  char *first = check_path(PICTURES, list.items[0]);
  check_ok(gh_file_read(&err, first, SIZE_MAX, &bytes, &size));
  for (; *pictures; pictures++) {
    char *path = check_path(folder, *pictures);
    check_write(path, bytes, size);
    free(path);
  }
  for (; texts[0][0]; texts++) {
    char *path = check_path(folder, texts[0][0]);
    check_write(path, texts[0][1], strlen(texts[0][1]));
    free(path);
  }
  gh_strings_free(&list);
  free(first);
  free(bytes);
  return folder;
}
