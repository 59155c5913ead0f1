/* The cache of compiled programs: cold, warm, broken, rejected, and shared by concurrent processes. Every use of a
 * device is in its own process: that is the purpose of the cache, and drivers do not survive a fork. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/opencl/opencl.h"
#include "backend/registry.h"
#include "base/cache.h"
#include "base/file.h"
#include "base/text.h"

static char folder[] = "/tmp/genhance-cache-XXXXXX";
static gh_error err;

/* Whether programs are kept even of a driver that quirks.c excepts, since it keeps its kernels itself. */
static bool always_kept = true;

static void keep_programs(gh_device *d) {
  if (!always_kept || strcmp(d->backend->name, "opencl")) return;
  gh_cl(d)->quirks.no_binaries = false;
  gh_cl_programs_open(d);
}

/* 0 if the device computes correctly; the defines make this test's program unique. */
static int use_device(const char *defines) {
  gh_device *device;
  gh_error e;
  if (gh_device_open(&e, "auto", &device)) return 10;
  keep_programs(device);
  const gh_backend *backend = device->backend;
  gh_buffer *x, *y;
  float in[4] = {1, 2, 3, 4}, out[4] = {0};
  if (backend->buffer_create(&e, device, 16, &x) || backend->buffer_create(&e, device, 16, &y)) return 11;
  if (backend->write(&e, device, x, 0, in, 16)) return 12;
  gh_kernel_id id = {.name = "probe_axpy", .source = "tuned_probe", .defines = defines, .dtype = GH_F32};
  gh_grid grid = {.groups = {4, 1, 1}, .local = {1, 1, 1}};
  gh_arg args[] = {gh_arg_buffer(y), gh_arg_buffer(x), gh_arg_buffer(NULL),
                   gh_arg_i32(4),    gh_arg_i64(0),    gh_arg_f32(3)};
  gh_launch *launch;
  if (backend->bind_kernel(&e, device, &id, &grid, args, 6, &launch)) return 13;
  if (backend->enqueue(&e, device, launch) || backend->read(&e, device, y, 0, out, 16)) return 14;
  for (int i = 0; i < 4; i++)
    if (!(out[i] == 3 * in[i])) return 15;
  backend->launch_free(launch);
  backend->buffer_free(x);
  backend->buffer_free(y);
  gh_device_close(device);
  return 0;
}

static pid_t start(const char *defines) {
  fflush(NULL);
  pid_t child = fork();
  if (!child) _exit(use_device(defines));
  return child;
}
static int result(pid_t child) {
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

static gh_strings entries(void) {
  gh_strings list = {0};
  if (gh_folder_list(&err, &list, folder, false)) fail_msg("%s", err.text);
  return list;
}
static struct stat facts(const char *name) {
  struct stat info;
  char *path = gh_path_join(&err, folder, name);
  if (stat(path, &info)) fail_msg("%s does not exist", path);
  free(path);
  return info;
}

static void test_cold_then_warm(void **state) {
  (void)state;
  assert_int_equal(result(start("-DTEST=1")), 0);
  gh_strings first = entries();
  assert_int_equal(first.count, 1);
  struct stat before = facts(first.items[0]);
  assert_int_equal(facts("").st_mode & 0777, 0700);
  assert_int_equal(result(start("-DTEST=1")), 0);
  struct stat after = facts(first.items[0]);
  assert_true(before.st_ino == after.st_ino && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
  assert_int_equal(result(start("-DTEST=2")), 0); /* other defines, another entry */
  gh_strings second = entries();
  assert_int_equal(second.count, 2);
  gh_strings_free(&first);
  gh_strings_free(&second);
}

/* Damages the only entry, uses it and expects it to be repaired. */
static void check_repair(void (*damage)(const char *name)) {
  gh_strings list = entries();
  for (size_t i = 0; i < list.count; i++) gh_cache_remove(list.items[i]);
  gh_strings_free(&list);
  assert_int_equal(result(start("-DTEST=3")), 0);
  list = entries();
  assert_int_equal(list.count, 1);
  damage(list.items[0]);
  struct stat before = facts(list.items[0]);
  assert_int_equal(result(start("-DTEST=3")), 0);
  struct stat after = facts(list.items[0]);
  assert_true(before.st_ino != after.st_ino || before.st_mtim.tv_nsec != after.st_mtim.tv_nsec);
  char *bytes;
  size_t size;
  assert_true(gh_cache_load(list.items[0], &bytes, &size));
  assert_true(size > 100);
  free(bytes);
  gh_strings_free(&list);
}

static void cut_short(const char *name) {
  char *path = gh_path_join(&err, folder, name);
  assert_int_equal(truncate(path, facts(name).st_size / 2), 0);
  free(path);
}
static void flip_a_byte(const char *name) {
  char *path = gh_path_join(&err, folder, name);
  FILE *file = fopen(path, "r+b");
  assert_non_null(file);
  fseek(file, 1000, SEEK_SET);
  int byte = fgetc(file);
  fseek(file, 1000, SEEK_SET);
  fputc(byte ^ 1, file);
  fclose(file);
  free(path);
}
static void make_empty(const char *name) {
  char *path = gh_path_join(&err, folder, name);
  assert_int_equal(truncate(path, 0), 0);
  free(path);
}
static void replace_by_nonsense(const char *name) { gh_cache_store(name, "no program at all", 17); }

static void test_broken_entries_are_rebuilt(void **state) {
  (void)state;
  check_repair(cut_short);
  check_repair(flip_a_byte);
  check_repair(make_empty);
  check_repair(replace_by_nonsense); /* the checksum is right, but the driver rejects it */
}

static void test_folders_that_are_not_used(void **state) {
  (void)state;
  char *file = gh_path_join(&err, folder, "file"), *below = gh_path_join(&err, folder, "file/cache");
  char *open_folder = gh_path_join(&err, folder, "open"), *inner = gh_path_join(&err, folder, "open/inner");
  assert_int_equal(gh_file_write(&err, file, "x", 1), GH_OK);
  setenv("GH_CACHE_DIR", below, 1);
  assert_null(gh_cache_folder());
  assert_int_equal(result(start("-DTEST=4")), 0);
  assert_int_equal(mkdir(open_folder, 0700), 0);
  assert_int_equal(chmod(open_folder, 0777), 0);
  setenv("GH_CACHE_DIR", open_folder, 1);
  assert_null(gh_cache_folder());
  assert_int_equal(result(start("-DTEST=4")), 0);
  assert_int_equal(chmod(open_folder, 0700), 0);
  char *used = gh_cache_folder();
  assert_non_null(used);
  free(used);
  setenv("GH_CACHE_DIR", inner, 1);
  assert_int_equal(chmod(open_folder, 0777), 0); /* the private folder in it may be replaced */
  assert_null(gh_cache_folder());
  assert_int_equal(chmod(open_folder, 01777), 0);
  assert_non_null(used = gh_cache_folder());
  free(used);
  assert_int_equal(chmod(open_folder, 0700), 0);
  setenv("GH_CACHE_DIR", open_folder, 1);
  if (!geteuid()) {
    assert_int_equal(chown(open_folder, 65534, 65534), 0);
    assert_null(gh_cache_folder());
  } else {
    assert_int_equal(chmod(open_folder, 0500), 0);
    assert_null(gh_cache_folder());
  }
  setenv("GH_CACHE_DIR", folder, 1);
  gh_file_remove(&err, file);
  free(file);
  free(below);
  free(open_folder);
  free(inner);
}

/* ---- the environment that PoCL reads ---- */

#define NOT_POCL 77

/* In a process of its own, which has only these variables ("NAME=VALUE", NULL at the end): what use_device says. */
static int use_with(const char *const *variables, const char *defines, const char *refusal) {
  fflush(NULL);
  pid_t child = fork();
  if (child) return result(child);
  gh_device *device = NULL;
  gh_error e = {0};
  clearenv();
  for (; *variables; variables++) putenv((char *)(uintptr_t)*variables);
  const gh_status status = gh_device_open(&e, "auto", &device);
  if (refusal) _exit(status && strstr(e.text, refusal) ? 0 : 20);
  if (status) _exit(21);
  const bool pocl = strstr(device->info.platform, "Portable Computing");
  gh_device_close(device);
  always_kept = false;
  _exit(pocl ? use_device(defines) : NOT_POCL);
}

/* Counts the files below a folder whose names end so. */
static size_t files_below(const char *path, const char *end) {
  gh_strings list = {0};
  size_t count = 0;
  if (gh_folder_list(&err, &list, path, true)) fail_msg("%s", err.text);
  for (size_t i = 0; i < list.count; i++) count += gh_ends_with(list.items[i], end);
  gh_strings_free(&list);
  return count;
}

/* A file of that age in seconds. */
static void make_leftover(const char *where, const char *name, const char *text, time_t age) {
  char *path = gh_path_join(&err, where, name);
  const struct timespec then = {.tv_sec = time(NULL) - age};
  assert_int_equal(gh_file_write(&err, path, text, strlen(text)), GH_OK);
  assert_int_equal(utimensat(AT_FDCWD, path, (const struct timespec[]){then, then}, 0), 0);
  free(path);
}

/* Kernels of PoCL lie below our folder, once, and are not compiled again; what PoCL leaves there is removed. In a
 * folder that others may write to, they could be anyone's. Without PATH and HOME it works as well; without the linker
 * one line says so. */
static void test_pocl_has_a_private_cache_and_a_linker(void **state) {
  (void)state;
  char *ours = gh_path_join(&err, folder, "ours"), *open_folder = gh_path_join(&err, folder, "theirs");
  char *own = gh_format(&err, "GH_CACHE_DIR=%s", ours), *theirs = gh_format(&err, "POCL_CACHE_DIR=%s", open_folder);
  char *kernels = gh_path_join(&err, ours, "pocl"), *none = gh_format(&err, "PATH=%s", ours);
  assert_int_equal(mkdir(open_folder, 0700), 0);
  assert_int_equal(chmod(open_folder, 0777), 0);
  const int code = use_with((const char *const[]){own, theirs, NULL}, "-DTEST=6", NULL);
  if (code != NOT_POCL) {
    assert_int_equal(code, 0);
    assert_int_equal(files_below(open_folder, ""), 0);
    assert_int_equal(files_below(ours, ".bin"), 0);
    assert_int_equal(files_below(kernels, ".so"), 1);
    make_leftover(kernels, "tempfile_old", "", 2 * 3600);
    make_leftover(kernels, "tempfile_new", "", 0);
    make_leftover(kernels, "tempfile_full", "x", 2 * 3600);
    make_leftover(kernels, "other", "", 2 * 3600);
    assert_int_equal(use_with((const char *const[]){own, theirs, NULL}, "-DTEST=6", NULL), 0);
    assert_int_equal(files_below(kernels, ".so"), 1);
    assert_int_equal(files_below(kernels, "program.bc"), 1);
    assert_int_equal(files_below(kernels, "tempfile_old"), 0);
    assert_int_equal(files_below(kernels, "tempfile_new") + files_below(kernels, "tempfile_full"), 2);
    assert_int_equal(files_below(kernels, "other"), 1);
    assert_int_equal(chmod(open_folder, 0700), 0); /* as private as ours, it is used */
    assert_int_equal(use_with((const char *const[]){own, theirs, NULL}, "-DTEST=7", NULL), 0);
    assert_true(files_below(open_folder, "") > 0);
    assert_int_equal(use_with((const char *const[]){own, none, NULL}, "-DTEST=8", "it needs the linker ld in PATH"), 0);
  }
  gh_folder_remove(&err, open_folder);
  gh_folder_remove(&err, ours);
  free(ours);
  free(open_folder);
  free(own);
  free(theirs);
  free(kernels);
  free(none);
}

static void test_processes_side_by_side(void **state) {
  (void)state;
  pid_t children[4];
  for (int i = 0; i < 4; i++) children[i] = start("-DTEST=5");
  for (int i = 0; i < 4; i++) assert_int_equal(result(children[i]), 0);
  assert_int_equal(result(start("-DTEST=5")), 0);
}

static void test_keys(void **state) {
  (void)state;
  char a[GH_CACHE_KEY_SIZE], b[GH_CACHE_KEY_SIZE];
  gh_cache_key(a, (const char *[]){"ab", "c", NULL});
  gh_cache_key(b, (const char *[]){"a", "bc", NULL});
  assert_string_not_equal(a, b);
  gh_cache_key(b, (const char *[]){"ab", "c", NULL});
  assert_string_equal(a, b);
  assert_int_equal(strlen(a), GH_CACHE_KEY_SIZE - 1);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  setenv("GH_CACHE_DIR", folder, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_keys),
      cmocka_unit_test(test_cold_then_warm),
      cmocka_unit_test(test_broken_entries_are_rebuilt),
      cmocka_unit_test(test_folders_that_are_not_used),
      cmocka_unit_test(test_pocl_has_a_private_cache_and_a_linker),
      cmocka_unit_test(test_processes_side_by_side),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  gh_folder_remove(&err, folder);
  return failed;
}
