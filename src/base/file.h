/* Files: whole reads with a size limit, atomic writes, folders, locks. Every error text names the path and the reason.
 * A full disk (ENOSPC, EDQUOT, a short write) is one line "PATH: no space left on the disk ...". */
#ifndef GH_BASE_FILE_H
#define GH_BASE_FILE_H

#include "base/text.h"

/* ---- paths ---- */

char *gh_path_join(gh_error *err, const char *folder, const char *name); /* caller frees; an absolute name is kept */
char *gh_path_folder(gh_error *err, const char *path);                   /* "a/b" -> "a", "b" -> "."; caller frees */
const char *gh_path_name(const char *path);                              /* the last component, borrowed */
bool gh_path_stays_inside(const char *name); /* relative, no "..", no empty name, no backslash: safe below a folder */
/* What is at a path; links are followed. A fault is tried again (base/retry.h); if it stays, GH_ERROR_FILE names it. */
typedef enum gh_path_kind { GH_PATH_ABSENT, GH_PATH_FILE, GH_PATH_FOLDER, GH_PATH_OTHER } gh_path_kind;
gh_status gh_path_look(gh_error *err, const char *path, gh_path_kind *out);
/* These are true also where it is unknown: opening the path then says why, and nothing goes on as if it were absent. */
bool gh_path_exists(const char *path);
bool gh_path_is_file(const char *path); /* a regular one */
bool gh_path_is_folder(const char *path);

/* ---- reading ---- */

/* Reads the whole file and adds a zero byte (not counted in size). More than max_bytes is GH_ERROR_FORMAT, and so is a
 * pointer to the file in its place (base/incomplete.h). */
gh_status gh_file_read(gh_error *err, const char *path, size_t max_bytes, char **bytes, size_t *size);
gh_status gh_file_size(gh_error *err, const char *path, uint64_t *bytes);
/* GH_ERROR_FORMAT unless a regular file is at path: opening a pipe in its place would wait for its other end. */
gh_status gh_file_check_regular(gh_error *err, const char *path);

/* ---- writing ---- */

/* Replaces path, or leaves it unchanged on failure: temporary file in the same folder, fsync, rename, fsync of the
 * folder. A pipe or a device at path is written directly. */
gh_status gh_file_write(gh_error *err, const char *path, const void *bytes, size_t size);
gh_status gh_file_append(gh_error *err, const char *path, const void *bytes, size_t size); /* one write, no fsync */
gh_status gh_file_sync(gh_error *err, const char *path); /* fsync of the file; absent is fine */

/* The same, piece by piece. Nothing appears at path until commit; free without commit removes the temporary file. */
typedef struct gh_file_writer gh_file_writer;
gh_status gh_file_writer_open(gh_error *err, gh_file_writer **out, const char *path);
gh_status gh_file_writer_write(gh_error *err, gh_file_writer *writer, const void *bytes, size_t size);
gh_status gh_file_writer_commit(gh_error *err, gh_file_writer *writer); /* fsync, rename, fsync of the folder */
void gh_file_writer_free(gh_file_writer *writer);                       /* NULL is fine */

/* Copies from/name to to/name, whole or not at all. An absent file is an error only if required. */
gh_status gh_file_copy(gh_error *err, const char *from, const char *to, const char *name, bool required);

gh_status gh_file_remove(gh_error *err, const char *path);                 /* absent is fine */
gh_status gh_file_rename(gh_error *err, const char *from, const char *to); /* fsyncs the folder of `to` */
gh_status gh_folder_make(gh_error *err, const char *path);   /* mkdir -p; fsyncs the parent of each new folder */
gh_status gh_folder_check(gh_error *err, const char *path);  /* whether it can be made and written */
gh_status gh_folder_remove(gh_error *err, const char *path); /* rm -r without following links; absent is fine */
gh_status gh_folder_sync(gh_error *err, const char *path);   /* fsync */
/* Removes temporary files that killed writers left directly in path. Call only when no writer is active there. */
gh_status gh_folder_sweep(gh_error *err, const char *path);
/* The same where others may write: removes only our own ones that no process writes any more. Absent is fine. */
gh_status gh_folder_sweep_dead(gh_error *err, const char *path);
/* The same for the temporary files of one name in the folder. What cannot be removed stays: nothing depends on it.
 * Opening a writer does it; a command that computes for long before it writes does it at its start, too. */
void gh_file_sweep(const char *folder, const char *name);

/* Free bytes for an unprivileged process on the file system of path or of its nearest existing parent. */
gh_status gh_file_free_bytes(gh_error *err, const char *path, uint64_t *bytes);
/* GH_ERROR_FILE "PATH: needs 1.20 GiB, the disk has 300.00 MiB free" unless `needed` bytes fit. */
gh_status gh_file_check_space(gh_error *err, const char *path, uint64_t needed);

/* ---- folders ---- */

/* One regular file: its name relative to the walked folder ("sub/a.png"), and folder_fd and entry ("a.png") for
 * fstatat. All are valid only during the call. */
typedef gh_status gh_folder_visitor(gh_error *err, void *context, const char *name, int folder_fd, const char *entry);
/* Visits what gh_folder_list lists, unordered and without storing the names; ends at the first failure. Faults of the
 * listing itself are tried again (base/retry.h). others (NULL: nobody) visits what is neither a regular file nor a
 * folder: links to nothing, pipes, devices. */
gh_status gh_folder_walk(gh_error *err, const char *path, bool recursive, gh_folder_visitor *visit,
                         gh_folder_visitor *others, void *context);

/* Regular files below path; links to files and folders are followed, loops are rejected. Names are relative to path
 * ("sub/a.png") and sorted bytewise. Names that begin with '.' are left out. */
gh_status gh_folder_list(gh_error *err, gh_strings *out, const char *path, bool recursive);
/* The same with links to nothing, pipes and devices: who reads them is told what they are. */
gh_status gh_folder_list_all(gh_error *err, gh_strings *out, const char *path, bool recursive);
/* The same for the folders directly in path. */
gh_status gh_folder_list_folders(gh_error *err, gh_strings *out, const char *path);

/* ---- locks ---- */

/* An exclusive advisory lock on a file (created when absent), held until release or process exit. When another
 * process holds it: waits, or, if wait is false, fails with GH_ERROR_FILE "PATH: in use by another process". */
typedef struct gh_file_lock gh_file_lock;
gh_status gh_file_lock_take(gh_error *err, gh_file_lock **out, const char *path, bool wait);
void gh_file_lock_release(gh_file_lock *lock); /* NULL is fine */

/* Test hook: the n-th write from now fails as on a full disk (0 = off). */
void gh_write_fail_after(long n);

#endif
