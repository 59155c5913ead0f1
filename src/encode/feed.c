#include "encode/feed.h"
#include "base/file.h"
#include "base/log.h"
#include "base/retry.h"
#include "data/clipped.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_THREADS 16

/* ---- reading a batch ---- */

typedef struct gh_batch {
  const gh_feed *feed;
  size_t first, count; /* pictures */
  float *pixels;       /* (B, 3, S, S) */
  gh_error *errors;    /* (B): status GH_OK where the picture is good */
  atomic_bool *give_up;
  atomic_size_t next;
} gh_batch;

/* A fault of the machine is tried again for a while. */
static void read_one(const gh_batch *b, size_t slot) {
  gh_retry retry = {.give_up = b->give_up};
  float *pixels = b->pixels + (int64_t)slot * gh_embedder_image_elements(b->feed->embedder);
  gh_error *err = &b->errors[slot];
  do {
    *err = (gh_error){0};
    err->status = b->feed->read(err, b->feed->user, b->first + slot, pixels);
  } while (gh_retry_wait(&retry, err));
  if (gh_status_is_fault(err->status)) atomic_store(b->give_up, true);
}

static void *read_some(void *context) {
  gh_batch *b = context;
  for (size_t slot; (slot = atomic_fetch_add(&b->next, 1)) < b->count;) read_one(b, slot);
  return NULL;
}

/* Runs `work` on one thread per processor, at most one per picture, including this thread. */
static void on_every_processor(void *(*work)(void *context), void *context, size_t pictures) {
  pthread_t threads[MAX_THREADS];
  size_t started = 0;
  size_t wanted = GH_MIN((size_t)GH_MAX(sysconf(_SC_NPROCESSORS_ONLN), 1), GH_MIN(pictures, (size_t)MAX_THREADS));
  while (started + 1 < wanted && !pthread_create(&threads[started], NULL, work, context)) started++;
  work(context);
  for (size_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

/* Fills the batch from picture `first` on. */
static void read_batch(gh_batch *b, size_t first) {
  size_t total = b->feed->total;
  b->first = GH_MIN(first, total);
  b->count = GH_MIN((size_t)b->feed->embedder->batch, total - b->first);
  atomic_store(&b->next, 0);
  on_every_processor(read_some, b, b->count);
}

/* ---- all batches ---- */

static gh_status take_rows(gh_error *err, const gh_batch *b, const float *rows) {
  const gh_feed *f = b->feed;
  gh_status status = GH_OK;
  for (size_t slot = 0; slot < b->count && !status; slot++)
    status = f->take(err, f->user, b->first + slot, &b->errors[slot], rows + (int64_t)slot * f->embedder->width);
  return status;
}

/* Reads the next batch while the device works on the current one. */
static gh_status run_batches(gh_error *err, const gh_feed *f, gh_batch *batches, float *rows) {
  gh_progress progress;
  gh_status status = GH_OK;
  if (f->what) gh_progress_start(&progress, f->what, "images", f->total - f->first, 0);
  read_batch(&batches[0], f->first);
  for (int now = 0; batches[now].count && !status; now = !now) {
    gh_batch *b = &batches[now];
    status = gh_embedder_start(err, f->embedder, b->pixels);
    if (!status) read_batch(&batches[!now], b->first + b->count);
    if (!status) status = gh_embedder_finish(err, f->embedder, rows);
    if (!status) status = take_rows(err, b, rows);
    if (f->what) gh_progress_update(&progress, b->first + b->count - f->first, NULL);
  }
  if (f->what && progress.terminal) gh_progress_end(&progress);
  return status;
}

gh_status gh_feed_run(gh_error *err, const gh_feed *f) {
  const gh_embedder *e = f->embedder;
  atomic_bool give_up = false;
  gh_batch batches[2] = {{.feed = f, .give_up = &give_up}, {.feed = f, .give_up = &give_up}};
  size_t pixels = (size_t)(e->batch * gh_embedder_image_elements(e));
  float *rows = gh_alloc(err, (size_t)(e->batch * e->width), sizeof *rows);
  bool enough = rows != NULL;
  for (int i = 0; i < 2; i++) {
    batches[i].pixels = gh_alloc(err, pixels, sizeof(float));
    batches[i].errors = gh_alloc(err, (size_t)e->batch, sizeof(gh_error));
    enough = enough && batches[i].pixels && batches[i].errors;
  }
  gh_status status = enough ? run_batches(err, f, batches, rows) : GH_ERROR_MEMORY;
  for (int i = 0; i < 2; i++) {
    free(batches[i].pixels);
    free(batches[i].errors);
  }
  free(rows);
  return status;
}

/* ---- files by name, pictures in memory ---- */

typedef struct gh_pictures {
  const gh_embedder *embedder;
  const gh_strings *paths; /* one of the two */
  const gh_image *images;
  float *out;
  gh_clipped clips;
} gh_pictures;

static gh_status read_picture(gh_error *err, void *user, size_t index, float *pixels) {
  gh_pictures *p = user;
  const gh_preprocess *how = &p->embedder->preprocess;
  if (p->images) return gh_preprocess_image(err, NULL, pixels, how, &p->images[index]);
  const char *path = p->paths->items[index];
  char *bytes = NULL;
  size_t size = 0;
  bool clipped = false;
  gh_status status = gh_file_read(err, path, GH_IMAGE_MAX_BYTES, &bytes, &size);
  if (!status) status = gh_preprocess_file(err, NULL, pixels, how, path, bytes, size, &clipped);
  if (!status && clipped) gh_clipped_note(&p->clips, path);
  free(bytes);
  return status;
}

static gh_status not_finite(gh_error *err, const gh_pictures *p, size_t index) {
  static const char text[] = "its embedding is not finite";
  if (p->paths) return gh_fail(err, GH_ERROR_NUMERIC, "%s: %s", p->paths->items[index], text);
  return gh_fail(err, GH_ERROR_NUMERIC, "picture %zu: %s", index, text);
}

static gh_status take_row(gh_error *err, void *user, size_t index, const gh_error *why, const float *row) {
  const gh_pictures *p = user;
  int64_t width = p->embedder->width;
  if (why->status) {
    *err = *why;
    return p->paths ? why->status : gh_fail_in(err, "picture %zu", index);
  }
  for (int64_t i = 0; i < width; i++)
    if (!isfinite(row[i])) return not_finite(err, p, index);
  memcpy(p->out + (int64_t)index * width, row, (size_t)width * sizeof *row);
  return GH_OK;
}

static gh_status feed_pictures(gh_error *err, gh_pictures *pictures, gh_embedder *embedder, size_t count,
                               const char *what) {
  gh_feed feed = {.embedder = embedder, .what = what, .read = read_picture, .take = take_row, .user = pictures};
  const size_t batch = (size_t)embedder->batch;
  feed.total = gh_parts_range(embedder->parts, count, batch, &feed.first);
  gh_status status = gh_feed_run(err, &feed);
  gh_clipped_end(&pictures->clips);
  return gh_parts_exchange(err, embedder->parts, status, pictures->out, count, batch, embedder->width);
}

gh_status gh_feed_files(gh_error *err, float *out, gh_embedder *embedder, const gh_strings *paths, const char *what) {
  gh_pictures pictures = {.embedder = embedder, .paths = paths, .out = out, .clips = GH_NONE_CLIPPED};
  return feed_pictures(err, &pictures, embedder, paths->count, what);
}

gh_status gh_feed_images(gh_error *err, float *out, gh_embedder *embedder, const gh_image *images, size_t count,
                         const char *what) {
  gh_pictures pictures = {.embedder = embedder, .images = images, .out = out, .clips = GH_NONE_CLIPPED};
  return feed_pictures(err, &pictures, embedder, count, what);
}

/* ---- decoding alone ---- */

typedef struct gh_checking {
  const gh_strings *paths;
  atomic_size_t next;
  atomic_bool give_up;
  pthread_mutex_t lock; /* guards what follows */
  size_t done, broken, first;
  gh_error why; /* for the first broken picture */
  gh_progress progress;
} gh_checking;

static void note_checked(gh_checking *c, size_t index, const gh_error *err) {
  pthread_mutex_lock(&c->lock);
  c->broken += err->status != GH_OK;
  if (err->status && (c->broken == 1 || index < c->first)) {
    c->first = index;
    c->why = *err;
  }
  gh_progress_update(&c->progress, ++c->done, NULL);
  pthread_mutex_unlock(&c->lock);
}

static gh_error check_one(const char *path) {
  gh_error err = {0};
  gh_image image = {0};
  gh_image_read(&err, &image, path);
  gh_image_free(&image);
  return err;
}

static void *check_some(void *context) {
  gh_checking *c = context;
  for (size_t i; !gh_stop_requested() && (i = atomic_fetch_add(&c->next, 1)) < c->paths->count;) {
    gh_error err;
    gh_retry retry = {.give_up = &c->give_up};
    do err = check_one(c->paths->items[i]);
    while (gh_retry_wait(&retry, &err));
    if (gh_status_is_fault(err.status)) atomic_store(&c->give_up, true);
    note_checked(c, i, &err);
  }
  return NULL;
}

gh_status gh_feed_check_files(gh_error *err, const gh_strings *paths, const char *what) {
  gh_checking c = {.paths = paths, .lock = PTHREAD_MUTEX_INITIALIZER};
  gh_progress_start(&c.progress, what, "images", paths->count, 0);
  on_every_processor(check_some, &c, paths->count);
  if (c.progress.terminal) gh_progress_end(&c.progress);
  pthread_mutex_destroy(&c.lock);
  if (gh_stop_requested()) return gh_fail(err, GH_ERROR_STOPPED, "stopped while %s", what);
  if (!c.broken) return GH_OK;
  return gh_fail(err, c.why.status, "%zu of %zu images cannot be decoded, the first: %s", c.broken, paths->count,
                 c.why.text);
}
