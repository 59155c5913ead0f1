/* Inputs as people have them, up to the encoder: orientation and clipped grey in a set of images, the keys of shards on
 * the command line, long strips, weights of 8 bits, and an autoencoder in diffusers' layout. */
#include "support/compare.h"
#include "support/scratch.h"
#include "support/tar.h"

#include "base/file.h"
#include "base/json.h"
#include "data/image_set.h"
#include "export/export.h"
#include "io/float8.h"
#include "io/png_write.h"
#include "models/flux_vae.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IMAGES  GH_FIXTURES "/images"
#define CLIP    GH_FIXTURES "/probe/tiny/clip"
#define ADAPTER GH_FIXTURES "/probe/tiny/adapter"
#define FLUX    GH_FIXTURES "/probe/tiny/ae.safetensors"

static gh_error err;

/* Copies a fixture to scratch/place/name. */
static void put_copy(const char *from, const char *place, const char *name) {
  char *bytes = NULL, *folder = check_path(scratch, place), *to = check_path(folder, name);
  size_t size = 0;
  check_ok(gh_file_read(&err, from, 1 << 22, &bytes, &size));
  check_ok(gh_folder_make(&err, folder));
  check_write(to, bytes, size);
  free(bytes);
  free(folder);
  free(to);
}

static void put_text(const char *place, const char *name, const char *text) {
  char *folder = check_path(scratch, place), *to = check_path(folder, name);
  check_ok(gh_folder_make(&err, folder));
  check_write(to, text, strlen(text));
  free(folder);
  free(to);
}

/* ---- pictures of a run ---- */

static gh_image_set *open_set(const char *folder) {
  gh_image_set *set = NULL;
  check_ok(gh_image_set_open(&err, &set, "data.images", &folder, 1));
  return set;
}

static void orientation_is_a_choice(void **state) {
  (void)state;
  put_copy(IMAGES "/exif6.jpg", "turned", "a.jpg");
  char *folder = check_path(scratch, "turned");
  gh_image_set *sets[3];
  gh_image images[3];
  for (int i = 0; i < 3; i++) { /* as before, false, true */
    sets[i] = open_set(folder);
    if (i) gh_image_set_exif(sets[i], i == 2);
    check_ok(gh_image_set_decode(&err, &images[i], sets[i], 0, NULL));
  }
  assert_true(images[1].width == images[2].height && images[1].height == images[2].width);
  assert_true(images[1].width != images[2].width);
  assert_memory_equal(images[0].pixels, images[2].pixels, (size_t)images[0].width * (size_t)images[0].height * 3);
  /* Runs of earlier versions, which go on turning pictures, resume. */
  assert_true(gh_image_set_hash(sets[0]) == gh_image_set_hash(sets[2]));
  assert_true(gh_image_set_hash(sets[1]) != gh_image_set_hash(sets[2]));
  for (int i = 0; i < 3; i++) {
    gh_image_free(&images[i]);
    gh_image_set_free(sets[i]);
  }
  free(folder);
}

static void clipped_pictures_are_counted_once(void **state) {
  (void)state;
  put_copy(IMAGES "/grey16.png", "grey", "a.png");
  put_copy(IMAGES "/rgb8.png", "grey", "b.png");
  put_copy(IMAGES "/grey16_interlaced.png", "grey", "c.png");
  char *folder = check_path(scratch, "grey");
  gh_image_set *set = open_set(folder);
  for (uint64_t i = 0; i < 6; i++) {
    gh_image image;
    check_ok(gh_image_set_decode(&err, &image, set, i % 3, NULL));
    gh_image_free(&image);
  }
  assert_int_equal(gh_image_set_clipped(set), 2);
  gh_image_set_free(set);
  free(folder);
}

/* ---- encode ---- */

static gh_json *encode(const char *model, const char *images, const char *keys) {
  gh_json *result = NULL;
  char *out = check_path(scratch, "out.safetensors"), *json = check_path(scratch, "out.json");
  check_ok(compare_run(&err, "encode", "--model", model, "--images", images, "--out", out, "--json", json,
                       keys ? "--keys" : NULL, keys, NULL));
  check_ok(gh_json_read_file(&err, &result, json, 1 << 20));
  free(out);
  free(json);
  return result;
}

static void expect_names(const gh_json *result, const char *first, size_t count) {
  const gh_json *names = gh_json_member(result, "names");
  const char *name = "";
  assert_int_equal(gh_json_count(names), count);
  check_ok(gh_json_to_string(&err, gh_json_first(names), "name", &name));
  assert_string_equal(name, first);
}

static void keys_choose_the_members(void **state) {
  (void)state;
  tar_bytes tar = {0};
  char *bytes = NULL, *path = check_path(scratch, "shard.tar");
  size_t size = 0;
  check_ok(gh_file_read(&err, IMAGES "/rgb8.png", 1 << 20, &bytes, &size));
  tar_file(&tar, "a.png", bytes, size);
  tar_file(&tar, "a.seg.png", bytes, size);
  tar_file(&tar, "b.depth.png", bytes, size);
  tar_end(&tar);
  check_write(path, tar.bytes, tar.size);
  static const struct {
    const char *keys, *first;
    size_t count;
  } cases[] = {{NULL, "shard.tar/a.png", 1},
               {"seg.png", "shard.tar/a.seg.png", 1},
               {"seg.png,png", "shard.tar/a.seg.png", 1}, /* of one sample, the first key counts */
               {"png,seg.png", "shard.tar/a.png", 1},
               {"seg.png;depth.png", "shard.tar/a.seg.png", 2}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_json *result = encode(CLIP, path, cases[i].keys);
    expect_names(result, cases[i].first, cases[i].count);
    gh_json_free(result);
  }
  check_fails(compare_run(&err, "encode", "--model", CLIP, "--images", path, "--out", path, "--keys", "png,", NULL),
              GH_ERROR_ARGUMENT, "--keys: an empty key");
  check_fails(compare_run(&err, "encode", "--model", CLIP, "--images", path, "--out", path, "--keys", "webp", NULL),
              GH_ERROR_FILE, "no image by its key (webp; data.keys or --keys chooses others)");
  tar_free(&tar);
  free(bytes);
  free(path);
}

/* A strip of 20000 x 1 becomes millions of columns, of which the central crop is enough. */
static void strips_are_encoded(void **state) {
  (void)state;
  gh_image strip;
  char *folder = check_path(scratch, "strips"), *wide = check_path(folder, "wide.png"),
       *tall = check_path(folder, "tall.png");
  check_ok(gh_folder_make(&err, folder));
  for (int i = 0; i < 2; i++) {
    check_ok(gh_image_new(&err, &strip, i ? 1 : 20000, i ? 20000 : 1));
    for (size_t p = 0; p < 60000; p++) strip.pixels[p] = (uint8_t)(p * 7);
    check_ok(gh_png_write(&err, i ? tall : wide, &strip));
    gh_image_free(&strip);
  }
  put_copy(IMAGES "/grey16.png", "strips", "z.png");
  gh_json *result = encode(CLIP, folder, NULL);
  int64_t clipped = 0;
  expect_names(result, "tall.png", 3);
  check_ok(gh_json_get_int(&err, result, "clipped", &clipped));
  assert_int_equal(clipped, 1);
  gh_json_free(result);
  free(folder);
  free(wide);
  free(tall);
}

/* ---- weights of 8 bits ---- */

/* A copy of the tiny CLIP in which every matrix of the vision tower's MLPs is of 8 bits, with scales, or has the same
 * values in float32. */
static char *write_model(const char *place, bool narrow) {
  gh_safetensors *file = NULL;
  gh_safetensors_writer *writer = NULL;
  char *folder = check_path(scratch, place), *path = check_path(folder, "model.safetensors");
  static const char *const companions[] = {"config.json", "preprocessor_config.json"};
  const float scale = 0.001f;
  check_ok(gh_folder_make(&err, folder));
  for (size_t i = 0; i < GH_COUNT(companions); i++) check_ok(gh_file_copy(&err, CLIP, folder, companions[i], false));
  check_ok(gh_safetensors_open(&err, &file, CLIP));
  check_ok(gh_safetensors_writer_new(&err, &writer, path));
  for (int pass = 0; pass < 2; pass++) {
    for (size_t i = 0; i < gh_safetensors_count(file); i++) {
      const gh_st_tensor *t = gh_safetensors_at(file, i);
      const bool chosen = strstr(t->name, "vision_model") && gh_ends_with(t->name, "mlp.fc1.weight"),
                 wide = strstr(t->name, "layers.0.") != NULL;
      char name[200];
      snprintf(name, sizeof name, "%.*s%s", (int)strlen(t->name) - (wide ? 6 : 0), t->name,
               wide ? "scale_weight" : "_scale"); /* both spellings */
      if (!pass) {
        check_ok(gh_safetensors_writer_declare(&err, writer, t->name,
                                               !chosen   ? t->dtype
                                               : !narrow ? GH_ST_F32
                                               : wide    ? GH_ST_F8_E5M2
                                                         : GH_ST_F8_E4M3,
                                               t->rank, t->shape));
        if (chosen && narrow) check_ok(gh_safetensors_writer_declare(&err, writer, name, GH_ST_F32, 0, NULL));
        continue;
      }
      if (!chosen) {
        check_ok(gh_safetensors_writer_write(&err, writer, t->name, t->data, t->bytes));
        continue;
      }
      for (int64_t k = 0; k < t->elements; k++) {
        const uint8_t byte = (uint8_t)(k * 37 % 120 + (k % 2 ? 128 : 0));
        const float value = (wide ? gh_f8_e5m2_to_f32(byte) : gh_f8_e4m3_to_f32(byte)) * scale;
        check_ok(narrow ? gh_safetensors_writer_write(&err, writer, t->name, &byte, 1)
                        : gh_safetensors_writer_write(&err, writer, t->name, &value, sizeof value));
      }
      if (narrow) check_ok(gh_safetensors_writer_write(&err, writer, name, &scale, sizeof scale));
    }
    if (!pass) check_ok(gh_safetensors_writer_begin(&err, writer));
  }
  check_ok(gh_safetensors_writer_finish(&err, writer));
  gh_safetensors_writer_free(writer);
  gh_safetensors_close(file);
  free(path);
  return folder;
}

static void narrow_weights_encode_as_their_values(void **state) {
  (void)state;
  char *out[2];
  for (int i = 0; i < 2; i++) {
    char *model = write_model(i ? "narrow" : "wide", i);
    out[i] = check_path(scratch, i ? "narrow.safetensors" : "wide.safetensors");
    check_ok(compare_run(&err, "encode", "--model", model, "--images", IMAGES "/rgb8.png", "--out", out[i], NULL));
    free(model);
  }
  gh_safetensors *a = NULL, *b = NULL;
  check_ok(gh_safetensors_open(&err, &a, out[0]));
  check_ok(gh_safetensors_open(&err, &b, out[1]));
  compare_tensors(b, a, "embeddings", 0);
  gh_safetensors_close(a);
  gh_safetensors_close(b);
  free(out[0]);
  free(out[1]);
}

/* Merged weights are written in a wider type, and then without scales. */
static void narrow_weights_are_exported_wide(void **state) {
  (void)state;
  gh_safetensors *files[2];
  gh_export_counts counts;
  for (int i = 0; i < 2; i++) {
    char *model = write_model(i ? "narrow" : "wide", i),
         *out = check_path(scratch, i ? "export-narrow" : "export-wide");
    gh_export_options o = {.clip = model, .adapter = ADAPTER, .dtype = GH_ST_DTYPES, .vision = true};
    if (i)
      check_fails(gh_export_model(&err, out, &o, &counts), GH_ERROR_UNSUPPORTED,
                  "trained values are not rounded to 8 bits: choose --dtype");
    o.dtype = GH_ST_F32;
    check_ok(gh_export_model(&err, out, &o, &counts));
    check_ok(gh_safetensors_open(&err, &files[i], out));
    free(model);
    free(out);
  }
  assert_int_equal(gh_safetensors_count(files[0]), gh_safetensors_count(files[1]));
  for (size_t i = 0; i < gh_safetensors_count(files[0]); i++)
    compare_tensors(files[1], files[0], gh_safetensors_at(files[0], i)->name, 0);
  gh_safetensors_close(files[0]);
  gh_safetensors_close(files[1]);
}

/* ---- autoencoders ---- */

/* diffusers' name of each tensor, from its own module (tests/reference/make_diffusers.py). */
static gh_json *read_names(void) {
  gh_json *names = NULL;
  check_ok(gh_json_read_file(&err, &names, GH_FIXTURES "/diffusers/names.json", 1 << 20));
  return names;
}

/* Writes FLUX's file under diffusers' names, attention as linear layers. `extra`: one more tensor, or NULL. */
static void write_diffusers(const char *path, const char *extra) {
  gh_safetensors *flux = NULL;
  gh_safetensors_writer *writer = NULL;
  gh_json *names = read_names();
  const float one = 1;
  check_ok(gh_safetensors_open(&err, &flux, FLUX));
  assert_int_equal(gh_json_count(names), gh_safetensors_count(flux));
  check_ok(gh_safetensors_writer_new(&err, &writer, path));
  for (int pass = 0; pass < 2; pass++) {
    for (const gh_json *item = gh_json_first(names); item; item = gh_json_next(item)) {
      const char *theirs = "";
      int64_t rank = 0;
      check_ok(gh_json_get_string(&err, item, "name", &theirs));
      check_ok(gh_json_get_int(&err, item, "rank", &rank));
      const gh_st_tensor *t = gh_safetensors_find(flux, gh_json_key(item));
      if (!t) fail_msg("%s: FLUX's file has no such tensor", gh_json_key(item));
      check_ok(pass ? gh_safetensors_writer_write(&err, writer, theirs, t->data, t->bytes)
                    : gh_safetensors_writer_declare(&err, writer, theirs, t->dtype, (int)rank, t->shape));
    }
    if (extra)
      check_ok(pass ? gh_safetensors_writer_write(&err, writer, extra, &one, sizeof one)
                    : gh_safetensors_writer_declare(&err, writer, extra, GH_ST_F32, 0, NULL));
    if (!pass) check_ok(gh_safetensors_writer_begin(&err, writer));
  }
  check_ok(gh_safetensors_writer_finish(&err, writer));
  gh_safetensors_writer_free(writer);
  gh_json_free(names);
  gh_safetensors_close(flux);
}

/* The moments of one picture. */
static float *moments_of(const gh_safetensors *weights, const gh_vae_config *config, int64_t *count) {
  gh_store *store = NULL;
  gh_graph *graph = NULL;
  gh_tensor *images = NULL;
  static float pixels[3 * 32 * 32];
  for (size_t i = 0; i < GH_COUNT(pixels); i++) pixels[i] = (float)(i * 31 % 200) / 100 - 1;
  check_ok(gh_store_create(&err, scratch_device, &store));
  check_ok(gh_store_add(&err, store, "images", GH_F32, 4, (int64_t[]){1, 3, 32, 32}, &images));
  check_ok(gh_graph_create(&err, scratch_device, &graph));
  gh_module m = {.graph = graph, .store = store, .weights = weights};
  gh_tensor *moments = gh_vae_encode(&m, config, images);
  assert_non_null(moments);
  gh_graph_keep(graph, moments);
  check_ok(gh_graph_plan(&err, graph));
  check_ok(gh_tensor_write(&err, scratch_device, images, pixels));
  check_ok(gh_graph_run(&err, graph));
  *count = gh_tensor_elements(moments);
  float *values = malloc((size_t)*count * sizeof *values);
  assert_non_null(values);
  check_ok(gh_tensor_read(&err, scratch_device, moments, values));
  gh_graph_free(graph);
  gh_store_free(store);
  return values;
}

#define WEIGHTS "diffusion_pytorch_model.safetensors"
#define OTHER   "{\"_class_name\":\"AutoencoderKL\",\"scaling_factor\":1.5305,\"shift_factor\":null}"

static void both_layouts_are_one_model(void **state) {
  (void)state;
  gh_safetensors *flux = NULL, *theirs = NULL;
  gh_vae_config a, b;
  char *folder = check_path(scratch, "pipeline"), *vae = check_path(folder, "vae"), *path = check_path(vae, WEIGHTS);
  check_ok(gh_folder_make(&err, vae));
  write_diffusers(path, NULL);
  put_copy(GH_FIXTURES "/diffusers/config.json", "pipeline/vae", "config.json");
  check_ok(gh_vae_open(&err, &flux, &a, FLUX));
  const char *const ways[] = {path, vae, folder};
  for (size_t i = 0; i < GH_COUNT(ways); i++) {
    check_ok(gh_vae_open(&err, &theirs, &b, ways[i]));
    assert_true(a.channels == b.channels && a.levels == b.levels && a.blocks == b.blocks && a.latent == b.latent);
    assert_true(fabs(a.shift - b.shift) < 1e-15 && fabs(a.scale - b.scale) < 1e-15);
    assert_int_equal(gh_safetensors_count(theirs), gh_safetensors_count(flux));
    for (size_t k = 0; k < gh_safetensors_count(flux); k++) {
      const gh_st_tensor *x = gh_safetensors_at(flux, k), *y = gh_safetensors_at(theirs, k);
      assert_string_equal(x->name, y->name);
      assert_true(x->rank == y->rank && x->dtype == y->dtype && x->bytes == y->bytes);
      assert_memory_equal(x->shape, y->shape, (size_t)x->rank * sizeof *x->shape);
      assert_memory_equal(x->data, y->data, x->bytes);
    }
    if (i + 1 < GH_COUNT(ways)) gh_safetensors_close(theirs);
  }
  int64_t n, m;
  float *ours = moments_of(flux, &a, &n), *others = moments_of(theirs, &b, &m);
  assert_int_equal(n, m);
  assert_memory_equal(ours, others, (size_t)n * sizeof *ours);
  gh_safetensors_close(theirs);
  put_text("pipeline/vae", "config.json", OTHER);
  check_ok(gh_vae_open(&err, &theirs, &b, vae));
  assert_true(fabs(b.scale - 1.5305) < 1e-12 && fabs(b.shift) < 1e-12);
  gh_safetensors_close(theirs);
  gh_safetensors_close(flux);
  free(ours);
  free(others);
  free(path);
  free(vae);
  free(folder);
}

static void other_autoencoders_are_named(void **state) {
  (void)state;
  static const struct {
    const char *config, *says;
    gh_status status;
  } cases[] = {
      {NULL, "there is no config.json beside it", GH_ERROR_FILE},
      {"{\"_class_name\":\"AutoencoderKLFlux2\"}", "FLUX.2's autoencoder", GH_ERROR_UNSUPPORTED},
      {"{\"_class_name\":\"AutoencoderOobleck\"}", "the class AutoencoderOobleck", GH_ERROR_UNSUPPORTED},
      {"{\"shift_factor\":0.1159}", "scaling_factor: missing", GH_ERROR_FORMAT},
      {"{\"scaling_factor\":-1}", "is not above 0", GH_ERROR_FORMAT},
      {"{\"scaling_factor\":1,\"act_fn\":\"relu\"}", "act_fn", GH_ERROR_UNSUPPORTED},
      {"{\"scaling_factor\":1,\"norm_num_groups\":16}", "norm_num_groups", GH_ERROR_UNSUPPORTED},
      {"{\"scaling_factor\":1,\"mid_block_add_attention\":false}", "mid_block_add_attention", GH_ERROR_UNSUPPORTED},
      {"{\"scaling_factor\":1,\"latents_mean\":[0,0]}", "latents_mean", GH_ERROR_UNSUPPORTED},
      {"[]", "config.json", GH_ERROR_FORMAT},
  };
  gh_safetensors *file = NULL;
  gh_vae_config c;
  char *folder = check_path(scratch, "other"), *path = check_path(folder, WEIGHTS);
  check_ok(gh_folder_make(&err, folder));
  write_diffusers(path, NULL);
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    if (cases[i].config) put_text("other", "config.json", cases[i].config);
    check_fails(gh_vae_open(&err, &file, &c, folder), cases[i].status, cases[i].says);
    assert_null(file);
  }
  put_text("other", "config.json", OTHER);
  char *part = gh_format(&err, "%s.incomplete", path), *blob = check_path(scratch, "blobs/absent");
  check_ok(gh_file_rename(&err, path, part));
  check_fails(gh_vae_open(&err, &file, &c, folder), GH_ERROR_FILE, WEIGHTS ".incomplete is an incomplete download");
  check_ok(gh_file_remove(&err, part));
  assert_int_equal(symlink(blob, path), 0); /* a hub's cache without its blob */
  check_fails(gh_vae_open(&err, &file, &c, folder), GH_ERROR_FILE, "which does not exist (an incomplete download?)");
  check_ok(gh_file_remove(&err, path));
  put_text("other", WEIGHTS, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
  check_fails(gh_vae_open(&err, &file, &c, folder), GH_ERROR_FORMAT, "a git-lfs pointer");
  free(part);
  free(blob);
  write_diffusers(path, "quant_conv.weight");
  check_fails(gh_vae_open(&err, &file, &c, folder), GH_ERROR_UNSUPPORTED, "Stable Diffusion's autoencoder");
  write_diffusers(path, "encoder.down_blocks.7.resnets.0.conv1.weight");
  check_fails(gh_vae_open(&err, &file, &c, folder), GH_ERROR_FORMAT, "encoder.down_blocks.7.resnets.0.conv1.weight");
  free(path);
  free(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(orientation_is_a_choice),
      cmocka_unit_test(clipped_pictures_are_counted_once),
      cmocka_unit_test(keys_choose_the_members),
      cmocka_unit_test(strips_are_encoded),
      cmocka_unit_test(narrow_weights_encode_as_their_values),
      cmocka_unit_test(narrow_weights_are_exported_wide),
      cmocka_unit_test(both_layouts_are_one_model),
      cmocka_unit_test(other_autoencoders_are_named),
  };
  return cmocka_run_group_tests(tests, scratch_begin_with_device, scratch_end);
}
