/* The programs of a device: looked up by source and options, compiled when first needed, kept on disk for the next
 * process. A backend implements compiling, loading and unloading; this file decides when to do which. */
#ifndef GH_BACKEND_CORE_PROGRAM_H
#define GH_BACKEND_CORE_PROGRAM_H

#include "backend/backend.h"

#define GH_PROGRAM_OPTIONS  1024
#define GH_PROGRAM_IDENTITY 6

/* A program to build; `what` names it in error texts. */
typedef struct gh_program_request {
  const gh_kernel_id *id;
  const char *what;
  char options[GH_PROGRAM_OPTIONS]; /* of the compiler, separated by blanks */
} gh_program_request;

typedef struct gh_program_kind {
  const char *name; /* the first part of the cache's keys */
  gh_status (*options)(gh_error *err, const gh_device *d, gh_program_request *request);
  /* Optional: prepares the device for the calls below, or rejects a compilation. */
  gh_status (*enter)(gh_error *err, gh_device *d);
  /* Loads a program from cached bytes. On failure `err` has the driver's reason, and the program is compiled again. */
  gh_status (*load)(gh_error *err, gh_device *d, const gh_program_request *request, const char *bytes, size_t size,
                    void **out);
  /* Compiles a program; *bytes are for the cache, and the caller frees them; *bytes NULL: nothing to cache. */
  gh_status (*compile)(gh_error *err, gh_device *d, const gh_program_request *request, const char *source, void **out,
                       char **bytes, size_t *size);
  void (*unload)(gh_device *d, void *program);
} gh_program_kind;

typedef struct gh_program_entry gh_program_entry;

/* A device's programs. The backend fills all but `first` when it opens the device. */
typedef struct gh_program_cache {
  const gh_program_kind *kind;
  const char *suffix; /* of the files; NULL: nothing is kept on disk */
  /* Identifies device, driver and compiler, since cached bytes are valid only for these; ends with NULL. */
  const char *identity[GH_PROGRAM_IDENTITY];
  gh_program_entry *first;
} gh_program_cache;

/* The program that holds the kernel; owned by the cache. */
gh_status gh_program_get(gh_error *err, gh_device *d, gh_program_cache *cache, const gh_kernel_id *id, void **out);
void gh_programs_free(gh_device *d, gh_program_cache *cache);

/* Reports a compiler's log: the whole log on stderr, unless the log level is quiet, and the line of the first error in
 * `out`, for the error text. */
void gh_report_compiler_log(const char *log, char *out, size_t size);
void gh_first_error(const char *log, char *out, size_t size); /* that line */

#endif
