/* WebP (or another format, by its first bytes; an error where the build lacks libwebp): decoded, turned upright and
 * preprocessed. */
#include <string.h>

#include "decode.h"
#include "fuzz.h"

const char *const fuzz_words[] = {
    "RIFF", "WEBP", "VP8 ", "VP8L",         "VP8X", "ALPH", "ANIM", "ANMF",
    "EXIF", "XMP ", "ICCP", "\x9d\x01\x2a", "\x2f", "MM",   "II*",  "tiff:Orientation=\"6\"",
    NULL};

/* Keeps pictures small for speed, and corrects the file's length in most cases. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  if (size < 30) return size;
  for (int i = 0; i < 4 && seed % 8; i++) data[4 + i] = (uint8_t)((size - 8) >> 8 * i);
  if (!(seed % 1024)) return size;
  if (!memcmp(data + 12, "VP8X", 4)) data[25] = data[26] = data[28] = data[29] = 0;
  if (!memcmp(data + 12, "VP8 ", 4)) data[27] = data[29] = 0;
  if (!memcmp(data + 12, "VP8L", 4)) data[22] &= 0xC0, data[23] &= 0x3F, data[24] &= 0xF0;
  return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_decode(data, size); }
