#include "support/cuda_children.h"

#include "backend/registry.h"
#include "support/check.h"

#include "backend/cuda/internal.h"
#include "base/file.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static gh_error err;
char *folder;
static const char *doubles;

/* ---- children ---- */

const char *in_child(child body, const char *const *settings) {
  static char text[2048];
  int ends[2], status = 0;
  assert_int_equal(pipe(ends), 0);
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (!pid) {
    char out[2048] = "";
    close(ends[0]);
    setenv("GH_CUDA_LIBRARIES", folder, 1);
    for (; *settings; settings++) putenv((char *)(uintptr_t)*settings);
    gh_log_set_level(GH_LOG_WARNING);
    body(out, sizeof out);
    ssize_t written = write(ends[1], out, strlen(out));
    fflush(NULL);
    _exit(written < 0);
  }
  close(ends[1]);
  size_t used = 0;
  for (ssize_t got; (got = read(ends[0], text + used, sizeof text - 1 - used)) > 0;) used += (size_t)got;
  text[used] = 0;
  close(ends[0]);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (status) fail_msg("the child ended with %d after printing: %s", status, text);
  return text;
}

void contains(const char *text, const char *piece) {
  if (!strstr(text, piece)) fail_msg("\"%s\" is not in: %s", piece, text);
}

/* ---- the libraries of a case ---- */

void use_doubles(const char *from) {
  static const char *const ours[] = {"GH_KERNEL_SHAPE", "GH_GEMM", "GH_CAPTURE", "GH_MAX_BUFFER_MIB"};
  for (size_t i = 0; i < GH_COUNT(ours); i++) unsetenv(ours[i]);
  doubles = from;
}

void copy_as(const char *from, const char *to, const char *find, const char *with) {
  char *source = gh_path_join(&err, doubles, from), *target = gh_path_join(&err, folder, to), *bytes;
  size_t size, length = find ? strlen(find) : 0;
  assert_true(source && target);
  check_ok(gh_file_read(&err, source, (size_t)64 << 20, &bytes, &size));
  bool found = !find;
  for (size_t i = 0; find && i + length + 1 <= size; i++) /* whole names, as in the symbol table */
    if (!memcmp(bytes + i, find, length + 1) && i && !bytes[i - 1]) {
      memcpy(bytes + i, with, length);
      found = true;
    }
  if (!found) fail_msg("%s has no symbol %s", from, find);
  check_ok(gh_file_write(&err, target, bytes, size));
  free(bytes);
  free(source);
  free(target);
}

void provide(const char *name) { copy_as(name, name, NULL, NULL); }

void withhold(const char *name) {
  char *path = gh_path_join(&err, folder, name);
  assert_non_null(path);
  check_ok(gh_file_remove(&err, path));
  free(path);
}

int begin(void **state) {
  (void)state;
  folder = check_folder();
  setenv("GH_CACHE_DIR", folder, 1);
  return 0;
}
int begin_whole(void **state) {
  begin(state);
  provide(DRIVER);
  provide(NVRTC);
  provide(LT);
  provide("libcufft.so.12");
  return 0;
}
int end(void **state) {
  (void)state;
  check_folder_done(folder);
  unsetenv("GH_CACHE_DIR");
  return 0;
}

gh_device *open_cuda(gh_error *why) {
  gh_device *d = NULL;
  if (gh_device_open(why, "cuda:0", &d)) fprintf(stderr, "%s\n", why->text);
  return d;
}

void say_target(char *out, size_t size) {
  gh_device *d = NULL;
  if (gh_device_open(&err, "cuda:0", &d)) {
    snprintf(out, size, "%s", err.text);
    return;
  }
  const gh_cuda_device *device = d->impl;
  const char *library = d->backend->library_name(d);
  snprintf(out, size, "%s_%d, %s", device->ptx ? "compute" : "sm", device->target, library ? library : "none");
  gh_device_close(d);
}
