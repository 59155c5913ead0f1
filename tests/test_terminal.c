/* The status line and log lines on a terminal: a small terminal reads what a child process writes to a pseudo-terminal.
 * Nothing wraps at 20, 80 and 200 columns, also after the width changed; log lines stay whole; through a pipe there is
 * neither a status line nor an escape sequence. */
#include "base/log.h"
#include "base/status_line.h"
#include "base/terminal.h"
#include "base/text.h"
#include "support/check.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- composing ---- */

static const gh_status_line whole = {.what = "stage 1",
                                     .count = "120/1000",
                                     .unit = "updates",
                                     .note = "loss 0.7123",
                                     .rate = "12.3 images/s",
                                     .left = "4m35s left",
                                     .memory = "5.1 GiB",
                                     .device = "opencl:0",
                                     .share = 0.12};

static void every_width(void **state) {
  (void)state;
  char text[GH_STATUS_LINE_SIZE];
  for (int columns = 0; columns <= 220; columns++) {
    gh_status_line_fit(text, &whole, columns, false);
    assert_true(gh_text_columns(text) <= columns);
    assert_true(gh_starts_with("stage 1", text) || gh_starts_with(text, "stage 1"));
  }
  gh_status_line_fit(text, &whole, 19, false);
  assert_string_equal(text, "stage 1 120/1000");
  gh_status_line_fit(text, &whole, 79, false);
  assert_string_equal(text, "stage 1 120/1000, loss 0.7123, 12.3 images/s, 4m35s left, 5.1 GiB, opencl:0");
  gh_status_line_fit(text, &whole, 199, false);
  assert_string_equal(text, "stage 1 [##......................] 120/1000 updates, loss 0.7123, 12.3 images/s, "
                            "4m35s left, 5.1 GiB, opencl:0");
  gh_status_line_log(text, &whole);
  assert_string_equal(text, "stage 1: 120/1000 updates, loss 0.7123, 12.3 images/s, 4m35s left, 5.1 GiB, opencl:0");
}

static void wide_characters(void **state) {
  (void)state;
  gh_status_line line = {.what = "\xe7\x8c\xab\xe7\x8c\xab\xe7\x8c\xab", .count = "1", .share = -1}; /* three cats */
  char text[GH_STATUS_LINE_SIZE];
  assert_int_equal(gh_text_columns(line.what), 6);
  gh_status_line_fit(text, &line, 5, false);
  assert_string_equal(text, "\xe7\x8c\xab\xe7\x8c\xab");
  gh_status_line_fit(text, &line, 8, false);
  assert_string_equal(text, "\xe7\x8c\xab\xe7\x8c\xab\xe7\x8c\xab 1");
}

/* ---- a small terminal ---- */

#define ROWS  64
#define WIDTH 256

typedef struct screen {
  char rows[ROWS][WIDTH];
  int columns, row, column, wraps;
  bool coloured, escapes;
  char pending[16]; /* an escape sequence, as far as it is read */
} screen;

static void obey(screen *s) {
  char last = s->pending[strlen(s->pending) - 1];
  s->escapes = true;
  if (last == 'K') memset(s->rows[s->row] + s->column, 0, (size_t)(WIDTH - s->column));
  if (last == 'm') s->coloured = true;
  assert_true(last == 'K' || last == 'm');
  s->pending[0] = 0;
}

static void put(screen *s, char c) {
  size_t used = strlen(s->pending);
  if (c == '\033' || used) {
    assert_true(used + 1 < sizeof s->pending);
    s->pending[used] = c;
    s->pending[used + 1] = 0;
    if (used > 1 && c >= '@') obey(s);
  } else if (c == '\r') {
    s->column = 0;
  } else if (c == '\n') { /* from a pipe, without a carriage return */
    s->column = 0;
    assert_true(++s->row < ROWS);
  } else {
    if (s->column >= s->columns) {
      s->wraps++;
      s->column = 0;
      assert_true(++s->row < ROWS);
    }
    s->rows[s->row][s->column++] = c;
  }
}

static void drain(screen *s, int from) {
  char bytes[4096];
  for (struct pollfd p = {.fd = from, .events = POLLIN}; poll(&p, 1, 0) > 0 && (p.revents & POLLIN);) {
    ssize_t count = read(from, bytes, sizeof bytes);
    if (count <= 0) return;
    for (ssize_t i = 0; i < count; i++) put(s, bytes[i]);
  }
}

/* ---- the child ---- */

/* For every byte that arrives: the status line, a warning, and a line on standard output. */
static void child_work(int go, int done, bool keep_status) {
  gh_progress p;
  char step, line[32];
  if (keep_status) gh_log_set_level(GH_LOG_WARNING);
  gh_log_keep_status(keep_status);
  gh_progress_start(&p, "stage 1", "updates", 1000, 0);
  p.rate_unit = "images";
  p.rate_factor = 8;
  p.memory_bytes = INT64_C(5) << 30;
  p.device = "opencl:0";
  for (int i = 1; read(go, &step, 1) == 1; i++) {
    p.shown = 0; /* due at once */
    gh_progress_update(&p, (uint64_t)i, "loss 0.7123");
    gh_warn("w%d", i);
    snprintf(line, sizeof line, "update %d\n", i);
    gh_print(line);
    if (write(done, &step, 1) != 1) _exit(1);
  }
  gh_print_failure("genhance", "over");
  _exit(0);
}

typedef struct child {
  pid_t process;
  int go, done, out; /* to the child, from it, its output */
} child;

static child start(bool terminal, int columns, const char *const *variables, bool keep_status) {
  int go[2], done[2], out[2];
  child c = {0};
  const struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
  assert_false(pipe(go) || pipe(done) || pipe(out));
  c.out = out[0];
  if (terminal) {
    c.out = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(c.out >= 0 && !grantpt(c.out) && !unlockpt(c.out) && !ioctl(c.out, TIOCSWINSZ, &size));
  }
  c.process = fork();
  assert_true(c.process >= 0);
  if (!c.process) {
    int to = terminal ? open(ptsname(c.out), O_RDWR | O_NOCTTY) : out[1];
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    for (; variables && variables[0]; variables += 2) setenv(variables[0], variables[1], 1);
    if (to < 0 || dup2(to, STDOUT_FILENO) < 0 || dup2(to, STDERR_FILENO) < 0) _exit(1);
    close(go[1]);
    close(done[0]);
    child_work(go[0], done[1], keep_status);
  }
  close(go[0]);
  close(done[1]);
  close(out[1]);
  if (terminal) close(out[0]);
  c.go = go[1];
  c.done = done[0];
  return c;
}

static void step(const child *c, screen *s, int columns) {
  const struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
  char byte = 'x';
  if (columns && columns != s->columns) {
    assert_false(ioctl(c->out, TIOCSWINSZ, &size));
    s->columns = columns;
    s->column = GH_MIN(s->column, columns);
  }
  assert_int_equal(write(c->go, &byte, 1), 1);
  assert_int_equal(read(c->done, &byte, 1), 1);
  drain(s, c->out);
}

static void finish(child *c, screen *s) {
  int status = 0;
  close(c->go);
  for (int ended = 0; !ended;) { /* a full terminal would stop the child */
    drain(s, c->out);
    ended = waitpid(c->process, &status, WNOHANG) == c->process;
  }
  drain(s, c->out);
  assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
  close(c->done);
  close(c->out);
}

/* ---- on a terminal ---- */

static void check_screen(const screen *s, int steps) {
  const char *last = s->rows[s->row];
  char line[32];
  assert_int_equal(s->wraps, 0);
  assert_int_equal(s->row, 2 * steps); /* two lines per step, and the status line below them */
  for (int i = 0; i < steps; i++) {
    snprintf(line, sizeof line, "warning: w%d", i + 1);
    assert_string_equal(s->rows[2 * i], line);
    snprintf(line, sizeof line, "update %d", i + 1);
    assert_string_equal(s->rows[2 * i + 1], line);
  }
  snprintf(line, sizeof line, "%d/1000", steps);
  assert_true(gh_starts_with(last, "stage 1") && strstr(last, line) && (int)strlen(last) < s->columns);
  assert_true((strstr(last, "opencl:0") != NULL) == (s->columns >= 80));
  assert_true((strchr(last, '[') != NULL) == (s->columns >= 200));
}

static void run_widths(const int *widths, int count) {
  screen s = {.columns = widths[0]};
  child c = start(true, widths[0], NULL, false);
  for (int i = 0; i < count; i++) {
    step(&c, &s, widths[i]);
    check_screen(&s, i + 1);
  }
  finish(&c, &s);
  assert_string_equal(s.rows[s.row - 1], "genhance: over"); /* below the status line, which stays */
  assert_true(gh_starts_with(s.rows[s.row - 2], "stage 1"));
  assert_true(s.coloured);
}

static void fixed_widths(void **state) {
  static const int widths[3][3] = {{20, 20, 20}, {80, 80, 80}, {200, 200, 200}};
  (void)state;
  for (int i = 0; i < 3; i++) run_widths(widths[i], 3);
}

static void changing_width(void **state) {
  static const int widths[] = {80, 20, 200, 20, 80, 200, 80};
  (void)state;
  run_widths(widths, (int)GH_COUNT(widths));
}

static void colours(void **state) {
  static const char *const none[] = {"NO_COLOR", "1", NULL}, *const empty[] = {"NO_COLOR", "", NULL},
                           *const dumb[] = {"TERM", "dumb", NULL};
  static const struct {
    const char *const *variables;
    bool coloured, escapes;
  } cases[] = {{NULL, true, true}, {none, false, true}, {empty, true, true}, {dumb, false, false}};
  (void)state;
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    screen s = {.columns = 200};
    child c = start(true, 200, cases[i].variables, false);
    step(&c, &s, 0);
    finish(&c, &s);
    assert_int_equal(s.coloured, cases[i].coloured);
    assert_int_equal(s.escapes, cases[i].escapes);
  }
}

/* -q: the notes go, the status line stays. */
static void quiet(void **state) {
  (void)state;
  screen s = {.columns = 80};
  child c = start(true, 80, NULL, true);
  step(&c, &s, 0);
  check_screen(&s, 1);
  finish(&c, &s);
}

/* ---- through a pipe ---- */

static void through_a_pipe(void **state) {
  (void)state;
  for (int kept = 0; kept < 2; kept++) {
    screen s = {.columns = WIDTH - 1};
    child c = start(false, 0, NULL, kept);
    step(&c, &s, 0);
    finish(&c, &s);
    assert_false(s.escapes);
    int row = 0; /* a pipe has no carriage return */
    for (; row < s.row && !strstr(s.rows[row], "w1"); row++)
      assert_int_equal(strncmp(s.rows[row], "stage 1: 1/1000 ", 16), 0);
    assert_int_equal(row, !kept);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_width),   cmocka_unit_test(wide_characters),
                                     cmocka_unit_test(fixed_widths),  cmocka_unit_test(changing_width),
                                     cmocka_unit_test(colours),       cmocka_unit_test(quiet),
                                     cmocka_unit_test(through_a_pipe)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
