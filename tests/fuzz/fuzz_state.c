/* Saved states: the manifest and the part. The first byte selects the file that the rest becomes; the other one is
 * valid. The state has one tensor and no device: what would be written to the device is checked here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fuzz.h"
#include "train/state.h"

const char *const fuzz_words[] = {"\"version\":1",
                                  "\"stage\":2",
                                  "\"update\":3",
                                  "\"micro_batch\":1",
                                  "\"data\":\"0123456789abcdef\"",
                                  "\"models\":\"0\"",
                                  "\"config\":{}",
                                  "\"plan\":{}",
                                  "\"parts\":[",
                                  "{\"file\":\"part-00000.safetensors\",\"xxh64\":\"",
                                  "\"tensors\":[",
                                  "{\"name\":\"carried.x\",\"first\":0,\"count\":2}",
                                  "\"carried.x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}",
                                  "\"dtype\":\"F16\"",
                                  "../",
                                  "null",
                                  NULL};

#define FOLDER   "run/state/stage1-00000003/"
#define MANIFEST FOLDER "manifest.json"
#define PART     FOLDER "part-00000.safetensors"

static float written[2]; /* what the valid part holds */
static int loads;

gh_status __wrap_gh_tensor_write(gh_error *err, gh_device *device, gh_tensor *t, const void *data); /* fuzz.cmake */
gh_status __wrap_gh_tensor_write(gh_error *err, gh_device *device, gh_tensor *t, const void *data) {
  (void)err;
  (void)device;
  FUZZ_CHECK(!strcmp(t->name, "x"));
  memcpy(written, data, sizeof written); /* a sanitizer detects a shorter one */
  loads++;
  return GH_OK;
}

static void put_part(void) {
  static const char header[] = "{\"carried.x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
  uint8_t bytes[8 + sizeof header - 1 + 8] = {sizeof header - 1};
  memcpy(bytes + 8, header, sizeof header - 1);
  fuzz_file(PART, bytes, sizeof bytes);
}

static void put_manifest(void) {
  static const float values[2];
  char text[512];
  const int size = snprintf(
      text, sizeof text,
      "{\"version\":1,\"stage\":1,\"update\":3,\"micro_batch\":1,\"data\":\"1\",\"models\":\"2\",\"config\":{},"
      "\"plan\":"
      "{},\"parts\":[{\"file\":\"part-00000.safetensors\",\"xxh64\":\"%016llx\",\"tensors\":[{\"name\":\"carried.x\","
      "\"first\":0,\"count\":2}]}]}",
      (unsigned long long)XXH64(values, sizeof values, 0));
  fuzz_file(MANIFEST, text, (size_t)size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_state_info info = {0};
  gh_tensor x = {.name = (char *)"x", .dtype = GH_F32, .rank = 1, .shape = {2}};
  const gh_update update = {.carried = {&x}, .carried_count = 1};
  char *folder = NULL;
  if (!size) return 0;
  loads = 0;
  put_part();
  put_manifest();
  fuzz_file(data[0] % 2 ? PART : MANIFEST, data + 1, size - 1);
  const gh_status found = gh_state_find(&err, "/fuzz/run", &folder, &info);
  if (found) FUZZ_CHECK(err.text[0] && !folder);
  if (folder) {
    FUZZ_CHECK(info.stage >= 1 && info.stage <= 2 && info.update >= 0 && info.micro_batch >= 1);
    FUZZ_CHECK(info.config && info.plan);
    if (gh_state_load(&err, folder, &update))
      FUZZ_CHECK(err.text[0]);
    else
      FUZZ_CHECK(loads == 1);
    gh_state_info_free(&info);
  }
  free(folder);
  fuzz_clear();
  return 0;
}
