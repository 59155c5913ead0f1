/* The public library: include/genhance/genhance.h on top of the internal functions. Handles own the objects behind
 * them, and the text of a failure is kept per thread. This file has versions, errors, the log, devices, and the
 * callers' structs. */
#include "api/internal.h"
#include "backend/registry.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEVICES        256
#define MAX_STRUCT         65536 /* a larger struct_size was never set */

#define SAME(ours, public) _Static_assert((int)(ours) == (int)(public), "codes are passed on unchanged")
SAME(GH_OK, GENHANCE_OK);
SAME(GH_ERROR_ARGUMENT, GENHANCE_ERROR_ARGUMENT);
SAME(GH_ERROR_FILE, GENHANCE_ERROR_FILE);
SAME(GH_ERROR_FORMAT, GENHANCE_ERROR_FORMAT);
SAME(GH_ERROR_CONFIG, GENHANCE_ERROR_CONFIG);
SAME(GH_ERROR_MEMORY, GENHANCE_ERROR_MEMORY);
SAME(GH_ERROR_DEVICE, GENHANCE_ERROR_DEVICE);
SAME(GH_ERROR_UNSUPPORTED, GENHANCE_ERROR_UNSUPPORTED);
SAME(GH_ERROR_NUMERIC, GENHANCE_ERROR_NUMERIC);
SAME(GH_ERROR_STOPPED, GENHANCE_ERROR_STOPPED);

GH_API_NO_PADDING(genhance_device_info, is_cpu);

_Thread_local gh_error gh_api_error;
static pthread_once_t first_call = PTHREAD_ONCE_INIT;

static void be_quiet(void) { gh_log_set_level(GH_LOG_QUIET); }
void gh_api_begin(void) { pthread_once(&first_call, be_quiet); }

genhance_status gh_api_result(gh_status status) { return (genhance_status)status; }

genhance_status gh_api_refuse(const char *why) {
  return gh_api_result(gh_fail(&gh_api_error, GH_ERROR_ARGUMENT, "%s", why));
}

const char *genhance_version(void) { return GH_VERSION; }

const char *genhance_last_error(void) { return gh_api_error.text; }

const char *genhance_status_name(genhance_status status) {
  static const char *const names[] = {"ok",     "argument", "file",        "format",  "config",
                                      "memory", "device",   "unsupported", "numeric", "stopped"};
  return (size_t)status < GH_COUNT(names) ? names[(size_t)status] : "unknown";
}

/* ---- log ---- */

static const gh_log_level levels[] = {GH_LOG_QUIET, GH_LOG_WARNING, GH_LOG_INFO, GH_LOG_DEBUG};

void genhance_set_verbosity(int level) {
  gh_api_begin();
  gh_log_set_level(levels[GH_MIN(GH_MAX(level, 0), (int)GH_COUNT(levels) - 1)]);
}

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER; /* one setter at a time */
static genhance_log_callback log_callback;                   /* changed only while no line is passed to it */

static void pass_line(void *user, gh_log_level level, const char *line) {
  for (int i = 1; i < (int)GH_COUNT(levels); i++)
    if (levels[i] == level) log_callback(user, i, line);
}

void genhance_set_log(genhance_log_callback callback, void *user) {
  gh_api_begin();
  pthread_mutex_lock(&log_lock);
  gh_log_set_writer(NULL, NULL);
  log_callback = callback;
  if (callback) gh_log_set_writer(pass_line, user);
  pthread_mutex_unlock(&log_lock);
}

/* ---- structs of the caller ---- */

static size_t size_of(const void *theirs) {
  size_t size;
  memcpy(&size, theirs, sizeof size);
  return size;
}

gh_status gh_api_check_size(const void *theirs, const char *name) {
  size_t given = size_of(theirs);
  if (given >= sizeof given && given <= MAX_STRUCT) return GH_OK;
  return gh_fail(&gh_api_error, GH_ERROR_ARGUMENT, "%s: struct_size is %zu; it must be sizeof(%s)", name, given, name);
}

gh_status gh_api_read_element(void *ours, size_t size, const void *theirs, size_t given, const char *name) {
  memset(ours, 0, size);
  for (size_t i = size; i < given; i++)
    if (((const unsigned char *)theirs)[i])
      return gh_fail(&gh_api_error, GH_ERROR_UNSUPPORTED,
                     "%s: the program sets a field that this library, version %s, does not know", name, GH_VERSION);
  memcpy(ours, theirs, GH_MIN(size, given));
  return GH_OK;
}

gh_status gh_api_read(void *ours, size_t size, const void *theirs, const char *name) {
  memset(ours, 0, size);
  if (!theirs) return GH_OK;
  if (gh_api_check_size(theirs, name)) return gh_api_error.status;
  return gh_api_read_element(ours, size, theirs, size_of(theirs), name);
}

gh_status gh_api_write(void *theirs, const void *ours, size_t size, const char *name) {
  if (gh_api_check_size(theirs, name)) return gh_api_error.status;
  size_t given = size_of(theirs), kept = sizeof given; /* struct_size keeps the caller's value */
  memset((char *)theirs + kept, 0, given - kept);
  memcpy((char *)theirs + kept, (const char *)ours + kept, GH_MIN(size, given) - kept);
  return GH_OK;
}

/* ---- options that several functions have ---- */

gh_status gh_api_batch(int given, int64_t initial, int64_t *out) {
  *out = given ? given : initial;
  if (given >= 0 && given <= GH_API_MAX_BATCH) return GH_OK;
  return gh_fail(&gh_api_error, GH_ERROR_ARGUMENT, "batch is %d; it can be 0 to %d", given, GH_API_MAX_BATCH);
}

gh_status gh_api_precision(genhance_dtype given, gh_dtype *out) {
  switch (given) {
  case GENHANCE_DTYPE_DEFAULT:
  case GENHANCE_FLOAT32:
    *out = gh_precision_storage(GH_PRECISION_FLOAT32);
    return GH_OK;
  case GENHANCE_BFLOAT16:
    *out = gh_precision_storage(GH_PRECISION_BFLOAT16);
    return GH_OK;
  case GENHANCE_FLOAT16:
    *out = gh_precision_storage(GH_PRECISION_FLOAT16);
    return GH_OK;
  }
  return gh_fail(&gh_api_error, GH_ERROR_ARGUMENT, "precision is %d, which is not a genhance_dtype", (int)given);
}

/* ---- devices ---- */

static gh_status describe(void *out, const gh_device_info *d) {
  genhance_device_info info = {.is_cpu = d->is_cpu, .compute_units = d->compute_units, .memory_bytes = d->memory_bytes};
  _Static_assert(sizeof info.id == sizeof d->id && sizeof info.name == sizeof d->name &&
                     sizeof info.platform == sizeof d->platform && sizeof info.driver == sizeof d->driver,
                 "the texts have the same size");
  memcpy(info.id, d->id, sizeof info.id);
  memcpy(info.name, d->name, sizeof info.name);
  memcpy(info.platform, d->platform, sizeof info.platform);
  memcpy(info.driver, d->driver, sizeof info.driver);
  return GH_API_WRITE(out, &info, genhance_device_info);
}

genhance_status genhance_device_list(genhance_device_info *infos, size_t capacity, size_t *count) {
  if (!count || (!infos && capacity)) return gh_api_refuse("genhance_device_list: infos or count is NULL");
  gh_api_begin();
  gh_status status = capacity ? gh_api_check_size(infos, "genhance_device_info") : GH_OK;
  gh_device_info *found = status ? NULL : gh_alloc(&gh_api_error, MAX_DEVICES, sizeof *found);
  if (!found) return gh_api_result(gh_api_error.status);
  size_t total = (size_t)gh_device_list(found, MAX_DEVICES, NULL, 0), stride = capacity ? infos->struct_size : 0;
  *count = GH_MIN(total, (size_t)MAX_DEVICES);
  for (size_t i = 0; i < GH_MIN(*count, capacity) && !status; i++) {
    void *element = (char *)infos + i * stride;
    memcpy(element, &stride, sizeof stride);
    status = describe(element, &found[i]);
  }
  free(found);
  return gh_api_result(status);
}

genhance_status genhance_device_open(genhance_device **out, const char *id) {
  if (!out) return gh_api_refuse("genhance_device_open: out is NULL");
  *out = NULL;
  gh_api_begin();
  genhance_device *handle = gh_alloc(&gh_api_error, 1, sizeof *handle);
  gh_status status = handle ? gh_device_open(&gh_api_error, id ? id : "auto", &handle->device) : GH_ERROR_MEMORY;
  if (status)
    free(handle);
  else
    *out = handle;
  return gh_api_result(status);
}

void genhance_device_close(genhance_device *device) {
  if (!device) return;
  gh_device_close(device->device);
  free(device);
}
