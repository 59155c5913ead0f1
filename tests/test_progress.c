/* A caller's view of training: `progress` gets the numbers of every update, and stops a run where it wants to; the
 * resumed run ends in the same bits as one that was never stopped. */
#include "support/scratch.h"
#include "support/tiny_run.h"

#include <stdlib.h>
#include <string.h>

static gh_error err;
static tiny_run whole; /* two stages of two updates, not stopped */

#define MAX_ROWS 8

typedef struct watch {
  int stop_stage, count; /* stops after this update; 0: never */
  int64_t stop_update;
  gh_metrics_row rows[MAX_ROWS];
} watch;

static bool note(void *user, const gh_metrics_row *row) {
  watch *w = user;
  assert_true(w->count < MAX_ROWS);
  w->rows[w->count++] = *row;
  return row->stage == w->stop_stage && row->update == w->stop_update;
}

static gh_status train(watch *w, const char *name, bool resume) {
  gh_config config;
  gh_stage_report reports[2];
  const gh_train_options options = {.resume = resume, .quiet = true, .progress = note, .progress_user = w};
  char *pictures = check_path(scratch, "pictures"), *output = check_path(scratch, name);
  tiny_config(&config, pictures, output, NULL);
  gh_status status = gh_train(&err, &config, &options, reports);
  gh_config_free(&config);
  free(pictures);
  free(output);
  return status;
}

static void check_row(const gh_metrics_row *row, int stage, int64_t update) {
  const tiny_stage *expected = &whole.stage[stage - 1];
  assert_int_equal(row->stage, stage);
  assert_int_equal(row->update, update);
  assert_int_equal(row->updates, 2);
  assert_int_equal(row->samples, 2);
  assert_true(row->loss == expected->loss[update - 1] && row->norm == expected->norm[update - 1]);
  assert_true(row->learning_rate == expected->rate[update - 1] && row->seconds > 0);
}

static void every_update_is_shown(void **state) {
  (void)state;
  watch w = {0};
  check_ok(train(&w, "shown", false));
  assert_int_equal(w.count, 4);
  for (int i = 0; i < 4; i++) check_row(&w.rows[i], 1 + i / 2, 1 + i % 2);
}

/* After the first update of a stage, after the last one of stage 1 (between the stages), and in stage 2. */
static void stopped_and_resumed(void **state) {
  static const struct {
    int stage;
    int64_t update;
    const char *name, *text;
  } cases[] = {{1, 1, "a", "stopped after update 1 of stage 1"},
               {1, 2, "b", "stopped between the stages"},
               {2, 1, "c", "stopped after update 1 of stage 2"}};
  (void)state;
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    watch first = {.stop_stage = cases[i].stage, .stop_update = cases[i].update}, rest = {0};
    check_fails(train(&first, cases[i].name, false), GH_ERROR_STOPPED, cases[i].text);
    check_ok(train(&rest, cases[i].name, true));
    assert_int_equal(first.count + rest.count, 4);
    for (int k = 0; k < rest.count; k++) check_row(&rest.rows[k], 1 + (first.count + k) / 2, 1 + (first.count + k) % 2);
    tiny_run again;
    char *folder = check_path(scratch, cases[i].name);
    tiny_run_read(&again, folder);
    for (int s = 0; s < 2; s++)
      assert_memory_equal(again.stage[s].loss, whole.stage[s].loss, sizeof whole.stage[s].loss);
    assert_true(tiny_difference(again.stage[0].denoiser, whole.stage[0].denoiser) == 0);
    assert_true(tiny_difference(again.stage[1].adapter, whole.stage[1].adapter) == 0);
    tiny_run_free(&again);
    free(folder);
  }
}

/* A stop at the run's end comes too late: the run is done. */
static void stopped_at_the_end(void **state) {
  (void)state;
  watch w = {.stop_stage = 2, .stop_update = 2};
  check_ok(train(&w, "end", false));
  assert_int_equal(w.count, 4);
}

static int setup(void **state) {
  if (scratch_begin(state)) return -1;
  char *pictures = check_path(scratch, "pictures");
  tiny_pictures(pictures);
  tiny_train(&whole, scratch, "whole", NULL);
  free(pictures);
  return 0;
}

static int teardown(void **state) {
  tiny_run_free(&whole);
  return scratch_end(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_update_is_shown), cmocka_unit_test(stopped_and_resumed),
                                     cmocka_unit_test(stopped_at_the_end)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
