/* Mixed precision, bf16 and f16, against float32 on random models of the smallest preset: gradients of one step, the
 * losses of 200, memory at the published sizes. How a run repeats and resumes itself in it: test_resume.c. */
#include "backend/registry.h"
#include "support/check.h"

#include "backend/chooser/gemm.h"
#include "base/random.h"
#include "models/archs.h"
#include "train/budget.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_COSINE 0.999
#define NORM_BOUND   0.02
#define LOSS_BOUND   0.01

static gh_error err;

/* The denoiser's keys; NULL: its published size. */
static const char *const small[] = {
    "denoiser.double_blocks=1",     "denoiser.single_blocks=2",  "denoiser.hidden=128",      "denoiser.heads=2",
    "denoiser.rope_axes=[8,28,28]", "denoiser.context_width=96", "denoiser.vector_width=72", NULL};
static const gh_optimizer_config optimizer = {
    .lr = 1e-3, .betas = {0.9, 0.999}, .eps = 1e-8, .weight_decay = 0.01, .clip_norm = 1};

/* Fixes the products' kernels instead of timing them, which takes longer than the tests. */
static gh_device *open_device(const char *shape) {
  gh_device *device = NULL;
  const char *id = getenv("GH_TEST_DEVICE");
  setenv("GH_KERNEL_SHAPE", shape, 1);
  check_ok(gh_device_open(&err, id ? id : "auto", &device));
  if (device->info.is_cpu)
    check_ok(gh_choice_force(&err, device, &gh_gemm_kind,
                             !strcmp(shape, "cpu") ? "own-cpu nb=256 kc=512" : "own-gpu work=4"));
  return device;
}

/* A step without files: weights are random. */
typedef struct trial {
  gh_config config;
  gh_models models;
  gh_step_spec spec;
  gh_lora lora;
  gh_step step;
  gh_update update;
} trial;

static void choose(trial *t, gh_device *device, const char *name, const char *const *keys, int stage, bool lora,
                   gh_step_source source, int64_t batch, gh_dtype storage) {
  const gh_arch *arch;
  check_ok(gh_arch_find(&err, name, &arch));
  *t = (trial){0};
  size_t count = 0;
  while (keys && keys[count]) count++;
  check_ok(gh_config_defaults(&err, &t->config, keys, count));
  check_ok(gh_models_draft(&err, &t->models, &t->config, &arch->vision, false));
  for (int i = 0; i < 3; i++) t->models.image_mean[i] = 0, t->models.image_std[i] = 1;
  t->lora = (gh_lora){.rank = 4, .alpha = 4, .biases = GH_BIASES_ADAPTED, .stage = 2};
  t->spec = (gh_step_spec){.device = device,
                           .models = &t->models,
                           .source = source,
                           .stage = stage,
                           .batch = batch,
                           .storage = storage,
                           .train_denoiser = true,
                           .lora = stage == 2 && lora ? &t->lora : NULL};
}

static void record(trial *t) {
  check_ok(gh_store_create(&err, t->spec.device, &t->spec.store));
  check_ok(gh_step_record(&err, &t->spec, &t->step));
  check_ok(gh_update_record(&err, t->spec.device, t->spec.store, &optimizer, &t->step, &t->update));
  check_ok(gh_graph_plan(&err, t->step.graph));
  check_ok(gh_graph_plan(&err, t->update.graph));
}

static void release(trial *t) {
  gh_update_free(&t->update);
  gh_graph_free(t->step.graph);
  gh_store_free(t->spec.store);
  gh_models_close(&t->models);
  gh_config_free(&t->config);
}

/* The same numbers for a name each time: normals, or times in (0, 1). */
static void give(trial *t, const char *name, double scale, bool uniform) {
  gh_tensor *to = gh_store_find(t->spec.store, name);
  assert_non_null(to);
  int64_t n = gh_tensor_elements(to);
  float *values = malloc((size_t)n * sizeof *values);
  assert_non_null(values);
  gh_stream stream = gh_stream_make(3, 0, "test", name);
  if (uniform)
    gh_stream_uniforms(stream, 0, 0, n, values);
  else
    gh_stream_normals(stream, 0, 0, n, values);
  for (int64_t i = 0; i < n; i++) values[i] *= (float)scale;
  check_ok(gh_tensor_write(&err, t->spec.device, to, values));
  free(values);
}

static void send_step(trial *t, uint64_t update) {
  int64_t batch = t->spec.batch;
  const gh_step_values values = {.learning_rate = optimizer.lr,
                                 .beta1 = optimizer.betas[0],
                                 .beta2 = optimizer.betas[1],
                                 .update = update,
                                 .ordinal = update * (uint64_t)batch,
                                 .samples = (uint32_t)batch,
                                 .weight = 1 / (double)batch};
  check_ok(gh_step_write(&err, t->spec.device, t->step.block, &values));
}

/* ---- the gradients of a step ---- */

static float *gradient_of(const trial *t, const gh_tensor *parameter) {
  float *values = malloc((size_t)gh_tensor_bytes(parameter->grad)), scale = 1;
  assert_non_null(values);
  check_ok(gh_tensor_read(&err, t->spec.device, parameter->grad, values));
  if (t->step.loss_scale) check_ok(gh_tensor_read(&err, t->spec.device, t->step.loss_scale, &scale));
  for (int64_t i = 0; i < gh_tensor_elements(parameter); i++) values[i] /= scale;
  return values;
}

typedef struct nearness {
  double cosine, norm, length; /* norm: the ratio of the two norms */
} nearness;

static nearness compare(const float *a, const float *b, int64_t n) {
  double aa = 0, bb = 0, ab = 0;
  for (int64_t i = 0; i < n; i++) {
    aa += (double)a[i] * (double)a[i];
    bb += (double)b[i] * (double)b[i];
    ab += (double)a[i] * (double)b[i];
  }
  return (nearness){ab / sqrt(aa * bb), sqrt(bb / aa), sqrt(aa)};
}

/* adapters: magnitude of the factors that start at 0, which would block the other's gradient; 0: no adapters */
static void run_once(trial *t, double adapters) {
  record(t);
  give(t, "input.pixel_values", 1, false);
  give(t, "input.latents", 1, false);
  give(t, "input.noise", 1, false);
  give(t, "input.t", 1, true);
  for (int i = 0; adapters > 0 && i < t->update.count; i++) {
    const char *name = t->update.parameters[i]->name;
    if (gh_ends_with(name, ".lora_B.weight")) give(t, name, adapters, false);
  }
  send_step(t, 1);
  check_ok(gh_graph_run(&err, t->step.graph));
}

/* The gradient of a key's bias is zero up to rounding: a softmax ignores a constant added to a row. When mixed, it is
 * the rounding error of each key's gradient, so it is measured relative to the query's bias. */
static bool is_zero_by_nature(const trial *plain, const trial *mixed, int i) {
  const char *name = plain->update.parameters[i]->name, *key = strstr(name, "k_proj.bias");
  if (!key) return false;
  char neighbour[192];
  snprintf(neighbour, sizeof neighbour, "%.*sq_proj.bias", (int)(key - name), name);
  const gh_tensor *q = gh_store_find(plain->spec.store, neighbour);
  assert_non_null(q);
  float *query = gradient_of(plain, q), *noise = gradient_of(mixed, mixed->update.parameters[i]);
  int64_t n = gh_tensor_elements(q);
  double ratio = compare(query, noise, n).norm;
  if (!(ratio <= NORM_BOUND)) fail_msg("%s: %g of its query's", name, ratio);
  free(query);
  free(noise);
  return true;
}

/* 16 samples, the method's micro-batch. With 4, the last layer's MLP has four tokens that matter, too few to average
 * their rounding errors: one LoRA factor of rank 4 there came to 0.9989. */
enum { SAMPLES = 16 };

/* Magnitudes of an adapter's factor B: as after training, and so large that its output is half of the layer's own. With
 * 0.02, one gradient has a norm of 1e-6 and moves by 2 % with the order of sums. */
#define SMALL 0.1
#define LARGE 0.3

static void check_gradients_in(gh_dtype narrow, const char *shape, const char *arch, int stage, double adapters) {
  trial plain, mixed;
  gh_device *device = open_device(shape);
  nearness worst = {1, 1, 0};
  int compared = 0;
  choose(&plain, device, arch, small, stage, adapters > 0, GH_STEP_GIVEN_PIXELS, SAMPLES, GH_F32);
  choose(&mixed, device, arch, small, stage, adapters > 0, GH_STEP_GIVEN_PIXELS, SAMPLES, narrow);
  run_once(&plain, adapters);
  run_once(&mixed, adapters);
  assert_int_equal(plain.update.count, mixed.update.count);
  for (int i = 0; i < plain.update.count; i++) {
    const gh_tensor *p = plain.update.parameters[i];
    if (is_zero_by_nature(&plain, &mixed, i)) continue;
    float *a = gradient_of(&plain, p), *b = gradient_of(&mixed, mixed.update.parameters[i]);
    nearness near = compare(a, b, gh_tensor_elements(p));
    if (!(near.cosine >= LEAST_COSINE) || !(fabs(near.norm - 1) <= NORM_BOUND) || !(near.length > 0))
      fail_msg("%s: cosine %.5f, norms' ratio %.4f, norm %g", p->name, near.cosine, near.norm, near.length);
    worst.cosine = fmin(worst.cosine, near.cosine);
    if (fabs(near.norm - 1) > fabs(worst.norm - 1)) worst.norm = near.norm;
    compared++;
    free(a);
    free(b);
  }
  float loss[2];
  check_ok(gh_tensor_read(&err, device, plain.step.loss_total, &loss[0]));
  check_ok(gh_tensor_read(&err, device, mixed.step.loss_total, &loss[1]));
  printf("%s: %s, stage %d, adapters of %g, %s: %d gradients, least cosine %.6f, norms' worst ratio %.4f; losses "
         "%.6f, %.6f\n",
         gh_dtype_name(narrow), arch, stage, adapters, shape, compared, worst.cosine, worst.norm, (double)loss[0],
         (double)loss[1]);
  assert_true(compared > 40);
  assert_true(loss[0] != loss[1]); /* something was rounded */
  assert_true(fabs((double)loss[1] / (double)loss[0] - 1) <= LOSS_BOUND);
  release(&plain);
  release(&mixed);
  gh_device_close(device);
}

static void check_gradients(const char *shape, const char *arch, int stage, double adapters) {
  check_gradients_in(GH_BF16, shape, arch, stage, adapters);
  check_gradients_in(GH_F16, shape, arch, stage, adapters);
}

static void test_gradients_in_the_cpu_shape(void **state) {
  (void)state;
  if (!check_has_shape("cpu")) skip();
  check_gradients("cpu", "tiny", 1, 0);
  check_gradients("cpu", "tiny", 2, SMALL);
  check_gradients("cpu", "tiny", 2, LARGE);
  check_gradients("cpu", "tiny", 2, 0);
  check_gradients("cpu", "tiny-siglip", 2, LARGE);
}

static void test_gradients_in_the_gpu_shape(void **state) {
  (void)state;
  check_gradients("gpu", "tiny", 1, 0);
  check_gradients("gpu", "tiny", 2, SMALL);
  check_gradients("gpu", "tiny-siglip", 2, LARGE);
}

/* ---- the losses of a short training ---- */

enum { UPDATES = 200, EDGE = 20 };

static void train(gh_device *device, gh_dtype storage, double *losses) {
  trial t;
  choose(&t, device, "tiny", small, 1, false, GH_STEP_GIVEN_TARGETS, 4, storage);
  record(&t);
  give(&t, "input.images", 1, false);
  give(&t, "input.moments", 1, false);
  for (int i = 0; i < UPDATES; i++) {
    gh_update_result result;
    send_step(&t, (uint64_t)i + 1);
    check_ok(gh_graph_run(&err, t.step.graph));
    check_ok(gh_graph_run(&err, t.update.graph));
    check_ok(gh_update_read(&err, device, &t.update, &result));
    losses[i] = result.loss;
  }
  release(&t);
}

static void check_losses(gh_dtype narrow) {
  static double plain[UPDATES], mixed[UPDATES], again[UPDATES];
  double first = 0, last = 0, worst = 0;
  gh_device *device = open_device(check_has_shape("cpu") ? "cpu" : "gpu");
  train(device, GH_F32, plain);
  train(device, narrow, mixed);
  train(device, narrow, again);
  for (int i = 0; i < UPDATES; i++) {
    double apart = fabs(mixed[i] / plain[i] - 1);
    if (!(apart <= LOSS_BOUND)) fail_msg("update %d: %.6f in float32, %.6f mixed", i + 1, plain[i], mixed[i]);
    worst = fmax(worst, apart);
    if (i < EDGE) first += plain[i] / (double)EDGE;
    if (i >= UPDATES - EDGE) last += plain[i] / (double)EDGE;
  }
  printf("%s: loss from %.4f to %.4f, at most %.2g apart\n", gh_dtype_name(narrow), first, last, worst);
  assert_true(last < 0.8 * first); /* it learns */
  assert_memory_equal(mixed, again, sizeof mixed);
  gh_device_close(device);
}

static void test_losses_of_200_updates(void **state) {
  (void)state;
  check_losses(GH_BF16);
  check_losses(GH_F16);
}

/* ---- memory ---- */

static gh_budget budget_of(gh_device *device, int stage, gh_dtype storage) {
  trial t;
  gh_budget budget;
  choose(&t, device, "openai-vit-l-14-224", NULL, stage, true, GH_STEP_DRAWN, 4, storage);
  t.spec.train_denoiser = false;
  check_ok(gh_budget_measure(&err, &t.spec, &optimizer, &budget));
  release(&t);
  return budget;
}

/* In stage 2 the denoiser and the encoder are frozen, and almost entirely matrices: half the memory. In stage 1 trained
 * matrices have an extra copy, and the values of a step are smaller. */
static void test_memory_at_the_published_sizes(void **state) {
  (void)state;
  gh_device *device = open_device(check_has_shape("cpu") ? "cpu" : "gpu");
  device->info.max_buffer_bytes = INT64_C(1) << 40; /* nothing is allocated, so buffer sizes do not matter */
  gh_budget plain = budget_of(device, 2, GH_F32), mixed = budget_of(device, 2, GH_BF16);
  assert_int_equal(plain.parameters_frozen, mixed.parameters_frozen);
  assert_int_equal(plain.parameters_trained, mixed.parameters_trained);
  double saved = (double)(plain.lasting_bytes - mixed.lasting_bytes) / 2; /* about the number of elements */
  printf("stage 2: %.2f GiB persistent and %.2f in a step; mixed %.2f and %.2f\n", (double)plain.lasting_bytes / 0x1p30,
         (double)plain.step_bytes / 0x1p30, (double)mixed.lasting_bytes / 0x1p30, (double)mixed.step_bytes / 0x1p30);
  assert_true(saved > 1.6e9 && saved < (double)plain.parameters_frozen);
  assert_true((double)mixed.step_bytes < 0.75 * (double)plain.step_bytes);
  plain = budget_of(device, 1, GH_F32);
  mixed = budget_of(device, 1, GH_BF16);
  assert_int_equal(plain.parameters_trained, mixed.parameters_trained);
  assert_true((double)mixed.step_bytes < 0.75 * (double)plain.step_bytes);
  gh_device_close(device);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gradients_in_the_cpu_shape),
      cmocka_unit_test(test_gradients_in_the_gpu_shape),
      cmocka_unit_test(test_losses_of_200_updates),
      cmocka_unit_test(test_memory_at_the_published_sizes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
