#include "support/check.h"

#include "backend/registry.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void check_failure(gh_status status, const gh_error *err, gh_status expected, const char *piece, const char *file,
                   int line) {
  if (status == expected && err->status == expected && strstr(err->text, piece) && !strchr(err->text, '\n')) return;
  print_error("%s:%d: status %d, text \"%s\"; expected status %d and \"%s\"\n", file, line, (int)status, err->text,
              (int)expected, piece);
  fail();
}

bool check_has_shape(const char *shape) {
  char id[96];
  gh_device *device;
  gh_error err = {0};
  const char *given = getenv("GH_TEST_DEVICE");
  snprintf(id, sizeof id, "%s/%s", given ? given : "auto", shape);
  gh_status status = gh_device_open(&err, id, &device);
  if (status == GH_ERROR_UNSUPPORTED) return false;
  check_ok(status);
  gh_device_close(device);
  return true;
}

gh_device_info check_device_info(void) {
  gh_device *device = NULL;
  gh_error err = {0};
  check_ok(gh_device_open(&err, "auto", &device));
  const gh_device_info info = device->info;
  gh_device_close(device);
  return info;
}

char *check_folder(void) {
  const char *parent = getenv("TMPDIR");
  char *folder = gh_format(NULL, "%s/genhance-test-XXXXXX", parent && *parent ? parent : "/tmp");
  assert_non_null(folder);
  assert_non_null(mkdtemp(folder));
  return folder;
}

void check_folder_done(char *folder) {
  gh_error err = {0};
  check_ok(gh_folder_remove(&err, folder));
  free(folder);
}

char *check_path(const char *folder, const char *name) {
  char *path = gh_path_join(NULL, folder, name);
  assert_non_null(path);
  return path;
}

void check_write(const char *path, const void *bytes, size_t size) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
}

void check_put(const char *folder, const char *name, const char *text) {
  gh_error err = {0};
  char *path = check_path(folder, name), *parent = gh_path_folder(&err, path);
  check_ok(gh_folder_make(&err, parent));
  check_write(path, text, strlen(text));
  free(path);
  free(parent);
}

void check_allocation_failures(check_body body, void *state) {
  const long many = 100000;
  setenv("GH_RETRY_SECONDS", "0", 1); /* a second try would hide the failure */
  for (long n = 1; n < many; n++) {
    gh_error err = {0};
    gh_alloc_fail_after(n);
    gh_status status = body(&err, state);
    gh_alloc_fail_after(0);
    if (!status) {
      assert_true(n > 1); /* otherwise the body allocates nothing and the sweep tests nothing */
      return;
    }
    if (status != GH_ERROR_MEMORY || err.status != GH_ERROR_MEMORY || !err.text[0])
      fail_msg("allocation %ld fails: status %d, text \"%s\"", n, (int)status, err.text);
  }
  fail_msg("still failing after %ld allocations", many);
}

uint32_t check_random(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33);
}

static void mutate_once(char *bytes, size_t *size, size_t capacity, uint64_t *state) {
  static const char marks[] = "{}[]\",:\\-+.eE0919 \n\xff\x80\xc3u";
  size_t at = *size ? check_random(state) % *size : 0, length = 1 + check_random(state) % 8;
  switch (check_random(state) % 5) {
  case 0: /* any byte */
    if (*size) bytes[at] = (char)check_random(state);
    break;
  case 1: /* a byte with a meaning in the format */
    if (*size) bytes[at] = marks[check_random(state) % (sizeof marks - 1)];
    break;
  case 2: /* delete */
    length = GH_MIN(length, *size - at);
    memmove(bytes + at, bytes + at + length, *size - at - length);
    *size -= length;
    break;
  case 3: /* repeat */
    length = GH_MIN(GH_MIN(length, *size - at), capacity - *size);
    memmove(bytes + at + length, bytes + at, *size - at);
    *size += length;
    break;
  default: /* truncate */
    if (check_random(state) % 4 == 0) *size = at;
  }
}

size_t check_mutate(char *bytes, size_t size, size_t capacity, uint64_t *state) {
  int edits = 1 + (int)(check_random(state) % 4);
  while (edits--) mutate_once(bytes, &size, capacity, state);
  return size;
}
