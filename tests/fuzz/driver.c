/* Drives a target without libFuzzer: replays the corpus, then mutates its inputs and keeps those with new coverage.
 * The inputs tried depend only on --seed and the corpus; --seconds only ends the run. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "coverage.h"
#include "fuzz.h"
#include "mutate.h"

#define MOST_BYTES       ((size_t)1 << 16)
#define SECONDS_ALLOWED  60 /* for INPUTS_PER_ALARM inputs: the machine may be busy */
#define INPUTS_PER_ALARM 64 /* setting the alarm costs as much as a short input */

typedef struct input {
  uint8_t *bytes;
  size_t size;
} input;

static struct {
  input *items;
  size_t count, capacity;
} pool;

static const uint8_t *current; /* the target's current input */
static size_t current_size;
static const char *program = "fuzz";

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", program, what);
  exit(2);
}

static void *need(void *memory) {
  if (!memory) fail("out of memory");
  return memory;
}

/* ---- saving a failing input ---- */

static void keep_current(void) {
  static volatile sig_atomic_t kept;
  char path[128];
  if (kept || !current) return;
  kept = 1;
  snprintf(path, sizeof path, "/tmp/genhance-%s-%ld", program, (long)getpid());
  FILE *file = fopen(path, "wb");
  if (file) fwrite(current, 1, current_size, file), fclose(file);
  fprintf(stderr, "%s: the input is in %s\n", program, path);
}

static void on_signal(int sig) {
  if (sig == SIGALRM) fprintf(stderr, "%s: one input takes more than %d s\n", program, SECONDS_ALLOWED);
  keep_current();
  signal(sig, SIG_DFL);
  raise(sig);
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch(void) {
  static const int signals[] = {SIGABRT, SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
  const size_t count =
      __sanitizer_set_death_callback ? 2 : sizeof signals / sizeof *signals; /* the sanitizer reports the others */
  for (size_t i = 0; i < count; i++) signal(signals[i], on_signal);
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(keep_current);
}

/* ---- one input ---- */

/* Whether it reached a new edge, or reached an edge more often (by powers of two) than any input before. */
static int is_news(void) {
  static uint8_t seen[FUZZ_COUNTS];
  int news = 0;
  for (size_t i = 0; i < FUZZ_COUNTS; i++) {
    uint64_t eight;
    if (i % 8 == 0 && (memcpy(&eight, fuzz_counts + i, 8), !eight)) i += 7; /* most are zero */
    if (!fuzz_counts[i]) continue;
    uint8_t level = (uint8_t)(1u << (31 - __builtin_clz(fuzz_counts[i])));
    news |= (seen[i] & level) == 0;
    seen[i] |= level;
  }
  memset(fuzz_counts, 0, sizeof fuzz_counts);
  return news;
}

static int run(const uint8_t *bytes, size_t size) {
  static unsigned count;
  uint8_t *exact = need(malloc(size ? size : 1)); /* so that a sanitizer detects a read past its end */
  memcpy(exact, bytes, size);
  current = exact;
  current_size = size;
  if (count++ % INPUTS_PER_ALARM == 0) alarm(SECONDS_ALLOWED);
  LLVMFuzzerTestOneInput(exact, size);
  current = NULL;
  free(exact);
  return is_news();
}

static void add(const uint8_t *bytes, size_t size) {
  if (pool.count == pool.capacity) {
    pool.capacity = 2 * pool.capacity + 64;
    pool.items = need(realloc(pool.items, pool.capacity * sizeof *pool.items));
  }
  input *to = &pool.items[pool.count++];
  *to = (input){need(malloc(size + 1)), size};
  memcpy(to->bytes, bytes, size);
}

/* ---- the corpus ---- */

static void replay_file(const char *path) {
  static uint8_t bytes[MOST_BYTES];
  FILE *file = fopen(path, "rb");
  if (!file) fail(path);
  size_t size = fread(bytes, 1, sizeof bytes, file);
  int whole = fgetc(file) == EOF;
  fclose(file);
  if (!whole) return; /* a fixture too large for useful mutation */
  run(bytes, size);
  add(bytes, size);
}

static int visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static void replay(const char *path) {
  struct dirent **entries;
  struct stat facts;
  if (stat(path, &facts)) fail(path);
  if (!S_ISDIR(facts.st_mode)) {
    replay_file(path);
    return;
  }
  int count = scandir(path, &entries, visible, alphasort); /* bytewise: the C locale is active */
  if (count < 0) fail(path);
  for (int i = 0; i < count; i++) {
    char *name = need(malloc(strlen(path) + strlen(entries[i]->d_name) + 2));
    sprintf(name, "%s/%s", path, entries[i]->d_name);
    replay(name);
    free(name);
    free(entries[i]);
  }
  free(entries);
}

/* ---- the search ---- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static long search(double seconds, long runs) {
  static uint8_t bytes[MOST_BYTES];
  double end = now() + seconds;
  long done = 0;
  for (; done < runs && now() < end; done++) {
    const input *from = &pool.items[mutate_random(pool.count)], *other = &pool.items[mutate_random(pool.count)];
    size_t size = from->size;
    memcpy(bytes, from->bytes, size);
    mutate_donor(other->bytes, other->size);
    for (uint64_t i = mutate_random(6) + 1; i > 0; i--)
      size = LLVMFuzzerCustomMutator
                 ? LLVMFuzzerCustomMutator(bytes, size, MOST_BYTES, (unsigned)mutate_random(1u << 31))
                 : LLVMFuzzerMutate(bytes, size, MOST_BYTES);
    if (run(bytes, size)) add(bytes, size);
  }
  return done;
}

int main(int argc, char **argv) {
  double seconds = 1;
  long runs = 1L << 40;
  uint64_t seed = 1;
  int files = 0;
  program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
  watch();
  for (int i = 1; i < argc; i++) {
    if (i + 1 < argc && !strcmp(argv[i], "--seconds"))
      seconds = atof(argv[++i]);
    else if (i + 1 < argc && !strcmp(argv[i], "--runs"))
      runs = atol(argv[++i]);
    else if (i + 1 < argc && !strcmp(argv[i], "--seed"))
      seed = strtoull(argv[++i], NULL, 10);
    else if (argv[i][0] == '-')
      fail("usage: [--seconds N] [--runs N] [--seed N] CORPUS|FILE...");
    else
      replay(argv[i]), files++;
  }
  struct stat facts;
  if (!pool.count) fail("the corpus is empty");
  if (files == 1 && pool.count == 1 && !stat(argv[argc - 1], &facts) && S_ISREG(facts.st_mode)) runs = 0;
  size_t given = pool.count;
  mutate_seed(seed);
  long done = search(seconds, runs);
  printf("%s: %zu inputs replayed, %ld tried, %zu reached something new\n", program, given, done, pool.count - given);
  for (size_t i = 0; i < pool.count; i++) free(pool.items[i].bytes);
  free(pool.items);
  return 0;
}
