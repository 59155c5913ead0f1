/* A preloaded library that makes chosen calls of a program fail, so that tests can show what the program does then.
 *
 *   LD_PRELOAD=build/fault_inject.so GH_FAULT_CALLS=read GH_FAULT_AT=3 GH_FAULT_PATH=images/ build/genhance train ...
 *
 * GH_FAULT_CALLS   the classes of calls, separated by commas; they share one count:
 *                    alloc   malloc, calloc, realloc, reallocarray, posix_memalign, aligned_alloc
 *                    open    open, openat, fopen, opendir, fdopendir
 *                    read    read          pread   pread
 *                    write   write, pwrite fsync   fsync, fdatasync
 *                    rename  rename, renameat      mkdir   mkdir, mkdirat
 *                    unlink  unlink, unlinkat, rmdir
 *                    stat    stat, lstat, fstat, fstatat    readdir  readdir
 *                    mmap    mmap of a file        thread  pthread_create
 * GH_FAULT_AT      which of the matching calls, 1 is the first: "5"; "5-7"; "5+" for the fifth and all later ones
 *                  (sticky). Absent: none, the calls are only counted.
 * GH_FAULT_MODE    fail   (the default) the call fails with GH_FAULT_ERRNO and does nothing
 *                  kill   SIGKILL just before the call
 *                  tear   half of a write, then SIGKILL; other calls: as kill
 *                  short  half of a read or a write, and no error; other calls succeed
 *                  bus    a mapping whose second half raises SIGBUS, as of a file that was truncated or has a bad
 *                         sector; other calls succeed
 * GH_FAULT_ERRNO   a name (EIO, ENOMEM, EMFILE, ENOENT, ESTALE, ENOSPC, ...) or a number. The default is ENOMEM for
 *                  alloc and mmap, EMFILE for open, ENOSPC for write, EAGAIN for thread and EIO for the others.
 * GH_FAULT_PATH    only calls on a file whose path, as given or as the kernel knows it, contains this text
 * GH_FAULT_CALLER  only calls from these libraries: parts of their file names, separated by commas; "main" is the
 *                  program itself, "any" everything. The default is "main,libgenhance".
 * GH_FAULT_COUNT   a file that receives "calls N", "faults M" and, for each chosen class, "CLASS N" when the process
 *                  ends, also by `kill` and `tear`
 * GH_FAULT_SITES   a file that receives a line "N CLASS PATH" for the first call of every distinct call stack, to try
 *                  one fault per call site instead of one per call; N counts the calls of that class alone
 * GH_FAULT_LOG     a file that receives a line "N CLASS PATH" for every fault
 *
 * Processes that the program starts run without it. It needs glibc 2.35 and cannot be combined with AddressSanitizer.
 * What stdio writes is not seen, except that fopen is an open. A wrong setting ends the program with 99. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- settings ---- */

enum call { ALLOC, OPEN, READ, PREAD, WRITE, FSYNC, RENAME, MKDIR, UNLINK, STAT, READDIR, MMAP, THREAD, CALLS };

static const struct {
  const char *name;
  int code;
} calls[CALLS] = {
    [ALLOC] = {"alloc", ENOMEM},   [OPEN] = {"open", EMFILE}, [READ] = {"read", EIO},       [PREAD] = {"pread", EIO},
    [WRITE] = {"write", ENOSPC},   [FSYNC] = {"fsync", EIO},  [RENAME] = {"rename", EIO},   [MKDIR] = {"mkdir", EIO},
    [UNLINK] = {"unlink", EIO},    [STAT] = {"stat", EIO},    [READDIR] = {"readdir", EIO}, [MMAP] = {"mmap", ENOMEM},
    [THREAD] = {"thread", EAGAIN},
};

enum mode { FAIL, KILL, TEAR, SHORT, BUS, MODES };
static const char *const modes[MODES] = {"fail", "kill", "tear", "short", "bus"};

static const struct {
  const char *name;
  int code;
} codes[] = {{"EIO", EIO},       {"ENOMEM", ENOMEM}, {"EMFILE", EMFILE}, {"ENFILE", ENFILE}, {"ENOENT", ENOENT},
             {"ESTALE", ESTALE}, {"EACCES", EACCES}, {"EPERM", EPERM},   {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT},
             {"EROFS", EROFS},   {"EAGAIN", EAGAIN}, {"EINTR", EINTR},   {"ENODEV", ENODEV}, {"EBUSY", EBUSY}};

enum { LIST = 16, TEXT = 128, SITES = 1 << 16, FRAMES = 12 };

static struct {
  bool wanted[CALLS], any;
  enum mode mode;
  long first, last; /* 0: no fault */
  int code;         /* 0: the call's own */
  char path[PATH_MAX], callers[LIST][TEXT], count[PATH_MAX];
  int sites, log; /* files; -1: none */
} set = {.sites = -1, .log = -1};

static atomic_bool ready;
static atomic_long counted, of_class[CALLS], faults;

static void refuse(const char *name, const char *value) {
  fprintf(stderr, "inject.c: %s=%s: not understood\n", name, value);
  _exit(99);
}

/* Splits a list at its commas. Returns the number of its parts. */
static int split(char parts[LIST][TEXT], const char *name, const char *list) {
  int n = 0;
  for (const char *at = list; *at;) {
    const size_t length = strcspn(at, ",");
    if (n == LIST || !length || length >= TEXT) refuse(name, list);
    memcpy(parts[n], at, length);
    parts[n++][length] = 0;
    at += length + (at[length] == ',');
  }
  return n;
}

static void take_calls(const char *list) {
  char parts[LIST][TEXT];
  const int n = split(parts, "GH_FAULT_CALLS", list);
  for (int i = 0; i < n; i++) {
    int c = 0;
    while (c < CALLS && strcmp(calls[c].name, parts[i])) c++;
    if (c == CALLS) refuse("GH_FAULT_CALLS", list);
    set.wanted[c] = true;
  }
}

static void take_at(const char *text) {
  char *end;
  set.first = set.last = strtol(text, &end, 10);
  if (*end == '-') set.last = strtol(end + 1, &end, 10);
  if (*end == '+') set.last = LONG_MAX, end++;
  if (*end || set.first < 1 || set.last < set.first) refuse("GH_FAULT_AT", text);
}

static void take_mode(const char *text) {
  int m = 0;
  while (m < MODES && strcmp(modes[m], text)) m++;
  if (m == MODES) refuse("GH_FAULT_MODE", text);
  set.mode = (enum mode)m;
}

static void take_code(const char *text) {
  char *end;
  set.code = (int)strtol(text, &end, 10);
  for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
    if (!strcmp(codes[i].name, text)) set.code = codes[i].code, end = "";
  if (*end || set.code <= 0) refuse("GH_FAULT_ERRNO", text);
}

static int open_report(const char *path) {
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) refuse("a report's file", path);
  const int high = fcntl(fd, F_DUPFD_CLOEXEC, 200); /* so that the program gets the numbers that it gets without this */
  syscall(SYS_close, fd);
  return high;
}

__attribute__((constructor)) static void start(void) {
  const char *s = getenv("GH_FAULT_CALLS");
  if (s) take_calls(s);
  if ((s = getenv("GH_FAULT_AT"))) take_at(s);
  if ((s = getenv("GH_FAULT_MODE"))) take_mode(s);
  if ((s = getenv("GH_FAULT_ERRNO"))) take_code(s);
  if ((s = getenv("GH_FAULT_PATH"))) snprintf(set.path, sizeof set.path, "%s", s);
  if ((s = getenv("GH_FAULT_COUNT"))) snprintf(set.count, sizeof set.count, "%s", s);
  if ((s = getenv("GH_FAULT_SITES"))) set.sites = open_report(s);
  if ((s = getenv("GH_FAULT_LOG"))) set.log = open_report(s);
  s = getenv("GH_FAULT_CALLER");
  const int n = split(set.callers, "GH_FAULT_CALLER", s ? s : "main,libgenhance");
  for (int i = 0; i < n; i++) set.any |= !strcmp(set.callers[i], "any");
  void *frames[FRAMES];
  backtrace(frames, FRAMES); /* its first call loads a library */
  unsetenv("LD_PRELOAD");
  atomic_store(&ready, true);
}

/* ---- reports ---- */

static void report_count(void) {
  char text[64 + 32 * CALLS];
  if (!set.count[0]) return;
  int n = snprintf(text, sizeof text, "calls %ld\nfaults %ld\n", atomic_load(&counted), atomic_load(&faults));
  for (int c = 0; c < CALLS; c++)
    if (set.wanted[c])
      n += snprintf(text + n, sizeof text - (size_t)n, "%s %ld\n", calls[c].name, atomic_load(&of_class[c]));
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, set.count, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (fd < 0) return;
  syscall(SYS_write, fd, text, (size_t)n);
  syscall(SYS_close, fd);
}

__attribute__((destructor)) static void stop(void) { report_count(); }

static void report_line(int fd, long n, enum call call, const char *path) {
  char text[PATH_MAX + 64];
  int length = snprintf(text, sizeof text, "%ld %s %s\n", n, calls[call].name, path ? path : "-");
  if (length >= (int)sizeof text) length = (int)sizeof text - 1;
  syscall(SYS_write, fd, text, (size_t)length);
}

/* Whether this call stack is seen for the first time. */
static bool is_new_site(void) {
  static _Atomic(uint64_t) seen[SITES];
  void *frames[FRAMES];
  const int n = backtrace(frames, FRAMES);
  uint64_t hash = 14695981039346656037u;
  for (int i = 0; i < n; i++) hash = (hash ^ (uint64_t)(uintptr_t)frames[i]) * 1099511628211u;
  hash += !hash; /* 0 marks an empty place */
  for (size_t i = 0; i < SITES; i++) {
    uint64_t found = 0;
    if (atomic_compare_exchange_strong(&seen[(hash + i) % SITES], &found, hash)) return true;
    if (found == hash) return false;
  }
  return false;
}

/* ---- which call ---- */

static bool is_wanted_caller(void *caller) {
  struct dl_find_object found;
  if (set.any) return true;
  if (_dl_find_object(caller, &found)) return false;
  const char *name = found.dlfo_link_map->l_name;
  for (int i = 0; i < LIST && set.callers[i][0]; i++)
    if (name[0] ? strstr(name, set.callers[i]) != NULL : !strcmp(set.callers[i], "main")) return true;
  return false;
}

__attribute__((noreturn)) static void die(void) {
  report_count();
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

/* Counts a call that matches, and says whether it is to have the fault. Kills the process itself, except for a torn
 * write. `path`: of the file, or NULL. */
static bool is_due(enum call call, void *caller, const char *path) {
  static __thread bool busy __attribute__((tls_model("initial-exec"))); /* the stack's walk may allocate */
  if (!atomic_load(&ready) || busy || !set.wanted[call] || !is_wanted_caller(caller)) return false;
  if (set.path[0] && (!path || !strstr(path, set.path))) return false;
  const int code = errno;
  busy = true;
  const long n = atomic_fetch_add(&counted, 1) + 1, own = atomic_fetch_add(&of_class[call], 1) + 1;
  if (set.sites >= 0 && is_new_site()) report_line(set.sites, own, call, path);
  const bool due = n >= set.first && n <= set.last;
  if (due) atomic_fetch_add(&faults, 1);
  if (due && set.log >= 0) report_line(set.log, n, call, path);
  if (due && (set.mode == KILL || (set.mode == TEAR && call != WRITE))) die();
  busy = false;
  errno = code;
  return due;
}

/* Whether the call fails; then errno is set. */
static bool fails(enum call call, void *caller, const char *path) {
  if (!is_due(call, caller, path) || set.mode != FAIL) return false;
  errno = set.code ? set.code : calls[call].code;
  return true;
}

/* The path of an open file, only where somebody asks for it. `out`: PATH_MAX bytes. */
static const char *path_of(enum call call, int fd, char *out) {
  char link[64];
  if (!atomic_load(&ready) || !set.wanted[call] || !(set.path[0] || set.log >= 0 || set.sites >= 0)) return NULL;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const long n = syscall(SYS_readlinkat, AT_FDCWD, link, out, (size_t)PATH_MAX - 1);
  out[n < 0 ? 0 : n] = 0;
  return out;
}

/* The same for a name below an open folder. */
static const char *path_below(enum call call, int folder, const char *name, char *out) {
  if (folder == AT_FDCWD || name[0] == '/' || !path_of(call, folder, out)) return name;
  const size_t used = strlen(out);
  snprintf(out + used, (size_t)PATH_MAX - used, "/%s", name);
  return out;
}

#define CALLER __builtin_return_address(0)
#define REAL(function)                                                                                                 \
  static __typeof__(&function) real;                                                                                   \
  if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, #function)

/* ---- memory: glibc's own names, since dlsym allocates ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) { return fails(ALLOC, CALLER, NULL) ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return fails(ALLOC, CALLER, NULL) ? NULL : __libc_calloc(count, size); }
void *realloc(void *memory, size_t size) { return fails(ALLOC, CALLER, NULL) ? NULL : __libc_realloc(memory, size); }

void *reallocarray(void *memory, size_t count, size_t size) {
  size_t bytes;
  if (fails(ALLOC, CALLER, NULL)) return NULL;
  if (!__builtin_mul_overflow(count, size, &bytes)) return __libc_realloc(memory, bytes);
  errno = ENOMEM;
  return NULL;
}

int posix_memalign(void **out, size_t alignment, size_t size) {
  void *memory = fails(ALLOC, CALLER, NULL) ? NULL : __libc_memalign(alignment, size);
  if (!memory) return ENOMEM;
  *out = memory;
  return 0;
}

void *aligned_alloc(size_t alignment, size_t size) {
  return fails(ALLOC, CALLER, NULL) ? NULL : __libc_memalign(alignment, size);
}

/* ---- files: opening ---- */

/* open and its kin: the third argument is there only where a file may be created. */
#define OPEN_BODY(function, folder, path, flags, ...)                                                                  \
  char below[PATH_MAX];                                                                                                \
  mode_t mode = 0;                                                                                                     \
  if (flags & (O_CREAT | __O_TMPFILE)) {                                                                               \
    va_list rest;                                                                                                      \
    va_start(rest, flags);                                                                                             \
    mode = va_arg(rest, mode_t);                                                                                       \
    va_end(rest);                                                                                                      \
  }                                                                                                                    \
  REAL(function);                                                                                                      \
  return fails(OPEN, CALLER, path_below(OPEN, folder, path, below)) ? -1 : real(__VA_ARGS__, mode);

int open(const char *path, int flags, ...) { OPEN_BODY(open, AT_FDCWD, path, flags, path, flags) }
int open64(const char *path, int flags, ...) { OPEN_BODY(open64, AT_FDCWD, path, flags, path, flags) }
int openat(int folder, const char *path, int flags, ...) { OPEN_BODY(openat, folder, path, flags, folder, path, flags) }
int openat64(int folder, const char *path, int flags, ...) {
  OPEN_BODY(openat64, folder, path, flags, folder, path, flags)
}

/* What fortified programs call. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int folder, const char *path, int flags);
int __openat64_2(int folder, const char *path, int flags);
int __open_2(const char *path, int flags) {
  REAL(__open_2);
  return fails(OPEN, CALLER, path) ? -1 : real(path, flags);
}
int __open64_2(const char *path, int flags) {
  REAL(__open64_2);
  return fails(OPEN, CALLER, path) ? -1 : real(path, flags);
}
int __openat_2(int folder, const char *path, int flags) {
  char below[PATH_MAX];
  REAL(__openat_2);
  return fails(OPEN, CALLER, path_below(OPEN, folder, path, below)) ? -1 : real(folder, path, flags);
}
int __openat64_2(int folder, const char *path, int flags) {
  char below[PATH_MAX];
  REAL(__openat64_2);
  return fails(OPEN, CALLER, path_below(OPEN, folder, path, below)) ? -1 : real(folder, path, flags);
}

FILE *fopen(const char *path, const char *how) {
  REAL(fopen);
  return fails(OPEN, CALLER, path) ? NULL : real(path, how);
}
FILE *fopen64(const char *path, const char *how) {
  REAL(fopen64);
  return fails(OPEN, CALLER, path) ? NULL : real(path, how);
}
DIR *opendir(const char *path) {
  REAL(opendir);
  return fails(OPEN, CALLER, path) ? NULL : real(path);
}
DIR *fdopendir(int fd) {
  char path[PATH_MAX];
  REAL(fdopendir);
  return fails(OPEN, CALLER, path_of(OPEN, fd, path)) ? NULL : real(fd);
}

/* ---- files: reading and writing ---- */

/* How many bytes a read or write moves: none where it fails, half where it is short. */
static bool moves(enum call call, void *caller, int fd, size_t *bytes) {
  char path[PATH_MAX];
  const bool due = is_due(call, caller, path_of(call, fd, path));
  if (due && (set.mode == TEAR || (set.mode == SHORT && *bytes > 1))) *bytes /= 2;
  if (!due || set.mode != FAIL) return true;
  errno = set.code ? set.code : calls[call].code;
  return false;
}

ssize_t read(int fd, void *out, size_t bytes) {
  REAL(read);
  return moves(READ, CALLER, fd, &bytes) ? real(fd, out, bytes) : -1;
}
ssize_t pread(int fd, void *out, size_t bytes, off_t at) {
  REAL(pread);
  return moves(PREAD, CALLER, fd, &bytes) ? real(fd, out, bytes, at) : -1;
}
ssize_t pread64(int fd, void *out, size_t bytes, off64_t at) {
  REAL(pread64);
  return moves(PREAD, CALLER, fd, &bytes) ? real(fd, out, bytes, at) : -1;
}

ssize_t __read_chk(int fd, void *out, size_t bytes, size_t room);
ssize_t __pread_chk(int fd, void *out, size_t bytes, off_t at, size_t room);
ssize_t __pread64_chk(int fd, void *out, size_t bytes, off64_t at, size_t room);
ssize_t __read_chk(int fd, void *out, size_t bytes, size_t room) {
  REAL(__read_chk);
  return moves(READ, CALLER, fd, &bytes) ? real(fd, out, bytes, room) : -1;
}
ssize_t __pread_chk(int fd, void *out, size_t bytes, off_t at, size_t room) {
  REAL(__pread_chk);
  return moves(PREAD, CALLER, fd, &bytes) ? real(fd, out, bytes, at, room) : -1;
}
ssize_t __pread64_chk(int fd, void *out, size_t bytes, off64_t at, size_t room) {
  REAL(__pread64_chk);
  return moves(PREAD, CALLER, fd, &bytes) ? real(fd, out, bytes, at, room) : -1;
}

/* Whether the process dies after this write, of which half is done. */
static void end_of_write(size_t asked, size_t moved) {
  if (set.mode == TEAR && moved < asked) die();
}

ssize_t write(int fd, const void *from, size_t bytes) {
  const size_t asked = bytes;
  REAL(write);
  if (!moves(WRITE, CALLER, fd, &bytes)) return -1;
  const ssize_t done = real(fd, from, bytes);
  end_of_write(asked, bytes);
  return done;
}
ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at) {
  const size_t asked = bytes;
  REAL(pwrite);
  if (!moves(WRITE, CALLER, fd, &bytes)) return -1;
  const ssize_t done = real(fd, from, bytes, at);
  end_of_write(asked, bytes);
  return done;
}
ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at) {
  const size_t asked = bytes;
  REAL(pwrite64);
  if (!moves(WRITE, CALLER, fd, &bytes)) return -1;
  const ssize_t done = real(fd, from, bytes, at);
  end_of_write(asked, bytes);
  return done;
}

int fsync(int fd) {
  char path[PATH_MAX];
  REAL(fsync);
  return fails(FSYNC, CALLER, path_of(FSYNC, fd, path)) ? -1 : real(fd);
}
int fdatasync(int fd) {
  char path[PATH_MAX];
  REAL(fdatasync);
  return fails(FSYNC, CALLER, path_of(FSYNC, fd, path)) ? -1 : real(fd);
}

/* ---- files: names ---- */

int rename(const char *from, const char *to) {
  REAL(rename);
  return fails(RENAME, CALLER, to) ? -1 : real(from, to);
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
  char below[PATH_MAX];
  REAL(renameat);
  if (fails(RENAME, CALLER, path_below(RENAME, to_folder, to, below))) return -1;
  return real(from_folder, from, to_folder, to);
}
int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  return fails(MKDIR, CALLER, path) ? -1 : real(path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
  char below[PATH_MAX];
  REAL(mkdirat);
  return fails(MKDIR, CALLER, path_below(MKDIR, folder, path, below)) ? -1 : real(folder, path, mode);
}
int unlink(const char *path) {
  REAL(unlink);
  return fails(UNLINK, CALLER, path) ? -1 : real(path);
}
int unlinkat(int folder, const char *path, int flags) {
  char below[PATH_MAX];
  REAL(unlinkat);
  return fails(UNLINK, CALLER, path_below(UNLINK, folder, path, below)) ? -1 : real(folder, path, flags);
}
int rmdir(const char *path) {
  REAL(rmdir);
  return fails(UNLINK, CALLER, path) ? -1 : real(path);
}

int stat(const char *path, struct stat *out) {
  REAL(stat);
  return fails(STAT, CALLER, path) ? -1 : real(path, out);
}
int stat64(const char *path, struct stat64 *out) {
  REAL(stat64);
  return fails(STAT, CALLER, path) ? -1 : real(path, out);
}
int lstat(const char *path, struct stat *out) {
  REAL(lstat);
  return fails(STAT, CALLER, path) ? -1 : real(path, out);
}
int lstat64(const char *path, struct stat64 *out) {
  REAL(lstat64);
  return fails(STAT, CALLER, path) ? -1 : real(path, out);
}
int fstat(int fd, struct stat *out) {
  char path[PATH_MAX];
  REAL(fstat);
  return fails(STAT, CALLER, path_of(STAT, fd, path)) ? -1 : real(fd, out);
}
int fstat64(int fd, struct stat64 *out) {
  char path[PATH_MAX];
  REAL(fstat64);
  return fails(STAT, CALLER, path_of(STAT, fd, path)) ? -1 : real(fd, out);
}
int fstatat(int folder, const char *path, struct stat *out, int flags) {
  char below[PATH_MAX];
  REAL(fstatat);
  return fails(STAT, CALLER, path_below(STAT, folder, path, below)) ? -1 : real(folder, path, out, flags);
}
int fstatat64(int folder, const char *path, struct stat64 *out, int flags) {
  char below[PATH_MAX];
  REAL(fstatat64);
  return fails(STAT, CALLER, path_below(STAT, folder, path, below)) ? -1 : real(folder, path, out, flags);
}

struct dirent *readdir(DIR *folder) {
  char path[PATH_MAX];
  REAL(readdir);
  return fails(READDIR, CALLER, path_of(READDIR, dirfd(folder), path)) ? NULL : real(folder);
}
struct dirent64 *readdir64(DIR *folder) {
  char path[PATH_MAX];
  REAL(readdir64);
  return fails(READDIR, CALLER, path_of(READDIR, dirfd(folder), path)) ? NULL : real(folder);
}

/* ---- mappings and threads ---- */

typedef void *map_function(void *at, size_t bytes, int access, int flags, int fd, off64_t offset);

/* Maps a copy of the file's first half in its place. The rest of the mapping lies beyond that copy's end. */
static void *map_half(map_function *real, void *at, size_t bytes, int access, int flags, int fd, off64_t offset) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE), half = bytes / 2 / page * page;
  char piece[4096];
  const int copy = memfd_create("half", MFD_CLOEXEC);
  if (copy < 0) return MAP_FAILED;
  for (size_t done = 0; done < half;) {
    const long got = syscall(SYS_pread64, fd, piece, sizeof piece, offset + (off64_t)done);
    if (got <= 0) break;
    syscall(SYS_write, copy, piece, (size_t)got);
    done += (size_t)got;
  }
  void *map = real(at, bytes, access, flags, copy, 0);
  syscall(SYS_close, copy);
  return map;
}

static void *map(map_function *real, void *caller, void *at, size_t bytes, int access, int flags, int fd,
                 off64_t offset) {
  char path[PATH_MAX];
  if (fd < 0 || !is_due(MMAP, caller, path_of(MMAP, fd, path))) return real(at, bytes, access, flags, fd, offset);
  if (set.mode == BUS) return map_half(real, at, bytes, access, flags, fd, offset);
  if (set.mode != FAIL) return real(at, bytes, access, flags, fd, offset);
  errno = set.code ? set.code : calls[MMAP].code;
  return MAP_FAILED;
}

void *mmap(void *at, size_t bytes, int access, int flags, int fd, off_t offset) {
  REAL(mmap);
  return map(real, CALLER, at, bytes, access, flags, fd, offset);
}
void *mmap64(void *at, size_t bytes, int access, int flags, int fd, off64_t offset) {
  REAL(mmap64);
  return map(real, CALLER, at, bytes, access, flags, fd, offset);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *context) {
  REAL(pthread_create);
  if (fails(THREAD, CALLER, NULL)) return errno;
  return real(thread, how, run, context);
}
