/* The table of families: rows are complete and recognise their own files; a third family is one row, with no change
 * elsewhere. And what tensors are for: roles and parts. */
#include "backend/registry.h"
#include "support/scratch.h"

#include "base/file.h"
#include "models/family.h"
#include "models/lora.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_error err;

static void drop(const char *name) {
  char *path = check_path(scratch, name);
  check_ok(gh_file_remove(&err, path));
  free(path);
}

/* ---- a third family: SigLIP's equations under other names ---- */

static gh_family third;

static const gh_arch third_archs[] = {
    {.name = "tiny-third",
     .summary = "",
     .vision = {.family = &third,
                .tower = {.hidden = 8, .layers = 1, .heads = 2, .mlp = 8, .eps = 1e-6},
                .image = 8,
                .patch = 4,
                .projection = 8},
     .text = {.family = &third,
              .tower = {.hidden = 8, .layers = 1, .heads = 2, .mlp = 8, .eps = 1e-6},
              .vocabulary = 9,
              .positions = 4,
              .projection = 8,
              .eos = 1}},
    {0}};
static const gh_timm_tower third_towers[] = {{"vit_third", 4, {.hidden = 8, .layers = 1, .heads = 2, .mlp = 8}}, {0}};
static const gh_openclip_rule third_rules[] = {{"timm_pool", "third", "third"}, {0}};
static const gh_renaming third_names[] = {{.from = "stem.", .to = "vision_model.embeddings.patch_embedding."}, {0}};
static const gh_renaming third_layer[] = {{.from = "first.", .to = "layer_norm1."}, {0}};
static const char *const third_classes[] = {"ThirdImageProcessor", NULL};
static const char *const third_past[] = {"vision_model.odd", NULL};
static int towers_built;

static gh_tensor *third_tower(gh_module *m, const gh_vision_config *c, gh_tensor *pixels, gh_tensor **local) {
  (void)local;
  towers_built++;
  return gh_vision_patch_embedding(m, c, pixels, true);
}

static int32_t third_pooled(const gh_text_config *c, const int32_t *ids, int64_t n) {
  (void)c, (void)ids, (void)n;
  return 2;
}

static int set_up(void **state) {
  static const gh_family *const table[] = {&gh_clip, &gh_siglip, &gh_metaclip2, &gh_eva, &third, NULL};
  third = gh_siglip;
  third.name = "third";
  third.title = "Third";
  third.archs = third_archs;
  third.vision_type = "third_vision_model";
  third.text_type = "third_text_model";
  third.model_class = "ThirdModel";
  third.vision_class = "ThirdVisionModel";
  third.vision.family = third.text.family = &third;
  third.openclip.timm = third_towers;
  third.openclip.vision = third_rules;
  third.weights =
      (gh_weight_names){.marker = "stem.weight", .layers = "layers.", .layer = third_layer, .renamings = third_names};
  third.processor.classes = third_classes;
  third.processor.defaults.mean[0] = 0.25;
  third.class_tokens = 3;
  third.vision_tower = third_tower;
  third.text_pooled = third_pooled;
  third.past_adapter = third_past;
  gh_families = table;
  return scratch_begin(state);
}

static void recognised(void **state) {
  (void)state;
  gh_vision_config v;
  gh_text_config t;
  check_put(scratch, "config.json",
            "{\"model_type\":\"third\",\"vision_config\":{\"image_size\":64},\"text_config\":{}}");
  check_ok(gh_vision_config_read(&err, scratch, &v));
  check_ok(gh_text_config_read(&err, scratch, &t));
  assert_ptr_equal(v.family, &third);
  assert_ptr_equal(t.family, &third);
  assert_int_equal(v.image, 64);
  assert_int_equal(gh_vision_tokens(&v), 16 + 3);
  check_put(scratch, "config.json", "{\"model_type\":\"third_text_model\"}");
  check_fails(gh_vision_config_read(&err, scratch, &v), GH_ERROR_UNSUPPORTED, "a text tower alone");
  check_put(scratch, "config.json", "{\"model_type\":\"fourth\"}");
  check_fails(gh_vision_config_read(&err, scratch, &v), GH_ERROR_UNSUPPORTED,
              "(clip, siglip, metaclip_2 and third are)");
  check_put(scratch, "config.json", "{}");
  check_fails(gh_vision_config_read(&err, scratch, &v), GH_ERROR_UNSUPPORTED,
              "clip, siglip, metaclip_2 and third are supported");
  drop("config.json");
}

static void recognised_from_openclip(void **state) {
  (void)state;
  static const char file[] =
      "{\"model_cfg\":{\"embed_dim\":8,\"vision_cfg\":{\"image_size\":8,\"timm_model_name\":\"%s\""
      "},\"text_cfg\":{}}}";
  gh_vision_config v;
  check_put(scratch, GH_OPENCLIP_CONFIG, gh_name_make(file, "vit_third").text);
  check_ok(gh_vision_config_read(&err, scratch, &v));
  assert_ptr_equal(v.family, &third);
  assert_int_equal(v.patch, 4);
  check_put(scratch, GH_OPENCLIP_CONFIG, gh_name_make(file, "vit_fourth").text);
  check_fails(gh_vision_config_read(&err, scratch, &v), GH_ERROR_UNSUPPORTED, "(SigLIP, EVA-CLIP and Third's are)");
  drop(GH_OPENCLIP_CONFIG);
}

static void preprocessed(void **state) {
  (void)state;
  const gh_vision_config c = {.family = &third, .image = 8};
  gh_preprocess how;
  check_ok(gh_vision_preprocess_read(&err, &how, scratch, &c));
  assert_true(how.mean[0] == 0.25);
  check_put(scratch, "preprocessor_config.json", "{\"feature_extractor_type\":\"CLIPFeatureExtractor\"}");
  check_ok(gh_vision_preprocess_read(&err, &how, scratch, &c));
  assert_true(how.do_center_crop);
  check_ok(gh_vision_preprocess_write(&err, &how, scratch, &c)); /* the class that crops */
  check_ok(gh_vision_preprocess_read(&err, &how, scratch, &c));
  assert_true(how.do_center_crop && how.mean[0] == 0.48145466);
  check_put(scratch, "preprocessor_config.json", "{\"image_processor_type\":\"ThirdImageProcessor\"}");
  check_ok(gh_vision_preprocess_read(&err, &how, scratch, &(gh_vision_config){.family = &gh_clip, .image = 8}));
  assert_true(how.mean[0] == 0.25);
  drop("preprocessor_config.json");
}

static void weights_renamed(void **state) {
  (void)state;
  static const char *const theirs[] = {"stem.weight", "layers.7.first.bias", "ln_final.weight", "odd"};
  static const char *const ours[] = {"vision_model.embeddings.patch_embedding.weight",
                                     "vision_model.encoder.layers.7.layer_norm1.bias",
                                     "text_model.final_layer_norm.weight", "odd"};
  char *path = check_path(scratch, "third.safetensors");
  gh_safetensors_writer *writer = NULL;
  gh_safetensors *file = NULL;
  check_ok(gh_safetensors_writer_new(&err, &writer, path));
  for (size_t i = 0; i < GH_COUNT(theirs); i++)
    check_ok(gh_safetensors_writer_declare(&err, writer, theirs[i], GH_ST_F32, 1, (int64_t[]){1}));
  check_ok(gh_safetensors_writer_begin(&err, writer));
  for (size_t i = 0; i < GH_COUNT(theirs); i++)
    check_ok(gh_safetensors_writer_write_f32(&err, writer, theirs[i], &(float){(float)i}, 1));
  check_ok(gh_safetensors_writer_finish(&err, writer));
  gh_safetensors_writer_free(writer);
  check_ok(gh_weights_open(&err, &file, path));
  for (size_t i = 0; i < GH_COUNT(ours); i++) assert_non_null(gh_safetensors_find(file, ours[i]));
  gh_safetensors_close(file);
  free(path);
}

static void written_and_read(void **state) {
  (void)state;
  const gh_arch *arch = NULL;
  gh_vision_config v;
  char *folder = check_path(scratch, "model"), *path = check_path(scratch, "model/config.json"), *text = NULL;
  size_t size = 0;
  check_ok(gh_arch_find(&err, "tiny-third", &arch));
  check_ok(gh_arch_write(&err, arch, folder, 1));
  check_ok(gh_vision_config_read(&err, folder, &v));
  assert_ptr_equal(v.family, &third);
  check_ok(gh_file_read(&err, path, 1 << 20, &text, &size));
  assert_non_null(strstr(text, "\"ThirdModel\""));
  assert_non_null(strstr(text, "\"third_vision_model\""));
  free(text);
  free(path);
  path = check_path(scratch, "model/preprocessor_config.json");
  check_ok(gh_file_read(&err, path, 1 << 20, &text, &size));
  assert_non_null(strstr(text, "\"ThirdImageProcessor\""));
  free(text);
  free(path);
  free(folder);
}

/* ---- towers ---- */

typedef struct gh_fixture {
  gh_device *device;
  gh_module m;
  gh_lora lora;
} gh_fixture;

/* Records the tower of that architecture, on a store without memory. */
static gh_tensor *record(gh_fixture *f, const gh_arch *arch) {
  int64_t side = arch->vision.image;
  gh_tensor *pixels = NULL;
  check_ok(gh_device_open(&err, "auto", &f->device));
  check_ok(gh_store_create_unbacked(&err, f->device, &f->m.store));
  check_ok(gh_store_add(&err, f->m.store, "pixels", GH_F32, 4, (int64_t[]){1, 3, side, side}, &pixels));
  check_ok(gh_graph_create(&err, f->device, &f->m.graph));
  gh_tensor *out = gh_vision_tower(&f->m, &arch->vision, pixels, NULL);
  if (gh_graph_failed(f->m.graph)) fail_msg("%s", gh_graph_error(f->m.graph)->text);
  return out;
}

static void end(gh_fixture *f) {
  gh_graph_free(f->m.graph);
  gh_store_free(f->m.store);
  gh_device_close(f->device);
}

static void towers(void **state) {
  (void)state;
  gh_fixture f = {0};
  gh_text_config text = {.family = &third};
  assert_int_equal(record(&f, &third_archs[0])->shape[1], 4);
  assert_int_equal(towers_built, 1);
  assert_int_equal(gh_text_pooled(&text, (int32_t[]){1, 2, 3, 4}, 4), 2);
  assert_true(gh_family_past_adapter(&third, "vision_model.odd"));
  assert_false(gh_family_past_adapter(&gh_clip, "vision_model.odd"));
  end(&f);
}

/* ---- every row of the table ---- */

static void rows_are_complete(void **state) {
  (void)state;
  for (const gh_family *const *f = gh_families; *f; f++) {
    const gh_family *row = *f;
    assert_ptr_equal(row->vision.family, row);
    assert_ptr_equal(row->text.family, row);
    assert_true(row->vision_tower && row->text_tower && row->text_pooled && row->title);
    if (row->name) /* transformers' */
      assert_true(row->read_vision && row->read_text && row->vision_type && row->text_type && row->model_class &&
                  row->vision_class && row->tensors);
    assert_true(row->weights.marker && row->weights.layers && row->weights.layer && row->weights.renamings);
    assert_true(row->openclip.vision && row->openclip.text);
    assert_non_null(row->processor.classes[0]);
    for (const gh_arch *a = row->archs; a->name; a++) {
      const gh_arch *found = NULL;
      check_ok(gh_arch_find(&err, a->name, &found));
      assert_ptr_equal(found, a); /* no other row has the name */
      assert_ptr_equal(a->vision.family, row);
      assert_ptr_equal(a->text.family, row);
      assert_non_null(row->name);
    }
    for (const gh_family *const *other = gh_families; *other; other++) {
      if (*other == row) continue;
      if (row->name && (*other)->name) {
        assert_string_not_equal(row->name, (*other)->name);
        assert_string_not_equal(row->vision_type, (*other)->vision_type);
      }
      if (row->weights.renamings != (*other)->weights.renamings) /* else they share another package's files */
        assert_string_not_equal(row->weights.marker, (*other)->weights.marker);
      if (row->processor.classes != (*other)->processor.classes)
        assert_string_not_equal(row->processor.classes[0], (*other)->processor.classes[0]);
    }
  }
}

/* ---- roles ---- */

static gh_role role_by_name(const gh_tensor *t) {
  static const struct {
    const char *end;
    gh_role role;
  } ends[] = {{"position_embedding.weight", GH_ROLE_POSITIONS},
              {"lora_A.weight", GH_ROLE_LORA_A},
              {"lora_B.weight", GH_ROLE_LORA_B},
              {"bias", GH_ROLE_BIAS},
              {"norm.weight", GH_ROLE_PARAMETER}, /* of a layer norm */
              {"norm1.weight", GH_ROLE_PARAMETER},
              {"norm2.weight", GH_ROLE_PARAMETER},
              {"layrnorm.weight", GH_ROLE_PARAMETER},
              {"class_embedding", GH_ROLE_PARAMETER},
              {"probe", GH_ROLE_PARAMETER},
              {"in_proj_weight", GH_ROLE_PARAMETER}}; /* cut before products read it */
  if (gh_starts_with(t->name, "grad.")) return GH_ROLE_GRADIENT;
  if (gh_starts_with(t->name, "bf16.")) return GH_ROLE_WORKING;
  for (size_t i = 0; i < GH_COUNT(ends); i++)
    if (gh_ends_with(t->name, ends[i].end)) return ends[i].role;
  return GH_ROLE_MATRIX;
}

/* Direct tuning and an adapter, in mixed precision, of each kind of tower: no tensor is without a role. */
static void roles(void **state) {
  (void)state;
  static const char *const names[] = {"tiny", "tiny-siglip"};
  static const gh_arch eva = {.vision = {.family = &gh_eva,
                                         .tower = {.hidden = 24, .layers = 2, .heads = 2, .mlp = 64, .eps = 1e-6},
                                         .image = 40,
                                         .patch = 8,
                                         .projection = 28}};
  enum { TOWERS = 3 };
  for (int i = 0; i < 2 * TOWERS; i++) {
    gh_fixture f = {.m.storage = GH_BF16, .lora = {.rank = 2, .alpha = 2, .biases = GH_BIASES_ALL}};
    const gh_arch *arch = NULL;
    int parameters = 0, gradients = 0;
    f.m.trainable = i < TOWERS;
    if (i >= TOWERS) f.m.lora = &f.lora;
    if (i % TOWERS < 2) check_ok(gh_arch_find(&err, names[i % TOWERS], &arch));
    if (!arch) arch = &eva;
    record(&f, arch);
    for (int k = 0; k < gh_store_count(f.m.store); k++) {
      const gh_tensor *t = gh_store_at(f.m.store, k);
      if (!strcmp(t->name, "pixels")) {
        assert_int_equal(t->role, GH_ROLE_STEP);
        continue;
      }
      if (gh_starts_with(t->name, "rope.")) continue; /* a table */
      if (t->role != role_by_name(t)) fail_msg("%s has the role %d", t->name, (int)t->role);
      assert_int_equal(t->part, GH_PART_ENCODER);
      assert_int_equal(gh_is_parameter(t), t->role != GH_ROLE_GRADIENT && t->role != GH_ROLE_WORKING);
      parameters += gh_is_parameter(t);
      gradients += t->role == GH_ROLE_GRADIENT;
    }
    if (f.m.trainable) assert_int_equal(parameters, gradients);
    assert_true(parameters > 0 && gradients > 0);
    end(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(recognised),        cmocka_unit_test(recognised_from_openclip),
      cmocka_unit_test(preprocessed),      cmocka_unit_test(weights_renamed),
      cmocka_unit_test(written_and_read),  cmocka_unit_test(towers),
      cmocka_unit_test(rows_are_complete), cmocka_unit_test(roles),
  };
  return cmocka_run_group_tests(tests, set_up, scratch_end);
}
