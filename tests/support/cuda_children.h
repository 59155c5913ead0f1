/* Cases about opening NVIDIA's libraries and handling their failures. The libraries are the double's
 * (tests/cuda_double). Opened libraries stay loaded for a process's lifetime, so every case runs in a child process,
 * which returns one line. */
#ifndef GH_TESTS_CUDA_CHILDREN_H
#define GH_TESTS_CUDA_CHILDREN_H

#include "backend/backend.h"

#define DRIVER "libcuda.so.1"
#define NVRTC  "libnvrtc.so.13"
#define LT     "libcublasLt.so.13"

extern char *folder; /* of the libraries of one case, and its cache */

/* A child's body, run with the environment of `settings` ("NAME=value", the list ends with NULL); what it writes to
 * `out` is returned. */
typedef void child(char *out, size_t size);
const char *in_child(child body, const char *const *settings);
#define IN_CHILD(body, ...) in_child(body, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

void contains(const char *text, const char *piece);

/* Sets the folder of the double's libraries, once; clears our own settings from the environment. */
void use_doubles(const char *from);
/* Copies one into the case's folder under another name; renames its symbol `find`, unless NULL, to `with`. */
void copy_as(const char *from, const char *to, const char *find, const char *with);
void provide(const char *name);
void withhold(const char *name);

/* Set-up of a case: an empty folder, or one with all libraries. */
int begin(void **state);
int begin_whole(void **state);
int end(void **state);
#define CASE(test)       cmocka_unit_test_setup_teardown(test, begin, end)
#define WHOLE_CASE(test) cmocka_unit_test_setup_teardown(test, begin_whole, end)

void say_target(char *out, size_t size); /* a child's body: "sm_90, cuBLASLt 13.0.0" */
gh_device *open_cuda(gh_error *why);     /* cuda:0; NULL, and a line on stderr, on failure */

#endif
