/* BMP, WebP and AVIF (or another format, by its first bytes): decoded, turned upright and preprocessed. */
#include <string.h>

#include "decode.h"
#include "fuzz.h"

const char *const fuzz_words[] = {"BM",   "RIFF", "WEBP", "VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ANMF",
                                  "EXIF", "XMP ", "Exif", "MM",   "II*",  "ftyp", "avif", "avis", "meta",
                                  "iprp", "ispe", "av1C", "irot", "imir", "mdat", NULL};

/* Keeps a BMP's sides and a WebP's canvas small in most cases, for speed. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  if (size < 34 || seed % 1024 == 0) return size;
  if (!memcmp(data, "BM", 2)) data[19] = data[20] = data[21] = data[23] = data[24] = data[25] = 0;
  if (!memcmp(data + 12, "VP8X", 4)) data[25] = data[26] = data[28] = data[29] = 0;
  return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_decode(data, size); }
