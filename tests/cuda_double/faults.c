/* Faults on demand, and how often each function was called. */
#include "double.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FUNCTIONS 128

static struct {
  const char *name;
  long calls;
} functions[MAX_FUNCTIONS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

long double_setting(const char *name, long otherwise) {
  const char *value = getenv(name);
  return value && *value ? strtol(value, NULL, 10) : otherwise;
}

static void write_counts(void) {
  const char *path = getenv("GH_DOUBLE_COUNTS");
  FILE *file = path ? fopen(path, "a") : NULL;
  if (!file) return;
  for (int i = 0; i < MAX_FUNCTIONS && functions[i].name; i++)
    fprintf(file, "%s %ld\n", functions[i].name, functions[i].calls);
  fclose(file);
}

static long count_call(const char *function) {
  int i = 0;
  long calls = 0;
  pthread_mutex_lock(&lock);
  if (!functions[0].name) atexit(write_counts);
  while (i < MAX_FUNCTIONS && functions[i].name && strcmp(functions[i].name, function)) i++;
  if (i < MAX_FUNCTIONS) {
    functions[i].name = function;
    calls = ++functions[i].calls;
  }
  pthread_mutex_unlock(&lock);
  return calls;
}

/* GH_DOUBLE_FAIL is "function:call" or "function:call=code", several with commas; call 0: every one. */
unsigned double_fault(const char *function, unsigned otherwise) {
  long calls = count_call(function);
  const char *at = getenv("GH_DOUBLE_FAIL");
  size_t size = strlen(function);
  for (; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    if (strncmp(at, function, size) || at[size] != ':') continue;
    char *end;
    long call = strtol(at + size + 1, &end, 10);
    if (call && call != calls) continue;
    return *end == '=' ? (unsigned)strtoul(end + 1, NULL, 10) : otherwise;
  }
  return 0;
}

unsigned double_refuse(unsigned code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("cuda double: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  return code;
}
