/* A disk that fails, or a process that dies, at a chosen operation on the files of one folder. Linked into a test, this
 * takes the place of the C library's write, fsync, rename, unlink, mkdir and rmdir; operations on other files pass. */
#ifndef GH_TESTS_SUPPORT_FAULTS_H
#define GH_TESTS_SUPPORT_FAULTS_H

typedef enum check_fault {
  CHECK_FAULT_NONE,
  CHECK_FAULT_KILL, /* SIGKILL just before the operation */
  CHECK_FAULT_TEAR, /* a write does its first half, then SIGKILL; other operations: as CHECK_FAULT_KILL */
  CHECK_FAULT_FULL, /* from here on, what takes space fails with ENOSPC */
} check_fault;

/* `folder`: an absolute path without links. The operation'th one (1 is the first) from now suffers; 0: none does. */
void check_fault_arm(const char *folder, check_fault fault, long operation);
long check_fault_count(void); /* operations since then */

#endif
