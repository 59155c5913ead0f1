/* Preloaded: each launch of an OpenCL kernel takes GH_SLOW_LAUNCH microseconds longer, as on a slower device. So ranks
 * of one machine differ in speed by what they sleep, whatever else its processors do. */
#include <CL/cl.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

typedef cl_int launch(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *, cl_uint,
                      const cl_event *, cl_event *);

__attribute__((visibility("default"))) launch clEnqueueNDRangeKernel;

cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset,
                              const size_t *global, const size_t *local, cl_uint waits, const cl_event *wait,
                              cl_event *event) {
  static launch *next;
  const char *text = getenv("GH_SLOW_LAUNCH");
  const long microseconds = text ? strtol(text, NULL, 10) : 0;
  if (!next) *(void **)&next = dlsym(RTLD_NEXT, "clEnqueueNDRangeKernel");
  if (!next) abort();
  nanosleep(&(struct timespec){microseconds / 1000000, microseconds % 1000000 * 1000}, NULL);
  return next(queue, kernel, dimensions, offset, global, local, waits, wait, event);
}
