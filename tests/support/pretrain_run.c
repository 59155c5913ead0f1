#include "support/pretrain_run.h"
#include "support/compare.h"
#include "support/faults.h"
#include "support/same_run.h"
#include "support/scratch.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT    96   /* elements of a gradient, at most: make_pretrain_*.py */
#define NOTHING 1e-9 /* a gradient of this norm is 0 but for rounding: a group norm or a softmax removes the bias */

static gh_error err;
static pretrain_ending *shared;

int pretrain_share(void) {
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return shared == MAP_FAILED ? -1 : 0;
}

void pretrain_unshare(void) { munmap(shared, sizeof *shared); }

char *pretrain_output(const char *name) {
  char *folder = realpath(scratch, NULL), *output = check_path(folder, name);
  free(folder);
  return output;
}

static void train_here(const char *output, const gh_train_options *options, const gh_pretrain_kind *kind,
                       const char *document) {
  gh_pretrain_config c;
  gh_stage_report report;
  char *path = check_path(scratch, document), *set = gh_format(&err, "output=%s", output);
  shared->status = gh_pretrain_config_read(&err, &c, kind, path, (const char *const[]){set}, 1);
  if (!shared->status) shared->status = gh_pretrain(&err, &c, options, &report);
  shared->operations = check_fault_count();
  memcpy(shared->text, err.text, sizeof shared->text);
}

pretrain_ending pretrain_as(const char *output, const gh_train_options *options, const gh_pretrain_kind *kind,
                            const char *document, long dies_at) {
  int status;
  *shared = (pretrain_ending){0};
  fflush(stdout);
  pid_t child = fork();
  assert_true(child >= 0);
  if (!child) {
    check_fault_arm(output, dies_at ? CHECK_FAULT_TEAR : CHECK_FAULT_NONE, dies_at);
    train_here(output, options, kind, document);
    _exit(0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  shared->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return *shared;
}

pretrain_ending pretrain_run(const gh_pretrain_kind *kind, const char *output, bool resume, gh_train_progress *progress,
                             long dies_at) {
  const gh_train_options options = {.resume = resume, .quiet = true, .progress = progress};
  return pretrain_as(output, &options, kind, "config.json", dies_at);
}

long pretrain_completes(const gh_pretrain_kind *kind, const char *output, bool resume) {
  pretrain_ending e = pretrain_run(kind, output, resume, NULL, 0);
  if (e.status || e.signal) fail_msg("status %d, signal %d: %s", (int)e.status, e.signal, e.text);
  return e.operations;
}

void pretrain_ends(const pretrain_ending *e, gh_status status, const char *piece) {
  if (e->status != status || !strstr(e->text, piece)) fail_msg("status %d: %s", (int)e->status, e->text);
}

void pretrain_kill_and_resume(const gh_pretrain_kind *kind, const char *whole, long operations, int moments) {
  for (int i = 0; i < moments; i++) {
    long at = operations * (2 * i + 1) / (2 * moments);
    char *output = pretrain_output(gh_name_make("killed%d", i).text);
    gh_name moment = gh_name_make("killed at operation %ld of %ld", at, operations);
    assert_int_equal(pretrain_run(kind, output, false, NULL, at).signal, SIGKILL);
    pretrain_completes(kind, output, true);
    same_run(whole, output, moment.text);
    free(output);
  }
}

double pretrain_gradient_error(const gh_tensor *parameter, const gh_safetensors *want) {
  int64_t n = gh_tensor_elements(parameter), kept = 0;
  double norm = (double)compare_number(want, gh_name_make("norm.%s", parameter->name).text);
  float *expected = compare_load(want, gh_name_make("gradient.%s", parameter->name).text, &kept);
  float *got = gh_alloc(&err, (size_t)n, sizeof *got);
  assert_non_null(got);
  check_ok(gh_tensor_read(&err, scratch_device, parameter->grad, got));
  const int64_t stride = GH_CEIL_DIV(n, KEPT);
  assert_int_equal(kept, GH_CEIL_DIV(n, stride));
  double squares = 0, difference = 0;
  for (int64_t i = 0; i < n; i++) squares += (double)got[i] * (double)got[i];
  for (int64_t i = 0; i < kept; i++) {
    double d = (double)got[i * stride] - (double)expected[i];
    difference += d * d;
  }
  free(expected);
  free(got);
  double scale = norm > NOTHING ? norm : 1;
  return (sqrt(difference) + fabs(sqrt(squares) - norm)) / scale;
}
