/* Safetensors: tensors lie inside the file, do not overlap and can be read. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "io/safetensors.h"

const char *const fuzz_words[] = {"\"__metadata__\":{",
                                  "\"dtype\":\"F32\"",
                                  "\"dtype\":\"BF16\"",
                                  "\"dtype\":\"U64\"",
                                  "\"dtype\":\"BOOL\"",
                                  "\"shape\":[",
                                  "\"data_offsets\":[0,",
                                  "\"a\":{",
                                  "[2,3]",
                                  "[]",
                                  "\"F8_E4M3\"",
                                  "9223372036854775807",
                                  "4294967296",
                                  NULL};

/* Corrects the header's length half the time. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  if (size < 10 || seed % 2) return size;
  uint64_t end = size - 8;
  while (end > 0 && data[8 + end - 1] != '}') end--;
  for (int i = 0; i < 8; i++) data[i] = (uint8_t)(end >> 8 * i);
  return size;
}

static void read_tensor(const gh_st_tensor *t) {
  gh_error err;
  int64_t half = t->elements / 2, rest = t->elements - half;
  float *floats = calloc((size_t)t->elements + 1, sizeof *floats);
  int64_t *integers = calloc((size_t)t->elements + 1, sizeof *integers);
  FUZZ_CHECK(floats && integers);
  bool is_float = gh_st_dtype_is_float(t->dtype);
  if (half) FUZZ_CHECK(!gh_st_read_f32(&err, t, 0, half, floats) == is_float);
  if (rest) FUZZ_CHECK(!gh_st_read_f32(&err, t, half, rest, floats + half) == is_float);
  gh_st_read_i64(&err, t, half, rest, integers + half);
  FUZZ_CHECK(gh_st_read_f32(&err, t, half, rest + 1, floats));
  free(floats);
  free(integers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_safetensors *file = NULL;
  if (gh_safetensors_open_memory(&err, &file, "fuzz", data, size)) {
    FUZZ_CHECK(err.text[0]);
    return 0;
  }
  size_t bytes = 0;
  for (size_t i = 0; i < gh_safetensors_count(file); i++) {
    const gh_st_tensor *t = gh_safetensors_at(file, i);
    const uint8_t *begin = t->data;
    FUZZ_CHECK(begin >= data && begin + t->bytes <= data + size);
    FUZZ_CHECK(gh_safetensors_find(file, t->name) == t);
    FUZZ_CHECK(t->bytes == (size_t)t->elements * gh_st_dtype_bytes(t->dtype));
    bytes += t->bytes;
    read_tensor(t);
  }
  FUZZ_CHECK(bytes <= size); /* no two share a byte */
  for (size_t i = 0; i < gh_safetensors_metadata_count(file); i++) {
    const char *key = NULL, *value = NULL;
    gh_safetensors_metadata_at(file, i, &key, &value);
    FUZZ_CHECK(gh_safetensors_metadata(file, key) == value);
  }
  gh_safetensors_expect(&err, file, "weight", 2, (const int64_t[]){-1, 3}, NULL);
  gh_safetensors_close(file);
  return 0;
}
