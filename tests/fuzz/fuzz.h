/* Fuzz targets: one parser each, fed with unchecked bytes. They implement libFuzzer's interface, and
 * come with their own driver (driver.c), so that the test suite needs no clang:
 *
 *   fuzz_json CORPUS...          replays the files, then mutates them for a second
 *   fuzz_json --seconds 600 CORPUS...
 *   fuzz_json FILE               replays one input, for instance one that failed
 *
 * With libFuzzer: cmake --preset fuzz && cmake --build --preset fuzz, then
 * build/fuzz/fuzz_json -max_total_time=600 NEW_FOLDER tests/fuzz/corpus/json. Add an input that found something
 * to tests/fuzz/corpus/TARGET under a name that describes it. */
#ifndef GH_TESTS_FUZZ_FUZZ_H
#define GH_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* A target defines these two: how to process an input (0: fine; errors abort), and a NULL-terminated list of its
 * format's words. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern const char *const fuzz_words[];

/* Optional, to repair what random changes cannot get right (checksums): changes data in place, at most `most` bytes,
 * and returns the new size. LLVMFuzzerMutate (libFuzzer's or the driver's) does the change itself. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) __attribute__((weak));
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

/* A condition that must hold for every input. */
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_failed(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_failed(const char *condition, const char *file, int line);

/* Files in memory, below "/fuzz" (memory_files.c); GH_CACHE_DIR is "/fuzz/cache". fuzz_file writes one and returns its
 * path, valid until the next call. fuzz_content borrows its bytes; NULL: there is none. */
const char *fuzz_file(const char *name, const void *bytes, size_t size);
const uint8_t *fuzz_content(const char *name, size_t *size);
const char *fuzz_folder(void);
/* Removes all files, and fails if one is still open or mapped. */
void fuzz_clear(void);

#endif
