/* Cache files: entries of the user's cache folder, the index of a shard, and a run's cache of targets with its shards.
 * The first byte selects the file that the rest becomes. Nothing is computed: a shard that must be made anew is an
 * error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/cache.h"
#include "data/index.h"
#include "data/target_cache.h"
#include "fuzz.h"

#define PLACE "IDENTITYIDENTITY" /* in a shard: replaced by the cache's identity */

const char *const fuzz_words[] = {"GHCACHE1",
                                  "\"version\":1",
                                  "\"images\":\"",
                                  "\"image_count\":2",
                                  "\"entries_per_shard\":2",
                                  "\"entries_a_shard\":2",
                                  "\"crop_scale\":[1,1]",
                                  "\"__metadata__\":{\"identity\":\"" PLACE "\"}",
                                  "\"present\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]}",
                                  "\"codes\":{\"dtype\":\"U16\",\"shape\":[2,1],\"data_offsets\":[0,4]}",
                                  "\"dtype\":\"I32\"",
                                  PLACE,
                                  "a.jpg",
                                  NULL};

enum { ENTRY, INDEX, CACHE, SHARD, KINDS, HEAD = 24 };

/* Corrects the length and the checksum of an entry, in most cases. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  if (size < 1 + HEAD || data[0] % KINDS != ENTRY || seed % 8 == 0) return size;
  const uint64_t bytes = size - 1 - HEAD, checksum = XXH3_64bits(data + 1 + HEAD, bytes);
  memcpy(data + 1, "GHCACHE1", 8);
  memcpy(data + 9, &bytes, 8);
  memcpy(data + 17, &checksum, 8);
  return size;
}

static void unpack(const void *bytes, size_t size) {
  gh_error err = {0};
  gh_index index;
  if (gh_index_unpack(&index, bytes, size, 1 << 16)) {
    char *packed = NULL;
    size_t packed_size = 0;
    FUZZ_CHECK(!gh_index_pack(&err, &index, &packed, &packed_size));
    for (size_t i = 0; i < index.count; i++) FUZZ_CHECK(strlen(gh_index_name(&index, i)) < size);
    free(packed);
  }
  gh_index_free(&index);
}

static void load_entry(const uint8_t *data, size_t size) {
  char *bytes = NULL;
  size_t got = 0;
  fuzz_file("cache/entry", data, size);
  if (!gh_cache_load("entry", &bytes, &got)) return;
  FUZZ_CHECK(got + HEAD == size && !memcmp(bytes, data + HEAD, got) && !bytes[got]);
  unpack(bytes, got);
  free(bytes);
  gh_cache_store("entry", data, size);
  FUZZ_CHECK(gh_cache_load("entry", &bytes, &got) && got == size && !memcmp(bytes, data, size));
  free(bytes);
}

/* ---- targets ---- */

gh_status __wrap_gh_store_create(gh_error *err, gh_device *device, gh_store **out); /* replaced: fuzz.cmake */
gh_status __wrap_gh_store_create(gh_error *err, gh_device *device, gh_store **out) {
  (void)device;
  *out = NULL;
  return gh_fail(err, GH_ERROR_DEVICE, "nothing is computed here");
}

static gh_status identify(gh_error *err, const void *context, gh_json *into) {
  (void)context;
  return gh_json_put_string(err, into, "model", "m");
}

static gh_status open_targets(gh_error *err, gh_target_cache **out) {
  static const char *const sources[] = {"/fuzz/images"};
  const gh_target_cache_options options = {
      .folder = "/fuzz/targets",
      .target = {.name = "codes",
                 .files = "codes",
                 .dtype = GH_I32,
                 .below = 4,
                 .what = "rows",
                 .rank = 1,
                 .shape = {1},
                 .identify = identify},
      .batch = 1,
      .images = {
          .sources = sources, .source_count = 1, .image_size = 16, .crop = {{1, 1}, {1, 1}}, .stage = 1, .crops = 1}};
  return gh_target_cache_open(err, out, &options);
}

/* The hash over cache.json that every shard repeats. */
static void identity_of(char out[17]) {
  gh_error err = {0};
  gh_json *root = NULL;
  char *text = NULL;
  size_t size = 0, length = 0;
  const char *file = (const char *)fuzz_content("targets/cache.json", &size);
  FUZZ_CHECK(file && !gh_json_parse(&err, &root, "cache.json", file, size, size));
  FUZZ_CHECK(!gh_json_print(&err, &text, &length, root, false));
  snprintf(out, 17, "%016llx", (unsigned long long)XXH64(text, length, 0));
  gh_json_free(root);
  free(text);
}

static void put_shard(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_target_cache *cache = NULL;
  char identity[17];
  FUZZ_CHECK(open_targets(&err, &cache) == GH_ERROR_DEVICE); /* writes cache.json */
  identity_of(identity);
  uint8_t *bytes = malloc(size + 1), *at;
  FUZZ_CHECK(bytes);
  memcpy(bytes, data, size);
  if ((at = memmem(bytes, size, PLACE, 16))) memcpy(at, identity, 16);
  fuzz_file("targets/codes-00000.safetensors", bytes, size);
  free(bytes);
}

static void read_targets(void) {
  gh_error err = {0};
  gh_target_cache *cache = NULL;
  int32_t codes[2] = {0};
  const gh_loader_sample samples[2] = {{.image = 1}, {.image = 0}};
  if (open_targets(&err, &cache)) {
    FUZZ_CHECK(err.text[0] && !cache);
    return;
  }
  if (!gh_target_cache_read(&err, cache, samples, 2, codes))
    for (int i = 0; i < 2; i++) FUZZ_CHECK(codes[i] >= 0 && codes[i] < 4);
  gh_target_cache_free(cache);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  switch (data[0] % KINDS) {
  case ENTRY:
    load_entry(data + 1, size - 1);
    break;
  case INDEX:
    unpack(data + 1, size - 1);
    break;
  default:
    fuzz_file("images/a.jpg", "a", 1);
    fuzz_file("images/b.jpg", "b", 1);
    if (data[0] % KINDS == CACHE)
      fuzz_file("targets/cache.json", data + 1, size - 1);
    else
      put_shard(data + 1, size - 1);
    read_targets();
    break;
  }
  fuzz_clear();
  return 0;
}
