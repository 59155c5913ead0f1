/* Folders of the open_clip package: sizes and settings from open_clip_config.json, what is rejected, and that such a
 * folder gives the same results as transformers' folder, both directly and exported. */
#include "support/compare.h"
#include "support/scratch.h"

#include "base/file.h"
#include "export/export.h"
#include "models/family.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CLIP GH_FIXTURES "/text/clip"

static gh_error err;

/* Writes the file with the given text after `"embed_dim": 8`, inside vision_cfg's braces and inside text_cfg's.
 * Pictures are not cropped: transformers would begin some crops elsewhere. */
static void put_model(const char *model, const char *vision, const char *text) {
  char *all = gh_format(&err,
                        "{\"model_cfg\":{%s,\"vision_cfg\":{%s},\"text_cfg\":{%s}},"
                        "\"preprocess_cfg\":{\"resize_mode\":\"squash\"}}",
                        model, vision, text);
  check_put(scratch, GH_OPENCLIP_CONFIG, all);
  free(all);
}

/* ---- sizes ---- */

static void same_tower(const gh_transformer *a, const gh_transformer *b) {
  assert_int_equal(a->hidden, b->hidden);
  assert_int_equal(a->layers, b->layers);
  assert_int_equal(a->heads, b->heads);
  assert_int_equal(a->mlp, b->mlp);
  assert_int_equal(a->causal, b->causal);
  assert_true(a->eps == b->eps);
}

/* The folder's towers equal the backbone's, except for the activation and the text's context length. */
static void same_arch(const char *name, gh_activation_kind vision_activation, gh_activation_kind text_activation,
                      int positions) {
  const gh_arch *arch;
  gh_vision_config v;
  gh_text_config t;
  check_ok(gh_arch_find(&err, name, &arch));
  check_ok(gh_vision_config_read(&err, scratch, &v));
  check_ok(gh_text_config_read(&err, scratch, &t));
  same_tower(&v.tower, &arch->vision.tower);
  same_tower(&t.tower, &arch->text.tower);
  assert_ptr_equal(v.family, arch->vision.family);
  assert_ptr_equal(t.family, arch->text.family);
  assert_int_equal(v.image, arch->vision.image);
  assert_int_equal(v.patch, arch->vision.patch);
  assert_int_equal(v.projection, arch->vision.projection);
  assert_int_equal(t.projection, arch->text.projection);
  assert_int_equal(t.vocabulary, arch->text.vocabulary);
  assert_int_equal(t.positions, positions);
  assert_int_equal(v.tower.activation, vision_activation);
  assert_int_equal(t.tower.activation, text_activation);
}

#define H_VISION "\"image_size\":224,\"layers\":32,\"width\":1280,\"head_width\":80,\"patch_size\":14"
#define H_TEXT   "\"context_length\":77,\"vocab_size\":49408,\"width\":1024,\"heads\":16,\"layers\":24"
#define L_TEXT   "\"context_length\":77,\"vocab_size\":49408,\"width\":768,\"heads\":12,\"layers\":12"
#define SO_VISION                                                                                                      \
  "\"image_size\":224,\"timm_model_name\":\"vit_so400m_patch14_siglip_224\",\"timm_model_pretrained\":false,"          \
  "\"timm_pool\":\"map\",\"timm_proj\":\"none\""
#define SO_TEXT                                                                                                        \
  "\"context_length\":16,\"vocab_size\":32000,\"hf_tokenizer_name\":\"timm/ViT-B-16-SigLIP\",\"tokenizer_kwargs\":{"   \
  "\"clean\":\"canonicalize\"},\"width\":1152,\"heads\":16,\"layers\":27,\"mlp_ratio\":3.7362,\"no_causal_mask\":"     \
  "true,\"proj_bias\":true,\"pool_type\":\"last\",\"norm_kwargs\":{\"eps\":1e-6}"

static void published_sizes(void **state) {
  (void)state;
  put_model("\"embed_dim\":1024", H_VISION, H_TEXT);
  same_arch("metaclip-vit-h-14-224", GH_GELU_ERF, GH_GELU_ERF, 77);
  put_model("\"embed_dim\":1024,\"quick_gelu\":true,\"custom_text\":null", H_VISION ",\"patch_dropout\":0.5", H_TEXT);
  same_arch("metaclip-vit-h-14-224", GH_QUICK_GELU, GH_QUICK_GELU, 77);
  put_model("\"embed_dim\":768,\"quick_gelu\":true",
            "\"image_size\":336,\"layers\":24,\"width\":1024,\"patch_size\":14", L_TEXT);
  same_arch("openai-vit-l-14-336", GH_QUICK_GELU, GH_QUICK_GELU, 77);
  put_model("\"embed_dim\":1152,\"init_logit_bias\":-10,\"custom_text\":true", SO_VISION, SO_TEXT);
  same_arch("siglip-so400m-14-224", GH_GELU_ERF, GH_GELU_ERF, 16);
  put_model("\"embed_dim\":1152,\"custom_text\":true", SO_VISION, SO_TEXT ",\"act_kwargs\":{\"approximate\":\"tanh\"}");
  same_arch("siglip-so400m-14-224", GH_GELU_ERF, GH_GELU_TANH, 16);
}

#define WORLD "\"hf_tokenizer_name\":\"facebook/xlm-v-base\",\"pool_type\":\"eos\",\"eos_id\":2,\"context_length\":77,"

/* A text's pooling tells MetaCLIP 2 from CLIP; its tokenizer's settings say how a line is cleaned. */
static void text_towers(void **state) {
  (void)state;
  static const struct {
    const char *text;
    const gh_family *family;
    int64_t eos;
    gh_clean clean;
  } table[] = {
      {"", &gh_clip, 2, GH_CLEAN_LOWER},
      {WORLD "\"vocab_size\":901629", &gh_metaclip2, 2, GH_CLEAN_SPACES},
      {"\"pool_type\":\"eos\",\"eos_id\":9", &gh_metaclip2, 9, GH_CLEAN_LOWER},
      {"\"hf_tokenizer_name\":\"x\",\"tokenizer_kwargs\":{\"clean\":\"lower\"}", &gh_clip, 2, GH_CLEAN_LOWER},
      {"\"tokenizer_kwargs\":{\"clean\":\"canonicalize\",\"strip_sep_token\":false}", &gh_clip, 2, GH_CLEAN_CANONICAL}};
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_vision_config v;
    gh_text_config t;
    put_model("\"embed_dim\":8", "", table[i].text);
    check_ok(gh_vision_config_read(&err, scratch, &v));
    check_ok(gh_text_config_read(&err, scratch, &t));
    assert_ptr_equal(v.family, table[i].family);
    assert_ptr_equal(t.family, table[i].family);
    assert_int_equal(t.eos, table[i].eos);
    assert_int_equal(t.clean, table[i].clean);
    assert_true(t.tower.causal);
  }
  put_model("\"embed_dim\":1152,\"custom_text\":true", SO_VISION, SO_TEXT);
  gh_text_config t;
  check_ok(gh_text_config_read(&err, scratch, &t));
  assert_int_equal(t.clean, GH_CLEAN_CANONICAL);
  put_model("\"embed_dim\":1024,\"quick_gelu\":true", H_VISION,
            WORLD "\"vocab_size\":901629,\"width\":1024,\"heads\":16,\"layers\":24");
  same_arch("metaclip2-h-14-224", GH_QUICK_GELU, GH_QUICK_GELU, 77);
  put_model("\"embed_dim\":1024,\"quick_gelu\":true", H_VISION, H_TEXT);
  same_arch("dfn-vit-h-14-224", GH_QUICK_GELU, GH_QUICK_GELU, 77);
  put_model("\"embed_dim\":1024", H_VISION, H_TEXT);
  same_arch("laion-vit-h-14-224", GH_GELU_ERF, GH_GELU_ERF, 77);
}

#define EVA                                                                                                            \
  "\"image_size\":336,\"timm_model_name\":\"eva02_large_patch14_clip_336\",\"timm_model_pretrained\":false,"           \
  "\"timm_pool\":\"token\",\"timm_proj\":"

static void eva(void **state) {
  (void)state;
  gh_vision_config v;
  gh_text_config t;
  put_model("\"embed_dim\":768,\"custom_text\":true", EVA "null", L_TEXT);
  check_ok(gh_vision_config_read(&err, scratch, &v));
  check_ok(gh_text_config_read(&err, scratch, &t));
  assert_ptr_equal(v.family, &gh_eva);
  assert_ptr_equal(t.family, &gh_eva);
  assert_int_equal(v.tower.mlp, 2730);
  assert_int_equal(v.projection, 768);
  assert_int_equal(gh_vision_tokens(&v), 577);
  assert_true(v.tower.eps == 1e-6 && t.tower.eps == 1e-5 && t.tower.causal);
  assert_int_equal(gh_text_pooled(&t, (int32_t[]){3, 9, 2, 9}, 4), 1);
  gh_export_counts counts;
  check_fails(gh_export_model(&err, scratch,
                              &(gh_export_options){.clip = scratch, .vision = true, .dtype = GH_ST_DTYPES}, &counts),
              GH_ERROR_UNSUPPORTED, "transformers has no class");
  put_model("\"embed_dim\":768", EVA "\"linear\"", L_TEXT);
  check_fails(gh_vision_config_read(&err, scratch, &v), GH_ERROR_UNSUPPORTED, "timm_proj");
  put_model("\"embed_dim\":768", "\"timm_model_name\":\"eva_giant_patch14_224\"", L_TEXT);
  check_fails(gh_vision_config_read(&err, scratch, &v), GH_ERROR_UNSUPPORTED, "the tower eva_giant_patch14_224");
}

static void rejections(void **state) {
  (void)state;
  static const struct {
    const char *model, *vision, *text;
    const char *from_vision, *from_text; /* the error of each; NULL: accepted */
  } table[] = {
      {"\"embed_dim\":0", "", "", "model_cfg.embed_dim: 0", "model_cfg.embed_dim: 0"},
      {"\"embed_dim\":8.5", "", "", "embed_dim", "embed_dim"},
      {"\"embed_dim\":8,\"multimodal_cfg\":{\"width\":1}", "", "", "model_cfg.multimodal_cfg",
       "model_cfg.multimodal_cfg"},
      {"\"embed_dim\":8,\"nonscalar_logit_scale\":true", "", "", "nonscalar_logit_scale", "nonscalar_logit_scale"},
      {"\"embed_dim\":8", "\"layers\":[3,4,6,3]", "", "a ResNet", NULL},
      {"\"embed_dim\":8", "\"layers\":-1", "", "model_cfg.vision_cfg.layers: -1", NULL},
      {"\"embed_dim\":8", "\"width\":100,\"head_width\":30", "", "not a multiple", NULL},
      {"\"embed_dim\":8", "\"width\":32", "", "head_width is above width", NULL},
      {"\"embed_dim\":8", "\"mlp_ratio\":1e9", "", "mlp_ratio", NULL},
      {"\"embed_dim\":8", "\"mlp_ratio\":-4", "", "mlp_ratio", NULL},
      {"\"embed_dim\":8", "\"image_size\":[224,112]", "", "image_size", NULL},
      {"\"embed_dim\":8", "\"attentional_pool\":true", "", "model_cfg.vision_cfg.attentional_pool", NULL},
      {"\"embed_dim\":8", "\"pool_type\":\"avg\"", "", "model_cfg.vision_cfg.pool_type", NULL},
      {"\"embed_dim\":8", "\"ls_init_value\":1e-5", "", "ls_init_value", NULL},
      {"\"embed_dim\":8", "\"no_ln_pre\":true", "", "no_ln_pre", NULL},
      {"\"embed_dim\":8", "\"act_kwargs\":{\"approximate\":\"erf\"}", "", "approximate", NULL},
      {"\"embed_dim\":8", "\"norm_kwargs\":{\"elementwise_affine\":0}", "", "elementwise_affine", NULL},
      {"\"embed_dim\":8", "\"timm_model_name\":\"resnet50\"", SO_TEXT, "the tower resnet50", NULL},
      {"\"embed_dim\":8", "\"timm_model_name\":7", SO_TEXT, "expected a string", "expected a string"},
      {"\"embed_dim\":768", SO_VISION, SO_TEXT, "model_cfg.embed_dim: 768", NULL},
      {"\"embed_dim\":1152", "\"timm_model_name\":\"vit_so400m_patch14_siglip_224\"", SO_TEXT, "timm_pool", NULL},
      {"\"embed_dim\":8", "", "\"hf_model_name\":\"roberta-base\"", NULL, "model_cfg.text_cfg.hf_model_name"},
      {"\"embed_dim\":8", "", "\"pool_type\":\"last\"", NULL, "pool_type"},
      {"\"embed_dim\":8", "", "\"no_causal_mask\":true", NULL, "no_causal_mask"},
      {"\"embed_dim\":8", "", "\"tokenizer_kwargs\":{\"reduction_mask\":\"syntax\"}", NULL, "reduction_mask"},
      {"\"embed_dim\":8", "", "\"tokenizer_kwargs\":{\"clean\":\"all\"}", NULL, "tokenizer_kwargs.clean"},
      {"\"embed_dim\":8", "", "\"vocab_size\":0", NULL, "model_cfg.text_cfg.vocab_size: 0"},
      {"\"embed_dim\":8", "", "\"heads\":7", NULL, "not a multiple"},
      {"\"embed_dim\":1152", SO_VISION, "\"width\":1152,\"heads\":16", NULL, "pool_type"},
  };
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_vision_config v;
    gh_text_config t;
    put_model(table[i].model, table[i].vision, table[i].text);
    gh_status status = gh_vision_config_read(&err, scratch, &v);
    if (!table[i].from_vision != !status || (status && !strstr(err.text, table[i].from_vision)))
      fail_msg("row %zu, vision: %s", i, status ? err.text : "read");
    if (status) assert_non_null(strstr(err.text, GH_OPENCLIP_CONFIG));
    status = gh_text_config_read(&err, scratch, &t);
    if (!table[i].from_text != !status || (status && !strstr(err.text, table[i].from_text)))
      fail_msg("row %zu, text: %s", i, status ? err.text : "read");
  }
  static const char *const broken[] = {"{}", "[]", "{\"model_cfg\":[]}", "{\"model_cfg\":{\"embed_dim\":8}}",
                                       "{\"model_cfg\":{\"embed_dim\":8,\"vision_cfg\":{},\"text_cfg\":3}}"};
  for (size_t i = 0; i < GH_COUNT(broken); i++) {
    gh_vision_config v;
    check_put(scratch, GH_OPENCLIP_CONFIG, broken[i]);
    check_fails(gh_vision_config_read(&err, scratch, &v), GH_ERROR_FORMAT, "expected an object");
  }
}

/* ---- preprocessing ---- */

static void preprocessing(void **state) {
  (void)state;
  gh_preprocess p;
  check_put(scratch, GH_OPENCLIP_CONFIG, "{}"); /* open_clip's own defaults, for every family */
  check_ok(gh_vision_preprocess_read(&err, &p, scratch, &(gh_vision_config){.family = &gh_siglip, .image = 64}));
  assert_true(p.do_center_crop && p.shortest_edge == 64 && p.mean[0] == 0.48145466);
  assert_int_equal(p.filter, GH_FILTER_BICUBIC);
  check_put(scratch, GH_OPENCLIP_CONFIG,
            "{\"preprocess_cfg\":{\"mean\":[0.5,0.5,0.5],\"std\":[0.5,0.5,0.25],\"interpolation\":"
            "\"bilinear\",\"resize_mode\":\"squash\",\"size\":[3,4],\"fill_color\":0}}");
  for (int again = 0; again < 2; again++) { /* as read, and as written in transformers' format */
    check_ok(gh_vision_preprocess_read(&err, &p, scratch, &(gh_vision_config){.family = &gh_clip, .image = 64}));
    assert_true(!p.do_center_crop && !p.shortest_edge && p.height == 64 && p.width == 64);
    assert_true(p.mean[0] == 0.5 && p.std[2] == 0.25 && p.do_resize && p.do_rescale && p.do_normalize);
    assert_int_equal(p.filter, GH_FILTER_BILINEAR);
    if (!again) check_ok(gh_vision_preprocess_write(&err, &p, scratch, &(gh_vision_config){.family = &gh_clip}));
    if (!again) check_put(scratch, "config.json", "{\"model_type\":\"clip\"}"); /* transformers' folder */
    if (!again) check_put(scratch, GH_OPENCLIP_CONFIG, "{}");
  }
  char *written = check_path(scratch, "preprocessor_config.json"), *config = check_path(scratch, "config.json");
  check_ok(gh_file_remove(&err, config));
  check_ok(gh_vision_preprocess_read(&err, &p, scratch, &(gh_vision_config){.family = &gh_clip, .image = 64}));
  assert_true(p.mean[0] == 0.48145466); /* without it the folder is open_clip's, whatever else lies there */
  free(config);
  check_ok(gh_file_remove(&err, written));
  free(written);
  static const char *const refused[][2] = {{"{\"resize_mode\":\"longest\"}", "resize_mode"},
                                           {"{\"interpolation\":\"random\"}", "interpolation"},
                                           {"{\"mode\":\"L\"}", "mode"},
                                           {"{\"mean\":[1]}", "mean"},
                                           {"{\"std\":[0,1,1]}", "std"}};
  for (size_t i = 0; i < GH_COUNT(refused); i++) {
    char *all = gh_format(&err, "{\"preprocess_cfg\":%s}", refused[i][0]);
    check_put(scratch, GH_OPENCLIP_CONFIG, all);
    free(all);
    gh_status status =
        gh_vision_preprocess_read(&err, &p, scratch, &(gh_vision_config){.family = &gh_clip, .image = 64});
    if (!status || !strstr(err.text, refused[i][1]) || !strstr(err.text, GH_OPENCLIP_CONFIG))
      fail_msg("row %zu: %s", i, status ? err.text : "read");
  }
}

/* ---- a folder ---- */

static void copy(const char *from, const char *name) {
  char *to = check_path(scratch, name), *bytes = NULL;
  size_t size = 0;
  check_ok(gh_file_read(&err, from, (size_t)1 << 28, &bytes, &size));
  check_write(to, bytes, size);
  free(bytes);
  free(to);
}

static gh_safetensors *encode(const char *model, const char *name) {
  gh_safetensors *file = NULL;
  char *out = check_path(scratch, name);
  check_ok(compare_run(&err, "encode", "--model", model, "--images", GH_FIXTURES "/encode/images", "--text",
                       GH_FIXTURES "/text/lines.txt", "--out", out, NULL));
  check_ok(gh_safetensors_open(&err, &file, out));
  free(out);
  return file;
}

static void same_embeddings(const char *model, const gh_safetensors *want) {
  gh_safetensors *got = encode(model, "got.safetensors");
  compare_tensors(got, want, "embeddings", 0);
  compare_tensors(got, want, "text_embeddings", 0);
  gh_safetensors_close(got);
}

/* transformers' folder, with pictures that are not cropped either. */
static gh_safetensors *encode_uncropped(void) {
  static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"};
  static const char settings[] = "{\"do_center_crop\":false,\"size\":{\"height\":32,\"width\":32}}";
  char *folder = check_path(scratch, "transformers"), *path = check_path(folder, "preprocessor_config.json");
  check_ok(gh_folder_make(&err, folder));
  for (size_t i = 0; i < GH_COUNT(files); i++) check_ok(gh_file_copy(&err, CLIP, folder, files[i], true));
  check_write(path, settings, strlen(settings));
  gh_safetensors *file = encode(folder, "want.safetensors");
  free(folder);
  free(path);
  return file;
}

/* CLIP's weights under OpenAI's names, as timm publishes them: next to timm's own config.json and its layout of the
 * weights, and without any of transformers' settings. */
static void whole_folder(void **state) {
  (void)state;
  gh_export_counts counts;
  char *out = check_path(scratch, "exported");
  put_model("\"embed_dim\":20,\"quick_gelu\":true",
            "\"image_size\":32,\"layers\":1,\"width\":24,\"head_width\":12,\"patch_size\":8,\"mlp_ratio\":1.6667",
            "\"context_length\":77,\"vocab_size\":614,\"width\":36,\"heads\":3,\"layers\":2,\"mlp_ratio\":2.4445");
  check_put(scratch, "config.json", "{\"architecture\":\"vit_tiny\",\"num_classes\":0}");
  copy(GH_FIXTURES "/towers/openai.safetensors", GH_OPENCLIP_WEIGHTS);
  copy(GH_FIXTURES "/towers/clip.safetensors", "model.safetensors");
  copy(CLIP "/tokenizer.json", "tokenizer.json");
  gh_safetensors *want = encode_uncropped();
  same_embeddings(scratch, want);
  check_ok(gh_export_model(&err, out, &(gh_export_options){.clip = scratch, .dtype = GH_ST_DTYPES}, &counts));
  same_embeddings(out, want);
  char *theirs = check_path(out, GH_OPENCLIP_CONFIG), *dtype = check_path(out, "config.json"), *text = NULL;
  size_t size = 0;
  assert_false(gh_path_exists(theirs));
  check_ok(gh_file_read(&err, dtype, 1 << 20, &text, &size));
  assert_non_null(strstr(text, "\"CLIPModel\""));
  free(text);
  gh_safetensors_close(want);
  free(theirs);
  free(dtype);
  free(out);
}

/* A config.json without a model type is ignored; one with a model type takes precedence over other files. */
static void which_file(void **state) {
  (void)state;
  gh_vision_config v;
  put_model("\"embed_dim\":20", "\"image_size\":32,\"layers\":1,\"width\":64,\"patch_size\":8", "");
  check_put(scratch, "config.json", "{\"model_type\":\"siglip\"}");
  check_ok(gh_vision_config_read(&err, scratch, &v));
  assert_ptr_equal(v.family, &gh_siglip);
  char *path = check_path(scratch, GH_OPENCLIP_CONFIG);
  check_ok(gh_file_remove(&err, path));
  check_put(scratch, "config.json", "{\"architecture\":\"vit_tiny\"}");
  check_fails(gh_vision_config_read(&err, scratch, &v), GH_ERROR_UNSUPPORTED, "model_type is missing");
  check_put(scratch, "config.json", "{\"vision_config\":{}}");
  check_ok(gh_vision_config_read(&err, scratch, &v));
  free(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(published_sizes), cmocka_unit_test(text_towers),   cmocka_unit_test(eva),
      cmocka_unit_test(rejections),      cmocka_unit_test(preprocessing), cmocka_unit_test(whole_folder),
      cmocka_unit_test(which_file),
  };
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
