/* What must be settled before this process calls an OpenCL driver for the first time: the environment that drivers
 * read, and whether each driver survives being asked for its devices. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backend/core/ask.h"
#include "backend/opencl/opencl.h"
#include "backend/pci.h"
#include "base/cache.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#define MAX_DRIVERS      16
#define MAX_DEVICES      32
#define FOLDER           "OCL_ICD_VENDORS"
#define USUAL_FOLDER     "/etc/OpenCL/vendors"
#define LEFTOVER_SECONDS 3600
#define MARKER           ".opencl-drivers"

/* ---- the environment ---- */

/* Without PATH, PoCL does not find the linker; a shell would use this one. */
static void set_path(void) {
  const char *path = getenv("PATH");
  if (!path || !*path) setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
}

/* A folder of ours where no cache folder is usable, for example without a home. Others may write beside it, so a link
 * is not followed. */
static char *private_folder(void) {
  gh_error err;
  struct stat facts;
  const char *temporary = getenv("TMPDIR");
  if (!temporary || !*temporary) temporary = "/tmp";
  char *folder = gh_format(&err, "%s/genhance-%ld", temporary, (long)geteuid());
  const bool is_link = folder && !lstat(folder, &facts) && S_ISLNK(facts.st_mode);
  if (folder && !is_link && gh_cache_is_private(folder)) return folder;
  free(folder);
  return NULL;
}

/* PoCL leaves two empty files in its cache when it builds a program from source, also one that it has kept. After an
 * hour no build uses them. */
static gh_status remove_leftover(gh_error *err, void *context, const char *name, int folder_fd, const char *entry) {
  struct stat facts;
  (void)err, (void)context, (void)name;
  if (gh_starts_with(entry, "tempfile_") && !fstatat(folder_fd, entry, &facts, AT_SYMLINK_NOFOLLOW) &&
      S_ISREG(facts.st_mode) && !facts.st_size && facts.st_mtime < time(NULL) - LEFTOVER_SECONDS)
    unlinkat(folder_fd, entry, 0);
  return GH_OK;
}

static void remove_leftovers(const char *folder) {
  gh_error ignored;
  gh_folder_walk(&ignored, folder, false, remove_leftover, NULL, NULL);
}

/* PoCL loads the kernels of its cache as shared libraries, and checks nothing. So its cache must be as private as ours,
 * and lies below ours unless the user chose another; where no folder is, PoCL gets one that it cannot use. */
static void set_pocl_cache(void) {
  gh_error err;
  const char *given = getenv("POCL_CACHE_DIR");
  if (given && *given && gh_cache_is_private(given)) {
    remove_leftovers(given);
    return;
  }
  char *own = gh_cache_folder();
  if (!own) own = private_folder();
  char *folder = own ? gh_path_join(&err, own, "pocl") : NULL;
  const bool usable = folder && gh_cache_is_private(folder);
  setenv("POCL_CACHE_DIR", usable ? folder : "/dev/null/pocl", 1);
  if (usable) remove_leftovers(folder);
  free(folder);
  free(own);
}

/* clFFT's kernels have warnings, whose number PoCL's compiler writes to standard error. Ours have none: the tests keep
 * the warnings, which are errors there (run-tests). */
static void silence_pocl(void) { setenv("POCL_EXTRA_BUILD_FLAGS", "-w", 0); }

/* ---- the question ---- */

enum { LISTING, COMPILING }; /* its stages */

typedef struct gh_driver {
  char *file;  /* the .icd file; NULL: all drivers together */
  char *alone; /* a folder with only that file; NULL: the environment stays as it is */
  char *cache; /* an empty cache for PoCL; NULL: kernels need not be tried */
} gh_driver;

static bool linker_is_known(void) {
  const char *path = getenv("PATH");
  while (path && *path) {
    char file[512];
    const size_t length = strcspn(path, ":");
    snprintf(file, sizeof file, "%.*s/ld", (int)length, path);
    if (!access(file, X_OK)) return true;
    path += length + (path[length] == ':');
  }
  return false;
}

static void run_kernel(cl_platform_id platform, cl_device_id device) {
  const char *source = "__kernel void one(__global int *x) { x[get_global_id(0)] = 1; }";
  const size_t size = 1;
  cl_int code;
  cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)platform, 0};
  cl_context context = clCreateContext(properties, 1, &device, NULL, NULL, &code);
  cl_command_queue queue = context ? clCreateCommandQueue(context, device, 0, &code) : NULL;
  cl_program program = queue ? clCreateProgramWithSource(context, 1, &source, NULL, &code) : NULL;
  if (!program || clBuildProgram(program, 1, &device, "", NULL, NULL) != CL_SUCCESS) _exit(1);
  cl_kernel kernel = clCreateKernel(program, "one", &code);
  cl_mem x = clCreateBuffer(context, CL_MEM_READ_WRITE, 4, NULL, &code);
  if (clSetKernelArg(kernel, 0, sizeof x, (void *)&x) ||
      clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &size, &size, 0, NULL, NULL) || clFinish(queue))
    _exit(1);
}

/* What describe.c asks of a device, so that a driver fails here if it fails there. */
static void ask_device(cl_device_id device) {
  static const cl_device_info questions[] = {CL_DEVICE_NAME,
                                             CL_DRIVER_VERSION,
                                             CL_DEVICE_TYPE,
                                             CL_DEVICE_AVAILABLE,
                                             CL_DEVICE_COMPILER_AVAILABLE,
                                             CL_DEVICE_MAX_COMPUTE_UNITS,
                                             CL_DEVICE_GLOBAL_MEM_SIZE,
                                             CL_DEVICE_MAX_MEM_ALLOC_SIZE,
                                             CL_DEVICE_LOCAL_MEM_SIZE,
                                             CL_DEVICE_MAX_WORK_GROUP_SIZE,
                                             CL_DEVICE_MEM_BASE_ADDR_ALIGN};
  char answer[1024];
  for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++)
    clGetDeviceInfo(device, questions[i], sizeof answer, answer, NULL);
}

/* The library in a .icd file: its first line. */
static void read_library(char *out, size_t size, const char *file) {
  FILE *opened = file && gh_path_is_file(file) ? fopen(file, "re") : NULL;
  out[0] = 0;
  if (opened && !fgets(out, (int)size, opened)) out[0] = 0;
  if (opened) fclose(opened);
  out[strcspn(out, "\r\n")] = 0;
}

/* Why a driver by itself has no platform: the loader skips a library that does not load, without a word. */
static void explain_platform(gh_answer *answer, const char *file, cl_int code) {
  char library[200];
  read_library(library, sizeof library, file);
  if (!file || !*library) return;
  if (dlopen(library, RTLD_NOW | RTLD_LOCAL)) {
    snprintf(answer->text, sizeof answer->text, "loads, but offers no platform (code %d)", (int)code);
    return;
  }
  const char *reason = dlerror();
  snprintf(answer->text, sizeof answer->text, "cannot be loaded: %.200s", reason ? reason : library);
}

/* In a process of its own: what listing devices calls, and, without a linker, one kernel of a driver that needs it. */
static void question(void *context, gh_answer *answer) {
  const gh_driver *driver = context;
  cl_platform_id platforms[MAX_DRIVERS];
  cl_uint platform_count = 0, device_count = 0;
  if (driver->alone) setenv(FOLDER, driver->alone, 1);
  if (driver->cache) setenv("POCL_CACHE_DIR", driver->cache, 1);
  cl_int code = clGetPlatformIDs(MAX_DRIVERS, platforms, &platform_count);
  if (code != CL_SUCCESS || !platform_count) {
    explain_platform(answer, driver->file, code);
    return;
  }
  for (cl_uint p = 0; p < platform_count && p < MAX_DRIVERS; p++) {
    char name[128] = "";
    cl_device_id devices[MAX_DEVICES];
    cl_uint count = 0;
    answer->stage = LISTING;
    clGetPlatformInfo(platforms[p], CL_PLATFORM_NAME, sizeof name - 1, name, NULL);
    const bool links = gh_cl_quirks_of(name, "", "").linker;
    code = clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MAX_DEVICES, devices, &count);
    if (code != CL_SUCCESS || !count) continue;
    device_count += count;
    for (cl_uint i = 0; i < count && i < MAX_DEVICES; i++) ask_device(devices[i]);
    answer->stage = COMPILING;
    if (driver->cache && links) run_kernel(platforms[p], devices[0]);
  }
  if (!device_count) snprintf(answer->text, sizeof answer->text, "loads, but has no device (code %d)", (int)code);
}

/* ---- which drivers there are ---- */

/* Their .icd files, as the loader finds them; none where it may look elsewhere. */
static void find_files(gh_strings *files) {
  gh_error err;
  gh_strings names = {0};
  const char *folder = getenv(FOLDER), *others = getenv("OCL_ICD_FILENAMES");
  if (others && *others) return;
  if (!folder || !*folder) folder = USUAL_FOLDER;
  if (gh_path_is_file(folder)) gh_strings_add(&err, files, folder);
  if (gh_path_is_folder(folder)) gh_folder_list(&err, &names, folder, false);
  for (size_t i = 0; i < names.count && files->count < MAX_DRIVERS; i++) {
    char *path = gh_ends_with(names.items[i], ".icd") ? gh_path_join(&err, folder, names.items[i]) : NULL;
    char *whole = path ? realpath(path, NULL) : NULL;
    if (whole) gh_strings_add(&err, files, whole);
    free(whole);
    free(path);
  }
  gh_strings_free(&names);
}

/* "/etc/OpenCL/vendors/pocl.icd (libpocl.so.2)" */
static void name_driver(char *out, size_t size, const char *file) {
  char library[200];
  read_library(library, sizeof library, file);
  snprintf(out, size, "%s (%.100s)", file ? file : "an OpenCL driver", library[0] ? library : "unknown library");
}

/* ---- the answers ---- */

static char failure[360]; /* why no driver may be called; "": some may */
static char idle[1024];   /* a line for each driver that answers and has no device */

const char *gh_cl_drivers_idle(void) { return idle; }

/* The page that tells what such a driver needs. */
static const char *page_of(const char *name) {
  static const struct {
    const char *part;
    unsigned vendor;
  } parts[] = {{"amdocl", GH_PCI_AMD}, {"igdrcl", GH_PCI_INTEL}, {"intelocl", GH_PCI_INTEL}, {"nvidia", GH_PCI_NVIDIA}};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    if (strstr(name, parts[i].part)) return gh_vendor_page(parts[i].vendor);
  return gh_pci_page();
}

static void note_idle(const gh_driver *driver, const gh_asked *asked) {
  char name[240];
  size_t used = strlen(idle);
  if (!driver->file || !asked->answer || !asked->answer->text[0] || used + 1 >= sizeof idle) return;
  name_driver(name, sizeof name, driver->file);
  snprintf(idle + used, sizeof idle - used, "%sopencl: %s: the driver %s; see %s", used ? "\n" : "", name,
           asked->answer->text, page_of(name));
}

/* Makes the loader see only these drivers. It reads the folder at the first call, which is here. */
static void use_only(const gh_driver *drivers, const bool *good, size_t count, const char *work) {
  gh_error err;
  const char *before = getenv(FOLDER);
  char *kept = before ? gh_strdup(&err, before) : NULL, *folder = gh_path_join(&err, work, "good");
  cl_uint ignored;
  bool made = folder && !mkdir(folder, 0700);
  for (size_t i = 0; i < count && made; i++) {
    char *link = good[i] ? gh_format(&err, "%s/%02zu.icd", folder, i) : NULL; /* in the same order */
    if (link) made = !symlink(drivers[i].file, link);
    free(link);
  }
  if (made) {
    setenv(FOLDER, folder, 1);
    clGetPlatformIDs(0, NULL, &ignored);
    if (kept)
      setenv(FOLDER, kept, 1);
    else
      unsetenv(FOLDER);
  } else {
    snprintf(failure, sizeof failure, "a driver fails, and no folder can be made for the others");
  }
  free(folder);
  free(kept);
}

static void judge(const gh_driver *drivers, gh_asked *asked, size_t count, double seconds, const char *work) {
  bool good[MAX_DRIVERS];
  size_t fit = 0;
  char text[sizeof failure] = "";
  for (size_t i = 0; i < count; i++) {
    char name[128], how[80];
    good[i] = gh_ask_answered(&asked[i], seconds, how, sizeof how);
    fit += good[i];
    if (good[i]) note_idle(&drivers[i], &asked[i]);
    if (good[i]) continue;
    const bool linking = asked[i].answer->stage == COMPILING && drivers[i].cache;
    name_driver(name, sizeof name, drivers[i].file);
    snprintf(text, sizeof text, "%s: the driver %s %s%s", name, how,
             linking ? "while it compiles: it needs the linker ld in PATH" : "while its devices are listed",
             asked[i].in_time ? "" : " (GH_DRIVER_WAIT: seconds)");
    if (count > 1) gh_warn("opencl: %s; it is not used", text);
  }
  if (!fit)
    snprintf(failure, sizeof failure, "%s", text);
  else if (fit < count)
    use_only(drivers, good, count, work);
}

static void prepare_driver(gh_driver *driver, const gh_strings *files, size_t index, const char *work,
                           bool try_kernel) {
  gh_error err;
  char *link = NULL;
  *driver = (gh_driver){0};
  if (index < files->count) driver->file = gh_strdup(&err, files->items[index]);
  if (try_kernel) driver->cache = gh_format(&err, "%s/cache%zu", work, index);
  if (files->count < 2) return;
  driver->alone = gh_format(&err, "%s/driver%zu", work, index);
  if (driver->alone) link = gh_path_join(&err, driver->alone, gh_path_name(files->items[index]));
  if (!link || mkdir(driver->alone, 0700) || symlink(files->items[index], link)) {
    free(driver->alone);
    driver->alone = NULL;
  }
  free(link);
}

/* All drivers at once, each in its own process. False: they could not be asked. */
static bool ask(const gh_strings *files, bool try_kernel) {
  gh_error err;
  gh_driver drivers[MAX_DRIVERS];
  gh_asked asked[MAX_DRIVERS];
  const char *temporary = getenv("TMPDIR");
  const double seconds = gh_ask_seconds();
  char *work = gh_format(&err, "%s/genhance-drivers-XXXXXX", temporary && *temporary ? temporary : "/tmp");
  const size_t count = files->count ? files->count : 1;
  const bool ready = work && ((count == 1 && !try_kernel) || mkdtemp(work));
  if (ready) {
    for (size_t i = 0; i < count; i++) prepare_driver(&drivers[i], files, i, work, try_kernel);
    for (size_t i = 0; i < count; i++) gh_ask_start(&asked[i], question, &drivers[i]);
    gh_ask_wait(asked, count, seconds);
    judge(drivers, asked, count, seconds, work);
    for (size_t i = 0; i < count; i++) {
      gh_ask_free(&asked[i]);
      free(drivers[i].file);
      free(drivers[i].alone);
      free(drivers[i].cache);
    }
    gh_folder_remove(&err, work);
  }
  free(work);
  return ready;
}

static bool ask_again;

static void prepare(void) {
  gh_strings files = {0};
  set_path();
  silence_pocl();
  set_pocl_cache();
  if (!gh_ask_possible()) return; /* other threads may have called drivers already */
  find_files(&files);
  const bool try_kernel = !linker_is_known();
  if (ask_again || try_kernel || !gh_ask_answered_before(MARKER, &files)) {
    const bool asked = ask(&files, try_kernel);
    if (asked && !failure[0]) gh_ask_remember(MARKER, &files);
  }
  gh_strings_free(&files);
}

const char *gh_cl_drivers_prepare(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, prepare);
  return failure[0] ? failure : NULL;
}

void gh_cl_drivers_ask_again(void) { ask_again = true; }
