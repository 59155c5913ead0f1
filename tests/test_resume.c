/* A run that dies at any operation on its files, or finds the disk full there, resumes to the same bits as an
 * undisturbed run: snapshots, state, metrics. The moments are random: GH_TEST_SEED=N repeats a printed seed. Each run
 * is its own process, which an injected fault (support/faults.h) ends. */
#include "support/check.h"
#include "support/faults.h"
#include "support/same_run.h"

#include "base/file.h"
#include "base/log.h"
#include "train/trainer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Moments at which a run is killed, and finds the disk full. A sanitizer watches the host's code, the same at all. */
#ifdef __SANITIZE_ADDRESS__
enum { KILLED = 6, FULL = 3 };
#else
enum { KILLED = 12, FULL = 6 };
#endif

static gh_error err;
static const char *precision = "precision=float32";
static char *work; /* config.json; one folder per run, with run/ and the output of its process */
static uint64_t seed;

/* Two stages of three updates, a state after each; dropout, accumulation with an incomplete last micro-batch. */
static const char config_text[] =
    "{\"version\": 1, \"clip\": \"%1$s/probe/tiny/clip\", \"autoencoder\": \"%1$s/probe/tiny/ae.safetensors\",\n"
    " \"denoiser\": {\"double_blocks\": 1, \"single_blocks\": 1, \"hidden\": 32, \"heads\": 2, \"mlp_ratio\": 2.0,\n"
    "  \"rope_axes\": [4, 6, 6], \"context_width\": 24, \"vector_width\": 20},\n"
    " \"data\": {\"images\": [\"%1$s/encode/images\"], \"workers\": 2},\n"
    " \"stage1\": {\"steps\": 3, \"batch\": 3, \"micro_batch\": 2, \"optimizer\": {\"lr\": 0.01, \"warmup\": 2},\n"
    "  \"checkpoint_every\": 2},\n"
    " \"stage2\": {\"steps\": 3, \"batch\": 3, \"micro_batch\": 2, \"optimizer\": {\"lr\": 0.01},\n"
    "  \"checkpoint_at\": [1], \"lora\": {\"rank\": 2, \"dropout\": 0.2}, \"train_denoiser\": true},\n"
    " \"state\": {\"keep\": 2, \"minutes\": 1e-9}, \"output\": \"run\"}\n";

/* ---- one process ---- */

typedef struct ending {
  int signal; /* the signal that killed it, or 0 */
  gh_status status;
  char text[GH_ERROR_TEXT_SIZE];
  long operations; /* on the run's files */
} ending;

/* In the child: trains in work/name, writes its result to a file and exits. */
static void train_and_exit(const char *name, bool resume, check_fault fault, long operation) {
  gh_config config;
  gh_stage_report reports[2];
  ending e = {0};
  char *folder = gh_path_join(&err, work, name), *run = gh_path_join(&err, folder, "run");
  char *document = gh_path_join(&err, work, "config.json");
  const gh_train_options options = {.resume = resume, .quiet = true};
  gh_log_set_level(GH_LOG_WARNING);
  if (chdir(folder) || gh_config_read(&err, &config, document, &precision, 1)) _exit(99);
  check_fault_arm(run, fault, operation);
  e.status = gh_train(&err, &config, &options, reports);
  e.operations = check_fault_count();
  check_fault_arm("", CHECK_FAULT_NONE, 0);
  if (e.status) memcpy(e.text, err.text, sizeof e.text);
  FILE *file = fopen("ending", "wb");
  if (!file || fwrite(&e, sizeof e, 1, file) != 1 || fclose(file)) _exit(99);
  gh_config_free(&config);
  free(document);
  free(run);
  free(folder);
  _exit(0);
}

static ending train(const char *name, bool resume, check_fault fault, long operation) {
  ending e = {0};
  int status;
  char *folder = gh_path_join(&err, work, name), *path = gh_path_join(&err, folder, "ending");
  check_ok(gh_folder_make(&err, folder));
  check_ok(gh_file_remove(&err, path));
  fflush(stdout);
  pid_t child = fork();
  assert_true(child >= 0);
  if (!child) train_and_exit(name, resume, fault, operation);
  assert_int_equal(waitpid(child, &status, 0), child);
  if (WIFSIGNALED(status)) {
    e.signal = WTERMSIG(status);
  } else {
    char *bytes;
    size_t size;
    assert_int_equal(WEXITSTATUS(status), 0);
    check_ok(gh_file_read(&err, path, sizeof e, &bytes, &size));
    assert_int_equal(size, sizeof e);
    memcpy(&e, bytes, sizeof e);
    free(bytes);
  }
  free(path);
  free(folder);
  return e;
}

/* ---- comparing two runs ---- */

static char *run_of(const char *name) {
  char *run = gh_format(&err, "%s/%s/run", work, name);
  assert_non_null(run);
  return run;
}

static int lines_of(const char *name) {
  char *run = run_of(name);
  int lines = same_run_lines(run);
  free(run);
  return lines;
}

static void compare_runs(const char *want_name, const char *got_name, const char *moment) {
  char *want = run_of(want_name), *got = run_of(got_name);
  same_run(want, got, moment);
  free(want);
  free(got);
}

/* ---- the tests ---- */

static long operations; /* of the undisturbed run */

static void test_a_run_repeats_itself(void **state) {
  (void)state;
  ending e = train("whole", false, CHECK_FAULT_NONE, 0);
  if (e.status) fail_msg("%s", e.text);
  operations = e.operations;
  assert_int_equal(lines_of("whole"), 6);
  e = train("again", false, CHECK_FAULT_NONE, 0);
  if (e.status) fail_msg("%s", e.text);
  assert_int_equal(e.operations, operations);
  compare_runs("whole", "again", "the second run");
}

static void test_the_comparison_detects_one_bit(void **state) {
  (void)state;
  char *path = gh_path_join(&err, work, "again/run/snapshots/stage1-00000003/denoiser.safetensors");
  FILE *file = fopen(path, "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, -1, SEEK_END), 0);
  int byte = fgetc(file);
  assert_int_equal(fseek(file, -1, SEEK_END), 0);
  fputc(byte ^ 1, file);
  fclose(file);
  size_t size_a, size_b;
  char *a = gh_path_join(&err, work, "whole/run"), *b = gh_path_join(&err, work, "again/run");
  char *x = same_run_content(a, "snapshots/stage1-00000003/denoiser.safetensors", &size_a);
  char *y = same_run_content(b, "snapshots/stage1-00000003/denoiser.safetensors", &size_b);
  assert_true(size_a == size_b && memcmp(x, y, size_a));
  free(x);
  free(y);
  free(a);
  free(b);
  free(path);
}

static void forget(const char *name) {
  char *folder = gh_path_join(&err, work, name);
  check_ok(gh_folder_remove(&err, folder));
  free(folder);
}

static long moment_in(int part, int parts) {
  long first = 1 + operations * part / parts, length = operations * (part + 1) / parts - first + 1;
  return first + (long)(check_random(&seed) % (uint64_t)GH_MAX(length, 1));
}

static void test_killed_anywhere(void **state) {
  (void)state;
  int whole = 0;
  for (int i = 0; i < KILLED; i++) {
    char moment[128];
    long first = moment_in(i, KILLED), second = i % 3 ? 0 : 1 + (long)(check_random(&seed) % 60);
    check_fault fault = i % 2 ? CHECK_FAULT_TEAR : CHECK_FAULT_KILL;
    ending e = train("killed", false, fault, first);
    assert_int_equal(e.signal, SIGKILL);
    if (second) {
      e = train("killed", true, CHECK_FAULT_TEAR, second);
      if (!e.signal && e.status) fail_msg("%s", e.text);
    }
    snprintf(moment, sizeof moment, "%s at operation %ld of %ld, again at %ld", i % 2 ? "torn" : "killed", first,
             operations, second);
    e = train("killed", true, CHECK_FAULT_NONE, 0);
    if (e.status || e.signal) fail_msg("%s: %s", moment, e.text);
    compare_runs("whole", "killed", moment);
    whole += e.operations < operations / 2;
    forget("killed");
  }
  assert_true(whole > KILLED / 8); /* the late ones did not start over */
}

static void test_a_full_disk_anywhere(void **state) {
  (void)state;
  for (int i = 0; i < FULL; i++) {
    char moment[128];
    long at = moment_in(i, FULL);
    snprintf(moment, sizeof moment, "disk full at operation %ld of %ld", at, operations);
    ending e = train("full", false, CHECK_FAULT_FULL, at);
    if (e.signal) fail_msg("%s: signal %d", moment, e.signal);
    if (!e.status) { /* nothing more was written: the last operations remove old states */
      compare_runs("whole", "full", moment);
    } else {
      assert_int_equal(e.status, GH_ERROR_FILE);
      if (!strstr(e.text, "no space left on the disk") && !strstr(e.text, "No space left"))
        fail_msg("%s: %s", moment, e.text);
      e = train("full", true, CHECK_FAULT_NONE, 0);
      if (e.status || e.signal) fail_msg("%s: %s", moment, e.text);
      compare_runs("whole", "full", moment);
    }
    forget("full");
  }
}

/* A stop request takes effect after every update, even the last of a stage: the next stage does not start. */
static void test_stopped_between_the_stages(void **state) {
  (void)state;
  static const char *const pieces[] = {"after update 1 of stage 1", "after update 2 of stage 1", "between the stages"};
  gh_stop_request(SIGTERM); /* the children inherit it */
  for (int i = 0; i < 3; i++) {
    ending e = train("stopped", i > 0, CHECK_FAULT_NONE, 0);
    assert_int_equal(e.status, GH_ERROR_STOPPED);
    if (!strstr(e.text, pieces[i])) fail_msg("%s", e.text);
    assert_int_equal(lines_of("stopped"), i + 1);
  }
  gh_stop_request(0);
  ending e = train("stopped", true, CHECK_FAULT_NONE, 0);
  if (e.status) fail_msg("%s", e.text);
  compare_runs("whole", "stopped", "stopped after every update of stage 1");
}

/* The same in mixed precision: the state holds the float32 masters and, in f16, the loss's scale; the narrow copies are
 * rebuilt. */
static void check_mixed_precision(const char *narrow) {
  precision = narrow;
  ending e = train("mixed", false, CHECK_FAULT_NONE, 0);
  if (e.status) fail_msg("%s", e.text);
  const long all = e.operations;
  e = train("mixed-again", false, CHECK_FAULT_NONE, 0);
  if (e.status) fail_msg("%s", e.text);
  compare_runs("mixed", "mixed-again", "the second run in mixed precision");
  for (int stage = 1; stage <= 2; stage++) {
    long at = all * (2 * stage - 1) / 4;
    assert_int_equal(train("mixed-killed", false, CHECK_FAULT_KILL, at).signal, SIGKILL);
    precision = "precision=float32"; /* is part of a run's identity */
    e = train("mixed-killed", true, CHECK_FAULT_NONE, 0);
    assert_int_equal(e.status, GH_ERROR_CONFIG);
    if (!strstr(e.text, "precision")) fail_msg("%s", e.text);
    precision = narrow;
    e = train("mixed-killed", true, CHECK_FAULT_NONE, 0);
    if (e.status || e.signal) fail_msg("%s", e.text);
    compare_runs("mixed", "mixed-killed", "resumed in mixed precision");
    forget("mixed-killed");
  }
  precision = "precision=float32";
  forget("mixed");
  forget("mixed-again");
}

static void test_mixed_precision(void **state) {
  (void)state;
  check_mixed_precision("precision=bf16");
  check_mixed_precision("precision=float16");
}

/* An output that is a model folder is rejected, and the model's configuration is kept. */
static void test_a_model_is_not_overwritten(void **state) {
  (void)state;
  static const char model[] = "{\"model_type\": \"clip\"}\n";
  char *folder = gh_path_join(&err, work, "model/run"), *path = gh_path_join(&err, folder, "config.json"), *bytes;
  size_t size;
  check_ok(gh_folder_make(&err, folder));
  check_write(path, model, strlen(model));
  for (int resume = 0; resume < 2; resume++) {
    ending e = train("model", resume, CHECK_FAULT_NONE, 0);
    assert_int_equal(e.status, GH_ERROR_CONFIG);
    if (!strstr(e.text, "config.json does not belong to such a run")) fail_msg("%s", e.text);
  }
  check_ok(gh_file_read(&err, path, 1000, &bytes, &size));
  assert_string_equal(bytes, model);
  free(bytes);
  free(path);
  free(folder);
}

static int begin(void **state) {
  (void)state;
  const char *given = getenv("GH_TEST_SEED");
  seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
  printf("GH_TEST_SEED=%llu\n", (unsigned long long)seed);
  char *folder = check_folder(), *text = gh_format(&err, config_text, GH_FIXTURES);
  work = realpath(folder, NULL);
  free(folder);
  assert_true(work && text);
  char *document = check_path(work, "config.json"), *cache = check_path(work, "cache");
  check_write(document, text, strlen(text));
  assert_int_equal(setenv("GH_CACHE_DIR", cache, 1), 0);
  free(cache);
  free(document);
  free(text);
  return 0;
}

static int end(void **state) {
  (void)state;
  check_folder_done(work);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_run_repeats_itself),
      cmocka_unit_test(test_the_comparison_detects_one_bit),
      cmocka_unit_test(test_killed_anywhere),
      cmocka_unit_test(test_a_full_disk_anywhere),
      cmocka_unit_test(test_stopped_between_the_stages),
      cmocka_unit_test(test_mixed_precision),
      cmocka_unit_test(test_a_model_is_not_overwritten),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
