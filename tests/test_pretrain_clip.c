/* Pre-training CLIP: a step's loss and gradients against transformers' CLIPModel in float64, in one batch and in
 * micro-batches; ten updates against PyTorch; and runs that are killed and resume to the same bits, whose result the
 * encoders open. test_captions.c covers the captions and their tokenizer. */
#include "backend/registry.h"
#include "support/captioned.h"
#include "support/compare.h"
#include "support/pretrain_run.h"
#include "support/same_run.h"
#include "support/scratch.h"

#include "base/log.h"
#include "encode/embed.h"
#include "encode/text_embed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HERE      GH_FIXTURES "/clip"
#define TOLERANCE 1e-4 /* of a gradient, relative */
#define REORDERED 1e-5 /* of a gradient, relative: only the order of sums differs */
#define NOTHING   1e-9 /* a gradient of this norm is 0 but for rounding */
#define STILL     0.05 /* of a step: a parameter that moves by less has no gradient, as in make_pretrain_clip.py */

enum { PAIRS = 7, LENGTH = 6, UPDATES = 10, MICRO = 3 };

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

/* The fixture's model, pairs and step. */
typedef struct step_run {
  gh_safetensors *weights;
  float *images; /* (PAIRS, 3, 16, 16) */
  float *ids;    /* (PAIRS, LENGTH), as numbers */
  gh_store *store;
  gh_step step;
  gh_contrastive contrastive;
  int64_t micro_batch;
} step_run;

static gh_arch fixture_arch(void) {
  const gh_arch *tiny;
  check_ok(gh_arch_find(&err, "tiny", &tiny));
  gh_arch a = *tiny;
  gh_transformer *v = &a.vision.tower, *t = &a.text.tower;
  v->hidden = 16, v->layers = 2, v->heads = 2, v->mlp = 32;
  t->hidden = 12, t->layers = 2, t->heads = 3, t->mlp = 24;
  a.vision.image = 16, a.vision.patch = 8, a.vision.projection = a.text.projection = 20;
  a.text.vocabulary = 41, a.text.positions = 9, a.text.eos = 40;
  return a;
}

static void open_step(step_run *r, int64_t micro_batch) {
  *r = (step_run){.micro_batch = micro_batch, .weights = open_file(HERE "/weights.safetensors")};
  r->images = compare_load(r->weights, "images", NULL);
  r->ids = compare_load(r->weights, "ids", NULL);
  r->contrastive = (gh_contrastive){.batch = PAIRS, .length = LENGTH, .arch = fixture_arch()};
  check_ok(gh_store_create(&err, scratch_device, &r->store));
  check_ok(gh_step_block(&err, r->store, "step", &r->step.block));
  check_ok(gh_step_tensor(&err, r->store, "loss", 0, NULL, &r->step.loss_total));
  check_ok(gh_step_tensor(&err, r->store, "images", 4, (int64_t[]){micro_batch, 3, 16, 16}, &r->step.images));
  check_ok(gh_graph_create(&err, scratch_device, &r->step.graph));
  gh_module m = {.graph = r->step.graph, .store = r->store, .weights = r->weights, .trainable = true};
  gh_tensor *loss = gh_contrastive_record(&m, &r->contrastive, &r->step);
  if (gh_graph_failed(m.graph)) fail_msg("%s", gh_graph_error(m.graph)->text);
  assert_true((loss != NULL) == (micro_batch == PAIRS));
  if (!loss) return;
  gh_accumulate(m.graph, r->step.loss_total, loss);
  check_ok(gh_graph_differentiate(m.graph, loss));
}

static void close_step(step_run *r) {
  gh_contrastive_free(&r->contrastive);
  gh_graph_free(r->step.graph);
  gh_store_free(r->store);
  gh_safetensors_close(r->weights);
  free(r->images);
  free(r->ids);
}

/* Sends the pairs from `first` on, each picture with the line `shift` places behind its own; fillers are arbitrary. */
static void give(step_run *r, int64_t first, int64_t shift) {
  enum { IMAGE = 3 * 16 * 16 };
  float images[PAIRS * IMAGE];
  int32_t ids[PAIRS * LENGTH], pooled[PAIRS];
  for (int64_t m = 0; m < r->micro_batch; m++) {
    const int64_t pair = first + m, line = (pair + 2 * PAIRS - shift) % PAIRS;
    const float *words = r->ids + line * LENGTH;
    for (int64_t i = 0; i < IMAGE; i++) images[m * IMAGE + i] = pair < PAIRS ? r->images[pair * IMAGE + i] : 0.3f;
    for (int64_t i = 0; i < LENGTH; i++) ids[m * LENGTH + i] = pair < PAIRS ? (int32_t)words[i] : 7;
    pooled[m] = pair < PAIRS ? gh_text_pooled(&r->contrastive.arch.text, ids + m * LENGTH, LENGTH) : 2;
  }
  check_ok(gh_tensor_write(&err, scratch_device, r->step.images, images));
  check_ok(gh_tensor_write(&err, scratch_device, r->contrastive.ids, ids));
  check_ok(gh_tensor_write(&err, scratch_device, r->contrastive.pooled, pooled));
}

static void run_step(step_run *r, int64_t shift) {
  gh_contrastive *c = &r->contrastive;
  if (r->micro_batch == PAIRS) {
    give(r, 0, shift);
    check_ok(gh_graph_run(&err, r->step.graph));
    return;
  }
  for (int64_t first = 0; first < PAIRS; first += r->micro_batch) {
    give(r, first, shift);
    check_ok(gh_contrastive_embed(&err, c, first));
  }
  check_ok(gh_contrastive_loss(&err, c));
  for (int64_t first = 0; first < PAIRS; first += r->micro_batch) {
    give(r, first, shift);
    check_ok(gh_contrastive_gradients(&err, c, r->step.graph, first));
  }
}

static void expect_number(const gh_tensor *t, const gh_safetensors *want, const char *name) {
  float *got = read_tensor(t);
  compare_values(name, got, (float[]){compare_number(want, name)}, 1, 1e-5);
  free(got);
}

static void check_step(int64_t micro_batch) {
  gh_safetensors *want = open_file(HERE "/step.safetensors");
  step_run r;
  double worst = 0;
  int count = 0;
  open_step(&r, micro_batch);
  check_ok(gh_graph_plan(&err, r.step.graph));
  run_step(&r, 0);
  expect_number(r.step.loss_total, want, "loss");
  expect_number(r.step.logs[0], want, "accuracy");
  for (int i = 0; i < gh_store_count(r.store); i++) {
    const gh_tensor *t = gh_store_at(r.store, i);
    if (!t->trainable) continue;
    double error = pretrain_gradient_error(t, want);
    if (!(error <= TOLERANCE)) fail_msg("%s: the gradient has a relative error of %g", t->name, error);
    worst = fmax(worst, error);
    count++;
  }
  printf("micro-batches of %lld: %d gradients, the largest relative error %.1e\n", (long long)micro_batch, count,
         worst);
  assert_int_equal(count, gh_safetensors_count(r.weights) - 2); /* but for images and ids */
  close_step(&r);
  gh_safetensors_close(want);
}

static void one_batch_equals_pytorch(void **state) {
  (void)state;
  check_step(PAIRS);
}

static void micro_batches_equal_pytorch(void **state) {
  (void)state;
  check_step(MICRO);
}

/* The relative difference of two gradients. */
static double difference(const gh_tensor *a, const gh_tensor *b) {
  float *x = read_tensor(a), *y = read_tensor(b);
  double squares = 0, norm = 0;
  for (int64_t i = 0; i < gh_tensor_elements(a); i++) {
    squares += pow((double)x[i] - (double)y[i], 2);
    norm += (double)y[i] * (double)y[i];
  }
  free(x);
  free(y);
  return sqrt(squares) / (sqrt(norm) > NOTHING * 100 ? sqrt(norm) : 1);
}

static void micro_batches_equal_one_batch(void **state) {
  (void)state;
  static const int64_t sizes[] = {1, 2, MICRO, 4};
  step_run one;
  open_step(&one, PAIRS);
  check_ok(gh_graph_plan(&err, one.step.graph));
  run_step(&one, 0);
  for (size_t k = 0; k < GH_COUNT(sizes); k++) {
    step_run r;
    double worst = 0;
    open_step(&r, sizes[k]);
    check_ok(gh_graph_plan(&err, r.step.graph));
    run_step(&r, 0);
    for (int i = 0; i < gh_store_count(r.store); i++) {
      const gh_tensor *t = gh_store_at(r.store, i);
      if (!t->trainable) continue;
      double error = difference(t->grad, gh_store_find(one.store, t->name)->grad);
      if (!(error <= REORDERED)) fail_msg("micro-batches of %lld: %s: %g", (long long)sizes[k], t->name, error);
      worst = fmax(worst, error);
    }
    printf("micro-batches of %lld: the largest relative difference %.1e\n", (long long)sizes[k], worst);
    close_step(&r);
  }
  close_step(&one);
}

/* ---- updates against PyTorch ---- */

static const gh_optimizer_config optimizer = {
    .lr = 2e-3, .betas = {0.9, 0.98}, .eps = 1e-6, .weight_decay = 0.2, .clip_norm = 1, .spare_vectors = true};

static void compare_series(const gh_safetensors *want, const char *name, const double *got) {
  int64_t n = 0;
  float *expected = compare_load(want, name, &n), *theirs = compare_load(want, gh_name_make("error.%s", name).text, &n);
  double allowed = 0;
  assert_int_equal(n, UPDATES);
  for (int i = 0; i < UPDATES; i++) allowed = fmax(allowed, 4 * (double)theirs[i]);
  for (int i = 0; i < UPDATES; i++) {
    double limit = fmax(allowed, 1e-5 * (double)expected[i]);
    if (!(fabs(got[i] - (double)expected[i]) <= limit))
      fail_msg("update %d: %s %.8g, expected %.8g", i + 1, name, got[i], (double)expected[i]);
  }
  free(expected);
  free(theirs);
}

/* How far each parameter moved: the difference from PyTorch's, relative to PyTorch's movement. */
static void compare_moved(const step_run *r, const gh_safetensors *want) {
  const double limit = fmax(1e-4, 4 * (double)compare_number(want, "error.moved"));
  double worst = 0;
  for (int i = 0; i < gh_store_count(r->store); i++) {
    const gh_tensor *t = gh_store_at(r->store, i);
    if (!t->trainable) continue;
    float *got = read_tensor(t), *start = compare_load(r->weights, t->name, NULL);
    float *end = compare_load(want, gh_name_make("after.%s", t->name).text, NULL);
    double moved = 0, off = 0;
    for (int64_t k = 0; k < gh_tensor_elements(t); k++) {
      moved += pow((double)end[k] - (double)start[k], 2);
      off += pow((double)got[k] - (double)end[k], 2);
    }
    const double step = optimizer.lr * sqrt((double)gh_tensor_elements(t));
    const bool still = sqrt(moved) <= STILL * step; /* its gradient is rounding */
    double error = still ? 0 : sqrt(off / moved);
    if (still && !(sqrt(off) <= step)) fail_msg("%s moves by %g", t->name, sqrt(off));
    if (!(error <= limit)) fail_msg("%s ends off by %g of its movement", t->name, error);
    worst = fmax(worst, error);
    free(got);
    free(start);
    free(end);
  }
  printf("after %d updates, the largest difference is %.1e of the movement\n", UPDATES, worst);
}

static void ten_updates_equal_pytorch(void **state) {
  (void)state;
  gh_safetensors *want = open_file(HERE "/golden.safetensors");
  step_run r;
  gh_update update;
  double losses[UPDATES], norms[UPDATES];
  open_step(&r, MICRO);
  check_ok(gh_update_record(&err, scratch_device, r.store, &optimizer, &r.step, &update));
  check_ok(gh_graph_plan(&err, r.step.graph));
  check_ok(gh_graph_plan(&err, update.graph));
  for (int i = 0; i < UPDATES; i++) {
    const gh_step_values values = {.learning_rate = optimizer.lr,
                                   .beta1 = optimizer.betas[0],
                                   .beta2 = optimizer.betas[1],
                                   .update = (uint64_t)i + 1};
    gh_update_result result;
    double scale;
    check_ok(gh_step_write(&err, scratch_device, r.step.block, &values));
    run_step(&r, i);
    check_ok(gh_graph_run(&err, update.graph));
    check_ok(gh_update_read(&err, scratch_device, &update, &result));
    check_ok(gh_contrastive_clamp(&err, &r.contrastive, &scale));
    losses[i] = result.loss;
    norms[i] = result.norm;
  }
  compare_series(want, "losses", losses);
  compare_series(want, "norms", norms);
  compare_moved(&r, want);
  gh_update_free(&update);
  close_step(&r);
  gh_safetensors_close(want);
}

static void the_temperature_is_clamped(void **state) {
  (void)state;
  static const struct {
    float before;
    double scale;
  } cases[] = {{-0.5f, 1}, {0, 1}, {2, 7.38905609893065}, {4.7f, 100}};
  step_run r;
  open_step(&r, PAIRS);
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    double scale = 0;
    float after;
    check_ok(gh_tensor_write(&err, scratch_device, r.contrastive.logit_scale, &cases[i].before));
    check_ok(gh_contrastive_clamp(&err, &r.contrastive, &scale));
    check_ok(gh_tensor_read(&err, scratch_device, r.contrastive.logit_scale, &after));
    assert_true(fabs(scale - cases[i].scale) <= 1e-5 * cases[i].scale);
    assert_true(fabs(exp((double)after) - cases[i].scale) <= 1e-5 * cases[i].scale);
  }
  close_step(&r);
}

/* ---- whole runs ---- */

/* Five pairs in micro-batches of two, the last with a filler; a picture without a caption is left out. */
static const char config_text[] =
    "{\"images\": [\"%s\"], \"output\": \"run\", \"image_size\": 16, \"patch\": 8, \"width\": 16, \"layers\": 1,\n"
    " \"heads\": 2, \"text_width\": 8, \"text_layers\": 1, \"text_heads\": 2, \"projection\": 12, \"context\": 8,\n"
    " \"vocabulary\": 520, \"steps\": 6, \"batch\": 5, \"micro_batch\": 2, \"lr\": 0.01, \"warmup\": 2, \"workers\": "
    "2,\n"
    " \"seed\": 3, \"state_keep\": 2, \"state_minutes\": 1e-9}\n";

static const char *const run_pictures[] = {"a.png", "b.png", "c.png", "d.png", "e.png", "f.png", "g.png", NULL};
static const char *const run_captions[][2] = {{"a.txt", "a red ball"},
                                              {"b.txt", "a blue ball"},
                                              {"c.txt", "two red balls and a longer line than fits"},
                                              {"d.txt", "red"},
                                              {"e.txt", "a ball"},
                                              {"f.json", "{\"caption\": \"balls\"}"},
                                              {NULL, NULL}};

static long operations; /* on the files of the undisturbed run */

static void a_run_gives_a_clip(void **state) {
  (void)state;
  char *output = pretrain_output("whole"), *model = check_path(output, "clip");
  operations = pretrain_completes(&gh_pretrain_clip, output, false);
  gh_vision_config vision;
  gh_text_config text;
  check_ok(gh_vision_config_read(&err, model, &vision));
  check_ok(gh_text_config_read(&err, model, &text));
  assert_true(vision.tower.hidden == 16 && vision.tower.heads == 2 && vision.projection == 12 && vision.image == 16);
  assert_true(text.tower.hidden == 8 && text.positions == 8 && text.vocabulary <= 520 && text.vocabulary > 514);
  assert_int_equal(text.eos, text.vocabulary - 1);
  check_ok(gh_text_check(&err, model));
  size_t size;
  char *metrics = same_run_content(output, "metrics.jsonl", &size), *p = metrics;
  static const double rates[6] = {0.005, 0.01, 0.009045085, 0.006545085, 0.003454915, 0.000954915};
  for (int i = 0; i < 6; i++) {
    double scale = 0, rate = 0;
    p = strstr(p, "\"lr\":");
    assert_non_null(p);
    assert_true(sscanf(p, "\"lr\":%lf", &rate) == 1 && fabs(rate - rates[i]) <= 1e-8);
    assert_non_null(strstr(p, "\"accuracy\":"));
    assert_true(sscanf(strstr(p, "\"scale\":"), "\"scale\":%lf", &scale) == 1 && scale >= 1 && scale <= 100);
    p++;
  }
  free(metrics);
  free(model);
  free(output);
}

/* Both towers open, and the checkpoint is of the sizes that it says. */
static void the_encoders_open_it(void **state) {
  (void)state;
  char *output = pretrain_output("whole"), *model = check_path(output, "clip");
  const gh_embed_options options = {.batch = 2};
  static const char *const lines[] = {"a red ball", "a blue ball"};
  gh_device *device;
  gh_embedder images;
  gh_text_embedder *text;
  float rows[2 * 12], pixels[2 * 3 * 16 * 16] = {0}, embeddings[2 * 12];
  check_ok(gh_device_open(&err, "auto", &device));
  check_ok(gh_text_embedder_open(&err, &text, device, model, &options));
  check_ok(gh_text_embed_part(&err, text, lines, 0, 2, rows));
  double length = 0, apart = 0;
  for (int i = 0; i < 12; i++) length += fabs((double)rows[i]), apart += fabs((double)rows[i] - (double)rows[12 + i]);
  assert_true(isfinite(length) && length > 0 && apart > 1e-3 * length);
  assert_true(gh_text_embedder_logit_scale(text) >= 1 && gh_text_embedder_logit_scale(text) <= 100);
  check_ok(gh_embedder_open(&err, &images, device, model, &options));
  check_ok(gh_embedder_start(&err, &images, pixels));
  check_ok(gh_embedder_finish(&err, &images, embeddings));
  assert_true(isfinite((double)embeddings[0]) && embeddings[0] != 0);
  gh_embedder_close(&images);
  gh_text_embedder_close(text);
  gh_device_close(device);
  free(model);
  free(output);
}

static void a_killed_run_resumes_to_the_same_bits(void **state) {
  (void)state;
  char *whole = pretrain_output("whole");
  pretrain_kill_and_resume(&gh_pretrain_clip, whole, operations, 3);
  free(whole);
}

/* A changed caption is other data. */
static void changed_captions_are_refused(void **state) {
  (void)state;
  char *output = pretrain_output("whole"), *path = check_path(scratch, "pairs/d.txt");
  check_write(path, "blue", 4);
  const pretrain_ending e = pretrain_run(&gh_pretrain_clip, output, true, NULL, 0);
  pretrain_ends(&e, GH_ERROR_CONFIG, "the images or their captions differ from those of the interrupted run");
  check_write(path, "red", 3);
  free(path);
  free(output);
}

static int begin_runs(void **state) {
  gh_log_set_level(GH_LOG_QUIET);
  if (pretrain_share() || scratch_begin(state)) return -1;
  char *folder = captioned_folder("pairs", run_pictures, run_captions), *path = check_path(scratch, "config.json");
  char *text = gh_format(&err, config_text, folder);
  check_write(path, text, strlen(text));
  free(folder);
  free(path);
  free(text);
  return 0;
}

static int end_runs(void **state) {
  gh_log_set_level(GH_LOG_WARNING);
  pretrain_unshare();
  return scratch_end(state);
}

int main(void) {
  const struct CMUnitTest runs[] = {
      cmocka_unit_test(a_run_gives_a_clip),
      cmocka_unit_test(a_killed_run_resumes_to_the_same_bits),
      cmocka_unit_test(changed_captions_are_refused),
      cmocka_unit_test(the_encoders_open_it),
  };
  const struct CMUnitTest steps[] = {
      cmocka_unit_test(one_batch_equals_pytorch),      cmocka_unit_test(micro_batches_equal_pytorch),
      cmocka_unit_test(micro_batches_equal_one_batch), cmocka_unit_test(ten_updates_equal_pytorch),
      cmocka_unit_test(the_temperature_is_clamped),
  };
  int failed = cmocka_run_group_tests(runs, begin_runs, end_runs);
  return failed + cmocka_run_group_tests(steps, scratch_begin_with_device, scratch_end);
}
