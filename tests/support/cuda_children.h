/* Cases that look at how NVIDIA's libraries are opened, and what is made of their failures. The libraries are the
 * double's (tests/cuda_double), and what is opened is kept for a process's life, so that every case runs in a child,
 * which gives back one line. */
#ifndef GH_TESTS_CUDA_CHILDREN_H
#define GH_TESTS_CUDA_CHILDREN_H

#include "backend/backend.h"

#define DRIVER "libcuda.so.1"
#define NVRTC  "libnvrtc.so.13"
#define LT     "libcublasLt.so.13"

extern char *folder; /* of the libraries of one case, and its cache */

/* What a child does with the environment that `settings` ("NAME=value", the list ends with NULL) makes; what it writes
 * to `out` comes back. */
typedef void child(char *out, size_t size);
const char *in_child(child body, const char *const *settings);
#define IN_CHILD(body, ...) in_child(body, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

void contains(const char *text, const char *piece);

/* The folder of all of the double's libraries, said once; the environment is cleared of our own settings. */
void use_doubles(const char *from);
/* Copies one into the case's folder, under another name; its symbol `find`, unless NULL, is called `with` there. */
void copy_as(const char *from, const char *to, const char *find, const char *with);
void provide(const char *name);
void withhold(const char *name);

/* Of a case: an empty folder, or with everything in it. */
int begin(void **state);
int begin_whole(void **state);
int end(void **state);
#define CASE(test)       cmocka_unit_test_setup_teardown(test, begin, end)
#define WHOLE_CASE(test) cmocka_unit_test_setup_teardown(test, begin_whole, end)

void say_target(char *out, size_t size); /* a child's body: "sm_90, cuBLASLt 13.0.0" */
gh_device *open_cuda(gh_error *why);     /* cuda:0; NULL, and a line on stderr, where that fails */

#endif
