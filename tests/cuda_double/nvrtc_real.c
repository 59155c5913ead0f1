/* Opens NVIDIA's own NVRTC beside the double of it. */
#include "nvrtc_real.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"

#define MAX_OPTIONS 64

static gh_nvrtc real;

static void *need(void *library, const char *path, const char *name) {
  void *symbol = library ? dlsym(library, name) : NULL;
  if (symbol) return symbol;
  double_refuse(0, DOUBLE_REAL_NVRTC " is %s: %s", path, dlerror());
  abort();
}

/* A wheel's library does not find its own second half, unless that is loaded already. */
static void open_builtins(const char *path) {
  char pattern[4096];
  glob_t found;
  const char *end = strrchr(path, '/');
  snprintf(pattern, sizeof pattern, "%.*slibnvrtc-builtins.so.*", end ? (int)(end + 1 - path) : 0, path);
  if (!glob(pattern, 0, NULL, &found)) {
    for (size_t i = 0; i < found.gl_pathc; i++) dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&found);
  }
}

const gh_nvrtc *real_nvrtc(void) {
  const char *path = getenv(DOUBLE_REAL_NVRTC);
  if (!path || !*path) return NULL;
  if (real.nvrtcVersion) return &real;
  open_builtins(path);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
#define FIND(result, name, params) *(void **)&real.name = need(library, path, #name);
  GH_CUDA_NVRTC(FIND)
#undef FIND
  return &real;
}

/* --gpu-architecture=sm_90 as compute_90: machine code is nothing that the double can run. */
static void make_virtual(const char *option, char *text, size_t size) {
  const char *at = strstr(option, "=sm_");
  if (at)
    snprintf(text, size, "%.*s=compute_%s", (int)(at - option), option, at + 4);
  else
    snprintf(text, size, "%s", option);
}

static void take_log(nvrtcProgram program, char *log, size_t log_size) {
  size_t size = 0;
  if (real.nvrtcGetProgramLogSize(program, &size)) return;
  char *text = calloc(size + 1, 1);
  if (text && !real.nvrtcGetProgramLog(program, text)) snprintf(log, log_size, "%s", text);
  free(text);
}

unsigned real_nvrtc_compile(const char *source, int count, const char *const *option, char **ptx, char *log,
                            size_t log_size) {
  char text[MAX_OPTIONS][128];
  const char *options[MAX_OPTIONS];
  nvrtcProgram program;
  size_t size = 0;
  if (count > MAX_OPTIONS) return GH_NVRTC_COMPILATION;
  for (int i = 0; i < count; i++) {
    make_virtual(option[i], text[i], sizeof text[i]);
    options[i] = text[i];
  }
  unsigned code = real.nvrtcCreateProgram(&program, source, "kernels", 0, NULL, NULL);
  if (code) return code;
  code = real.nvrtcCompileProgram(program, count, options);
  take_log(program, log, log_size);
  if (!code) code = real.nvrtcGetPTXSize(program, &size);
  if (!code && !(*ptx = malloc(size + 1))) code = GH_NVRTC_COMPILATION;
  if (!code) code = real.nvrtcGetPTX(program, *ptx);
  real.nvrtcDestroyProgram(&program);
  return code;
}
