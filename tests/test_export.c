/* genhance export: the merged folder gives the embeddings of model plus adapter and keeps the rest unchanged. */
#include "support/compare.h"
#include "support/run_folder.h"
#include "support/scratch.h"

#include "base/file.h"
#include "base/json.h"
#include "export/export.h"
#include "models/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TINY   GH_FIXTURES "/probe/tiny"
#define EDGES  GH_FIXTURES "/probe/edges"
#define SIGLIP GH_FIXTURES "/probe/siglip"
#define IMAGES GH_FIXTURES "/encode/images"

/* Merged and unmerged, float32 sums differ in order: a few units in the last place at this length. */
#define ROUNDING 5e-6

static gh_safetensors *open_file(const char *path) {
  gh_error err = {0};
  gh_safetensors *file = NULL;
  check_ok(gh_safetensors_open(&err, &file, path));
  return file;
}

/* A run that trained the fixture's adapter; the caller frees its path. */
static char *make_run(const char *name, const char *probe, const char *config) {
  char *run = check_path(scratch, name);
  char *weights = check_path(probe, "adapter/adapter_model.safetensors");
  char *settings = check_path(probe, "adapter/adapter_config.json");
  run_folder_config(run, probe, config);
  run_folder_copy(run, weights, "snapshots/stage2-00000005", "adapter_model.safetensors");
  run_folder_copy(run, settings, "snapshots/stage2-00000005", "adapter_config.json");
  free(weights);
  free(settings);
  return run;
}

static gh_safetensors *encode(const char *model, const char *adapter, const char *name) {
  gh_error err = {0};
  char *out = check_path(scratch, name);
  if (adapter)
    check_ok(
        compare_run(&err, "encode", "--model", model, "--images", IMAGES, "--out", out, "--adapter", adapter, NULL));
  else
    check_ok(compare_run(&err, "encode", "--model", model, "--images", IMAGES, "--out", out, NULL));
  gh_safetensors *file = open_file(out);
  free(out);
  return file;
}

static double largest(const gh_safetensors *file) {
  int64_t n = 0;
  float *values = compare_load(file, "embeddings", &n);
  double most = 0;
  for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)values[i]));
  free(values);
  return most;
}

/* Compares embeddings by the exported folder and by model plus adapter: within `tolerance` of the largest value; and
 * the adapter makes a difference far beyond that. */
static void same_embeddings_of(const char *exported, const char *clip, const char *adapter, double tolerance) {
  gh_safetensors *merged = encode(exported, NULL, "merged.safetensors");
  gh_safetensors *both = encode(clip, adapter, "both.safetensors");
  gh_safetensors *base = encode(clip, NULL, "base.safetensors");
  double scale = largest(both);
  int64_t n = 0;
  compare_tensors(merged, both, "embeddings", tolerance * scale);
  float *a = compare_load(base, "embeddings", &n), *b = compare_load(both, "embeddings", NULL);
  assert_true(compare_distance(a, b, n) > 20 * tolerance * scale);
  free(a);
  free(b);
  gh_safetensors_close(merged);
  gh_safetensors_close(both);
  gh_safetensors_close(base);
}

static void same_embeddings(const char *exported, const char *probe, double tolerance) {
  char *clip = check_path(probe, "clip"), *adapter = check_path(probe, "adapter");
  same_embeddings_of(exported, clip, adapter, tolerance);
  free(clip);
  free(adapter);
}

/* Every tensor of the model exists, in this dtype (GH_ST_DTYPES: its own); the text tower is bit-identical. */
static void same_tensors(const char *exported, const char *probe, gh_st_dtype dtype) {
  char *clip = check_path(probe, "clip");
  gh_safetensors *got = open_file(exported), *want = open_file(clip);
  size_t changed = 0;
  assert_int_equal(gh_safetensors_count(got), gh_safetensors_count(want));
  assert_string_equal(gh_safetensors_metadata(got, "format"), "pt");
  for (size_t i = 0; i < gh_safetensors_count(want); i++) {
    const gh_st_tensor *b = gh_safetensors_at(want, i), *a = gh_safetensors_find(got, b->name);
    assert_non_null(a);
    bool number = gh_st_dtype_is_float(b->dtype);
    assert_int_equal(a->dtype, number && dtype != GH_ST_DTYPES ? dtype : b->dtype);
    assert_int_equal(a->elements, b->elements);
    if (a->dtype == b->dtype && !memcmp(a->data, b->data, a->bytes)) continue;
    if (a->dtype == b->dtype && strncmp(b->name, "vision_model.encoder.", 21) &&
        strncmp(b->name, "vision_model.head.", 18) && strncmp(b->name, "visual_", 7))
      fail_msg("%s changed", b->name);
    changed++;
  }
  assert_true(changed > 10);
  gh_safetensors_close(got);
  gh_safetensors_close(want);
  free(clip);
}

static void merged_in_float32(void **state) {
  (void)state;
  gh_error err = {0};
  char *run = make_run("tiny", TINY, "stage2-only.json"), *out = check_path(scratch, "tiny-out");
  for (int again = 0; again < 2; again++) /* an export may be repeated */
    check_ok(compare_run(&err, "export", "--run", run, "--out", out, NULL));
  same_embeddings(out, TINY, ROUNDING);
  same_tensors(out, TINY, GH_ST_DTYPES);
  char *processor = check_path(out, "preprocessor_config.json");
  assert_true(gh_path_is_file(processor));
  free(processor);
  free(run);
  free(out);
}

/* edges is in float16: merging rounds to it, with a warning; --dtype float32 does not. */
static void merged_from_float16(void **state) {
  (void)state;
  gh_error err = {0};
  char *run = make_run("edges", EDGES, "stage2-all.json"), *out = check_path(scratch, "edges-out");
  char *whole = check_path(scratch, "edges-float32"), *json = check_path(scratch, "export.json");
  check_ok(compare_run(&err, "export", "--run", run, "--out", out, "--json", json, NULL));
  gh_json *report = NULL;
  int64_t rounded = 0, changed = 0;
  check_ok(gh_json_read_file(&err, &report, json, GH_JSON_MAX_BYTES));
  check_ok(gh_json_get_int(&err, report, "rounded", &rounded));
  check_ok(gh_json_get_int(&err, report, "changed", &changed));
  assert_true(rounded > 0 && rounded == changed);
  gh_json_free(report);
  same_tensors(out, EDGES, GH_ST_DTYPES);
  same_embeddings(out, EDGES, 2e-3); /* half has eleven bits */
  check_ok(compare_run(&err, "export", "--run", run, "--out", whole, "--dtype", "float32", NULL));
  same_tensors(whole, EDGES, GH_ST_F32);
  same_embeddings(whole, EDGES, ROUNDING);
  gh_json *config = NULL;
  const char *dtype = "";
  char *path = check_path(whole, "config.json");
  check_ok(gh_json_read_file(&err, &config, path, GH_JSON_MAX_BYTES));
  check_ok(gh_json_get_string(&err, config, "dtype", &dtype));
  assert_string_equal(dtype, "float32");
  gh_json_free(config);
  free(path);
  free(json);
  free(whole);
  free(run);
  free(out);
}

/* SigLIP: LoRA matrices on the pooling attention's output have no effect, its bias has. */
static void merged_siglip(void **state) {
  (void)state;
  gh_error err = {0};
  char *run = make_run("siglip", SIGLIP, "stage2-only.json"), *out = check_path(scratch, "siglip-out");
  check_ok(compare_run(&err, "export", "--run", run, "--out", out, NULL));
  same_embeddings(out, SIGLIP, ROUNDING);
  same_tensors(out, SIGLIP, GH_ST_DTYPES);
  gh_safetensors *got = open_file(out), *want = open_file(SIGLIP "/clip");
  compare_tensors(got, want, "vision_model.head.attention.out_proj.weight", 0);
  float *a = compare_load(got, "vision_model.head.attention.out_proj.bias", NULL);
  int64_t n = 0;
  float *b = compare_load(want, "vision_model.head.attention.out_proj.bias", &n);
  assert_true(compare_distance(a, b, n) > 1e-2);
  free(a);
  free(b);
  gh_safetensors_close(got);
  gh_safetensors_close(want);
  free(run);
  free(out);
}

/* The vision tower alone: exactly the model's vision tensors, and its own configuration. */
static void check_vision(const char *probe, const char *name, const char *type) {
  gh_error err = {0};
  char *run = make_run(name, probe, "stage2-only.json"), *out = check_path(scratch, "vision"), *whole, *path;
  check_ok(gh_folder_remove(&err, out));
  whole = check_path(scratch, "vision-whole");
  check_ok(gh_folder_remove(&err, whole));
  check_ok(compare_run(&err, "export", "--run", run, "--out", out, "--format", "vision", NULL));
  check_ok(compare_run(&err, "export", "--run", run, "--out", whole, NULL));
  gh_safetensors *got = open_file(out), *want = open_file(whole);
  size_t expected = 0;
  for (size_t i = 0; i < gh_safetensors_count(want); i++) {
    const gh_st_tensor *b = gh_safetensors_at(want, i);
    if (strncmp(b->name, "vision_model.", 13)) continue;
    compare_tensors(got, want, b->name, 0);
    expected++;
  }
  assert_int_equal(gh_safetensors_count(got), expected);
  gh_safetensors_close(got);
  gh_safetensors_close(want);
  gh_json *config = NULL;
  const char *found = "";
  path = check_path(out, "config.json");
  check_ok(gh_json_read_file(&err, &config, path, GH_JSON_MAX_BYTES));
  check_ok(gh_json_get_string(&err, config, "model_type", &found));
  assert_string_equal(found, type);
  gh_json_free(config);
  free(path);
  path = check_path(out, "preprocessor_config.json");
  assert_true(gh_path_is_file(path));
  free(path);
  free(run);
  free(out);
  free(whole);
}

static void vision_alone(void **state) {
  (void)state;
  check_vision(TINY, "vision-clip", "clip_vision_model");
  check_vision(SIGLIP, "vision-siglip", "siglip_vision_model");
  char *out = check_path(scratch, "vision");
  same_embeddings(out, SIGLIP, ROUNDING); /* its projection is the tower's own head */
  free(out);
}

static void other_dtypes(void **state) {
  (void)state;
  static const struct {
    const char *name;
    gh_st_dtype dtype;
    double tolerance;
  } table[] = {{"float16", GH_ST_F16, 4e-3}, {"bfloat16", GH_ST_BF16, 4e-2}}; /* eleven and eight bits */
  gh_error err = {0};
  char *run = make_run("dtypes", TINY, "stage2-only.json"), *out = check_path(scratch, "dtypes-out");
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    check_ok(compare_run(&err, "export", "--run", run, "--out", out, "--dtype", table[i].name, NULL));
    same_tensors(out, TINY, table[i].dtype);
    gh_json *config = NULL;
    const char *dtype = "";
    char *path = check_path(out, "config.json");
    check_ok(gh_json_read_file(&err, &config, path, GH_JSON_MAX_BYTES));
    check_ok(gh_json_get_string(&err, config, "dtype", &dtype));
    assert_string_equal(dtype, table[i].name);
    gh_json_free(config);
    free(path);
    gh_safetensors *got = encode(out, NULL, "rounded.safetensors"),
                   *want = encode(TINY "/clip", TINY "/adapter", "w.safetensors");
    compare_tensors(got, want, "embeddings", table[i].tolerance * largest(want));
    gh_safetensors_close(got);
    gh_safetensors_close(want);
  }
  free(run);
  free(out);
}

/* Every kind of peft's adapters that is served: merged, it gives what model plus adapter give. */
static void merged_from_peft(void **state) {
  (void)state;
  static const char *const kinds[] = {"rslora", "patterns", "both", "converted", "only", "dora", "saved", "bare"};
  gh_error err = {0};
  for (size_t i = 0; i < GH_COUNT(kinds); i++) {
    gh_export_counts counts;
    char *adapter = check_path(GH_FIXTURES "/probe/adapters", kinds[i]), *out = check_path(scratch, kinds[i]);
    const gh_export_options options = {.clip = TINY "/clip", .adapter = adapter, .dtype = GH_ST_DTYPES};
    check_ok(gh_export_model(&err, out, &options, &counts));
    same_embeddings_of(out, TINY "/clip", adapter, ROUNDING);
    free(adapter);
    free(out);
  }
}

/* ---- a family that transformers does not have ---- */

#define EVA_LAYER "vision_model.encoder.layers.1.mlp.fc1_g"
enum { EVA_WIDTH = 24, EVA_MLP = 64, EVA_RANK = 2 };

static void make_eva(const char *clip) {
  static const char config[] =
      "{\"model_cfg\":{\"embed_dim\":512,\"custom_text\":true,\"vision_cfg\":{\"timm_model_name\":"
      "\"eva02_base_patch16_clip_224\",\"timm_model_pretrained\":false,\"timm_pool\":\"token\",\"timm_proj\":null,"
      "\"image_size\":224},\"text_cfg\":{\"context_length\":77,\"vocab_size\":49408,\"width\":512,\"heads\":8,"
      "\"layers\":12}}}";
  gh_error err = {0};
  char *settings = check_path(clip, "open_clip_config.json"), *from = check_path(clip, "eva-weights.safetensors"),
       *to = check_path(clip, "open_clip_model.safetensors");
  check_ok(gh_folder_make(&err, clip));
  check_write(settings, config, strlen(config));
  check_ok(gh_file_copy(&err, GH_FIXTURES "/backbones", clip, "eva-weights.safetensors", true));
  check_ok(gh_file_rename(&err, from, to));
  check_ok(gh_file_copy(&err, GH_FIXTURES "/text/clip", clip, "vocab.json", true));
  check_ok(gh_file_copy(&err, GH_FIXTURES "/text/clip", clip, "merges.txt", true));
  free(settings);
  free(from);
  free(to);
}

static void make_eva_adapter(const char *folder) {
  static const char *const names[] = {"base_model.model." EVA_LAYER ".lora_A.weight",
                                      "base_model.model." EVA_LAYER ".lora_B.weight"};
  static const char config[] = "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":3,\"target_modules\":[\"fc1_g\"]}";
  const int64_t shapes[2][2] = {{EVA_RANK, EVA_WIDTH}, {EVA_MLP, EVA_RANK}};
  float values[EVA_RANK * EVA_MLP];
  gh_error err = {0};
  gh_safetensors_writer *writer = NULL;
  check_ok(gh_folder_make(&err, folder));
  char *settings = check_path(folder, "adapter_config.json"), *file = check_path(folder, "adapter_model.safetensors");
  check_write(settings, config, strlen(config));
  for (size_t i = 0; i < GH_COUNT(values); i++) values[i] = 0.01f * (float)(i % 29) - 0.1f;
  check_ok(gh_safetensors_writer_new(&err, &writer, file));
  for (int i = 0; i < 2; i++) check_ok(gh_safetensors_writer_declare(&err, writer, names[i], GH_ST_F32, 2, shapes[i]));
  check_ok(gh_safetensors_writer_begin(&err, writer));
  for (int i = 0; i < 2; i++)
    check_ok(gh_safetensors_writer_write_f32(&err, writer, names[i], values, shapes[i][0] * shapes[i][1]));
  check_ok(gh_safetensors_writer_finish(&err, writer));
  gh_safetensors_writer_free(writer);
  free(settings);
  free(file);
}

/* EVA-CLIP keeps the names and the layout of its own file, open_clip's and timm's. */
static void own_names(void **state) {
  (void)state;
  gh_error err = {0};
  gh_export_counts counts;
  gh_adapter trained = {0};
  char *clip = check_path(scratch, "eva"), *adapter = check_path(scratch, "eva-adapter"),
       *out = check_path(scratch, "eva-out"), *got_file = check_path(out, "open_clip_model.safetensors"),
       *want_file = check_path(clip, "open_clip_model.safetensors"), *config = check_path(out, "open_clip_config.json");
  make_eva(clip);
  make_eva_adapter(adapter);
  gh_export_options options = {.clip = clip, .adapter = adapter, .dtype = GH_ST_DTYPES};
  for (int again = 0; again < 2; again++) check_ok(gh_export_model(&err, out, &options, &counts));
  assert_int_equal(counts.changed, 1);
  assert_true(gh_path_is_file(config));
  gh_safetensors *got = open_file(got_file), *want = open_file(want_file);
  check_ok(gh_adapter_open(&err, &trained, adapter));
  assert_int_equal(gh_safetensors_count(got), gh_safetensors_count(want));
  assert_int_equal(counts.tensors, gh_safetensors_count(want));
  for (size_t i = 0; i < gh_safetensors_count(want); i++) {
    const gh_st_tensor *b = gh_safetensors_at(want, i), *a = gh_safetensors_find(got, b->name);
    assert_non_null(a);
    assert_int_equal(a->rank, b->rank);
    assert_memory_equal(a->shape, b->shape, sizeof a->shape);
    if (strcmp(b->name, "visual.trunk.blocks.1.mlp.fc1_g.weight")) {
      assert_memory_equal(a->data, b->data, b->bytes);
      continue;
    }
    float merged[EVA_MLP * EVA_WIDTH];
    assert_int_equal(b->elements, GH_COUNT(merged));
    check_ok(gh_st_read_f32(&err, b, 0, b->elements, merged));
    check_ok(gh_adapter_merge(&err, &trained, EVA_LAYER, EVA_MLP, EVA_WIDTH, merged));
    assert_memory_equal(a->data, merged, sizeof merged);
  }
  options.vision = true;
  check_fails(gh_export_model(&err, out, &options, &counts), GH_ERROR_UNSUPPORTED, "the format hf writes the whole");
  gh_safetensors_close(got);
  gh_safetensors_close(want);
  gh_adapter_close(&trained);
  free(clip);
  free(adapter);
  free(out);
  free(got_file);
  free(want_file);
  free(config);
}

/* A run of direct tuning: its tensors replace the model's. */
static void replaced(void **state) {
  (void)state;
  gh_error err = {0};
  char *run = check_path(scratch, "direct"), *out = check_path(scratch, "direct-out"), *trained;
  run_folder_config(run, TINY, "stage2-only.json");
  run_folder_copy(run, TINY "/clip/model.safetensors", "snapshots/stage2-00000001", "encoder.safetensors");
  trained = check_path(run, "snapshots/stage2-00000001/encoder.safetensors");
  gh_safetensors *clip = open_file(TINY "/clip");
  const gh_st_tensor *t = gh_safetensors_find(clip, "vision_model.post_layernorm.bias");
  float *values = compare_load(clip, t->name, NULL);
  for (int64_t i = 0; i < t->elements; i++) values[i] += 1;
  gh_safetensors_writer *writer = NULL;
  check_ok(gh_safetensors_writer_new(&err, &writer, trained));
  check_ok(gh_safetensors_writer_declare(&err, writer, t->name, GH_ST_F32, t->rank, t->shape));
  check_ok(gh_safetensors_writer_begin(&err, writer));
  check_ok(gh_safetensors_writer_write_f32(&err, writer, t->name, values, t->elements));
  check_ok(gh_safetensors_writer_finish(&err, writer));
  gh_safetensors_writer_free(writer);
  check_ok(compare_run(&err, "export", "--run", run, "--out", out, NULL));
  gh_safetensors *got = open_file(out);
  const gh_st_tensor *written = gh_safetensors_find(got, t->name);
  assert_memory_equal(written->data, values, written->bytes);
  gh_safetensors_close(got);
  check_fails(compare_run(&err, "export", "--run", run, "--out", out, "--format", "peft", NULL), GH_ERROR_FILE,
              "no adapter");
  gh_safetensors_close(clip);
  free(values);
  free(trained);
  free(run);
  free(out);
}

static void peft(void **state) {
  (void)state;
  gh_error err = {0};
  char *run = make_run("peft", TINY, "stage2-only.json"), *out = check_path(scratch, "peft-out");
  check_fails(compare_run(&err, "export", "--run", run, "--out", out, "--format", "peft", "--dtype", "float16", NULL),
              GH_ERROR_ARGUMENT, "--dtype applies to the formats hf and vision");
  check_fails(compare_run(&err, "export", "--run", TINY "/clip", "--out", out, NULL), GH_ERROR_FILE,
              "not the folder of a run");
  for (int again = 0; again < 2; again++) /* overwriting its own output is allowed */
    check_ok(compare_run(&err, "export", "--run", run, "--out", out, "--format", "peft", NULL));
  gh_adapter got = {0}, want = {0};
  check_ok(gh_adapter_open(&err, &got, out));
  check_ok(gh_adapter_open(&err, &want, TINY "/adapter"));
  assert_string_equal(gh_safetensors_metadata(got.file, "made_by"), "genhance export");
  assert_int_equal(gh_safetensors_count(got.file), gh_safetensors_count(want.file));
  for (size_t i = 0; i < gh_safetensors_count(want.file); i++) {
    const gh_st_tensor *b = gh_safetensors_at(want.file, i), *a = gh_safetensors_find(got.file, b->name);
    assert_non_null(a);
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->bytes, b->bytes);
    assert_memory_equal(a->data, b->data, b->bytes);
  }
  gh_adapter_close(&got);
  gh_adapter_close(&want);
  free(run);
  free(out);
}

/* A foreign adapter is not overwritten, whether it has weights or only a configuration. */
static void foreign_peft_is_kept(void **state) {
  (void)state;
  static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors"};
  gh_error err = {0};
  char *run = make_run("peft", TINY, "stage2-only.json"), *out = check_path(scratch, "peft-others");
  check_ok(gh_folder_make(&err, out));
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    check_ok(gh_file_copy(&err, TINY "/adapter", out, names[i], true));
    check_fails(compare_run(&err, "export", "--run", run, "--out", out, "--format", "peft", NULL), GH_ERROR_FILE,
                "holds an adapter that `genhance export` did not write: not replaced");
  }
  free(run);
  free(out);
}

static void rejections(void **state) {
  (void)state;
  gh_error err = {0};
  char *run = make_run("no", TINY, "stage2-only.json"), *out = check_path(scratch, "no-out");
  const struct {
    const char *option, *value;
    gh_status status;
    const char *text;
  } table[] = {{"--format", "onnx", GH_ERROR_ARGUMENT, "unknown format \"onnx\""},
               {"--dtype", "int8", GH_ERROR_ARGUMENT, "unknown dtype \"int8\""},
               {"--snapshot", "stage2-00000006", GH_ERROR_FILE, "did you mean stage2-00000005?"}};
  for (size_t i = 0; i < GH_COUNT(table); i++)
    check_fails(compare_run(&err, "export", "--run", run, "--out", out, table[i].option, table[i].value, NULL),
                table[i].status, table[i].text);
  check_fails(compare_run(&err, "export", "--run", scratch, "--out", out, NULL), GH_ERROR_FILE, "config.json");
  assert_false(gh_path_exists(out));
  run_folder_copy(run, TINY "/clip/model.safetensors", "../no-out", "model.safetensors"); /* a foreign model */
  check_fails(compare_run(&err, "export", "--run", run, "--out", out, NULL), GH_ERROR_FILE, "not replaced");
  check_fails(compare_run(&err, "export", "--run", run, "--out", run, NULL), GH_ERROR_FILE, "not replaced");
  run_folder_copy(run, TINY "/denoiser.safetensors", "snapshots/stage1-00000010", "denoiser.safetensors");
  check_fails(compare_run(&err, "export", "--run", run, "--out", out, "--snapshot", "stage1-00000010", NULL),
              GH_ERROR_FILE, "has no trained encoder");
  free(run);
  free(out);
}

/* ---- memory that runs out ---- */

static gh_status export_once(gh_error *err, void *state) {
  const gh_export_options options = {.clip = TINY "/clip", .adapter = TINY "/adapter", .dtype = GH_ST_F32};
  gh_export_counts counts;
  return gh_export_model(err, state, &options, &counts);
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  char *out = check_path(scratch, "memory");
  check_allocation_failures(export_once, out);
  free(out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(merged_in_float32),
      cmocka_unit_test(merged_from_float16),
      cmocka_unit_test(merged_siglip),
      cmocka_unit_test(merged_from_peft),
      cmocka_unit_test(vision_alone),
      cmocka_unit_test(own_names),
      cmocka_unit_test(other_dtypes),
      cmocka_unit_test(replaced),
      cmocka_unit_test(peft),
      cmocka_unit_test(foreign_peft_is_kept),
      cmocka_unit_test(rejections),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
