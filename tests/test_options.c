/* Every option of a run's configuration has its effect: each row trains a tiny model for a few updates with its own
 * options and compares the result with a run without them. A row fails if an option is ignored. */
#include "backend/registry.h"
#include "support/check.h"
#include "support/compare.h"
#include "support/tiny_run.h"

#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "base/log.h"
#include "config/run.h"
#include "method/setup.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TINY GH_FIXTURES "/probe/tiny"

/* The same numbers summed in another order: different micro-batch sizes, moments from a file. */
#define ROUNDING 2e-5

static gh_error err;
static char *folder;

/* The base of a row's runs: a single stage. */
#define STAGE1 "stage2.steps=0"
#define STAGE2 "stage1.steps=0"

typedef enum expectation {
  SAME_BITS,   /* losses and trained tensors, bit for bit */
  ROUNDED,     /* equal up to rounding */
  MIXED,       /* equal up to rounding to a narrow type: losses within 1 % */
  OTHER_START, /* the first loss already differs */
  OTHER_PATH,  /* the first loss is equal, the trained tensors differ */
} expectation;

static char this_device[64]; /* "device=opencl:0": the device that "auto" opens, by name */
static char elsewhere[512];  /* "data.latent_cache.path=...": outside the run's folder */

typedef struct row {
  const char *name;
  expectation expected;
  const char *base[5], *options[6];                             /* overrides of the base run, and of this one */
  void (*check)(const tiny_run *with, const tiny_run *without); /* further checks, or NULL */
} row;

static bool is_stage2(const row *r) { return !strcmp(r->base[0], STAGE2); }

static const gh_safetensors *trained(const tiny_stage *s, int which) {
  const gh_safetensors *const files[] = {s->denoiser, s->adapter, s->encoder};
  return files[which];
}

/* The largest relative difference of the trained tensors; infinite if the runs wrote different kinds of file. */
static double distance(const tiny_stage *a, const tiny_stage *b) {
  double worst = 0;
  int files = 0;
  for (int i = 0; i < 3; i++) {
    const gh_safetensors *x = trained(a, i), *y = trained(b, i);
    if (!x != !y) return INFINITY;
    if (!x) continue;
    worst = fmax(worst, tiny_difference(x, y));
    files++;
  }
  assert_true(files > 0);
  return worst;
}

/* ---- checks of particular rows ---- */

/* In every update, the learning rate of one run is that of the other times its factor. */
static void rates(const tiny_run *a, const tiny_run *b, const double *factors, int count) {
  assert_int_equal(a->stage[0].updates, count);
  for (int i = 0; i < count; i++) assert_true(fabs(a->stage[0].rate[i] - factors[i] * b->stage[0].rate[i]) <= 1e-12);
}

static void twice_the_rate(const tiny_run *with, const tiny_run *without) { rates(with, without, (double[]){2, 2}, 2); }

static void warmed_up(const tiny_run *with, const tiny_run *without) {
  rates(with, without, (double[]){0.25, 0.5, 0.75, 1, 1}, 5);
}

/* A tensor's movement in a stage of one update. */
static float *moved(const tiny_run *run, const char *name, int64_t *n) {
  gh_safetensors *before = NULL;
  check_ok(gh_safetensors_open(&err, &before, TINY "/denoiser.safetensors"));
  float *values = compare_load(run->stage[0].denoiser, name, n), *from = compare_load(before, name, NULL);
  for (int64_t i = 0; i < *n; i++) values[i] -= from[i];
  free(from);
  gh_safetensors_close(before);
  return values;
}

/* One update with eps 1 moves by -lr g / (|g| + 1): this gives the gradient, and thus the movement of a clipped one. */
static void clipped(const tiny_run *with, const tiny_run *without) {
  static const char name[] = "final_layer.linear.weight";
  const double lr = 0.5, norm = without->stage[0].norm[0], factor = 0.5 / (norm + 1e-6);
  int64_t n = 0;
  float *plain = moved(without, name, &n), *got = moved(with, name, &n);
  double largest = 0;
  assert_true(norm > 1 && with->stage[0].norm[0] == norm); /* the reported norm is the one before clipping */
  for (int64_t i = 0; i < n; i++) {
    double g = (double)plain[i] / (lr - fabs((double)plain[i])), want = lr * factor * g / (factor * fabs(g) + 1);
    largest = fmax(largest, fabs(want));
    if (!(fabs((double)got[i] - want) <= 1e-6))
      fail_msg("element %d moves by %g, expected %g", (int)i, (double)got[i], want);
  }
  assert_true(largest > 1e-4);
  free(plain);
  free(got);
}

/* Weight decay 0.5 instead of 0.01, applied to the values before the update. */
static void decayed(const tiny_run *with, const tiny_run *without) {
  static const char name[] = "final_layer.linear.weight";
  gh_safetensors *before = NULL;
  int64_t n = 0;
  check_ok(gh_safetensors_open(&err, &before, TINY "/denoiser.safetensors"));
  float *a = moved(with, name, &n), *b = moved(without, name, &n), *w = compare_load(before, name, NULL);
  for (int64_t i = 0; i < n; i++) assert_true(fabs((double)(a[i] - b[i]) + 1e-3 * 0.49 * (double)w[i]) <= 2e-7);
  free(a);
  free(b);
  free(w);
  gh_safetensors_close(before);
}

static void names_the_convention(const tiny_run *with, const tiny_run *without) {
  assert_string_equal(gh_safetensors_metadata(with->stage[0].denoiser, "timestep.convention"), "data_at_one");
  assert_string_equal(gh_safetensors_metadata(without->stage[0].denoiser, "timestep.convention"), "noise_at_one");
}

/* The updates of the stage that have a folder below run/kind are exactly these (0 ends the list). */
static void folders(const tiny_run *run, const char *kind, int want, const int64_t *updates) {
  char *path = check_path(run->folder, kind);
  gh_strings names = {0};
  size_t count = 0;
  check_ok(gh_run_list(&err, path, &names));
  for (; updates[count]; count++) {
    int stage = 0;
    int64_t update = 0;
    assert_true(count < names.count && gh_run_parse_name(names.items[count], &stage, &update));
    assert_true(stage == want && update == updates[count]);
  }
  assert_int_equal(names.count, count);
  gh_strings_free(&names);
  free(path);
}

static void launched(const tiny_run *run, int64_t micro_batch) {
  gh_json *plan = NULL;
  int64_t got = 0;
  char *path = check_path(run->folder, "plan.json");
  check_ok(gh_json_read_file(&err, &plan, path, GH_JSON_MAX_BYTES));
  check_ok(gh_json_get_int(&err, plan, "micro_batch", &got));
  assert_int_equal(got, micro_batch);
  gh_json_free(plan);
  free(path);
}

static void by_twos(const tiny_run *with, const tiny_run *without) {
  launched(with, 2);
  launched(without, 5);
}

static void by_ones(const tiny_run *with, const tiny_run *without) {
  launched(with, 1);
  launched(without, 5);
}

static void some_snapshots(const tiny_run *with, const tiny_run *without) {
  folders(with, "snapshots", 1, (int64_t[]){1, 2, 4, 5, 0});
  folders(without, "snapshots", 1, (int64_t[]){5, 0}); /* the last update always has one */
}

static void first_snapshots_too(const tiny_run *with, const tiny_run *without) {
  folders(with, "snapshots", 2, (int64_t[]){1, 2, 3, 0});
  folders(without, "snapshots", 2, (int64_t[]){3, 0});
}

static void last_states(const tiny_run *with, const tiny_run *without) {
  folders(with, "state", 1, (int64_t[]){3, 4, 5, 0});
  folders(without, "state", 1, (int64_t[]){5, 0});
}

static int64_t elements(const gh_safetensors *file, const char *name) {
  const gh_st_tensor *t = gh_safetensors_find(file, name);
  assert_non_null(t);
  return t->elements;
}

static void other_sizes(const tiny_run *with, const tiny_run *without) {
  (void)without;
  const gh_safetensors *f = with->stage[0].denoiser;
  assert_int_equal(elements(f, "img_in.weight"), 48 * 64);
  assert_int_equal(elements(f, "double_blocks.0.img_attn.norm.query_norm.scale"), 16); /* three heads */
  assert_int_equal(elements(f, "double_blocks.0.img_mlp.0.weight"), 96 * 48);
  assert_int_equal(elements(f, "txt_in.weight"), 48 * 64); /* the context's width happens to equal the latents' */
  assert_int_equal(elements(f, "project_clip.3.bias"), 40);
  assert_non_null(gh_safetensors_find(f, "single_blocks.2.linear1.weight"));
  assert_null(gh_safetensors_find(f, "single_blocks.3.linear1.weight"));
  assert_null(gh_safetensors_find(f, "double_blocks.1.img_mod.lin.weight"));
}

static void of_rank_two(const tiny_run *with, const tiny_run *without) {
  static const char name[] = "base_model.model.visual_projection.lora_A.weight";
  assert_int_equal(elements(with->stage[1].adapter, name), 2 * 48);
  assert_int_equal(elements(without->stage[1].adapter, name), 4 * 48);
}

static int count_names(const gh_safetensors *file, const char *piece) {
  int count = 0;
  for (size_t i = 0; i < gh_safetensors_count(file); i++)
    count += strstr(gh_safetensors_at(file, i)->name, piece) != NULL;
  return count;
}

/* Three layers of six linear layers with a bias, two norms per layer and two more, and a projection without a bias. */
static void no_biases(const tiny_run *with, const tiny_run *without) {
  assert_int_equal(count_names(with->stage[1].adapter, "bias"), 0);
  assert_int_equal(count_names(with->stage[1].adapter, "lora_"), 38);
  assert_int_equal(count_names(without->stage[1].adapter, "bias"), 18);
}

static void all_biases(const tiny_run *with, const tiny_run *without) {
  assert_int_equal(count_names(with->stage[1].adapter, ".base_layer.bias"), 18);
  assert_int_equal(count_names(with->stage[1].adapter, ".bias"), 26);
  assert_int_equal(count_names(without->stage[1].adapter, ".bias"), 18);
}

static void only_targets(const tiny_run *with, const tiny_run *without) {
  (void)without;
  const gh_safetensors *f = with->stage[1].adapter;
  assert_int_equal(gh_safetensors_count(f), 4 * 2 + 3);
  assert_int_equal(count_names(f, "q_proj.lora_"), 6);
  assert_int_equal(count_names(f, "q_proj.base_layer.bias"), 3);
  assert_int_equal(count_names(f, "visual_projection.lora_"), 2);
}

/* Every tensor of the vision tower and the projection is trained, and moves. */
static void whole_encoder(const tiny_run *with, const tiny_run *without) {
  (void)without;
  const gh_safetensors *got = with->stage[1].encoder;
  gh_safetensors *clip = NULL;
  size_t expected = 0;
  assert_null(with->stage[1].adapter);
  check_ok(gh_safetensors_open(&err, &clip, TINY "/clip"));
  for (size_t i = 0; i < gh_safetensors_count(clip); i++) {
    const char *name = gh_safetensors_at(clip, i)->name;
    if (!gh_starts_with(name, "vision_model.") && !gh_starts_with(name, "visual_projection.")) continue;
    int64_t n = 0;
    float *a = compare_load(got, name, &n), *b = compare_load(clip, name, NULL);
    if (!(compare_distance(a, b, n) > 0)) fail_msg("%s did not move", name);
    free(a);
    free(b);
    expected++;
  }
  assert_int_equal(gh_safetensors_count(got), expected);
  gh_safetensors_close(clip);
}

static void denoiser_moves(const tiny_run *with, const tiny_run *without) {
  gh_safetensors *before = NULL;
  check_ok(gh_safetensors_open(&err, &before, TINY "/denoiser.safetensors"));
  assert_non_null(with->stage[1].denoiser);
  assert_null(without->stage[1].denoiser); /* "only" */
  assert_true(tiny_difference(with->stage[1].denoiser, before) > 1e-3);
  gh_safetensors_close(before);
}

/* Stage 2 starts from a different denoiser only if stage 1 ran before it. */
static void both_stages(const tiny_run *with, const tiny_run *without) {
  assert_int_equal(with->stage[0].updates, 2);
  assert_int_equal(without->stage[0].updates, 0); /* end-to-end */
  assert_null(without->stage[0].denoiser);
  assert_true(with->stage[1].loss[0] != without->stage[1].loss[0]);
}

static void latents_are_made(const tiny_run *with, const tiny_run *without) {
  char *made = check_path(with->folder, "latents/cache.json"), *absent = check_path(without->folder, "latents");
  assert_true(gh_path_is_file(made));
  assert_false(gh_path_exists(absent));
  free(made);
  free(absent);
}

static void latents_are_elsewhere(const tiny_run *with, const tiny_run *without) {
  char *made = gh_format(&err, "%s/cache.json", strchr(elsewhere, '=') + 1);
  char *own = check_path(with->folder, "latents"), *theirs = check_path(without->folder, "latents");
  assert_true(gh_path_is_file(made) && !gh_path_exists(own) && gh_path_exists(theirs));
  free(made);
  free(own);
  free(theirs);
}

/* Matrices are bf16 numbers, everything else is not. */
static void bf16_matrices(const tiny_run *with, const tiny_run *without) {
  const bool first = with->stage[0].updates > 0;
  const gh_safetensors *files[] = {with->stage[!first].denoiser, without->stage[!first].denoiser};
  if (!files[0]) files[0] = with->stage[1].encoder, files[1] = without->stage[1].encoder;
  int64_t narrow[2] = {0}, matrices = 0, n = 0;
  for (int k = 0; k < 2; k++)
    for (size_t i = 0; i < gh_safetensors_count(files[k]); i++) {
      const gh_st_tensor *t = gh_safetensors_at(files[k], i);
      float *values = compare_load(files[k], t->name, &n);
      bool exact = t->rank == 2 && n > 1000 && !strstr(t->name, "embedding");
      matrices += exact && !k;
      for (int64_t j = 0; j < n && exact; j++) exact = values[j] == gh_bf16_to_f32(gh_f32_to_bf16(values[j]));
      narrow[k] += exact;
      free(values);
    }
  assert_true(matrices > 4 && narrow[0] == matrices && narrow[1] == 0);
}

/* ---- the rows ---- */

#define STEADY "stage2.optimizer.eps=0.001" /* gradients of pure rounding noise make no whole steps */
#define BF16   "precision=bf16"
#define ONE    "stage1.steps=1"
#define FIVE   "stage1.batch=5"
#define FIVE2  "stage2.batch=5"
#define WHOLE  "data.crop_scale=[1,1]", "data.crop_ratio=[1,1]" /* of a square image: the whole image */

static const row rows[] = {
    {"seed", OTHER_START, {STAGE1}, {"seed=1"}, NULL},
    {"precision-1", MIXED, {STAGE1}, {"precision=bf16"}, NULL},
    {"precision-2", MIXED, {STAGE2}, {"precision=bf16"}, NULL},
    {"float16-1", MIXED, {STAGE1}, {"precision=float16"}, NULL},
    {"float16-2", MIXED, {STAGE2}, {"precision=float16"}, NULL},
    {"float16-8bit", OTHER_PATH, {STAGE1, "precision=float16"}, {"memory.moments=8bit"}, NULL},
    {"device", SAME_BITS, {STAGE1}, {this_device}, NULL},
    {"workers-none", SAME_BITS, {STAGE1}, {"data.workers=0"}, NULL},
    {"workers-three", SAME_BITS, {STAGE1}, {"data.workers=3"}, NULL},
    {"crop_scale", OTHER_START, {STAGE1}, {"data.crop_scale=[0.3,0.4]"}, NULL},
    {"crop_ratio", OTHER_START, {STAGE1}, {"data.crop_ratio=[2,2]"}, NULL},
    {"uniform", OTHER_START, {STAGE1}, {"timestep.distribution=uniform"}, NULL},
    {"timestep-scale", OTHER_START, {STAGE1}, {"timestep.scale=0.1"}, NULL},
    {"convention", OTHER_START, {STAGE1}, {"timestep.convention=data_at_one"}, names_the_convention},
    {"guidance", OTHER_START, {STAGE1}, {"denoiser.guidance=1"}, NULL},
    {"heads",
     OTHER_START,
     {STAGE1, "denoiser.weights=null"},
     {"denoiser.heads=1", "denoiser.rope_axes=[8,12,12]"},
     NULL},
    {"rope_axes", OTHER_START, {STAGE1}, {"denoiser.rope_axes=[8,4,4]"}, NULL},
    {"weights", OTHER_START, {STAGE1}, {"denoiser.weights=null"}, NULL},
    {"local-some", OTHER_START, {STAGE1}, {"condition.local_tokens=30"}, NULL},
    {"local-all", OTHER_START, {STAGE1, "condition.local_tokens=30"}, {"condition.local_tokens=100"}, NULL},
    {"local-nearest", SAME_BITS, {STAGE1}, {"condition.local_tokens=0.7"}, NULL}, /* 0.45 of 64 */
    {"local-order", ROUNDED, {STAGE1, "condition.local_tokens=30"}, {"stage1.micro_batch=1"}, NULL},
    {"autoencoder", OTHER_START, {STAGE1}, {"autoencoder_precision=bf16"}, NULL},
    {"recompute-1", SAME_BITS, {STAGE1, "memory.recompute=none"}, {"memory.recompute=all"}, NULL},
    {"recompute-2",
     SAME_BITS,
     {STAGE2, "memory.recompute=none", "condition.local_tokens=30"},
     {"memory.recompute=all"},
     NULL},
    {"master_weights", OTHER_PATH, {STAGE1, BF16}, {"memory.master_weights=bfloat16"}, bf16_matrices},
    {"master_weights-2",
     OTHER_PATH,
     {STAGE2, BF16, "stage2.train_denoiser=true"},
     {"memory.master_weights=bf16"},
     bf16_matrices},
    {"master_weights-direct",
     OTHER_PATH,
     {STAGE2, BF16, "stage2.lora=null"},
     {"memory.master_weights=bf16"},
     bf16_matrices},
    {"moments", OTHER_PATH, {STAGE1}, {"memory.moments=8bit"}, NULL},
    {"moments-2", OTHER_PATH, {STAGE2, "stage2.lora.rank=128", "stage2.lora.alpha=128"}, {"memory.moments=8bit"}, NULL},
    {"gradients",
     OTHER_PATH,
     {STAGE1, BF16, "stage1.steps=5", "stage1.optimizer.lr=0.01"}, /* a first step has the size of the rate */
     {"memory.gradients=bf16"},
     NULL},
    {"gradients-direct", OTHER_PATH, {STAGE2, BF16, "stage2.lora=null"}, {"memory.gradients=bf16"}, NULL},
    {"offload",
     SAME_BITS,
     {STAGE1, BF16, "denoiser.weights=null", "denoiser.hidden=512", "denoiser.heads=32"}, /* tensors above 1 MiB */
     {"memory.offload=optimizer"},
     NULL},
    {"offload-moments",
     SAME_BITS,
     {STAGE1, "memory.moments=8bit", "denoiser.weights=null", "denoiser.hidden=512", "denoiser.heads=32"},
     {"memory.offload=optimizer"},
     NULL},
    /* the optimizer */
    {"lr", OTHER_PATH, {STAGE1}, {"stage1.optimizer.lr=0.002"}, twice_the_rate},
    {"warmup", OTHER_PATH, {STAGE1, "stage1.steps=5"}, {"stage1.optimizer.warmup=4"}, warmed_up},
    {"beta1", OTHER_PATH, {STAGE1}, {"stage1.optimizer.betas=[0.5,0.999]"}, NULL},
    {"beta2", OTHER_PATH, {STAGE1}, {"stage1.optimizer.betas=[0.9,0.1]"}, NULL},
    {"betas-at-first", ROUNDED, {STAGE1, ONE}, {"stage1.optimizer.betas=[0.5,0.9]"}, NULL}, /* bias-corrected */
    {"eps", OTHER_PATH, {STAGE1, ONE}, {"stage1.optimizer.eps=0.01"}, NULL},
    {"weight_decay", OTHER_PATH, {STAGE1, ONE}, {"stage1.optimizer.weight_decay=0.5"}, decayed},
    {"clip_norm",
     OTHER_PATH,
     {STAGE1, ONE, "stage1.optimizer={\"eps\":1,\"weight_decay\":0,\"lr\":0.5,\"clip_norm\":0}"},
     {"stage1.optimizer.clip_norm=0.5"},
     clipped},
    {"clip_norm-2",
     OTHER_PATH,
     {STAGE2, "stage2.optimizer.eps=1", "stage2.optimizer.clip_norm=0"},
     {"stage2.optimizer.clip_norm=0.01"},
     NULL},
    {"lr-2", OTHER_PATH, {STAGE2}, {"stage2.optimizer.lr=0.02"}, NULL},
    {"weight_decay-2", OTHER_PATH, {STAGE2}, {"stage2.optimizer.weight_decay=0.5"}, NULL},
    {"betas-2", OTHER_PATH, {STAGE2}, {"stage2.optimizer.betas=[0.5,0.1]"}, NULL},
    {"eps-2", OTHER_PATH, {STAGE2}, {"stage2.optimizer.eps=0.01"}, NULL},
    {"warmup-2", OTHER_PATH, {STAGE2}, {"stage2.optimizer.warmup=4"}, NULL},
    /* batches: 5 = 2 + 2 + 1 */
    {"batch", OTHER_START, {STAGE1}, {FIVE}, NULL},
    {"ragged", ROUNDED, {STAGE1, FIVE, "stage1.micro_batch=5"}, {"stage1.micro_batch=2"}, by_twos},
    {"ones", ROUNDED, {STAGE1, FIVE, "stage1.micro_batch=5"}, {"stage1.micro_batch=1"}, by_ones},
    {"micro-auto", SAME_BITS, {STAGE1, FIVE, "stage1.micro_batch=5"}, {"stage1.micro_batch=auto"}, NULL},
    {"batch-2", OTHER_START, {STAGE2}, {FIVE2}, NULL},
    {"ragged-2", ROUNDED, {STAGE2, FIVE2, STEADY, "stage2.micro_batch=5"}, {"stage2.micro_batch=2"}, by_twos},
    /* what is kept */
    {"checkpoints",
     SAME_BITS,
     {STAGE1, "stage1.steps=5"},
     {"stage1.checkpoint_at=[1]", "stage1.checkpoint_every=2"},
     some_snapshots},
    {"checkpoints-2",
     SAME_BITS,
     {STAGE2, "stage2.steps=3", "stage2.checkpoint_at=[]"},
     {"stage2.checkpoint_at=[1]", "stage2.checkpoint_every=2"},
     first_snapshots_too},
    {"states", SAME_BITS, {STAGE1, "stage1.steps=5"}, {"state.keep=3", "state.minutes=1e-9"}, last_states},
    /* sizes */
    {"sizes",
     OTHER_START,
     {STAGE1, "denoiser.weights=null"},
     {"denoiser={\"hidden\":48,\"heads\":3,\"mlp_ratio\":2,\"double_blocks\":1,\"single_blocks\":3,\"context_width\":"
      "64,"
      "\"vector_width\":40,\"rope_axes\":[4,6,6]}"},
     other_sizes},
    /* what stage 2 trains */
    {"both", OTHER_START, {STAGE2}, {"stage1.steps=2"}, both_stages},
    {"rank", OTHER_PATH, {STAGE2}, {"stage2.lora.rank=2"}, of_rank_two},
    {"alpha", OTHER_PATH, {STAGE2}, {"stage2.lora.alpha=40"}, NULL},
    {"dropout", OTHER_PATH, {STAGE2}, {"stage2.lora.dropout=0.5"}, NULL},
    {"bias-none", OTHER_PATH, {STAGE2}, {"stage2.lora.bias=none"}, no_biases},
    {"bias-all", OTHER_PATH, {STAGE2}, {"stage2.lora.bias=all"}, all_biases},
    {"targets", OTHER_PATH, {STAGE2}, {"stage2.lora.targets=[\"q_proj\",\"visual_projection\"]"}, only_targets},
    {"adapter", OTHER_START, {STAGE2, "stage2.lora.alpha=6"}, {"stage2.lora.adapter=" TINY "/adapter"}, NULL},
    {"direct", OTHER_PATH, {STAGE2}, {"stage2.lora=null"}, whole_encoder},
    {"train_denoiser", OTHER_PATH, {STAGE2}, {"stage2.train_denoiser=true"}, denoiser_moves},
    /* the latent cache */
    {"latents", ROUNDED, {STAGE1, "stage1.steps=5", WHOLE}, {"data.latent_cache={\"crops\":2}"}, latents_are_made},
    {"latents-2", ROUNDED, {STAGE2, FIVE2, STEADY, WHOLE}, {"data.latent_cache={}", "stage2.micro_batch=3"}, NULL},
    {"latents-crop", OTHER_START, {STAGE1}, {"data.latent_cache={}"}, NULL},
    {"latents-crops",
     OTHER_PATH,
     {STAGE1, "stage1.steps=5", "data.latent_cache={}"},
     {"data.latent_cache.crops=2"},
     NULL},
    {"latents-path", SAME_BITS, {STAGE1, "data.latent_cache={}"}, {elsewhere}, latents_are_elsewhere},
};

static void compare_rows(const row *r, const tiny_run *with, const tiny_run *without) {
  int stage = is_stage2(r);
  const tiny_stage *a = &with->stage[stage], *b = &without->stage[stage];
  double apart = distance(a, b), losses = 0;
  bool same_losses = a->updates == b->updates;
  for (int i = 0; i < a->updates && i < b->updates; i++) {
    same_losses &= a->loss[i] == b->loss[i] && a->norm[i] == b->norm[i];
    losses = fmax(losses, fabs(a->loss[i] - b->loss[i]) / b->loss[i]);
  }
  bool first = fabs(a->loss[0] - b->loss[0]) <= ROUNDING * b->loss[0];
  bool holds = false;
  if (r->expected == SAME_BITS) holds = same_losses && apart == 0;
  if (r->expected == ROUNDED) holds = losses <= ROUNDING && apart <= 50 * ROUNDING;
  if (r->expected == MIXED) holds = !same_losses && losses <= 0.01;
  if (r->expected == OTHER_START) holds = !first;
  if (r->expected == OTHER_PATH) holds = first && apart > 1e-4;
  if (!holds)
    fail_msg("%s: first losses %.9g and %.9g, losses differ by %.3g, trained tensors by %.3g", r->name, a->loss[0],
             b->loss[0], losses, apart);
}

/* Runs a row's base, unless the previous row had the same base, and the row. */
static void run_row(const row *r, tiny_run *base, const row *before) {
  const char *overrides[12] = {0};
  int count = 0;
  bool again = before && !memcmp(before->base, r->base, sizeof r->base);
  for (int i = 0; i < 5 && r->base[i]; i++) overrides[count++] = r->base[i];
  char *name = gh_format(&err, "%s-base", r->name);
  if (!again) {
    tiny_run_free(base);
    tiny_train(base, folder, name, overrides);
  }
  free(name);
  for (int i = 0; i < 6 && r->options[i]; i++) overrides[count++] = r->options[i];
  tiny_run with;
  tiny_train(&with, folder, r->name, overrides);
  compare_rows(r, &with, base);
  if (r->check) r->check(&with, base);
  tiny_run_free(&with);
}

static void every_option_has_its_effect(void **state) {
  (void)state;
  tiny_run base = {0};
  const char *only = getenv("GH_TEST_OPTION"); /* a single row, for work on it */
  for (size_t i = 0; i < GH_COUNT(rows); i++) {
    if (only && strcmp(only, rows[i].name)) continue;
    run_row(&rows[i], &base, i && !only ? &rows[i - 1] : NULL);
  }
  tiny_run_free(&base);
}

static int begin(void **state) {
  (void)state;
  gh_log_set_level(GH_LOG_QUIET); /* a hundred runs */
  folder = check_folder();
  char *pictures = check_path(folder, "pictures");
  tiny_pictures(pictures);
  free(pictures);
  snprintf(elsewhere, sizeof elsewhere, "data.latent_cache.path=%s/elsewhere", folder);
  return 0;
}

static int end(void **state) {
  (void)state;
  check_folder_done(folder);
  return 0;
}

int main(void) {
  gh_device *device = NULL;
  if (gh_device_open(&err, "auto", &device)) fprintf(stderr, "%s\n", err.text);
  if (!device) return 1;
  snprintf(this_device, sizeof this_device, "device=%s", device->info.id);
  gh_device_close(device);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_option_has_its_effect),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
