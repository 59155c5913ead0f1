/* Measures how fast images are listed and how fast the loader alone makes samples from them:
 *   bench_loader [--size S] [--workers N] [--rounds N] [--samples N] SOURCE...
 * A source is anything data.images accepts: a folder, a shard, a shard pattern. With --samples 0 it only lists. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/log.h"
#include "data/loader.h"

typedef struct settings {
  gh_loader_options loader;
  long rounds, samples; /* samples per round */
} settings;

static const char usage[] = "bench_loader [--size S] [--workers N] [--rounds N] [--samples N] SOURCE...\n";

static bool read_number(long *out, const char *text, long most) {
  char *end;
  *out = strtol(text, &end, 10);
  return !*end && end != text && *out >= 0 && *out <= most;
}

static bool read_settings(settings *out, int argc, char **argv) {
  static const struct option options[] = {
      {"size", 1, NULL, 's'}, {"workers", 1, NULL, 'w'}, {"rounds", 1, NULL, 'r'}, {"samples", 1, NULL, 'n'}, {0}};
  long size = 224, workers = sysconf(_SC_NPROCESSORS_ONLN);
  *out = (settings){.rounds = 5, .samples = 1000};
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    bool good = (option == 's' && read_number(&size, optarg, 4096)) ||
                (option == 'w' && read_number(&workers, optarg, 1024)) ||
                (option == 'r' && read_number(&out->rounds, optarg, 1000)) ||
                (option == 'n' && read_number(&out->samples, optarg, 100000000));
    if (!good) return false;
  }
  out->loader = (gh_loader_options){.sources = (const char *const *)(argv + optind),
                                    .source_count = (size_t)(argc - optind),
                                    .image_size = (int)size,
                                    .crop = {{0.9, 1.0}, {0.75, 1.3333333}}, /* as in the published settings */
                                    .stage = 1,
                                    .workers = (int)workers,
                                    .ahead = 32};
  return optind < argc;
}

/* This process's private resident memory in bytes. */
static double resident_bytes(void) {
  long all, resident = 0, shared = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file && fscanf(file, "%ld %ld %ld", &all, &resident, &shared) != 3) resident = shared = 0;
  if (file) fclose(file);
  return (double)(resident - shared) * (double)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The first round warms up the file cache and is not counted. */
static gh_status measure(gh_error *err, gh_loader *loader, const settings *s) {
  size_t side = (size_t)s->loader.image_size;
  float *image = gh_alloc(err, side * side * 3, sizeof *image);
  double *rates = gh_alloc(err, (size_t)s->rounds + 1, sizeof *rates);
  gh_status status = image && rates ? GH_OK : GH_ERROR_MEMORY;
  double cpu = 0;
  for (long round = 0; round <= s->rounds && !status; round++) {
    double start = gh_now();
    if (round == 1) cpu = cpu_seconds();
    for (long i = 0; i < s->samples && !status; i++) status = gh_loader_next(err, loader, image, NULL, 1);
    rates[round] = (double)s->samples / (gh_now() - start);
  }
  if (!status && s->rounds) {
    gh_sort_doubles(rates + 1, (size_t)s->rounds);
    printf("%d x %d, %d workers: %.1f images/s (median of %ld rounds of %ld; %.1f to %.1f), %.1f per CPU second\n",
           s->loader.image_size, s->loader.image_size, s->loader.workers, rates[1 + s->rounds / 2], s->rounds,
           s->samples, rates[1], rates[s->rounds], (double)(s->rounds * s->samples) / (cpu_seconds() - cpu));
  }
  free(image);
  free(rates);
  return status;
}

int main(int argc, char **argv) {
  settings s;
  gh_error err = {0};
  gh_loader *loader;
  if (!read_settings(&s, argc, argv)) {
    fputs(usage, stderr);
    return 2;
  }
  double start = gh_now(), memory = resident_bytes();
  gh_status status = gh_loader_create(&err, &loader, &s.loader);
  if (!status) {
    double seconds = gh_now() - start;
    gh_loader_stats stats;
    gh_loader_get_stats(loader, &stats);
    printf("listed: %llu images, %llu left out, %.3f s", (unsigned long long)stats.images,
           (unsigned long long)stats.left_out, seconds);
    if (!s.samples) /* otherwise the workers' images are included */
      printf(", %.1f bytes of memory each", (resident_bytes() - memory) / (double)stats.images);
    printf("\n");
    if (s.samples) status = measure(&err, loader, &s);
    gh_loader_get_stats(loader, &stats);
    if (!status && s.samples) printf("skipped: %llu\n", (unsigned long long)stats.skipped);
  }
  gh_loader_free(loader);
  if (status) fprintf(stderr, "error: %s\n", err.text);
  return status != GH_OK;
}
