/* The objective interface: an objective that only its own file knows (support/thumbnails.c) trains in both stages, is
 * killed and resumed, probed, compared, cached, used for drawing, planned, benchmarked and reported. */
#include "backend/registry.h"
#include "support/check.h"
#include "support/compare.h"
#include "support/objective_run.h"
#include "support/thumbnails.h"

#include "base/file.h"
#include "base/log.h"
#include "bench/step.h"
#include "config/run.h"
#include "method/probe.h"
#include "method/redraw.h"
#include "report/report.h"
#include "train/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TINY  GH_FIXTURES "/probe/tiny"
#define SIDE  64 /* of the fixture's encoder */
#define BLOCK (SIDE / THUMBNAIL_SIDE)

static gh_error err;
static objective_runs runs = {.program = "test_objective",
                              .models = "\"clip\":\"" TINY "/clip\",\"denoiser\":{\"kind\":\"thumbnails\","
                                        "\"hidden\":48}"}; /* no autoencoder, no initial weights */

/* ---- training ---- */

static gh_status check_numbers(gh_error *e, void *user, const gh_json *line) {
  double loss, error, psnr;
  check_ok(gh_json_get_double(e, line, "loss", &loss));
  check_ok(gh_json_get_double(e, line, "error", &error));
  check_ok(gh_json_get_double(e, line, "psnr", &psnr));
  assert_true(fabs(error - loss) <= 1e-6 * loss);
  assert_true(fabs(psnr + 10 * log10(loss)) <= 1e-9);
  assert_int_equal(gh_json_type_of(gh_json_member(line, "unbounded")), GH_JSON_NULL);
  ++*(int *)user;
  return GH_OK;
}

static void both_stages_train(void **state) {
  (void)state;
  gh_stage_report reports[2];
  char *output = check_path(runs.folder, "straight");
  int lines = 0;
  check_ok(objective_train(&err, &runs, "straight", NULL, (gh_train_options){0}, reports));
  assert_int_equal(reports[0].updates, 4);
  assert_int_equal(reports[1].updates, 3);
  assert_true(reports[0].last_loss < 0.9 * reports[0].first_loss);
  check_ok(gh_metrics_lines(&err, output, "metrics.jsonl", check_numbers, &lines));
  assert_int_equal(lines, 7);
  tiny_run run;
  tiny_run_read(&run, output);
  assert_non_null(gh_safetensors_find(run.stage[0].denoiser, "head.1.weight"));
  assert_int_equal(gh_safetensors_count(run.stage[0].denoiser), 4);
  assert_non_null(run.stage[1].adapter);
  tiny_run_free(&run);
  free(output);
}

static void killed_and_resumed(void **state) {
  (void)state;
  objective_killed(&runs, "straight", "killed-1", "stage1-00000002", NULL);
  objective_killed(&runs, "straight", "killed-2", "stage2-00000001", NULL);
}

/* With crops of the whole image, the cache changes nothing. */
static void targets_are_cached(void **state) {
  (void)state;
  const char *plain[] = {"data.crop_scale=[1,1]", "data.crop_ratio=[1,1]", "stage2.steps=0", NULL};
  const char *cached[] = {plain[0], plain[1], plain[2], "data.latent_cache={\"crops\":2}", NULL};
  char *shard = check_path(runs.folder, "cached/thumbnails/thumbnails-00000.safetensors");
  gh_stage_report reports[2];
  gh_safetensors *file = NULL;
  tiny_run a, b;
  check_ok(objective_train(&err, &runs, "uncached", plain, (gh_train_options){0}, reports));
  check_ok(objective_train(&err, &runs, "cached", cached, (gh_train_options){0}, reports));
  check_ok(gh_safetensors_open(&err, &file, shard));
  const gh_st_tensor *t = gh_safetensors_find(file, "thumbnails");
  assert_true(t && t->rank == 3 && t->shape[0] == 2 * (TINY_PICTURES + 1) && t->shape[1] == THUMBNAIL_PIXELS);
  gh_safetensors_close(file);
  objective_read(&runs, &a, "uncached");
  objective_read(&runs, &b, "cached");
  for (int i = 0; i < a.stage[0].updates; i++)
    assert_true(fabs(a.stage[0].loss[i] - b.stage[0].loss[i]) <= 1e-5 * a.stage[0].loss[i]);
  tiny_run_free(&a);
  tiny_run_free(&b);
  free(shard);
}

/* ---- probe ---- */

/* Pixels and thumbnails of four samples, from a formula. */
static void write_inputs(const char *path, bool pixels) {
  const int64_t images[] = {4, 3, SIDE, SIDE}, small[] = {4, THUMBNAIL_PIXELS, 3};
  const size_t n = 4 * 3 * SIDE * SIDE, m = 4 * 3 * THUMBNAIL_PIXELS;
  float *x = malloc(n * sizeof *x), *y = malloc(m * sizeof *y);
  gh_safetensors_writer *w = NULL;
  for (size_t i = 0; i < n; i++) x[i] = (float)(0.5 + 0.5 * sin(0.37 * (double)i));
  for (size_t i = 0; i < m; i++) y[i] = (float)(0.5 + 0.4 * cos(0.11 * (double)i));
  check_ok(gh_safetensors_writer_new(&err, &w, path));
  check_ok(gh_safetensors_writer_declare(&err, w, pixels ? "pixel_values" : "images", GH_ST_F32, 4, images));
  if (pixels) check_ok(gh_safetensors_writer_declare(&err, w, "thumbnails", GH_ST_F32, 3, small));
  check_ok(gh_safetensors_writer_begin(&err, w));
  check_ok(gh_safetensors_writer_write_f32(&err, w, pixels ? "pixel_values" : "images", x, (int64_t)n));
  if (pixels) check_ok(gh_safetensors_writer_write_f32(&err, w, "thumbnails", y, (int64_t)m));
  check_ok(gh_safetensors_writer_finish(&err, w));
  gh_safetensors_writer_free(w);
  free(x);
  free(y);
}

/* Checks the loss and the gradient of the last bias, recomputed from the probe's prediction and thumbnails. */
static void check_probe(const gh_safetensors *out) {
  int64_t n = 0;
  float *prediction = compare_load(out, "prediction", &n), *target = compare_load(out, "thumbnails", NULL);
  float *loss = compare_load(out, "loss", NULL), *bias = compare_load(out, "grad.head.1.bias", NULL);
  double sum = 0, gradient[3 * THUMBNAIL_PIXELS] = {0};
  for (int64_t i = 0; i < n; i++) {
    double d = (double)prediction[i] - (double)target[i];
    sum += d * d / (double)n;
    gradient[i % (3 * THUMBNAIL_PIXELS)] += 2 * d / (double)n;
  }
  assert_true(fabs((double)loss[0] - sum) <= 1e-6 * sum);
  for (int i = 0; i < 3 * THUMBNAIL_PIXELS; i++) assert_true(fabs(gradient[i] - (double)bias[i]) <= 1e-7);
  free(prediction);
  free(target);
  free(loss);
  free(bias);
}

static void probed(void **state) {
  (void)state;
  char *in = check_path(runs.folder, "in.safetensors"), *out = check_path(runs.folder, "out.safetensors");
  char *output = check_path(runs.folder, "nowhere");
  for (int pixels = 0; pixels < 2; pixels++) {
    gh_config config;
    gh_safetensors *file = NULL;
    objective_configure(&runs, &config, output, NULL);
    write_inputs(in, pixels);
    check_ok(gh_probe(&err, &config, 1, in, out));
    check_ok(gh_safetensors_open(&err, &file, out));
    check_probe(file);
    assert_non_null(gh_safetensors_find(file, "condition"));
    gh_safetensors_close(file);
    gh_config_free(&config);
  }
  free(in);
  free(out);
  free(output);
}

/* ---- the other users of the table ---- */

static void compared(void **state) {
  (void)state;
  objective_compared(&runs, 1e-4);
}

static void drawn(void **state) {
  (void)state;
  gh_redraw run;
  gh_device *device = NULL;
  gh_source *source = NULL;
  gh_reconstruction r = {0};
  char *output = check_path(runs.folder, "straight");
  check_ok(gh_redraw_open(&err, &run, output, NULL));
  check_ok(gh_device_open(&err, run.config.device, &device));
  run.device = device;
  check_ok(gh_source_open(&err, &source, runs.pictures));
  check_ok(gh_redraw_gather(&err, &run, &r, source, NULL, 3, 2));
  check_ok(gh_redraw_sample(&err, &run, &r, &(gh_drawing_how){0}, 2));
  assert_int_equal(r.count, 3);
  for (int64_t i = 0; i < r.count * 3 * SIDE; i++) /* a block has one colour */
    for (int x = 1; x < SIDE; x++)
      if (x % BLOCK) assert_true(r.images[i * SIDE + x] == r.images[i * SIDE + x - 1]);
  for (int64_t i = 0; i < r.count; i++) assert_true(gh_reconstruction_psnr(&r, i) > 3);
  gh_reconstruction_free(&r);
  gh_source_free(source);
  gh_redraw_close(&run);
  gh_device_close(device);
  free(output);
}

static void planned(void **state) {
  (void)state;
  objective_planned(&runs);
}

static void benchmarked(void **state) {
  (void)state;
  char *sets[] = {"denoiser.kind=thumbnails"};
  const gh_bench_options options = {
      .arch = "tiny", .stage = 1, .batch = 2, .sets = {.items = sets, .count = 1}, .repeats = 1};
  gh_device *device = NULL;
  gh_bench_result r;
  check_ok(gh_device_open(&err, "auto", &device));
  check_ok(gh_bench_step(&err, device, &options, &r));
  assert_true(isfinite(r.loss) && r.median.wall > 0 && r.budget.parameters_trained > 0);
  gh_bench_free(&r);
  gh_device_close(device);
}

static void reported(void **state) {
  (void)state;
  char *output = check_path(runs.folder, "straight"), *page = check_path(runs.folder, "page.html"), *text = NULL;
  size_t size = 0;
  gh_json *result = gh_json_object(&err);
  const gh_report_options options = {.run = output, .images = runs.pictures, .pictures = 2, .pool = 4, .batch = 2};
  check_ok(gh_report_write(&err, page, &options, result));
  check_ok(gh_file_read(&err, page, 1 << 24, &text, &size));
  assert_non_null(strstr(text, "thumbnails"));
  assert_non_null(strstr(text, "mean squared error of the thumbnail"));
  assert_non_null(strstr(text, "psnr"));
  assert_non_null(strstr(text, "data:image/png"));
  gh_json_free(result);
  free(text);
  free(page);
  free(output);
}

/* ---- rejected configurations ---- */

static void refused(void **state) {
  (void)state;
  static const struct {
    const char *set, *piece;
  } cases[] = {{"denoiser.hidden=7", "denoiser.hidden: 7 is odd"},
               {"denoiser.single_blocks=2", "denoiser.single_blocks is a key of the continuous denoiser only"},
               {"autoencoder=x", "autoencoder is a key of the continuous denoiser only"},
               {"denoiser.kind=thumbnail", "is not one of \"continuous\", \"discrete\", \"thumbnails\""}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    const char *sets[] = {"denoiser.kind=thumbnails", cases[i].set};
    gh_config config;
    check_fails(gh_config_defaults(&err, &config, sets, 2), GH_ERROR_CONFIG, cases[i].piece);
  }
  check_fails(gh_objective_add(&err, &thumbnails), GH_ERROR_ARGUMENT, "thumbnails");
  static const gh_objective_log taken[] = {{"lr", NULL}, {NULL, NULL}},
                                twice[] = {{"a", NULL}, {"a", NULL}, {NULL, NULL}};
  gh_objective other = thumbnails;
  other.kind.name = "other";
  other.logs = taken;
  check_fails(gh_objective_add(&err, &other), GH_ERROR_ARGUMENT, "\"lr\" is the name of another number");
  other.logs = twice;
  check_fails(gh_objective_add(&err, &other), GH_ERROR_ARGUMENT, "\"a\" is the name of another number");
}

static int begin(void **state) {
  (void)state;
  gh_log_set_level(GH_LOG_QUIET);
  check_ok(gh_objective_add(&err, &thumbnails));
  objective_begin(&runs);
  return 0;
}

static int end(void **state) {
  (void)state;
  objective_end(&runs);
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 1) {
    gh_log_set_level(GH_LOG_QUIET);
    check_ok(gh_objective_add(&err, &thumbnails));
    return objective_child(&runs, argc, argv);
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(refused),
      cmocka_unit_test(both_stages_train),
      cmocka_unit_test(killed_and_resumed),
      cmocka_unit_test(probed),
      cmocka_unit_test(targets_are_cached),
      cmocka_unit_test(compared),
      cmocka_unit_test(drawn),
      cmocka_unit_test(planned),
      cmocka_unit_test(benchmarked),
      cmocka_unit_test(reported),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
