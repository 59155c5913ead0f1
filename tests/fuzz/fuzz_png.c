/* PNG (or another format, by its first bytes): decoded, turned upright and preprocessed. */
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "fuzz.h"

const char *const fuzz_words[] = {"\x89PNG\r\n\x1a\n",
                                  "IHDR",
                                  "PLTE",
                                  "tRNS",
                                  "IDAT",
                                  "IEND",
                                  "eXIf",
                                  "iTXt",
                                  "zTXt",
                                  "tEXt",
                                  "gAMA",
                                  "iCCP",
                                  "sBIT",
                                  "XML:com.adobe.xmp",
                                  "Raw profile type exif",
                                  "Exif",
                                  "MM",
                                  "II*",
                                  "tiff:Orientation=\"6\"",
                                  "\x08\x06",
                                  "\x10\x02",
                                  "\x01\x03",
                                  NULL};

static uint32_t crc(const uint8_t *bytes, size_t size) {
  uint32_t value = 0xffffffff;
  for (size_t i = 0; i < size; i++) {
    value ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0xedb88320 : 0);
  }
  return ~value;
}

static uint32_t big_endian(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Corrects the chunks' checksums in most cases, and keeps the size small for speed. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  if (size >= 24 && seed % 1024) data[16] = data[17] = data[20] = data[21] = data[18] = data[22] = 0;
  for (size_t at = 8; at + 12 <= size && seed % 8;) {
    size_t length = big_endian(data + at);
    if (length > size - at - 12) { /* a chunk as long as the rest */
      length = size - at - 12;
      for (int i = 0; i < 4; i++) data[at + (size_t)i] = (uint8_t)(length >> (24 - 8 * i));
    }
    uint32_t sum = crc(data + at + 4, length + 4);
    for (int i = 0; i < 4; i++) data[at + 8 + length + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
    at += length + 12;
  }
  return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_decode(data, size); }
