/* The run configuration: defaults, rejections, overrides, the round trip. */
#include "support/check.h"

#include "base/file.h"
#include "config/config.h"
#include "method/flow.h"
#include "method/masked.h"
#include "method/objective.h"
#include "train/pretrain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXAMPLE GH_FIXTURES "/config/run-example.json"
#define CONFIGS GH_FIXTURES "/../../configs"

/* The minimal document. */
#define LEAST "\"clip\":\"c\",\"autoencoder\":\"a\",\"data\":{\"images\":[\"i\"]},\"output\":\"o\""

static gh_status parse(gh_error *err, gh_config *config, const char *text) {
  return gh_config_parse(err, config, "run.json", text, strlen(text), NULL, 0);
}

static char *printed(const gh_config *config) {
  gh_error err = {0};
  gh_json *json;
  char *text;
  check_ok(gh_config_to_json(&err, &json, config));
  check_ok(gh_json_print(&err, &text, NULL, json, true));
  gh_json_free(json);
  return text;
}

static void check_same(const gh_config *a, const gh_config *b) {
  char *x = printed(a), *y = printed(b);
  assert_string_equal(x, y);
  free(x), free(y);
}

/* ---- defaults ---- */

static void test_example(void **state) {
  (void)state;
  gh_error err = {0};
  gh_config c;
  check_ok(gh_config_read(&err, &c, EXAMPLE, NULL, 0));
  assert_string_equal(c.clip, "models/clip-vit-large-patch14");
  assert_string_equal(c.kind->name, "continuous");
  const gh_flow_config *flow = gh_flow_config_of(&c);
  assert_string_equal(flow->autoencoder, "models/ae.safetensors");
  assert_int_equal(flow->hidden, 3072);
  assert_int_equal(flow->rope_axes[2], 56);
  assert_true(flow->timestep.convention == GH_TIME_NOISE_AT_ONE && flow->timestep.scale == 1);
  assert_null(c.denoiser_weights);
  assert_int_equal(c.data.images.count, 2);
  assert_string_equal(c.data.images.items[0], "data/cc3m-{00000..00331}.tar");
  assert_true(c.data.crop_ratio[1] == 1.3333333);
  assert_false(c.data.latent_cache);
  assert_int_equal(c.stages[0].micro_batch, 0);
  assert_int_equal(c.stages[0].checkpoint_at.count, 0);
  assert_int_equal(c.stages[1].checkpoint_at.count, 8);
  assert_true(c.stages[0].optimizer.lr == 1e-4 && c.stages[1].optimizer.lr == 1e-5);
  assert_true(c.lora.enabled && c.lora.targets.all_linear && c.lora.rank == 16 &&
              c.lora.bias == GH_LORA_BIAS_LORA_ONLY);
  assert_true(c.recompute == GH_RECOMPUTE_AUTO && c.guard == NULL);
  assert_true(c.state_minutes == 30);
  gh_config_free(&c);
  gh_config_free(&c); /* empty: fine */
}

/* The contract: the example equals the defaults, except for its paths. Two independent statements of every default. */
static void test_example_is_the_defaults(void **state) {
  (void)state;
  gh_error err = {0};
  gh_config given, least;
  check_ok(gh_config_read(&err, &given, EXAMPLE, NULL, 0));
  check_ok(parse(&err, &least,
                 "{\"clip\":\"models/clip-vit-large-patch14\",\"autoencoder\":\"models/ae.safetensors\",\"data\":{"
                 "\"images\":[\"data/cc3m-{00000..00331}.tar\",\"more/photos\"]},\"output\":\"runs/openai-224\"}"));
  check_same(&given, &least);
  gh_json *example, *written;
  check_ok(gh_json_read_file(&err, &example, EXAMPLE, GH_JSON_MAX_BYTES));
  check_ok(gh_config_to_json(&err, &written, &given));
  assert_true(gh_json_equal(example, written)); /* exactly equal */
  gh_json_free(example), gh_json_free(written);
  gh_config_free(&given), gh_config_free(&least);
  check_ok(gh_config_defaults(&err, &given, NULL, 0));
  assert_string_equal(given.output, "");
  assert_int_equal(given.stages[1].batch, 256);
  gh_config_free(&given);
}

/* ---- rejections ---- */

static const struct {
  const char *text, *piece;
} refused[] = {
    {"[]", "run.json: expected an object, found an array"},
    {"{" LEAST ",}", "run.json: line 1"},
    {"{" LEAST ",\"seed\":1,\"seed\":2}", "run.json: duplicate key \"seed\""},
    {"{}", "run.json: \"clip\" is missing"},
    {"{\"clip\":\"c\",\"data\":{\"images\":[\"i\"]},\"output\":\"o\"}", "\"autoencoder\" is missing"},
    {"{\"clip\":\"c\",\"autoencoder\":\"a\",\"output\":\"o\"}", "\"data.images\" is missing"},
    {"{\"clip\":\"c\",\"autoencoder\":\"a\",\"data\":{},\"output\":\"o\"}", "\"data.images\" is missing"},
    {"{\"clip\":\"c\",\"autoencoder\":\"a\",\"data\":{\"images\":[\"i\"]}}", "\"output\" is missing"},
    {"{\"clip\":\"c\",\"autoencoder\":\"a\",\"data\":{\"images\":[]},\"output\":\"o\"}", "data.images: an empty list"},
    {"{\"clip\":\"c\",\"autoencoder\":\"a\",\"data\":{\"images\":[\"\"]},\"output\":\"o\"}",
     "data.images[0]: an empty"},
    {"{\"clip\":\"c\",\"autoencoder\":\"a\",\"data\":{\"images\":[1]},\"output\":\"o\"}",
     "data.images[0]: expected a string, found a number"},
    {"{" LEAST ",\"stage1\":{\"optimizer\":{\"lrr\":1}}}",
     "unknown key \"stage1.optimizer.lrr\" (the nearest is \"stage1.optimizer.lr\")"},
    {"{" LEAST ",\"stage1\":{\"lr\":1}}", "unknown key \"stage1.lr\" (the nearest is \"stage1.optimizer.lr\")"},
    {"{" LEAST ",\"sede\":1}", "unknown key \"sede\" (the nearest is \"seed\")"},
    {"{" LEAST ",\"Seed\":1}", "unknown key \"Seed\" (the nearest is \"seed\")"},
    {"{" LEAST ",\"stage3\":{}}", "unknown key \"stage3\" (the nearest is \"stage"},
    {"{" LEAST ",\"stage1\":{\"lora\":{}}}", "unknown key \"stage1.lora\" (the nearest is \"stage2.lora"},
    {"{" LEAST ",\"stage1.steps\":1}", "write nested objects"},
    {"{" LEAST ",\"stage1\":3}", "stage1: expected an object, found a number"},
    {"{" LEAST ",\"state\":null}", "state: expected an object, found null"},
    {"{" LEAST ",\"stage2\":{\"lora\":3}}", "stage2.lora: expected an object or null, found a number"},
    {"{" LEAST ",\"stage2\":{\"lora\":{\"ranks\":3}}}", "(the nearest is \"stage2.lora.rank\")"},
    {"{" LEAST ",\"stage2\":{\"lora\":{\"targets\":[]}}}", "stage2.lora.targets: an empty list"},
    {"{" LEAST ",\"stage2\":{\"lora\":{\"dropout\":1}}}", "stage2.lora.dropout: 1 is not below 1"},
    {"{" LEAST ",\"stage2\":{\"guard\":3}}", "stage2.guard: expected an object or null"},
    {"{" LEAST ",\"stage1\":{\"optimizer\":{\"lr\":\"x\"}}}", "stage1.optimizer.lr: expected a number, found a string"},
    {"{" LEAST ",\"stage1\":{\"optimizer\":{\"lr\":-1}}}", "stage1.optimizer.lr: -1 is not at least 0"},
    {"{" LEAST ",\"stage1\":{\"optimizer\":{\"betas\":[0.9]}}}", "betas: expected an array of 2 numbers"},
    {"{" LEAST ",\"stage1\":{\"optimizer\":{\"betas\":[0.9,1.0]}}}", "betas[1]: 1 is not below 1"},
    {"{" LEAST ",\"stage1\":{\"optimizer\":{\"eps\":0}}}", "eps: 0 is not above 0"},
    {"{" LEAST ",\"stage1\":{\"batch\":0}}", "stage1.batch: 0 is not at least 1"},
    {"{" LEAST ",\"stage1\":{\"steps\":1.5}}", "stage1.steps: expected an integer, found 1.5"},
    {"{" LEAST ",\"stage1\":{\"steps\":100000000}}", "stage1.steps: 100000000 is not at most 99999999"},
    {"{" LEAST ",\"stage1\":{\"micro_batch\":\"some\"}}", "stage1.micro_batch: expected an integer or \"auto\""},
    {"{" LEAST ",\"stage2\":{\"micro_batch\":257}}", "stage2.micro_batch: 257 is above stage2.batch, 256"},
    {"{" LEAST ",\"stage2\":{\"checkpoint_at\":[1,0]}}", "stage2.checkpoint_at[1]: 0 is not at least 1"},
    {"{" LEAST ",\"stage2\":{\"checkpoint_at\":5}}", "checkpoint_at: expected an array of integers, found a number"},
    {"{" LEAST ",\"stage2\":{\"train_denoiser\":1}}", "train_denoiser: expected true or false, found a number"},
    {"{" LEAST ",\"precision\":\"float31\"}",
     "precision: \"float31\" is not one of \"float32\", \"bfloat16\", \"float16\""},
    {"{" LEAST ",\"version\":2}", "version: 2 is from a later genhance; this one reads versions up to 1"},
    {"{" LEAST ",\"seed\":9007199254740993}", "seed: "},
    {"{" LEAST ",\"seed\":null}", "seed: expected an integer, found null"},
    {"{" LEAST ",\"device\":\"\"}", "device: an empty string"},
    {"{" LEAST ",\"condition\":{\"local_tokens\":101}}", "condition.local_tokens: 101 is not at most 100"},
    {"{" LEAST ",\"evaluate\":{}}", "evaluate: expected an array, found an object"},
    {"{" LEAST ",\"denoiser\":{\"heads\":23}}", "denoiser.hidden: 3072 is not a multiple of denoiser.heads, 23"},
    {"{" LEAST ",\"denoiser\":{\"hidden\":1536}}", "denoiser.rope_axes: 16 + 56 + 56 is not hidden / heads = 64"},
    {"{" LEAST ",\"denoiser\":{\"rope_axes\":[17,55,56]}}", "every axis must be even"},
    {"{" LEAST ",\"denoiser\":{\"layer\":4}}", "unknown key \"denoiser.layer\" (the nearest is"},
    {"{\"clip\":\"c\",\"autoencoder\":\"a\",\"data\":{\"images\":\"i\",\"crop_scale\":[0.9,0.5]},\"output\":\"o\"}",
     "data.crop_scale: 0.9 is above 0.5"},
    {"{" LEAST ",\"denoiser\":{\"kind\":\"flow\"}}",
     "denoiser.kind: \"flow\" is not one of \"continuous\", \"discrete\""},
    {"{" LEAST ",\"denoiser\":{\"kind\":\"discrete\",\"heads\":23}}",
     "denoiser.hidden: 1024 is not a multiple of denoiser.heads, 23"},
    {"{" LEAST ",\"denoiser\":{\"kind\":\"discrete\",\"mask_ratio\":[0.9,0.5]}}",
     "denoiser.mask_ratio: 0.9 is above 0.5"},
    {"{" LEAST ",\"denoiser\":{\"kind\":\"discrete\",\"cross_attention\":\"twice\"}}",
     "denoiser.cross_attention: \"twice\" is not one of \"every_layer\", \"once\""},
    {"{" LEAST ",\"denoiser\":{\"kind\":\"discrete\",\"double_blocks\":2}}", /* its default */
     "denoiser.double_blocks is a key of the continuous denoiser only"},
    {"{" LEAST ",\"denoiser\":{\"kind\":\"discrete\"},\"timestep\":{\"scale\":1.5}}",
     "timestep.scale is a key of the continuous denoiser only"},
    {"{" LEAST ",\"denoiser\":{\"layers\":6}}", "denoiser.layers is a key of the discrete denoiser only"},
    {"{" LEAST ",\"denoiser\":{\"kind\":3}}", "denoiser.kind: expected a string, found a number"},
    {"{" LEAST ",\"precision\":\"fp16\",\"memory\":{\"master_weights\":\"bfloat16\"}}",
     "memory.master_weights: \"bfloat16\" needs precision \"bfloat16\""},
    {"{" LEAST ",\"precision\":\"float16\",\"memory\":{\"gradients\":\"bfloat16\"}}",
     "memory.gradients: \"bfloat16\" needs precision \"bfloat16\""},
    {"{" LEAST ",\"precision\":\"float16\",\"distributed\":{\"sync_every\":100},\"stage2\":{\"checkpoint_at\":[]}}",
     "distributed.sync_every: precision \"float16\" scales the loss, which all processes must do alike"},
    {"{" LEAST ",\"distributed\":{\"reduce_precision\":\"float16\"}}",
     "distributed.reduce_precision: \"float16\" is not one of \"float32\", \"bfloat16\""},
    {"{" LEAST ",\"memory\":{\"moments\":\"bfloat16\"}}",
     "memory.moments: \"bfloat16\" is not one of \"float32\", \"8bit\""},
    {"{" LEAST ",\"memory\":{\"offload\":\"all\"}}", "memory.offload: \"all\" is not one of \"none\", \"optimizer\""},
    {"{" LEAST ",\"memory\":{\"moments\":\"8bit\"},\"distributed\":{\"sync_every\":100},\"stage2\":{"
     "\"checkpoint_at\":[]}}",
     "distributed.sync_every: averages of moments need memory.moments \"float32\""},
    {"{" LEAST ",\"memory\":{\"master_weights\":\"bfloat16\"}}",
     "memory.master_weights: \"bfloat16\" needs precision \"bfloat16\""},
    {"{" LEAST ",\"precision\":\"bf16\",\"memory\":{\"master_weights\":\"float16\"}}",
     "memory.master_weights: \"float16\" is not one of \"float32\", \"bfloat16\""},
    {"{" LEAST ",\"precision\":\"bf16\",\"memory\":{\"master_weights\":\"bf16\"},\"distributed\":{\"sync_every\":"
     "100},\"stage2\":{\"checkpoint_at\":[]}}",
     "distributed.sync_every: averages of weights need memory.master_weights \"float32\""},
    {"{" LEAST ",\"distributed\":{\"split\":\"speed\"}}",
     "distributed.split: \"speed\" is not one of \"even\", \"measured\""},
    {"{" LEAST ",\"distributed\":{\"reduce\":\"quick\"}}",
     "distributed.reduce: \"quick\" is not one of \"ordered\", \"fast\""},
    {"{" LEAST ",\"distributed\":{\"reduce\":\"fast\",\"reduce_precision\":\"bfloat16\"}}",
     "distributed.reduce_precision: \"fast\" sums are float32 only"},
    {"{" LEAST ",\"distributed\":{\"buffers\":\"gpu\"}}",
     "distributed.buffers: \"gpu\" is not one of \"auto\", \"host\", \"device\""},
    {"{" LEAST ",\"distributed\":{\"buffers\":\"device\",\"reduce\":\"fast\"}}",
     "distributed.buffers: not \"device\": MPI adds \"fast\" sums in the host's memory"},
    {"{" LEAST ",\"distributed\":{\"buffers\":\"device\",\"shard\":\"gradients\"}}",
     "distributed.buffers: not \"device\": with distributed.shard \"gradients\""},
    {"{" LEAST ",\"distributed\":{\"bucket\":0}}", "distributed.bucket: "},
    {"{" LEAST ",\"distributed\":{\"sync_every\":7}}",
     "distributed.sync_every: stage1 ends or has a snapshot at update 100000, which is no multiple of 7"},
    {"{" LEAST ",\"distributed\":{\"sync_every\":100}}",
     "distributed.sync_every: stage2 ends or has a snapshot at update 50, which is no multiple of 100"},
    {"{" LEAST ",\"distributed\":{\"sync_every\":10,\"shard\":\"optimizer\"}}",
     "distributed.sync_every: averages are \"ordered\" and float32, and nothing else is divided"},
    {"{" LEAST ",\"distributed\":{\"shard\":\"parameters\"}}",
     "distributed.shard: \"parameters\" is not one of \"none\", \"optimizer\", \"gradients\""},
    {"{" LEAST ",\"distributed\":{\"reduce\":\"fast\",\"shard\":\"optimizer\"}}",
     "distributed.shard: \"fast\" sums have no owners"},
};

static void test_refused(void **state) {
  (void)state;
  gh_error err;
  gh_config c;
  for (size_t i = 0; i < GH_COUNT(refused); i++) {
    check_fails(parse(&err, &c, refused[i].text), GH_ERROR_CONFIG, refused[i].piece);
    assert_true(gh_starts_with(err.text, "run.json: "));
    assert_null(c.clip); /* nothing is left to free */
  }
  check_fails(gh_config_read(&err, &c, "/nonexistent/run.json", NULL, 0), GH_ERROR_FILE, "/nonexistent/run.json");
}

/* ---- values ---- */

static void test_values(void **state) {
  (void)state;
  gh_error err = {0};
  gh_config c, back;
  gh_json *json;
  check_ok(parse(&err, &c,
                 "{" LEAST ",\"denoiser\":{\"kind\":\"continuous\",\"single_blocks\":9},"
                 "\"stage1\":{\"steps\":0,\"micro_batch\":8},\"stage2\":{\"lora\":null,\"guard\":{\"drop\":0.3}},"
                 "\"precision\":\"bf16\",\"evaluate\":[{\"what\":\"mmvp\"}]}"));
  assert_int_equal(gh_flow_config_of(&c)->single_blocks, 9);
  assert_int_equal(c.stages[0].steps, 0);
  assert_int_equal(c.stages[0].micro_batch, 8);
  assert_false(c.lora.enabled);
  assert_int_equal(c.precision, GH_PRECISION_BFLOAT16);
  check_ok(gh_config_to_json(&err, &json, &c));
  assert_int_equal(gh_json_type_of(gh_json_at(json, "stage2.lora")), GH_JSON_NULL);
  assert_string_equal(gh_json_key(gh_json_at(json, "denoiser.rope_axes")), "rope_axes");
  check_ok(gh_config_from_json(&err, &back, "manifest", json));
  check_same(&c, &back);
  assert_string_equal(gh_precision_name(back.precision), "bfloat16");
  assert_true(gh_json_equal(c.guard, back.guard) && gh_json_equal(c.evaluate, back.evaluate));
  gh_json_free(json), gh_config_free(&c), gh_config_free(&back);

  check_ok(parse(&err, &c,
                 "{" LEAST
                 ",\"stage2\":{\"lora\":{\"rank\":4,\"targets\":[\"q_proj\",\"v_proj\"],\"adapter\":\"p\"}}}"));
  assert_true(c.lora.enabled && !c.lora.targets.all_linear && c.lora.rank == 4 && c.lora.alpha == 16);
  assert_int_equal(c.lora.targets.names.count, 2);
  assert_string_equal(c.lora.adapter, "p");
  check_ok(gh_config_to_json(&err, &json, &c));
  check_ok(gh_config_from_json(&err, &back, "manifest", json));
  check_same(&c, &back);
  gh_json_free(json), gh_config_free(&c), gh_config_free(&back);
}

static void test_overrides(void **state) {
  (void)state;
  gh_error err = {0};
  gh_config c;
  static const char *const sets[] = {"stage1.optimizer.lr=1e-3",
                                     "stage1.steps=5",
                                     "precision=bfloat16",
                                     "output=12",
                                     "denoiser.weights=null",
                                     "stage2.lora=null",
                                     "stage2.lora.rank=8",
                                     "data.images=one.tar",
                                     "clip=\"with = sign\"",
                                     "stage2.micro_batch=auto",
                                     "stage2.checkpoint_at=[7,8]",
                                     "data.latent_cache={\"crops\":4}",
                                     "autoencoder=true"};
  check_ok(gh_config_read(&err, &c, EXAMPLE, sets, GH_COUNT(sets)));
  assert_true(c.stages[0].optimizer.lr == 1e-3);
  assert_int_equal(c.stages[0].steps, 5);
  assert_int_equal(c.precision, GH_PRECISION_BFLOAT16);
  assert_string_equal(c.output, "12"); /* a text key takes the bare string */
  assert_string_equal(gh_flow_config_of(&c)->autoencoder, "true");
  assert_string_equal(c.clip, "with = sign");
  assert_true(c.lora.enabled && c.lora.rank == 8 && c.lora.alpha == 16);
  assert_int_equal(c.data.images.count, 1);
  assert_string_equal(c.data.images.items[0], "one.tar");
  assert_int_equal(c.stages[1].checkpoint_at.count, 2);
  assert_true(c.data.latent_cache && c.data.latent_cache_crops == 4);
  gh_config_free(&c);
  static const struct {
    const char *set, *piece;
  } usage[] = {{"nonsense", "--set nonsense: expected key=value"}, {"=3", "expected key=value"}},
    cases[] = {{"stage1.optimizer.llr=3", "--set stage1.optimizer.llr=3: unknown key \"stage1.optimizer.llr\""},
               {"stage1.optimizer.lr=fast", "stage1.optimizer.lr: expected a number, found a string"},
               {"stage1=5", "stage1: expected an object"},
               {"stage1.steps.x=5", "unknown key \"stage1.steps.x\""}};
  for (size_t i = 0; i < GH_COUNT(usage); i++)
    check_fails(gh_config_read(&err, &c, EXAMPLE, &usage[i].set, 1), GH_ERROR_ARGUMENT, usage[i].piece);
  for (size_t i = 0; i < GH_COUNT(cases); i++)
    check_fails(gh_config_read(&err, &c, EXAMPLE, &cases[i].set, 1), GH_ERROR_CONFIG, cases[i].piece);
}

static void test_checkpoint_due(void **state) {
  (void)state;
  gh_error err = {0};
  gh_config c;
  check_ok(gh_config_defaults(&err, &c, NULL, 0));
  static const int64_t due[] = {50, 100, 500, 1000, 1500}, not_due[] = {0, 1, 49, 51, 501};
  for (size_t i = 0; i < 5; i++) {
    assert_true(gh_config_checkpoint_due(&c.stages[1], due[i]));
    assert_false(gh_config_checkpoint_due(&c.stages[1], not_due[i]));
  }
  gh_config_free(&c);
}

/* ---- sweeps ---- */

static gh_status read_and_write(gh_error *err, void *state) {
  static const char *const sets[] = {"stage2.lora.targets=[\"q\",\"v\"]", "stage2.guard={\"drop\":1}", "device=x"};
  gh_config c;
  gh_json *json = NULL;
  gh_status status = gh_config_read(err, &c, state, sets, GH_COUNT(sets));
  if (!status) status = gh_config_to_json(err, &json, &c);
  gh_json_free(json);
  gh_config_free(&c);
  return status;
}

static void test_allocation_failures(void **state) {
  (void)state;
  check_allocation_failures(read_and_write, (void *)(uintptr_t)EXAMPLE);
}

static void test_mutations(void **state) {
  (void)state;
  gh_error err = {0};
  char *original;
  size_t size;
  uint64_t random = 5;
  int accepted = 0;
  check_ok(gh_file_read(&err, EXAMPLE, 1 << 16, &original, &size));
  char *bytes = malloc(size + 64);
  for (int round = 0; round < 2000; round++) {
    gh_config c, back;
    gh_json *json;
    err = (gh_error){0};
    memcpy(bytes, original, size);
    size_t length = check_mutate(bytes, size, size + 64, &random);
    gh_status status = gh_config_parse(&err, &c, "run.json", bytes, length, NULL, 0);
    if (status) {
      check_failure(status, &err, GH_ERROR_CONFIG, "run.json: ", __FILE__, __LINE__);
      continue;
    }
    accepted++;
    check_ok(gh_config_to_json(&err, &json, &c));
    check_ok(gh_config_from_json(&err, &back, "back", json));
    check_same(&c, &back);
    gh_json_free(json), gh_config_free(&c), gh_config_free(&back);
  }
  assert_true(accepted > 50);
  free(bytes), free(original);
}

/* Reads every JSON file under configs/; those of pre-training have their own keys. test_sweeps.c covers tables,
 * test_experiment.sh the experiments, miniature*.json. */
static void test_configs(void **state) {
  (void)state;
  gh_error err = {0};
  gh_strings names;
  size_t runs = 0, autoencoders = 0;
  check_ok(gh_folder_list(&err, &names, CONFIGS, true));
  for (size_t i = 0; i < names.count; i++) {
    if (!gh_ends_with(names.items[i], ".json") || gh_starts_with(names.items[i], "miniature")) continue;
    char *path = gh_path_join(&err, CONFIGS, names.items[i]);
    const gh_pretrain_kind *kind = gh_starts_with(names.items[i], "autoencoder")     ? &gh_pretrain_autoencoder
                                   : gh_starts_with(names.items[i], "vqgan")         ? &gh_pretrain_vqgan
                                   : gh_starts_with(names.items[i], "pretrain-clip") ? &gh_pretrain_clip
                                                                                     : NULL;
    if (kind) {
      gh_pretrain_config c;
      check_ok(gh_pretrain_config_read(&err, &c, kind, path, NULL, 0));
      gh_pretrain_config_free(&c);
      autoencoders++;
    } else {
      gh_config c;
      check_ok(gh_config_read(&err, &c, path, NULL, 0));
      gh_config_free(&c);
      runs++;
    }
    free(path);
  }
  gh_strings_free(&names);
  assert_true(runs >= 5 && autoencoders >= 2);
}

#define BASE "\"images\": [\"i\"], \"output\": \"o\""

/* Defaults of an autoencoder's configuration, and overrides. */
static void test_autoencoder(void **state) {
  (void)state;
  static const char text[] = "{" BASE ", \"multipliers\": [1, 2, 4]}";
  const char *const overrides[] = {"images=a/{0..3}.tar", "output=7", "micro_batch=auto", "lr=0.5"};
  gh_error err = {0};
  gh_pretrain_config c;
  char *folder = check_folder(), *path = check_path(folder, "a.json");
  check_write(path, text, strlen(text));
  check_ok(gh_pretrain_config_read(&err, &c, &gh_pretrain_autoencoder, path, overrides, GH_COUNT(overrides)));
  assert_string_equal(c.data.images.items[0], "a/{0..3}.tar");
  assert_string_equal(c.output, "7"); /* text is text */
  assert_string_equal(c.device, "auto");
  assert_true(c.vae.levels == 3 && c.vae.multipliers[2] == 4 && c.vae.channels == 32 && c.vae.latent == 16);
  assert_true(c.stage.steps == 1000 && c.stage.batch == 16 && c.stage.micro_batch == 0 && c.image_size == 64);
  assert_true(c.stage.optimizer.lr == 0.5 && c.stage.optimizer.warmup == 20 && c.stage.optimizer.clip_norm == 1);
  assert_true(c.data.crop_ratio[1] == 4.0 / 3 && c.kl_weight == 1e-6 && c.state_keep == 2 && c.state_minutes == 30);
  gh_pretrain_config_free(&c);
  check_fails(gh_pretrain_config_read(&err, &c, &gh_pretrain_autoencoder, path, (const char *const[]){"stepz=3"}, 1),
              GH_ERROR_CONFIG, "(the nearest is \"steps\")");
  free(path);
  check_folder_done(folder);
}

typedef struct pretrain_case {
  const char *text, *piece;
} pretrain_case;

/* Each gives one line that names the file once. */
static void check_rejected(const gh_pretrain_kind *kind, const pretrain_case *cases, size_t count) {
  gh_error err = {0};
  char *folder = check_folder(), *path = check_path(folder, "a.json");
  for (size_t i = 0; i < count; i++) {
    const char *const overrides[] = {"seed=1"};
    gh_pretrain_config c;
    check_write(path, cases[i].text, strlen(cases[i].text));
    for (size_t n = 0; n < 2; n++) {
      gh_status status = gh_pretrain_config_read(&err, &c, kind, path, overrides, n);
      assert_true(status == GH_ERROR_CONFIG || status == GH_ERROR_FORMAT);
      check_failure(status, &err, status, cases[i].piece, __FILE__, __LINE__);
      const char *named = strstr(err.text, path);
      if (!named || strstr(named + 1, path)) fail_msg("not named once: %s", err.text);
    }
  }
  free(path);
  check_folder_done(folder);
}

/* An autoencoder's configuration that is not an object, is broken or wrong gives one line that names it once. */
static void test_autoencoder_rejected(void **state) {
  (void)state;
  static const pretrain_case cases[] = {
      {"[1, 2]", "expected an object, found an array"},
      {"3", "expected an object, found a number"},
      {"{\"images\": ", "line 1, column 12"},
      {"{\"imags\": 1}", "unknown key \"imags\" (the nearest is \"images\")"},
      {"{\"output\": \"x\"}", "\"images\" is missing"},
      {"{\"images\": [\"i\"]}", "\"output\" is missing"},
      {"{" BASE ", \"channels\": 33}", "channels: 33 is not a multiple of 32"},
      {"{" BASE ", \"blocks\": 1.5}", "blocks: "},
      {"{" BASE ", \"latent\": 0}", "latent: 0 is not at least 1"},
      {"{" BASE ", \"lr\": \"x\"}", "lr: "},
      {"{" BASE ", \"multipliers\": []}", "multipliers: 0 values"},
      {"{" BASE ", \"multipliers\": [1, 17]}", "multipliers[1]: 17 is not at most 16"},
      {"{" BASE ", \"crop_scale\": [1, 0.5]}", "crop_scale: 1 is above 0.5"},
      {"{" BASE ", \"image_size\": 60}", "image_size: 60 is not a multiple of 8"}};
  check_rejected(&gh_pretrain_autoencoder, cases, GH_COUNT(cases));
}

/* CLIP's configuration: its defaults, the keys that it has not, and wrong values. */
static void test_clip(void **state) {
  (void)state;
  static const pretrain_case cases[] = {{"{" BASE ", \"channels\": 32}", "unknown key \"channels\""},
                                        {"{" BASE ", \"batch\": 1}", "batch: 1 is not at least 2"},
                                        {"{" BASE ", \"width\": 126}", "width: 126 is not a multiple of heads, 4"},
                                        {"{" BASE ", \"text_heads\": 3}", "text_width: 128 is not a multiple of"},
                                        {"{" BASE ", \"patch\": 7}", "image_size: 64 is not a multiple of patch, 7"},
                                        {"{" BASE ", \"vocabulary\": 513}", "vocabulary: 513 is not at least 514"},
                                        {"{" BASE ", \"context\": 2}", "context: 2 is not at least 3"},
                                        {"{" BASE ", \"schedule\": \"linear\"}", "schedule: \"linear\" is not one of"}};
  check_rejected(&gh_pretrain_clip, cases, GH_COUNT(cases));
  static const char text[] = "{" BASE ", \"width\": 64, \"text_layers\": 3, \"tokenizer\": \"t\"}";
  gh_error err = {0};
  gh_pretrain_config c;
  char *folder = check_folder(), *path = check_path(folder, "c.json");
  check_write(path, text, strlen(text));
  check_ok(gh_pretrain_config_read(&err, &c, &gh_pretrain_clip, path, NULL, 0));
  assert_true(c.clip.vision.tower.hidden == 64 && c.clip.vision.tower.mlp == 256 && !c.clip.vision.tower.causal);
  assert_true(c.clip.text.tower.layers == 3 && c.clip.text.tower.causal && c.clip.text.positions == 32);
  assert_true(c.clip.vision.image == 64 && c.clip.vision.projection == 128 && c.clip.text.projection == 128);
  assert_true(c.stage.batch == 256 && c.stage.optimizer.schedule == GH_SCHEDULE_COSINE);
  assert_true(c.stage.optimizer.betas[1] == 0.98 && c.stage.optimizer.weight_decay == 0.2);
  assert_string_equal(c.tokenizer, "t");
  gh_pretrain_config_free(&c);
  free(path);
  check_folder_done(folder);
}

/* A VQ-GAN's configuration: its defaults, the keys that it has not, and wrong values. */
static void test_vqgan(void **state) {
  (void)state;
  static const pretrain_case cases[] = {{"{" BASE ", \"kl_weight\": 1}", "unknown key \"kl_weight\""},
                                        {"{" BASE ", \"codes\": 1}", "codes: 1 is not at least 2"},
                                        {"{" BASE ", \"codes\": 65537}", "codes: 65537 is not at most 65536"},
                                        {"{" BASE ", \"embedding\": 0}", "embedding: 0 is not at least 1"},
                                        {"{" BASE ", \"latent\": 5000}", "latent: 5000 is not at most 4096"},
                                        {"{" BASE ", \"commitment\": -1}", "commitment: -1 is not at least 0"},
                                        {"{" BASE ", \"revive_every\": 0.5}", "revive_every: "},
                                        {"{" BASE ", \"revive_evry\": 5}", "(the nearest is \"revive_every\")"},
                                        {"{" BASE ", \"channels\": 48}", "channels: 48 is not a multiple of 32"},
                                        {"{" BASE ", \"image_size\": 60}", "image_size: 60 is not a multiple of 8"}};
  check_rejected(&gh_pretrain_vqgan, cases, GH_COUNT(cases));
  static const char text[] = "{" BASE ", \"multipliers\": [1, 3], \"codes\": 64, \"revive_every\": 0}";
  gh_error err = {0};
  gh_pretrain_config c;
  char *folder = check_folder(), *path = check_path(folder, "v.json");
  check_write(path, text, strlen(text));
  check_ok(gh_pretrain_config_read(&err, &c, &gh_pretrain_vqgan, path, NULL, 0));
  assert_true(c.vqgan.levels == 2 && c.vqgan.multipliers[1] == 3 && c.vqgan.channels == 32 && c.vqgan.blocks == 1);
  assert_true(c.vqgan.latent == 32 && c.vqgan.embedding == 32 && c.vqgan.codes == 64);
  assert_true(c.commitment == 0.25 && c.revive_every == 0);
  gh_pretrain_config_free(&c);
  free(path);
  check_folder_done(folder);
}

/* ---- kinds that share keys ---- */

/* A kind whose keys have names of the default kind's, with other types and defaults. It comes last in the table. */
typedef struct words {
  char *hidden, *axes;
} words;

static const gh_row word_rows[] = {GH_ROW("denoiser.hidden", ROW_STRING, words, hidden, "\"wide\"", 0, 0, 0),
                                   GH_ROW("denoiser.rope_axes", ROW_MAYBE_STRING, words, axes, "null", 0, 0, 0)};

static const gh_objective word_objective = {.kind = {.name = "words",
                                                     .rows = word_rows,
                                                     .row_count = GH_COUNT(word_rows),
                                                     .record_bytes = sizeof(words),
                                                     .foreign = "the denoiser of words"}};

/* An override has the type that the document's kind gives the key, wherever the kind is named. */
static void test_kinds_that_share_keys(void **state) {
  (void)state;
  gh_error err = {0};
  check_ok(gh_objective_add(&err, &word_objective));
  static const char *const of_words[][3] = {
      {"denoiser.kind=words", "denoiser.hidden=64", "denoiser.rope_axes=[1,2]"},
      {"denoiser.hidden=64", "denoiser.rope_axes=[1,2]", "denoiser.kind=words"},
      {"denoiser={\"kind\":\"words\"}", "denoiser.hidden=64", "denoiser.rope_axes=[1,2]"}};
  gh_config c;
  for (size_t i = 0; i < GH_COUNT(of_words); i++) {
    check_ok(gh_config_defaults(&err, &c, of_words[i], 3));
    assert_string_equal(c.kind->name, "words");
    assert_string_equal(((const words *)c.own)->hidden, "64");
    assert_string_equal(((const words *)c.own)->axes, "[1,2]");
    gh_config_free(&c);
  }

  static const char *const of_flow[] = {"denoiser.hidden=64", "denoiser.rope_axes=[2,4,10]", "denoiser.heads=4"};
  check_ok(gh_config_defaults(&err, &c, of_flow, 3));
  assert_string_equal(c.kind->name, "continuous");
  assert_int_equal(gh_flow_config_of(&c)->hidden, 64);
  assert_int_equal(gh_flow_config_of(&c)->rope_axes[2], 10);
  gh_config_free(&c);

  static const char of_document[] = "{\"clip\":\"c\",\"denoiser\":{\"kind\":\"words\"},\"data\":{\"images\":[\"i\"]},"
                                    "\"output\":\"o\"}";
  check_ok(gh_config_parse(&err, &c, "run.json", of_document, strlen(of_document), of_flow, 1));
  assert_string_equal(((const words *)c.own)->hidden, "64");
  gh_config_free(&c);
  check_fails(gh_config_parse(&err, &c, "run.json", of_document, strlen(of_document), of_flow, 3), GH_ERROR_CONFIG,
              "denoiser.heads is a key of the continuous denoiser only");
  static const char *const none[] = {"denoiser.hidden=64", "denoiser.kind=nothing"};
  check_fails(gh_config_defaults(&err, &c, none, 2), GH_ERROR_CONFIG, "\"nothing\" is not one of");
}

/* A complete document becomes one of the other kind by replacing its denoiser: a group that says nothing may stay. */
static void test_another_kind(void **state) {
  (void)state;
  gh_error err = {0};
  gh_config c;
  gh_json *json;
  static const char *const sets[] = {"denoiser={\"kind\":\"discrete\",\"layers\":2}", "timestep.scale=1"};
  const char *const changed[] = {sets[0], "timestep.scale=1.5"};
  check_ok(gh_config_read(&err, &c, EXAMPLE, sets, 2));
  assert_string_equal(c.kind->name, "discrete");
  assert_int_equal(gh_masked_config_of(&c)->layers, 2);
  assert_string_equal(gh_masked_config_of(&c)->autoencoder, "models/ae.safetensors");
  check_ok(gh_config_to_json(&err, &json, &c));
  assert_null(gh_json_at(json, "timestep"));
  gh_json_free(json), gh_config_free(&c);
  check_fails(gh_config_read(&err, &c, EXAMPLE, changed, 2), GH_ERROR_CONFIG,
              "timestep.scale is a key of the continuous denoiser only");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_another_kind),
      cmocka_unit_test(test_autoencoder),
      cmocka_unit_test(test_autoencoder_rejected),
      cmocka_unit_test(test_vqgan),
      cmocka_unit_test(test_clip),
      cmocka_unit_test(test_configs),
      cmocka_unit_test(test_example),
      cmocka_unit_test(test_example_is_the_defaults),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_values),
      cmocka_unit_test(test_overrides),
      cmocka_unit_test(test_checkpoint_due),
      cmocka_unit_test(test_allocation_failures),
      cmocka_unit_test(test_mutations),
      cmocka_unit_test(test_kinds_that_share_keys), /* last: the kind that it adds stays */
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
