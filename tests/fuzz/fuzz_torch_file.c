/* Files of torch.save: tensors lie inside the file, and their elements can be read, whole and by pieces. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "io/crc32.h"
#include "io/torch_file.h"

const char *const fuzz_words[] = {"PK\3\4",
                                  "PK\1\2",
                                  "PK\5\6",
                                  "PK\6\6",
                                  "PK\6\7",
                                  "\1\0\x10\0",
                                  "\xff\xff\xff\xff",
                                  "archive/data.pkl",
                                  "archive/data/0",
                                  "archive/byteorder",
                                  "little",
                                  "ctorch._utils\n_rebuild_tensor_v2\n",
                                  "ctorch._utils\n_rebuild_parameter\n",
                                  "ctorch._utils\n_rebuild_tensor_v3\n",
                                  "ctorch\nFloatStorage\n",
                                  "ctorch\nHalfStorage\n",
                                  "ctorch\nDoubleStorage\n",
                                  "X\x0a\0\0\0state_dict",
                                  "K\0K\3K\2\x86K\2K\1\x86",
                                  "\x8a\x08\0\0\0\0\0\0\0\x10",
                                  NULL};

static uint64_t number(const uint8_t *p, int bytes) {
  uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; i--) value = value << 8 | p[i];
  return value;
}

/* Corrects the checksums of entries whose place is plausible, in most cases. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  for (size_t at = 0; seed % 8 && at + 46 <= size; at++) {
    uint8_t *row = data + at;
    if (memcmp(row, "PK\1\2", 4)) continue;
    const uint64_t bytes = number(row + 20, 4), header = number(row + 42, 4);
    if (header + 30 > size) continue;
    const uint64_t begin = header + 30 + number(data + header + 26, 2) + number(data + header + 28, 2);
    if (begin > size || bytes > size - begin) continue;
    const uint32_t crc = gh_crc32(0, data + begin, bytes);
    for (int i = 0; i < 4; i++) row[16 + i] = (uint8_t)(crc >> 8 * i);
  }
  return size;
}

#define MOST_ELEMENTS ((int64_t)1 << 14)

static void read_tensor(const gh_torch_tensor *t, const uint8_t *data, size_t size) {
  const size_t width = gh_st_dtype_bytes(t->st.dtype);
  const int64_t n = GH_MIN(t->st.elements, MOST_ELEMENTS), half = n / 3;
  const uint8_t *begin = t->st.data;
  FUZZ_CHECK(begin >= data && begin <= data + size);
  FUZZ_CHECK(t->st.bytes == (size_t)t->st.elements * width);
  if (t->contiguous) FUZZ_CHECK(t->st.bytes <= (size_t)(data + size - begin));
  char *whole = malloc((size_t)n * width + 1), *pieces = malloc((size_t)n * width + 1);
  FUZZ_CHECK(whole && pieces);
  gh_torch_read(t, 0, n, whole);
  gh_torch_read(t, 0, half, pieces);
  gh_torch_read(t, half, n - half, pieces + (size_t)half * width);
  FUZZ_CHECK(!memcmp(whole, pieces, (size_t)n * width));
  free(whole);
  free(pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_torch_file *file = NULL;
  if (gh_torch_open_memory(&err, &file, "fuzz", NULL, data, size)) {
    FUZZ_CHECK(err.text[0] && !file);
    return 0;
  }
  FUZZ_CHECK(gh_torch_count(file) > 0);
  for (size_t i = 0; i < gh_torch_count(file); i++) {
    const gh_torch_tensor *t = gh_torch_at(file, i);
    FUZZ_CHECK(!i || strcmp(gh_torch_at(file, i - 1)->st.name, t->st.name) < 0);
    read_tensor(t, data, size);
    gh_torch_check(&err, file, t);
  }
  for (size_t i = 0; i < gh_torch_left_out_count(file); i++) FUZZ_CHECK(gh_torch_left_out_at(file, i)->why[0]);
  size_t tied = 0;
  FUZZ_CHECK(!gh_torch_tied(&err, file, &tied) && tied < gh_torch_count(file));
  gh_torch_close(file);
  return 0;
}
