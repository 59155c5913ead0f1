#include "dist/reducer.h"
#include "base/log.h"
#include "dist/comm_internal.h"

#include <pthread.h>
#include <stdlib.h>

struct gh_reducer {
  gh_comm *comm;
  pthread_t thread;
  bool threaded;
  double waited;        /* by gh_comm_waited, at the beginning */
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t more, fewer;
  gh_sum *sums; /* (1 + most), of which the first stands for the agreement */
  int given, made;
  bool ends;
  /* The agreement: what this rank says, then what came of it; later the first failure. */
  const char *what;
  unsigned flags;
  gh_error failure;
};

/* The next piece of work, without the lock. */
static void make(gh_reducer *r, int index, const gh_sum *sum) {
  gh_error *failure = &r->failure;
  if (!index)
    failure->status = gh_comm_agree(failure, r->comm, failure->status, r->what, &r->flags);
  else if (!failure->status)
    failure->status = gh_comm_sum(failure, r->comm, sum);
}

static void *make_all(void *context) {
  gh_reducer *r = context;
  pthread_mutex_lock(&r->lock);
  for (;;) {
    while (r->made == r->given && !r->ends) pthread_cond_wait(&r->more, &r->lock);
    if (r->ends) break;
    const int index = r->made;
    const gh_sum sum = r->sums[index];
    pthread_mutex_unlock(&r->lock);
    make(r, index, &sum);
    pthread_mutex_lock(&r->lock);
    r->made++;
    pthread_cond_signal(&r->fewer);
  }
  pthread_mutex_unlock(&r->lock);
  return NULL;
}

gh_status gh_reducer_create(gh_error *err, gh_reducer **out, gh_comm *comm, int most) {
  *out = NULL;
  gh_reducer *r = gh_alloc(err, 1, sizeof *r);
  if (!r) return GH_ERROR_MEMORY;
  r->comm = comm;
  pthread_mutex_init(&r->lock, NULL);
  pthread_cond_init(&r->more, NULL);
  pthread_cond_init(&r->fewer, NULL);
  *out = r;
  if (!(r->sums = gh_alloc(err, 1 + (size_t)most, sizeof *r->sums))) return GH_ERROR_MEMORY;
  if (!comm->transport->threads) return GH_OK;
  r->threaded = !pthread_create(&r->thread, NULL, make_all, r);
  return r->threaded ? GH_OK : gh_fail(err, GH_ERROR_MEMORY, "no thread for the sums of gradients");
}

void gh_reducer_free(gh_reducer *r) {
  if (!r) return;
  pthread_mutex_lock(&r->lock);
  r->ends = true;
  pthread_cond_signal(&r->more);
  pthread_mutex_unlock(&r->lock);
  if (r->threaded) pthread_join(r->thread, NULL);
  pthread_cond_destroy(&r->fewer);
  pthread_cond_destroy(&r->more);
  pthread_mutex_destroy(&r->lock);
  free(r->sums);
  free(r);
}

bool gh_reducer_overlaps(const gh_reducer *r) { return r->threaded; }

static void give(gh_reducer *r, const gh_sum *sum) {
  pthread_mutex_lock(&r->lock);
  r->sums[r->given++] = *sum;
  pthread_cond_signal(&r->more);
  pthread_mutex_unlock(&r->lock);
}

void gh_reducer_begin(gh_reducer *r, gh_status own, const gh_error *why, const char *what, unsigned flags) {
  if (own) r->failure = *why;
  r->failure.status = own; /* the thread has nothing to do yet */
  r->what = what;
  r->flags = flags;
  r->waited = r->comm->waited;
  give(r, &(gh_sum){0});
}

void gh_reducer_add(gh_reducer *r, const gh_sum *sum) { give(r, sum); }

gh_status gh_reducer_wait(gh_error *err, gh_reducer *r, unsigned *flags) {
  const double began = gh_now();
  pthread_mutex_lock(&r->lock);
  for (; !r->threaded && r->made < r->given; r->made++) make(r, r->made, &r->sums[r->made]);
  while (r->made < r->given) pthread_cond_wait(&r->fewer, &r->lock);
  r->given = r->made = 0;
  pthread_mutex_unlock(&r->lock);
  r->comm->waited = r->waited + gh_now() - began;
  *flags = r->flags;
  if (r->failure.status) *err = r->failure;
  return r->failure.status;
}
