/* Pre-training CLIP: a step's loss and gradients against transformers' CLIPModel in float64, in one batch and in
 * micro-batches; ten updates against PyTorch; captions of folders and shards; the tokenizer that is learnt from them;
 * and runs that are killed and resume to the same bits, whose result the encoders open. */
#include "backend/registry.h"
#include "support/compare.h"
#include "support/pretrain_run.h"
#include "support/same_run.h"
#include "support/scratch.h"
#include "support/tar.h"

#include "base/file.h"
#include "base/log.h"
#include "data/captions.h"
#include "encode/embed.h"
#include "encode/text_embed.h"
#include "io/tokenizer.h"

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

/* ---- the tokenizer ---- */

static void read_lines(gh_strings *out, const char *path) {
  char *text, *rest = NULL;
  size_t size;
  check_ok(gh_file_read(&err, path, 1 << 20, &text, &size));
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
    check_ok(gh_strings_add(&err, out, line));
  free(text);
}

/* The merges are those of plain counting; with them, tokens are transformers'. */
static void the_tokenizer_is_learnt(void **state) {
  (void)state;
  enum { SIZE = 560, ROW = 48 };
  gh_strings lines = {0}, merges = {0}, backwards = {0};
  gh_bpe_model model, other;
  gh_tokenizer *tokenizer = NULL;
  gh_safetensors *file = open_file(HERE "/ids.safetensors");
  float *ids = compare_load(file, "ids", NULL);
  read_lines(&lines, HERE "/lines.txt");
  read_lines(&merges, HERE "/merges.txt");
  check_ok(gh_bpe_train(&err, &model, &lines, SIZE));
  assert_int_equal(model.merges.count, merges.count - 1); /* but for the version */
  for (size_t i = 0; i < model.merges.count; i++) assert_string_equal(model.merges.items[i], merges.items[i + 1]);
  for (size_t i = lines.count; i-- > 0;) check_ok(gh_strings_add(&err, &backwards, lines.items[i]));
  check_ok(gh_bpe_train(&err, &other, &backwards, SIZE));
  assert_true(gh_json_equal(model.vocabulary, other.vocabulary));
  check_ok(gh_bpe_model_write(&err, &model, scratch, ROW));
  for (int written = 0; written < 2; written++) {
    check_ok(written ? gh_tokenizer_open(&err, &tokenizer, scratch)
                     : gh_tokenizer_from_words(&err, &tokenizer, model.vocabulary, &model.merges));
    assert_int_equal(gh_tokenizer_max_length(tokenizer), written ? ROW : 0);
    for (size_t i = 0; i < lines.count; i++) {
      int32_t row[ROW];
      check_ok(gh_tokenizer_encode(&err, tokenizer, lines.items[i], ROW, row));
      for (int k = 0; k < ROW; k++) assert_int_equal(row[k], (int32_t)ids[i * ROW + (size_t)k]);
    }
    gh_tokenizer_close(tokenizer);
  }
  gh_bpe_model_free(&model);
  gh_bpe_model_free(&other);
  gh_strings_free(&lines);
  gh_strings_free(&merges);
  gh_strings_free(&backwards);
  gh_safetensors_close(file);
  free(ids);
}

/* No pair occurs twice, or there is no room for a merge: a vocabulary of bytes and marks. */
static void nothing_to_learn(void **state) {
  (void)state;
  static const struct {
    const char *line;
    int64_t size;
  } cases[] = {{"abc", 1000}, {"", 1000}, {"aaaa aaaa", GH_BPE_LEAST}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_strings lines = {0};
    gh_bpe_model model;
    check_ok(gh_strings_add(&err, &lines, cases[i].line));
    check_ok(gh_bpe_train(&err, &model, &lines, cases[i].size));
    assert_int_equal(model.merges.count, 0);
    assert_int_equal(gh_json_count(model.vocabulary), GH_BPE_LEAST);
    gh_bpe_model_free(&model);
    gh_strings_free(&lines);
  }
}

/* ---- captions ---- */

#define PICTURES GH_FIXTURES "/encode/images"

/* Writes into a fresh folder in scratch a copy of one picture under each name, and the texts beside them. */
static char *make_folder(const char *name, const char *const *pictures, const char *const (*texts)[2]) {
  char *folder = check_path(scratch, name), *bytes;
  size_t size;
  gh_strings list = {0};
  check_ok(gh_folder_make(&err, folder));
  check_ok(gh_folder_list(&err, &list, PICTURES, false));
  char *first = check_path(PICTURES, list.items[0]);
  check_ok(gh_file_read(&err, first, SIZE_MAX, &bytes, &size));
  for (; *pictures; pictures++) {
    char *path = check_path(folder, *pictures);
    check_write(path, bytes, size);
    free(path);
  }
  for (; texts[0][0]; texts++) {
    char *path = check_path(folder, texts[0][0]);
    check_write(path, texts[0][1], strlen(texts[0][1]));
    free(path);
  }
  gh_strings_free(&list);
  free(first);
  free(bytes);
  return folder;
}

static gh_image_set *open_set(const char *source) {
  gh_image_set *set = NULL;
  check_ok(gh_image_set_open(&err, &set, "images", &source, 1));
  return set;
}

static const char *const captioned[] = {"a.png", "b.c.png", "d.png", "e.png", "f.png", NULL};
static const char *const captions[][2] = {{"a.txt", "a cat\n"},
                                          {"b.c.txt", "a dog"},
                                          {"d.json", "{\"key\": 1, \"caption\": \"a hat\"}"},
                                          {"e.txt", " \n"},
                                          {"e.json", "{\"caption\": \"a bee\"}"},
                                          {"f.json", "{\"text\": \"no caption\"}"},
                                          {NULL, NULL}};

static void captions_of_a_folder(void **state) {
  (void)state;
  char *folder = make_folder("captioned", captioned, captions);
  gh_image_set *set = open_set(folder);
  const uint64_t before = gh_image_set_hash(set);
  gh_strings out;
  gh_log_set_level(GH_LOG_QUIET);
  check_ok(gh_captions_read(&err, &out, set));
  gh_log_set_level(GH_LOG_WARNING);
  static const char *const want[] = {"a cat\n", "a dog", "a hat", "a bee"};
  assert_int_equal(out.count, GH_COUNT(want));
  for (size_t i = 0; i < GH_COUNT(want); i++) assert_string_equal(out.items[i], want[i]);
  assert_int_equal(gh_image_set_count(set), 4); /* f.png is left out */
  assert_int_equal(gh_image_set_left_out(set), 1);
  assert_true(gh_image_set_hash(set) != before);
  char *last = gh_image_set_name(&err, set, 3);
  assert_true(gh_ends_with(last, "/e.png"));
  gh_image image;
  check_ok(gh_image_set_decode(&err, &image, set, 3, NULL));
  gh_image_free(&image);
  free(last);
  gh_strings_free(&out);
  gh_image_set_free(set);
  free(folder);
}

static void captions_of_shards(void **state) {
  (void)state;
  static const char *const members[][2] = {{"x/2.json", "{\"caption\": \"not this\"}"},
                                           {"x/2.jpg", "?"},
                                           {"x/2.txt", "two"},
                                           {"1.png", "?"},
                                           {"1.json", "{\"caption\": \"one\"}"},
                                           {"lost.txt", "of no picture"},
                                           {"10.png", "?"},
                                           {"10.txt", "ten"}};
  static const char *const want[] = {"one", "ten", "two"}; /* 1.png, 10.png, x/2.jpg */
  tar_bytes tar = {0};
  char *path = check_path(scratch, "c.tar");
  for (size_t i = 0; i < GH_COUNT(members); i++) tar_text(&tar, '0', members[i][0], members[i][1]);
  tar_end(&tar);
  check_write(path, tar.bytes, tar.size);
  gh_image_set *set = open_set(path);
  gh_strings out;
  gh_log_set_level(GH_LOG_QUIET);
  check_ok(gh_captions_read(&err, &out, set));
  gh_log_set_level(GH_LOG_WARNING);
  assert_int_equal(out.count, GH_COUNT(want));
  for (size_t i = 0; i < GH_COUNT(want); i++) assert_string_equal(out.items[i], want[i]);
  gh_strings_free(&out);
  gh_image_set_free(set);
  tar_free(&tar);
  free(path);
}

static void broken_captions(void **state) {
  (void)state;
  static const char *const one[] = {"a.png", NULL};
  static const struct {
    const char *texts[2][2];
    gh_status status;
    const char *message;
  } cases[] = {
      {{{NULL, NULL}}, GH_ERROR_FILE, "images: none of the 1 pictures has a caption"},
      {{{"a.txt", "a \xff"}, {NULL, NULL}}, GH_ERROR_FORMAT, "a.txt: not UTF-8 text"},
      {{{"a.json", "{"}, {NULL, NULL}}, GH_ERROR_FORMAT, "a.json"},
      {{{"a.json", "{\"caption\": 3}"}, {NULL, NULL}}, GH_ERROR_FORMAT, "a.json: caption: expected a string"},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    char *folder = make_folder(gh_name_make("broken%zu", i).text, one, cases[i].texts);
    gh_image_set *set = open_set(folder);
    gh_strings out;
    gh_log_set_level(GH_LOG_QUIET);
    check_fails(gh_captions_read(&err, &out, set), cases[i].status, cases[i].message);
    gh_log_set_level(GH_LOG_WARNING);
    gh_image_set_free(set);
    free(folder);
  }
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
  char *folder = make_folder("pairs", run_pictures, run_captions), *path = check_path(scratch, "config.json");
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
      cmocka_unit_test(one_batch_equals_pytorch),
      cmocka_unit_test(micro_batches_equal_pytorch),
      cmocka_unit_test(micro_batches_equal_one_batch),
      cmocka_unit_test(ten_updates_equal_pytorch),
      cmocka_unit_test(the_temperature_is_clamped),
      cmocka_unit_test(the_tokenizer_is_learnt),
      cmocka_unit_test(nothing_to_learn),
      cmocka_unit_test(captions_of_a_folder),
      cmocka_unit_test(captions_of_shards),
      cmocka_unit_test(broken_captions),
  };
  int failed = cmocka_run_group_tests(runs, begin_runs, end_runs);
  return failed + cmocka_run_group_tests(steps, scratch_begin_with_device, scratch_end);
}
