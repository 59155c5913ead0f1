/* The public library's training: the numbers of `genhance train`'s run, progress, a stop and its resume, a dry run, the
 * export of what was trained, and two runs at once. */
#include "support/compare.h"
#include "support/scratch.h"
#include "support/tiny_run.h"

#include "base/file.h"
#include "genhance/genhance.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tiny_run whole; /* trained without the library: two stages of two updates */
static char *document; /* its configuration as a file */

static void ok(genhance_status status) {
  if (status) fail_msg("status %d: %s", (int)status, genhance_last_error());
}

static void refused(genhance_status status, genhance_status expected, const char *text) {
  assert_int_equal(status, expected);
  if (!strstr(genhance_last_error(), text)) fail_msg("no \"%s\" in: %s", text, genhance_last_error());
}

/* The same run in scratch/name. */
static genhance_training *open_run(const char *name) {
  gh_error err = {0};
  genhance_training *training = NULL;
  char *output = gh_format(&err, "output=%s/%s", scratch, name);
  ok(genhance_training_open(&training, document, (const char *const *)&output, 1));
  assert_string_equal(genhance_training_output(training), output + strlen("output="));
  free(output);
  return training;
}

static void check_same(const genhance_training *training) {
  tiny_run got;
  tiny_run_read(&got, genhance_training_output(training));
  for (int s = 0; s < 2; s++) {
    assert_int_equal(got.stage[s].updates, whole.stage[s].updates);
    assert_memory_equal(got.stage[s].loss, whole.stage[s].loss, sizeof whole.stage[s].loss);
    assert_memory_equal(got.stage[s].norm, whole.stage[s].norm, sizeof whole.stage[s].norm);
  }
  assert_true(tiny_difference(got.stage[0].denoiser, whole.stage[0].denoiser) == 0);
  assert_true(tiny_difference(got.stage[1].adapter, whole.stage[1].adapter) == 0);
  tiny_run_free(&got);
}

/* ---- progress ---- */

typedef struct watch {
  int calls, stop_after; /* that call; 0: never */
  int64_t stage, update;
} watch;

static int note(void *user, const genhance_progress *p) {
  watch *w = user;
  const tiny_stage *expected = &whole.stage[p->stage - 1];
  assert_int_equal(p->struct_size, sizeof *p);
  assert_int_equal(p->updates, 2);
  assert_int_equal(p->samples, 2);
  assert_true(p->loss == expected->loss[p->update - 1] && p->gradient_norm == expected->norm[p->update - 1]);
  assert_true(p->learning_rate == expected->rate[p->update - 1]);
  assert_true(p->seconds > 0 && p->images_per_second == 2 / p->seconds);
  w->stage = p->stage;
  w->update = p->update;
  return ++w->calls == w->stop_after;
}

static void like_the_command(void **state) {
  (void)state;
  watch w = {0};
  const genhance_train_options options = {.struct_size = sizeof options, .progress = note, .user = &w};
  genhance_stage_report report = GENHANCE_SIZED(genhance_stage_report);
  genhance_training *training = open_run("alike");
  ok(genhance_training_run(training, &options));
  assert_int_equal(w.calls, 4);
  check_same(training);
  for (int stage = 1; stage <= 2; stage++) {
    ok(genhance_training_stage(training, stage, &report));
    assert_true(report.updates == 2 && report.skipped >= 0 && report.seconds > 0 && !report.evaluated);
    assert_true(report.first_loss == whole.stage[stage - 1].loss[0]);
    assert_true(report.last_loss == whole.stage[stage - 1].loss[1]);
    assert_null(genhance_training_plan(training, stage));
  }
  refused(genhance_training_stage(training, 3, &report), GENHANCE_ERROR_ARGUMENT, "there is no stage 3");
  refused(genhance_training_run(training, NULL), GENHANCE_ERROR_CONFIG, "already holds a run");
  genhance_training_close(training);
}

/* After every update but the last, the third of which is the first of stage 2; with the same handle and a new one. */
static void stopped_and_resumed(void **state) {
  (void)state;
  for (int after = 1; after <= 3; after++) {
    char name[16];
    watch w = {.stop_after = after};
    genhance_train_options options = {.struct_size = sizeof options, .progress = note, .user = &w};
    snprintf(name, sizeof name, "stop-%d", after);
    genhance_training *training = open_run(name);
    refused(genhance_training_run(training, &options), GENHANCE_ERROR_STOPPED, "stopped");
    assert_int_equal(w.calls, after);
    if (after == 2) {
      genhance_training_close(training);
      training = open_run(name);
    }
    options.resume = 1;
    ok(genhance_training_run(training, &options));
    assert_true(w.calls == 4 && w.stage == 2 && w.update == 2);
    check_same(training);
    genhance_training_close(training);
  }
}

static void dry_run(void **state) {
  (void)state;
  const genhance_train_options options = {.struct_size = sizeof options, .dry_run = 1};
  genhance_training *training = open_run("planned");
  ok(genhance_training_run(training, &options));
  for (int stage = 1; stage <= 2; stage++) {
    assert_non_null(genhance_training_plan(training, stage));
    assert_non_null(strstr(genhance_training_plan(training, stage), "\"update_seconds\""));
  }
  assert_null(genhance_training_plan(training, 0));
  assert_false(gh_path_exists(genhance_training_output(training)));
  genhance_training_close(training);
}

/* ---- export ---- */

static float *embedding(const char *model, const char *adapter, size_t *width) {
  genhance_device *device = NULL;
  genhance_encoder *encoder = NULL;
  const genhance_encoder_options options = {.struct_size = sizeof options, .adapter = adapter};
  ok(genhance_device_open(&device, getenv("GH_TEST_DEVICE")));
  ok(genhance_encoder_open(&encoder, device, model, &options));
  *width = genhance_encoder_width(encoder);
  float *row = malloc(*width * sizeof *row);
  ok(genhance_embed_files(encoder, row, (const char *[]){GH_FIXTURES "/encode/images/reduce.png"}, 1));
  genhance_encoder_close(encoder);
  genhance_device_close(device);
  return row;
}

static void exported(void **state) {
  (void)state;
  genhance_export_result result = GENHANCE_SIZED(genhance_export_result);
  const genhance_export_options adapter = {.struct_size = sizeof adapter, .format = GENHANCE_EXPORT_ADAPTER},
                                odd = {.struct_size = sizeof odd,
                                       .format = GENHANCE_EXPORT_ADAPTER,
                                       .dtype = GENHANCE_FLOAT32},
                                absent = {.struct_size = sizeof absent, .snapshot = "stage2-00000007"};
  char *model = check_path(scratch, "model"), *peft = check_path(scratch, "peft");
  size_t width = 0, same = 0;
  ok(genhance_export(&result, model, whole.folder, NULL));
  assert_true(result.update == 2 && result.changed > 0 && result.tensors > result.changed && !result.rounded);
  ok(genhance_export(NULL, peft, whole.folder, &adapter));
  float *merged = embedding(model, NULL, &width), *adapted = embedding(GH_FIXTURES "/probe/tiny/clip", peft, &same);
  assert_int_equal(width, same);
  compare_values("merged and adapted", merged, adapted, (int64_t)width, 1e-4);
  refused(genhance_export(NULL, peft, whole.folder, &odd), GENHANCE_ERROR_ARGUMENT, "an adapter stays float32");
  refused(genhance_export(NULL, model, whole.folder, &absent), GENHANCE_ERROR_FILE, "stage2-00000007");
  refused(genhance_export(NULL, model, scratch, NULL), GENHANCE_ERROR_FILE, "config.json");
  free(merged);
  free(adapted);
  free(model);
  free(peft);
}

/* ---- two at once ---- */

typedef struct job {
  genhance_training *training;
  genhance_status status;
  char why[256];
} job;

static void *run_job(void *context) {
  job *j = context;
  j->status = genhance_training_run(j->training, NULL);
  if (j->status) snprintf(j->why, sizeof j->why, "%s", genhance_last_error());
  return NULL;
}

static void two_threads(void **state) {
  (void)state;
  pthread_t threads[2];
  job jobs[2] = {{.training = open_run("one")}, {.training = open_run("other")}};
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, run_job, &jobs[i]), 0);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < 2; i++) {
    if (jobs[i].status) fail_msg("run %d: %s", i, jobs[i].why);
    check_same(jobs[i].training);
    genhance_training_close(jobs[i].training);
  }
}

/* ---- the configuration ---- */

static void configurations(void **state) {
  (void)state;
  gh_error err = {0};
  genhance_training *training = NULL;
  char *text = NULL;
  size_t size = 0;
  check_ok(gh_file_read(&err, document, 1 << 20, &text, &size));
  ok(genhance_training_parse(&training, text, (const char *[]){"seed=7", "stage1.steps=5"}, 2));
  const char *resolved = genhance_training_config(training);
  assert_true(strstr(resolved, "\"seed\": 7") || strstr(resolved, "\"seed\":7"));
  genhance_training_close(training);
  refused(genhance_training_parse(&training, "{\"version\": 1, \"sed\": 3}", NULL, 0), GENHANCE_ERROR_CONFIG, "seed");
  assert_null(training);
  refused(genhance_training_parse(&training, "{", NULL, 0), GENHANCE_ERROR_CONFIG, "configuration");
  refused(genhance_training_open(&training, "/no/such/run.json", NULL, 0), GENHANCE_ERROR_FILE, "/no/such/run.json");
  refused(genhance_training_open(&training, document, (const char *[]){NULL}, 1), GENHANCE_ERROR_ARGUMENT,
          "override 0 is NULL");
  refused(genhance_training_open(&training, NULL, NULL, 0), GENHANCE_ERROR_ARGUMENT, "is NULL");
  refused(genhance_training_run(NULL, NULL), GENHANCE_ERROR_ARGUMENT, "is NULL");
  assert_null(genhance_training_config(NULL));
  genhance_training_close(NULL);
  free(text);
}

/* Every allocation fails in turn: nothing is left behind, and the reason is memory. */
static gh_status parse_and_close(gh_error *err, void *text) {
  genhance_training *training = NULL;
  err->status = (gh_status)genhance_training_parse(&training, text, NULL, 0);
  snprintf(err->text, sizeof err->text, "%s", genhance_last_error());
  assert_true(!training == (err->status != GH_OK));
  genhance_training_close(training);
  return err->status;
}

static void out_of_memory(void **state) {
  (void)state;
  gh_error err = {0};
  char *text = NULL;
  size_t size = 0;
  check_ok(gh_file_read(&err, document, 1 << 20, &text, &size));
  check_allocation_failures(parse_and_close, text);
  free(text);
}

static int setup(void **state) {
  gh_error err = {0};
  gh_config config;
  gh_json *json = NULL;
  if (scratch_begin(state)) return -1;
  char *pictures = check_path(scratch, "pictures"), *output = check_path(scratch, "whole");
  tiny_pictures(pictures);
  tiny_train(&whole, scratch, "whole", NULL);
  document = check_path(scratch, "run.json");
  tiny_config(&config, pictures, output, NULL);
  check_ok(gh_config_to_json(&err, &json, &config));
  check_ok(gh_json_write_file(&err, document, json));
  gh_json_free(json);
  gh_config_free(&config);
  free(pictures);
  free(output);
  return 0;
}

static int teardown(void **state) {
  tiny_run_free(&whole);
  free(document);
  return scratch_end(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(like_the_command), cmocka_unit_test(stopped_and_resumed),
                                     cmocka_unit_test(dry_run),          cmocka_unit_test(exported),
                                     cmocka_unit_test(two_threads),      cmocka_unit_test(configurations),
                                     cmocka_unit_test(out_of_memory)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
