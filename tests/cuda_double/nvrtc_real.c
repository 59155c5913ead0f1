/* Opens NVIDIA's own NVRTC next to its double. */
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

/* A wheel's library only finds its builtins library if that is already loaded. */
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

/* Turns --gpu-architecture=sm_90 into compute_90: the double cannot run machine code. */
static void make_virtual(const char *option, char *text, size_t size) {
  const char *at = strstr(option, "=sm_");
  if (at)
    snprintf(text, size, "%.*s=compute_%s", (int)(at - option), option, at + 4);
  else
    snprintf(text, size, "%s", option);
}

/* The source. For a program with the option GH_DOUBLE_EDIT_FOR, every GH_DOUBLE_EDIT_FROM is replaced by
 * GH_DOUBLE_EDIT_TO. The caller frees. */
static char *edited(const char *source, int count, const char *const *option) {
  const char *from = getenv("GH_DOUBLE_EDIT_FROM"), *to = getenv("GH_DOUBLE_EDIT_TO"), *at;
  const char *wanted = getenv("GH_DOUBLE_EDIT_FOR");
  bool is_for = false;
  for (int i = 0; wanted && i < count; i++) is_for = is_for || !strcmp(option[i], wanted);
  if (!is_for || !from || !*from || !to) return strdup(source);
  char *text = NULL;
  size_t size;
  FILE *file = open_memstream(&text, &size);
  if (!file) return NULL;
  for (; (at = strstr(source, from)); source = at + strlen(from))
    fprintf(file, "%.*s%s", (int)(at - source), source, to);
  fputs(source, file);
  fclose(file);
  return text;
}

static void take_log(nvrtcProgram program, char *log, size_t log_size) {
  size_t size = 0;
  if (real.nvrtcGetProgramLogSize(program, &size)) return;
  char *text = calloc(size + 1, 1);
  if (text && !real.nvrtcGetProgramLog(program, text)) snprintf(log, log_size, "%s", text);
  free(text);
}

static unsigned compile(const char *source, int count, const char *const *option, char **ptx, char *log,
                        size_t log_size) {
  nvrtcProgram program;
  size_t size = 0;
  unsigned code = real.nvrtcCreateProgram(&program, source, "kernels", 0, NULL, NULL);
  if (code) return code;
  code = real.nvrtcCompileProgram(program, count, option);
  take_log(program, log, log_size);
  if (!code) code = real.nvrtcGetPTXSize(program, &size);
  if (!code && !(*ptx = malloc(size + 1))) code = GH_NVRTC_COMPILATION;
  if (!code) code = real.nvrtcGetPTX(program, *ptx);
  real.nvrtcDestroyProgram(&program);
  return code;
}

/* The programs compiled by this process: its tests open a device more than once. */
typedef struct known {
  struct known *next;
  char *source, *options, *ptx;
} known;
static known *all_known;

unsigned real_nvrtc_compile(const char *source, int count, const char *const *option, char **ptx, char *log,
                            size_t log_size) {
  char texts[MAX_OPTIONS][128], joined[MAX_OPTIONS * 128] = "";
  const char *options[MAX_OPTIONS];
  if (count > MAX_OPTIONS) return GH_NVRTC_COMPILATION;
  for (int i = 0; i < count; i++) {
    make_virtual(option[i], texts[i], sizeof texts[i]);
    options[i] = texts[i];
    strcat(strcat(joined, texts[i]), " ");
  }
  char *text = edited(source, count, options);
  if (!text) return GH_NVRTC_COMPILATION;
  known *k = all_known;
  while (k && (strcmp(k->options, joined) || strcmp(k->source, text))) k = k->next;
  if (!k && (k = calloc(1, sizeof *k))) {
    const unsigned code = compile(text, count, options, &k->ptx, log, log_size);
    if (code || !(k->options = strdup(joined))) {
      free(k);
      free(text);
      return code ? code : GH_NVRTC_COMPILATION;
    }
    k->source = text;
    k->next = all_known;
    all_known = k;
    text = NULL;
  }
  free(text);
  *ptx = k ? strdup(k->ptx) : NULL;
  return *ptx ? GH_NVRTC_SUCCESS : GH_NVRTC_COMPILATION;
}
