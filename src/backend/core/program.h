/* The programs of a device: looked up by what they are built from, compiled when first needed, kept on disk for the
 * next process. A backend compiles, loads and unloads; which of these is due is decided here. */
#ifndef GH_BACKEND_CORE_PROGRAM_H
#define GH_BACKEND_CORE_PROGRAM_H

#include "backend/backend.h"

#define GH_PROGRAM_OPTIONS  1024
#define GH_PROGRAM_IDENTITY 6

/* What there is to build: `what` names it in error texts. */
typedef struct gh_program_request {
  const gh_kernel_id *id;
  const char *what;
  char options[GH_PROGRAM_OPTIONS]; /* of the compiler, blanks between them */
} gh_program_request;

typedef struct gh_program_kind {
  const char *name; /* the first part of the cache's keys */
  gh_status (*options)(gh_error *err, const gh_device *d, gh_program_request *request);
  /* Optional: makes the device ready for the calls below, or refuses a compilation. */
  gh_status (*enter)(gh_error *err, gh_device *d);
  /* A program from bytes that the cache kept. `err` says why the driver refuses them: they are then compiled anew. */
  gh_status (*load)(gh_error *err, gh_device *d, const gh_program_request *request, const char *bytes, size_t size,
                    void **out);
  /* A program, and its bytes for the cache, which the caller frees; *bytes NULL: there are none to keep. */
  gh_status (*compile)(gh_error *err, gh_device *d, const gh_program_request *request, const char *source, void **out,
                       char **bytes, size_t *size);
  void (*unload)(gh_device *d, void *program);
} gh_program_kind;

typedef struct gh_program_entry gh_program_entry;

/* A device's programs. The backend fills all but `first` when it opens the device. */
typedef struct gh_program_cache {
  const gh_program_kind *kind;
  const char *suffix; /* of the files; NULL: nothing is kept on disk */
  /* What makes kept bytes useless to another device, driver or compiler; ends with NULL. */
  const char *identity[GH_PROGRAM_IDENTITY];
  gh_program_entry *first;
} gh_program_cache;

/* The program that holds the kernel; owned by the cache. */
gh_status gh_program_get(gh_error *err, gh_device *d, gh_program_cache *cache, const gh_kernel_id *id, void **out);
void gh_programs_free(gh_device *d, gh_program_cache *cache);

/* Reports a compiler's log: all of it on stderr unless the user wants quiet, and the line of the first error, for the
 * one line the user reads, in `out`. */
void gh_report_compiler_log(const char *log, char *out, size_t size);
void gh_first_error(const char *log, char *out, size_t size); /* that line */

#endif
