/* genhance encode against transformers' embeddings of unusual images; adapters against the training step's
 * condition. */
#include "support/compare.h"
#include "support/scratch.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/cli.h"
#include "encode/encode.h"
#include "io/png_write.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE  GH_FIXTURES "/probe/tiny"
#define IMAGES GH_FIXTURES "/encode/images"

static gh_safetensors *open_file(const char *path) {
  gh_error err = {0};
  gh_safetensors *file = NULL;
  check_ok(gh_safetensors_open(&err, &file, path));
  return file;
}

static double greatest(const float *values, int64_t n) {
  double most = 0;
  for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)values[i]));
  return most;
}

/* PNG pixels equal the reference's exactly, so only the tower's rounding is left: 1e-5 of the largest value. Another
 * version of the JPEG library may round colours differently: 1e-3. */
static void compare_rows(const gh_safetensors *got, const gh_safetensors *want) {
  gh_error err = {0};
  int64_t n = 0;
  gh_json *names = NULL;
  const char *text = gh_safetensors_metadata(want, "names"), *ours = gh_safetensors_metadata(got, "names");
  gh_json *list = NULL;
  check_ok(gh_json_parse(&err, &names, "names", text, strlen(text), GH_JSON_MAX_BYTES));
  assert_non_null(ours);
  check_ok(gh_json_parse(&err, &list, "names", ours, strlen(ours), GH_JSON_MAX_BYTES));
  assert_true(gh_json_equal(names, list));
  float *a = compare_load(got, "embeddings", &n), *b = compare_load(want, "embeddings", NULL);
  int64_t rows = (int64_t)gh_json_count(names), width = n / rows, row = 0;
  double scale = greatest(b, n);
  const gh_st_tensor *t = gh_safetensors_find(want, "embeddings");
  check_ok(gh_safetensors_expect(&err, got, "embeddings", 2, t->shape, NULL));
  assert_int_equal(gh_safetensors_find(got, "embeddings")->dtype, GH_ST_F32);
  for (const gh_json *name = gh_json_first(names); name; name = gh_json_next(name), row++) {
    const char *file = "";
    check_ok(gh_json_to_string(&err, name, "name", &file));
    compare_values(file, a + row * width, b + row * width, width, scale * (gh_ends_with(file, ".png") ? 1e-5 : 1e-3));
  }
  assert_int_equal(row, 17);
  free(a);
  free(b);
  gh_json_free(names);
  gh_json_free(list);
}

static void pictures_of_many_kinds(void **state) {
  (void)state;
  static const struct {
    const char *model, *expected, *batch;
  } cases[] = {{GH_FIXTURES "/probe/tiny/clip", GH_FIXTURES "/encode/expected-tiny.safetensors", "4"},
               {GH_FIXTURES "/probe/edges/clip", GH_FIXTURES "/encode/expected-edges.safetensors", "4"},
               {GH_FIXTURES "/probe/tiny/clip", GH_FIXTURES "/encode/expected-tiny.safetensors", "1"},
               {GH_FIXTURES "/probe/edges/clip", GH_FIXTURES "/encode/expected-edges.safetensors", "1000"}};
  gh_error err = {0};
  char *out = check_path(scratch, "e.safetensors");
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    check_ok(compare_run(&err, "encode", "--model", cases[i].model, "--images", IMAGES, "--out", out, "--batch",
                         cases[i].batch, NULL));
    gh_safetensors *got = open_file(out), *want = open_file(cases[i].expected);
    assert_int_equal(gh_safetensors_count(got), 1);
    compare_rows(got, want);
    gh_safetensors_close(got);
    gh_safetensors_close(want);
  }
  free(out);
}

static void copy(const char *name, const char *from, size_t most) {
  gh_error err = {0};
  char *bytes = NULL, *source = check_path(IMAGES, from), *to = check_path(scratch, name);
  size_t size = 0;
  check_ok(gh_file_read(&err, source, 1 << 20, &bytes, &size));
  check_write(to, bytes, GH_MIN(size, most));
  free(bytes);
  free(source);
  free(to);
}

static void broken_images_are_skipped(void **state) {
  (void)state;
  gh_error err = {0};
  char *images = check_path(scratch, "images"), *out = check_path(scratch, "b.safetensors");
  char *json = check_path(scratch, "b.json");
  check_ok(gh_folder_make(&err, images));
  copy("images/a.png", "Exact.png", 500);
  copy("images/b.png", "Exact.png", SIZE_MAX);
  copy("images/c.jpg", "cmyk.jpg", 40);
  copy("images/d.txt", "Exact.png", SIZE_MAX);
  copy("images/e.JPEG", "cmyk.jpg", SIZE_MAX);
  gh_image wide; /* of which only the central crop is resized */
  char *last = check_path(images, "wide.png");
  check_ok(gh_image_new(&err, &wide, 20000, 1));
  check_ok(gh_png_write(&err, last, &wide));
  gh_image_free(&wide);
  free(last);
  copy("images/\xff.png", "Exact.png", SIZE_MAX); /* a name that JSON cannot hold */
  check_ok(compare_run(&err, "encode", "--model", PROBE "/clip", "--images", images, "--out", out, "--json", json,
                       "--batch", "2", NULL));
  gh_safetensors *got = open_file(out), *want = open_file(GH_FIXTURES "/encode/expected-tiny.safetensors");
  assert_string_equal(gh_safetensors_metadata(got, "names"), "[\"b.png\",\"e.JPEG\",\"wide.png\"]");
  float *a = compare_load(got, "embeddings", NULL), *b = compare_load(want, "embeddings", NULL);
  int64_t width = gh_safetensors_find(want, "embeddings")->shape[1];
  compare_values("b.png", a, b, width, 1e-4);                      /* Exact.png is the first of the fixture */
  compare_values("e.JPEG", a + width, b + 2 * width, width, 2e-3); /* and cmyk.jpg the third */
  gh_json *report = NULL;
  int64_t images_done = 0;
  const char *name = "", *reason = "";
  check_ok(gh_json_read_file(&err, &report, json, GH_JSON_MAX_BYTES));
  check_ok(gh_json_get_int(&err, report, "images", &images_done));
  assert_int_equal(images_done, 3);
  assert_int_equal(gh_json_count(gh_json_at(report, "skipped")), 3);
  check_ok(gh_json_get_string(&err, report, "skipped[0].name", &name));
  check_ok(gh_json_get_string(&err, report, "skipped[0].reason", &reason));
  assert_string_equal(name, "a.png");
  assert_non_null(strstr(reason, "images/a.png"));
  gh_json_free(report);
  gh_safetensors_close(got);
  gh_safetensors_close(want);
  check_ok(gh_file_remove(&err, out));
  char *alone = check_path(images, "a.png");
  check_fails(compare_run(&err, "encode", "--model", PROBE "/clip", "--images", alone, "--out", out, NULL),
              GH_ERROR_FORMAT, "no image could be read");
  assert_false(gh_path_exists(out));
  free(a);
  free(b);
  free(alone);
  free(images);
  free(out);
  free(json);
}

static void one_file(void **state) {
  (void)state;
  gh_error err = {0};
  char *out = check_path(scratch, "one.safetensors");
  check_ok(compare_run(&err, "encode", "--model", PROBE "/clip", "--images", IMAGES "/sub/grey panorama.png", "--out",
                       out, NULL));
  gh_safetensors *got = open_file(out);
  assert_string_equal(gh_safetensors_metadata(got, "names"), "[\"grey panorama.png\"]");
  assert_int_equal(gh_safetensors_find(got, "embeddings")->shape[0], 1);
  gh_safetensors_close(got);
  free(out);
}

static void rejections(void **state) {
  (void)state;
  gh_error err = {0};
  char *out = check_path(scratch, "no.safetensors");
  check_fails(compare_run(&err, "encode", "--model", PROBE, "--images", IMAGES, "--out", out, NULL), GH_ERROR_FILE,
              "config.json");
  char *absent = check_path(scratch, "absent/e.safetensors");
  check_fails(compare_run(&err, "encode", "--model", PROBE "/clip", "--images", IMAGES, "--out", absent, NULL),
              GH_ERROR_FILE, "there is no folder");
  free(absent);
  assert_false(gh_path_exists(out));
  free(out);
}

/* A signal while listing images, reading images or reading lines: nothing is written, and the exit status is that of
 * any other program, 128 plus the signal's number. */
static void stopped(void **state) {
  (void)state;
  gh_error err = {0};
  gh_source *source = NULL;
  gh_embedder e = {0};
  gh_encoding encoding;
  char *out = check_path(scratch, "stopped.safetensors");
  check_ok(gh_source_open(&err, &source, IMAGES));
  check_ok(gh_embedder_open(&err, &e, scratch_device, PROBE "/clip", &(gh_embed_options){.batch = 4}));
  gh_stop_request(SIGTERM);
  check_fails(compare_run(&err, "encode", "--model", PROBE "/clip", "--images", IMAGES, "--out", out, NULL),
              GH_ERROR_INTERRUPTED, "stopped while listing; nothing is written");
  assert_int_equal(gh_cli_exit_code(GH_ERROR_INTERRUPTED), 128 + SIGTERM);
  assert_int_equal(gh_cli_exit_code(GH_ERROR_STOPPED), 75);
  check_fails(gh_encode(&err, &encoding, &e, source), GH_ERROR_INTERRUPTED, "stopped at image 1; nothing is written");
  gh_text_embedder *texts = NULL;
  gh_text_encoding lines_encoding;
  gh_strings lines = {0};
  check_ok(
      gh_text_embedder_open(&err, &texts, scratch_device, GH_FIXTURES "/text/clip", &(gh_embed_options){.batch = 4}));
  check_ok(gh_strings_add(&err, &lines, "a dog"));
  check_fails(gh_encode_text(&err, &lines_encoding, texts, &lines, "lines", NULL), GH_ERROR_INTERRUPTED,
              "stopped at line 1");
  gh_strings_free(&lines);
  gh_text_embedder_close(texts);
  gh_stop_request(0);
  assert_false(gh_path_exists(out));
  gh_embedder_close(&e);
  gh_source_free(source);
  free(out);
}

/* ---- the encoder as a unit ---- */

/* The embeddings (B, D) of the probe's images, which are in [0, 1]. */
static float *embed_probe(const gh_embed_options *how, const gh_safetensors *inputs) {
  gh_error err = {0};
  gh_embedder e = {0};
  int64_t n = 0;
  check_ok(gh_embedder_open(&err, &e, scratch_device, PROBE "/clip", how));
  float *images = compare_load(inputs, "images", &n);
  assert_int_equal(n, e.batch * gh_embedder_image_elements(&e));
  int64_t plane = (int64_t)e.config.image * e.config.image;
  for (int64_t i = 0; i < n; i++) {
    int64_t channel = i / plane % 3;
    images[i] = (float)(((double)images[i] - e.preprocess.mean[channel]) / e.preprocess.std[channel]);
  }
  float *out = gh_alloc(&err, (size_t)(e.batch * e.width), sizeof *out);
  check_ok(gh_embedder_start(&err, &e, images));
  check_ok(gh_embedder_finish(&err, &e, out));
  free(images);
  gh_embedder_close(&e);
  return out;
}

/* The bound is four times the error of PyTorch's float32, as for the other embeddings. The adapter's values are as
 * large as the weights', so the condition is 2.6 times as large with it, and PyTorch's error 4.7 times. */
static void adapter_gives_the_steps_condition(void **state) {
  (void)state;
  gh_safetensors *inputs = open_file(PROBE "/inputs.safetensors");
  gh_safetensors *want[] = {open_file(PROBE "/stage1.expected.safetensors"),
                            open_file(PROBE "/stage2-only.expected.safetensors")};
  int64_t batch = gh_safetensors_find(inputs, "images")->shape[0], n = 0;
  for (int adapted = 0; adapted < 2; adapted++) {
    const gh_embed_options how = {.batch = batch, .adapter = adapted ? PROBE "/adapter" : NULL};
    float *got = embed_probe(&how, inputs), *expected = compare_load(want[adapted], "condition", &n);
    compare_values(adapted ? "with adapter" : "without", got, expected, n,
                   4 * (double)compare_number(want[adapted], "error.condition"));
    float *other = compare_load(want[!adapted], "condition", NULL); /* the adapter matters */
    assert_true(compare_distance(got, other, n) > 1e-2);
    free(other);
    free(got);
    free(expected);
  }
  gh_safetensors_close(inputs);
  for (int i = 0; i < 2; i++) gh_safetensors_close(want[i]);
}

/* Doubling the projection in a file of trained tensors doubles the embedding. */
static void trained_tensors_replace(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors *inputs = open_file(PROBE "/inputs.safetensors"), *clip = open_file(PROBE "/clip");
  char *path = check_path(scratch, "encoder.safetensors");
  const char *name = "visual_projection.weight";
  int64_t n = 0, batch = gh_safetensors_find(inputs, "images")->shape[0];
  float *weight = compare_load(clip, name, &n);
  for (int64_t i = 0; i < n; i++) weight[i] *= 2;
  gh_safetensors_writer *writer = NULL;
  check_ok(gh_safetensors_writer_new(&err, &writer, path));
  check_ok(gh_safetensors_writer_declare(&err, writer, name, GH_ST_F32, 2, gh_safetensors_find(clip, name)->shape));
  check_ok(gh_safetensors_writer_begin(&err, writer));
  check_ok(gh_safetensors_writer_write_f32(&err, writer, name, weight, n));
  check_ok(gh_safetensors_writer_finish(&err, writer));
  gh_safetensors_writer_free(writer);
  const gh_embed_options plain = {.batch = batch}, doubled = {.batch = batch, .encoder = path};
  float *a = embed_probe(&plain, inputs), *b = embed_probe(&doubled, inputs);
  n = batch * gh_safetensors_find(clip, name)->shape[0];
  for (int64_t i = 0; i < n; i++) a[i] *= 2;
  compare_values("doubled", b, a, n, 1e-6);
  gh_embedder e = {0};
  const gh_embed_options wrong = {.batch = 1, .encoder = PROBE "/denoiser.safetensors"};
  check_fails(gh_embedder_open(&err, &e, scratch_device, PROBE "/clip", &wrong), GH_ERROR_FORMAT,
              "not a tensor of the encoder");
  gh_embedder_close(&e);
  free(a);
  free(b);
  free(weight);
  free(path);
  gh_safetensors_close(clip);
  gh_safetensors_close(inputs);
}

/* A tower in another's store, as an evaluation uses training's, gives the same bits as one loaded from files, with and
 * without an adapter; it holds a batch but no weights. */
static void a_shared_tower(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors *inputs = open_file(PROBE "/inputs.safetensors");
  int64_t batch = gh_safetensors_find(inputs, "images")->shape[0];
  for (int adapted = 0; adapted < 2; adapted++) {
    const gh_embed_options files = {.batch = batch, .adapter = adapted ? PROBE "/adapter" : NULL};
    gh_adapter adapter = {0};
    gh_embedder owner = {0}, other = {0};
    check_ok(gh_embedder_open(&err, &owner, scratch_device, PROBE "/clip", &files));
    if (adapted) check_ok(gh_adapter_open(&err, &adapter, PROBE "/adapter"));
    gh_lora lora = adapted ? gh_adapter_lora(&adapter) : (gh_lora){0};
    lora.dropout = 0.5; /* a training setting: not applied */
    const gh_embed_options shared = {.batch = batch, .shared = owner.tower.store, .trained = adapted ? &lora : NULL};
    int64_t held = gh_store_bytes(owner.tower.store);
    float *want = embed_probe(&files, inputs), *got = embed_probe(&shared, inputs);
    assert_memory_equal(got, want, (size_t)(batch * owner.width) * sizeof *got);
    assert_int_equal(gh_store_bytes(owner.tower.store), held);
    const gh_embed_options larger = {.batch = batch + 1, .shared = owner.tower.store};
    check_fails(gh_embedder_open(&err, &other, scratch_device, PROBE "/clip", &larger), GH_ERROR_ARGUMENT,
                "input.embed");
    gh_embedder_close(&other);
    free(want);
    free(got);
    gh_adapter_close(&adapter);
    gh_embedder_close(&owner);
  }
  gh_safetensors_close(inputs);
}

/* ---- adapters of peft ---- */

#define ADAPTERS GH_FIXTURES "/probe/adapters"

/* Every kind that is served, against peft's own reading of the folder. */
static void adapters_of_peft(void **state) {
  (void)state;
  gh_safetensors *inputs = open_file(PROBE "/inputs.safetensors"), *want = open_file(ADAPTERS "/served.safetensors");
  int64_t batch = gh_safetensors_find(inputs, "images")->shape[0], n = 0;
  float *plain = embed_probe(&(gh_embed_options){.batch = batch}, inputs);
  assert_int_equal(gh_safetensors_count(want), 9);
  for (size_t i = 0; i < gh_safetensors_count(want); i++) {
    const char *name = gh_safetensors_at(want, i)->name;
    char *folder = check_path(ADAPTERS, name);
    const gh_embed_options how = {.batch = batch, .adapter = folder};
    float *got = embed_probe(&how, inputs), *expected = compare_load(want, name, &n);
    compare_values(name, got, expected, n, 1e-5 * fmax(1, greatest(expected, n)));
    assert_true(compare_distance(got, plain, n) > 1e-2);
    free(got);
    free(expected);
    free(folder);
  }
  free(plain);
  gh_safetensors_close(inputs);
  gh_safetensors_close(want);
}

/* ---- adapters that cannot be ---- */

static void write_adapter(const char *to, const char *config, const char *tensor) {
  gh_error err = {0};
  char *json = check_path(to, "adapter_config.json"), *file = check_path(to, "adapter_model.safetensors");
  check_ok(gh_folder_make(&err, to));
  check_write(json, config, strlen(config));
  gh_safetensors_writer *writer = NULL;
  check_ok(gh_safetensors_writer_new(&err, &writer, file));
  const float zeros[8] = {0};
  const int64_t a[2] = {1, 8}, b[2] = {8, 1};
  char names[2][128];
  snprintf(names[0], sizeof names[0], "%s.lora_A.weight", tensor);
  snprintf(names[1], sizeof names[1], "%s.lora_B.weight", tensor);
  check_ok(gh_safetensors_writer_declare(&err, writer, names[0], GH_ST_F32, 2, a));
  check_ok(gh_safetensors_writer_declare(&err, writer, names[1], GH_ST_F32, 2, b));
  check_ok(gh_safetensors_writer_begin(&err, writer));
  for (int i = 0; i < 2; i++) check_ok(gh_safetensors_writer_write_f32(&err, writer, names[i], zeros, 8));
  check_ok(gh_safetensors_writer_finish(&err, writer));
  gh_safetensors_writer_free(writer);
  free(json);
  free(file);
}

static void invalid_adapters(void **state) {
  (void)state;
  static const struct {
    const char *config, *tensor;
    gh_status status;
    const char *text;
  } table[] = {
      {"{\"r\":1,\"use_dora\":true}", "base_model.model.x", GH_ERROR_FORMAT, "no magnitudes"},
      {"{\"r\":1,\"rank_pattern\":{\"x\":2}}", "base_model.model.x", GH_ERROR_FORMAT, "of rank 2"},
      {"{\"r\":1,\"rank_pattern\":{\"x{2}\":2}}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "rank_pattern"},
      {"{\"r\":1,\"rank_pattern\":3}", "base_model.model.x", GH_ERROR_FORMAT, "rank_pattern: expected an"},
      {"{\"r\":1,\"alpha_pattern\":{\"x\":\"1\"}}", "base_model.model.x", GH_ERROR_FORMAT, "alpha_pattern: x"},
      {"{\"r\":1,\"modules_to_save\":[\"head\"]}", "base_model.model.x", GH_ERROR_FORMAT, "no tensor of head"},
      {"{\"r\":1,\"modules_to_save\":\"head\"}", "base_model.model.x", GH_ERROR_FORMAT, "expected an array"},
      {"{\"r\":1,\"modules_to_save\":[\"x\"]}", "base_model.model.x.y", GH_ERROR_FORMAT,
       "modules_to_save leaves out x.y, which the file adapts"},
      {"{\"r\":1,\"lora_bias\":true}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "lora_bias"},
      {"{\"r\":1,\"fan_in_fan_out\":true}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "fan_in_fan_out"},
      {"{\"r\":1,\"use_qalora\":true}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "use_qalora"},
      {"{\"r\":1,\"use_bdlora\":{\"nblocks\":2}}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "use_bdlora"},
      {"{\"r\":1,\"kasa_config\":{\"beta\":1}}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "kasa_config"},
      {"{\"r\":1,\"velora_config\":{\"scale\":1}}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "velora_config"},
      {"{\"r\":1,\"arrow_config\":{\"top_k\":3}}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "arrow_config"},
      {"{\"r\":1,\"monteclora_config\":{\"num_samples\":8}}", "base_model.model.x", GH_ERROR_UNSUPPORTED,
       "monteclora_config"},
      {"{\"r\":1,\"alora_invocation_tokens\":[1]}", "base_model.model.x", GH_ERROR_UNSUPPORTED,
       "alora_invocation_tokens"},
      {"{\"r\":1,\"layer_replication\":[[0,2]]}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "layer_replication"},
      {"{\"r\":1,\"future\":0}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "future is not supported"},
      {"{\"r\":1,\"future\":\"x\"}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "future is not supported"},
      {"{\"r\":1,\"a\":null,\"b\":false,\"c\":[],\"d\":{},\"e\":\"\",\"f\":true}", "base_model.model.x",
       GH_ERROR_UNSUPPORTED, "f is not supported"},
      {"{\"r\":1,\"init_lora_weights\":\"pissa_niter_4\"}", "base_model.model.x", GH_ERROR_UNSUPPORTED,
       "path_initial_model_for_weight_conversion"},
      {"{\"r\":1,\"init_lora_weights\":\"olora\"}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "olora"},
      {"{\"r\":1,\"init_lora_weights\":\"corda\"}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "corda"},
      {"{\"r\":1,\"init_lora_weights\":\"lora_ga\"}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "lora_ga"},
      {"{\"r\":1,\"init_lora_weights\":\"loftq\"}", "base_model.model.x", GH_ERROR_UNSUPPORTED,
       "path_initial_model_for_weight_conversion"},
      {"{\"r\":1,\"init_lora_weights\":\"mica\"}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "mica"},
      {"{\"r\":1,\"target_modules\":[\"fd\",\"layers\"]}", "base_model.model.x.y.layers.3.fc", GH_ERROR_FORMAT,
       "target_modules does not select"},
      {"{\"r\":1,\"target_modules\":\".*fd\"}", "base_model.model.x.y.layers.3.fc", GH_ERROR_FORMAT,
       "target_modules does not select"},
      {"{\"r\":1,\"target_modules\":[\"fc\"],\"exclude_modules\":[\"3.fc\"]}", "base_model.model.x.y.layers.3.fc",
       GH_ERROR_FORMAT, "exclude_modules leaves out"},
      {"{\"r\":1,\"target_modules\":[\"fc\"],\"exclude_modules\":\"x.*\"}", "base_model.model.x.y.layers.3.fc",
       GH_ERROR_FORMAT, "exclude_modules leaves out"},
      {"{\"r\":1,\"target_modules\":[\"fc\"],\"layers_to_transform\":[1,2]}", "base_model.model.x.y.layers.3.fc",
       GH_ERROR_FORMAT, "layers_to_transform does not select"},
      {"{\"r\":1,\"target_modules\":[\"fc\"],\"layers_to_transform\":2}", "base_model.model.x.y.layers.3.fc",
       GH_ERROR_FORMAT, "layers_to_transform does not select"},
      {"{\"r\":1,\"target_modules\":[\"fc\"],\"layers_to_transform\":3,\"layers_pattern\":\"h\"}",
       "base_model.model.x.y.layers.3.fc", GH_ERROR_FORMAT, "layers_to_transform does not select"},
      {"{\"r\":1,\"target_modules\":[\"fc\"],\"layers_to_transform\":[3],\"layers_pattern\":[\"layers\"]}",
       "base_model.model.x.y.layers.3.fc", GH_ERROR_FORMAT, "which the encoder does not have"},
      {"{\"r\":1,\"target_modules\":[3]}", "base_model.model.x.y.layers.3.fc", GH_ERROR_FORMAT,
       "target_modules: an element"},
      {"{\"r\":1,\"peft_type\":\"LOHA\"}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "LOHA"},
      {"{\"r\":1,\"peft_type\":\"LOKR\"}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "LOKR"},
      {"{\"r\":1,\"peft_type\":\"IA3\"}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "IA3"},
      {"{\"r\":1,\"bias\":\"some\"}", "base_model.model.x", GH_ERROR_UNSUPPORTED, "bias some"},
      {"{\"r\":2}", "base_model.model.x", GH_ERROR_FORMAT, "rank 2"},
      {"{\"r\":1}", "model.x", GH_ERROR_FORMAT, "does not belong to an adapted layer"},
      {"{\"r\":1", "base_model.model.x", GH_ERROR_FORMAT, "adapter_config.json"},
      {"{\"r\":1}", "base_model.model.vision_model.encoder.layers.9.mlp.fc1", GH_ERROR_FORMAT,
       "which the encoder does not have"},
      {"{\"r\":1}", "base_model.model.encoder.layers.0.mlp.fc1", GH_ERROR_FORMAT, "base_model_class"},
      {"{\"r\":1,\"auto_mapping\":{\"base_model_class\":7}}", "base_model.model.encoder.layers.0.mlp.fc1",
       GH_ERROR_FORMAT, "auto_mapping: "},
      {"{\"r\":1,\"auto_mapping\":{\"base_model_class\":\"CLIPTextModel\"},\"target_modules\":\"text_model.*\"}",
       "base_model.model.encoder.layers.0.mlp.fc1", GH_ERROR_FORMAT, "does not select encoder.layers.0.mlp.fc1"},
      {"{\"r\":1}", "base_model.model.visual_projection", GH_ERROR_FORMAT, "visual_projection.lora_A.weight"}};
  gh_error err = {0};
  char *to = check_path(scratch, "adapter");
  const gh_embed_options how = {.batch = 1, .adapter = to};
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_embedder e = {0};
    write_adapter(to, table[i].config, table[i].tensor);
    check_fails(gh_embedder_open(&err, &e, scratch_device, PROBE "/clip", &how), table[i].status, table[i].text);
    gh_embedder_close(&e);
  }
  free(to);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pictures_of_many_kinds),
      cmocka_unit_test(broken_images_are_skipped),
      cmocka_unit_test(one_file),
      cmocka_unit_test(rejections),
      cmocka_unit_test(stopped),
      cmocka_unit_test(adapter_gives_the_steps_condition),
      cmocka_unit_test(trained_tensors_replace),
      cmocka_unit_test(a_shared_tower),
      cmocka_unit_test(adapters_of_peft),
      cmocka_unit_test(invalid_adapters),
  };
  return cmocka_run_group_tests(tests, scratch_begin_with_device, scratch_end);
}
