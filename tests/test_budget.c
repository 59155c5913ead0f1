/* A run's budget, known before anything is allocated: parameters, memory, and the choices that follow. */
#include "backend/registry.h"
#include "support/check.h"
#include "support/tiny_run.h"

#include "method/setup.h"
#include "train/budget.h"

#include <math.h>
#include <string.h>

#define TINY GH_FIXTURES "/probe/tiny"

static gh_error err;

/* Of stage 1 with a denoiser of published width. *projectors: parameters that the paper does not count. */
static gh_budget planned(gh_device *device, const char *const *options, int64_t *projectors) {
  static const char text[] =
      "{\"clip\":\"" TINY "/clip\",\"autoencoder\":\"" TINY "/ae.safetensors\",\"data\":{\"images\":"
      "[\"x\"]},\"stage1\":{\"batch\":1},\"output\":\"x\"}";
  gh_config config;
  gh_models models;
  gh_budget budget;
  size_t count = 0;
  while (options[count]) count++;
  check_ok(gh_config_parse(&err, &config, "size", text, strlen(text), options, count));
  check_ok(gh_models_open(&err, &models, &config, NULL, NULL));
  gh_step_spec spec = gh_setup_step(&config, &models, 1, 1, NULL);
  spec.device = device;
  check_ok(gh_budget_measure(&err, &spec, &config.stages[0].optimizer, &budget));
  const int64_t d = models.clip.projection, v = 768, t = 4096;
  *projectors = 4 * d + (d + 1) * v + (v + 1) * v + (d + 1) * t + (t + 1) * t;
  gh_models_close(&models);
  gh_config_free(&config);
  return budget;
}

/* Table 5: the published sizes, counted per block without allocating memory. */
static void the_four_sizes(void **state) {
  (void)state;
  static const struct {
    const char *options[3];
    int64_t parameters;
  } sizes[] = {{{"denoiser.double_blocks=1", "denoiser.single_blocks=2"}, 687139904},
               {{"denoiser.kind=continuous"}, 1310154816}, /* the default */
               {{"denoiser.double_blocks=3", "denoiser.single_blocks=6"}, 1933169728},
               {{"denoiser.double_blocks=4", "denoiser.single_blocks=8"}, 2556184640}};
  gh_device *device = NULL;
  check_ok(gh_device_open(&err, "auto", &device));
  device->info.max_buffer_bytes = INT64_C(1) << 40; /* nothing is allocated, so buffer sizes do not matter */
  for (size_t i = 0; i < GH_COUNT(sizes); i++) {
    int64_t projectors;
    const gh_budget b = planned(device, sizes[i].options, &projectors);
    assert_int_equal(b.parameters_trained - projectors, sizes[i].parameters);
  }
  gh_device_close(device);
}

/* What "memory" saves, in bytes per parameter of the published denoiser. Biases and scales, which are few, keep all. */
static void less_memory_per_parameter(void **state) {
  (void)state;
  static const struct {
    const char *options[5];
    double fewer;
  } kinds[] = {{{"precision=bf16"}, 0},
               {{"precision=bf16", "memory.master_weights=bf16"}, 4},
               {{"precision=bf16", "memory.moments=8bit"}, 8 - 2 * 65 / 64.0},
               {{"precision=bf16", "memory.master_weights=bf16", "memory.moments=8bit"}, 12 - 2 * 65 / 64.0},
               {{"precision=bf16", "memory.gradients=bf16"}, 2}};
  gh_device *device = NULL;
  int64_t most = 0, ignored;
  check_ok(gh_device_open(&err, "auto", &device));
  device->info.max_buffer_bytes = INT64_C(1) << 40;
  for (size_t i = 0; i < GH_COUNT(kinds); i++) {
    const gh_budget b = planned(device, kinds[i].options, &ignored);
    if (!i) most = b.lasting_bytes;
    const double fewer = (double)(most - b.lasting_bytes) / (double)b.parameters_trained;
    if (!(fabs(fewer - kinds[i].fewer) <= 0.01)) fail_msg("row %d saves %.4f bytes", (int)i, fewer);
  }
  gh_device_close(device);
}

/* A device with memory of its own leaves masters and moments, 12 bytes of each matrix's elements, to the host. */
static void the_optimizer_is_on_the_host(void **state) {
  (void)state;
  gh_device *device = NULL;
  int64_t ignored;
  check_ok(gh_device_open(&err, "auto", &device));
  device->info.max_buffer_bytes = INT64_C(1) << 40;
  device->info.shares_host = false;
  const gh_budget own = planned(device, (const char *const[]){"precision=bf16", NULL}, &ignored),
                  away = planned(device, (const char *const[]){"precision=bf16", "memory.offload=optimizer", NULL},
                                 &ignored);
  const double moved = (double)away.host_bytes / (double)away.parameters_trained;
  assert_int_equal(own.host_bytes, 0);
  if (!(fabs(moved - 12) <= 0.01)) fail_msg("%.4f bytes per parameter are on the host", moved);
  assert_int_equal(own.lasting_bytes - away.lasting_bytes, away.host_bytes);
  device->info.shares_host = true;
  const gh_budget shared =
      planned(device, (const char *const[]){"precision=bf16", "memory.offload=optimizer", NULL}, &ignored);
  assert_int_equal(shared.lasting_bytes, own.lasting_bytes);
  assert_int_equal(shared.host_bytes, 0);
  gh_device_close(device);
}

/* Checks that recomputation happens; tests/test_options.c checks that results stay the same. */
static void recomputation_computes_more(void **state) {
  (void)state;
  static const char *const options[] = {"memory.recompute=none", "memory.recompute=all"};
  gh_device *device = NULL;
  gh_budget budgets[2];
  check_ok(gh_device_open(&err, "auto", &device));
  for (int i = 0; i < 2; i++) {
    gh_config config;
    gh_models models;
    tiny_config(&config, "x", "x", (const char *const[]){options[i], NULL});
    check_ok(gh_models_open(&err, &models, &config, NULL, NULL));
    gh_step_spec spec = gh_setup_step(&config, &models, 1, 2, NULL);
    spec.device = device;
    check_ok(gh_budget_measure(&err, &spec, &config.stages[0].optimizer, &budgets[i]));
    gh_models_close(&models);
    gh_config_free(&config);
  }
  assert_true(budgets[1].flops > budgets[0].flops);
  assert_true(budgets[1].step_bytes <= budgets[0].step_bytes);
  gh_device_close(device);
}

typedef struct choice {
  int64_t batch;
  bool recompute;
} choice;

/* The choice for a device with that much memory when both are "auto"; batch 0: nothing fits. */
static choice chosen(gh_device *device, const gh_models *models, const gh_config *config, gh_recompute recompute,
                     int64_t batch, int64_t bytes) {
  gh_step_spec spec = gh_setup_step(config, models, 1, batch, NULL);
  gh_budget budget = {0};
  const int64_t whole = device->info.memory_bytes;
  device->info.memory_bytes = bytes;
  gh_status status = gh_budget_fit(&err, &spec, &config->stages[0], recompute, &device, 1, &budget);
  device->info.memory_bytes = whole;
  assert_true(!status || status == GH_ERROR_MEMORY);
  assert_true(status || gh_budget_peak(&budget) <= bytes);
  return (choice){status ? 0 : spec.batch, spec.recompute};
}

static int64_t peak_of(gh_device *device, const gh_models *models, const gh_config *config, gh_recompute recompute,
                       int64_t batch) {
  gh_step_spec spec = gh_setup_step(config, models, 1, batch, NULL);
  gh_budget budget = {0};
  check_ok(gh_budget_fit(&err, &spec, &config->stages[0], recompute, &device, 1, &budget));
  return gh_budget_peak(&budget);
}

static bool is(choice c, int64_t batch, bool recompute) { return c.batch == batch && c.recompute == recompute; }

/* memory.recompute and micro_batch "auto": the largest micro-batch first, then recomputation, then smaller
 * micro-batches; explicit settings are never changed. */
static void auto_settings_are_chosen(void **state) {
  (void)state;
  gh_config config;
  gh_device *device = NULL;
  gh_models models;
  /* A deep denoiser, where recomputation matters; nothing is allocated. */
  tiny_config(&config, "p", "o",
              (const char *const[]){"denoiser.weights=null", "denoiser.single_blocks=24", "denoiser.hidden=512",
                                    "denoiser.rope_axes=[16,112,128]", "stage1.batch=12", NULL});
  check_ok(gh_device_open(&err, config.device, &device));
  check_ok(gh_models_open(&err, &models, &config, NULL, NULL));
  const gh_recompute none = GH_RECOMPUTE_NONE, all = GH_RECOMPUTE_ALL, open = GH_RECOMPUTE_AUTO;
  const int64_t kept = peak_of(device, &models, &config, none, 12), again = peak_of(device, &models, &config, all, 12);
  const int64_t half = peak_of(device, &models, &config, all, 6), one = peak_of(device, &models, &config, all, 1);
  assert_true(kept > again && again > half && half > one);
  assert_true(is(chosen(device, &models, &config, open, 0, kept), 12, false)); /* at most 16, at most one batch */
  assert_true(is(chosen(device, &models, &config, open, 0, kept - 1), 12, true));
  assert_true(is(chosen(device, &models, &config, open, 0, again - 1), 6, true));
  assert_true(is(chosen(device, &models, &config, open, 0, one), 1, true));
  assert_int_equal(chosen(device, &models, &config, open, 0, one - 1).batch, 0);
  assert_true(is(chosen(device, &models, &config, open, 12, again), 12, true));
  assert_int_equal(chosen(device, &models, &config, open, 12, again - 1).batch, 0);
  assert_true(chosen(device, &models, &config, none, 0, kept - 1).batch < 12);
  assert_false(chosen(device, &models, &config, none, 0, kept - 1).recompute);
  gh_models_close(&models);
  gh_device_close(device);
  gh_config_free(&config);
}

/* The host's memory running out while planning says nothing about the device: it is reported, and changes no setting.
 */
static void a_failed_allocation_is_not_a_lack_of_memory_on_the_device(void **state) {
  (void)state;
  gh_config config;
  gh_device *device = NULL;
  gh_models models;
  int failed = 0;
  tiny_config(&config, "p", "o", (const char *const[]){"stage1.micro_batch=auto", NULL});
  check_ok(gh_device_open(&err, config.device, &device));
  check_ok(gh_models_open(&err, &models, &config, NULL, NULL));
  for (long n = 1;; n += n / 3 + 1) {
    gh_step_spec spec = gh_setup_step(&config, &models, 1, 0, NULL);
    gh_budget budget = {0};
    gh_alloc_fail_after(n);
    gh_status status = gh_budget_fit(&err, &spec, &config.stages[0], GH_RECOMPUTE_AUTO, &device, 1, &budget);
    gh_alloc_fail_after(0);
    assert_false(spec.recompute);
    assert_int_equal(spec.batch, 2);
    if (!status) break;
    failed++;
    check_failure(status, &err, GH_ERROR_MEMORY, "planning the step: the host has too little memory: ", __FILE__,
                  __LINE__);
  }
  assert_true(failed > 10);
  gh_models_close(&models);
  gh_device_close(device);
  gh_config_free(&config);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_four_sizes),
      cmocka_unit_test(less_memory_per_parameter),
      cmocka_unit_test(the_optimizer_is_on_the_host),
      cmocka_unit_test(recomputation_computes_more),
      cmocka_unit_test(auto_settings_are_chosen),
      cmocka_unit_test(a_failed_allocation_is_not_a_lack_of_memory_on_the_device),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
