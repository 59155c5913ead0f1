#include "support/objective_run.h"
#include "support/check.h"

#include "base/file.h"
#include "compare/compare.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static gh_error err;

void objective_begin(objective_runs *runs) {
  runs->folder = check_folder();
  runs->pictures = check_path(runs->folder, "pictures");
  tiny_pictures(runs->pictures);
}

void objective_end(objective_runs *runs) {
  free(runs->pictures);
  check_folder_done(runs->folder);
}

void objective_configure(const objective_runs *runs, gh_config *config, const char *output, const char *const *more) {
  static const char text[] = "{%s,\"data\":{\"images\":[\"%s\"],\"workers\":1},"
                             "\"stage1\":{\"steps\":4,\"batch\":3,\"micro_batch\":2,\"optimizer\":{\"lr\":0.003}},"
                             "\"stage2\":{\"steps\":3,\"batch\":2,\"micro_batch\":2,\"optimizer\":{\"lr\":0.001},"
                             "\"lora\":{\"rank\":4,\"alpha\":4}},\"state\":{\"minutes\":1e-9},\"output\":\"%s\"}";
  char *document = gh_format(&err, text, runs->models, runs->pictures, output);
  size_t count = 0;
  while (more && more[count]) count++;
  check_ok(gh_config_parse(&err, config, runs->program, document, strlen(document), more, count));
  free(document);
}

static gh_status train_into(gh_error *e, const objective_runs *runs, const char *output, const char *const *more,
                            gh_train_options options, gh_stage_report reports[2]) {
  gh_config config;
  objective_configure(runs, &config, output, more);
  gh_status status = gh_train(e, &config, &options, reports);
  gh_config_free(&config);
  return status;
}

gh_status objective_train(gh_error *e, const objective_runs *runs, const char *name, const char *const *more,
                          gh_train_options options, gh_stage_report reports[2]) {
  char *output = check_path(runs->folder, name);
  options.quiet = !options.dry_run;
  gh_status status = train_into(e, runs, output, more, options, reports);
  free(output);
  return status;
}

void objective_read(const objective_runs *runs, tiny_run *run, const char *name) {
  char *output = check_path(runs->folder, name);
  tiny_run_read(run, output);
  free(output);
}

/* ---- killed and resumed ---- */

#define MOST_OVERRIDES 16

/* The child is a separate program: OpenCL does not survive a fork. */
static void train_and_kill(const objective_runs *runs, const char *name, const char *state, const char *const *more) {
  char *output = check_path(runs->folder, name), *path = gh_format(&err, "%s/state/%s/manifest.json", output, state);
  const char *arguments[MOST_OVERRIDES + 4] = {runs->program, runs->pictures, output};
  for (size_t i = 0; more && more[i]; i++) {
    assert_true(i < MOST_OVERRIDES);
    arguments[3 + i] = more[i];
  }
  pid_t child = fork();
  if (!child) {
    execv("/proc/self/exe", (char *const *)arguments);
    _exit(99);
  }
  while (!gh_path_exists(path) && waitpid(child, NULL, WNOHANG) == 0) usleep(500);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  assert_true(gh_path_exists(path));
  free(path);
  free(output);
}

int objective_child(objective_runs *runs, int argc, char **argv) {
  gh_stage_report reports[2];
  assert_true(argc >= 3);
  runs->pictures = argv[1];
  return train_into(&err, runs, argv[2], (const char *const *)argv + 3, (gh_train_options){.quiet = true}, reports) !=
         GH_OK;
}

static void same_file(const gh_safetensors *a, const gh_safetensors *b) {
  assert_true(!a == !b);
  assert_true(!a || tiny_difference(a, b) == 0);
}

void objective_same(const objective_runs *runs, const char *a, const char *b) {
  tiny_run x, y;
  objective_read(runs, &x, a);
  objective_read(runs, &y, b);
  for (int i = 0; i < 2; i++) {
    const tiny_stage *one = &x.stage[i], *other = &y.stage[i];
    assert_int_equal(other->updates, one->updates);
    assert_memory_equal(other->loss, one->loss, sizeof one->loss);
    same_file(other->denoiser, one->denoiser);
    same_file(other->adapter, one->adapter);
    same_file(other->encoder, one->encoder);
  }
  assert_true(x.stage[0].updates + x.stage[1].updates > 0);
  tiny_run_free(&x);
  tiny_run_free(&y);
}

void objective_killed(const objective_runs *runs, const char *straight, const char *name, const char *state,
                      const char *const *more) {
  gh_stage_report reports[2];
  train_and_kill(runs, name, state, more);
  check_ok(objective_train(&err, runs, name, more, (gh_train_options){.resume = true}, reports));
  objective_same(runs, straight, name);
}

/* ---- other commands ---- */

void objective_compared(const objective_runs *runs, double tolerance) {
  char *output = check_path(runs->folder, "nowhere");
  gh_config config;
  gh_json *result = gh_json_object(&err);
  objective_configure(runs, &config, output, NULL);
  const gh_compare_options options = {
      .devices = {check_has_shape("cpu") ? "auto/cpu" : "auto/gpu", "auto/gpu"}, .steps = 2, .tolerance = tolerance};
  check_ok(gh_compare(&err, &config, &options, result));
  assert_int_equal(gh_json_count(gh_json_member(result, "stages")), 2);
  gh_json_free(result);
  gh_config_free(&config);
  free(output);
}

void objective_planned(const objective_runs *runs) {
  gh_stage_report reports[2];
  char *output = check_path(runs->folder, "dry");
  check_ok(objective_train(&err, runs, "dry", NULL, (gh_train_options){.dry_run = true}, reports));
  for (int i = 0; i < 2; i++) {
    int64_t trained = 0;
    double seconds = 0;
    check_ok(gh_json_get_int(&err, reports[i].plan, "parameters_trained", &trained));
    check_ok(gh_json_get_double(&err, reports[i].plan, "update_seconds", &seconds));
    assert_true(trained > 1000 && seconds > 0);
    assert_true(gh_json_count(gh_json_member(reports[i].plan, "products")) > 0);
    gh_json_free(reports[i].plan);
  }
  assert_false(gh_path_exists(output));
  free(output);
}
