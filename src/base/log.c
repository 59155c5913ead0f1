#include "base/log.h"
#include "base/utf8.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* stderr, and what follows it here */
static atomic_int log_level = GH_LOG_INFO;
static char shown[256];      /* the progress bar on the terminal, "" for none */
static gh_log_write *writer; /* NULL: stderr */
static void *writer_user;
static volatile sig_atomic_t stop_signal;

void gh_log_set_level(gh_log_level level) { atomic_store(&log_level, (int)level); }
gh_log_level gh_log_get_level(void) { return (gh_log_level)atomic_load(&log_level); }

void gh_log_set_writer(gh_log_write *write, void *user) {
  pthread_mutex_lock(&lock);
  writer = write;
  writer_user = user;
  pthread_mutex_unlock(&lock);
}

static bool writer_is_set(void) {
  pthread_mutex_lock(&lock);
  bool is_set = writer != NULL;
  pthread_mutex_unlock(&lock);
  return is_set;
}

static void print_line(const char *before, const char *text) {
  if (shown[0]) fputs("\r\033[K", stderr);
  fprintf(stderr, "%s%s\n", before, text);
  if (shown[0]) fputs(shown, stderr);
  fflush(stderr);
}

static void log_line(gh_log_level level, const char *before, const char *format, va_list args) {
  if ((int)level > atomic_load(&log_level)) return;
  char text[GH_ERROR_TEXT_SIZE];
  vsnprintf(text, sizeof text, format, args);
  gh_text_show(text);
  pthread_mutex_lock(&lock);
  if (writer)
    writer(writer_user, level, text);
  else
    print_line(before, text);
  pthread_mutex_unlock(&lock);
}

void gh_info(const char *format, ...) {
  va_list args;
  va_start(args, format);
  log_line(GH_LOG_INFO, "", format, args);
  va_end(args);
}

void gh_warn(const char *format, ...) {
  va_list args;
  va_start(args, format);
  log_line(GH_LOG_WARNING, "warning: ", format, args);
  va_end(args);
}

void gh_debug(const char *format, ...) {
  va_list args;
  va_start(args, format);
  log_line(GH_LOG_DEBUG, "debug: ", format, args);
  va_end(args);
}

double gh_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- progress ---- */

static void duration_text(char *out, size_t size, double seconds) {
  long s = (long)(seconds + 0.5);
  if (s < 60)
    snprintf(out, size, "%lds", s);
  else if (s < 3600)
    snprintf(out, size, "%ldm%02lds", s / 60, s % 60);
  else
    snprintf(out, size, "%ldh%02ldm", s / 3600, s / 60 % 60);
}

/* "120/1000 steps, 3.2 steps/s, 4m35s left, loss 0.7" */
static void progress_text(char *out, size_t size, const gh_progress *p, double elapsed, const char *note) {
  char total[32] = "", rate[96] = "", left[32];
  if (p->total) snprintf(total, sizeof total, "/%llu", (unsigned long long)p->total);
  double fresh = p->done > p->first ? (double)(p->done - p->first) : 0;
  if (fresh > 0 && elapsed > 0) {
    double speed = fresh / elapsed;
    int used = snprintf(rate, sizeof rate, ", %.3g %s/s", speed, p->unit);
    if (p->total > p->done && used > 0 && (size_t)used < sizeof rate) {
      duration_text(left, sizeof left, (double)(p->total - p->done) / speed);
      snprintf(rate + used, sizeof rate - (size_t)used, ", %s left", left);
    }
  }
  snprintf(out, size, "%llu%s %s%s%s%s", (unsigned long long)p->done, total, p->unit, rate, note && *note ? ", " : "",
           note ? note : "");
}

#define BAR_WIDTH 24

static void draw(const gh_progress *p, double now, const char *note) {
  char text[160], bar[BAR_WIDTH + 1];
  progress_text(text, sizeof text, p, now - p->started, note);
  if (!p->terminal) {
    gh_info("%s: %s", p->what, text);
    return;
  }
  uint64_t done = p->total && p->done < p->total ? p->done : p->total;
  int full = p->total ? (int)((double)done / (double)p->total * BAR_WIDTH) : 0;
  for (int i = 0; i < BAR_WIDTH; i++) bar[i] = i < full ? '#' : '.';
  bar[BAR_WIDTH] = 0;
  pthread_mutex_lock(&lock);
  snprintf(shown, sizeof shown, "%.60s [%s] %s", p->what, bar, text);
  gh_text_show(shown);
  fprintf(stderr, "\r\033[K%s", shown);
  fflush(stderr);
  pthread_mutex_unlock(&lock);
}

void gh_progress_start(gh_progress *progress, const char *what, const char *unit, uint64_t total, uint64_t done) {
  *progress = (gh_progress){.what = what, .unit = unit, .total = total, .done = done, .first = done, .active = true};
  progress->terminal = isatty(STDERR_FILENO) && gh_log_get_level() >= GH_LOG_INFO && !writer_is_set();
  progress->started = progress->shown = gh_now();
  progress->interval = progress->terminal ? 0.1 : 1;
}

void gh_progress_update(gh_progress *progress, uint64_t done, const char *note) {
  double now = gh_now();
  progress->done = done;
  if (!progress->active || now - progress->shown < progress->interval) return;
  progress->shown = now;
  if (!progress->terminal) progress->interval = GH_MIN(2 * progress->interval, 60);
  draw(progress, now, note);
}

void gh_progress_end(gh_progress *progress) {
  if (!progress->active) return;
  draw(progress, gh_now(), NULL);
  progress->active = false;
  if (!progress->terminal) return;
  pthread_mutex_lock(&lock);
  shown[0] = 0;
  fputc('\n', stderr);
  fflush(stderr);
  pthread_mutex_unlock(&lock);
}

/* ---- stop ---- */

static void on_signal(int sig) {
  if (stop_signal) { /* second signal: the default action, as soon as this handler returns */
    signal(sig, SIG_DFL);
    raise(sig);
  }
  stop_signal = sig;
}

static bool installed;

void gh_stop_install(void) {
  installed = true;
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  static const int signals[] = {SIGINT, SIGTERM, SIGUSR1, SIGXCPU}; /* batch systems warn with the last two */
  for (size_t i = 0; i < GH_COUNT(signals); i++) sigaction(signals[i], &action, NULL);
  struct sigaction hangup; /* the terminal was closed; nohup ignores it */
  if (!sigaction(SIGHUP, NULL, &hangup) && hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, NULL);
}

void gh_stop_renew(void) {
  if (installed) gh_stop_install();
}

bool gh_stop_requested(void) { return stop_signal != 0; }
int gh_stop_signal(void) { return stop_signal; }
void gh_stop_request(int sig) { stop_signal = sig; }
