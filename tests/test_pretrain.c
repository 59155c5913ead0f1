/* Pre-training a VQ-GAN: a step's loss and gradients against PyTorch in float64, the revival of unused codes, and runs
 * that are killed or stopped and resume to the same bits. */
#include "support/compare.h"
#include "support/pretrain_run.h"
#include "support/same_run.h"
#include "support/scratch.h"

#include "base/file.h"
#include "base/log.h"
#include "train/pretrain.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HERE      GH_FIXTURES "/vqgan"
#define TOLERANCE 1e-4 /* of a gradient, relative; PyTorch's float32 has 1e-5 */

static gh_error err;

static gh_safetensors *open_file(const char *path) {
  gh_safetensors *file = NULL;
  check_ok(gh_safetensors_open(&err, &file, path));
  return file;
}

static float *read_tensor(const gh_tensor *t) {
  float *values = gh_alloc(&err, (size_t)gh_tensor_elements(t), sizeof *values);
  assert_non_null(values);
  check_ok(gh_tensor_read(&err, scratch_device, t, values));
  return values;
}

/* ---- the step against PyTorch ---- */

typedef struct step_run {
  gh_store *store;
  gh_graph *graph;
  gh_step step;
  gh_pretrain_kept kept;
} step_run;

/* Records one micro-batch of three: the fixture's two pictures and a filler. */
static void record_step(step_run *r, const gh_pretrain_config *c, const gh_safetensors *weights,
                        const gh_safetensors *inputs) {
  const gh_step_values values = {.update = 1, .samples = 2, .weight = 0.5, .beta1 = 0.9, .beta2 = 0.999};
  int64_t n = 0;
  float *pictures = compare_load(inputs, "images", &n), *images = gh_alloc(&err, (size_t)(n / 2 * 3), sizeof *images);
  assert_non_null(images);
  for (int64_t i = 0; i < n; i++) images[i] = (pictures[i] + 1) / 2;
  for (int64_t i = n; i < n / 2 * 3; i++) images[i] = (float)(i % 7);
  check_ok(gh_store_create(&err, scratch_device, &r->store));
  check_ok(gh_step_block(&err, r->store, "step", &r->step.block));
  check_ok(
      gh_step_tensor(&err, r->store, "images", 4, (int64_t[]){3, 3, c->image_size, c->image_size}, &r->step.images));
  check_ok(gh_tensor_write(&err, scratch_device, r->step.images, images));
  check_ok(gh_step_write(&err, scratch_device, r->step.block, &values));
  check_ok(gh_graph_create(&err, scratch_device, &r->graph));
  gh_module m = {.graph = r->graph, .store = r->store, .weights = weights, .trainable = true};
  gh_tensor *loss = gh_pretrain_vqgan.record(&m, c, &r->step, &r->kept);
  check_ok(gh_step_tensor(&err, r->store, "loss", 0, NULL, &r->step.loss_total));
  gh_accumulate(r->graph, r->step.loss_total, loss);
  if (gh_graph_failed(r->graph)) fail_msg("%s", gh_graph_error(r->graph)->text);
  gh_graph_differentiate(r->graph, loss);
  check_ok(gh_graph_plan(&err, r->graph));
  check_ok(gh_graph_run(&err, r->graph));
  free(images);
  free(pictures);
}

static void expect_number(const gh_tensor *t, const gh_safetensors *want, const char *name) {
  float *got = read_tensor(t);
  compare_values(name, got, (float[]){compare_number(want, name)}, 1, 1e-5);
  free(got);
}

static void the_step_equals_pytorch(void **state) {
  (void)state;
  gh_safetensors *weights = open_file(HERE "/weights.safetensors"), *inputs = open_file(HERE "/expected.safetensors");
  gh_safetensors *want = open_file(HERE "/step.safetensors");
  gh_pretrain_config c = {.kind = &gh_pretrain_vqgan, .image_size = 32, .commitment = 0.25};
  step_run r = {0};
  check_ok(gh_vqgan_config_read(&err, weights, &c.vqgan));
  c.codes = c.vqgan.codes;
  record_step(&r, &c, weights, inputs);
  expect_number(r.step.loss_total, want, "loss");
  assert_int_equal(r.step.log_count, 1);
  expect_number(r.step.logs[0], want, "reconstruction");
  assert_ptr_equal(r.step.carried[0], r.kept.usage);
  float *usage = read_tensor(r.kept.usage), *expected = compare_load(want, "usage", NULL);
  assert_memory_equal(usage, expected, (size_t)c.codes * sizeof *usage);
  double worst = 0;
  int count = 0;
  for (int i = 0; i < gh_store_count(r.store); i++) {
    const gh_tensor *t = gh_store_at(r.store, i);
    if (!t->trainable) continue;
    double error = pretrain_gradient_error(t, want);
    if (!(error <= TOLERANCE)) fail_msg("%s: the gradient has a relative error of %g", t->name, error);
    worst = fmax(worst, error);
    count++;
  }
  printf("%d gradients, the largest relative error %.1e\n", count, worst);
  assert_int_equal(count, gh_safetensors_count(weights));
  free(usage);
  free(expected);
  gh_graph_free(r.graph);
  gh_store_free(r.store);
  gh_safetensors_close(weights);
  gh_safetensors_close(inputs);
  gh_safetensors_close(want);
}

/* A tensor behind a stop-gradient needs none; one that a gradient passes by gets none. */
static void gradients_pass_straight_through(void **state) {
  (void)state;
  gh_store *store;
  gh_graph *g;
  gh_tensor *value, *through;
  check_ok(gh_store_create(&err, scratch_device, &store));
  check_ok(gh_store_add(&err, store, "value", GH_F32, 2, (int64_t[]){2, 3}, &value));
  check_ok(gh_store_add(&err, store, "through", GH_F32, 2, (int64_t[]){2, 3}, &through));
  check_ok(gh_store_make_trainable(&err, store, value));
  check_ok(gh_store_make_trainable(&err, store, through));
  check_ok(gh_graph_create(&err, scratch_device, &g));
  assert_false(gh_straight_through(g, value, NULL)->needs_grad);
  gh_tensor *y = gh_straight_through(g, value, through);
  assert_true(y->needs_grad);
  gh_tensor *dout = NULL;
  check_ok(gh_store_add(&err, store, "dout", GH_F32, 2, (int64_t[]){2, 3}, &dout));
  const float given[6] = {1, -2, 3, 4, 0.5f, 6};
  check_ok(gh_tensor_write(&err, scratch_device, dout, given));
  check_ok(gh_graph_differentiate_from(g, &y, &dout, 1));
  check_ok(gh_graph_plan(&err, g));
  check_ok(gh_graph_run(&err, g));
  float *passed = read_tensor(through->grad), *stopped = read_tensor(value->grad);
  for (int i = 0; i < 6; i++) assert_true(passed[i] == given[i] && stopped[i] == 0);
  free(passed);
  free(stopped);
  gh_graph_free(g);
  gh_store_free(store);
}

/* ---- revival ---- */

/* Rows 1, 3, 4 and 6 of seven are dead, and there are three latents: the first three get one each, the last waits. */
static void dead_rows_are_revived(void **state) {
  (void)state;
  enum { CODES = 7, COUNT = 3, WIDTH = 2 };
  static const float usage[CODES] = {2, 0, 1, 0, 0, 5, 0}, latents[COUNT * WIDTH] = {10, 11, 20, 21, 30, 31};
  static const bool revived[CODES] = {false, true, false, true, true, false, false};
  float tables[2][3][CODES * WIDTH];
  bool differ = false;
  for (uint64_t update = 1; update <= 8; update++) {
    for (int run = 0; run < 2; run++) {
      for (int i = 0; i < CODES * WIDTH; i++)
        for (int t = 0; t < 3; t++) tables[run][t][i] = (float)(100 + i);
      gh_stream stream = gh_stream_make(5, 1, "revive", "");
      assert_int_equal(gh_codebook_revive(stream, update + (run ? 1 : 0), usage, CODES, latents, COUNT, WIDTH,
                                          tables[run][0], tables[run][1], tables[run][2]),
                       COUNT);
      int seen = 0;
      for (int k = 0; k < CODES; k++) {
        const float *row = tables[run][0] + k * WIDTH;
        int from = (int)row[0] / 10 - 1;
        assert_true(revived[k] ? from < COUNT && row[1] == row[0] + 1 : row[0] == (float)(100 + k * WIDTH));
        seen |= revived[k] ? 1 << from : 0;
        for (int t = 1; t < 3; t++)
          for (int i = 0; i < WIDTH; i++)
            assert_true(tables[run][t][k * WIDTH + i] == (revived[k] ? 0.0f : (float)(100 + k * WIDTH + i)));
      }
      assert_int_equal(seen, 7); /* without replacement */
    }
    differ |= memcmp(tables[0][0], tables[1][0], sizeof tables[0][0]) != 0;
  }
  assert_true(differ); /* the draw depends on the update */
}

/* ---- whole runs ---- */

static const char config_text[] =
    "{\"images\": [\"%s/encode/images\"], \"output\": \"run\", \"image_size\": 16, \"channels\": 32,\n"
    " \"multipliers\": [1, 1], \"blocks\": 1, \"latent\": 8, \"embedding\": 6, \"codes\": 40, \"revive_every\": 3,\n"
    " \"steps\": 6, \"batch\": 3, \"micro_batch\": 2, \"lr\": 0.003, \"warmup\": 2, \"workers\": 2, \"seed\": 3,\n"
    " \"state_keep\": 2, \"state_minutes\": 1e-9}\n";

#define POSITIONS (3 * 8 * 8) /* of an update: three samples, without the filler */

static bool stop_at_2(void *user, const gh_metrics_row *row) {
  (void)user;
  return row->update == 2;
}

static long operations; /* on the files of the undisturbed run */

static void a_run_gives_a_vqgan(void **state) {
  (void)state;
  char *output = pretrain_output("whole"), *path = check_path(output, "vqgan.safetensors");
  operations = pretrain_completes(&gh_pretrain_vqgan, output, false);
  gh_safetensors *file = open_file(path);
  gh_vqgan_config c;
  check_ok(gh_vqgan_config_read(&err, file, &c));
  assert_true(c.channels == 32 && c.levels == 2 && c.blocks == 1 && c.latent == 8 && c.embedding == 6 && c.codes == 40);
  assert_int_equal(same_run_lines(output), 6);
  size_t size;
  char *metrics = same_run_content(output, "metrics.jsonl", &size);
  int numbered = 0;
  for (char *p = metrics; (p = strstr(p, "\"reconstruction\":")); p++)
    numbered += strstr(p, "\"codes_used\":") && strstr(p, "\"perplexity\":");
  assert_int_equal(numbered, 6);
  free(metrics);
  gh_safetensors_close(file);
  free(path);
  free(output);
}

static void a_killed_run_resumes_to_the_same_bits(void **state) {
  (void)state;
  char *whole = pretrain_output("whole");
  pretrain_kill_and_resume(&gh_pretrain_vqgan, whole, operations, 4);
  free(whole);
}

/* After update 2, the state has the counts of that update: the revival after update 1 has cleared the earlier ones. */
static void counts_are_part_of_the_state(void **state) {
  (void)state;
  char *whole = pretrain_output("whole"), *output = pretrain_output("stopped");
  const pretrain_ending e = pretrain_run(&gh_pretrain_vqgan, output, false, stop_at_2, 0);
  pretrain_ends(&e, GH_ERROR_STOPPED, "stopped after update 2 of vqgan");
  char *path = check_path(output, "state/stage1-00000002/part-00000.safetensors");
  gh_safetensors *part = open_file(path);
  int64_t n = 0;
  double total = 0;
  float *usage = compare_load(part, "carried.usage", &n);
  assert_int_equal(n, 40);
  for (int64_t i = 0; i < n; i++) total += (double)usage[i];
  assert_true(total == POSITIONS);
  free(usage);
  gh_safetensors_close(part);
  pretrain_completes(&gh_pretrain_vqgan, output, true);
  same_run(whole, output, "stopped after update 2");
  free(path);
  free(output);
  free(whole);
}

/* The first revival has filled the codebook with latents: most rows are far longer than the initial ones, +-1/40. */
static void the_first_update_fills_the_codebook(void **state) {
  (void)state;
  char *output = pretrain_output("whole"), *path = check_path(output, "vqgan.safetensors");
  gh_safetensors *file = open_file(path);
  int64_t n = 0, beyond = 0;
  float *codebook = compare_load(file, "quantize.embedding.weight", &n);
  for (int64_t k = 0; k < n / 6; k++) {
    float greatest = 0;
    for (int64_t i = 0; i < 6; i++) greatest = fmaxf(greatest, fabsf(codebook[k * 6 + i]));
    beyond += greatest > 0.06f; /* six updates of 0.003 cannot reach it */
  }
  printf("%lld of 40 rows are latents\n", (long long)beyond);
  assert_true(beyond >= 20);
  free(codebook);
  gh_safetensors_close(file);
  free(path);
  free(output);
}

/* A folder of the other kind is no run of this one. */
static void another_kind_is_refused(void **state) {
  (void)state;
  char *output = pretrain_output("whole"), *path = check_path(scratch, "autoencoder.json");
  char *text =
      gh_format(&err, "{\"images\": [\"%s/encode/images\"], \"output\": \"x\", \"image_size\": 16}", GH_FIXTURES);
  check_write(path, text, strlen(text));
  const gh_train_options options = {.resume = true, .quiet = true};
  const pretrain_ending e = pretrain_as(output, &options, &gh_pretrain_autoencoder, "autoencoder.json", 0);
  pretrain_ends(&e, GH_ERROR_CONFIG, "kind differs from the interrupted run");
  free(text);
  free(path);
  free(output);
}

static int begin_runs(void **state) {
  gh_log_set_level(GH_LOG_WARNING);
  if (pretrain_share() || scratch_begin(state)) return -1;
  char *text = gh_format(&err, config_text, GH_FIXTURES), *path = check_path(scratch, "config.json");
  check_write(path, text, strlen(text));
  free(path);
  free(text);
  return 0;
}

static int end_runs(void **state) {
  pretrain_unshare();
  return scratch_end(state);
}

int main(void) {
  const struct CMUnitTest runs[] = {
      cmocka_unit_test(a_run_gives_a_vqgan),          cmocka_unit_test(a_killed_run_resumes_to_the_same_bits),
      cmocka_unit_test(counts_are_part_of_the_state), cmocka_unit_test(the_first_update_fills_the_codebook),
      cmocka_unit_test(another_kind_is_refused),
  };
  const struct CMUnitTest steps[] = {
      cmocka_unit_test(the_step_equals_pytorch),
      cmocka_unit_test(gradients_pass_straight_through),
      cmocka_unit_test(dead_rows_are_revived),
  };
  int failed = cmocka_run_group_tests(runs, begin_runs, end_runs);
  return failed + cmocka_run_group_tests(steps, scratch_begin_with_device, scratch_end);
}
