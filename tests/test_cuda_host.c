/* The CUDA backend's host side when things are missing, too old, or fail. NVIDIA's libraries are those of the double
 * (tests/cuda_double); every case runs in a child process. */
#include "backend/registry.h"
#include "support/check.h"
#include "support/cuda_children.h"

#include "backend/cuda/internal.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static gh_error err;

/* ---- messages when cuda:0 is missing ---- */

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

static void test_nothing_installed(void **state) {
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

/* If the user asks for the device by name, the error line gives the reason. */
static void test_device_requested_by_name(void **state) {
  (void)state;
  const char *said = IN_CHILD(open_missing);
  assert_int_equal(atoi(said), GH_ERROR_ARGUMENT);
  contains(said, "there is no device \"cuda:0\"");
  contains(said, "the NVIDIA driver was not found");
}

/* A file that is not a library: the loader's message is passed on. */
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

/* Every one of them. */
static void test_missing_symbols_are_named(void **state) {
  (void)state;
  check_lacking(DRIVER, driver_names, "the NVIDIA driver");
  check_lacking(NVRTC, nvrtc_names, "NVRTC");
  copy_as(DRIVER, DRIVER, "cuFuncGetParamInfo", "cuFuncGetParamInfx"); /* optional */
  assert_string_equal(IN_CHILD(say_cuda), "there is cuda:0");
}

static void test_unsuitable_driver(void **state) {
  (void)state;
  contains(IN_CHILD(say_cuda, "GH_DOUBLE_DRIVER=11020"),
           "driver is too old: it supports CUDA 11.2, 11.4 (470) is needed");
  contains(IN_CHILD(say_cuda, "GH_DOUBLE_DEVICES=0"), "cuda: the NVIDIA driver has no device");
  contains(IN_CHILD(say_cuda, "GH_DOUBLE_DEVICES=0", "CUDA_VISIBLE_DEVICES=7"),
           "has no device where CUDA_VISIBLE_DEVICES is \"7\"");
  contains(IN_CHILD(say_cuda, "GH_DOUBLE_FAIL=cuInit:0=100", "CUDA_VISIBLE_DEVICES="),
           "has no device where CUDA_VISIBLE_DEVICES is \"\"");
  contains(IN_CHILD(say_cuda, "GH_DOUBLE_FAIL=cuInit:0=803"),
           "cuda: the NVIDIA driver does not start: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)");
  contains(IN_CHILD(say_cuda, "GH_DOUBLE_FAIL=cuInit:0=4711"), "does not start: CUDA error (4711)");
}

/* ---- which library supports which device ---- */

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

/* CUDA 13 dropped it: CUDA 12's libraries are searched, in vain if they are too new as well. */
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
           "cuda:0 is sm_70, but NVRTC 12.8 compiles for sm_75 and newer: an older NVRTC is needed");
}

/* Libraries newer than the driver's CUDA are not used. */
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

/* A python3 in $PATH that only points into the folder of another one, which has the wheels. Uses CUDA 11's, because few
 * machines have that in the usual places, which come first. */
static void test_wheels_of_a_python(void **state) {
  (void)state;
  static const char *const folders[] = {"venv/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib", "venv/bin", "bin"};
  char path[3][1024], python[1024], link_at[1024], setting[1024], places[1024];
  withhold(NVRTC);
  for (int i = 0; i < 3; i++) {
    snprintf(path[i], sizeof path[i], "%.500s/%s", folder, folders[i]);
    check_ok(gh_folder_make(&err, path[i]));
  }
  copy_as(NVRTC, "venv/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.11.2", NULL, NULL);
  snprintf(python, sizeof python, "%.500s/venv/bin/python3", folder);
  snprintf(link_at, sizeof link_at, "%.500s/bin/python3", folder);
  assert_int_equal(symlink("/bin/true", python), 0);
  assert_int_equal(symlink(python, link_at), 0);
  snprintf(places, sizeof places, "GH_CUDA_LIBRARIES=%.500s:", folder);
  for (int i = 1; i < 3; i++) {
    snprintf(setting, sizeof setting, "PATH=/nowhere:%.500s", path[i]);
    assert_string_equal(
        IN_CHILD(say_cuda, places, setting, "GH_DOUBLE_DRIVER=11080", "VIRTUAL_ENV=", "CONDA_PREFIX=", "HOME="),
        "there is cuda:0");
  }
  contains(IN_CHILD(say_cuda, places, "PATH=/nowhere", "GH_DOUBLE_DRIVER=11080"), "no libnvrtc.so.11.2");
}

/* Seconds of one command by the double's clock. */
static double time_fill(gh_device *d) {
  const gh_backend *backend = d->backend;
  gh_buffer *buffer = NULL;
  gh_launch *fill = NULL;
  double seconds = -1;
  gh_status status = backend->buffer_create(&err, d, 64, &buffer);
  if (!status) status = backend->bind_fill(&err, d, buffer, 0, 64, 0, &fill);
  if (!status) status = backend->mark(&err, d, 0);
  if (!status) status = backend->enqueue(&err, d, fill);
  if (!status) status = backend->mark(&err, d, 1);
  if (!status) status = backend->elapsed(&err, d, &seconds);
  backend->launch_free(fill);
  backend->buffer_free(buffer);
  return status ? -1 : seconds;
}

static void open_by_uuid(char *out, size_t size) {
  gh_device *d = NULL;
  if (gh_device_open(&err, "GPU-00112233-4455-6677-8899-AABBCCDDEE00", &d)) {
    snprintf(out, size, "%s", err.text);
    return;
  }
  const gh_device_identity *own = &d->info.identity;
  snprintf(out, size, "%s, %s, %s, %lld MHz, %lld lanes, %lld wide, %s, %s, %.3f s", d->info.id, own->pci,
           own->compiler, (long long)own->clock_mhz, (long long)own->cores, (long long)own->sub_groups[0],
           own->ecc == GH_YES ? "ECC" : "no ECC", own->vendor, time_fill(d));
  gh_device_close(d);
}

static void test_identity(void **state) {
  (void)state;
  assert_string_equal(
      IN_CHILD(open_by_uuid),
      "cuda:0, 0000:3b:00.0, NVRTC 13.0, 1755 MHz, 256 lanes, 32 wide, ECC, NVIDIA Corporation, 0.001 s");
}

static void test_shape(void **state) {
  (void)state;
  contains(IN_CHILD(say_target, "GH_KERNEL_SHAPE=cpu"), "cuda:0: GH_KERNEL_SHAPE is cpu, but a CUDA device has");
  contains(IN_CHILD(say_target, "GH_KERNEL_SHAPE=gpu"), "sm_90, ");
  contains(IN_CHILD(say_target, "GH_KERNEL_SHAPE=round"), "GH_KERNEL_SHAPE is \"round\"");
}

/* ---- failures at run time ---- */

/* y = 2 x over 8 floats, step by step; reports the first failure's line. */
static void say_work(char *out, size_t size) {
  gh_device *d = open_cuda(&err);
  const gh_backend *backend = &gh_backends[0][0];
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
  if (!status) status = backend->buffer_create(&err, d, 1 << 20, &x);
  if (!status) status = backend->buffer_create(&err, d, 1 << 20, &y);
  if (!status) status = backend->send(&err, d, x, 0, in, sizeof in);
  const gh_arg args[] = {gh_arg_buffer(y), gh_arg_buffer(x), gh_arg_buffer(NULL),
                         gh_arg_i32(8),    gh_arg_i64(0),    gh_arg_f32(2)};
  if (!status) status = backend->bind_kernel(&err, d, &id, &grid, args, GH_COUNT(args), &launch);
  if (!status) status = backend->enqueue(&err, d, launch);
  if (!status) status = backend->finish(&err, d);
  if (!status) status = backend->read(&err, d, y, 0, got, sizeof got);
  bool right = !status;
  for (int i = 0; i < 8; i++) right = right && got[i] == 2 * in[i];
  snprintf(out, size, "%d %s", (int)status, status ? err.text : right ? "right" : "wrong");
  backend->launch_free(launch);
  backend->buffer_free(x);
  backend->buffer_free(y);
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
  expect_failure("GH_DOUBLE_FAIL=cuMemAlloc_v2:2=2", GH_ERROR_MEMORY, "cuda:0: a buffer of 1.0 MiB, but only ");
  expect_failure("GH_DOUBLE_FAIL=cuMemAlloc_v2:2=2", GH_ERROR_MEMORY, "are free: CUDA_ERROR_OUT_OF_MEMORY (2)");
  expect_failure("GH_DOUBLE_FAIL=cuMemHostAlloc:1=2", GH_ERROR_MEMORY, "cuda:0: pinned memory of ");
  expect_failure("GH_DOUBLE_FAIL=cuEventCreate:2=999", GH_ERROR_DEVICE, "CUDA_ERROR_UNKNOWN (999)");
  expect_failure("GH_DOUBLE_FAIL=cuMemcpyHtoDAsync_v2:1=700", GH_ERROR_DEVICE,
                 "cuda:0: sending 32 bytes: CUDA_ERROR_ILLEGAL_ADDRESS (700)");
  expect_failure("GH_DOUBLE_FAIL=cuModuleLoadDataEx:0=218", GH_ERROR_DEVICE,
                 "cuda:0: tuned_probe (sm_90, NVRTC 13.0) is rejected by the driver: CUDA_ERROR_INVALID_PTX (218)");
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
  fprintf(stderr, "the build log below is expected:\n");
  expect_failure("DEFINES=-Dfloat=nonsense", GH_ERROR_DEVICE,
                 "cuda:0: tuned_probe does not compile: NVRTC_ERROR_COMPILATION: ");
  expect_failure("DEFINES=-Dfloat=nonsense", GH_ERROR_DEVICE, "error:");
  expect_failure("DEFINES=--no-such-option", GH_ERROR_DEVICE, "does not compile: NVRTC_ERROR_INVALID_OPTION: ");
}

/* A cached program that the driver rejects is recompiled: the second of two processes that share a cache. */
static void test_rejected_cache_entry(void **state) {
  (void)state;
  expect_failure("A=B", GH_OK, "right");
  expect_failure("GH_DOUBLE_FAIL=nvrtcCompileProgram:0=6", GH_OK, "right"); /* from the cache */
  expect_failure("GH_DOUBLE_FAIL=cuModuleLoadDataEx:1=200", GH_OK, "right");
  const char *both = "GH_DOUBLE_FAIL=cuModuleLoadDataEx:1=200,nvrtcCompileProgram:0=6";
  expect_failure(both, GH_ERROR_DEVICE, "does not compile");
}

/* Without staging memory for large sends: they are slower but correct. */
static void say_large_sends(char *out, size_t size) {
  enum { WORDS = 1 << 20, SENDS = 5 };
  gh_device *d = open_cuda(&err);
  gh_buffer *to = NULL, *kept = NULL;
  gh_launch *copy = NULL;
  static uint32_t words[WORDS], back[SENDS];
  const gh_backend *backend = &gh_backends[0][0];
  gh_status status = d ? backend->buffer_create(&err, d, sizeof words, &to) : err.status;
  if (!status) status = backend->buffer_create(&err, d, 4096, &kept);
  for (uint32_t i = 0; i < SENDS && !status; i++) {
    for (int k = 0; k < WORDS; k++) words[k] = i;
    status = backend->send(&err, d, to, 0, words, sizeof words);
    memset(words, 0xff, sizeof words);
    backend->launch_free(copy);
    copy = NULL;
    if (!status) status = backend->bind_copy(&err, d, kept, 4 * i, to, sizeof words - 4, 4, &copy);
    if (!status) status = backend->enqueue(&err, d, copy);
    if (!status) status = backend->finish(&err, d);
  }
  if (!status) status = backend->read(&err, d, kept, 0, back, sizeof back);
  bool right = !status;
  for (uint32_t i = 0; i < SENDS; i++) right = right && back[i] == i;
  snprintf(out, size, "%d %s", (int)status, status ? err.text : right ? "right" : "wrong");
  backend->launch_free(copy);
  backend->buffer_free(to);
  backend->buffer_free(kept);
  gh_device_close(d);
}

static void test_large_sends(void **state) {
  (void)state;
  assert_string_equal(IN_CHILD(say_large_sends), "0 right");
  assert_string_equal(IN_CHILD(say_large_sends, "GH_DOUBLE_FAIL=cuMemAlloc_v2:3=2"), "0 right");
}

/* ---- energy ---- */

#define NVML "libnvidia-ml.so.1"

static void say_energy(char *out, size_t size) {
  gh_device *d = open_cuda(&err);
  if (!d) return;
  const double before = d->backend->joules(d);
  snprintf(out, size, "%.3f", d->backend->joules(d) - before);
  gh_device_close(d);
}

static void test_energy(void **state) {
  (void)state;
  assert_non_null(strstr(IN_CHILD(say_energy), "nan")); /* there is no NVML */
  provide(NVML);
  assert_string_equal(IN_CHILD(say_energy), "0.500");
  assert_non_null(strstr(IN_CHILD(say_energy, "GH_DOUBLE_FAIL=nvmlInit_v2:0"), "nan"));
  assert_non_null(strstr(IN_CHILD(say_energy, "GH_DOUBLE_FAIL=nvmlDeviceGetTotalEnergyConsumption:2"), "nan"));
}

int main(void) {
  use_doubles(GH_CUDA_DOUBLE);
  const struct CMUnitTest tests[] = {
      CASE(test_nothing_installed),
      CASE(test_device_requested_by_name),
      CASE(test_broken_library),
      WHOLE_CASE(test_energy),
      WHOLE_CASE(test_missing_symbols_are_named),
      WHOLE_CASE(test_unsuitable_driver),
      WHOLE_CASE(test_targets),
      WHOLE_CASE(test_volta),
      WHOLE_CASE(test_older_driver),
      WHOLE_CASE(test_folders_are_tried_in_order),
      WHOLE_CASE(test_wheels_of_a_python),
      WHOLE_CASE(test_identity),
      WHOLE_CASE(test_shape),
      WHOLE_CASE(test_failures_are_named),
      WHOLE_CASE(test_source_that_does_not_compile),
      WHOLE_CASE(test_rejected_cache_entry),
      WHOLE_CASE(test_large_sends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
