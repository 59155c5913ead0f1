/* The user's cache folder: compiled programs, tuning results, shard indexes. $GH_CACHE_DIR, else
 * $XDG_CACHE_HOME/genhance, else ~/.cache/genhance; created with mode 0700. A folder that someone else owns or may
 * write to is not used, because its content is loaded into the device driver. No failure here is fatal: without a cache
 * the work is repeated. */
#ifndef GH_BASE_CACHE_H
#define GH_BASE_CACHE_H

#include "base/status.h"

/* The folder, created if needed; the caller frees. NULL (with one warning per process and folder) when unusable. */
char *gh_cache_folder(void);

/* Whether the folder exists, without making it. */
bool gh_cache_exists(void);

/* The same check for another folder from which code is loaded: makes it with mode 0700 if needed; false, with the
 * warning, where someone else owns it or may write to it. */
bool gh_cache_is_private(const char *folder);

/* An entry is a file NAME with its own checksum. Load returns false when it is absent or broken (a broken one is
 * removed); *bytes is the caller's to free. Store replaces atomically, so concurrent processes are safe. */
bool gh_cache_load(const char *name, char **bytes, size_t *size);
void gh_cache_store(const char *name, const void *bytes, size_t size);
void gh_cache_remove(const char *name);

/* 32 hexadecimal digits of a hash over parts; NULL ends the list. */
#define GH_CACHE_KEY_SIZE 33
void gh_cache_key(char key[GH_CACHE_KEY_SIZE], const char *const *parts);

/* The part of /proc/cpuinfo that decides CPU code generation: the first processor's model and flags. Static. */
const char *gh_cache_cpu_flags(void);

#endif
