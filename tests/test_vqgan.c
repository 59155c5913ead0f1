/* The VQ-GAN against PyTorch in float64: latents, codes and decoded pictures; its published sizes; files that are not
 * one. */
#include "support/compare.h"
#include "support/scratch.h"

#include "base/file.h"
#include "models/flux_vae.h"
#include "models/vqgan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HERE      GH_FIXTURES "/vqgan"
#define FLUX      GH_FIXTURES "/probe/tiny/ae.safetensors"

#define TOLERANCE 1e-5 /* of latents and pictures, relative */
#define NEAR      1e-5 /* of |x|^2: a gap between two distances that float32 may not resolve */

static gh_error err;

static gh_safetensors *open_file(const char *folder, const char *name) {
  gh_safetensors *file = NULL;
  char *path = check_path(folder, name);
  check_ok(gh_safetensors_open(&err, &file, path));
  free(path);
  return file;
}

/* ---- against PyTorch ---- */

/* || got - want || / || want || */
static double relative(const float *got, const float *want, int64_t n) {
  double difference = 0, size = 0;
  for (int64_t i = 0; i < n; i++) {
    double d = (double)got[i] - (double)want[i];
    difference += d * d;
    size += (double)want[i] * (double)want[i];
  }
  return sqrt(difference / size);
}

/* Compares t with the file's tensor of that name. */
static void expect_close(const gh_tensor *t, const gh_safetensors *want, const char *name) {
  int64_t n = 0;
  float *expected = compare_load(want, name, &n), *got = gh_alloc(&err, (size_t)n, sizeof *got);
  assert_int_equal(n, gh_tensor_elements(t));
  check_ok(gh_tensor_read(&err, scratch_device, t, got));
  double error = relative(got, expected, n);
  printf("%s: relative error %.2g (PyTorch's float32 %.2g)\n", name, error,
         (double)compare_number(want, gh_name_make("error.%s", name).text));
  if (!(error <= TOLERANCE)) fail_msg("%s: relative error %g", name, error);
  free(expected);
  free(got);
}

static void load_i32(const gh_safetensors *file, const char *name, int32_t *out, int64_t n) {
  const gh_st_tensor *t = gh_safetensors_find(file, name);
  assert_true(t && t->dtype == GH_ST_I32 && t->elements == n);
  memcpy(out, t->data, (size_t)n * sizeof *out);
}

/* Codes are the reference's, except where the two nearest rows are too close for float32; returns the number of such
 * positions. */
static int expect_codes(const int32_t *got, const int32_t *want, const gh_safetensors *file, const gh_tensor *shape) {
  int64_t width = shape->shape[1], positions = shape->shape[2] * shape->shape[3], n = shape->shape[0] * positions;
  int near = 0, different = 0;
  float *latents = compare_load(file, "latents", NULL), *gap = compare_load(file, "gap", NULL);
  for (int64_t i = 0; i < n; i++) {
    double square = 0;
    for (int64_t c = 0; c < width; c++) {
      double v = (double)latents[(i / positions * width + c) * positions + i % positions];
      square += v * v;
    }
    bool close = (double)gap[i] < NEAR * square;
    near += close;
    different += got[i] != want[i];
    if (got[i] != want[i] && !close) fail_msg("position %lld: code %d, expected %d", (long long)i, got[i], want[i]);
  }
  printf("codes: %lld positions, %d different, %d too close for float32\n", (long long)n, different, near);
  free(latents);
  free(gap);
  return near;
}

typedef struct gh_run {
  gh_store *store;
  gh_graph *graph;
  gh_module m;
  gh_tensor *images, *given; /* (B, 3, S, S); codes (B, N) */
} gh_run;

static void begin(gh_run *r, const gh_safetensors *weights, const gh_safetensors *inputs) {
  const gh_st_tensor *images = gh_safetensors_find(inputs, "images"), *codes = gh_safetensors_find(inputs, "codes");
  assert_true(images && codes && images->rank == 4 && codes->rank == 2);
  check_ok(gh_store_create(&err, scratch_device, &r->store));
  check_ok(gh_store_add(&err, r->store, "images", GH_F32, 4, images->shape, &r->images));
  check_ok(gh_store_add(&err, r->store, "codes", GH_I32, 2, codes->shape, &r->given));
  float *pixels = compare_load(inputs, "images", NULL);
  check_ok(gh_tensor_write(&err, scratch_device, r->images, pixels));
  check_ok(gh_tensor_write(&err, scratch_device, r->given, codes->data));
  free(pixels);
  check_ok(gh_graph_create(&err, scratch_device, &r->graph));
  r->m = (gh_module){.graph = r->graph, .store = r->store, .weights = weights};
}

static void end(gh_run *r) {
  gh_graph_free(r->graph);
  gh_store_free(r->store);
}

/* The fixture, or the folder of GH_TEST_VQGAN, which tests/reference/check_vqgan.py fills at the published sizes. */
static void equals_pytorch(void **state) {
  (void)state;
  const char *folder = getenv("GH_TEST_VQGAN");
  gh_safetensors *weights = open_file(folder ? folder : HERE, "weights.safetensors");
  gh_safetensors *want = open_file(folder ? folder : HERE, "expected.safetensors");
  gh_vqgan_config c;
  gh_run r = {0};
  check_ok(gh_vqgan_config_read(&err, weights, &c));
  begin(&r, weights, want);
  gh_tensor *latents = gh_vqgan_latents(&r.m, &c, r.images), *codes = gh_vqgan_encode(&r.m, &c, r.images);
  gh_tensor *decoded = gh_vqgan_decode(&r.m, &c, r.given);
  if (gh_graph_failed(r.graph)) fail_msg("%s", gh_graph_error(r.graph)->text);
  gh_graph_keep(r.graph, latents);
  gh_graph_keep(r.graph, codes);
  gh_graph_keep(r.graph, decoded);
  check_ok(gh_graph_plan(&err, r.graph));
  check_ok(gh_graph_run(&err, r.graph));
  expect_close(latents, want, "latents");
  expect_close(decoded, want, "decoded");
  int64_t n = gh_tensor_elements(codes);
  int32_t *got = gh_alloc(&err, (size_t)n, sizeof *got), *expected = gh_alloc(&err, (size_t)n, sizeof *expected);
  load_i32(want, "codes", expected, n);
  check_ok(gh_tensor_read(&err, scratch_device, codes, got));
  assert_true(codes->dtype == GH_I32 && codes->rank == 2 && codes->shape[0] == latents->shape[0]);
  int near = expect_codes(got, expected, want, latents);
  if (!folder) assert_int_equal(near, 0);
  free(got);
  free(expected);
  end(&r);
  gh_safetensors_close(weights);
  gh_safetensors_close(want);
}

/* Codes of our own encoder give the rows of the codebook, and a picture that no longer depends on the latents. */
static void vectors_are_rows(void **state) {
  (void)state;
  gh_safetensors *weights = open_file(HERE, "weights.safetensors"), *want = open_file(HERE, "expected.safetensors");
  gh_vqgan_config c;
  gh_run r = {0};
  check_ok(gh_vqgan_config_read(&err, weights, &c));
  begin(&r, weights, want);
  r.m.storage = GH_BF16; /* in mixed precision the VQ-GAN stays float32 */
  gh_tensor *vectors = gh_vqgan_vectors(&r.m, &c, r.given);
  if (gh_graph_failed(r.graph)) fail_msg("%s", gh_graph_error(r.graph)->text);
  gh_graph_keep(r.graph, vectors);
  check_ok(gh_graph_plan(&err, r.graph));
  check_ok(gh_graph_run(&err, r.graph));
  int64_t n = gh_tensor_elements(vectors), rows = gh_tensor_rows(vectors);
  float *table = compare_load(weights, "quantize.embedding.weight", NULL),
        *got = gh_alloc(&err, (size_t)n, sizeof *got);
  int32_t *codes = gh_alloc(&err, (size_t)rows, sizeof *codes);
  load_i32(want, "codes", codes, rows);
  assert_int_equal(vectors->dtype, GH_F32);
  check_ok(gh_tensor_read(&err, scratch_device, vectors, got));
  for (int64_t i = 0; i < n; i++)
    assert_true(got[i] == table[codes[i / c.embedding] * (int64_t)c.embedding + i % c.embedding]);
  const gh_tensor *codebook = gh_vqgan_codebook(&r.m, &c);
  assert_true(codebook->part == GH_PART_AUTOENCODER && !codebook->trainable);
  free(table);
  free(got);
  free(codes);
  end(&r);
  gh_safetensors_close(weights);
  gh_safetensors_close(want);
}

static void wrong_inputs(void **state) {
  (void)state;
  static const struct {
    int64_t side, codes;
    const char *message;
  } cases[] = {{34, 4, "sides are multiples of 4"}, {32, 5, "5 codes are not a square"}};
  gh_safetensors *weights = open_file(HERE, "weights.safetensors");
  gh_vqgan_config c;
  check_ok(gh_vqgan_config_read(&err, weights, &c));
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_store *store;
    gh_graph *g;
    gh_tensor *images, *codes;
    check_ok(gh_store_create_unbacked(&err, scratch_device, &store));
    check_ok(gh_store_add(&err, store, "images", GH_F32, 4, (int64_t[]){1, 3, cases[i].side, cases[i].side}, &images));
    check_ok(gh_store_add(&err, store, "codes", GH_I32, 2, (int64_t[]){1, cases[i].codes}, &codes));
    check_ok(gh_graph_create(&err, scratch_device, &g));
    gh_module m = {.graph = g, .store = store, .weights = weights};
    gh_vqgan_encode(&m, &c, images);
    gh_vqgan_decode(&m, &c, codes);
    check_fails(gh_graph_plan(&err, g), GH_ERROR_CONFIG, cases[i].message);
    gh_graph_free(g);
    gh_store_free(store);
  }
  gh_safetensors_close(weights);
}

/* ---- published sizes ---- */

/* The parameters and the tensors of a store whose names begin with a prefix. */
static int64_t total(const gh_store *store, const char *prefix, int *tensors) {
  int64_t parameters = 0;
  *tensors = 0;
  for (int i = 0; i < gh_store_count(store); i++) {
    const gh_tensor *t = gh_store_at(store, i);
    if (!gh_is_parameter(t) || strncmp(t->name, prefix, strlen(prefix))) continue;
    parameters += gh_tensor_elements(t);
    ++*tensors;
  }
  return parameters;
}

static void published_totals(void **state) {
  (void)state;
  static const struct {
    const gh_vqgan_config *config;
    int64_t parameters;
  } table[] = {{&gh_vqgan_f16, 76073859}, {&gh_vqgan_f16_1024, 72141699}};
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    const gh_vqgan_config *c = table[i].config;
    gh_store *store;
    gh_graph *g;
    gh_tensor *images;
    int tensors;
    check_ok(gh_store_create_unbacked(&err, scratch_device, &store));
    check_ok(gh_store_add(&err, store, "images", GH_F32, 4, (int64_t[]){1, 3, 224, 224}, &images));
    check_ok(gh_graph_create(&err, scratch_device, &g));
    gh_module m = {.graph = g, .store = store};
    gh_tensor *codes = gh_vqgan_encode(&m, c, images), *decoded = gh_vqgan_decode(&m, c, codes);
    if (gh_graph_failed(g)) fail_msg("%s", gh_graph_error(g)->text);
    assert_int_equal(gh_vqgan_factor(c), 16);
    assert_int_equal(codes->shape[1], 196);
    assert_true(decoded->shape[1] == 3 && decoded->shape[2] == 224 && decoded->shape[3] == 224);
    assert_int_equal(total(store, "", &tensors), table[i].parameters);
    assert_int_equal(tensors, 343);
    assert_int_equal(total(store, "encoder.", &tensors), 29298176);
    assert_int_equal(tensors, 144);
    assert_int_equal(total(store, "decoder.", &tensors), 42449795);
    assert_int_equal(tensors, 194);
    gh_graph_free(g);
    gh_store_free(store);
  }
}

/* Written with random weights, it is read with the same sizes; the same seed gives the same bytes. */
static void written_is_read(void **state) {
  (void)state;
  char *paths[2] = {check_path(scratch, "a.safetensors"), check_path(scratch, "b.safetensors")};
  gh_safetensors *files[2];
  int64_t parameters = 0, elements = 0;
  gh_vqgan_config c;
  for (int i = 0; i < 2; i++) {
    check_ok(gh_vqgan_write(&err, scratch_device, &gh_vqgan_tiny, 7, paths[i], &parameters));
    check_ok(gh_safetensors_open(&err, &files[i], paths[i]));
    check_ok(gh_vqgan_config_read(&err, files[i], &c));
    assert_memory_equal(&c, &gh_vqgan_tiny, sizeof c);
  }
  for (size_t i = 0; i < gh_safetensors_count(files[0]); i++) {
    const gh_st_tensor *a = gh_safetensors_at(files[0], i), *b = gh_safetensors_at(files[1], i);
    assert_string_equal(a->name, b->name);
    assert_memory_equal(a->data, b->data, a->bytes);
    elements += a->elements;
  }
  assert_int_equal(elements, parameters);
  for (int i = 0; i < 2; i++) {
    gh_safetensors_close(files[i]);
    free(paths[i]);
  }
}

/* ---- files that are not one ---- */

/* Opens a copy of the tiny file in which one tensor's name is replaced by another of the same length. */
static gh_safetensors *changed(const char *from, const char *to) {
  char *path = check_path(scratch, "changed.safetensors"), *bytes, *at;
  size_t size;
  gh_safetensors *file = NULL;
  assert_int_equal(strlen(from), strlen(to));
  check_ok(gh_file_read(&err, HERE "/weights.safetensors", SIZE_MAX, &bytes, &size));
  at = memmem(bytes, size, from, strlen(from));
  assert_non_null(at);
  memcpy(at, to, strlen(to));
  check_write(path, bytes, size);
  check_ok(gh_safetensors_open(&err, &file, path));
  free(bytes);
  free(path);
  return file;
}

static void refused(void **state) {
  (void)state;
  static const struct {
    const char *from, *to, *message;
  } cases[] = {
      {"\"quantize.embedding.weight\"", "\"quantize.embeddinh.weight\"", "quantize.embedding.weight is missing"},
      {"\"encoder.down.2.attn.1.q.weight\"", "\"encoder.down.2.attn.1.r.weight\"",
       "\"encoder.down.2.attn.1.q.weight\""},
      {"\"decoder.up.2.attn.2.norm.bias\"", "\"decoder.up.2.attn.3.norm.bias\"", "\"decoder.up.2.attn.2.norm.bias\""},
      {"\"decoder.conv_out.bias\"", "\"decodes.conv_out.bias\"", "\"decoder.conv_out.bias\""},
      {"\"quant_conv.bias\"", "\"quant_bonv.bias\"", "\"quant_conv.bias\""},
      {"[128,24]", "[24,128]", "quant_conv.weight"},
      {"[16,24,1,1]", "[24,16,1,1]", "post_quant_conv.weight"},
  };
  gh_vqgan_config c;
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_safetensors *file = changed(cases[i].from, cases[i].to);
    check_fails(gh_vqgan_config_read(&err, file, &c), GH_ERROR_FORMAT, cases[i].message);
    gh_safetensors_close(file);
  }
}

/* A tensor beside the model's own is an error if its name belongs to the model. */
static void unread_tensors(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bool allowed;
  } cases[] = {{"loss.discriminator.main.0.weight", true},   {"encoder.down.0.attn.0.q.weight", false},
               {"decoder.up.0.upsample.conv.weight", false}, {"quantize.used", false},
               {"encoder.mid.block_3.conv1.bias", false},    {"post_quant_conv.scale", false}};
  gh_safetensors *weights = open_file(HERE, "weights.safetensors");
  char *path = check_path(scratch, "more.safetensors");
  const int64_t one = 1;
  const float value = 0;
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_safetensors_writer *writer = NULL;
    gh_safetensors *file = NULL;
    gh_vqgan_config c;
    check_ok(gh_safetensors_writer_new(&err, &writer, path));
    check_ok(gh_safetensors_writer_declare(&err, writer, cases[i].name, GH_ST_F32, 1, &one));
    for (size_t k = 0; k < gh_safetensors_count(weights); k++) {
      const gh_st_tensor *t = gh_safetensors_at(weights, k);
      check_ok(gh_safetensors_writer_declare(&err, writer, t->name, t->dtype, t->rank, t->shape));
    }
    check_ok(gh_safetensors_writer_begin(&err, writer));
    check_ok(gh_safetensors_writer_write(&err, writer, cases[i].name, &value, sizeof value));
    for (size_t k = 0; k < gh_safetensors_count(weights); k++) {
      const gh_st_tensor *t = gh_safetensors_at(weights, k);
      check_ok(gh_safetensors_writer_write(&err, writer, t->name, t->data, t->bytes));
    }
    check_ok(gh_safetensors_writer_finish(&err, writer));
    gh_safetensors_writer_free(writer);
    check_ok(gh_safetensors_open(&err, &file, path));
    if (cases[i].allowed)
      check_ok(gh_vqgan_config_read(&err, file, &c));
    else
      check_fails(gh_vqgan_config_read(&err, file, &c), GH_ERROR_FORMAT, cases[i].name);
    gh_safetensors_close(file);
  }
  free(path);
  gh_safetensors_close(weights);
}

static void other_autoencoder(void **state) {
  (void)state;
  gh_safetensors *flux = NULL, *vqgan = open_file(HERE, "weights.safetensors");
  gh_vqgan_config c;
  gh_vae_config vae;
  check_ok(gh_safetensors_open(&err, &flux, FLUX));
  check_fails(gh_vqgan_config_read(&err, flux, &c), GH_ERROR_FORMAT, "quantize.embedding.weight is missing");
  check_fails(gh_vae_config_read(&err, vqgan, &vae), GH_ERROR_FORMAT, "a VQ-GAN (it has quantize.embedding.weight)");
  gh_safetensors_close(flux);
  gh_safetensors_close(vqgan);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equals_pytorch),   cmocka_unit_test(vectors_are_rows),  cmocka_unit_test(wrong_inputs),
      cmocka_unit_test(published_totals), cmocka_unit_test(written_is_read),   cmocka_unit_test(refused),
      cmocka_unit_test(unread_tensors),   cmocka_unit_test(other_autoencoder),
  };
  return cmocka_run_group_tests(tests, scratch_begin_with_device, scratch_end);
}
