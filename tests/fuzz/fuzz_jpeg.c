/* JPEG: decoded, turned upright and preprocessed. */
#include "decode.h"
#include "fuzz.h"

const char *const fuzz_words[] = {"\xff\xd8",
                                  "\xff\xd9",
                                  "\xff\xc0",
                                  "\xff\xc2",
                                  "\xff\xc4",
                                  "\xff\xda",
                                  "\xff\xdb",
                                  "\xff\xdd",
                                  "\xff\xe1",
                                  "\xff\xee",
                                  "\xff\xd0",
                                  "\xff\xff",
                                  "JFIF",
                                  "Exif",
                                  "Adobe",
                                  "MM",
                                  "II*",
                                  "http://ns.adobe.com/xap/1.0/",
                                  "tiff:Orientation=\"8\"",
                                  "<tiff:Orientation>3<",
                                  NULL};

/* Keeps the size small in most cases, for speed. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  for (size_t i = 0; i + 9 < size && seed % 1024; i++)
    if (data[i] == 0xff && data[i + 1] >= 0xc0 && data[i + 1] <= 0xc2) data[i + 5] = data[i + 7] = 0;
  return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_decode(data, size); }
