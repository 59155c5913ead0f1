/* Shared by the files of the driver's double. */
#ifndef GH_TESTS_CUDA_DOUBLE_DRIVER_H
#define GH_TESTS_CUDA_DOUBLE_DRIVER_H

#include "double.h"

GH_CUDA_DRIVER(DECLARE)
GH_CUDA_DRIVER_OPTIONAL(DECLARE)

struct CUctx_st {
  int device, users;
  unsigned failure; /* of a launch or a copy: every later call returns it, as in the real driver */
};

extern __thread CUcontext double_current;

/* Every entry point begins with one of these: one call at a time, counted, failing on demand; ENTER_CONTEXT also needs
 * a context that has not failed. They return from the function. */
int double_lock(void);
void double_unlock(const int *locked);
unsigned double_enter(const char *function, bool needs_context);
#define LOCK() __attribute__((cleanup(double_unlock), unused)) const int locked = double_lock()
#define ENTER(needs_context)                                                                                           \
  LOCK();                                                                                                              \
  const unsigned entered = double_enter(__func__, needs_context);                                                      \
  if (entered) return entered
#define ENTER_DRIVER()  ENTER(false)
#define ENTER_CONTEXT() ENTER(true)
/* For calls that a capturing thread must not make: they also invalidate the capture. */
#define ENTER_UNCAPTURED()                                                                                             \
  ENTER_CONTEXT();                                                                                                     \
  if (double_breaks_capture()) return CODE_CAPTURE_UNSUPPORTED

int double_capability(void); /* 90: 9.0 */
size_t double_memory_bytes(void);

bool double_is_pinned(const void *p);
/* The device allocation that contains p, and one caller-defined note per 2 bytes of it, initially zero. */
bool double_find_device(const void *p, const char **begin, const char **end, void **notes);
#define DOUBLE_NOTE_BYTES 12

/* ---- streams: the lock is held ---- */

unsigned double_put(CUstream stream, double_work work, const void *data, size_t size); /* gh_double_submit */
unsigned double_drain(CUstream stream);
unsigned double_drain_all(void); /* runs all submitted work */
bool double_is_capturing(CUstream stream);
bool double_breaks_capture(void); /* whether this thread is capturing; invalidates its capture */

#endif
