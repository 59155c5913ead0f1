/* Shared by both image targets: processes a decoded image. */
#ifndef GH_TESTS_FUZZ_DECODE_H
#define GH_TESTS_FUZZ_DECODE_H

#include <stddef.h>
#include <stdint.h>

int fuzz_decode(const uint8_t *data, size_t size);

#endif
