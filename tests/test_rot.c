/* Bit rot: no byte of a state, a snapshot or an adapter is believed once it has changed. The state before a damaged one
 * is used; files that only inform do not stop a resume; what earlier versions wrote, without checksums, is accepted. */
#include "support/check.h"
#include "support/run_folder.h"
#include "support/tiny_run.h"

#include "base/checksum.h"
#include "base/file.h"
#include "base/log.h"
#include "config/run.h"
#include "export/export.h"
#include "train/state.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OLDER  "stage2-00000001"
#define NEWEST "stage2-00000002"
#define BEFORE GH_FIXTURES "/resume/run/state/stage2-00000003" /* of version 0.1.0 */

static gh_error err;
static char *folder, *whole; /* whole: a finished run with two states */

static const char *const each_update[] = {"state.minutes=1e-9", NULL};

static void copy_state(const char *run, const char *from, const char *name) {
  static const char *const files[] = {"manifest.json", "part-00000.safetensors"};
  for (size_t i = 0; i < GH_COUNT(files); i++) {
    char *path = gh_format(&err, "%s/%s", from, files[i]), *state = gh_format(&err, "state/%s", name);
    run_folder_copy(run, path, state, files[i]);
    free(path);
    free(state);
  }
}

/* folder/NAME with the two states of the whole run. */
static char *run_with_states(const char *name) {
  static const char *const names[] = {OLDER, NEWEST};
  char *run = check_path(folder, name);
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    char *from = gh_format(&err, "%s/state/%s", whole, names[i]);
    copy_state(run, from, names[i]);
    free(from);
  }
  return run;
}

static char *in_newest(const char *run, const char *name) {
  return gh_format(&err, "%s/state/" NEWEST "/%s", run, name);
}

/* The state that a run is resumed from; info is the caller's. */
static char *found(const char *run, gh_state_info *info) {
  char *state = NULL;
  check_ok(gh_state_find(&err, run, &state, info));
  assert_non_null(state);
  return state;
}

/* Puts the damaged state back to its place. */
static bool put_back(const char *run) {
  char *from = gh_format(&err, "%s/state/damaged-" NEWEST, run), *to = gh_format(&err, "%s/state/" NEWEST, run);
  const bool aside = gh_path_exists(from);
  if (aside && rename(from, to)) fail_msg("%s cannot be renamed", from);
  free(from);
  free(to);
  return aside;
}

/* Changes every `stride`-th byte of a file of the newest state, one at a time. Either the state before it is used, or
 * nothing that a run reads has changed. */
static void flip_each(const char *name, size_t stride) {
  char *run = run_with_states("flipped"), *path = in_newest(run, name), *bytes = NULL;
  gh_state_info want, got;
  size_t size = 0, seen = 0;
  free(found(run, &want));
  check_ok(gh_file_read(&err, path, 1 << 24, &bytes, &size));
  for (size_t at = 0; at < size; at += stride) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    fputc(bytes[at] ^ (1 << at % 7), file);
    fclose(file);
    char *state = found(run, &got);
    const bool newest = gh_ends_with(state, NEWEST);
    if (newest && (got.update != want.update || got.micro_batch != want.micro_batch ||
                   got.data_hash != want.data_hash || got.models_hash != want.models_hash ||
                   !gh_json_equal(got.config, want.config) || !gh_json_equal(got.plan, want.plan)))
      fail_msg("byte %zu of %s: a changed state is believed", at, name);
    seen += !newest;
    assert_int_equal(put_back(run), !newest);
    check_write(path, bytes, size);
    free(state);
    gh_state_info_free(&got);
  }
  printf("%s: %zu of %zu changed bytes are noticed\n", name, seen, (size + stride - 1) / stride);
  assert_true(seen * 10 > (size + stride - 1) / stride * 6); /* the rest is white space, or where the clip came from */
  gh_state_info_free(&want);
  check_ok(gh_folder_remove(&err, run));
  free(bytes);
  free(path);
  free(run);
}

static void no_byte_of_a_manifest_may_change(void **state) {
  (void)state;
  flip_each("manifest.json", 173);
}

static void no_byte_of_a_part_may_change(void **state) {
  (void)state;
  char *path = in_newest(whole, "part-00000.safetensors");
  uint64_t bytes = 0;
  check_ok(gh_file_size(&err, path, &bytes));
  flip_each("part-00000.safetensors", (size_t)bytes / 97);
  free(path);
}

/* ---- states of other versions ---- */

static void edit(const char *path, const char *from, const char *to) {
  char *text = NULL, *at;
  size_t size = 0;
  check_ok(gh_file_read(&err, path, 1 << 20, &text, &size));
  assert_non_null(at = strstr(text, from));
  char *edited = gh_format(&err, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
  check_write(path, edited, strlen(edited));
  free(edited);
  free(text);
}

static void an_earlier_state_is_checked_as_far_as_it_goes(void **state) {
  (void)state;
  static const struct {
    const char *from, *to, *text; /* NULL: accepted */
  } cases[] = {{"\"version\"", "\"version\"", NULL},
               {"\"update\": 3", "\"update\": 2", "the folder has another name"},
               {"\"stage\": 2", "\"stage\": 1", "the folder has another name"},
               {"\"first\": 0", "\"first\": 1", "are not all"},
               {"part-00000", "part-00001", "absent"},
               {"part-00000", "../000000", "is not in the folder"},
               {"\"config\"", "\"Config\"", "no config"}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_state_info info;
    char *run = check_path(folder, "earlier"), *path = check_path(run, "state/stage2-00000003/manifest.json");
    char *used = NULL;
    copy_state(run, BEFORE, "stage2-00000003");
    edit(path, cases[i].from, cases[i].to);
    if (cases[i].text)
      check_fails(gh_state_find(&err, run, &used, &info), GH_ERROR_FORMAT, cases[i].text);
    else
      free(found(run, &info));
    gh_state_info_free(&info);
    check_ok(gh_folder_remove(&err, run));
    free(path);
    free(run);
  }
}

static void a_later_state_is_not_passed_over(void **state) {
  (void)state;
  for (int sealed = 0; sealed < 2; sealed++) {
    gh_json *root = NULL;
    gh_state_info info;
    char *run = run_with_states("later"), *path = in_newest(run, "manifest.json"), *used = NULL;
    check_ok(gh_json_read_file(&err, &root, path, 1 << 20));
    check_ok(gh_json_put_int(&err, root, "version", 9));
    if (!sealed) check_ok(gh_json_put_null(&err, root, "parts")); /* and not as this version lists them */
    check_ok(gh_json_write_sealed(&err, path, root));
    check_fails(gh_state_find(&err, run, &used, &info), GH_ERROR_UNSUPPORTED, "a later version wrote it");
    assert_null(used);
    gh_json_free(root);
    check_ok(gh_folder_remove(&err, run));
    free(path);
    free(run);
  }
}

/* ---- something else in a file's place ---- */

static void a_pipe_in_a_files_place_is_not_waited_for(void **state) {
  (void)state;
  static const char *const names[] = {"manifest.json", "part-00000.safetensors"};
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    gh_state_info info;
    char *run = run_with_states("pipe"), *path = in_newest(run, names[i]);
    check_ok(gh_file_remove(&err, path));
    assert_int_equal(mkfifo(path, 0600), 0);
    char *used = found(run, &info);
    assert_true(gh_ends_with(used, OLDER));
    gh_state_info_free(&info);
    check_ok(gh_folder_remove(&err, run));
    free(used);
    free(path);
    free(run);
  }
  static const char *const files[] = {"config.json",   "info.json", "plan.json",
                                      "metrics.jsonl", "train.log", GH_RUN_EVENTS};
  for (size_t i = 0; i < GH_COUNT(files); i++) {
    char *run = run_with_states("pipe"), *path = check_path(run, files[i]), *below = gh_path_folder(&err, path);
    check_ok(gh_folder_make(&err, below));
    free(below);
    assert_int_equal(mkfifo(path, 0600), 0);
    check_fails(gh_run_check_files(&err, run), GH_ERROR_FORMAT, "not a regular file");
    check_ok(gh_folder_remove(&err, run));
    free(path);
    free(run);
  }
}

/* ---- nothing but damage ---- */

static void without_an_intact_state_a_run_does_not_begin_again(void **state) {
  (void)state;
  static const char *const names[] = {OLDER, NEWEST};
  gh_state_info info;
  char *run = run_with_states("none"), *used = NULL;
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    char *path = gh_format(&err, "%s/state/%s/part-00000.safetensors", run, names[i]);
    check_write(path, "", 0);
    free(path);
  }
  check_fails(gh_state_find(&err, run, &used, &info), GH_ERROR_FORMAT, "no other state of the run is left");
  char *kept = in_newest(run, "manifest.json");
  assert_true(gh_path_exists(kept));
  free(kept);
  free(run);
}

/* ---- snapshots ---- */

/* Changes a byte of whole/snapshots/NAME, and puts it back when called again. */
static void flip(const char *path, long at) {
  FILE *file = fopen(path, "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
  const int byte = fgetc(file);
  assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
  fputc(byte ^ 4, file);
  fclose(file);
}

static void a_damaged_adapter_is_not_used(void **state) {
  (void)state;
  gh_adapter adapter;
  char *snapshot = check_path(whole, "snapshots/" NEWEST), *weights = check_path(snapshot, "adapter_model.safetensors");
  char *config = check_path(snapshot, "adapter_config.json"), *list = check_path(snapshot, "checksums.json");
  check_ok(gh_adapter_open(&err, &adapter, snapshot));
  gh_adapter_close(&adapter);
  flip(weights, -3);
  check_fails(gh_adapter_open(&err, &adapter, snapshot), GH_ERROR_FORMAT, "adapter_model.safetensors: damaged");
  char *aside = check_path(whole, "aside"); /* without a list, as of earlier versions, nothing is compared */
  assert_int_equal(rename(list, aside), 0);
  check_ok(gh_adapter_open(&err, &adapter, snapshot));
  gh_adapter_close(&adapter);
  assert_int_equal(rename(aside, list), 0);
  flip(weights, -3);
  edit(config, "\"lora_alpha\": 4", "\"lora_alpha\": 5");
  check_fails(gh_adapter_open(&err, &adapter, snapshot), GH_ERROR_FORMAT, "adapter_config.json: damaged");
  edit(config, "\"lora_alpha\": 5", "\"lora_alpha\": 4");
  edit(config, "\"base_model_name_or_path\": \"", "\"base_model_name_or_path\": \"elsewhere/");
  check_ok(gh_adapter_open(&err, &adapter, snapshot)); /* where the model is does not matter */
  gh_adapter_close(&adapter);
  flip(list, 40);
  check_fails(gh_adapter_open(&err, &adapter, snapshot), GH_ERROR_FORMAT, "checksums.json");
  flip(list, 40);
  free(snapshot);
  free(weights);
  free(config);
  free(aside);
  free(list);
}

/* An export removes what a killed one left in its folder, and nothing else. */
static void a_killed_export_leaves_nothing(void **state) {
  (void)state;
  char *snapshot = check_path(whole, "snapshots/" NEWEST), *out = check_path(folder, "export");
  char *left = check_path(out, ".adapter_model.safetensors.4194999-0.tmp"), *other = check_path(out, ".notes.tmp");
  char *active = gh_format(&err, "%s/.model.safetensors.%ld-7.tmp", out, (long)getppid());
  check_ok(gh_folder_make(&err, out));
  check_write(left, "half", 4);
  check_write(other, "kept", 4);
  check_write(active, "kept", 4);
  check_ok(gh_export_peft(&err, out, snapshot));
  assert_false(gh_path_exists(left)); /* no process has a number beyond the system's limit of 2^22 */
  assert_true(gh_path_exists(other) && gh_path_exists(active));
  free(snapshot);
  free(out);
  free(left);
  free(other);
  free(active);
}

static void a_damaged_denoiser_is_not_trained_on(void **state) {
  (void)state;
  gh_config config;
  gh_models models;
  char *path = check_path(whole, "snapshots/stage1-00000002/denoiser.safetensors"), *pictures = check_path(folder, "x");
  tiny_config(&config, pictures, whole, NULL);
  flip(path, -100);
  check_fails(gh_models_open(&err, &models, &config, path, NULL), GH_ERROR_FORMAT, "denoiser.safetensors: damaged");
  flip(path, -100);
  check_ok(gh_models_open(&err, &models, &config, path, NULL));
  gh_models_close(&models);
  gh_config_free(&config);
  free(pictures);
  free(path);
}

/* ---- files that only inform ---- */

static void broken_records_do_not_stop_a_resume(void **state) {
  (void)state;
  static const char *const broken[] = {"info.json", "plan.json", "train.log",
                                       "tensorboard/events.out.tfevents.genhance"};
  gh_config config;
  gh_stage_report reports[2];
  char *pictures = check_path(folder, "pictures"), *metrics = check_path(whole, "metrics.jsonl");
  tiny_config(&config, pictures, whole, (const char *const[]){"state.minutes=1e-9", "stage2.steps=3", NULL});
  for (size_t i = 0; i < GH_COUNT(broken); i++) {
    char *path = check_path(whole, broken[i]);
    check_write(path, "{\"not\": whole", 13);
    free(path);
  }
  edit(metrics, "\"loss\":", "\"lo\xff\":"); /* the first line; the three others stay */
  check_ok(gh_train(&err, &config, &(gh_train_options){.resume = true, .quiet = true}, reports));
  char *text = NULL;
  int lines = 0;
  check_ok(gh_file_read(&err, metrics, 1 << 20, &text, NULL));
  for (const char *c = text; *c; c++) lines += *c == '\n';
  assert_int_equal(lines, 4); /* two of stage 2 and its third, one of stage 1 */
  gh_config_free(&config);
  free(pictures);
  free(metrics);
  free(text);
}

static int begin(void **state) {
  (void)state;
  tiny_run run;
  folder = check_folder();
  char *pictures = check_path(folder, "pictures");
  tiny_pictures(pictures);
  tiny_train(&run, folder, "whole", each_update);
  whole = check_path(folder, "whole");
  tiny_run_free(&run);
  free(pictures);
  gh_log_set_level(GH_LOG_QUIET);
  return 0;
}

static int end(void **state) {
  (void)state;
  free(whole);
  check_folder_done(folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(no_byte_of_a_manifest_may_change),
                                     cmocka_unit_test(no_byte_of_a_part_may_change),
                                     cmocka_unit_test(an_earlier_state_is_checked_as_far_as_it_goes),
                                     cmocka_unit_test(a_later_state_is_not_passed_over),
                                     cmocka_unit_test(a_pipe_in_a_files_place_is_not_waited_for),
                                     cmocka_unit_test(without_an_intact_state_a_run_does_not_begin_again),
                                     cmocka_unit_test(a_damaged_adapter_is_not_used),
                                     cmocka_unit_test(a_killed_export_leaves_nothing),
                                     cmocka_unit_test(a_damaged_denoiser_is_not_trained_on),
                                     cmocka_unit_test(broken_records_do_not_stop_a_resume)};
  return cmocka_run_group_tests(tests, begin, end);
}
