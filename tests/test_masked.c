/* The discrete denoiser's objective: it trains in both stages, is killed and resumed, caches its codes, draws the masks
 * that base/random.h describes, draws pictures, and is compared, planned, benchmarked and reported. */
#include "backend/registry.h"
#include "support/check.h"
#include "support/compare.h"
#include "support/objective_run.h"

#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "bench/step.h"
#include "method/masked.h"
#include "method/redraw.h"
#include "report/report.h"
#include "train/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PROBE     GH_FIXTURES "/probe"
#define CODES     53 /* of the fixture's VQ-GAN */
#define SIDE      64 /* of the fixture's encoder */
#define POSITIONS 16

static gh_error err;
static objective_runs runs = {
    .program = "test_masked",
    .models = "\"clip\":\"" PROBE "/tiny/clip\",\"autoencoder\":\"" PROBE "/masked/vqgan.safetensors\","
              "\"denoiser\":{\"kind\":\"discrete\",\"layers\":2,\"hidden\":48,\"heads\":3,\"weights\":\"" PROBE
              "/masked/denoiser.safetensors\"}"};

static void train(const char *name, const char *const *more) {
  gh_stage_report reports[2];
  check_ok(objective_train(&err, &runs, name, more, (gh_train_options){0}, reports));
}

/* ---- training ---- */

static gh_status check_numbers(gh_error *e, void *user, const gh_json *line) {
  double loss, perplexity, accuracy;
  check_ok(gh_json_get_double(e, line, "loss", &loss));
  check_ok(gh_json_get_double(e, line, "perplexity", &perplexity));
  check_ok(gh_json_get_double(e, line, "masked_accuracy", &accuracy));
  assert_true(loss > 0.5 && loss < 3 * log(CODES));
  assert_true(fabs(perplexity - exp(loss)) <= 1e-6 * perplexity);
  assert_true(accuracy >= 0 && accuracy <= 1);
  ++*(int *)user;
  return GH_OK;
}

static int check_metrics(const char *name) {
  int lines = 0;
  char *output = check_path(runs.folder, name);
  check_ok(gh_metrics_lines(&err, output, "metrics.jsonl", check_numbers, &lines));
  free(output);
  return lines;
}

static void both_stages_train(void **state) {
  (void)state;
  static const char *const names[] = {"project_condition.0.weight",
                                      "project_condition.1.bias",
                                      "project_condition.3.weight",
                                      "token_in.weight",
                                      "mask_embedding",
                                      "position_embedding",
                                      "layers.1.cross_attn.norm_kv.weight",
                                      "layers.0.cross_attn.out.bias",
                                      "layers.1.self_attn.qkv.weight",
                                      "layers.0.mlp.fc2.weight",
                                      "layers.1.self_attn.norm.weight",
                                      "norm.bias",
                                      "head.weight"};
  tiny_run run;
  gh_safetensors *published = NULL;
  train("straight", NULL);
  assert_int_equal(check_metrics("straight"), 7);
  objective_read(&runs, &run, "straight");
  check_ok(gh_safetensors_open(&err, &published, PROBE "/masked/denoiser.safetensors"));
  for (size_t i = 0; i < GH_COUNT(names); i++)
    if (!gh_safetensors_find(run.stage[0].denoiser, names[i])) fail_msg("no %s", names[i]);
  const double moved = tiny_difference(run.stage[0].denoiser, published); /* finite: the same names and sizes */
  assert_true(moved > 1e-4 && moved < 100);
  assert_non_null(run.stage[1].adapter);
  assert_null(run.stage[1].denoiser);
  gh_safetensors_close(published);
  tiny_run_free(&run);
}

/* Both train in stage 2, without a stage 1; the literal reading of Algorithm 2; the encoder's tokens; SigLIP. */
static void variants_train(void **state) {
  (void)state;
  static const char *const variants[][6] = {
      {"stage1.steps=0", "stage2.steps=2", "stage2.train_denoiser=true", "stage2.lora=null"},
      {"stage1.steps=1", "stage2.steps=1", "denoiser.cross_attention=once", "denoiser.weights=null"},
      {"stage1.steps=1", "stage2.steps=1", "condition.local_tokens=30", "denoiser.weights=null"},
      {"stage1.steps=1", "stage2.steps=1", "clip=" PROBE "/siglip/clip", "denoiser.weights=null",
       "condition.local_tokens=100"}};
  for (size_t i = 0; i < GH_COUNT(variants); i++) {
    tiny_run run;
    char name[] = "variant-0";
    name[8] = (char)('0' + i);
    train(name, variants[i]);
    assert_int_equal(check_metrics(name), 2);
    objective_read(&runs, &run, name);
    assert_int_equal(run.stage[0].updates, i ? 1 : 0);
    assert_non_null(run.stage[i ? 0 : 1].denoiser);
    if (i == 0) assert_non_null(run.stage[1].encoder);
    assert_true(run.stage[1].norm[0] > 0);
    tiny_run_free(&run);
  }
}

static void killed_and_resumed(void **state) {
  (void)state;
  static const char *const mixed[] = {"precision=bfloat16", "stage2.train_denoiser=true", NULL};
  objective_killed(&runs, "straight", "killed-1", "stage1-00000002", NULL);
  objective_killed(&runs, "straight", "killed-2", "stage2-00000001", NULL);
  train("mixed", mixed);
  objective_killed(&runs, "mixed", "mixed-1", "stage1-00000002", mixed);
  objective_killed(&runs, "mixed", "mixed-2", "stage2-00000001", mixed);
}

/* ---- the cache of codes ---- */

/* Writes `to`: the file `from` with every byte of one tensor set to `value`. */
static void edit(const char *from, const char *to, const char *tensor, int value) {
  char *bytes = NULL;
  size_t size = 0;
  gh_safetensors *file = NULL;
  check_ok(gh_file_read(&err, from, 1 << 24, &bytes, &size));
  check_ok(gh_safetensors_open_memory(&err, &file, from, bytes, size));
  const gh_st_tensor *t = gh_safetensors_find(file, tensor);
  assert_non_null(t);
  memset(bytes + ((const char *)t->data - bytes), value, t->bytes);
  gh_safetensors_close(file);
  check_write(to, bytes, size);
  free(bytes);
}

static void check_shard(const char *path) {
  gh_safetensors *file = NULL;
  check_ok(gh_safetensors_open(&err, &file, path));
  const gh_st_tensor *t = gh_safetensors_find(file, "codes");
  assert_true(t && t->dtype == GH_ST_U16 && t->rank == 2);
  assert_int_equal(t->shape[0], TINY_PICTURES + 1);
  assert_int_equal(t->shape[1], POSITIONS);
  assert_int_equal(t->bytes * 2, (size_t)t->elements * sizeof(int32_t));
  int64_t codes[(TINY_PICTURES + 1) * POSITIONS], greatest = 0;
  check_ok(gh_st_read_i64(&err, t, 0, t->elements, codes));
  for (int64_t i = 0; i < t->elements; i++) {
    assert_true(codes[i] < CODES);
    greatest = GH_MAX(greatest, codes[i]);
  }
  assert_true(greatest > 0);
  gh_safetensors_close(file);
}

/* With crops of the whole image, the cache changes nothing. */
static void codes_are_cached(void **state) {
  (void)state;
  static const char *const plain[] = {"data.crop_scale=[1,1]", "data.crop_ratio=[1,1]", NULL};
  const char *const cached[] = {plain[0], plain[1], "data.latent_cache={\"crops\":1}", NULL};
  char *shard = check_path(runs.folder, "cached/codes/codes-00000.safetensors");
  tiny_run a, b;
  train("uncached", plain);
  train("cached", cached);
  check_shard(shard);
  objective_read(&runs, &a, "uncached");
  objective_read(&runs, &b, "cached");
  for (int s = 0; s < 2; s++)
    for (int i = 0; i < a.stage[s].updates; i++)
      assert_true(fabs(a.stage[s].loss[i] - b.stage[s].loss[i]) <= 1e-4 * a.stage[s].loss[i]);
  tiny_run_free(&a);
  tiny_run_free(&b);
  train("cached-again", cached);
  objective_same(&runs, "cached", "cached-again");
  objective_killed(&runs, "cached", "cached-killed", "stage1-00000002", cached);
  free(shard);
}

static void bad_caches_are_refused(void **state) {
  (void)state;
  char *cache = check_path(runs.folder, "cached/codes"), *vqgan = check_path(runs.folder, "vqgan.safetensors");
  char *shard = check_path(cache, "codes-00000.safetensors");
  char *path = gh_format(&err, "data.latent_cache={\"crops\":1,\"path\":\"%s\"}", cache);
  char *other = gh_format(&err, "autoencoder=%s", vqgan);
  const char *more[] = {
      "data.crop_scale=[1,1]", "data.crop_ratio=[1,1]", "stage1.steps=1", "stage2.steps=0", path, other, NULL};
  gh_stage_report reports[2];
  edit(PROBE "/masked/vqgan.safetensors", vqgan, "decoder.conv_out.bias", 0); /* codes do not depend on the decoder */
  train("other-decoder", more);
  edit(PROBE "/masked/vqgan.safetensors", vqgan, "quantize.embedding.weight", 0x3f);
  check_fails(objective_train(&err, &runs, "other-codebook", more, (gh_train_options){0}, reports), GH_ERROR_CONFIG,
              "computed with another vqgan");
  more[5] = NULL;
  edit(shard, shard, "codes", 1);
  check_fails(objective_train(&err, &runs, "damaged", more, (gh_train_options){0}, reports), GH_ERROR_FORMAT,
              "codes: 257 is out of range: there are 53 rows of the codebook");
  assert_non_null(strstr(err.text, "codes-00000.safetensors"));
  free(other);
  free(path);
  free(shard);
  free(vqgan);
  free(cache);
}

/* ---- the masks that training draws ---- */

#define BATCH 3

typedef struct mask_case {
  const char *set;
  double low, high;
  int least, most; /* that are masked in some sample */
} mask_case;

/* Replays the step at several ordinals; every mask is the host's. Notes the fewest and the most masked positions. */
static void check_masks(gh_device *device, const gh_step *step, gh_tensor *mask, const gh_step_spec *spec,
                        const mask_case *c) {
  const gh_stream ratio = gh_stream_make(spec->seed, spec->stage, "mask_ratio", "");
  const gh_stream order = gh_stream_make(spec->seed, spec->stage, "mask", "");
  int least = POSITIONS, most = 0;
  for (int k = 0; k < 24; k++) {
    int32_t got[BATCH][POSITIONS], want[POSITIONS];
    const uint64_t ordinal = k < 20 ? (uint64_t)k * BATCH : ((uint64_t)k << 30) - 1; /* past 32 bits */
    const gh_step_values values = {
        .update = 1, .ordinal = ordinal, .samples = BATCH, .weight = 1.0 / BATCH, .beta1 = 0.9, .beta2 = 0.999};
    check_ok(gh_step_write(&err, device, step->block, &values));
    check_ok(gh_graph_run(&err, step->graph));
    check_ok(gh_tensor_read(&err, device, mask, got));
    for (int b = 0; b < BATCH; b++) {
      int masked = 0;
      gh_mask_at(ratio, order, ordinal + (uint64_t)b, POSITIONS, c->low, c->high, want);
      assert_memory_equal(got[b], want, sizeof want);
      for (int i = 0; i < POSITIONS; i++) masked += got[b][i];
      least = GH_MIN(least, masked);
      most = GH_MAX(most, masked);
    }
  }
  assert_int_equal(least, c->least);
  assert_int_equal(most, c->most);
}

static void check_drawn(gh_device *device, int stage, const mask_case *c) {
  const char *more[] = {c->set, "seed=77", NULL};
  char *output = check_path(runs.folder, "nowhere");
  gh_config config;
  gh_models models;
  gh_step step = {0};
  gh_tensor *mask = NULL;
  objective_configure(&runs, &config, output, more);
  check_ok(gh_models_open(&err, &models, &config, NULL, NULL));
  gh_step_spec spec = gh_setup_step(&config, &models, stage, BATCH, NULL);
  assert_true(spec.source == GH_STEP_DRAWN && spec.seed == 77);
  spec.device = device;
  check_ok(gh_store_create(&err, device, &spec.store));
  check_ok(gh_step_record(&err, &spec, &step));
  for (int i = 0; i < step.output_count; i++)
    if (!strcmp(step.outputs[i].name, "mask")) mask = step.outputs[i].tensor;
  assert_true(mask && mask->dtype == GH_I32);
  assert_int_equal(gh_tensor_elements(mask), BATCH * POSITIONS);
  gh_graph_keep(step.graph, mask);
  check_ok(gh_graph_plan(&err, step.graph));
  check_masks(device, &step, mask, &spec, c);
  gh_graph_free(step.graph);
  gh_store_free(spec.store);
  gh_models_close(&models);
  gh_config_free(&config);
  free(output);
}

static void masks_are_the_hosts(void **state) {
  (void)state;
  static const mask_case cases[] = {{"denoiser.mask_ratio=[0.5,0.9]", 0.5, 0.9, 8, 14},
                                    {"denoiser.mask_ratio=[0.5,0.5]", 0.5, 0.5, 8, 8},
                                    {"denoiser.mask_ratio=[0.9,0.9]", 0.9, 0.9, 14, 14},
                                    {"denoiser.mask_ratio=[0,1]", 0, 1, 1, POSITIONS - 1}};
  gh_device *device = NULL;
  check_ok(gh_device_open(&err, "auto", &device));
  for (size_t i = 0; i < GH_COUNT(cases); i++) check_drawn(device, 1, &cases[i]);
  check_drawn(device, 2, &cases[0]);
  gh_device_close(device);
}

/* ---- pictures from tokens ---- */

#define PICTURES 3
#define PIXELS   (3 * SIDE * SIDE)

typedef float pictures[PICTURES][PIXELS];

static void draw(const gh_redraw *run, gh_reconstruction *r, gh_drawing_how how, int64_t batch, pictures out) {
  check_ok(gh_redraw_sample(&err, run, r, &how, batch));
  memcpy(out, r->images, sizeof(pictures));
}

static double distance(pictures a, pictures b) { return compare_distance(a[0], b[0], PICTURES * PIXELS); }

/* A different code moves pixels by far more than this; rounding, by less. */
#define ROUNDING 1e-4

static void drawn(void **state) {
  (void)state;
  gh_redraw run;
  gh_source *source = NULL;
  gh_reconstruction r = {0};
  char *output = check_path(runs.folder, "straight");
  pictures *p = calloc(6, sizeof *p);
  check_ok(gh_redraw_open(&err, &run, output, NULL));
  check_ok(gh_device_open(&err, run.config.device, &run.device));
  check_ok(gh_source_open(&err, &source, runs.pictures));
  check_ok(gh_redraw_gather(&err, &run, &r, source, NULL, PICTURES, 2));
  assert_int_equal(r.count, PICTURES);
  draw(&run, &r, (gh_drawing_how){.seed = 3}, 2, p[0]);
  draw(&run, &r, (gh_drawing_how){.seed = 3, .steps = 12, .temperature = 1}, 2, p[1]); /* the defaults */
  assert_memory_equal(p[0], p[1], sizeof *p);
  draw(&run, &r, (gh_drawing_how){.seed = 3}, 1, p[1]);
  assert_true(distance(p[0], p[1]) <= ROUNDING);
  draw(&run, &r, (gh_drawing_how){.seed = 4}, 2, p[1]);
  for (int i = 0; i < PICTURES; i++) assert_true(compare_distance(p[0][i], p[1][i], PIXELS) > 100 * ROUNDING);
  draw(&run, &r, (gh_drawing_how){.seed = 3, .steps = 1}, 2, p[2]);
  draw(&run, &r, (gh_drawing_how){.seed = 3, .steps = 3}, 2, p[3]);
  draw(&run, &r, (gh_drawing_how){.seed = 3, .temperature = 4}, 2, p[4]);
  for (int i = 2; i <= 4; i++) assert_true(distance(p[0], p[i]) > 100 * ROUNDING);
  assert_true(distance(p[2], p[3]) > 100 * ROUNDING);
  /* In one step, and at a temperature near 0, the seed no longer matters: all codes are the likeliest. */
  draw(&run, &r, (gh_drawing_how){.seed = 3, .steps = 1, .temperature = 1e-9}, 2, p[4]);
  draw(&run, &r, (gh_drawing_how){.seed = 4, .steps = 1, .temperature = 1e-9}, 2, p[5]);
  assert_true(distance(p[4], p[5]) <= ROUNDING);
  gh_reconstruction_free(&r);
  gh_source_free(source);
  gh_device *device = run.device;
  gh_redraw_close(&run);
  gh_device_close(device);
  free(p);
  free(output);
}

/* ---- the other commands ---- */

static void compared(void **state) {
  (void)state;
  objective_compared(&runs, 1e-4);
}

static void planned(void **state) {
  (void)state;
  objective_planned(&runs);
}

static void benchmarked(void **state) {
  (void)state;
  char *sets[] = {"denoiser.kind=discrete"};
  const gh_bench_options options = {
      .arch = "tiny", .stage = 1, .batch = 2, .sets = {.items = sets, .count = 1}, .repeats = 1};
  gh_device *device = NULL;
  gh_bench_result r;
  double tokenizer = 0;
  check_ok(gh_device_open(&err, "auto", &device));
  check_ok(gh_bench_step(&err, device, &options, &r));
  assert_true(r.loss > 0 && r.median.wall > 0 && r.budget.parameters_trained > 0);
  for (int i = 0; i < r.phase_count; i++)
    if (!strcmp(r.phases[i].name, "tokenizer")) tokenizer = r.phases[i].flops;
  assert_true(tokenizer > 1e6);
  gh_bench_free(&r);
  gh_device_close(device);
}

static void reported(void **state) {
  (void)state;
  static const char *const pieces[] = {"cross-entropy", "perplexity", "masked_accuracy", "data:image/png"};
  char *output = check_path(runs.folder, "straight"), *page = check_path(runs.folder, "page.html"), *text = NULL;
  size_t size = 0;
  gh_json *result = gh_json_object(&err);
  const gh_report_options options = {.run = output, .images = runs.pictures, .pictures = 2, .pool = 4, .batch = 2};
  check_ok(gh_report_write(&err, page, &options, result));
  check_ok(gh_file_read(&err, page, 1 << 24, &text, &size));
  for (size_t i = 0; i < GH_COUNT(pieces); i++)
    if (!strstr(text, pieces[i])) fail_msg("the report has no %s", pieces[i]);
  gh_json_free(result);
  free(text);
  free(page);
  free(output);
}

static void wrong_models_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *set, *piece;
  } cases[] = {{"autoencoder=" PROBE "/tiny/ae.safetensors", "not a VQ-GAN in taming-transformers' layout"},
               {"denoiser.layers=3", "no tensor \"layers.2.cross_attn.norm_q.weight\""},
               {"denoiser.hidden=51", "\"project_condition.1.weight\" is F32 of shape 48x40"},
               {"denoiser.weights=" PROBE "/tiny/denoiser.safetensors", "no tensor \"project_condition.0.weight\""}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    const char *const more[] = {cases[i].set, NULL};
    gh_stage_report reports[2];
    check_fails(objective_train(&err, &runs, "refused", more, (gh_train_options){0}, reports), GH_ERROR_FORMAT,
                cases[i].piece);
  }
}

static int begin(void **state) {
  (void)state;
  gh_log_set_level(GH_LOG_QUIET);
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
    return objective_child(&runs, argc, argv);
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(wrong_models_are_refused),
      cmocka_unit_test(both_stages_train),
      cmocka_unit_test(killed_and_resumed),
      cmocka_unit_test(variants_train),
      cmocka_unit_test(codes_are_cached),
      cmocka_unit_test(bad_caches_are_refused),
      cmocka_unit_test(masks_are_the_hosts),
      cmocka_unit_test(drawn),
      cmocka_unit_test(compared),
      cmocka_unit_test(planned),
      cmocka_unit_test(benchmarked),
      cmocka_unit_test(reported),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
