#include "backend/core/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/kernel_source.h"
#include "base/cache.h"
#include "base/log.h"

struct gh_program_entry {
  char key[GH_CACHE_KEY_SIZE]; /* identifies its source and options within this process */
  void *program;
  gh_program_entry *next;
};

void gh_first_error(const char *log, char *out, size_t size) {
  const char *line = strstr(log, "error:");
  if (!line) line = strstr(log, "error");
  if (!line) line = log + strspn(log, "\n ");
  while (line > log && line[-1] != '\n') line--;
  snprintf(out, size, "%.*s", (int)GH_MIN(strcspn(line, "\n"), size - 1), line);
  for (; *out; out++) /* for example gcc's quotes, which may be cut in the middle */
    if ((unsigned char)*out >= 0x80) *out = '?';
}

void gh_report_compiler_log(const char *log, char *out, size_t size) {
  gh_first_error(log, out, size);
  gh_info("%s", log);
}

static void file_name(const gh_program_cache *cache, const char *source, const char *options, char *name, size_t size) {
  char key[GH_CACHE_KEY_SIZE];
  const char *parts[3 + GH_PROGRAM_IDENTITY] = {cache->kind->name, source, options};
  memcpy(parts + 3, cache->identity, sizeof cache->identity);
  gh_cache_key(key, parts);
  snprintf(name, size, "%s.%s", key, cache->suffix);
}

/* Whether the cache has the program and the driver accepts it; rejected bytes are removed. */
static bool load_kept(gh_device *d, const gh_program_cache *cache, const gh_program_request *request, const char *name,
                      void **out) {
  char *bytes;
  size_t size;
  gh_error refused = {0};
  if (!gh_cache_load(name, &bytes, &size)) return false;
  const gh_status status = cache->kind->load(&refused, d, request, bytes, size, out);
  free(bytes);
  if (!status) return true;
  gh_debug("%s; cached program %s is compiled again", refused.text, name);
  gh_cache_remove(name);
  return false;
}

static gh_status load_or_compile(gh_error *err, gh_device *d, const gh_program_cache *cache,
                                 const gh_program_request *request, void **out) {
  char *source, *bytes = NULL, name[GH_CACHE_KEY_SIZE + 8];
  size_t size = 0;
  gh_status status = gh_kernel_source(err, request->id->source, &source);
  if (status) return status;
  if (cache->suffix) file_name(cache, source, request->options, name, sizeof name);
  if (!cache->suffix || !load_kept(d, cache, request, name, out)) {
    status = cache->kind->compile(err, d, request, source, out, &bytes, &size);
    if (!status && bytes && cache->suffix) gh_cache_store(name, bytes, size);
  }
  free(bytes);
  free(source);
  return status;
}

gh_status gh_program_get(gh_error *err, gh_device *d, gh_program_cache *cache, const gh_kernel_id *id, void **out) {
  gh_program_request request = {.id = id, .what = id->source ? id->source : "the kernels"};
  char key[GH_CACHE_KEY_SIZE];
  gh_status status = cache->kind->options(err, d, &request);
  if (status) return status;

  /* Within a process the sources are constant, so their name identifies them. */
  gh_cache_key(key, (const char *[]){request.what, request.options, NULL});
  for (gh_program_entry *p = cache->first; p; p = p->next) {
    if (strcmp(p->key, key)) continue;
    *out = p->program;
    return GH_OK;
  }
  if (cache->kind->enter) status = cache->kind->enter(err, d);
  if (status) return status;
  gh_program_entry *entry = gh_alloc(err, 1, sizeof *entry);
  if (!entry) return GH_ERROR_MEMORY;
  memcpy(entry->key, key, sizeof key);
  status = load_or_compile(err, d, cache, &request, &entry->program);
  if (status) {
    free(entry);
    return status;
  }
  d->counters.compilations++;
  entry->next = cache->first;
  cache->first = entry;
  *out = entry->program;
  return GH_OK;
}

void gh_programs_free(gh_device *d, gh_program_cache *cache) {
  while (cache->first) {
    gh_program_entry *next = cache->first->next;
    cache->kind->unload(d, cache->first->program);
    free(cache->first);
    cache->first = next;
  }
}
