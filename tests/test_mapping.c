/* Mapped files that cannot be read while they are in use: a failed read, where SIGBUS was. */
#include "support/check.h"

#include "base/file.h"
#include "io/mapping.h"
#include "io/safetensors.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ELEMENTS 6000 /* of a tensor: 24000 bytes */

static gh_error err;
static char *folder;

static int begin(void **state) {
  (void)state;
  folder = check_folder();
  gh_mapping_take_faults();
  return 0;
}

static int end(void **state) {
  (void)state;
  check_folder_done(folder);
  return 0;
}

/* Two tensors of ELEMENTS ones; returns the open file. The caller frees *path. */
static gh_safetensors *open_ones(const char *name, char **path) {
  const int64_t shape[] = {ELEMENTS};
  float *ones = calloc(ELEMENTS, sizeof *ones);
  gh_safetensors_writer *writer;
  gh_safetensors *file;
  *path = check_path(folder, name);
  for (int i = 0; i < ELEMENTS; i++) ones[i] = 1;
  check_ok(gh_safetensors_writer_new(&err, &writer, *path));
  check_ok(gh_safetensors_writer_declare(&err, writer, "first", GH_ST_F32, 1, shape));
  check_ok(gh_safetensors_writer_declare(&err, writer, "second", GH_ST_F32, 1, shape));
  check_ok(gh_safetensors_writer_begin(&err, writer));
  check_ok(gh_safetensors_writer_write_f32(&err, writer, "first", ones, ELEMENTS));
  check_ok(gh_safetensors_writer_write_f32(&err, writer, "second", ones, ELEMENTS));
  check_ok(gh_safetensors_writer_finish(&err, writer));
  gh_safetensors_writer_free(writer);
  free(ones);
  check_ok(gh_safetensors_open(&err, &file, *path));
  return file;
}

static void test_a_truncated_file_is_a_failed_read(void **state) {
  (void)state;
  char *path, *other_path;
  float values[ELEMENTS];
  gh_safetensors *file = open_ones("cut", &path), *other = open_ones("whole", &other_path);
  const gh_st_tensor *second = gh_safetensors_find(file, "second");
  check_ok(gh_st_read_f32(&err, second, 0, ELEMENTS, values));
  assert_int_equal(truncate(path, 8000), 0);
  check_fails(gh_st_read_f32(&err, second, 0, ELEMENTS, values), GH_ERROR_FILE,
              "cut: cannot be read: it was truncated");
  check_fails(gh_st_read_f32(&err, second, 0, 1, values), GH_ERROR_FILE, "cut: cannot be read");
  check_fails(gh_mapping_touch(&err, second->data, second->bytes), GH_ERROR_FILE, "cut: cannot be read");
  check_ok(gh_mapping_check_all(&err)); /* it has been said */
  check_ok(gh_safetensors_load_f32(&err, other, "second", 1, (int64_t[]){ELEMENTS}, values));
  assert_true(values[0] == 1 && values[ELEMENTS - 1] == 1);
  check_ok(gh_mapping_check(&err, values)); /* not a file's */
  gh_safetensors_close(file);
  gh_safetensors_close(other);
  free(path);
  free(other_path);
}

/* The kernel gives zeros for the rest of the file's last page, and no signal. */
static void test_the_last_page_counts(void **state) {
  (void)state;
  char *path;
  float values[ELEMENTS];
  gh_safetensors *file = open_ones("page", &path);
  uint64_t size;
  check_ok(gh_file_size(&err, path, &size));
  assert_int_equal(truncate(path, (off_t)size - 4), 0);
  check_fails(gh_st_read_f32(&err, gh_safetensors_find(file, "second"), 0, ELEMENTS, values), GH_ERROR_FILE,
              "page: cannot be read");
  gh_safetensors_close(file);
  free(path);
}

/* A result that was computed from a file nobody has checked is not published. */
static void test_an_unchecked_file_stops_the_next_result(void **state) {
  (void)state;
  char *path, *out = check_path(folder, "out");
  gh_safetensors *file = open_ones("unchecked", &path);
  gh_safetensors_writer *writer;
  const gh_st_tensor *second = gh_safetensors_find(file, "second");
  assert_int_equal(truncate(path, 0), 0);
  gh_mapping_guard();
  assert_int_equal(((const volatile char *)second->data)[8192], 0);
  gh_safetensors_close(file);
  check_ok(gh_safetensors_writer_new(&err, &writer, out));
  check_ok(gh_safetensors_writer_begin(&err, writer));
  check_fails(gh_safetensors_writer_finish(&err, writer), GH_ERROR_FILE, "unchecked: cannot be read");
  gh_safetensors_writer_free(writer);
  assert_int_not_equal(access(out, F_OK), 0);
  check_ok(gh_mapping_check_all(&err));
  free(path);
  free(out);
}

/* What write(2) would report as a bad address is named. */
static void test_copying_checks(void **state) {
  (void)state;
  const int64_t shape[] = {ELEMENTS};
  char *path, *out = check_path(folder, "copy");
  gh_safetensors *file = open_ones("source", &path);
  gh_safetensors_writer *writer;
  const gh_st_tensor *second = gh_safetensors_find(file, "second");
  check_ok(gh_safetensors_writer_new(&err, &writer, out));
  check_ok(gh_safetensors_writer_declare(&err, writer, "second", GH_ST_F32, 1, shape));
  check_ok(gh_safetensors_writer_begin(&err, writer));
  assert_int_equal(truncate(path, 0), 0);
  check_fails(gh_safetensors_writer_write(&err, writer, "second", second->data, second->bytes), GH_ERROR_FILE,
              "source: cannot be read");
  gh_safetensors_writer_free(writer);
  gh_safetensors_close(file);
  free(path);
  free(out);
}

static void test_many_files(void **state) {
  (void)state;
  enum { FILES = 150 }; /* more than one block of places */
  char *paths[FILES];
  gh_safetensors *files[FILES];
  float value;
  for (int i = 0; i < FILES; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    files[i] = open_ones(name, &paths[i]);
  }
  for (int i = 0; i < FILES; i += 2) assert_int_equal(truncate(paths[i], 100), 0);
  for (int i = 0; i < FILES; i++) {
    const gh_st_tensor *t = gh_safetensors_find(files[i], "second");
    if (i % 2)
      check_ok(gh_st_read_f32(&err, t, ELEMENTS - 1, 1, &value));
    else
      check_fails(gh_st_read_f32(&err, t, ELEMENTS - 1, 1, &value), GH_ERROR_FILE, paths[i]);
  }
  for (int i = 0; i < FILES; i++) {
    gh_safetensors_close(files[i]);
    free(paths[i]);
  }
}

static void exit_with_3(int sig) {
  (void)sig;
  _exit(3);
}

/* Runs in a process of its own: reads a mapping of somebody else's beyond its end. */
static int fault_elsewhere(bool handled) {
  const int child = fork();
  assert_true(child >= 0);
  if (!child) {
    char *path;
    if (handled) signal(SIGBUS, exit_with_3);
    if (!handled) signal(SIGBUS, SIG_DFL);
    gh_safetensors *file = open_ones("elsewhere", &path);
    const int fd = open(path, O_RDONLY);
    const volatile char *map = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE, fd, 0);
    _exit(file ? map[(1 << 20) - 1] : 9);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

static void test_other_faults_are_left_to_others(void **state) {
  (void)state;
  int status = fault_elsewhere(true);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
  status = fault_elsewhere(false);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

/* LLVM does so when a driver first compiles a kernel. */
static void test_a_handler_that_was_replaced_is_set_again(void **state) {
  (void)state;
  char *path;
  float value;
  gh_safetensors *file = open_ones("replaced", &path);
  signal(SIGBUS, exit_with_3);
  assert_int_equal(truncate(path, 100), 0);
  check_fails(gh_st_read_f32(&err, gh_safetensors_find(file, "second"), ELEMENTS - 1, 1, &value), GH_ERROR_FILE,
              "replaced: cannot be read");
  signal(SIGBUS, SIG_DFL);
  gh_safetensors_close(file);
  free(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_truncated_file_is_a_failed_read),
      cmocka_unit_test(test_the_last_page_counts),
      cmocka_unit_test(test_an_unchecked_file_stops_the_next_result),
      cmocka_unit_test(test_copying_checks),
      cmocka_unit_test(test_many_files),
      cmocka_unit_test(test_other_faults_are_left_to_others),
      cmocka_unit_test(test_a_handler_that_was_replaced_is_set_again),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
