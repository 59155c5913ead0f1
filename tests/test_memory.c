/* The planned memory against the measured: the prediction of `train --dry-run` for a stage, and the peak memory of the
 * process during that stage. On CPUs, where device memory is process memory. */
#include "backend/registry.h"
#include "support/check.h"
#include "support/tiny_run.h"

#include "base/file.h"
#include "base/json.h"
#include "base/usage.h"
#include "bench/step.h"
#include "io/tokenizer.h"
#include "method/setup.h"
#include "models/archs.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 0.1

static char *folder, *pictures, *clip, *mmvp;
static gh_error err;

/* Enough of everything to be measurable: weights, gradients and moments, the values of a step and of an evaluation. */
static void open_config(gh_config *config, int stage, const char *precision, int batch, bool evaluate) {
  char *output = check_path(folder, "run");
  char *set[] = {gh_format(&err, "clip=%s", clip), gh_format(&err, "stage%d.steps=0", 3 - stage),
                 gh_format(&err, "stage%d={\"steps\":1,\"batch\":%d,\"micro_batch\":%d}", stage, batch, batch),
                 gh_format(&err, "precision=%s", precision),
                 gh_format(&err, "evaluate=[{\"kind\":\"mmvp\",\"data\":\"%s\",\"batch\":96}]", mmvp)};
  const char *const overrides[] = {set[0],
                                   set[1],
                                   set[2],
                                   set[3],
                                   "denoiser={\"hidden\":512,\"double_blocks\":1,\"single_blocks\":2,\"heads\":4,"
                                   "\"rope_axes\":[16,56,56],\"context_width\":72,\"vector_width\":56}",
                                   "denoiser.weights=null",
                                   evaluate ? set[4] : NULL,
                                   NULL};
  check_ok(gh_folder_remove(&err, output));
  tiny_config(config, pictures, output, overrides);
  for (size_t i = 0; i < GH_COUNT(set); i++) free(set[i]);
  free(output);
}

static int64_t number_of(const gh_json *plan, const char *key) {
  int64_t value = 0;
  check_ok(gh_json_get_int(&err, plan, key, &value));
  return value;
}

static int64_t resident(void) {
  long long pages = 0, held = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  assert_non_null(file);
  assert_int_equal(fscanf(file, "%lld %lld", &pages, &held), 2);
  fclose(file);
  return held * 4096;
}

/* Resets the kernel's peak counter. */
static bool forget_peak(void) {
  malloc_trim(0);
  FILE *file = fopen("/proc/self/clear_refs", "w");
  bool done = file && fputs("5", file) >= 0;
  if (file) done = !fclose(file) && done;
  return done;
}

#define PIECES 4 /* a device may limit single allocations */

/* Allocates memory that the plan does not know. */
static void plant(gh_device *device, int64_t bytes, gh_buffer **out) {
  for (int i = 0; i < PIECES; i++) {
    gh_launch *fill = NULL;
    const int64_t piece = bytes / PIECES / 4 * 4;
    check_ok(device->backend->buffer_create(&err, device, piece, &out[i]));
    check_ok(device->backend->bind_fill(&err, device, out[i], 0, piece, 1, &fill));
    check_ok(device->backend->enqueue(&err, device, fill));
    check_ok(device->backend->finish(&err, device));
    device->backend->launch_free(fill);
  }
}

typedef struct stage {
  gh_config config;
  int number;
  int64_t predicted; /* the peak */
} stage;

/* The plan's prediction; then a warm-up run, so that programs are compiled and libraries loaded. */
static stage open_stage(int number, const char *precision, int batch, bool evaluate) {
  stage s = {.number = number};
  gh_stage_report reports[2];
  const gh_train_options plan_only = {.quiet = true, .dry_run = true}, whole = {.quiet = true};
  open_config(&s.config, number, precision, batch, evaluate);
  check_ok(gh_train(&err, &s.config, &plan_only, reports));
  const gh_json *plan = reports[number - 1].plan;
  const int64_t step = number_of(plan, "step_bytes"), evaluation = number_of(plan, "evaluation_bytes");
  s.predicted = number_of(plan, "peak_bytes");
  assert_true((evaluation > 0) == evaluate);
  assert_true(s.predicted >= number_of(plan, "persistent_bytes") + step + evaluation);
  /* A forgotten part is large enough to be detected. */
  assert_true((double)step > 1.2 * TOLERANCE * (double)s.predicted);
  assert_true(!evaluate || (double)evaluation > 1.2 * TOLERANCE * (double)s.predicted);
  gh_json_free(reports[number - 1].plan);
  check_ok(gh_train(&err, &s.config, &whole, reports));
  return s;
}

/* Relative error of the measured peak against the prediction; `planted`: the fraction that the prediction forgets. */
static double miss(const stage *s, double planted) {
  const gh_train_options options = {.quiet = true};
  gh_stage_report reports[2];
  gh_device *device = NULL;
  gh_buffer *forgotten[PIECES] = {0};
  if (planted > 0) check_ok(gh_device_open(&err, s->config.device, &device));
  check_ok(gh_folder_remove(&err, s->config.output));
  assert_true(forget_peak());
  const int64_t before = resident();
  if (planted > 0) plant(device, (int64_t)(planted * (double)s->predicted), forgotten);
  check_ok(gh_train(&err, &s->config, &options, reports));
  const int64_t measured = gh_peak_resident_bytes() - before;
  for (int i = 0; i < PIECES && device; i++) device->backend->buffer_free(forgotten[i]);
  gh_device_close(device);
  printf("stage %d%s: %.1f MiB predicted, %.1f measured\n", s->number, planted > 0 ? ", an arena forgotten" : "",
         (double)s->predicted / 0x1p20, (double)measured / 0x1p20);
  return (double)(measured - s->predicted) / (double)s->predicted;
}

static bool within(double share) { return share >= -TOLERANCE && share <= TOLERANCE; }

static void stage1(void **state) {
  (void)state;
  stage s = open_stage(1, "float32", 24, false);
  assert_true(within(miss(&s, 0)));
  gh_config_free(&s.config);
}

/* Also checks that the comparison can fail. */
static void stage2_evaluated(void **state) {
  (void)state;
  stage s = open_stage(2, "float32", 24, true);
  assert_true(within(miss(&s, 0)));
  assert_false(within(miss(&s, 0.2)));
  gh_config_free(&s.config);
}

/* The evaluation has its own weights. */
static void mixed_stage2_evaluated(void **state) {
  (void)state;
  stage s = open_stage(2, "bfloat16", 60, true);
  assert_true(within(miss(&s, 0)));
  gh_config_free(&s.config);
}

/* A machine that can train but not evaluate in addition: rejected, with a remedy, before allocating. */
static void evaluation_beyond_memory_is_rejected(void **state) {
  (void)state;
  gh_config config;
  gh_device *device = NULL;
  gh_models models;
  gh_lora lora;
  gh_budget budget = {0};
  open_config(&config, 2, "float32", 1, true);
  check_ok(gh_device_open(&err, config.device, &device));
  check_ok(gh_models_open(&err, &models, &config, NULL, NULL));
  gh_setup_lora(&lora, &config, &models, NULL);
  gh_step_spec spec = gh_setup_step(&config, &models, 2, 1, &lora);
  const gh_counters before = device->counters;
  check_ok(gh_evaluate_measure(&err, &config, device, &lora, &budget));
  assert_true(budget.evaluation_bytes > 0 && budget.start_bytes > budget.evaluation_bytes);
  check_ok(gh_budget_fit(&err, &spec, &config.stages[1], GH_RECOMPUTE_NONE, &device, 1, &budget));
  assert_memory_equal(&device->counters, &before, sizeof before);
  const int64_t training = budget.lasting_bytes + budget.step_bytes;
  assert_int_equal(gh_budget_peak(&budget), GH_MAX(training + budget.evaluation_bytes, budget.start_bytes));
  device->info.memory_bytes = gh_budget_peak(&budget);
  check_ok(gh_budget_check(&err, device, &budget, 1, false));
  device->info.memory_bytes = gh_budget_peak(&budget) - 1;
  check_fails(gh_budget_check(&err, device, &budget, 1, false), GH_ERROR_MEMORY, "a smaller batch in \"evaluate\"");
  gh_models_close(&models);
  gh_device_close(device);
  gh_config_free(&config);
}

static int begin(void **state) {
  (void)state;
  static const char questions[] = "1,A,a dog\n2,A,a cat\n";
  const gh_arch *tiny = NULL;
  mallopt(M_MMAP_THRESHOLD, 1 << 20); /* freed memory returns to the system, so that the peak reflects memory in use */
  folder = check_folder();
  pictures = check_path(folder, "pictures");
  clip = check_path(folder, "clip");
  mmvp = check_path(folder, "mmvp");
  tiny_pictures(pictures);
  if (gh_arch_find(&err, "tiny", &tiny)) return 1;
  gh_arch arch = *tiny; /* with an encoder of measurable size */
  arch.vision.tower.hidden = 384;
  arch.vision.tower.heads = 6;
  arch.vision.tower.mlp = 1536;
  gh_status status = gh_arch_write(&err, &arch, clip, 0);
  if (!status) status = gh_tokenizer_copy(&err, GH_FIXTURES "/text/clip", clip);
  if (status) return 1;
  for (int i = 0; i < 2; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d.png", i);
    char *from = check_path(pictures, name), *to = gh_format(&err, "%s/MLLM_VLM Images/A/%d.png", mmvp, i + 1), *bytes;
    size_t size = 0;
    char *under = gh_format(&err, "%s/MLLM_VLM Images/A", mmvp);
    if (gh_folder_make(&err, under) || gh_file_read(&err, from, 1 << 24, &bytes, &size)) return 1;
    check_write(to, bytes, size);
    free(bytes);
    free(from);
    free(to);
    free(under);
  }
  char *path = check_path(mmvp, "Questions.csv");
  check_write(path, questions, sizeof questions - 1);
  free(path);
  return 0;
}

static int end(void **state) {
  (void)state;
  free(pictures);
  free(clip);
  free(mmvp);
  check_folder_done(folder);
  return 0;
}

/* A sanitizer doubles the host's memory; the GPU shape's kernels take long on a CPU and use the same memory. */
static bool can_measure(void) {
#ifdef __SANITIZE_ADDRESS__
  return false;
#else
  const gh_device_info info = check_device_info();
  return info.is_cpu && info.shape == GH_SHAPE_CPU;
#endif
}

int main(void) {
  const struct CMUnitTest planned[] = {cmocka_unit_test(evaluation_beyond_memory_is_rejected)};
  const struct CMUnitTest measured[] = {
      cmocka_unit_test(stage1),
      cmocka_unit_test(stage2_evaluated),
      cmocka_unit_test(mixed_stage2_evaluated),
  };
  int failed = cmocka_run_group_tests(planned, begin, end);
  if (can_measure()) failed += cmocka_run_group_tests(measured, begin, end);
  return failed;
}
