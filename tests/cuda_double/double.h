/* Shared by the files of the double of NVIDIA's libraries; see README.md. */
#ifndef GH_TESTS_CUDA_DOUBLE_H
#define GH_TESTS_CUDA_DOUBLE_H

#include <stdbool.h>

#include "backend/cuda/api.h"

#define API __attribute__((visibility("default")))

/* Driver results other than those that the backend knows. */
enum {
  CODE_INVALID_VALUE = 1,
  CODE_NOT_INITIALIZED = 3,
  CODE_INVALID_DEVICE = 101,
  CODE_INVALID_IMAGE = 200,
  CODE_INVALID_CONTEXT = 201,
  CODE_NO_BINARY_FOR_GPU = 209,
  CODE_INVALID_PTX = 218,
  CODE_INVALID_HANDLE = 400,
  CODE_NOT_FOUND = 500,
  CODE_ILLEGAL_ADDRESS = 700,
  CODE_LAUNCH_FAILED = 719,
  CODE_CAPTURE_UNSUPPORTED = 900,
  CODE_CAPTURE_INVALIDATED = 901,
  CODE_CAPTURE_UNMATCHED = 903,
  CODE_CAPTURE_ISOLATION = 905
};

/* ---- faults.c: part of every library ---- */

/* Counts the call; returns the result that GH_DOUBLE_FAIL requests for it (`otherwise` if it names none), or 0. */
unsigned double_fault(const char *function, unsigned otherwise);
/* A number from the environment. */
long double_setting(const char *name, long otherwise);
/* Explains on stderr what a library would only return a code for, and returns the code. */
unsigned double_refuse(unsigned code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- exported by the driver's double to the other libraries ---- */

/* Puts a piece of work on a stream, or into the graph that captures the stream. `data` is copied. */
typedef unsigned (*double_work)(const void *data);
API unsigned gh_double_submit(CUstream stream, double_work work, const void *data, size_t size);
/* Whether [p, p + bytes) lies in one allocation of device memory. */
API bool gh_double_is_device(const void *p, size_t bytes);
/* The thread's context; NULL: none. */
API CUcontext gh_double_context(void);
API int gh_double_ordinal(void); /* of its device */
API bool gh_double_is_captured(CUstream stream);
API int gh_double_capability(void); /* of the devices: 90 is 9.0 */

#define DECLARE(result, name, params) API result name params;

#endif
