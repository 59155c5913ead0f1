/* Measures the speed of bfloat16 attention, shared kernels and matrix units in turn, pass by pass:
 *   bench_attention [--device ID] [--rounds N] [BATCH HEADS QUERIES KEYS SIZE [HIDDEN]]
 * HIDDEN: keys that a mask covers; a third of them is hidden. Without sizes: the attention of the published settings.
 * Each kernel is checked first. On a CPU the figures use processor time, per core, so that other work on the machine
 * matters less; elsewhere wall-clock time. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/chooser/attention_internal.h"
#include "backend/registry.h"
#include "base/log.h"

static double seconds(const gh_device *d) {
  struct timespec t;
  if (!d->info.is_cpu) return gh_now();
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static gh_status measure(gh_error *err, gh_device *d, const gh_attention_work *work, int rounds, double *best) {
  void *trial = NULL;
  gh_launch *launch = NULL;
  *best = HUGE_VAL;
  gh_status status = gh_attention_trial_open(err, d, work, true, &trial);
  if (status) return status;
  status = gh_attention_trial_run(err, trial, NULL, &launch);
  for (int i = 0; i < rounds && !status; i++) {
    const double start = seconds(d);
    status = d->backend->enqueue(err, d, launch);
    if (!status) status = d->backend->finish(err, d);
    *best = fmin(*best, seconds(d) - start);
  }
  d->backend->launch_free(launch);
  gh_attention_trial_close(trial);
  return status;
}

/* A trial takes fewer samples and heads of large work, so the work of a call is what it leaves. */
static double madds_of_call(gh_error *err, gh_device *d, const gh_attention_work *work) {
  void *trial = NULL;
  if (gh_attention_trial_open(err, d, work, true, &trial)) return NAN;
  const double madds = gh_attention_trial_madds(trial);
  gh_attention_trial_close(trial);
  return madds;
}

static gh_status run(gh_error *err, gh_device *d, const int64_t *size, int rounds) {
  static const char *const parts[] = {"forward", "backward q", "backward kv"};
  const char *const units[] = {NULL, gh_attention_unit_of(&d->info)};
  printf("batch %lld, %lld heads of %lld, %lld x %lld%s\n", (long long)size[0], (long long)size[1], (long long)size[4],
         (long long)size[2], (long long)size[3], size[5] ? ", masked" : "");
  for (int part = 0; part < GH_ATTENTION_PARTS; part++)
    for (size_t u = 0; u < GH_COUNT(units); u++) {
      gh_attention_work work = {.unit = units[u],
                                .desc = {.part = (gh_attention_part)part,
                                         .dtype = GH_BF16,
                                         .batch = size[0],
                                         .heads = size[1],
                                         .nq = size[2],
                                         .nk = size[3],
                                         .size = size[4],
                                         .hidden = size[5]}};
      double best;
      if (u && (!units[u] || !gh_attention_fits(&work.desc, d, units[u]))) continue;
      const gh_status status = measure(err, d, &work, rounds, &best);
      if (status) return status;
      printf("  %-12s %-8s %9.3f ms %8.1f GFLOP/s\n", parts[part], u ? "matrix" : "shared", 1e3 * best,
             2e-9 * madds_of_call(err, d, &work) / best);
      fflush(stdout);
    }
  return GH_OK;
}

/* CLIP's ViT-L/14@224; the same of ViT-H; the discrete denoiser; FLUX's; SigLIP@384. */
static const int64_t usual[][6] = {{4, 16, 257, 257, 64, 0},
                                   {4, 16, 257, 257, 80, 0},
                                   {4, 16, 196, 196, 64, 196},
                                   {4, 24, 197, 197, 128, 0},
                                   {1, 16, 729, 729, 72, 0}};

int main(int argc, char **argv) {
  static const struct option options[] = {{"device", 1, NULL, 'd'}, {"rounds", 1, NULL, 'r'}, {0}};
  const char *id = "auto";
  int rounds = 20;
  bool good = true;
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (option == 'd')
      id = optarg;
    else if (option == 'r')
      rounds = atoi(optarg);
    else
      good = false;
  }
  const int sizes = argc - optind;
  if (!good || rounds < 1 || (sizes != 0 && sizes != 5 && sizes != 6)) {
    fprintf(stderr, "usage: bench_attention [--device ID] [--rounds N] [BATCH HEADS QUERIES KEYS SIZE [HIDDEN]]\n");
    return 2;
  }
  gh_error err = {0};
  gh_device *d = NULL;
  gh_status status = gh_device_open(&err, id, &d);
  if (!status) printf("%s: %s\n", d->info.id, d->info.name);
  if (!status && sizes) {
    int64_t given[6] = {0};
    for (int i = 0; i < sizes; i++) given[i] = atoll(argv[optind + i]);
    status = run(&err, d, given, rounds);
  }
  for (size_t i = 0; i < GH_COUNT(usual) && !sizes && !status; i++) status = run(&err, d, usual[i], rounds);
  if (status) fprintf(stderr, "bench_attention: %s\n", err.text);
  gh_device_close(d);
  return status != GH_OK;
}
