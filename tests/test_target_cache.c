/* The cache of targets, here latents: it returns what the autoencoder computes from the exact crop of the loader;
 * interrupted builds resume; a cache of something else gives a clear error. */
#include "backend/registry.h"
#include "support/check.h"
#include "support/compare.h"
#include "support/tiny_run.h"

#include "base/file.h"
#include "base/log.h"
#include "data/target_cache.h"
#include "method/flow.h"
#include "method/setup.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_error err;

#define SIZE   64 /* of the fixture's encoder */
#define CROPS  2
#define IMAGES (TINY_PICTURES + 1) /* including the broken one */
#define BATCH  4
#define ENTRY  (32 * 8 * 8)

static char *folder, *pictures, *cache_folder;
static gh_device *device;
static gh_config config;
static gh_models models;

static gh_target target_of(const gh_models *m) {
  gh_target target;
  assert_true(gh_objective_target(m, &target));
  return target;
}

static gh_target_cache_options options_of(const char *const *source) {
  return (gh_target_cache_options){.folder = cache_folder,
                                   .target = target_of(&models),
                                   .device = device,
                                   .batch = BATCH,
                                   .images = {.sources = source,
                                              .source_count = 1,
                                              .image_size = SIZE,
                                              .crop = {.scale = {0.2, 0.9}, .ratio = {0.75, 1.33}},
                                              .seed = 5,
                                              .crops = CROPS,
                                              .workers = 1,
                                              .ahead = 4},
                                   .shard_bytes = 3 * ENTRY * 4}; /* three per shard: fourteen fill five shards */
}

static gh_target_cache *open_cache(const gh_target_cache_options *options) {
  gh_target_cache *cache = NULL;
  check_ok(gh_target_cache_open(&err, &cache, options));
  return cache;
}

/* The autoencoder alone, one image at a time. */
typedef struct coder {
  gh_store *store;
  gh_graph *graph;
  gh_tensor *images, *moments;
} coder;

static void coder_open(coder *c) {
  static const double half[3] = {0.5, 0.5, 0.5};
  const int64_t shape[] = {1, 3, SIZE, SIZE};
  check_ok(gh_store_create(&err, device, &c->store));
  check_ok(gh_step_tensor(&err, c->store, "images", 4, shape, &c->images));
  check_ok(gh_graph_create(&err, device, &c->graph));
  gh_module m = {.graph = c->graph, .store = c->store, .weights = gh_flow_models_of(&models)->vae_file};
  c->moments = gh_vae_encode(&m, &gh_flow_models_of(&models)->vae, gh_normalize_image(c->graph, c->images, half, half));
  assert_non_null(c->moments);
  gh_graph_keep(c->graph, c->moments);
  check_ok(gh_graph_plan(&err, c->graph));
}

static void coder_close(coder *c) {
  gh_graph_free(c->graph);
  gh_store_free(c->store);
}

/* Either stage, three epochs: the third shows the first's crops again. */
static void entries_are_the_samples(void **state) {
  (void)state;
  const char *source = pictures;
  gh_target_cache_options options = options_of(&source);
  gh_target_cache *cache = open_cache(&options);
  coder c;
  coder_open(&c);
  float *image = malloc(3 * SIZE * SIZE * sizeof *image), got[ENTRY], want[ENTRY], seen[CROPS][IMAGES][ENTRY];
  int met[CROPS][IMAGES] = {0};
  for (int stage = 1; stage <= 2; stage++) {
    gh_loader *loader = NULL;
    gh_loader_options how = options.images;
    how.stage = stage;
    check_ok(gh_loader_create(&err, &loader, &how));
    for (uint64_t ordinal = 0; ordinal < 3 * IMAGES; ordinal++) {
      gh_loader_sample s;
      check_ok(gh_loader_next_samples(&err, loader, image, &s, 1));
      assert_true(s.ordinal == ordinal && s.image < IMAGES && s.crop == ordinal / IMAGES % CROPS);
      check_ok(gh_target_cache_read(&err, cache, &s, 1, got));
      check_ok(gh_tensor_write(&err, device, c.images, image));
      check_ok(gh_graph_run(&err, c.graph));
      check_ok(gh_tensor_read(&err, device, c.moments, want));
      compare_values("moments", got, want, ENTRY, 2e-5);
      if (met[s.crop][s.image]++) assert_memory_equal(got, seen[s.crop][s.image], sizeof got);
      memcpy(seen[s.crop][s.image], got, sizeof got);
    }
    gh_loader_free(loader);
  }
  for (int i = 0; i + 1 < IMAGES; i++) { /* the broken file comes last */
    assert_true(met[0][i] > 0 && met[1][i] > 0);
    assert_true(compare_distance(seen[0][i], seen[1][i], ENTRY) > 1e-2);
  }
  gh_loader_sample broken = {.image = IMAGES - 1}, beyond = {.image = 0, .crop = CROPS};
  assert_int_equal(met[0][IMAGES - 1], 0);
  check_fails(gh_target_cache_read(&err, cache, &broken, 1, got), GH_ERROR_CONFIG, "could not be read");
  check_fails(gh_target_cache_read(&err, cache, &beyond, 1, got), GH_ERROR_ARGUMENT, "crop 2 of image 0");
  free(image);
  coder_close(&c);
  gh_target_cache_free(cache);
}

static char *shard(int number) {
  char name[64];
  snprintf(name, sizeof name, "latents-%05d.safetensors", number);
  return check_path(cache_folder, name);
}

static void read_shards(char *paths[5], char *bytes[5], size_t size[5]) {
  for (int i = 0; i < 5; i++) {
    paths[i] = shard(i);
    check_ok(gh_file_read(&err, paths[i], 1 << 20, &bytes[i], &size[i]));
  }
}

/* Every file except the damaged one is kept, and that one is rebuilt with the same bytes. */
static void interrupted_building_resumes(void **state) {
  (void)state;
  const char *source = pictures;
  const gh_target_cache_options options = options_of(&source);
  char *bytes[5], *paths[5];
  size_t size[5];
  gh_target_cache_free(open_cache(&options));
  read_shards(paths, bytes, size);
  char *sixth = shard(5);
  assert_false(gh_path_exists(sixth));
  check_ok(gh_file_remove(&err, paths[1]));
  check_write(paths[3], bytes[3], size[3] / 2);
  check_write(paths[4], bytes[0], size[0]); /* too many entries */
  gh_target_cache *cache = NULL;
  gh_stop_request(SIGTERM);
  check_fails(gh_target_cache_open(&err, &cache, &options), GH_ERROR_STOPPED, "is kept");
  gh_stop_request(0);
  assert_false(gh_path_exists(paths[1]));
  gh_target_cache_free(open_cache(&options));
  for (int i = 0; i < 5; i++) {
    char *again = NULL;
    size_t n = 0;
    check_ok(gh_file_read(&err, paths[i], 1 << 20, &again, &n));
    assert_int_equal(n, size[i]);
    assert_memory_equal(again, bytes[i], n);
    free(again);
    free(bytes[i]);
    free(paths[i]);
  }
  free(sixth);
}

static gh_status given(gh_error *e, void *user, gh_status own) { return (void)e, (void)user, own; }
static gh_status nothing(gh_error *e, void *user) { return given(e, user, GH_OK); }
static gh_status own_numbers(gh_error *e, void *user, gh_status own, float *numbers, const size_t *starts) {
  (void)numbers, (void)starts;
  return given(e, user, own);
}

/* Each of two processes makes a block of the shards: together, they make the bytes of one. */
static void processes_divide_the_shards(void **state) {
  (void)state;
  const char *source = pictures;
  gh_target_cache_options options = options_of(&source);
  char *bytes[5], *paths[5];
  size_t size[5];
  gh_target_cache_free(open_cache(&options));
  read_shards(paths, bytes, size);
  for (int i = 0; i < 5; i++) check_ok(gh_file_remove(&err, paths[i]));
  for (int part = 0; part < 2; part++) {
    const gh_parts parts = {part, 2, nothing, given, own_numbers, NULL};
    options.parts = &parts;
    gh_target_cache_free(open_cache(&options));
    for (int i = 0; i < 5; i++) assert_int_equal(gh_path_exists(paths[i]), i < 2 || part);
  }
  for (int i = 0; i < 5; i++) {
    char *again = NULL;
    size_t n = 0;
    check_ok(gh_file_read(&err, paths[i], 1 << 20, &again, &n));
    assert_true(n == size[i] && !memcmp(again, bytes[i], n));
    free(again);
    free(bytes[i]);
    free(paths[i]);
  }
}

/* A copy of a shard without its checksums, as earlier versions wrote it. */
static void strip(const char *path) {
  static const char *const kept[] = {"moments", "present"};
  gh_safetensors *from = NULL;
  gh_safetensors_writer *writer = NULL;
  check_ok(gh_safetensors_open(&err, &from, path));
  check_ok(gh_safetensors_writer_new(&err, &writer, path));
  check_ok(gh_safetensors_writer_metadata(&err, writer, "identity", gh_safetensors_metadata(from, "identity")));
  for (int write = 0; write < 2; write++) {
    for (size_t i = 0; i < GH_COUNT(kept); i++) {
      const gh_st_tensor *t = gh_safetensors_find(from, kept[i]);
      if (write)
        check_ok(gh_safetensors_writer_write(&err, writer, t->name, t->data, t->bytes));
      else
        check_ok(gh_safetensors_writer_declare(&err, writer, t->name, t->dtype, t->rank, t->shape));
    }
    if (!write) check_ok(gh_safetensors_writer_begin(&err, writer));
  }
  check_ok(gh_safetensors_writer_finish(&err, writer));
  gh_safetensors_writer_free(writer);
  gh_safetensors_close(from);
}

/* Entry 1, image 1, is the second of the first shard. */
static gh_status read_second(const gh_target_cache_options *options, float *moments) {
  const gh_loader_sample s = {.image = 1};
  gh_target_cache *cache = open_cache(options);
  gh_status status = gh_target_cache_read(&err, cache, &s, 1, moments);
  gh_target_cache_free(cache);
  return status;
}

/* A changed value, presence or checksum is noticed, and the shard is computed again; one without checksums is used. */
static void changed_entries_are_computed_again(void **state) {
  (void)state;
  static const char *const tensors[] = {"moments", "present", "xxh64"};
  const char *source = pictures;
  const gh_target_cache_options options = options_of(&source);
  float want[ENTRY], got[ENTRY];
  char *path = shard(0), *bytes = NULL, *again = NULL;
  size_t size = 0, n = 0;
  check_ok(read_second(&options, want));
  check_ok(gh_file_read(&err, path, 1 << 20, &bytes, &size));
  for (size_t i = 0; i < GH_COUNT(tensors); i++) {
    gh_safetensors *file = NULL;
    check_ok(gh_safetensors_open_memory(&err, &file, path, bytes, size));
    const gh_st_tensor *t = gh_safetensors_find(file, tensors[i]);
    char *changed = (char *)(uintptr_t)t->data + t->bytes / 3 + (t->bytes > 3);
    gh_safetensors_close(file);
    *changed ^= 1;
    check_write(path, bytes, size);
    *changed ^= 1;
    check_fails(read_second(&options, got), GH_ERROR_FORMAT, "damaged: entry 1");
    assert_false(gh_path_exists(path));
    check_ok(read_second(&options, got));
    assert_memory_equal(got, want, sizeof got);
    check_ok(gh_file_read(&err, path, 1 << 20, &again, &n));
    assert_true(n == size && !memcmp(again, bytes, n));
    free(again);
  }
  strip(path);
  check_ok(read_second(&options, got));
  assert_memory_equal(got, want, sizeof got);
  check_ok(gh_file_size(&err, path, &(uint64_t){0}));
  check_write(path, bytes, size);
  free(bytes);
  free(path);
}

/* cache.json is checked and written anew; files that a killed process left are removed. */
static void remains_are_cleared(void **state) {
  (void)state;
  const char *source = pictures;
  const gh_target_cache_options options = options_of(&source);
  char *left = check_path(cache_folder, ".latents-00001.safetensors.99999-0.tmp");
  char *identity = check_path(cache_folder, "cache.json"), *first = NULL, *then = NULL;
  gh_target_cache_free(open_cache(&options));
  check_ok(gh_file_read(&err, identity, 1 << 20, &first, NULL));
  check_write(left, "half", 4);
  char *crops = strstr(first, "\"crops\": 2");
  assert_non_null(crops);
  crops[9] = '3';
  check_write(identity, first, strlen(first));
  crops[9] = '2';
  gh_target_cache_free(open_cache(&options)); /* the seal tells damage from other crops */
  check_ok(gh_file_read(&err, identity, 1 << 20, &then, NULL));
  assert_string_equal(then, first);
  assert_false(gh_path_exists(left));
  free(left);
  free(identity);
  free(first);
  free(then);
}

static void another_cache_is_rejected(void **state) {
  (void)state;
  const char *source = pictures;
  char *fewer = check_path(folder, "fewer"), *one = check_path(pictures, "0.png"), *copy = check_path(fewer, "0.png");
  char *bytes = NULL;
  size_t size = 0;
  check_ok(gh_folder_make(&err, fewer));
  check_ok(gh_file_read(&err, one, 1 << 20, &bytes, &size));
  check_write(copy, bytes, size);
  const char *other = fewer;
  const gh_target_cache_options base = options_of(&source);
  gh_target_cache_free(open_cache(&base));
  static const char *const keys[] = {"seed",   "crops",       "crop_scale",           "crop_ratio",
                                     "images", "autoencoder", "autoencoder_precision"};
  gh_config narrow = *models.config;
  narrow.autoencoder_precision = GH_PRECISION_BFLOAT16;
  for (size_t i = 0; i < GH_COUNT(keys); i++) {
    gh_target_cache_options changed = base;
    gh_models pretended = models;
    gh_flow_models other_models;
    gh_target_cache *cache = NULL;
    char text[64];
    if (i == 0) changed.images.seed++;
    if (i == 1) changed.images.crops++;
    if (i == 2) changed.images.crop.scale[0] = 0.21;
    if (i == 3) changed.images.crop.ratio[1] = 1.4;
    if (i == 4) changed.images.sources = &other;
    if (i == 5) {
      other_models = *gh_flow_models_of(&models);
      pretended.own = &other_models;
      check_ok(gh_safetensors_open(&err, &other_models.vae_file, GH_FIXTURES "/probe/tiny/clip"));
      changed.target = target_of(&pretended);
    }
    if (i == 6) {
      pretended.config = &narrow;
      changed.target = target_of(&pretended);
    }
    snprintf(text, sizeof text, "computed with another %s;", keys[i]);
    check_fails(gh_target_cache_open(&err, &cache, &changed), GH_ERROR_CONFIG, text);
    assert_null(cache);
    if (i == 5) gh_safetensors_close(other_models.vae_file);
  }
  free(bytes);
  free(fewer);
  free(one);
  free(copy);
}

/* ---- memory that runs out ---- */

static gh_status open_once(gh_error *e, void *state) {
  gh_target_cache *cache = NULL;
  gh_status status = gh_target_cache_open(e, &cache, state);
  const gh_loader_sample s = {.image = 1, .crop = 1};
  float moments[ENTRY];
  if (!status) status = gh_target_cache_read(e, cache, &s, 1, moments);
  gh_target_cache_free(cache);
  return status;
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  const char *source = pictures;
  gh_target_cache_options options = options_of(&source);
  gh_target_cache_free(open_cache(&options));
  check_allocation_failures(open_once, &options);
}

static int begin(void **state) {
  (void)state;
  folder = check_folder();
  pictures = check_path(folder, "pictures");
  cache_folder = check_path(folder, "latents");
  tiny_pictures(pictures);
  tiny_config(&config, pictures, folder, NULL);
  check_ok(gh_models_open(&err, &models, &config, NULL, NULL));
  return gh_device_open(&err, "auto", &device);
}

static int end(void **state) {
  (void)state;
  gh_models_close(&models);
  gh_config_free(&config);
  gh_device_close(device);
  free(pictures);
  free(cache_folder);
  check_folder_done(folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(entries_are_the_samples),     cmocka_unit_test(interrupted_building_resumes),
      cmocka_unit_test(processes_divide_the_shards), cmocka_unit_test(changed_entries_are_computed_again),
      cmocka_unit_test(remains_are_cleared),         cmocka_unit_test(another_cache_is_rejected),
      cmocka_unit_test(every_allocation_may_fail)};
  return cmocka_run_group_tests(tests, begin, end);
}
