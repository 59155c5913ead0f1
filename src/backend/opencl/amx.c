/* AMX: its registers are so large that Linux grants them only to processes that request them (since 5.16; the grant
 * applies to all threads of a process). */
#include "backend/opencl/opencl.h"

#if defined(__linux__) && defined(__x86_64__)
#include <cpuid.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

/* asm/prctl.h of older kernels does not define these. */
enum { REQUEST_STATE = 0x1023, TILE_DATA = 18 };

static bool has_tiles(void) {
  unsigned a, b, c, d;
  const unsigned tile = 1u << 24, bf16 = 1u << 22;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & tile) && (d & bf16);
}

static bool allowed;

static void ask(void) { allowed = has_tiles() && !syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA); }

bool gh_amx_allowed(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, ask);
  return allowed;
}
#else
bool gh_amx_allowed(void) { return false; }
#endif
