/* AVIF (or another format, by its first bytes; an error where the build lacks the library): decoded, turned upright and
 * preprocessed. */
#include "decode.h"
#include "fuzz.h"

const char *const fuzz_words[] = {"ftyp", "avif", "avis", "meta", "hdlr", "pitm", "iloc",
                                  "iinf", "infe", "iprp", "ipco", "ipma", "ispe", "pixi",
                                  "av1C", "auxC", "irot", "imir", "mdat", "Exif", NULL};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_decode(data, size); }
