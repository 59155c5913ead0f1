/* The contexts of devices, with their programs. Where a driver's programs cannot be kept on disk, a context outlives
 * its device, for the next one with the same options in this process: PoCL reads and preprocesses a program's source
 * whenever it is built, which takes longer than the steps of a small model. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backend/opencl/opencl.h"

/* Of no device at present. */
typedef struct idle_context {
  cl_device_id id;
  char options[sizeof((gh_cl_device *)0)->options];
  cl_context context;
  gh_program_entry *programs;
  struct idle_context *next;
} idle_context;

static idle_context *idle;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool take_idle(gh_cl_device *device) {
  pthread_mutex_lock(&lock);
  idle_context **at = &idle;
  while (*at && ((*at)->id != device->id || strcmp((*at)->options, device->options))) at = &(*at)->next;
  idle_context *found = *at;
  if (found) *at = found->next;
  pthread_mutex_unlock(&lock);
  if (!found) return false;
  device->context = found->context;
  device->programs.first = found->programs;
  free(found);
  return true;
}

static bool leave_idle(gh_cl_device *device) {
  idle_context *one = device->quirks.no_binaries ? gh_alloc(NULL, 1, sizeof *one) : NULL;
  if (!one) return false;
  one->id = device->id;
  memcpy(one->options, device->options, sizeof one->options);
  one->context = device->context;
  one->programs = device->programs.first;
  pthread_mutex_lock(&lock);
  one->next = idle;
  idle = one;
  pthread_mutex_unlock(&lock);
  return true;
}

cl_int gh_cl_context_open(gh_cl_device *device) {
  cl_int code = CL_SUCCESS;
  cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)device->platform, 0};
  if (!take_idle(device)) device->context = clCreateContext(properties, 1, &device->id, NULL, NULL, &code);
  return code;
}

void gh_cl_context_close(gh_device *d) {
  gh_cl_device *device = gh_cl(d);
  if (!device->context || leave_idle(device)) return;
  gh_programs_free(d, &device->programs);
  clReleaseContext(device->context);
}
