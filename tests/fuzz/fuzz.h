/* Fuzz targets: one parser each, fed with bytes that nobody checked. They are written to libFuzzer's interface, and
 * come with a driver of their own (driver.c), so that the test suite needs no clang:
 *
 *   fuzz_json CORPUS...          replays the files, then changes them for a second
 *   fuzz_json --seconds 600 CORPUS...
 *   fuzz_json FILE               replays one input, for instance one that failed
 *
 * With libFuzzer: cmake --preset fuzz && cmake --build --preset fuzz, then
 * build/fuzz/fuzz_json -max_total_time=600 NEW_FOLDER tests/fuzz/corpus/json. An input that found something goes to
 * tests/fuzz/corpus/TARGET under a name that says what. */
#ifndef GH_TESTS_FUZZ_FUZZ_H
#define GH_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* A target defines these two: what to do with an input (0: fine; whatever is wrong aborts), and words that its format
 * is made of, ending with NULL. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern const char *const fuzz_words[];

/* It may define this, to mend what no change by chance gets right (checksums): changes data in place, at most `most`
 * bytes, and returns the new size. LLVMFuzzerMutate, libFuzzer's or the driver's, does the change itself. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) __attribute__((weak));
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

/* What must hold whatever the input. */
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_failed(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_failed(const char *condition, const char *file, int line);

/* A file below a scratch folder of this process, made at the first call and removed at its end: its path, with these
 * bytes in it. */
const char *fuzz_file(const char *name, const void *bytes, size_t size);
const char *fuzz_folder(void);

#endif
