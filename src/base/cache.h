/* The user's cache folder: compiled programs, tuning results, what is in shards. $GH_CACHE_DIR, else
 * $XDG_CACHE_HOME/genhance, else ~/.cache/genhance; made 0700. A folder that belongs to or may be written by someone
 * else is not used: what it holds is loaded into the device driver. Nothing here is ever fatal: without a cache the
 * work is done anew. */
#ifndef GH_BASE_CACHE_H
#define GH_BASE_CACHE_H

#include "base/status.h"

/* The folder, made if need be; the caller frees. NULL when there is none, warned about once a process and folder. */
char *gh_cache_folder(void);

/* An entry is a file NAME with its own checksum. Load gives false when it is absent or broken (a broken one is
 * removed); *bytes is the caller's to free. Store replaces atomically, so that processes may run side by side. */
bool gh_cache_load(const char *name, char **bytes, size_t *size);
void gh_cache_store(const char *name, const void *bytes, size_t size);
void gh_cache_remove(const char *name);

/* 32 hexadecimal digits of a hash over parts; NULL ends the list. */
#define GH_CACHE_KEY_SIZE 33
void gh_cache_key(char key[GH_CACHE_KEY_SIZE], const char *const *parts);

/* What of /proc/cpuinfo decides the code a CPU compiler makes: model and flags of the first processor. Static. */
const char *gh_cache_cpu_flags(void);

#endif
