/* Text: lines to embeddings, compared with transformers using the folder's own tokenizer. */
#include "support/compare.h"
#include "support/scratch.h"

#include "base/file.h"
#include "encode/embed.h"
#include "encode/encode.h"
#include "export/export.h"
#include "models/family.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT      GH_FIXTURES "/text"
#define TOWERS    GH_FIXTURES "/towers"
#define BACKBONES GH_FIXTURES "/backbones"

/* Embeds the lines with `model` in batches of `batch` and compares with the fixture. */
static void same_embeddings(const char *model, const char *lines_path, const char *expected, int64_t batch) {
  gh_error err = {0};
  gh_strings lines = {0};
  gh_text_embedder *e = NULL;
  gh_text_encoding out = {0};
  gh_safetensors *want = NULL;
  const gh_embed_options options = {.batch = batch};
  check_ok(gh_lines_read(&err, &lines, lines_path));
  check_ok(gh_safetensors_open(&err, &want, expected));
  check_ok(gh_text_embedder_open(&err, &e, scratch_device, model, &options));
  check_ok(gh_encode_text(&err, &out, e, &lines, lines_path, NULL));
  const gh_st_tensor *t = gh_safetensors_find(want, "text_embeddings");
  assert_int_equal(out.lines, t->shape[0]);
  assert_int_equal(out.width, t->shape[1]);
  float *values = compare_load(want, t->name, NULL);
  double tolerance = 4 * (double)compare_number(want, "error.text_embeddings");
  compare_values(model, out.embeddings, values, t->elements, tolerance);
  out.embeddings[t->elements - 1] += (float)(2 * tolerance); /* the comparison detects a difference */
  assert_true(compare_distance(out.embeddings, values, t->elements) > tolerance);
  free(values);
  gh_text_encoding_free(&out);
  gh_text_embedder_close(e);
  gh_safetensors_close(want);
  gh_strings_free(&lines);
}

static void clip_lines(void **state) {
  (void)state;
  same_embeddings(TEXT "/clip", TEXT "/lines.txt", TEXT "/expected.safetensors", 1);
  same_embeddings(TEXT "/clip", TEXT "/lines.txt", TEXT "/expected.safetensors", 4);
  same_embeddings(TEXT "/clip", TEXT "/lines.txt", TEXT "/expected.safetensors", 11);
}

/* ---- both towers ---- */

/* Makes a folder with files copied from several others. */
static char *compose(const char *name, const char *const (*files)[3], size_t n) {
  gh_error err = {0};
  char *to = check_path(scratch, name);
  check_ok(gh_folder_make(&err, to));
  for (size_t i = 0; i < n; i++) { /* from, name, new name */
    char *from = check_path(files[i][0], files[i][1]), *target = check_path(to, files[i][2]), *bytes = NULL;
    size_t size = 0;
    check_ok(gh_file_read(&err, from, (size_t)1 << 28, &bytes, &size));
    check_write(target, bytes, size);
    free(bytes);
    free(from);
    free(target);
  }
  return to;
}

static char *siglip_folder(void) {
  static const char from[] = TOWERS "/siglip";
  static const char *const files[][3] = {{from, "config.json", "config.json"},
                                         {from, "preprocessor_config.json", "preprocessor_config.json"},
                                         {from, "tokenizer_config.json", "tokenizer_config.json"},
                                         {from, "model.safetensors.index.json", "model.safetensors.index.json"},
                                         {from, "model-00001-of-00004.safetensors", "model-00001-of-00004.safetensors"},
                                         {from, "model-00002-of-00004.safetensors", "model-00002-of-00004.safetensors"},
                                         {from, "model-00003-of-00004.safetensors", "model-00003-of-00004.safetensors"},
                                         {from, "model-00004-of-00004.safetensors", "model-00004-of-00004.safetensors"},
                                         {GH_FIXTURES "/tokens/siglip", "spiece.model", "spiece.model"}};
  return compose("siglip", files, GH_COUNT(files));
}

/* CLIP's weights under OpenAI's names. */
static char *openai_folder(void) {
  static const char clip[] = TEXT "/clip";
  static const char *const files[][3] = {{clip, "config.json", "config.json"},
                                         {clip, "preprocessor_config.json", "preprocessor_config.json"},
                                         {clip, "tokenizer.json", "tokenizer.json"},
                                         {TOWERS, "openai.safetensors", "model.safetensors"}};
  return compose("openai", files, GH_COUNT(files));
}

static char *openclip_folder(void) {
  static const char from[] = TOWERS "/siglip";
  static const char *const files[][3] = {{from, "config.json", "config.json"},
                                         {from, "preprocessor_config.json", "preprocessor_config.json"},
                                         {from, "tokenizer_config.json", "tokenizer_config.json"},
                                         {TOWERS, "openclip.safetensors", "open_clip_model.safetensors"},
                                         {GH_FIXTURES "/tokens/siglip", "spiece.model", "spiece.model"}};
  return compose("openclip", files, GH_COUNT(files));
}

static float *embed_pixels(const char *model, const gh_safetensors *want, int64_t *width) {
  gh_error err = {0};
  gh_embedder e = {0};
  const gh_st_tensor *pixels = gh_safetensors_find(want, "pixel_values");
  const gh_embed_options options = {.batch = pixels->shape[0]};
  check_ok(gh_embedder_open(&err, &e, scratch_device, model, &options));
  *width = e.width;
  float *values = compare_load(want, "pixel_values", NULL);
  float *out = gh_alloc(&err, (size_t)(options.batch * e.width), sizeof *out);
  check_ok(gh_embedder_start(&err, &e, values));
  check_ok(gh_embedder_finish(&err, &e, out));
  gh_embedder_close(&e);
  free(values);
  return out;
}

static double norm_of(const float *x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
  return sqrt(sum);
}

/* Scaled and shifted cosines, (images, lines). */
static void put_logits(float *out, const float *image, int64_t images, const gh_text_encoding *text,
                       const gh_text_embedder *e) {
  int64_t d = text->width;
  for (int64_t i = 0; i < images; i++)
    for (int64_t j = 0; j < text->lines; j++) {
      const float *a = image + i * d, *b = text->embeddings + j * d;
      double dot = 0;
      for (int64_t k = 0; k < d; k++) dot += (double)a[k] * (double)b[k];
      dot /= norm_of(a, d) * norm_of(b, d);
      out[i * text->lines + j] = (float)(gh_text_embedder_logit_scale(e) * dot + gh_text_embedder_logit_bias(e));
    }
}

static void check_values(const gh_safetensors *want, const char *name, const float *got) {
  char error[64];
  int64_t n = 0;
  snprintf(error, sizeof error, "error.%s", name);
  float *values = compare_load(want, name, &n);
  compare_values(name, got, values, n, 4 * (double)compare_number(want, error));
  free(values);
}

static void both_towers(char *model, const char *expected) {
  gh_error err = {0};
  gh_strings lines = {0};
  gh_safetensors *want = NULL;
  gh_text_embedder *e = NULL;
  gh_text_encoding text = {0};
  int64_t width = 0, images = 3;
  check_ok(gh_safetensors_open(&err, &want, expected));
  check_ok(gh_lines_read(&err, &lines, TEXT "/lines.txt"));
  check_ok(gh_text_embedder_open(&err, &e, scratch_device, model, &(gh_embed_options){.batch = 4}));
  check_ok(gh_encode_text(&err, &text, e, &lines, "lines", NULL));
  float *image = embed_pixels(model, want, &width);
  assert_int_equal(width, text.width);
  float *logits = gh_alloc(&err, (size_t)(images * text.lines), sizeof *logits);
  put_logits(logits, image, images, &text, e);
  check_values(want, "text_embeddings", text.embeddings);
  check_values(want, "image_embeddings", image);
  check_values(want, "logits_per_image", logits);
  free(logits);
  free(image);
  gh_text_encoding_free(&text);
  gh_text_embedder_close(e);
  gh_strings_free(&lines);
  gh_safetensors_close(want);
  free(model);
}

static void siglip_in_shards(void **state) {
  (void)state;
  both_towers(siglip_folder(), TOWERS "/siglip.safetensors");
}

static void clip_both(void **state) {
  (void)state;
  gh_error err = {0};
  both_towers(gh_strdup(&err, TEXT "/clip"), TOWERS "/clip.safetensors");
}

static void siglip2_both(void **state) {
  (void)state;
  gh_error err = {0};
  both_towers(gh_strdup(&err, BACKBONES "/siglip2"), BACKBONES "/siglip2.safetensors");
}

static void metaclip2_both(void **state) {
  (void)state;
  gh_error err = {0};
  both_towers(gh_strdup(&err, BACKBONES "/metaclip2"), BACKBONES "/metaclip2.safetensors");
}

static void openai_names(void **state) {
  (void)state;
  both_towers(openai_folder(), TOWERS "/clip.safetensors");
}

static void openclip_names(void **state) {
  (void)state;
  both_towers(openclip_folder(), TOWERS "/siglip.safetensors");
}

/* The resulting names and shapes are exactly transformers'. */
static void same_weights(const char *under_theirs, const char *under_ours) {
  gh_error err = {0};
  gh_safetensors *theirs = NULL, *ours = NULL;
  check_ok(gh_weights_open(&err, &theirs, under_theirs));
  check_ok(gh_weights_open(&err, &ours, under_ours));
  assert_int_equal(gh_safetensors_count(theirs), gh_safetensors_count(ours));
  for (size_t i = 0; i < gh_safetensors_count(ours); i++) {
    const gh_st_tensor *a = gh_safetensors_at(ours, i), *b = gh_safetensors_at(theirs, i);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->rank, b->rank);
    assert_memory_equal(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape);
    assert_memory_equal(a->data, b->data, a->bytes);
  }
  gh_safetensors_close(theirs);
  gh_safetensors_close(ours);
}

static void names_become_ours(void **state) {
  (void)state;
  same_weights(TOWERS "/openai.safetensors", TEXT "/clip");
  same_weights(TOWERS "/openclip.safetensors", TOWERS "/siglip");
}

/* ---- adapters of the text tower ---- */

static void declare_pair(gh_safetensors_writer *w, const char *layer, int64_t out, int64_t in, bool data) {
  gh_error err = {0};
  const int64_t shapes[2][2] = {{2, in}, {out, 2}};
  float values[256];
  for (int i = 0; i < 2; i++) {
    int64_t n = shapes[i][0] * shapes[i][1];
    gh_name name = gh_name_make("base_model.model.%s.lora_%c.weight", layer, "AB"[i]);
    assert_true(n <= 256);
    for (int64_t k = 0; k < n; k++) values[k] = (float)(0.3 * sin((double)(k * (i + 1) + n)));
    if (data)
      check_ok(gh_safetensors_writer_write_f32(&err, w, name.text, values, n));
    else
      check_ok(gh_safetensors_writer_declare(&err, w, name.text, GH_ST_F32, 2, shapes[i]));
  }
}

static float *embed_text(const char *model, const char *adapter, int64_t *n) {
  gh_error err = {0};
  gh_strings lines = {0};
  gh_text_embedder *e = NULL;
  check_ok(gh_lines_read(&err, &lines, TEXT "/lines.txt"));
  check_ok(gh_text_embedder_open(&err, &e, scratch_device, model, &(gh_embed_options){.batch = 4, .adapter = adapter}));
  *n = (int64_t)lines.count * gh_text_embedder_width(e);
  float *out = gh_alloc(&err, (size_t)*n, sizeof *out);
  check_ok(gh_text_embed_part(&err, e, (const char *const *)lines.items, 0, lines.count, out));
  gh_text_embedder_close(e);
  gh_strings_free(&lines);
  return out;
}

/* An adapter's text layers take effect, equal to merging them into the weights; a misnamed layer is rejected. */
static void adapted_text(void **state) {
  (void)state;
  static const char config[] = "{\"r\":2,\"lora_alpha\":3}";
  gh_error err = {0};
  char *adapter = check_path(scratch, "adapter"), *merged = check_path(scratch, "merged");
  char *json = check_path(adapter, "adapter_config.json"), *file = check_path(adapter, "adapter_model.safetensors");
  const char *const layers[] = {"text_model.encoder.layers.1.self_attn.q_proj", "text_projection", "text_model.no"};
  int64_t n = 0;
  check_ok(gh_folder_make(&err, adapter));
  check_write(json, config, strlen(config));
  for (int wrong = 1; wrong >= 0; wrong--) {
    gh_safetensors_writer *w = NULL;
    check_ok(gh_safetensors_writer_new(&err, &w, file));
    for (int data = 0; data < 2; data++) {
      if (data) check_ok(gh_safetensors_writer_begin(&err, w));
      declare_pair(w, layers[0], 36, 36, data);
      declare_pair(w, layers[1], 20, 36, data);
      if (wrong) declare_pair(w, layers[2], 4, 4, data);
    }
    check_ok(gh_safetensors_writer_finish(&err, w));
    gh_safetensors_writer_free(w);
    gh_text_embedder *e = NULL;
    const gh_embed_options options = {.batch = 1, .adapter = adapter};
    if (wrong)
      check_fails(gh_text_embedder_open(&err, &e, scratch_device, TEXT "/clip", &options), GH_ERROR_FORMAT,
                  "text_model.no");
  }
  gh_export_counts counts;
  check_ok(gh_export_model(
      &err, merged, &(gh_export_options){.clip = TEXT "/clip", .adapter = adapter, .dtype = GH_ST_DTYPES}, &counts));
  assert_int_equal(counts.changed, 2);
  float *got = embed_text(TEXT "/clip", adapter, &n), *want = embed_text(merged, NULL, &n);
  float *base = embed_text(TEXT "/clip", NULL, &n);
  compare_values("adapted", got, want, n, 1e-5);
  assert_true(compare_distance(got, base, n) > 1e-2);
  free(got);
  free(want);
  free(base);
  free(json);
  free(file);
  free(adapter);
  free(merged);
}

static void invalid_configurations(void **state) {
  (void)state;
  static const struct {
    const char *config;
    gh_status status;
    const char *vision, *text; /* the error of each; NULL: accepted */
  } table[] = {
      {"{\"model_type\":\"blip\"}", GH_ERROR_UNSUPPORTED, "model type blip", "model type blip"},
      {"{\"model_type\":\"siglip2\"}", GH_ERROR_UNSUPPORTED, "model type siglip2", "model type siglip2"},
      {"{\"model_type\":\"clip_vision_model\"}", GH_ERROR_UNSUPPORTED, NULL, "a vision tower alone"},
      {"{\"model_type\":\"siglip_text_model\"}", GH_ERROR_UNSUPPORTED, "a text tower alone", NULL},
      {"{\"model_type\":\"siglip\",\"vision_config\":{\"vision_use_head\":false}}", GH_ERROR_UNSUPPORTED,
       "vision_use_head", NULL},
      {"{\"vision_config\":{\"hidden_act\":\"swish\"}}", GH_ERROR_UNSUPPORTED, "the activation swish", NULL},
      {"{\"vision_config\":{\"num_channels\":4}}", GH_ERROR_UNSUPPORTED, "num_channels: 4", NULL},
      {"{\"text_config\":{\"vocab_size\":0}}", GH_ERROR_FORMAT, NULL, "vocab_size: 0"},
      {"{\"text_config\":{\"num_attention_heads\":7}}", GH_ERROR_FORMAT, NULL, "not a multiple"},
      {"{\"text_config\":{\"eos_token_id\":[1,2]}}", GH_ERROR_FORMAT, NULL, "eos_token_id"},
  };
  gh_error err = {0};
  char *path = check_path(scratch, "config.json");
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_vision_config vision;
    gh_text_config text;
    check_write(path, table[i].config, strlen(table[i].config));
    if (table[i].vision)
      check_fails(gh_vision_config_read(&err, scratch, &vision), table[i].status, table[i].vision);
    else
      check_ok(gh_vision_config_read(&err, scratch, &vision));
    if (table[i].text)
      check_fails(gh_text_config_read(&err, scratch, &text), table[i].status, table[i].text);
    else
      check_ok(gh_text_config_read(&err, scratch, &text));
  }
  free(path);
}

/* Defaults for keys missing from config.json, as in transformers; the older objects override the newer. */
static void defaults_of_the_classes(void **state) {
  (void)state;
  static const char clip[] = "{\"text_config\":{\"hidden_size\":64,\"eos_token_id\":2},\"text_config_dict\":{"
                             "\"hidden_size\":768},\"vision_config_dict\":null,\"vision_config\":{\"patch_size\":14}}";
  static const char siglip[] = "{\"model_type\":\"siglip\",\"vision_config\":{\"image_size\":384,\"patch_size\":14}}";
  gh_error err = {0};
  gh_vision_config v;
  gh_text_config t;
  char *path = check_path(scratch, "config.json");
  check_write(path, clip, strlen(clip));
  check_ok(gh_vision_config_read(&err, scratch, &v));
  check_ok(gh_text_config_read(&err, scratch, &t));
  assert_int_equal(v.projection, 512);
  assert_int_equal(gh_vision_tokens(&v), 257);
  assert_int_equal(v.tower.activation, GH_QUICK_GELU);
  assert_true(v.tower.eps == 1e-5 && t.tower.causal && !v.tower.causal);
  assert_int_equal(t.tower.hidden, 768);
  assert_int_equal(t.eos, 49407);
  assert_int_equal(t.tower.heads, 8);
  check_write(path, siglip, strlen(siglip));
  check_ok(gh_vision_config_read(&err, scratch, &v));
  check_ok(gh_text_config_read(&err, scratch, &t));
  assert_int_equal(gh_vision_tokens(&v), 729);
  assert_int_equal(v.projection, 768);
  assert_int_equal(v.tower.activation, GH_GELU_TANH);
  assert_true(v.tower.eps == 1e-6 && !t.tower.causal);
  assert_int_equal(t.positions, 64);
  assert_int_equal(t.vocabulary, 32000);
  free(path);
}

static void pooled_token(void **state) {
  (void)state;
  const int32_t ids[] = {5, 9, 2, 9, 3, 9};
  gh_text_config c = {.family = &gh_clip, .eos = 2};
  assert_int_equal(gh_text_pooled(&c, ids, 6), 1); /* the first of the greatest, as 2 once meant */
  c.eos = 3;
  assert_int_equal(gh_text_pooled(&c, ids, 6), 4);
  c.eos = 9;
  assert_int_equal(gh_text_pooled(&c, ids, 6), 1);
  c.eos = 7; /* absent: the first, like argmax of zeros */
  assert_int_equal(gh_text_pooled(&c, ids, 6), 0);
  c.family = &gh_metaclip2;
  c.eos = 2; /* means itself */
  assert_int_equal(gh_text_pooled(&c, ids, 6), 2);
  c.family = &gh_siglip;
  assert_int_equal(gh_text_pooled(&c, ids, 6), 5);
}

static void command_line(void **state) {
  (void)state;
  gh_error err = {0};
  char *out = check_path(scratch, "both.safetensors");
  check_ok(compare_run(&err, "encode", "--model", TEXT "/clip", "--text", TEXT "/lines.txt", "--images",
                       GH_FIXTURES "/encode/images", "--out", out, "--batch", "3", NULL));
  gh_safetensors *got = NULL, *want = NULL;
  check_ok(gh_safetensors_open(&err, &got, out));
  check_ok(gh_safetensors_open(&err, &want, TEXT "/expected.safetensors"));
  assert_non_null(gh_safetensors_find(got, "embeddings"));
  compare_tensors(got, want, "text_embeddings", 4 * (double)compare_number(want, "error.text_embeddings"));
  gh_safetensors_close(got);
  gh_safetensors_close(want);
  free(out);
}

static void rejections(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
    const char *text;
  } table[] = {{"", 0, "no line"}, {"a\nb\xff\n", 5, "line 2: not UTF-8"}, {"a\0b\n", 4, "zero byte"}};
  gh_error err = {0};
  char *lines = check_path(scratch, "lines.txt"), *out = check_path(scratch, "refused.safetensors");
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    check_write(lines, table[i].bytes, table[i].size);
    check_fails(compare_run(&err, "encode", "--model", TEXT "/clip", "--text", lines, "--out", out, NULL),
                GH_ERROR_FORMAT, table[i].text);
  }
  check_write(lines, "a\n", 2);
  check_fails(
      compare_run(&err, "encode", "--model", GH_FIXTURES "/probe/tiny/clip", "--text", lines, "--out", out, NULL),
      GH_ERROR_FILE, "no tokenizer");
  assert_false(gh_path_exists(out));
  free(lines);
  free(out);
}

/* CRLF line ends and a byte order mark, as written by other systems' editors. */
static void lines_of_windows(void **state) {
  (void)state;
  static const char text[] = "\xEF\xBB\xBF"
                             "a cat\r\n\r\na dog";
  gh_error err = {0};
  gh_strings lines = {0};
  char *path = check_path(scratch, "windows.txt");
  check_write(path, text, sizeof text - 1);
  check_ok(gh_lines_read(&err, &lines, path));
  assert_int_equal(lines.count, 3);
  assert_string_equal(lines.items[0], "a cat");
  assert_string_equal(lines.items[1], "");
  assert_string_equal(lines.items[2], "a dog");
  gh_strings_free(&lines);
  free(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(clip_lines),
      cmocka_unit_test(siglip_in_shards),
      cmocka_unit_test(clip_both),
      cmocka_unit_test(siglip2_both),
      cmocka_unit_test(metaclip2_both),
      cmocka_unit_test(openai_names),
      cmocka_unit_test(openclip_names),
      cmocka_unit_test(names_become_ours),
      cmocka_unit_test(adapted_text),
      cmocka_unit_test(invalid_configurations),
      cmocka_unit_test(defaults_of_the_classes),
      cmocka_unit_test(pooled_token),
      cmocka_unit_test(command_line),
      cmocka_unit_test(rejections),
      cmocka_unit_test(lines_of_windows),
  };
  return cmocka_run_group_tests(tests, scratch_begin_with_device, scratch_end);
}
