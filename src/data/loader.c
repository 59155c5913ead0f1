/* The ring: sample number s (0, 1, ... in delivery order) lives in slot s % ahead. Workers claim numbers in order, at
 * most `ahead` beyond the last delivered, and fill slots in any order; the consumer takes them in order. */
#include "data/loader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/random.h"
#include "base/retry.h"

typedef enum slot_state { SLOT_EMPTY, SLOT_CLAIMED, SLOT_READY, SLOT_FAILED } slot_state;

typedef struct slot {
  slot_state state;
  gh_image image; /* (S, S, 3) when ready */
  gh_loader_sample sample;
  gh_error error; /* when failed */
} slot;

struct gh_loader {
  gh_loader_options options; /* its sources are not copied */
  gh_stream crop_stream;
  gh_image_set *own; /* NULL: the caller owns the images */
  const gh_image_set *set;
  uint64_t images;

  atomic_bool give_up;  /* no further wait for a fault to pass: one did not, or stop */
  pthread_mutex_t lock; /* guards the fields below */
  pthread_cond_t room;  /* a slot was emptied, or stop */
  pthread_cond_t ready; /* a slot was filled */
  bool stop;
  uint64_t claimed, delivered; /* sample numbers */
  slot *slots;                 /* [options.ahead] */
  uint8_t *broken;             /* [images] */
  uint64_t broken_count;
  pthread_t *threads;
  int thread_count;
};

/* ---- which image ---- */

static uint64_t ordinal_of(const gh_loader *loader, uint64_t number) {
  const gh_loader_options *o = &loader->options;
  return o->first_ordinal + number / o->block * o->period + number % o->block;
}

/* The image `step` positions after the ordinal's own, in its epoch's shuffle. */
static uint64_t image_after(const gh_loader *loader, uint64_t ordinal, uint64_t step) {
  uint64_t n = loader->images;
  char epoch[24];
  if (loader->options.in_order) return (ordinal % n + step) % n;
  snprintf(epoch, sizeof epoch, "%llu", (unsigned long long)(ordinal / n));
  gh_stream shuffle = gh_stream_make(loader->options.seed, loader->options.stage, "shuffle", epoch);
  return gh_permute(shuffle, (ordinal % n + step) % n, n);
}

uint64_t gh_loader_image_of(const gh_loader *loader, uint64_t ordinal) { return image_after(loader, ordinal, 0); }

char *gh_loader_name(gh_error *err, const gh_loader *loader, uint64_t index) {
  if (index >= loader->images) {
    gh_fail(err, GH_ERROR_ARGUMENT, "image %llu of %llu", (unsigned long long)index,
            (unsigned long long)loader->images);
    return NULL;
  }
  return gh_image_set_name(err, loader->set, index);
}

/* ---- one sample ---- */

static bool is_known_broken(gh_loader *loader, uint64_t index) {
  pthread_mutex_lock(&loader->lock);
  bool broken = loader->broken[index];
  pthread_mutex_unlock(&loader->lock);
  return broken;
}

static void note_broken(gh_loader *loader, uint64_t index, const gh_error *why) {
  pthread_mutex_lock(&loader->lock);
  bool first = !loader->broken[index];
  loader->broken[index] = 1;
  loader->broken_count += first;
  pthread_mutex_unlock(&loader->lock);
  if (first) gh_warn("image skipped: %s", why->text);
}

static gh_status crop_once(gh_error *err, gh_image *out, const gh_loader *loader, const gh_image *image,
                           const gh_loader_sample *sample) {
  const gh_loader_options *o = &loader->options;
  char name[24];
  if (!o->crops) return gh_augment(err, out, image, &o->crop, loader->crop_stream, sample->ordinal, o->image_size);
  snprintf(name, sizeof name, "%llu", (unsigned long long)sample->crop);
  return gh_augment(err, out, image, &o->crop, gh_stream_make(o->seed, 0, "crop", name), sample->image, o->image_size);
}

/* The crop of one sample from its decoded image. */
static gh_status crop_sample(gh_error *err, gh_image *out, const gh_loader *loader, const gh_image *image,
                             const gh_loader_sample *sample) {
  gh_retry retry = {.give_up = &loader->give_up};
  gh_status status = crop_once(err, out, loader, image, sample);
  while (status && gh_retry_wait(&retry, err)) status = crop_once(err, out, loader, image, sample);
  return status;
}

/* A fault of the machine says nothing about the file, so it ends the run instead of changing its data. */
static gh_status make_sample(gh_error *err, gh_image *out, gh_loader_sample *sample, gh_loader *loader,
                             uint64_t ordinal) {
  uint64_t crops = loader->options.crops;
  *out = (gh_image){0};
  for (uint64_t step = 0; step < loader->images; step++) {
    uint64_t index = image_after(loader, ordinal, step);
    if (is_known_broken(loader, index)) continue;
    gh_image image = {0};
    gh_error why = {0};
    gh_status status = gh_image_set_decode(&why, &image, loader->set, index, &loader->give_up);
    *sample = (gh_loader_sample){ordinal, index, crops ? ordinal / loader->images % crops : 0};
    if (!status)
      status = crop_sample(err, out, loader, &image, sample);
    else if (gh_status_is_fault(status))
      gh_fail(err, status, "%s", why.text);
    else
      note_broken(loader, index, &why);
    gh_image_free(&image);
    if (why.status == GH_OK || gh_status_is_fault(why.status)) return status;
  }
  return gh_fail(err, GH_ERROR_FILE, "no readable image among %llu", (unsigned long long)loader->images);
}

/* ---- workers ---- */

/* Called with the lock held; releases it while decoding. */
static void fill_slot(gh_loader *loader, uint64_t number) {
  slot *target = &loader->slots[number % loader->options.ahead];
  target->state = SLOT_CLAIMED;
  pthread_mutex_unlock(&loader->lock);
  gh_image image;
  gh_loader_sample sample = {0};
  gh_error error = {0};
  gh_status status = make_sample(&error, &image, &sample, loader, ordinal_of(loader, number));
  if (gh_status_is_fault(status)) atomic_store(&loader->give_up, true);
  pthread_mutex_lock(&loader->lock);
  target->image = image;
  target->sample = sample;
  target->error = error;
  target->state = status ? SLOT_FAILED : SLOT_READY;
  pthread_cond_broadcast(&loader->ready);
}

static void *work(void *argument) {
  gh_loader *loader = argument;
  pthread_mutex_lock(&loader->lock);
  while (!loader->stop) {
    if (loader->claimed < loader->delivered + loader->options.ahead)
      fill_slot(loader, loader->claimed++);
    else
      pthread_cond_wait(&loader->room, &loader->lock);
  }
  pthread_mutex_unlock(&loader->lock);
  return NULL;
}

/* A failed slot stays, so that every later call fails too. */
static gh_status take_slot(gh_error *err, gh_loader *loader, float *image, gh_loader_sample *sample) {
  slot *next = &loader->slots[loader->delivered % loader->options.ahead];
  if (next->state == SLOT_EMPTY && !loader->thread_count) fill_slot(loader, loader->claimed++);
  while (next->state != SLOT_READY && next->state != SLOT_FAILED) pthread_cond_wait(&loader->ready, &loader->lock);
  if (next->state == SLOT_FAILED) return gh_fail(err, next->error.status, "%s", next->error.text);
  gh_image taken = next->image;
  *sample = next->sample;
  next->image = (gh_image){0};
  next->state = SLOT_EMPTY;
  loader->delivered++;
  pthread_cond_signal(&loader->room);
  pthread_mutex_unlock(&loader->lock);
  gh_image_to_floats(image, &taken);
  gh_image_free(&taken);
  pthread_mutex_lock(&loader->lock);
  return GH_OK;
}

static gh_status next(gh_error *err, gh_loader *loader, float *images, gh_loader_sample *samples, uint64_t *ordinals,
                      size_t count) {
  size_t floats = (size_t)loader->options.image_size * loader->options.image_size * 3;
  gh_status status = GH_OK;
  pthread_mutex_lock(&loader->lock);
  for (size_t i = 0; i < count && !status; i++) {
    gh_loader_sample sample = {.ordinal = ordinal_of(loader, loader->delivered)};
    if (ordinals) ordinals[i] = sample.ordinal;
    status = take_slot(err, loader, images + i * floats, &sample);
    if (samples) samples[i] = sample;
  }
  pthread_mutex_unlock(&loader->lock);
  return status;
}

gh_status gh_loader_next(gh_error *err, gh_loader *loader, float *images, uint64_t *ordinals, size_t count) {
  return next(err, loader, images, NULL, ordinals, count);
}

gh_status gh_loader_next_samples(gh_error *err, gh_loader *loader, float *images, gh_loader_sample *samples,
                                 size_t count) {
  return next(err, loader, images, samples, NULL, count);
}

/* ---- life ---- */

static gh_status check_options(gh_error *err, const gh_loader_options *o) {
  if (o->image_size <= 0 || (int64_t)o->image_size * o->image_size > GH_IMAGE_MAX_PIXELS)
    return gh_fail(err, GH_ERROR_ARGUMENT, "image size %d", o->image_size);
  if (o->workers < 0 || o->workers > 1024)
    return gh_fail(err, GH_ERROR_CONFIG, "data.workers: %d is not a valid number of threads", o->workers);
  if ((o->block == 0) != (o->period == 0) || o->block > o->period)
    return gh_fail(err, GH_ERROR_ARGUMENT, "a block of %llu in every %llu samples", (unsigned long long)o->block,
                   (unsigned long long)o->period);
  return gh_crop_rule_check(err, &o->crop);
}

static gh_status start_workers(gh_error *err, gh_loader *loader) {
  loader->threads = gh_alloc(err, (size_t)loader->options.workers, sizeof(pthread_t));
  if (!loader->threads) return GH_ERROR_MEMORY;
  for (int i = 0; i < loader->options.workers; i++) {
    int code = pthread_create(&loader->threads[i], NULL, work, loader);
    if (code)
      return gh_fail(err, GH_ERROR_MEMORY, "cannot start worker %d of %d: %s", i + 1, loader->options.workers,
                     strerror(code));
    pthread_mutex_lock(&loader->lock);
    loader->thread_count++;
    pthread_mutex_unlock(&loader->lock);
  }
  return GH_OK;
}

gh_status gh_loader_create(gh_error *err, gh_loader **out, const gh_loader_options *options) {
  *out = NULL;
  gh_status status = check_options(err, options);
  if (status) return status;
  gh_loader *loader = gh_alloc(err, 1, sizeof *loader);
  if (!loader) return GH_ERROR_MEMORY;
  loader->options = *options;
  loader->options.sources = NULL;
  if (!options->block) loader->options.block = loader->options.period = 1;
  loader->options.ahead = GH_MAX(options->ahead, 1);
  loader->crop_stream = gh_stream_make(options->seed, options->stage, "crop", "");
  pthread_mutex_init(&loader->lock, NULL);
  pthread_cond_init(&loader->room, NULL);
  pthread_cond_init(&loader->ready, NULL);
  loader->set = options->set;
  if (!loader->set) {
    if ((status = gh_image_set_open(err, &loader->own, "data.images", options->sources, options->source_count)))
      goto fail;
    loader->set = loader->own;
  }
  loader->images = gh_image_set_count(loader->set);
  loader->slots = gh_alloc(err, loader->options.ahead, sizeof *loader->slots);
  loader->broken = gh_alloc(err, loader->images, 1);
  status = loader->slots && loader->broken ? start_workers(err, loader) : GH_ERROR_MEMORY;
  if (status) goto fail;
  *out = loader;
  return GH_OK;
fail:
  gh_loader_free(loader);
  return status;
}

void gh_loader_free(gh_loader *loader) {
  if (!loader) return;
  pthread_mutex_lock(&loader->lock);
  loader->stop = true;
  atomic_store(&loader->give_up, true);
  pthread_cond_broadcast(&loader->room);
  pthread_mutex_unlock(&loader->lock);
  for (int i = 0; i < loader->thread_count; i++) pthread_join(loader->threads[i], NULL);
  for (size_t i = 0; loader->slots && i < loader->options.ahead; i++) gh_image_free(&loader->slots[i].image);
  gh_image_set_free(loader->own);
  pthread_cond_destroy(&loader->ready);
  pthread_cond_destroy(&loader->room);
  pthread_mutex_destroy(&loader->lock);
  free(loader->slots);
  free(loader->broken);
  free(loader->threads);
  free(loader);
}

/* ---- facts ---- */

void gh_loader_get_stats(gh_loader *loader, gh_loader_stats *out) {
  pthread_mutex_lock(&loader->lock);
  uint64_t left_out = gh_image_set_left_out(loader->set);
  *out = (gh_loader_stats){.images = loader->images,
                           .left_out = left_out,
                           .skipped = left_out + loader->broken_count,
                           .samples = loader->delivered};
  pthread_mutex_unlock(&loader->lock);
}

uint64_t gh_loader_index_hash(const gh_loader *loader) { return gh_image_set_hash(loader->set); }

gh_status gh_loader_skipped(gh_error *err, gh_loader *loader, gh_strings *out) {
  gh_status status = GH_OK;
  for (uint64_t i = 0; i < loader->images && !status; i++) {
    if (!is_known_broken(loader, i)) continue;
    char *name = gh_loader_name(err, loader, i);
    status = name ? gh_strings_add(err, out, name) : GH_ERROR_MEMORY;
    free(name);
  }
  return status;
}
