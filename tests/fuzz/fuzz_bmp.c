/* BMP (or another format, by its first bytes): decoded and preprocessed. */
#include "decode.h"
#include "fuzz.h"

const char *const fuzz_words[] = {"BM", "\x28", "\x7c", "\x18", "\x10", "\x20", "\3", "\xff\xff\xff\x7f", NULL};

/* Keeps pictures small for speed. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  if (size >= 26 && seed % 1024) data[19] = data[20] = data[21] = data[23] = data[24] = data[25] = 0;
  return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_decode(data, size); }
