/* The backbones of today against transformers: tokens of difficult lines, both towers, and every gradient of the vision
 * tower; folders of a vision tower alone; what is rejected. */
#include "support/compare.h"
#include "support/scratch.h"
#include "support/tokens.h"

#include "encode/encode.h"
#include "io/tokenizer.h"
#include "io/unicode.h"
#include "models/family.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER GH_FIXTURES "/backbones"
#define TOKENS GH_FIXTURES "/tokens"

static gh_error err;

/* ---- tokens ---- */

enum { MOST = 64 }; /* tokens of a line in the fixture */

static void same_tokens(const char *model, const char *name, bool left) {
  tokens_expected e = tokens_load(TOKENS "/lines.txt", FOLDER "/tokens.safetensors", name);
  assert_int_equal(tokens_compare(model, &e, MOST, left), 0);
  tokens_unload(&e);
}

static void gemma_lines(void **state) {
  (void)state;
  same_tokens(FOLDER "/siglip2", "gemma", false);
}

/* Siglip2Tokenizer: in lower case, with a mark in front, padded on the left. */
static void siglip2_lines(void **state) {
  (void)state;
  char *copy = check_path(scratch, "lower");
  check_ok(gh_folder_make(&err, copy));
  check_ok(gh_file_copy(&err, FOLDER "/siglip2", copy, "tokenizer.json", true));
  check_ok(gh_file_copy(&err, FOLDER "/siglip2-lower", copy, "tokenizer_config.json", true));
  same_tokens(copy, "siglip2", true);
  free(copy);
}

static void xlm_lines(void **state) {
  (void)state;
  same_tokens(FOLDER "/metaclip2", "xlm", false);
}

/* added_tokens.json and additional_special_tokens. */
static void added_tokens(void **state) {
  (void)state;
  static const char *const own[] = {"added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"};
  char *copy = check_path(scratch, "added");
  check_ok(gh_folder_make(&err, copy));
  check_ok(gh_file_copy(&err, TOKENS "/clip", copy, "vocab.json", true));
  check_ok(gh_file_copy(&err, TOKENS "/clip", copy, "merges.txt", true));
  for (size_t i = 0; i < GH_COUNT(own); i++) check_ok(gh_file_copy(&err, FOLDER "/added", copy, own[i], true));
  same_tokens(copy, "added", false);
  static const char *const wrong[][2] = {{"{\"!\": 7}", "!: 7 is not its id"},
                                         {"{\"odd\": -1}", "odd: -1 is not its id"},
                                         {"{\"odd\": \"x\"}", "expected an integer"},
                                         {"[3]", "not an object"}};
  for (size_t i = 0; i < GH_COUNT(wrong); i++) {
    gh_tokenizer *t = NULL;
    check_put(copy, own[0], wrong[i][0]);
    check_fails(gh_tokenizer_open(&err, &t, copy), GH_ERROR_FORMAT, wrong[i][1]);
  }
  free(copy);
}

/* Every byte's token, and one merge. */
static char *small_gemma(const char *rest) {
  gh_buffer_text text = {0};
  char token[32];
  check_ok(gh_text_add(&err, &text, "", 0));
  for (int i = 0; i < 256; i++) {
    snprintf(token, sizeof token, "\"<0x%02X>\":%d,", (unsigned)i, i);
    check_ok(gh_text_add(&err, &text, token, strlen(token)));
  }
  char *all =
      gh_format(&err,
                "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{%s\"a\":256,\"b\":257,\"ab\":258,"
                "\"\xe2\x96\x81\":259,\"<bos>\":260,\"<eos>\":261,\"<unk>\":262,\"<pad>\":263,\"<mask>\":264},"
                "\"merges\":[\"a b\"]}%s}",
                text.bytes, rest);
  gh_text_free(&text);
  return all;
}

#define REPLACE   "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"}"
#define UNDERLINE ",\"normalizer\":" REPLACE

/* A tokenizer.json of no class of transformers: its own steps count, or are rejected by name. */
static void own_steps(void **state) {
  (void)state;
  static const struct {
    const char *rest, *refused; /* NULL: served */
    int32_t ids[6];
  } table[] = {
      {"", "keeps spaces", {0}},
      {",\"normalizer\":{\"type\":\"Lowercase\"}", "keeps spaces", {0}},
      {",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"}," REPLACE
       "]},\"pre_tokenizer\":{\"type\":\"Split\","
       "\"pattern\":{\"String\":\" \"}},\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
       "{\"SpecialToken\":{\"id\":\"<bos>\"}},{\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"<eos>\"}}]}",
       NULL,
       {260, 258, 258, 259, 261, 263}},
      {UNDERLINE, NULL, {'A', 'B', 258, 259, 263, 263}},
      {",\"normalizer\":{\"type\":\"NFC\"}", "normalizer of type NFC", {0}},
      {",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" +\"},\"content\":\"\xe2\x96\x81\"}",
       "normalizer of type Replace",
       {0}},
      {UNDERLINE ",\"pre_tokenizer\":{\"type\":\"ByteLevel\"}", "pre_tokenizer of type ByteLevel", {0}},
      {",\"post_processor\":{\"type\":\"BertProcessing\"}", "post_processor of type BertProcessing", {0}},
      {",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}}]}",
       "<s> is not a token",
       {0}},
      {UNDERLINE ",\"padding\":{\"direction\":\"Up\"}", "padding_side: Up", {0}},
  };
  char *folder = check_path(scratch, "steps");
  check_ok(gh_folder_make(&err, folder));
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_tokenizer *t = NULL;
    int32_t ids[6];
    char *text = small_gemma(table[i].rest);
    check_put(folder, "tokenizer.json", text);
    free(text);
    gh_status status = gh_tokenizer_open(&err, &t, folder);
    if (table[i].refused) {
      if (!status || !strstr(err.text, table[i].refused)) fail_msg("row %zu: %s", i, status ? err.text : "read");
      continue;
    }
    if (status) fail_msg("row %zu: %s", i, err.text);
    check_ok(gh_tokenizer_encode(&err, t, "ABab ", 6, ids));
    assert_memory_equal(ids, table[i].ids, sizeof ids);
    gh_tokenizer_close(t);
  }
  check_put(folder, "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"a\":0}}}");
  gh_tokenizer *t = NULL;
  check_fails(gh_tokenizer_open(&err, &t, folder), GH_ERROR_FORMAT, "the vocabulary has no <0x00>");
  free(folder);
}

/* open_clip's cleaning of a line, in front of any tokenizer. */
static void cleaned_lines(void **state) {
  (void)state;
  static const struct {
    gh_clean clean;
    const char *plain;
  } table[] = {{GH_CLEAN_SPACES, "A_b, C! \xc3\xa9"},
               {GH_CLEAN_LOWER, "a_b, c! \xc3\xa9"},
               {GH_CLEAN_CANONICAL, "a b c \xc3\xa9"}};
  gh_tokenizer *t = NULL;
  int32_t got[32], want[32];
  check_ok(gh_tokenizer_open(&err, &t, FOLDER "/siglip2"));
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_tokenizer_clean(t, table[i].clean);
    check_ok(gh_tokenizer_encode(&err, t, " A_b,\t C! \xe2\x80\x83 e\xcc\x81\n", 32, got));
    gh_tokenizer_clean(t, GH_CLEAN_NOTHING);
    check_ok(gh_tokenizer_encode(&err, t, table[i].plain, 32, want));
    assert_memory_equal(got, want, sizeof got);
    gh_tokenizer_clean(t, table[i].clean);
    check_ok(gh_tokenizer_encode(&err, t, "", 32, want));
    check_ok(gh_tokenizer_encode(&err, t, " _ ", 32, got));
    if (table[i].clean == GH_CLEAN_CANONICAL) assert_memory_equal(got, want, sizeof got); /* nothing is left */
  }
  gh_tokenizer_close(t);
}

/* ---- vision towers ---- */

/* The scale of a gradient's difference: its own greatest value, or the query's for a key's bias, whose gradient is 0.
 */
static double scale_of(const gh_safetensors *want, const char *name, const float *values, int64_t n) {
  static const char key[] = "k_proj.bias";
  float *neighbour = NULL;
  double most = 0;
  if (gh_ends_with(name, key)) {
    gh_name query = gh_name_make("%.*sq_proj.bias", (int)(strlen(name) - strlen(key)), name);
    values = neighbour = compare_load(want, query.text, &n);
  }
  for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)values[i]));
  free(neighbour);
  return most;
}

static void same_gradient(const gh_safetensors *want, const gh_tensor *parameter) {
  gh_name name = gh_name_make("grad.%s", parameter->name), error = gh_name_make("error.%s", name.text);
  int64_t n = 0, elements = gh_tensor_elements(parameter);
  float *values = compare_load(want, name.text, &n), *got = gh_alloc(&err, (size_t)elements, sizeof *got);
  assert_int_equal(n, elements);
  check_ok(gh_tensor_read(&err, scratch_device, parameter->grad, got));
  double tolerance = 4 * (double)compare_number(want, error.text) + 1e-5 * scale_of(want, name.text, values, n);
  compare_values(name.text, got, values, n, tolerance);
  free(values);
  free(got);
}

static gh_tensor *input(gh_store *store, const gh_safetensors *file, const char *name) {
  const gh_st_tensor *t = gh_safetensors_find(file, name);
  gh_tensor *out = NULL;
  assert_non_null(t);
  float *values = compare_load(file, name, NULL);
  check_ok(gh_store_add(&err, store, name, GH_F32, t->rank, t->shape, &out));
  check_ok(gh_tensor_write(&err, scratch_device, out, values));
  free(values);
  return out;
}

/* The embedding of the fixture's pixels, and the gradient of every parameter. */
static void same_tower(const char *name, const gh_vision_config config, const char *from) {
  char *path = check_path(FOLDER, gh_name_make("%s.safetensors", name).text);
  gh_safetensors *want = NULL, *weights = NULL;
  gh_module m = {.storage = GH_F32, .trainable = true};
  int gradients = 0;
  check_ok(gh_safetensors_open(&err, &want, path));
  check_ok(gh_weights_open(&err, &weights, from));
  check_ok(gh_store_create(&err, scratch_device, &m.store));
  gh_tensor *pixels = input(m.store, want, "pixel_values"), *cotangent = input(m.store, want, "cotangent");
  check_ok(gh_graph_create(&err, scratch_device, &m.graph));
  m.weights = weights;
  gh_tensor *out = gh_vision_tower(&m, &config, pixels, NULL);
  if (gh_graph_failed(m.graph)) fail_msg("%s: %s", name, gh_graph_error(m.graph)->text);
  assert_int_equal(out->shape[1], config.projection);
  gh_graph_keep(m.graph, out);
  check_ok(gh_graph_differentiate_from(m.graph, &out, &cotangent, 1));
  check_ok(gh_graph_plan(&err, m.graph));
  check_ok(gh_graph_run(&err, m.graph));
  float *embeddings = gh_alloc(&err, (size_t)gh_tensor_elements(out), sizeof *embeddings);
  check_ok(gh_tensor_read(&err, scratch_device, out, embeddings));
  float *values = compare_load(want, "image_embeddings", NULL);
  compare_values(name, embeddings, values, gh_tensor_elements(out),
                 4 * (double)compare_number(want, "error.image_embeddings"));
  for (int i = 0; i < gh_store_count(m.store); i++) {
    const gh_tensor *t = gh_store_at(m.store, i);
    if (!t->trainable) continue;
    same_gradient(want, t);
    gradients++;
  }
  for (size_t i = 0; i < gh_safetensors_count(want); i++)
    gradients -= gh_starts_with(gh_safetensors_at(want, i)->name, "grad.");
  assert_int_equal(gradients, 0); /* none is missing on either side */
  free(values);
  free(embeddings);
  gh_graph_free(m.graph);
  gh_store_free(m.store);
  gh_safetensors_close(weights);
  gh_safetensors_close(want);
  free(path);
}

static void vision_towers(void **state) {
  (void)state;
  static const char *const names[] = {"siglip2", "metaclip2", "clip-vision", "clip-vision-projected", "siglip-vision"};
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    char *folder = check_path(FOLDER, names[i]);
    gh_vision_config config;
    check_ok(gh_vision_config_read(&err, folder, &config));
    same_tower(names[i], config, folder);
    free(folder);
  }
}

/* A small tower of timm's class under open_clip's names. */
static void eva_tower(void **state) {
  (void)state;
  const gh_vision_config config = {.family = &gh_eva,
                                   .tower = {.hidden = 24, .layers = 2, .heads = 2, .mlp = 64, .eps = 1e-6},
                                   .image = 40,
                                   .patch = 8,
                                   .projection = 28};
  same_tower("eva", config, FOLDER "/eva-weights.safetensors");
}

/* A folder of one tower encodes pictures; text is rejected by name; what it lacks is not asked for. */
static void vision_alone(void **state) {
  (void)state;
  static const struct {
    const char *name;
    int width;
    bool unprojected;
  } table[] = {{"clip-vision", 24, true}, {"clip-vision-projected", 28, false}, {"siglip-vision", 24, false}};
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    char *folder = check_path(FOLDER, table[i].name), *out = check_path(scratch, "alone.safetensors");
    gh_vision_config config;
    check_ok(gh_vision_config_read(&err, folder, &config));
    assert_int_equal(config.projection, table[i].width);
    assert_int_equal(config.unprojected, table[i].unprojected);
    check_ok(
        compare_run(&err, "encode", "--model", folder, "--images", GH_FIXTURES "/images/rgb8.png", "--out", out, NULL));
    check_fails(
        compare_run(&err, "encode", "--model", folder, "--text", GH_FIXTURES "/text/lines.txt", "--out", out, NULL),
        GH_ERROR_UNSUPPORTED, "a vision tower alone");
    free(folder);
    free(out);
  }
}

static void rejected(void **state) {
  (void)state;
  static const char *const types[] = {"siglip2", "siglip2_vision_model"};
  gh_vision_config v;
  for (size_t i = 0; i < GH_COUNT(types); i++) {
    check_put(scratch, "config.json", gh_name_make("{\"model_type\":\"%s\"}", types[i]).text);
    check_fails(gh_vision_config_read(&err, scratch, &v), GH_ERROR_UNSUPPORTED, "NaFlex");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gemma_lines),   cmocka_unit_test(siglip2_lines), cmocka_unit_test(xlm_lines),
      cmocka_unit_test(added_tokens),  cmocka_unit_test(own_steps),     cmocka_unit_test(cleaned_lines),
      cmocka_unit_test(vision_towers), cmocka_unit_test(eva_tower),     cmocka_unit_test(vision_alone),
      cmocka_unit_test(rejected),
  };
  return cmocka_run_group_tests(tests, scratch_begin_with_device, scratch_end);
}
