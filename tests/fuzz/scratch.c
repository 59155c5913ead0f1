/* Shared by all targets, with either driver. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[32], names[8][32], path[512];
static int files;

void fuzz_failed(const char *condition, const char *file, int line) {
  fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
  abort();
}

static void remove_all(void) {
  for (int i = 0; i < files; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    unlink(path);
  }
  rmdir(folder);
}

const char *fuzz_folder(void) {
  static int made;
  if (!made) {
    strcpy(folder, "/dev/shm/genhance-fuzz-XXXXXX"); /* in memory if possible: files are written constantly */
    if (!mkdtemp(folder)) {
      strcpy(folder, "/tmp/genhance-fuzz-XXXXXX");
      FUZZ_CHECK(mkdtemp(folder));
    }
    atexit(remove_all);
    made = 1;
  }
  return folder;
}

static void remember(const char *name) {
  for (int i = 0; i < files; i++)
    if (!strcmp(names[i], name)) return;
  FUZZ_CHECK(files < 8);
  snprintf(names[files++], sizeof names[0], "%s", name);
}

const char *fuzz_file(const char *name, const void *bytes, size_t size) {
  const char *where = fuzz_folder();
  remember(name);
  snprintf(path, sizeof path, "%s/%s", where, name);
  FILE *file = fopen(path, "wb");
  FUZZ_CHECK(file);
  FUZZ_CHECK(fwrite(bytes, 1, size, file) == size);
  FUZZ_CHECK(!fclose(file));
  return path;
}
