/* NVRTC's double: the host's C++ compiler turns a CUDA program into a shared object; prelude.hpp defines CUDA's words.
 * Programs that it cannot emulate (inline PTX) fail to compile. */
#include "double.h"

#include <ctype.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image.h"
#include "nvrtc_real.h"

GH_CUDA_NVRTC(DECLARE)

enum { OUT_OF_MEMORY = 1, PROGRAM_CREATION_FAILURE = 2, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5 };
enum { MAX_ARGUMENTS = 64 };
#define MAX_LOG ((size_t)64 << 10)

struct _nvrtcProgram {
  char *source;
  char log[MAX_LOG];
  char *cubin, *ptx; /* one of them once compiled; ptx ends with 0 */
  size_t cubin_bytes;
};

extern char **environ;

/* ---- files and the compiler ---- */

typedef struct workshop {
  char folder[64];
  char path[96]; /* the last one made by file_in */
} workshop;

static const char *file_in(workshop *w, const char *name) {
  snprintf(w->path, sizeof w->path, "%s/%s", w->folder, name);
  return w->path;
}

static char *read_all(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) return NULL;
  fseek(file, 0, SEEK_END);
  long length = ftell(file);
  rewind(file);
  char *bytes = length < 0 ? NULL : malloc((size_t)length + 1);
  if (bytes && fread(bytes, 1, (size_t)length, file) == (size_t)length) {
    bytes[length] = 0;
    *size = (size_t)length;
  } else {
    free(bytes);
    bytes = NULL;
  }
  fclose(file);
  return bytes;
}

static void append_log(nvrtcProgram p, const char *text) {
  size_t used = strlen(p->log);
  snprintf(p->log + used, sizeof p->log - used, "%s", text);
}

/* The compiler's output goes to the log. */
static unsigned run_compiler(nvrtcProgram p, workshop *w, const char *const *arguments) {
  posix_spawn_file_actions_t actions;
  pid_t child;
  int status = -1;
  char said[sizeof w->path];
  snprintf(said, sizeof said, "%s", file_in(w, "said"));
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 2, said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  int error = posix_spawnp(&child, arguments[0], &actions, NULL, (char *const *)arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error) {
    append_log(p, "the double of NVRTC needs a C++ compiler: there is no program c++\n");
    return GH_NVRTC_COMPILATION;
  }
  while (waitpid(child, &status, 0) < 0) {}
  size_t size;
  char *text = read_all(said, &size);
  if (text) append_log(p, text);
  free(text);
  return status ? GH_NVRTC_COMPILATION : GH_NVRTC_SUCCESS;
}

/* ---- options ---- */

/* Options that request the double's default behaviour. */
static const char *const harmless[] = {"--std=c++17",      "-std=c++17",  "--device-as-default-execution-space",
                                       "-default-device",  "--ftz=false", "--prec-div=true",
                                       "--prec-sqrt=true", "--restrict",  "--generate-line-info",
                                       "-lineinfo",        NULL};

typedef struct options {
  int arch;
  bool ptx, fuse; /* fuse: a product and a sum may become one fma */
  const char *defines[MAX_ARGUMENTS];
  int define_count;
} options;

static bool is_supported(int arch) {
  int archs[64], count = 0;
  if (nvrtcGetNumSupportedArchs(&count) || count > (int)GH_COUNT(archs) || nvrtcGetSupportedArchs(archs)) return false;
  for (int i = 0; i < count; i++)
    if (archs[i] == arch) return true;
  return false;
}

static bool read_arch(options *o, const char *text) {
  o->ptx = !strncmp(text, "compute_", 8);
  if (!o->ptx && strncmp(text, "sm_", 3)) return false;
  o->arch = atoi(strchr(text, '_') + 1);
  return is_supported(o->arch);
}

static bool is_harmless(const char *option) {
  int i = 0;
  while (harmless[i] && strcmp(harmless[i], option)) i++;
  return harmless[i];
}

static unsigned read_options(nvrtcProgram p, options *o, int count, const char *const *option) {
  static const char arch[] = "--gpu-architecture=";
  *o = (options){.fuse = true};
  for (int i = 0; i < count; i++) {
    bool understood = true;
    if (!strncmp(option[i], arch, sizeof arch - 1))
      understood = read_arch(o, option[i] + sizeof arch - 1);
    else if (!strncmp(option[i], "-D", 2) && o->define_count < MAX_ARGUMENTS / 2)
      o->defines[o->define_count++] = option[i];
    else if (!strcmp(option[i], "--fmad=false"))
      o->fuse = false;
    else
      understood = is_harmless(option[i]);
    if (understood) continue;
    append_log(p, "nvrtc: error: invalid or unsupported option ");
    append_log(p, option[i]);
    append_log(p, "\n");
    return INVALID_OPTION;
  }
  return GH_NVRTC_SUCCESS;
}

/* ---- the program ---- */

static bool is_word(const char *at, const char *begin, const char *word) {
  size_t size = strlen(word);
  if (strncmp(at, word, size) || isalnum((unsigned char)at[size]) || at[size] == '_') return false;
  return at == begin || !(isalnum((unsigned char)at[-1]) || at[-1] == '_');
}

static const char *after_brackets(const char *open) {
  int depth = 0;
  do depth += *open == '(' ? 1 : *open == ')' ? -1 : 0;
  while (*open++ && depth);
  return open;
}

/* The end of the kernel's name: `__global__ __launch_bounds__((256)) void name(`. */
static const char *name_end(const char *at) {
  static const char bounds[] = "__launch_bounds__";
  const size_t size = sizeof bounds - 1;
  for (const char *open = strchr(at, '('); open; open = strchr(after_brackets(open), '(')) {
    const char *end = open;
    while (isspace((unsigned char)end[-1])) end--;
    if (strncmp(end - size, bounds, size)) return end;
  }
  return NULL;
}

/* Writes the table's row of every kernel. */
static int write_kernels(FILE *file, const char *text) {
  static const char global[] = "__global__";
  int count = 0;
  for (const char *at = text, *end; (at = strstr(at, global)) && (end = name_end(at + sizeof global)); at = end) {
    const char *name = end;
    while (isalnum((unsigned char)name[-1]) || name[-1] == '_') name--;
    fprintf(file, "GH_DOUBLE_KERNEL(%.*s),\n", (int)(end - name), name);
    count++;
  }
  return count;
}

static unsigned write_program(nvrtcProgram p, workshop *w, int arch) {
  size_t size;
  char *text = read_all(file_in(w, "plain.cpp"), &size);
  FILE *file = text ? fopen(file_in(w, "program.cpp"), "w") : NULL;
  unsigned code = file ? GH_NVRTC_SUCCESS : OUT_OF_MEMORY;
  for (const char *at = text; !code && (at = strstr(at, "asm")); at++)
    if (is_word(at, text, "asm") || !strncmp(at - (at - text >= 2 ? 2 : 0), "__asm", 5)) code = GH_NVRTC_COMPILATION;
  if (code == GH_NVRTC_COMPILATION) append_log(p, "error: the double of NVRTC runs no inline PTX\n");
  if (!code) {
    fprintf(
        file,
        "#include \"prelude.hpp\"\n%s\n#line 1 \"kernels\"\nstatic const gh_double_kernel gh_double_kernels[] = {\n",
        text);
    int count = write_kernels(file, text);
    fprintf(file, "{}};\nGH_DOUBLE_PROGRAM(%u, %d, %d)\n", GH_DOUBLE_VERSION, arch, count);
  }
  if (file && fclose(file)) code = OUT_OF_MEMORY;
  free(text);
  return code;
}

static unsigned preprocess(nvrtcProgram p, workshop *w, const options *o) {
  const char *arguments[MAX_ARGUMENTS] = {"c++",
                                          "-E",
                                          "-w",
                                          "-nostdinc",
                                          "-D__CUDACC__=1",
                                          "-D__CUDACC_RTC__=1",
                                          "-DUNIT_EMULATED"}; /* replaces PTX: cl/gemm_matrix_units.h */
  char source[sizeof w->path], plain[sizeof w->path], arch[64], version[64];
  int n = 7, major = 0, minor = 0;
  nvrtcVersion(&major, &minor);
  snprintf(arch, sizeof arch, "-D__CUDA_ARCH__=%d0", o->arch);
  snprintf(version, sizeof version, "-D__CUDACC_VER_MAJOR__=%d", major);
  snprintf(source, sizeof source, "%s", file_in(w, "source.cpp"));
  snprintf(plain, sizeof plain, "%s", file_in(w, "plain.cpp"));
  FILE *file = fopen(source, "w");
  if (!file) return OUT_OF_MEMORY;
  fputs(p->source, file);
  if (fclose(file)) return OUT_OF_MEMORY;
  for (int i = 0; i < o->define_count; i++) arguments[n++] = o->defines[i];
  arguments[n++] = arch, arguments[n++] = version, arguments[n++] = source, arguments[n++] = "-o", arguments[n] = plain;
  return run_compiler(p, w, arguments);
}

static unsigned compile(nvrtcProgram p, workshop *w, const options *o) {
  char source[sizeof w->path], program[sizeof w->path];
  snprintf(source, sizeof source, "%s", file_in(w, "program.cpp"));
  snprintf(program, sizeof program, "%s", file_in(w, "program.so"));
  const char *arguments[] = {"c++",
                             "-std=c++17",
                             "-O2",
                             "-w",
                             "-march=native",
                             "-fno-exceptions",
                             "-fno-rtti",
                             "-fno-math-errno",
                             "-fvisibility=hidden",
                             "-fPIC",
                             "-shared",
                             o->fuse ? "-ffp-contract=fast" : "-ffp-contract=off",
                             "-I" GH_DOUBLE_FOLDER,
                             source,
                             "-o",
                             program,
                             NULL};
  unsigned code = run_compiler(p, w, arguments);
  if (!code && !(p->cubin = read_all(program, &p->cubin_bytes))) code = OUT_OF_MEMORY;
  return code;
}

static unsigned make_ptx(nvrtcProgram p) {
  size_t head = strlen(GH_DOUBLE_HEAD);
  p->ptx = malloc(head + 2 * p->cubin_bytes + 1);
  if (!p->ptx) return OUT_OF_MEMORY;
  memcpy(p->ptx, GH_DOUBLE_HEAD, head);
  for (size_t i = 0; i < p->cubin_bytes; i++) {
    p->ptx[head + 2 * i] = "0123456789abcdef"[(unsigned char)p->cubin[i] >> 4];
    p->ptx[head + 2 * i + 1] = "0123456789abcdef"[p->cubin[i] & 15];
  }
  p->ptx[head + 2 * p->cubin_bytes] = 0;
  free(p->cubin);
  p->cubin = NULL;
  p->cubin_bytes = 0;
  return GH_NVRTC_SUCCESS;
}

static void clean(workshop *w) {
  static const char *const files[] = {"said", "source.cpp", "plain.cpp", "program.cpp", "program.so"};
  for (size_t i = 0; i < GH_COUNT(files); i++) unlink(file_in(w, files[i]));
  rmdir(w->folder);
}

/* The same text whether PTX or a cubin was requested. */
static unsigned compile_ptx(nvrtcProgram p, int count, const char *const *option) {
  unsigned code = real_nvrtc_compile(p->source, count, option, &p->ptx, p->log, sizeof p->log);
  for (int i = 0; !code && i < count; i++)
    if (strstr(option[i], "=sm_")) {
      p->cubin = p->ptx;
      p->cubin_bytes = strlen(p->ptx) + 1;
      p->ptx = NULL;
    }
  return code;
}

unsigned nvrtcCompileProgram(nvrtcProgram program, int count, const char *const *option) {
  options o;
  workshop w = {.folder = "/tmp/genhance-nvrtc-XXXXXX"};
  unsigned code = double_fault(__func__, GH_NVRTC_COMPILATION);
  if (code) return code;
  if (real_nvrtc()) return compile_ptx(program, count, option);
  code = read_options(program, &o, count, option);
  if (code) return code;
  if (!mkdtemp(w.folder)) return OUT_OF_MEMORY;
  code = preprocess(program, &w, &o);
  if (!code) code = write_program(program, &w, o.arch);
  if (!code) code = compile(program, &w, &o);
  if (!code && o.ptx) code = make_ptx(program);
  clean(&w);
  return code;
}

/* ---- the rest of the interface ---- */

unsigned nvrtcVersion(int *major, int *minor) {
  if (real_nvrtc()) return real_nvrtc()->nvrtcVersion(major, minor);
  long version = double_setting("GH_DOUBLE_NVRTC", 13000);
  *major = (int)(version / 1000);
  *minor = (int)(version % 1000 / 10);
  return double_fault(__func__, INVALID_INPUT);
}

const char *nvrtcGetErrorString(unsigned result) {
  static const char *const names[] = {"NVRTC_SUCCESS",
                                      "NVRTC_ERROR_OUT_OF_MEMORY",
                                      "NVRTC_ERROR_PROGRAM_CREATION_FAILURE",
                                      "NVRTC_ERROR_INVALID_INPUT",
                                      "NVRTC_ERROR_INVALID_PROGRAM",
                                      "NVRTC_ERROR_INVALID_OPTION",
                                      "NVRTC_ERROR_COMPILATION"};
  return result < GH_COUNT(names) ? names[result] : "NVRTC_ERROR unknown";
}

/* GH_DOUBLE_ARCHS is "75 80 90". */
static int list_archs(int *archs) {
  const char *at = getenv("GH_DOUBLE_ARCHS");
  int count = 0;
  if (!at || !*at) at = "75 80 86 89 90 100 120";
  for (char *end;; at = end) {
    long arch = strtol(at, &end, 10);
    if (end == at) return count;
    if (archs) archs[count] = (int)arch;
    count++;
  }
}

unsigned nvrtcGetNumSupportedArchs(int *count) {
  if (real_nvrtc()) return real_nvrtc()->nvrtcGetNumSupportedArchs(count);
  *count = list_archs(NULL);
  return GH_NVRTC_SUCCESS;
}
unsigned nvrtcGetSupportedArchs(int *archs) {
  if (real_nvrtc()) return real_nvrtc()->nvrtcGetSupportedArchs(archs);
  list_archs(archs);
  return GH_NVRTC_SUCCESS;
}

unsigned nvrtcCreateProgram(nvrtcProgram *program, const char *source, const char *name, int headers,
                            const char *const *header, const char *const *include_name) {
  (void)name, (void)header, (void)include_name;
  unsigned code = double_fault(__func__, OUT_OF_MEMORY);
  if (code) return code;
  if (!source || headers) return INVALID_INPUT;
  nvrtcProgram p = calloc(1, sizeof *p);
  if (p) p->source = strdup(source);
  if (!p || !p->source) {
    free(p);
    return PROGRAM_CREATION_FAILURE;
  }
  *program = p;
  return GH_NVRTC_SUCCESS;
}

unsigned nvrtcDestroyProgram(nvrtcProgram *program) {
  if (!*program) return INVALID_PROGRAM;
  free((*program)->source);
  free((*program)->cubin);
  free((*program)->ptx);
  free(*program);
  *program = NULL;
  return GH_NVRTC_SUCCESS;
}

unsigned nvrtcGetProgramLogSize(nvrtcProgram program, size_t *size) {
  *size = strlen(program->log) + 1;
  return GH_NVRTC_SUCCESS;
}
unsigned nvrtcGetProgramLog(nvrtcProgram program, char *log) {
  strcpy(log, program->log);
  return GH_NVRTC_SUCCESS;
}
unsigned nvrtcGetPTXSize(nvrtcProgram program, size_t *size) {
  *size = program->ptx ? strlen(program->ptx) + 1 : 0;
  return program->ptx ? GH_NVRTC_SUCCESS : INVALID_PROGRAM;
}
unsigned nvrtcGetPTX(nvrtcProgram program, char *ptx) {
  if (!program->ptx) return INVALID_PROGRAM;
  strcpy(ptx, program->ptx);
  return double_fault(__func__, INVALID_PROGRAM);
}
/* 0 if PTX was made, as in NVRTC. */
unsigned nvrtcGetCUBINSize(nvrtcProgram program, size_t *size) {
  *size = program->cubin_bytes;
  return GH_NVRTC_SUCCESS;
}
unsigned nvrtcGetCUBIN(nvrtcProgram program, char *cubin) {
  if (!program->cubin) return INVALID_PROGRAM;
  memcpy(cubin, program->cubin, program->cubin_bytes);
  return double_fault(__func__, INVALID_PROGRAM);
}
