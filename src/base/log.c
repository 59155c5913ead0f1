#include "base/log.h"
#include "base/status_line.h"
#include "base/terminal.h"
#include "base/text.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* stdout, stderr, and what follows it here */
static atomic_int log_level = GH_LOG_INFO;
static atomic_bool keeps_status;
static gh_status_line status; /* on the terminal, while `shown` */
static bool shown;
static gh_log_write *writer; /* NULL: stderr */
static void *writer_user;
static volatile sig_atomic_t stop_signal;

void gh_log_set_level(gh_log_level level) { atomic_store(&log_level, (int)level); }
gh_log_level gh_log_get_level(void) { return (gh_log_level)atomic_load(&log_level); }
void gh_log_keep_status(bool keep) { atomic_store(&keeps_status, keep); }

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

/* The width may have changed since the last time. The last column stays empty: some terminals start a new line as soon
 * as it is written. */
static void draw_status(void) {
  char text[GH_STATUS_LINE_SIZE];
  gh_status_line_fit(text, &status, gh_terminal_width(STDERR_FILENO) - 1, gh_terminal_colours(STDERR_FILENO));
  fprintf(stderr, GH_TERMINAL_CLEAR "%s", text);
  fflush(stderr);
}

static void clear_status(void) {
  if (shown) fputs(GH_TERMINAL_CLEAR, stderr);
}

static void print_line(const char *before, const char *colour, const char *text) {
  const bool coloured = *before && gh_terminal_colours(STDERR_FILENO);
  clear_status();
  fprintf(stderr, "%s%s%s%s\n", coloured ? colour : "", before, coloured ? GH_TERMINAL_PLAIN : "", text);
  if (shown) draw_status();
  fflush(stderr);
}

void gh_print(const char *text) {
  pthread_mutex_lock(&lock);
  const bool redraw = shown && isatty(STDOUT_FILENO);
  if (redraw) clear_status();
  fputs(text, stdout);
  fflush(stdout);
  if (redraw) draw_status();
  pthread_mutex_unlock(&lock);
}

void gh_print_failure(const char *program, const char *text) {
  char before[64];
  snprintf(before, sizeof before, "%s: ", program);
  pthread_mutex_lock(&lock);
  if (shown) fputc('\n', stderr); /* how far the work came stays visible */
  shown = false;
  print_line(before, GH_TERMINAL_RED, text);
  pthread_mutex_unlock(&lock);
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
    print_line(before, GH_TERMINAL_YELLOW, text);
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

/* The fields are as long as their longest number; a name that is longer is cut. */
static void describe(gh_status_line *s, const gh_progress *p, double elapsed, const char *note) {
  char total[32] = "", time[24];
  uint64_t done = p->total && p->done > p->total ? p->total : p->done;
  *s = (gh_status_line){.share = p->total ? (double)done / (double)p->total : -1};
  if (p->total) snprintf(total, sizeof total, "/%llu", (unsigned long long)p->total);
  snprintf(s->what, sizeof s->what, "%.60s", p->what);
  snprintf(s->count, sizeof s->count, "%llu%s", (unsigned long long)p->done, total);
  snprintf(s->unit, sizeof s->unit, "%.31s", p->unit);
  snprintf(s->note, sizeof s->note, "%.60s", note ? note : "");
  snprintf(s->device, sizeof s->device, "%.47s", p->device ? p->device : "");
  if (p->memory_bytes) gh_bytes_text(s->memory, sizeof s->memory, p->memory_bytes);
  double speed = p->done > p->first && elapsed > 0 ? (double)(p->done - p->first) / elapsed : 0;
  if (speed > 0) {
    snprintf(s->rate, sizeof s->rate, "%.3g %.30s/s", speed * (p->rate_unit ? p->rate_factor : 1),
             p->rate_unit ? p->rate_unit : p->unit);
    duration_text(time, sizeof time, (double)(p->total - done) / speed);
    if (p->total > done) snprintf(s->left, sizeof s->left, "%s left", time);
  }
  char *const texts[] = {s->what, s->unit, s->note, s->rate, s->device};
  for (size_t i = 0; i < GH_COUNT(texts); i++) gh_text_show(texts[i]);
}

static void draw(const gh_progress *p, double now, const char *note) {
  gh_status_line line;
  describe(&line, p, now - p->started, note);
  if (!p->terminal) {
    char text[GH_STATUS_LINE_SIZE];
    gh_status_line_log(text, &line);
    gh_info("%s", text);
    return;
  }
  pthread_mutex_lock(&lock);
  status = line;
  shown = true;
  draw_status();
  pthread_mutex_unlock(&lock);
}

void gh_progress_start(gh_progress *progress, const char *what, const char *unit, uint64_t total, uint64_t done) {
  *progress = (gh_progress){.what = what, .unit = unit, .total = total, .done = done, .first = done, .active = true};
  progress->drawn = UINT64_MAX;
  const bool wanted = gh_log_get_level() >= GH_LOG_INFO || atomic_load(&keeps_status);
  progress->terminal = wanted && gh_terminal_is(STDERR_FILENO) && !writer_is_set();
  progress->started = progress->shown = gh_now();
  progress->interval = progress->terminal ? 0.1 : 1;
}

void gh_progress_update(gh_progress *progress, uint64_t done, const char *note) {
  double now = gh_now();
  progress->done = done;
  if (!progress->active || now - progress->shown < progress->interval) return;
  progress->shown = now;
  if (!progress->terminal) progress->interval = GH_MIN(2 * progress->interval, 60);
  progress->drawn = done;
  draw(progress, now, note);
}

void gh_progress_end(gh_progress *progress) {
  if (!progress->active) return;
  if (progress->drawn != progress->done) draw(progress, gh_now(), NULL); /* else its line is there, with its note */
  progress->active = false;
  if (!progress->terminal) return;
  pthread_mutex_lock(&lock);
  shown = false;
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
