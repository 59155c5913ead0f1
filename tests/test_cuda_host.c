/* The CUDA backend's host side where things are missing, too old, or go wrong. NVIDIA's libraries are the double's
 * (tests/cuda_double). What is opened is kept for a process's life, so that every case that looks at loading runs in a
 * child, which gives back one line. */
#include "support/check.h"

#include "backend/gemm.h"
#include "base/file.h"
#include "base/log.h"
#include "cuda/internal.h"
#include "graph/graph.h"
#include "ops/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRIVER "libcuda.so.1"
#define NVRTC  "libnvrtc.so.13"
#define LT     "libcublasLt.so.13"

static gh_error err;
static char *folder; /* of the libraries of one case */

/* ---- children ---- */

/* What a child does with the environment that `settings` ("NAME=value", the list ends with NULL) makes; what it writes
 * to `out` comes back. */
typedef void child(char *out, size_t size);

static const char *in_child(child body, const char *const *settings) {
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
  if (status) fail_msg("the child ended with %d, having said: %s", status, text);
  return text;
}

#define IN_CHILD(body, ...) in_child(body, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void contains(const char *text, const char *piece) {
  if (!strstr(text, piece)) fail_msg("\"%s\" is not in: %s", piece, text);
}

/* ---- the libraries of a case ---- */

static void copy_as(const char *from, const char *to, const char *find, const char *with) {
  char *source = gh_path_join(&err, GH_CUDA_DOUBLE, from), *target = gh_path_join(&err, folder, to), *bytes;
  size_t size, length = find ? strlen(find) : 0;
  assert_true(source && target);
  check_ok(gh_file_read(&err, source, (size_t)64 << 20, &bytes, &size));
  bool found = !find;
  for (size_t i = 0; find && i + length + 1 <= size; i++) /* whole names, as in the table of symbols */
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

static void provide(const char *name) { copy_as(name, name, NULL, NULL); }

static void withhold(const char *name) {
  char *path = gh_path_join(&err, folder, name);
  assert_non_null(path);
  check_ok(gh_file_remove(&err, path));
  free(path);
}

static int begin(void **state) {
  (void)state;
  folder = check_folder();
  setenv("GH_CACHE_DIR", folder, 1);
  return 0;
}
static int begin_whole(void **state) {
  begin(state);
  provide(DRIVER);
  provide(NVRTC);
  provide(LT);
  provide("libcufft.so.12");
  return 0;
}
static int end(void **state) {
  (void)state;
  check_folder_done(folder);
  unsetenv("GH_CACHE_DIR");
  return 0;
}

/* ---- what is said where cuda:0 is not there ---- */

static void say_cuda(char *out, size_t size) {
  gh_device_info infos[16];
  char notes[1024];
  int count = gh_device_list(infos, 16, notes, sizeof notes);
  const char *line = strstr(notes, "cuda: ");
  if (line)
    snprintf(out, size, "%.*s", (int)strcspn(line, "\n"), line);
  else
    snprintf(out, size, "there is %s", count ? infos[0].id : "nothing");
}

static void test_nothing_is_there(void **state) {
  (void)state;
  contains(IN_CHILD(say_cuda), "cuda: the NVIDIA driver was not found: no libcuda.so.1 in GH_CUDA_LIBRARIES (/");
  provide(DRIVER);
  contains(IN_CHILD(say_cuda), "cuda: NVRTC was not found: no libnvrtc.so.13 or libnvrtc.so.12 or libnvrtc.so.11.2 in");
  provide(NVRTC);
  assert_string_equal(IN_CHILD(say_cuda), "there is cuda:0");
}

static void open_missing(char *out, size_t size) {
  gh_device *d = NULL;
  gh_status status = gh_device_open(&err, "cuda:0", &d);
  snprintf(out, size, "%d %s", (int)status, err.text);
  gh_device_close(d);
}

/* Asked for by name, it is the user's line that says why. */
static void test_asked_for_by_name(void **state) {
  (void)state;
  const char *said = IN_CHILD(open_missing);
  assert_int_equal(atoi(said), GH_ERROR_ARGUMENT);
  contains(said, "there is no device \"cuda:0\"");
  contains(said, "the NVIDIA driver was not found");
}

/* A library that is no library: what the loader says is passed on. */
static void test_broken_library(void **state) {
  (void)state;
  char *path = gh_path_join(&err, folder, DRIVER);
  assert_non_null(path);
  check_ok(gh_file_write(&err, path, "not ELF", 7));
  free(path);
  contains(IN_CHILD(say_cuda), "cuda: the NVIDIA driver cannot be used: ");
}

#define NAME(result, name, params) #name,
static const char *const driver_names[] = {GH_CUDA_DRIVER(NAME) NULL};
static const char *const nvrtc_names[] = {GH_CUDA_NVRTC(NAME) NULL};

static void check_lacking(const char *library, const char *const *names, const char *what) {
  for (; *names; names++) {
    char other[64], want[160];
    snprintf(other, sizeof other, "%s", *names);
    other[strlen(other) - 1] ^= 1;
    copy_as(library, library, *names, other);
    snprintf(want, sizeof want, "cuda: %s cannot be used: %s lacks %s", what, library, *names);
    assert_string_equal(IN_CHILD(say_cuda), want);
  }
  provide(library);
}

/* Every single one of them. */
static void test_missing_symbols_are_named(void **state) {
  (void)state;
  check_lacking(DRIVER, driver_names, "the NVIDIA driver");
  check_lacking(NVRTC, nvrtc_names, "NVRTC");
  copy_as(DRIVER, DRIVER, "cuFuncGetParamInfo", "cuFuncGetParamInfx"); /* optional */
  assert_string_equal(IN_CHILD(say_cuda), "there is cuda:0");
}

static void test_driver_that_does_not_serve(void **state) {
  (void)state;
  contains(IN_CHILD(say_cuda, "GH_DOUBLE_DRIVER=11020"),
           "driver is too old: it serves CUDA 11.2, 11.4 (470) is needed");
  contains(IN_CHILD(say_cuda, "GH_DOUBLE_DEVICES=0"), "cuda: the NVIDIA driver has no device");
  contains(IN_CHILD(say_cuda, "GH_DOUBLE_FAIL=cuInit:0=803"),
           "cuda: the NVIDIA driver does not start: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)");
  contains(IN_CHILD(say_cuda, "GH_DOUBLE_FAIL=cuInit:0=4711"), "does not start: CUDA error (4711)");
}

/* ---- which library serves which device ---- */

static void say_target(char *out, size_t size) {
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

static void test_targets(void **state) {
  (void)state;
  static const struct {
    const char *capability, *archs, *want;
  } cases[] = {
      {"9.0", "75 80 86 89 90 100 120", "sm_90, "},
      {"8.9", "75 80 86 87 90", "sm_86, "},
      {"8.7", "75 80 86 87 90", "sm_87, "},
      {"8.7", "75 80 86 90", "compute_86, "},
      {"7.5", "75 80", "sm_75, "},
      {"12.1", "75 80 90 100 120", "sm_120, "},
      {"10.3", "75 80 90", "compute_90, "},
      {"15.0", "75 80 90 100 120", "compute_120, "},
      {"8.0", "120 90 80 75", "sm_80, "},
      {"9.0", "80 110 100", "compute_80, "},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    char capability[64], archs[64];
    snprintf(capability, sizeof capability, "GH_DOUBLE_CAPABILITY=%s", cases[i].capability);
    snprintf(archs, sizeof archs, "GH_DOUBLE_ARCHS=%s", cases[i].archs);
    const char *said = IN_CHILD(say_target, capability, archs);
    if (strncmp(said, cases[i].want, strlen(cases[i].want)))
      fail_msg("%s with NVRTC for %s: %s", cases[i].capability, cases[i].archs, said);
  }
}

/* CUDA 13 dropped it: CUDA 12's libraries are looked for, and asked in vain where they are too new as well. */
static void test_volta(void **state) {
  (void)state;
  contains(IN_CHILD(say_target, "GH_DOUBLE_CAPABILITY=7.0"),
           "NVRTC was not found: no libnvrtc.so.12 or libnvrtc.so.11.2");
  copy_as(NVRTC, "libnvrtc.so.12", NULL, NULL);
  copy_as(LT, "libcublasLt.so.12", NULL, NULL);
  assert_string_equal(IN_CHILD(say_target, "GH_DOUBLE_CAPABILITY=7.0", "GH_DOUBLE_NVRTC=12080",
                               "GH_DOUBLE_ARCHS=50 60 70 75 80 90", "GH_DOUBLE_CUBLASLT=120804"),
                      "sm_70, cuBLASLt 12.8.4");
  contains(IN_CHILD(say_target, "GH_DOUBLE_CAPABILITY=7.0", "GH_DOUBLE_NVRTC=12080"),
           "cuda:0 is sm_70, and NVRTC 12.8 compiles for sm_75 and newer: an older one is needed");
}

/* Libraries newer than the driver's CUDA are not for it. */
static void test_older_driver(void **state) {
  (void)state;
  contains(IN_CHILD(say_target, "GH_DOUBLE_DRIVER=12040"), "no libnvrtc.so.12 or libnvrtc.so.11.2 in");
  copy_as(NVRTC, "libnvrtc.so.12", NULL, NULL);
  assert_string_equal(IN_CHILD(say_target, "GH_DOUBLE_DRIVER=12040"), "sm_90, none");
}

static void test_folders_are_tried_in_order(void **state) {
  (void)state;
  withhold(NVRTC);
  char setting[1024];
  snprintf(setting, sizeof setting, "GH_CUDA_LIBRARIES=/nowhere:%s:%s", folder, GH_CUDA_DOUBLE);
  assert_string_equal(IN_CHILD(say_cuda, setting), "there is cuda:0");
}

static void test_shape(void **state) {
  (void)state;
  contains(IN_CHILD(say_target, "GH_KERNEL_SHAPE=cpu"), "cuda:0: GH_KERNEL_SHAPE is cpu, and a CUDA device has");
  contains(IN_CHILD(say_target, "GH_KERNEL_SHAPE=gpu"), "sm_90, ");
  contains(IN_CHILD(say_target, "GH_KERNEL_SHAPE=round"), "GH_KERNEL_SHAPE is \"round\"");
}

/* ---- what goes wrong at work ---- */

static gh_device *open_cuda(void) {
  gh_device *d = NULL;
  if (gh_device_open(&err, "cuda:0", &d)) fprintf(stderr, "%s\n", err.text);
  return d;
}

/* y = 2 x over 8 floats, step by step; the first failure's line. */
static void say_work(char *out, size_t size) {
  gh_device *d = open_cuda();
  const gh_backend *door = &gh_backends[0][0];
  gh_buffer *x = NULL, *y = NULL;
  gh_launch *launch = NULL;
  float in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, got[8] = {0};
  const gh_kernel_id id = {.name = "probe_axpy", .source = "tuned_probe", .defines = getenv("DEFINES")};
  gh_grid grid = {.groups = {1, 1, 1}, .local = {8, 1, 1}};
  for (int i = 1; i < 3; i++) {
    const char *groups = getenv(i == 1 ? "GROUPS_Y" : "GROUPS_Z");
    if (groups) grid.groups[i] = (size_t)atol(groups);
  }
  gh_status status = d ? GH_OK : err.status;
  if (!status) status = door->buffer_create(&err, d, 1 << 20, &x);
  if (!status) status = door->buffer_create(&err, d, 1 << 20, &y);
  if (!status) status = door->send(&err, d, x, 0, in, sizeof in);
  const gh_arg args[] = {gh_arg_buffer(y), gh_arg_buffer(x), gh_arg_buffer(NULL),
                         gh_arg_i32(8),    gh_arg_i64(0),    gh_arg_f32(2)};
  if (!status) status = door->bind_kernel(&err, d, &id, &grid, args, GH_COUNT(args), &launch);
  if (!status) status = door->enqueue(&err, d, launch);
  if (!status) status = door->finish(&err, d);
  if (!status) status = door->read(&err, d, y, 0, got, sizeof got);
  bool right = !status;
  for (int i = 0; i < 8; i++) right = right && got[i] == 2 * in[i];
  snprintf(out, size, "%d %s", (int)status, status ? err.text : right ? "right" : "wrong");
  door->launch_free(launch);
  door->buffer_free(x);
  door->buffer_free(y);
  gh_device_close(d);
}

static void expect_failure(const char *setting, gh_status status, const char *piece) {
  const char *said = IN_CHILD(say_work, setting);
  if (atoi(said) != (int)status || !strstr(said, piece)) fail_msg("%s: %s", setting, said);
}

static void test_failures_are_named(void **state) {
  (void)state;
  expect_failure("A=B", GH_OK, "right");
  expect_failure("GH_DOUBLE_FAIL=cuDevicePrimaryCtxRetain:1=101", GH_ERROR_DEVICE,
                 "cuda:0: cannot be opened: CUDA_ERROR_INVALID_DEVICE (101)");
  expect_failure("GH_DOUBLE_FAIL=cuMemAlloc_v2:2=2", GH_ERROR_MEMORY, "cuda:0: a buffer of 1.0 MiB, where ");
  expect_failure("GH_DOUBLE_FAIL=cuMemAlloc_v2:2=2", GH_ERROR_MEMORY, "are free: CUDA_ERROR_OUT_OF_MEMORY (2)");
  expect_failure("GH_DOUBLE_FAIL=cuMemHostAlloc:1=2", GH_ERROR_MEMORY, "cuda:0: pinned memory of ");
  expect_failure("GH_DOUBLE_FAIL=cuEventCreate:2=999", GH_ERROR_DEVICE, "CUDA_ERROR_UNKNOWN (999)");
  expect_failure("GH_DOUBLE_FAIL=cuMemcpyHtoDAsync_v2:1=700", GH_ERROR_DEVICE,
                 "cuda:0: sending 32 bytes: CUDA_ERROR_ILLEGAL_ADDRESS (700)");
  expect_failure("GH_DOUBLE_FAIL=cuModuleLoadDataEx:0=218", GH_ERROR_DEVICE,
                 "cuda:0: tuned_probe (sm_90, NVRTC 13.0) is refused by the driver: CUDA_ERROR_INVALID_PTX (218)");
  expect_failure("GH_DOUBLE_FAIL=cuLaunchKernel:1=719", GH_ERROR_DEVICE,
                 "kernel probe_axpy: CUDA_ERROR_LAUNCH_FAILED (719)");
  expect_failure("GH_DOUBLE_FAIL_KERNEL=probe_axpy", GH_ERROR_DEVICE, "CUDA_ERROR_LAUNCH_FAILED (719)");
  expect_failure("GROUPS_Y=65535", GH_OK, "right");
  expect_failure("GROUPS_Y=65536", GH_ERROR_UNSUPPORTED,
                 "kernel probe_axpy: 65536 work-groups in dimension 1, cuda:0 allows 65535");
  expect_failure("GROUPS_Z=65536", GH_ERROR_UNSUPPORTED,
                 "kernel probe_axpy: 65536 work-groups in dimension 2, cuda:0 allows 65535");
  expect_failure("GH_DOUBLE_FAIL=cuStreamSynchronize:1=700", GH_ERROR_DEVICE,
                 "cuda:0: waiting for the queue: CUDA_ERROR_ILLEGAL_ADDRESS (700)");
  expect_failure("GH_DOUBLE_FAIL=cuMemcpyDtoHAsync_v2:1=700", GH_ERROR_DEVICE, "cuda:0: reading 32 bytes: ");
}

static void test_source_that_does_not_compile(void **state) {
  (void)state;
  withhold(NVRTC);
  provide(NVRTC);
  fprintf(stderr, "a build log follows, as it should:\n");
  expect_failure("DEFINES=-Dfloat=nonsense", GH_ERROR_DEVICE,
                 "cuda:0: tuned_probe does not compile: NVRTC_ERROR_COMPILATION: ");
  expect_failure("DEFINES=-Dfloat=nonsense", GH_ERROR_DEVICE, "error:");
  expect_failure("DEFINES=--no-such-option", GH_ERROR_DEVICE, "does not compile: NVRTC_ERROR_INVALID_OPTION: ");
}

/* A cached program that the driver no longer takes is compiled anew: the second of two processes that share a cache. */
static void test_refused_cache_entry(void **state) {
  (void)state;
  expect_failure("A=B", GH_OK, "right");
  expect_failure("GH_DOUBLE_FAIL=nvrtcCompileProgram:0=6", GH_OK, "right"); /* from the cache */
  expect_failure("GH_DOUBLE_FAIL=cuModuleLoadDataEx:1=200", GH_OK, "right");
  const char *both = "GH_DOUBLE_FAIL=cuModuleLoadDataEx:1=200,nvrtcCompileProgram:0=6";
  expect_failure(both, GH_ERROR_DEVICE, "does not compile");
}

/* No landing place for large sends: they are slower and as right. */
static void say_large_sends(char *out, size_t size) {
  enum { WORDS = 1 << 20, SENDS = 5 };
  gh_device *d = open_cuda();
  gh_buffer *to = NULL, *kept = NULL;
  gh_launch *copy = NULL;
  static uint32_t words[WORDS], back[SENDS];
  const gh_backend *door = &gh_backends[0][0];
  gh_status status = d ? door->buffer_create(&err, d, sizeof words, &to) : err.status;
  if (!status) status = door->buffer_create(&err, d, 4096, &kept);
  for (uint32_t i = 0; i < SENDS && !status; i++) {
    for (int k = 0; k < WORDS; k++) words[k] = i;
    status = door->send(&err, d, to, 0, words, sizeof words);
    memset(words, 0xff, sizeof words);
    door->launch_free(copy);
    copy = NULL;
    if (!status) status = door->bind_copy(&err, d, kept, 4 * i, to, sizeof words - 4, 4, &copy);
    if (!status) status = door->enqueue(&err, d, copy);
    if (!status) status = door->finish(&err, d);
  }
  if (!status) status = door->read(&err, d, kept, 0, back, sizeof back);
  bool right = !status;
  for (uint32_t i = 0; i < SENDS; i++) right = right && back[i] == i;
  snprintf(out, size, "%d %s", (int)status, status ? err.text : right ? "right" : "wrong");
  door->launch_free(copy);
  door->buffer_free(to);
  door->buffer_free(kept);
  gh_device_close(d);
}

static void test_large_sends(void **state) {
  (void)state;
  assert_string_equal(IN_CHILD(say_large_sends), "0 right");
  assert_string_equal(IN_CHILD(say_large_sends, "GH_DOUBLE_FAIL=cuMemAlloc_v2:3=2"), "0 right");
}

/* ---- no cuBLASLt ---- */

static void say_provider(char *out, size_t size) {
  gh_device *d = open_cuda();
  gh_buffer *x = NULL;
  gh_launch *launch = NULL;
  const gh_gemm_desc g = {.m = 24, .n = 24, .k = 24, .lda = 24, .ldb = 24, .ldc = 24, .batch = 1, .alpha = 1};
  const char *key, *provider = "none";
  gh_status status = d ? d->backend->buffer_create(&err, d, 1 << 16, &x) : err.status;
  if (!status) status = gh_gemm_bind(&err, d, &g, x, x, x, &launch);
  if (!status) gh_gemm_choice(d, 0, &key, &provider);
  snprintf(out, size, "%s", status ? err.text : provider);
  if (d) d->backend->launch_free(launch);
  if (d) d->backend->buffer_free(x);
  gh_device_close(d);
}

static void test_without_cublaslt(void **state) {
  (void)state;
  assert_string_equal(IN_CHILD(say_provider), "cublaslt");
  withhold(LT);
  assert_string_equal(IN_CHILD(say_provider), "own-gpu work=4");
  assert_string_equal(IN_CHILD(say_target), "sm_90, none");
  copy_as(LT, LT, "cublasLtMatmul", "cublasLtMatmux");
  assert_string_equal(IN_CHILD(say_provider), "own-gpu work=4");
}

/* A descriptor it refuses, or fails to run, is named. */
static void test_cublaslt_failures(void **state) {
  (void)state;
  contains(IN_CHILD(say_provider, "GH_DOUBLE_FAIL=cublasLtMatmulAlgoGetHeuristic:0=15"), "own-gpu work=4");
  contains(IN_CHILD(say_provider, "GH_DOUBLE_FAIL=cublasLtMatmul:0=13"), "own-gpu work=4");
  contains(IN_CHILD(say_provider, "GH_GEMM=cublaslt", "GH_DOUBLE_FAIL=cublasLtMatmulAlgoGetHeuristic:0=15"),
           "cuBLASLt, gemm 24x24x24: CUBLAS_STATUS_NOT_SUPPORTED (15)");
  contains(IN_CHILD(say_provider, "GH_GEMM=cublaslt", "GH_DOUBLE_FAIL=cublasLtMatrixLayoutCreate:2=3"),
           "CUBLAS_STATUS_ALLOC_FAILED (3)");
}

/* ---- captured steps ---- */

/* x += 1 a run, through two launches; after five runs, with what was enqueued and how. */
static void say_replay(char *out, size_t size) {
  gh_device *d = open_cuda();
  gh_store *store = NULL;
  gh_graph *g = NULL;
  gh_tensor *x = NULL;
  float one[3] = {1, 1, 1}, got[3] = {0};
  gh_status status = d ? gh_store_create(&err, d, &store) : err.status;
  if (!status) status = gh_store_add(&err, store, "x", GH_F32, 1, (int64_t[]){3}, &x);
  if (!status) status = gh_tensor_write(&err, d, x, one);
  if (!status) status = gh_graph_create(&err, d, &g);
  gh_tensor *twice = status ? NULL : gh_add(g, x, x), *thrice = twice ? gh_add(g, twice, x) : NULL;
  if (thrice) gh_graph_keep(g, thrice);
  if (!status) status = gh_graph_plan(&err, g);
  int64_t launches = 0;
  for (int i = 0; i < 5 && !status; i++) {
    one[1] = (float)i; /* what varies is sent, and the captured step sees it */
    status = gh_tensor_send(&err, d, x, one);
    launches = d->counters.launches;
    if (!status) status = gh_graph_run(&err, g);
    launches = d->counters.launches - launches;
    if (!status) status = gh_tensor_read(&err, d, thrice, got);
    if (!status && !(got[1] == 3 * one[1] && got[0] == 3)) status = gh_fail(&err, GH_ERROR_NUMERIC, "run %d", i);
  }
  snprintf(out, size, "%s, %lld at last", status ? err.text : "right", (long long)launches);
  gh_graph_free(g);
  gh_store_free(store);
  gh_device_close(d);
}

static void test_captured_replay(void **state) {
  (void)state;
  assert_string_equal(IN_CHILD(say_replay), "right, 1 at last");
  assert_string_equal(IN_CHILD(say_replay, "GH_CAPTURE=0"), "right, 2 at last");
  /* A capture that fails at any of its steps costs speed alone. */
  static const char *const failures[] = {"GH_DOUBLE_FAIL=cuStreamBeginCapture_v2:1=900",
                                         "GH_DOUBLE_FAIL=cuLaunchKernel:4=901",
                                         "GH_DOUBLE_FAIL=cuGraphInstantiateWithFlags:1=2"};
  for (size_t i = 0; i < GH_COUNT(failures); i++) {
    const char *said = IN_CHILD(say_replay, failures[i]);
    if (strcmp(said, "right, 2 at last")) fail_msg("%s: %s", failures[i], said);
  }
  contains(IN_CHILD(say_replay, "GH_DOUBLE_FAIL=cuGraphLaunch:2=719"),
           "a captured step: CUDA_ERROR_LAUNCH_FAILED (719)");
}

/* Nothing but commands belongs into a capture. */
static void say_misuse(char *out, size_t size) {
  gh_device *d = open_cuda();
  const gh_backend *door = &gh_backends[0][0];
  gh_buffer *x = NULL, *none = NULL;
  gh_launch *captured = NULL;
  uint32_t word = 0;
  size_t used = 0;
  if (!d || door->buffer_create(&err, d, 4096, &x) || door->capture_begin(&err, d)) return;
  for (int i = 0; i < 6; i++) {
    err = (gh_error){0};
    const gh_status status = i == 0   ? door->send(&err, d, x, 0, &word, 4)
                             : i == 1 ? door->read(&err, d, x, 0, &word, 4)
                             : i == 2 ? door->write(&err, d, x, 0, &word, 4)
                             : i == 3 ? door->finish(&err, d)
                             : i == 4 ? door->buffer_create(&err, d, 64, &none)
                                      : door->capture_begin(&err, d);
    used += (size_t)snprintf(out + used, size - used, "%d %s\n", (int)status, err.text);
  }
  gh_status ended = door->capture_end(&err, d, NULL);
  gh_status again = door->capture_end(&err, d, &captured);
  snprintf(out + used, size - used, "%d %d %s", (int)ended, (int)again, err.text);
  door->buffer_free(x);
  gh_device_close(d);
}

static void test_capture_misuse(void **state) {
  (void)state;
  assert_string_equal(IN_CHILD(say_misuse), "1 cuda:0: a send while commands are being captured\n"
                                            "1 cuda:0: a read while commands are being captured\n"
                                            "1 cuda:0: a write while commands are being captured\n"
                                            "1 cuda:0: a wait while commands are being captured\n"
                                            "1 cuda:0: memory is allocated while commands are being captured\n"
                                            "1 cuda:0: a capture begins while commands are being captured\n"
                                            "0 1 cuda:0: no capture has begun");
}

/* ---- transforms ---- */

static void say_transform(char *out, size_t size) {
  gh_device *d = open_cuda();
  gh_buffer *x = NULL;
  gh_launch *launch = NULL;
  const gh_fft_desc desc = {.batch = 2, .rows = 4, .columns = 6};
  gh_status status = d ? d->backend->buffer_create(&err, d, 4096, &x) : err.status;
  if (!status) status = d->backend->bind_fft(&err, d, &desc, x, x, &launch);
  if (!status) status = d->backend->enqueue(&err, d, launch);
  if (!status) status = d->backend->finish(&err, d);
  snprintf(out, size, "%s", status ? err.text : "right");
  if (d) d->backend->launch_free(launch);
  if (d) d->backend->buffer_free(x);
  gh_device_close(d);
}

static void test_without_cufft(void **state) {
  (void)state;
  assert_string_equal(IN_CHILD(say_transform), "right");
  contains(IN_CHILD(say_transform, "GH_DOUBLE_FAIL=cufftMakePlanMany64:1=8"),
           "cuFFT, fft 2x4x6: CUFFT_INVALID_SIZE (8)");
  withhold("libcufft.so.12");
  contains(IN_CHILD(say_transform), "cuda:0: fft: cuFFT was not found: no libcufft.so.12");
}

#define CASE(test)       cmocka_unit_test_setup_teardown(test, begin, end)
#define WHOLE_CASE(test) cmocka_unit_test_setup_teardown(test, begin_whole, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(test_nothing_is_there),
      CASE(test_asked_for_by_name),
      CASE(test_broken_library),
      WHOLE_CASE(test_missing_symbols_are_named),
      WHOLE_CASE(test_driver_that_does_not_serve),
      WHOLE_CASE(test_targets),
      WHOLE_CASE(test_volta),
      WHOLE_CASE(test_older_driver),
      WHOLE_CASE(test_folders_are_tried_in_order),
      WHOLE_CASE(test_shape),
      WHOLE_CASE(test_failures_are_named),
      WHOLE_CASE(test_source_that_does_not_compile),
      WHOLE_CASE(test_refused_cache_entry),
      WHOLE_CASE(test_large_sends),
      WHOLE_CASE(test_without_cublaslt),
      WHOLE_CASE(test_cublaslt_failures),
      WHOLE_CASE(test_captured_replay),
      WHOLE_CASE(test_capture_misuse),
      WHOLE_CASE(test_without_cufft),
  };
  static const char *const ours[] = {"GH_KERNEL_SHAPE", "GH_GEMM", "GH_CAPTURE", "GH_MAX_BUFFER_MIB"};
  for (size_t i = 0; i < GH_COUNT(ours); i++) unsetenv(ours[i]);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
