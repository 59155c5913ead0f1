/* A power cut: the disk then holds what was synced and nothing else. Here every fsync is seen: what that file or
 * folder holds is recorded, and so what a disk is certain to have. After a cut, the disk is rebuilt from these records
 * alone: a file has the content of its last fsync, or none; a folder has the names of its last fsync. Since the file
 * system may also have written more, every second cut drops the names that have been removed since. The run then
 * resumes there, and must give the bits of an undisturbed run. */
#include "support/check.h"
#include "support/faults.h"
#include "support/same_run.h"
#include "support/tiny_run.h"

#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static gh_error err;
static char *work;

/* ---- the recording ---- */

static char watched[PATH_MAX], records[PATH_MAX]; /* "": nothing is recorded */
static long syncs, cut;                           /* cut: the fsync after which the power goes; 0: never */

/* Holds the inode, so that its number is not given to another file. */
static void hold(int fd, ino_t inode) {
  static ino_t held[900];
  static size_t count;
  for (size_t i = 0; i < count; i++)
    if (held[i] == inode) return;
  if (count == GH_COUNT(held) || dup(fd) < 0) abort();
  held[count++] = inode;
}

static FILE *open_record(char kind, ino_t inode, const char *mode) {
  char path[2 * PATH_MAX];
  snprintf(path, sizeof path, "%s/%c%llu", records, kind, (unsigned long long)inode);
  return fopen(path, mode);
}

static void record_file(int fd, const char *path, ino_t inode) {
  char piece[4096];
  FILE *from = fopen(path, "rb"), *to = open_record('f', inode, "wb");
  if (!from || !to) abort();
  for (size_t n; (n = fread(piece, 1, sizeof piece, from));) fwrite(piece, 1, n, to);
  fclose(from);
  fclose(to);
  hold(fd, inode);
}

static void record_folder(int fd, const char *path, ino_t inode) {
  struct stat facts;
  DIR *folder = opendir(path);
  FILE *to = open_record('d', inode, "w");
  if (!folder || !to) abort();
  for (const struct dirent *entry; (entry = readdir(folder));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    int child = openat(fd, entry->d_name, O_RDONLY | O_NONBLOCK);
    if (child < 0 || fstat(child, &facts)) abort();
    fprintf(to, "%c %llu %s\n", S_ISDIR(facts.st_mode) ? 'd' : 'f', (unsigned long long)facts.st_ino, entry->d_name);
    hold(child, facts.st_ino);
    close(child);
  }
  closedir(folder);
  fclose(to);
  hold(fd, inode);
}

static void at_fsync(int fd) {
  char link[64], path[PATH_MAX];
  struct stat facts;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = watched[0] ? readlink(link, path, sizeof path - 1) : 0;
  if (length > 0 && !fstat(fd, &facts)) {
    path[length] = 0;
    if (!strncmp(path, watched, strlen(watched))) {
      (S_ISDIR(facts.st_mode) ? record_folder : record_file)(fd, path, facts.st_ino);
      if (++syncs == cut) raise(SIGKILL);
    }
  }
}

/* Records what is synced below the folder, which exists. */
static void record(const char *folder, const char *into, long at) {
  snprintf(records, sizeof records, "%s", into);
  snprintf(watched, sizeof watched, "%s", folder);
  cut = at;
  check_fsync_visit(at_fsync);
  check_ok(gh_folder_sync(&err, folder));
  syncs = 0;
}

/* ---- the disk after the cut ---- */

static void rebuild_file(ino_t inode, const char *to) {
  char piece[4096];
  FILE *from = open_record('f', inode, "rb"), *out = fopen(to, "wb");
  assert_non_null(out);
  for (size_t n; from && (n = fread(piece, 1, sizeof piece, from));) assert_int_equal(fwrite(piece, 1, n, out), n);
  if (from) fclose(from);
  fclose(out);
}

/* `real`: the folder as it was at the cut, where removed names are dropped; NULL: they are not. */
static void rebuild(ino_t inode, const char *real, const char *to) {
  char kind, name[256];
  unsigned long long child;
  struct stat facts;
  check_ok(gh_folder_make(&err, to));
  FILE *listing = open_record('d', inode, "r");
  while (listing && fscanf(listing, "%c %llu %255[^\n]\n", &kind, &child, name) == 3) {
    char *path = gh_path_join(&err, to, name), *now = real ? gh_path_join(&err, real, name) : NULL;
    const bool removed = now && lstat(now, &facts); /* since then, and the removal was written */
    if (!removed && kind == 'd') rebuild((ino_t)child, now, path);
    if (!removed && kind != 'd') rebuild_file((ino_t)child, path);
    free(path);
    free(now);
  }
  if (listing) fclose(listing);
}

/* The disk of work/NAME after the cut, as work/after. */
static void rebuild_all(const char *name, bool drops_removed) {
  struct stat facts;
  char *real = check_path(work, name), *to = check_path(work, "after");
  assert_int_equal(stat(real, &facts), 0);
  rebuild(facts.st_ino, drops_removed ? real : NULL, to);
  free(real);
  free(to);
}

/* ---- runs ---- */

static char *disk(const char *name, const char *sub) {
  char *root = gh_format(&err, "%s/%s", work, name), *path = check_path(root, sub);
  free(root);
  return path;
}

/* In a process of its own: trains in work/NAME/run. Returns how many fsyncs it made, or -1 when the power went. */
static long train(const char *name, bool resume, long at) {
  int status;
  char *root = check_path(work, name), *into = check_path(work, "records"), *result = check_path(work, "result");
  check_ok(gh_folder_make(&err, root));
  check_ok(gh_folder_make(&err, into));
  fflush(NULL);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (!child) {
    static const char *const overrides[] = {"state.minutes=1e-9", "stage1.checkpoint_every=1",
                                            "data.latent_cache={\"crops\":2}", NULL};
    gh_config config;
    gh_stage_report reports[2];
    char *pictures = check_path(work, "pictures"), line[32];
    tiny_config(&config, pictures, "run", overrides);
    if (chdir(root)) _exit(99);
    record(root, into, at);
    if (gh_train(&err, &config, &(gh_train_options){.resume = resume, .quiet = true}, reports)) {
      fprintf(stderr, "%s\n", err.text);
      _exit(98);
    }
    watched[0] = 0;
    snprintf(line, sizeof line, "%ld", syncs);
    check_write(result, line, strlen(line));
    _exit(0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  long made = -1;
  if (!WIFSIGNALED(status)) {
    char *text = NULL;
    if (WEXITSTATUS(status)) fail_msg("%s, cut at %ld: exit code %d", name, at, WEXITSTATUS(status));
    check_ok(gh_file_read(&err, result, 100, &text, NULL));
    made = atol(text);
    free(text);
  }
  free(root);
  free(into);
  free(result);
  return made;
}

static void forget(const char *name) {
  char *path = check_path(work, name);
  check_ok(gh_folder_remove(&err, path));
  free(path);
}

/* ---- the tests ---- */

static void the_model_drops_what_was_not_synced(void **state) {
  (void)state;
  char *root = check_path(work, "model"), *into = check_path(work, "records");
  check_ok(gh_folder_make(&err, root));
  check_ok(gh_folder_make(&err, into));
  char *synced = check_path(root, "synced"), *appended = check_path(root, "appended"),
       *later = check_path(root, "later");
  record(root, into, 0);
  check_ok(gh_file_append(&err, appended, "lost", 4));
  check_ok(gh_file_write(&err, synced, "kept", 4)); /* the folder's fsync also keeps the name of the other */
  check_ok(gh_file_append(&err, synced, "lost", 4));
  check_ok(gh_file_append(&err, later, "content", 7));
  check_ok(gh_file_sync(&err, later));
  watched[0] = 0;
  rebuild_all("model", false);
  char *bytes = NULL, *got = disk("after", "synced"), *other = disk("after", "appended"),
       *absent = disk("after", "later");
  size_t size = 1;
  check_ok(gh_file_read(&err, got, 100, &bytes, &size));
  assert_string_equal(bytes, "kept");
  free(bytes);
  check_ok(gh_file_read(&err, other, 100, &bytes, &size));
  assert_int_equal(size, 0);
  assert_false(gh_path_exists(absent)); /* its content is on the disk, its name is not */
  free(bytes);
  free(absent);
  free(other);
  free(got);
  free(later);
  free(appended);
  free(synced);
  free(into);
  free(root);
  forget("after");
  forget("records");
}

static void a_run_survives_every_power_cut(void **state) {
  (void)state;
  enum { CUTS = 4 };
  const long all = train("whole", false, 0);
  assert_true(all > 40);
  char *want = disk("whole", "run"), *got = disk("after", "run");
  const char *given = getenv("GH_TEST_SEED");
  uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)getpid();
  printf("GH_TEST_SEED=%llu, %ld fsyncs\n", (unsigned long long)seed, all);
  for (int i = 0; i <= CUTS; i++) {
    char moment[64];
    const long first = all * i / CUTS,
               at = i == CUTS ? 0 : 1 + first + (long)(check_random(&seed) % (uint64_t)(all / CUTS));
    snprintf(moment, sizeof moment, "cut at fsync %ld of %ld", at, all);
    forget("records");
    if ((train("cut", false, at) < 0) != (at > 0)) fail_msg("%s: the run was not cut there", moment);
    rebuild_all("cut", i % 2);
    forget("records");
    train("after", true, 0);
    same_run(want, got, moment);
    forget("cut");
    forget("after");
  }
  free(want);
  free(got);
}

static int begin(void **state) {
  (void)state;
  char *given = check_folder();
  work = realpath(given, NULL);
  free(given);
  assert_non_null(work);
  char *pictures = check_path(work, "pictures");
  tiny_pictures(pictures);
  free(pictures);
  gh_log_set_level(GH_LOG_QUIET);
  return 0;
}

static int end(void **state) {
  (void)state;
  check_folder_done(work);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_model_drops_what_was_not_synced),
                                     cmocka_unit_test(a_run_survives_every_power_cut)};
  return cmocka_run_group_tests(tests, begin, end);
}
