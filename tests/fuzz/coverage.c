/* Records which edges of the code an input reached. gcc and clang call this at every basic block of code compiled with
 * -fsanitize-coverage=trace-pc; in other builds nothing calls it and the driver mutates inputs blindly. */
#include "coverage.h"

uint8_t fuzz_counts[FUZZ_COUNTS];
extern const char __executable_start __attribute__((weak)); /* a shared library has none */

void __sanitizer_cov_trace_pc(void) {
  static _Thread_local uintptr_t previous;
  uintptr_t place = (uintptr_t)__builtin_return_address(0) - (uintptr_t)&__executable_start;
  uintptr_t mixed = place * 0x9E3779B97F4A7C15u >> 20;
  fuzz_counts[(mixed ^ previous) % FUZZ_COUNTS]++; /* an edge: this block after the previous one */
  previous = mixed >> 1;
}
