/* The driver's double: programs are shared objects (nvrtc.c makes them) or PTX; kernels run on the host (fibers.c,
 * ptx_run.c). */
#include "driver.h"

#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fibers.h"
#include "image.h"
#include "ptx.h"

struct CUfunc_st {
  CUfunction next;
  CUmodule module;
  const gh_double_kernel *kernel;
  const ptx_kernel *ptx; /* alternative to the above */
};

struct CUmod_st {
  CUmodule next;
  void *library;
  const gh_double_table_t *table;
  ptx_module *ptx; /* replaces both */
  CUcontext context;
  CUfunction functions;
};

static CUmodule modules;

/* ---- images ---- */

/* A device runs code for its own major version and at most its minor one; PTX also for any older architecture. */
static unsigned check_arch(int arch, bool ptx) {
  int device = double_capability();
  bool fits = ptx ? arch <= device : arch / 10 == device / 10 && arch <= device;
  if (fits) return GH_CU_SUCCESS;
  return ptx ? CODE_INVALID_PTX : CODE_NO_BINARY_FOR_GPU;
}

static size_t elf_bytes(const void *image) {
  const Elf64_Ehdr *header = image;
  return header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

/* The shared object's bytes within PTX; the caller frees. */
static char *decode_ptx(const char *text, size_t *size) {
  text += strlen(GH_DOUBLE_HEAD);
  char *bytes = malloc(strlen(text) / 2 + 1);
  *size = 0;
  for (; bytes && hex_digit(text[0]) >= 0 && hex_digit(text[1]) >= 0; text += 2)
    bytes[(*size)++] = (char)(16 * hex_digit(text[0]) + hex_digit(text[1]));
  return bytes;
}

static void *open_bytes(const void *bytes, size_t size) {
  char path[] = "/tmp/genhance-double-XXXXXX";
  int fd = mkstemp(path);
  if (fd < 0) return NULL;
  bool written = write(fd, bytes, size) == (ssize_t)size;
  close(fd);
  void *library = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!library) double_refuse(0, "cannot load a program: %s", written ? dlerror() : "disk full");
  unlink(path);
  return library;
}

static void say_in_log(unsigned options, const unsigned *option, void **value, const char *text) {
  char *log = NULL;
  size_t size = 0;
  for (unsigned i = 0; i < options; i++) {
    if (option[i] == GH_CU_JIT_ERROR_LOG) log = value[i];
    if (option[i] == GH_CU_JIT_ERROR_LOG_BYTES) size = (size_t)value[i];
  }
  if (log && size) snprintf(log, size, "%s", text);
}

static unsigned load_library(CUmodule m, const void *image, const char **why) {
  bool ptx = !strncmp(image, GH_DOUBLE_HEAD, strlen(GH_DOUBLE_HEAD));
  *why = "neither PTX nor a cubin";
  if (!ptx && memcmp(image, ELFMAG, SELFMAG)) return CODE_INVALID_IMAGE;
  size_t size = ptx ? 0 : elf_bytes(image);
  char *decoded = ptx ? decode_ptx(image, &size) : NULL;
  m->library = open_bytes(ptx ? decoded : image, size);
  free(decoded);
  m->table = m->library ? dlsym(m->library, GH_DOUBLE_TABLE) : NULL;
  bool known = m->table && m->table->version == GH_DOUBLE_VERSION;
  *why = known ? "made for another kind of device" : "a broken image";
  return known ? check_arch(m->table->arch, ptx) : CODE_INVALID_IMAGE;
}

static unsigned load_ptx(CUmodule m, const void *image, const char **why) {
  static char text[400];
  *why = text;
  snprintf(text, sizeof text, "no PTX");
  if (!ptx_is(image)) return CODE_INVALID_IMAGE;
  m->ptx = ptx_load(image, text, sizeof text);
  if (!m->ptx) return double_refuse(CODE_INVALID_PTX, "%s", text);
  snprintf(text, sizeof text, "made for another kind of device");
  return check_arch(ptx_arch(m->ptx), true);
}

static void free_module(CUmodule m) {
  if (m->library) dlclose(m->library);
  if (m->ptx) ptx_free(m->ptx);
  free(m);
}

unsigned cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned options, unsigned *option, void **value) {
  ENTER_CONTEXT();
  const char *why;
  CUmodule m = calloc(1, sizeof *m);
  if (!m) return GH_CU_OUT_OF_MEMORY;
  unsigned code = getenv(DOUBLE_REAL_NVRTC) ? load_ptx(m, image, &why) : load_library(m, image, &why);
  if (code) {
    say_in_log(options, option, value, why);
    free_module(m);
    return code;
  }
  m->context = double_current;
  m->next = modules;
  modules = m;
  *module = m;
  return GH_CU_SUCCESS;
}

unsigned cuModuleUnload(CUmodule module) {
  ENTER_CONTEXT();
  unsigned code = double_drain_all();
  for (CUfunction f = module->functions, next; f; f = next) {
    next = f->next;
    free(f);
  }
  CUmodule *link = &modules;
  while (*link != module) link = &(*link)->next;
  *link = module->next;
  free_module(module);
  return code;
}

unsigned cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  ENTER_CONTEXT();
  const gh_double_table_t *t = module->table;
  struct CUfunc_st found = {.next = module->functions, .module = module};
  if (module->ptx) found.ptx = ptx_find(module->ptx, name);
  for (int k = 0; t && k < t->kernel_count; k++)
    if (!strcmp(t->kernels[k].name, name)) found.kernel = &t->kernels[k];
  if (!found.kernel && !found.ptx) return CODE_NOT_FOUND;
  CUfunction f = malloc(sizeof *f);
  if (!f) return GH_CU_OUT_OF_MEMORY;
  *f = found;
  module->functions = f;
  *function = f;
  return GH_CU_SUCCESS;
}

static const char *name_of(CUfunction f) { return f->ptx ? f->ptx->name : f->kernel->name; }
static int count_of(CUfunction f) { return f->ptx ? f->ptx->count : f->kernel->count; }
static size_t size_of(CUfunction f, size_t index) { return f->ptx ? f->ptx->sizes[index] : f->kernel->sizes[index]; }

unsigned cuFuncGetAttribute(int *value, unsigned attribute, CUfunction function) {
  ENTER_CONTEXT();
  if (!function || attribute != GH_CU_FUNCTION_MAX_THREADS) return CODE_INVALID_VALUE;
  const uint32_t *most = function->ptx ? function->ptx->most : (uint32_t[3]){0};
  *value = most[0] ? (int)(most[0] * most[1] * most[2]) : DOUBLE_MAX_BLOCK;
  return GH_CU_SUCCESS;
}

unsigned cuFuncGetParamInfo(CUfunction function, size_t index, size_t *offset, size_t *bytes) {
  ENTER_CONTEXT();
  if (index >= (size_t)count_of(function)) return CODE_INVALID_VALUE;
  *offset = 0;
  for (size_t i = 0; i <= index; i++) {
    *bytes = size_of(function, i);
    *offset = (*offset + *bytes - 1) / *bytes * *bytes;
    if (i < index) *offset += *bytes;
  }
  return GH_CU_SUCCESS;
}

/* ---- launches ---- */

#define MAX_ARGUMENTS 64

typedef struct launch_work {
  CUfunction function;
  double_grid grid;
  uint64_t arguments[MAX_ARGUMENTS];
} launch_work;

static const char *run_library(const launch_work *w) {
  const gh_double_kernel *k = w->function->kernel;
  void *arguments[MAX_ARGUMENTS];
  for (int i = 0; i < k->count; i++) arguments[i] = (void *)&w->arguments[i];
  return double_run_kernel(w->function->module->table, k, w->grid, arguments);
}

static unsigned run_launch(const void *data) {
  const launch_work *w = data;
  const gh_double_kernel *k = w->function->kernel;
  const char *why = getenv("GH_DOUBLE_FAIL_KERNEL"), *name = name_of(w->function);
  if (why && !strcmp(why, name)) return CODE_LAUNCH_FAILED;
  for (int i = 0; k && i < k->count; i++)
    if (k->pointers[i] && w->arguments[i] && !gh_double_is_device((void *)(size_t)w->arguments[i], 1))
      return double_refuse(CODE_ILLEGAL_ADDRESS, "%s: argument %d is not device memory", name, i);
  why = k ? run_library(w) : ptx_run(w->function->ptx, w->grid, w->arguments);
  return why ? double_refuse(CODE_LAUNCH_FAILED, "%s: %s", name, why) : GH_CU_SUCCESS;
}

unsigned cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void **params,
                        void **extra) {
  ENTER_CONTEXT();
  if (!function || function->module->context != double_current) return CODE_INVALID_HANDLE;
  const int count = count_of(function);
  launch_work w = {.function = function, .grid = {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}}};
  uint64_t items = (uint64_t)block_x * block_y * block_z;
  bool fits = grid_x && grid_y && grid_z && grid_x <= INT32_MAX && grid_y <= 65535 && grid_z <= 65535 && items &&
              items <= DOUBLE_MAX_BLOCK && block_z <= 64;
  if (!fits || shared_bytes || extra || count > MAX_ARGUMENTS) return CODE_INVALID_VALUE;
  for (int i = 0; i < count; i++) {
    const size_t size = size_of(function, (size_t)i);
    if (size > 8) return double_refuse(CODE_INVALID_VALUE, "%s: a structure as an argument", name_of(function));
    memcpy(&w.arguments[i], params[i], size);
  }
  return double_put(stream, run_launch, &w, offsetof(launch_work, arguments) + 8 * (size_t)count);
}
