/* Measures the speed of each GEMM provider of a device, product by product:
 *   bench_gemm [--device ID] [--dtype f32|bf16|bf16:f32] [--rounds N] [--provider PART] [M N K TRANS [BATCH]]
 * TRANS is nn, nt, tn or tt. Without sizes: the products of a wide layer. On a CPU the figures use processor time,
 * 2 m n k / (processor seconds / cores), so that other work on the machine matters less; elsewhere wall-clock time. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/chooser/gemm_internal.h"
#include "backend/registry.h"
#include "base/log.h"

typedef struct settings {
  const char *device, *dtype, *provider; /* provider: substring of the wanted names */
  int rounds;
} settings;

static double seconds(const gh_device *d) {
  struct timespec t;
  if (!d->info.is_cpu) return gh_now();
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec) / GH_MAX(d->info.compute_units, 1);
}

static gh_status fill(gh_error *err, gh_device *d, gh_buffer *buffer, gh_dtype dtype) {
  int64_t bytes = d->backend->buffer_bytes(buffer);
  uint8_t *data = gh_alloc(err, (size_t)bytes, 1);
  if (!data) return GH_ERROR_MEMORY;
  uint32_t seed = 7; /* numbers of about 1 in both types */
  for (int64_t i = 0; i < bytes; i += 2) {
    seed = seed * 1664525u + 1013904223u;
    const uint16_t half = (uint16_t)((seed >> 16 & 0x80ffu) | 0x3f00u);
    memcpy(data + i, dtype == GH_BF16 || i % 4 ? &half : &(uint16_t){0}, 2);
  }
  gh_status status = d->backend->write(err, d, buffer, 0, data, bytes);
  free(data);
  return status;
}

static gh_status measure(gh_error *err, gh_device *d, const gh_gemm_provider *p, const gh_gemm_desc *g,
                         gh_buffer *const *at, int rounds, double *best) {
  gh_launch *launch = NULL;
  gh_status status = p->bind(err, d, p, g, at[0], at[1], at[2], &launch);
  *best = HUGE_VAL;
  for (int i = 0; i <= rounds && !status; i++) {
    double start = seconds(d);
    status = d->backend->enqueue(err, d, launch);
    if (!status) status = d->backend->finish(err, d);
    if (i) *best = fmin(*best, seconds(d) - start);
  }
  d->backend->launch_free(launch);
  return status;
}

static gh_status run(gh_error *err, gh_device *d, const settings *s, const gh_gemm_desc *g) {
  const gh_backend *backend = d->backend;
  const int64_t elements[] = {g->m * g->k * g->batch, g->k * g->n * g->batch, g->m * g->n * g->batch};
  gh_buffer *at[3] = {NULL};
  gh_status status = GH_OK;
  for (int i = 0; i < 3 && !status; i++) {
    const gh_dtype dtype = i < 2 ? g->dtype : g->dtype_c;
    status = backend->buffer_create(err, d, GH_CEIL_DIV(elements[i] * (int64_t)gh_dtype_size(dtype), 4) * 4, &at[i]);
    if (!status) status = fill(err, d, at[i], dtype);
  }
  char key[160];
  gh_gemm_key(g, key, sizeof key);
  if (!status) printf("%s\n", key);
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name && !status; p++) {
    double best;
    if (!strstr(p->base.name, s->provider) || !gh_gemm_supports(p, g, d)) continue;
    gh_status one = measure(err, d, p, g, at, s->rounds, &best);
    if (one)
      printf("  %-28s %s\n", p->base.name, err->text);
    else
      printf("  %-28s %8.1f GFLOP/s\n", p->base.name,
             2e-9 * (double)g->m * (double)g->n * (double)g->k * (double)g->batch / best);
    fflush(stdout);
  }
  for (int i = 0; i < 3; i++) backend->buffer_free(at[i]);
  return status;
}

static gh_gemm_desc product(const settings *s, int64_t m, int64_t n, int64_t k, const char *trans, int64_t batch) {
  gh_gemm_desc g = {.m = m, .n = n, .k = k, .trans_a = trans[0] == 't', .trans_b = trans[1] == 't', .batch = batch};
  g.lda = g.trans_a ? m : k, g.ldb = g.trans_b ? k : n, g.ldc = n;
  g.stride_a = m * k, g.stride_b = k * n, g.stride_c = m * n;
  g.alpha = 1;
  g.dtype = strcmp(s->dtype, "f32") ? GH_BF16 : GH_F32;
  g.dtype_c = strcmp(s->dtype, "bf16") ? GH_F32 : GH_BF16;
  return g;
}

static gh_status run_all(gh_error *err, gh_device *d, const settings *s, char **sizes, int count) {
  if (count >= 4) {
    gh_gemm_desc g =
        product(s, atoll(sizes[0]), atoll(sizes[1]), atoll(sizes[2]), sizes[3], count > 4 ? atoll(sizes[4]) : 1);
    return run(err, d, s, &g);
  }
  const gh_gemm_desc wide[] = {product(s, 784, 12288, 3072, "nt", 1), product(s, 784, 3072, 12288, "nn", 1),
                               product(s, 12288, 3072, 784, "tn", 1), product(s, 1028, 4096, 1024, "nt", 1),
                               product(s, 257, 257, 64, "nt", 64)};
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(wide) && !status; i++) status = run(err, d, s, &wide[i]);
  return status;
}

int main(int argc, char **argv) {
  static const struct option options[] = {
      {"device", 1, NULL, 'd'}, {"dtype", 1, NULL, 't'}, {"rounds", 1, NULL, 'r'}, {"provider", 1, NULL, 'p'}, {0}};
  settings s = {.device = "auto", .dtype = "bf16", .provider = "", .rounds = 10};
  bool good = true;
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (option == 'd')
      s.device = optarg;
    else if (option == 't')
      s.dtype = optarg;
    else if (option == 'p')
      s.provider = optarg;
    else if (option == 'r')
      s.rounds = atoi(optarg);
    else
      good = false;
  }
  const int left = argc - optind;
  if (!good || (left && left < 4) || (left && strlen(argv[optind + 3]) != 2)) {
    fprintf(
        stderr,
        "bench_gemm [--device ID] [--dtype f32|bf16|bf16:f32] [--rounds N] [--provider PART] [M N K TRANS [BATCH]]\n");
    return 2;
  }
  gh_error err;
  gh_device *d;
  gh_status status = gh_device_open(&err, s.device, &d);
  if (!status) {
    status = run_all(&err, d, &s, argv + optind, left);
    gh_device_close(d);
  }
  if (status) fprintf(stderr, "bench_gemm: %s\n", err.text);
  return status ? 1 : 0;
}
