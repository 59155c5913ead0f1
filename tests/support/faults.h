/* Injects a failing disk, or the death of the process, at a chosen operation on the files of one folder. Linked into a
 * test, this replaces the C library's write, fsync, rename, unlink, mkdir and rmdir; operations on other files pass. */
#ifndef GH_TESTS_SUPPORT_FAULTS_H
#define GH_TESTS_SUPPORT_FAULTS_H

typedef enum check_fault {
  CHECK_FAULT_NONE,
  CHECK_FAULT_KILL, /* SIGKILL just before the operation */
  CHECK_FAULT_TEAR, /* half of a write, then SIGKILL; other operations: as CHECK_FAULT_KILL */
  CHECK_FAULT_FULL, /* from here on, operations that take space fail with ENOSPC */
} check_fault;

/* `folder`: an absolute path without links. Affects the operation'th operation from now (1 is the first); 0: none. */
void check_fault_arm(const char *folder, check_fault fault, long operation);
long check_fault_count(void); /* operations since check_fault_arm */

/* Called with every file or folder that is synced from now on; NULL: none. */
typedef void check_fsync_visitor(int fd);
void check_fsync_visit(check_fsync_visitor *visit);

#endif
