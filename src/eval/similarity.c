#include "eval/similarity.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_THREADS 64
#define LANES       2 /* doubles per vector, available on every 64-bit machine */
#define PANEL       8 /* candidates processed together: their sums accumulate in parallel */
#define BATCH       8 /* queries per thread at a time: they share each read of a panel */

typedef double gh_lanes __attribute__((vector_size(LANES * sizeof(double))));

typedef struct gh_similarity_job {
  const double *queries;
  gh_lanes *panels; /* (ceil(m / PANEL), width, PANEL), zeros past the last candidate */
  int64_t n, m, width;
  gh_similarity_visit *visit;
  void *user;
  _Atomic int64_t next;
} gh_similarity_job;

typedef struct gh_similarity_worker {
  gh_similarity_job *job;
  double *scores; /* (BATCH, m rounded up to panels) */
} gh_similarity_worker;

static int64_t row_size(const gh_similarity_job *j) { return GH_CEIL_DIV(j->m, PANEL) * PANEL; }

/* The dot products of two queries with a panel of candidates: eight independent sums, so that none waits for
 * another. */
static void multiply(double *out, double *out2, const double *query, const double *query2, const gh_lanes *panel,
                     int64_t width) {
  gh_lanes a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};
  for (int64_t i = 0; i < width; i++, panel += PANEL / LANES) {
    const gh_lanes x = {query[i], query[i]}, y = {query2[i], query2[i]};
    a0 += x * panel[0];
    a1 += x * panel[1];
    a2 += x * panel[2];
    a3 += x * panel[3];
    b0 += y * panel[0];
    b1 += y * panel[1];
    b2 += y * panel[2];
    b3 += y * panel[3];
  }
  const gh_lanes a[] = {a0, a1, a2, a3}, b[] = {b0, b1, b2, b3};
  memcpy(out, a, sizeof a);
  memcpy(out2, b, sizeof b);
}

static void *work(void *context) {
  gh_similarity_worker *w = context;
  gh_similarity_job *j = w->job;
  int64_t row = row_size(j);
  for (int64_t first; (first = atomic_fetch_add(&j->next, BATCH)) < j->n;) {
    int64_t count = GH_MIN(BATCH, j->n - first);
    for (int64_t p = 0; p * PANEL < j->m; p++)
      for (int64_t q = 0; q < count; q += 2) {
        int64_t r = GH_MIN(q + 1, count - 1); /* an odd last one is paired with itself */
        multiply(w->scores + q * row + p * PANEL, w->scores + r * row + p * PANEL, j->queries + (first + q) * j->width,
                 j->queries + (first + r) * j->width, j->panels + p * j->width * (PANEL / LANES), j->width);
      }
    for (int64_t q = 0; q < count; q++) j->visit(j->user, first + q, w->scores + q * row);
  }
  return NULL;
}

static void fill_panels(gh_similarity_job *j, const double *candidates) {
  double *panels = (double *)j->panels;
  for (int64_t c = 0; c < j->m; c++)
    for (int64_t i = 0; i < j->width; i++)
      panels[(c / PANEL * j->width + i) * PANEL + c % PANEL] = candidates[c * j->width + i];
}

gh_status gh_similarities(gh_error *err, const double *queries, int64_t n, const double *candidates, int64_t m,
                          int64_t width, gh_similarity_visit *visit, void *user) {
  gh_similarity_job job = {.queries = queries, .n = n, .m = m, .width = width, .visit = visit, .user = user};
  gh_similarity_worker workers[MAX_THREADS] = {{0}};
  pthread_t threads[MAX_THREADS];
  int64_t wanted =
      GH_MIN(GH_MIN(GH_MAX((int64_t)sysconf(_SC_NPROCESSORS_ONLN), 1), GH_CEIL_DIV(n, BATCH)), MAX_THREADS);
  int64_t started = 0;
  size_t bytes = (size_t)(row_size(&job) * width) * sizeof(double);
  if (n <= 0 || m <= 0) return GH_OK;
  /* gh_alloc only guarantees malloc's alignment; a vector needs alignment to its size. */
  char *memory = gh_alloc(err, bytes + sizeof(gh_lanes), 1);
  gh_status status = memory ? GH_OK : GH_ERROR_MEMORY;
  for (int64_t t = 0; t < wanted && !status; t++) {
    workers[t] = (gh_similarity_worker){&job, gh_alloc(err, (size_t)(BATCH * row_size(&job)), sizeof(double))};
    if (!workers[t].scores) status = GH_ERROR_MEMORY;
  }
  if (!status) {
    size_t odd = (size_t)((uintptr_t)memory % sizeof(gh_lanes));
    job.panels = (gh_lanes *)(void *)(memory + (odd ? sizeof(gh_lanes) - odd : 0));
    fill_panels(&job, candidates);
    while (started + 1 < wanted && !pthread_create(&threads[started], NULL, work, &workers[started + 1])) started++;
    work(&workers[0]);
    for (int64_t t = 0; t < started; t++) pthread_join(threads[t], NULL);
  }
  for (int64_t t = 0; t < wanted; t++) free(workers[t].scores);
  free(memory);
  return status;
}
