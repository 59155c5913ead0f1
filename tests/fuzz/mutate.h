/* Random, reproducible changes to an input. */
#ifndef GH_TESTS_FUZZ_MUTATE_H
#define GH_TESTS_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

void mutate_seed(uint64_t seed);
uint64_t mutate_random(uint64_t below); /* 0 <= x < below */

/* Sets another input to take parts from; NULL, 0: none. */
void mutate_donor(const uint8_t *bytes, size_t size);

#endif
