#include "base/status.h"
#include "base/utf8.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_long allocations_left = 0; /* 0: never fail */
static atomic_long failures = 0;

gh_status gh_fail(gh_error *err, gh_status status, const char *format, ...) {
  if (!err) return status;
  va_list args;
  va_start(args, format);
  vsnprintf(err->text, sizeof err->text, format, args);
  va_end(args);
  err->status = status;
  gh_text_show(err->text);
  return status;
}

gh_status gh_fail_in(gh_error *err, const char *format, ...) {
  if (!err) return GH_ERROR_ARGUMENT;
  char before[GH_ERROR_TEXT_SIZE], text[GH_ERROR_TEXT_SIZE];
  va_list args;
  va_start(args, format);
  vsnprintf(before, sizeof before, format, args);
  va_end(args);
  memcpy(text, err->text, sizeof text);
  text[sizeof text - 1] = 0;
  int room = (int)sizeof err->text - 3; /* for both texts, ": " and the zero; the old text is truncated */
  int used = (int)strlen(before);
  used = GH_MIN(used, room);
  snprintf(err->text, sizeof err->text, "%.*s: %.*s", used, before, room - used, text);
  gh_text_show(err->text);
  return err->status;
}

static bool allocation_is_to_fail(void) {
  long left = atomic_load(&allocations_left);
  return left > 0 && atomic_fetch_sub(&allocations_left, 1) == 1;
}

long gh_alloc_failures(void) { return atomic_load(&failures); }

void gh_alloc_fail_after(long n) { atomic_store(&allocations_left, n); }

void *gh_alloc(gh_error *err, size_t count, size_t size) {
  size_t bytes;
  bool fits = !__builtin_mul_overflow(count, size, &bytes) && bytes <= PTRDIFF_MAX;
  void *memory = allocation_is_to_fail() || !fits ? NULL : calloc(1, bytes ? bytes : 1);
  if (memory) return memory;
  atomic_fetch_add(&failures, 1);
  gh_fail(err, GH_ERROR_MEMORY, "out of memory: %zu x %zu bytes", count, size);
  return NULL;
}

char *gh_strdup(gh_error *err, const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = gh_alloc(err, size, 1);
  if (copy) memcpy(copy, text, size);
  return copy;
}
