/* Evaluations during stage 2 and the guard: valid keys, the history across an interruption, the best snapshot,
 * a guard that marks and one that stops. */
#include "support/compare.h"
#include "support/run_folder.h"
#include "support/tiny_run.h"

#include "base/file.h"
#include "base/json.h"
#include "train/evaluate.h"
#include "train/evaluate_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder, *pictures, *zeroshot, *mmvp;
static char *evaluate; /* "evaluate=[...]" with both scores */
static gh_error err;

/* ---- the keys ---- */

static gh_status plan_of(gh_evaluate_plan *plan, const char *list, const char *guard) {
  gh_config config;
  char *a = gh_format(&err, "evaluate=%s", list), *b = gh_format(&err, "stage2.guard=%s", guard);
  const char *const overrides[] = {a, b, NULL};
  tiny_config(&config, "p", "o", overrides);
  gh_status status = gh_evaluate_plan_read(&err, plan, &config);
  gh_config_free(&config);
  free(a);
  free(b);
  return status;
}

#define M "{\"kind\":\"mmvp\",\"data\":\"d\"}"
#define Z "{\"kind\":\"zeroshot\",\"data\":\"d\",\"templates\":\"t\"}"
#define R "{\"kind\":\"retrieval\",\"data\":\"d\",\"name\":\"coco\",\"batch\":64}"

static void keys(void **state) {
  (void)state;
  gh_evaluate_plan p;
  check_ok(plan_of(&p, "[]", "null"));
  assert_int_equal(p.count, 0);
  check_ok(plan_of(&p, "[" R "," Z "," M "]", "{}"));
  static const char *const names[] = {"coco.image@5", "coco.text@5", "zeroshot.top1", "zeroshot.top5", "mmvp"};
  assert_int_equal(p.score_count, 5);
  for (int i = 0; i < 5; i++) assert_string_equal(p.scores[i], names[i]);
  assert_true(p.guarded && !p.stops && p.points == 0.3 && p.watch == 2 && p.best == 4 && p.batch == 64);
  check_ok(
      plan_of(&p, "[" M "," Z "]", "{\"watch\":\"mmvp\",\"points\":2,\"action\":\"stop\",\"best\":\"zeroshot.top5\"}"));
  assert_true(p.stops && p.points == 2 && p.watch == 0 && p.best == 2);
  check_ok(plan_of(&p, "[" R "]", "null")); /* no guard: the best by the available scores */
  assert_true(!p.guarded && p.best == 0);
}

static void wrong_keys(void **state) {
  (void)state;
  static const struct {
    const char *list, *guard, *text;
  } table[] = {
      {"[3]", "null", "evaluate[0]: expected an object, found a number"},
      {"[{}]", "null", "evaluate[0]: kind: missing"},
      {"[{\"kind\":\"mvp\",\"data\":\"d\"}]", "null", "evaluate[0].kind: \"mvp\"; it can be mmvp"},
      {"[{\"kind\":\"mmvp\"}]", "null", "evaluate[0]: data: missing"},
      {"[{\"kind\":\"mmvp\",\"data\":\"d\",\"dta\":1}]", "null",
       "unknown key \"evaluate[0].dta\" (the nearest is \"data\")"},
      {"[{\"kind\":\"mmvp\",\"data\":\"d\",\"templates\":\"t\"}]", "null", "unknown key \"evaluate[0].templates\""},
      {"[" M "," M "]", "null", "evaluate[1]: a score mmvp already exists"},
      {"[{\"kind\":\"mmvp\",\"data\":\"d\",\"batch\":0}]", "null", "batch: from 1"},
      {"[{\"kind\":\"mmvp\",\"data\":\"d\",\"name\":\"\"}]", "null", "evaluate[0].name"},
      {"[]", "{}", "\"evaluate\" is empty"},
      {"[" M "]", "{}", "no zero-shot classification to watch"},
      {"[" Z "]", "{\"point\":1}", "unknown key \"stage2.guard.point\""},
      {"[" Z "]", "{\"points\":-1}", "stage2.guard.points"},
      {"[" Z "]", "{\"points\":\"x\"}", "stage2.guard: points: expected a number"},
      {"[" Z "]", "{\"action\":\"halt\"}", "it can be mark or stop"},
      {"[" Z "]", "{\"watch\":\"zeroshot.top\"}", "no score zeroshot.top (the nearest is zeroshot.top1)"},
  };
  gh_evaluate_plan p;
  for (size_t i = 0; i < GH_COUNT(table); i++)
    check_fails(plan_of(&p, table[i].list, table[i].guard), GH_ERROR_CONFIG, table[i].text);
}

/* ---- runs ---- */

static gh_status train(gh_stage_report reports[2], const char *steps, const char *guard, bool resume) {
  gh_config config;
  char *output = check_path(folder, "run"), *set = gh_format(&err, "stage2.guard=%s", guard);
  char *count = gh_format(&err, "stage2.steps=%s", steps);
  const char *const overrides[] = {"clip=" GH_FIXTURES "/text/clip",
                                   "denoiser.weights=null",
                                   "stage1.steps=0",
                                   "stage2.checkpoint_at=[]",
                                   "stage2.checkpoint_every=1",
                                   count,
                                   evaluate,
                                   set,
                                   NULL};
  const gh_train_options options = {.quiet = true, .resume = resume};
  tiny_config(&config, pictures, output, overrides);
  gh_status status = gh_train(&err, &config, &options, reports);
  gh_config_free(&config);
  free(output);
  free(set);
  free(count);
  return status;
}

static char *content(const char *name) {
  char *path = check_path(folder, name), *text = NULL;
  size_t size = 0;
  check_ok(gh_file_read(&err, path, 1 << 24, &text, &size));
  free(path);
  return text;
}

static int lines_of(const char *name) {
  char *text = content(name);
  int lines = 0;
  for (const char *at = text; *at; at++) lines += *at == '\n';
  free(text);
  return lines;
}

static double best_value(const char *key) {
  gh_json *best = NULL;
  double value = -1;
  char *path = check_path(folder, "run/best.json");
  check_ok(gh_json_read_file(&err, &best, path, GH_JSON_MAX_BYTES));
  check_ok(gh_json_get_double(&err, best, key, &value));
  gh_json_free(best);
  free(path);
  return value;
}

/* Rewrites the history: every zero-shot score so far becomes 100. */
static void raise_the_past(void) {
  static const char key[] = "\"zeroshot.top1\":";
  char *text = content("run/evaluations.jsonl"), *path = check_path(folder, "run/evaluations.jsonl");
  char *changed = gh_alloc(&err, strlen(text) + 64, 1), *to = changed;
  for (const char *at = text; *at;) {
    if (strncmp(at, key, sizeof key - 1) || at[sizeof key - 1] == '{') { /* not its interval */
      *to++ = *at++;
      continue;
    }
    to = stpcpy(stpcpy(to, key), "100");
    at += sizeof key - 1;
    at += strcspn(at, ",");
  }
  check_write(path, changed, strlen(changed));
  free(changed);
  free(text);
  free(path);
}

static void a_run_with_a_history(void **state) {
  (void)state;
  gh_stage_report reports[2];
  /* Marks nothing: 100 points may be lost. */
  check_ok(train(reports, "2", "{\"points\":100}", false));
  assert_true(reports[1].evaluated && reports[1].updates == 2 && !reports[1].best.stopped && reports[1].best.within);
  assert_int_equal(lines_of("run/evaluations.jsonl"), 3);
  assert_true(best_value("update") >= 1 && best_value("start") == reports[1].best.start);
  assert_string_equal(reports[1].best.score, "mmvp");
  char *rows = content("run/evaluations.jsonl");
  assert_non_null(strstr(rows, "\"intervals\":{\"mmvp\":{\"percent\":"));
  free(rows);
  char *log = content("run/train.log");
  assert_non_null(strstr(log, "stage 2 update 0/2 evaluation mmvp "));
  assert_non_null(strstr(log, "stage 2 update 2/2 evaluation mmvp "));
  free(log);
  /* Nothing left to do: a resume measures nothing twice. */
  check_ok(train(reports, "2", "{\"points\":100}", true));
  assert_int_equal(lines_of("run/evaluations.jsonl"), 3);
  /* The past was better: the next snapshot trips a guard that stops, its state is saved, and the best remains one of
   * the snapshots that passed. */
  raise_the_past();
  check_ok(train(reports, "5", "{\"points\":0.3,\"action\":\"stop\"}", true));
  assert_int_equal(reports[1].updates, 3);
  assert_true(reports[1].best.stopped && reports[1].best.stopped_at == 3 && reports[1].best.update <= 2);
  assert_int_equal(lines_of("run/evaluations.jsonl"), 4);
  /* It stays stopped until the limit is raised or the action is only to mark. */
  check_ok(train(reports, "5", "{\"points\":0.3,\"action\":\"stop\"}", true));
  assert_int_equal(reports[1].updates, 3);
  check_ok(train(reports, "4", "{\"points\":100,\"action\":\"stop\"}", true));
  assert_true(reports[1].updates == 4 && !reports[1].best.stopped && reports[1].best.within);
  check_ok(train(reports, "5", "{\"points\":0.3}", true));
  assert_int_equal(reports[1].updates, 5);
  assert_int_equal(lines_of("run/evaluations.jsonl"), 6);
  char *history = content("run/evaluations.jsonl");
  assert_non_null(strstr(history, "\"within\":false"));
  /* The line of the scores before training has rotted: they are measured again, since the guard needs them. */
  char *path = check_path(folder, "run/evaluations.jsonl");
  history[0] = '?';
  for (int again = 0; again < 2; again++) { /* then the line stands last, which does not matter */
    check_write(path, history, strlen(history));
    free(history);
    check_ok(train(reports, "5", "{\"points\":0.3}", true));
    assert_int_equal(lines_of("run/evaluations.jsonl"), 6);
    history = content("run/evaluations.jsonl");
    assert_non_null(strstr(history, "\"update\":0,\"scores\":{"));
  }
  free(path);
  free(history);
  /* A different evaluation has no start to compare with. */
  char *whole = evaluate;
  evaluate = gh_format(&err, "evaluate=[{\"kind\":\"mmvp\",\"data\":\"%s\",\"name\":\"other\"}]", mmvp);
  check_fails(train(reports, "6", "null", true), GH_ERROR_CONFIG, "lacks initial scores");
  free(evaluate);
  evaluate = whole;
}

static void data_is_checked_first(void **state) {
  (void)state;
  gh_stage_report reports[2];
  char *whole = evaluate;
  evaluate = gh_format(&err, "evaluate=[{\"kind\":\"mmvp\",\"data\":\"%s\"}]", zeroshot);
  check_fails(train(reports, "9", "null", true), GH_ERROR_FILE, "evaluate[0]: ");
  free(evaluate);
  evaluate = whole;
}

static void without_an_evaluation(void **state) {
  (void)state;
  gh_config config;
  tiny_config(&config, "p", "o", NULL);
  gh_evaluator *e = NULL;
  check_ok(gh_evaluate_check(&err, &config, true));
  check_ok(gh_evaluator_open(&err, &e, &config, NULL, NULL, true));
  assert_null(e);
  gh_config_free(&config);
}

static int begin(void **state) {
  (void)state;
  static const char questions[] = "1,A,a dog\n2,A,a cat\n3,A,birds\n4,A,a line\n";
  folder = check_folder();
  pictures = check_path(folder, "pictures");
  zeroshot = check_path(folder, "zeroshot");
  mmvp = check_path(folder, "mmvp");
  tiny_pictures(pictures);
  for (int i = 0; i < 4; i++) {
    char from[16], to[16], class[32];
    snprintf(from, sizeof from, "%d.png", i);
    snprintf(to, sizeof to, "%d.png", i + 1);
    snprintf(class, sizeof class, "zeroshot/%c", 'a' + i % 3);
    char *picture = check_path(pictures, from);
    run_folder_copy(folder, picture, "mmvp/MLLM_VLM Images/A", to);
    run_folder_copy(folder, picture, class, to);
    free(picture);
  }
  char *path = check_path(folder, "mmvp/Questions.csv");
  check_write(path, questions, sizeof questions - 1);
  free(path);
  evaluate = gh_format(
      &err, "evaluate=[{\"kind\":\"mmvp\",\"data\":\"%s\"},{\"kind\":\"zeroshot\",\"data\":\"%s\",\"batch\":3}]", mmvp,
      zeroshot);
  return evaluate ? 0 : 1;
}

static int end(void **state) {
  (void)state;
  free(pictures);
  free(zeroshot);
  free(mmvp);
  free(evaluate);
  check_folder_done(folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keys),
      cmocka_unit_test(wrong_keys),
      cmocka_unit_test(a_run_with_a_history),
      cmocka_unit_test(data_is_checked_first),
      cmocka_unit_test(without_an_evaluation),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
