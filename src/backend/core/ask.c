#include "backend/core/ask.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cache.h"
#include "base/log.h"

#define ANSWERED     (-1) /* the stage after the question */
#define MOST_FILES   16
#define WAIT_SECONDS 20

bool gh_ask_possible(void) {
  int threads = 0;
  DIR *tasks = opendir("/proc/self/task");
  for (const struct dirent *entry; tasks && (entry = readdir(tasks));) threads += entry->d_name[0] != '.';
  if (tasks) closedir(tasks);
  return threads == 1;
}

/* In the child: no output, no core file, default signals, and the end of the parent ends it. */
static void be_silent(void) {
  static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGINT, SIGTERM, SIGPIPE, SIGHUP};
  const struct rlimit none = {0, 0};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setrlimit(RLIMIT_CORE, &none);
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) signal(signals[i], SIG_DFL);
  int nowhere = open("/dev/null", O_RDWR);
  for (int fd = 0; nowhere >= 0 && fd <= STDERR_FILENO; fd++) dup2(nowhere, fd);
}

void gh_ask_start(gh_asked *asked, gh_question *question, void *context) {
  *asked = (gh_asked){.over = true, .in_time = true};
  void *shared = mmap(NULL, sizeof(gh_answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return;
  gh_answer *answer = shared; /* zero */
  asked->process = fork();
  if (asked->process < 0) {
    munmap(shared, sizeof(gh_answer));
    return;
  }
  if (!asked->process) {
    be_silent();
    question(context, answer);
    answer->stage = ANSWERED;
    _exit(0);
  }
  asked->answer = answer;
  asked->over = false;
}

/* Whether the child has ended. Where the caller ignores SIGCHLD, there is no status: only the stage says how. */
static bool has_ended(gh_asked *asked) {
  const pid_t ended = waitpid(asked->process, &asked->status, WNOHANG);
  return ended == asked->process || (ended < 0 && errno != EINTR);
}

void gh_ask_wait(gh_asked *list, size_t count, double seconds) {
  const double until = gh_now() + seconds;
  long pause = 500000;
  for (size_t left = count; left;) {
    left = 0;
    for (size_t i = 0; i < count; i++) {
      if (!list[i].over) list[i].over = has_ended(&list[i]);
      left += !list[i].over;
    }
    if (!left || gh_now() > until) break;
    const struct timespec rest = {0, pause};
    nanosleep(&rest, NULL);
    if (pause < 20000000) pause += pause / 4;
  }
  for (size_t i = 0; i < count; i++) {
    list[i].in_time = list[i].over;
    if (list[i].over) continue;
    kill(list[i].process, SIGKILL);
    const struct timespec rest = {0, 50000000}; /* a child inside the kernel may not end even then */
    nanosleep(&rest, NULL);
    waitpid(list[i].process, &list[i].status, WNOHANG);
  }
}

bool gh_ask_answered(const gh_asked *asked, double seconds, char *out, size_t size) {
  if (!asked->answer || (asked->in_time && asked->answer->stage == ANSWERED)) return true;
  if (!asked->in_time)
    snprintf(out, size, "does not answer within %g s", seconds);
  else if (WIFSIGNALED(asked->status))
    snprintf(out, size, "ends its process with signal %d (%s)", WTERMSIG(asked->status),
             strsignal(WTERMSIG(asked->status)));
  else
    snprintf(out, size, "ends its process (exit code %d)", WEXITSTATUS(asked->status));
  return false;
}

void gh_ask_free(gh_asked *asked) {
  if (asked->answer) munmap(asked->answer, sizeof(gh_answer));
  *asked = (gh_asked){0};
}

double gh_ask_seconds(void) {
  const char *given = getenv("GH_DRIVER_WAIT");
  const double seconds = given ? strtod(given, NULL) : 0;
  return seconds > 0 ? seconds : WAIT_SECONDS;
}

/* ---- what answered before ---- */

/* Identifies the drivers and this start of the system; a library that is installed changes the linker's cache. */
static void marker_key(char key[GH_CACHE_KEY_SIZE], const gh_strings *files) {
  char boot[64] = "", times[MOST_FILES + 1][24];
  const char *parts[2 * MOST_FILES + 4] = {boot};
  struct stat facts;
  size_t count = 1;
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
  if (file && !fgets(boot, sizeof boot, file)) boot[0] = 0;
  if (file) fclose(file);
  for (size_t i = 0; i <= files->count && i <= MOST_FILES; i++) {
    const char *path = i < files->count ? files->items[i] : "/etc/ld.so.cache";
    const bool known = !stat(path, &facts);
    snprintf(times[i], sizeof times[i], "%lld", known ? (long long)facts.st_mtim.tv_sec : 0);
    parts[count++] = path;
    parts[count++] = times[i];
  }
  parts[count] = NULL;
  gh_cache_key(key, parts);
}

bool gh_ask_answered_before(const char *marker, const gh_strings *files) {
  char key[GH_CACHE_KEY_SIZE], *bytes = NULL;
  size_t size = 0;
  if (!gh_cache_exists()) return false; /* listing devices does not make one */
  marker_key(key, files);
  const bool same = gh_cache_load(marker, &bytes, &size) && size == sizeof key && !memcmp(bytes, key, sizeof key);
  free(bytes);
  return same;
}

void gh_ask_remember(const char *marker, const gh_strings *files) {
  char key[GH_CACHE_KEY_SIZE];
  marker_key(key, files);
  if (gh_cache_exists()) gh_cache_store(marker, key, sizeof key);
}
