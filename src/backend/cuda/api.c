#include "backend/cuda/api.h"

#include <dlfcn.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define MAX_VERSIONS   3
#define OLDEST_DRIVER  11040
#define OLDEST_IN_13   75 /* CUDA 13 dropped devices older than Turing */
#define MAX_PATH_BYTES 1024

/* ---- the tables, as data ---- */

typedef struct symbol {
  const char *name;
  size_t at; /* in the structure of the library's functions */
  bool optional;
} symbol;

#define SYMBOL(type, name, is_optional)   {#name, offsetof(type, name), is_optional},
#define OF_DRIVER(result, name, params)   SYMBOL(gh_cuda_driver, name, false)
#define OF_DRIVER_2(result, name, params) SYMBOL(gh_cuda_driver, name, true)
#define OF_NVRTC(result, name, params)    SYMBOL(gh_nvrtc, name, false)
#define OF_LT(result, name, params)       SYMBOL(gh_cublaslt, name, false)
#define OF_NVML(result, name, params)     SYMBOL(gh_nvml, name, false)
#define OF_NCCL(result, name, params)     SYMBOL(gh_nccl, name, false)
#define OF_FFT(result, name, params)      SYMBOL(gh_cufft, name, false)

static const symbol driver_symbols[] = {GH_CUDA_DRIVER(OF_DRIVER) GH_CUDA_DRIVER_OPTIONAL(OF_DRIVER_2){0}};
static const symbol nvrtc_symbols[] = {GH_CUDA_NVRTC(OF_NVRTC){0}};
static const symbol lt_symbols[] = {GH_CUDA_LT(OF_LT){0}};
static const symbol fft_symbols[] = {GH_CUDA_FFT(OF_FFT){0}};
static const symbol nvml_symbols[] = {GH_CUDA_NVML(OF_NVML){0}};
static const symbol nccl_symbols[] = {GH_CUDA_NCCL(OF_NCCL){0}};

/* One version of a library: its name, its CUDA version, and the result of opening it. */
typedef struct version {
  const char *soname;
  int cuda;
  bool tried, open;
  char why_not[256];
  union {
    gh_cuda_driver driver;
    gh_nvrtc nvrtc;
    gh_cublaslt lt;
    gh_cufft fft;
    gh_nvml nvml;
    gh_nccl nccl;
  } api;
} version;

typedef struct library {
  const char *what;
  const symbol *symbols;
  version versions[MAX_VERSIONS]; /* newest first */
} library;

static library driver = {"the NVIDIA driver", driver_symbols, {{.soname = "libcuda.so.1"}}};
static library nvrtc = {"NVRTC",
                        nvrtc_symbols,
                        {{.soname = "libnvrtc.so.13", .cuda = 13},
                         {.soname = "libnvrtc.so.12", .cuda = 12},
                         {.soname = "libnvrtc.so.11.2", .cuda = 11}}};
static library lt = {"cuBLASLt",
                     lt_symbols,
                     {{.soname = "libcublasLt.so.13", .cuda = 13},
                      {.soname = "libcublasLt.so.12", .cuda = 12},
                      {.soname = "libcublasLt.so.11", .cuda = 11}}};
static library fft = {"cuFFT",
                      fft_symbols,
                      {{.soname = "libcufft.so.12", .cuda = 13},
                       {.soname = "libcufft.so.11", .cuda = 12},
                       {.soname = "libcufft.so.10", .cuda = 11}}};

static library nvml = {"NVML", nvml_symbols, {{.soname = "libnvidia-ml.so.1"}}};
static library nccl = {"NCCL", nccl_symbols, {{.soname = "libnccl.so.2"}}};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- places ---- */

/* Below $VARIABLE or, if that is "", below the root. "*" matches as in the shell. */
static const struct {
  const char *variable, *pattern;
} usual[] = {
    {"CUDA_HOME", "lib64"},
    {"CUDA_HOME", "lib"},
    {"CUDA_PATH", "lib64"},
    {"CUDA_PATH", "lib"},
    {"", "usr/local/cuda/lib64"},
    {"", "usr/local/cuda-*/lib64"},
    {"", "usr/local/cuda*/targets/*/lib"},
    {"", "opt/cuda/lib64"},
    {"", "usr/local/nvidia/lib64"}, /* where containers get the driver */
    {"", "usr/lib/wsl/lib"},
    {"", "run/opengl-driver/lib"},
    {"VIRTUAL_ENV", "lib/python3*/site-packages/nvidia/*/lib"}, /* the wheels of PyPI */
    {"CONDA_PREFIX", "lib"},
    {"CONDA_PREFIX", "targets/*/lib"},
    {"CONDA_PREFIX", "lib/python3*/site-packages/nvidia/*/lib"},
    {"HOME", ".local/lib/python3*/site-packages/nvidia/*/lib"},
    {"", "usr/local/lib/python3*/dist-packages/nvidia/*/lib"},
};

/* NVRTC opens its second library only by name, and does not find it in a wheel's folder unless it is already loaded. */
static void load_builtins_beside(const char *path) {
  const char *slash = strrchr(path, '/');
  char pattern[MAX_PATH_BYTES];
  if (!slash || strncmp(slash, "/libnvrtc.", strlen("/libnvrtc."))) return;
  if (snprintf(pattern, sizeof pattern, "%.*s/libnvrtc-builtins.so.*", (int)(slash - path), path) >=
      (int)sizeof pattern)
    return;
  glob_t found;
  if (glob(pattern, 0, NULL, &found)) return;
  for (size_t i = 0; i < found.gl_pathc; i++) (void)dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
  globfree(&found);
}

/* Opens a file. If it exists but does not load, `why` gets the loader's message. */
static void *try_file(const char *path, char *why, size_t size) {
  load_builtins_beside(path);
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle) return handle;
  const char *message = dlerror();
  if (strchr(path, '/') && !access(path, F_OK)) snprintf(why, size, "%.*s", (int)size - 1, message ? message : path);
  return NULL;
}

/* Tries the newest first: a glob's matches are sorted. */
static void *try_pattern(const char *base, const char *pattern, const char *soname, char *why, size_t size) {
  char path[MAX_PATH_BYTES];
  if (snprintf(path, sizeof path, "%s/%s/%s", base, pattern, soname) >= (int)sizeof path) return NULL;
  glob_t found;
  void *handle = NULL;
  if (glob(path, 0, NULL, &found)) return NULL;
  for (size_t i = found.gl_pathc; i-- > 0 && !handle;) handle = try_file(found.gl_pathv[i], why, size);
  globfree(&found);
  return handle;
}

/* FOLDER/bin/python3 has its wheels in FOLDER/lib. */
static void *try_python(char *python, const char *soname, char *why, size_t size) {
  char *slash = strrchr(python, '/');
  if (!slash) return NULL;
  *slash = 0;
  return try_pattern(python, "../lib/python3*/site-packages/nvidia/*/lib", soname, why, size);
}

/* Tries the wheels of the Pythons in $PATH and, for a symbolic link, of the Python that it points to. */
static void *try_pythons(const char *soname, char *why, size_t size) {
  const char *list = getenv("PATH");
  void *handle = NULL;
  while (list && *list && !handle) {
    size_t length = strcspn(list, ":");
    char python[MAX_PATH_BYTES], target[MAX_PATH_BYTES];
    if (length && snprintf(python, sizeof python, "%.*s/python3", (int)length, list) < (int)sizeof python &&
        !access(python, X_OK)) {
      const ssize_t linked = readlink(python, target, sizeof target - 1);
      handle = try_python(python, soname, why, size);
      if (!handle && linked > 0 && *target == '/') {
        target[linked] = 0;
        handle = try_python(target, soname, why, size);
      }
    }
    list += length + (list[length] == ':');
  }
  return handle;
}

static void *try_usual(const char *soname, char *why, size_t size) {
  void *handle = try_file(soname, why, size);
  for (size_t i = 0; i < GH_COUNT(usual) && !handle; i++) {
    const char *base = *usual[i].variable ? getenv(usual[i].variable) : "";
    if (base && (*base || !*usual[i].variable)) handle = try_pattern(base, usual[i].pattern, soname, why, size);
  }
  return handle ? handle : try_pythons(soname, why, size);
}

static void *open_anywhere(const char *soname, char *why, size_t size) {
  const char *folders = getenv("GH_CUDA_LIBRARIES");
  if (!folders || !*folders) return try_usual(soname, why, size);
  void *handle = NULL;
  for (;;) {
    size_t length = strcspn(folders, ":");
    char path[MAX_PATH_BYTES];
    if (!length)
      handle = try_usual(soname, why, size);
    else if (snprintf(path, sizeof path, "%.*s/%s", (int)length, folders, soname) < (int)sizeof path)
      handle = try_file(path, why, size);
    if (handle || !folders[length]) return handle;
    folders += length + 1;
  }
}

/* ---- opening ---- */

/* A library stays open even if it cannot be used: unloading a driver is not safe. */
static bool open_version(const library *l, version *v) {
  if (v->tried) return v->open;
  v->tried = true;
  void *handle = open_anywhere(v->soname, v->why_not, sizeof v->why_not);
  if (!handle) return false;
  for (const symbol *s = l->symbols; s->name; s++) {
    void *address = dlsym(handle, s->name);
    if (!address && !s->optional) {
      snprintf(v->why_not, sizeof v->why_not, "%s lacks %s", v->soname, s->name);
      return false;
    }
    memcpy((char *)&v->api + s->at, &address, sizeof address);
  }
  gh_debug("cuda: %s is open", v->soname);
  return v->open = true;
}

/* Opens the newest version that works, of at most CUDA `most`. */
static version *open_library(gh_error *err, library *l, int most) {
  char names[128] = "", why[256] = "";
  size_t used = 0;
  for (int i = 0; i < MAX_VERSIONS && l->versions[i].soname; i++) {
    version *v = &l->versions[i];
    if (v->cuda > most) continue;
    if (open_version(l, v)) return v;
    if (*v->why_not && !*why) snprintf(why, sizeof why, "%s", v->why_not);
    if (used < sizeof names)
      used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? " or " : "", v->soname);
  }
  const char *folders = getenv("GH_CUDA_LIBRARIES");
  if (*why)
    gh_fail(err, GH_ERROR_UNSUPPORTED, "%s cannot be used: %s", l->what, why);
  else if (folders && *folders)
    gh_fail(err, GH_ERROR_UNSUPPORTED, "%s was not found: no %s in GH_CUDA_LIBRARIES (%s)", l->what, names, folders);
  else
    gh_fail(err, GH_ERROR_UNSUPPORTED, "%s was not found: no %s", l->what, names);
  return NULL;
}

/* ---- the driver ---- */

gh_status gh_cuda_no_device(gh_error *err) {
  const char *visible = getenv("CUDA_VISIBLE_DEVICES");
  if (!visible) return gh_fail(err, GH_ERROR_DEVICE, "the NVIDIA driver has no device");
  return gh_fail(err, GH_ERROR_DEVICE, "the NVIDIA driver has no device where CUDA_VISIBLE_DEVICES is \"%s\"", visible);
}

static gh_status start_driver(gh_error *err, gh_cuda_driver *cu) {
  unsigned code = cu->cuInit(0);
  const char *name = NULL;
  if (code == GH_CU_NO_DEVICE) return gh_cuda_no_device(err);
  if (code != GH_CU_SUCCESS) {
    if (cu->cuGetErrorName(code, &name) || !name) name = "CUDA error";
    return gh_fail(err, GH_ERROR_DEVICE, "the NVIDIA driver does not start: %s (%u)", name, code);
  }
  int found = 0;
  if (cu->cuDriverGetVersion(&found) || found < OLDEST_DRIVER)
    return gh_fail(err, GH_ERROR_DEVICE, "the NVIDIA driver is too old: it supports CUDA %d.%d, 11.4 (470) is needed",
                   found / 1000, found % 1000 / 10);
  cu->version = found;
  return GH_OK;
}

static gh_error failed; /* why the driver cannot be used */
static bool started;

bool gh_cuda_driver_found(void) {
  gh_error ignored;
  pthread_mutex_lock(&lock);
  const bool found = started ? !failed.status : open_library(&ignored, &driver, 0) != NULL;
  pthread_mutex_unlock(&lock);
  return found;
}

void gh_cuda_driver_refuse(const char *why) {
  pthread_mutex_lock(&lock);
  started = true;
  gh_fail(&failed, GH_ERROR_DEVICE, "%s", why);
  pthread_mutex_unlock(&lock);
}

const gh_cuda_driver *gh_cuda_driver_get(gh_error *err) {
  pthread_mutex_lock(&lock);
  version *v = NULL;
  if (started) {
    v = failed.status ? NULL : &driver.versions[0];
  } else {
    started = true;
    v = open_library(&failed, &driver, 0);
    if (v && start_driver(&failed, &v->api.driver)) v = NULL;
    if (!v) failed.status = GH_ERROR_DEVICE;
  }
  if (!v && err) *err = failed;
  pthread_mutex_unlock(&lock);
  return v ? &v->api.driver : NULL;
}

/* ---- the libraries ---- */

static version *get(gh_error *err, library *l, int arch) {
  const gh_cuda_driver *cu = gh_cuda_driver_get(err);
  if (!cu) return NULL;
  int most = cu->version / 1000;
  if (arch < OLDEST_IN_13) most = GH_MIN(most, 12);
  pthread_mutex_lock(&lock);
  version *v = open_library(err, l, most);
  pthread_mutex_unlock(&lock);
  return v;
}

const gh_nvrtc *gh_nvrtc_get(gh_error *err, int arch) {
  version *v = get(err, &nvrtc, arch);
  if (!v) return NULL;
  gh_nvrtc *api = &v->api.nvrtc;
  if (!api->major && api->nvrtcVersion(&api->major, &api->minor)) {
    gh_fail(err, GH_ERROR_UNSUPPORTED, "NVRTC cannot be used: %s does not report its version", v->soname);
    return NULL;
  }
  return api;
}

const gh_cublaslt *gh_cublaslt_get(gh_error *err, int arch) {
  version *v = get(err, &lt, arch);
  return v ? &v->api.lt : NULL;
}

const gh_cufft *gh_cufft_get(gh_error *err, int arch) {
  version *v = get(err, &fft, arch);
  return v ? &v->api.fft : NULL;
}

const gh_nvml *gh_nvml_get(gh_error *err) {
  static bool ready;
  version *v = get(err, &nvml, OLDEST_IN_13);
  pthread_mutex_lock(&lock);
  if (v && !ready && v->api.nvml.nvmlInit_v2()) {
    gh_fail(err, GH_ERROR_UNSUPPORTED, "NVML does not start");
    v = NULL;
  }
  ready = ready || v;
  pthread_mutex_unlock(&lock);
  return v ? &v->api.nvml : NULL;
}

const gh_nccl *gh_nccl_get(gh_error *err) {
  version *v = get(err, &nccl, OLDEST_IN_13);
  return v ? &v->api.nccl : NULL;
}
