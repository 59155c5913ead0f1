/* The public library: include/genhance/genhance.h over the rooms below. Handles own what they point to, and a failure's
 * text stays with the thread. */
#include "genhance/genhance.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "encode/embed.h"

#define MAX_DEVICES        256
#define MAX_BATCH          65536

#define SAME(ours, public) _Static_assert((int)(ours) == (int)(public), "the codes are passed on as they are")
SAME(GH_OK, GENHANCE_OK);
SAME(GH_ERROR_ARGUMENT, GENHANCE_ERROR_ARGUMENT);
SAME(GH_ERROR_FILE, GENHANCE_ERROR_FILE);
SAME(GH_ERROR_FORMAT, GENHANCE_ERROR_FORMAT);
SAME(GH_ERROR_CONFIG, GENHANCE_ERROR_CONFIG);
SAME(GH_ERROR_MEMORY, GENHANCE_ERROR_MEMORY);
SAME(GH_ERROR_DEVICE, GENHANCE_ERROR_DEVICE);
SAME(GH_ERROR_UNSUPPORTED, GENHANCE_ERROR_UNSUPPORTED);
SAME(GH_ERROR_NUMERIC, GENHANCE_ERROR_NUMERIC);

struct genhance_device {
  gh_device *device;
};

struct genhance_encoder {
  gh_embedder embedder;
  float *pixels; /* (B, 3, S, S) */
  float *rows;   /* (B, D) */
};

static _Thread_local gh_error last; /* of this thread's last failed call */
static pthread_once_t first_call = PTHREAD_ONCE_INIT;

static void be_quiet(void) { gh_log_set_level(GH_LOG_QUIET); }

static genhance_status result(gh_status status) { return (genhance_status)status; }

static genhance_status refuse(const char *why) { return result(gh_fail(&last, GH_ERROR_ARGUMENT, "%s", why)); }

const char *genhance_version(void) { return GH_VERSION; }

const char *genhance_last_error(void) { return last.text; }

void genhance_set_verbosity(int level) {
  static const gh_log_level levels[] = {GH_LOG_QUIET, GH_LOG_WARNING, GH_LOG_INFO};
  pthread_once(&first_call, be_quiet);
  gh_log_set_level(levels[level < 0 ? 0 : GH_MIN(level, 2)]);
}

/* ---- devices ---- */

static void describe(genhance_device_info *out, const gh_device_info *d) {
  *out =
      (genhance_device_info){.is_cpu = d->is_cpu, .compute_units = d->compute_units, .memory_bytes = d->memory_bytes};
  _Static_assert(sizeof out->id == sizeof d->id && sizeof out->name == sizeof d->name &&
                     sizeof out->platform == sizeof d->platform && sizeof out->driver == sizeof d->driver,
                 "the texts have the same room");
  memcpy(out->id, d->id, sizeof out->id);
  memcpy(out->name, d->name, sizeof out->name);
  memcpy(out->platform, d->platform, sizeof out->platform);
  memcpy(out->driver, d->driver, sizeof out->driver);
}

genhance_status genhance_device_list(genhance_device_info *infos, size_t capacity, size_t *count) {
  if (!count || (!infos && capacity)) return refuse("genhance_device_list: infos or count is NULL");
  pthread_once(&first_call, be_quiet);
  gh_device_info *found = gh_alloc(&last, MAX_DEVICES, sizeof *found);
  if (!found) return result(last.status);
  size_t total = (size_t)gh_device_list(found, MAX_DEVICES, NULL, 0);
  *count = GH_MIN(total, (size_t)MAX_DEVICES);
  for (size_t i = 0; i < GH_MIN(*count, capacity); i++) describe(&infos[i], &found[i]);
  free(found);
  return GENHANCE_OK;
}

genhance_status genhance_device_open(genhance_device **out, const char *id) {
  if (!out) return refuse("genhance_device_open: out is NULL");
  *out = NULL;
  pthread_once(&first_call, be_quiet);
  genhance_device *handle = gh_alloc(&last, 1, sizeof *handle);
  gh_status status = handle ? gh_device_open(&last, id ? id : "auto", &handle->device) : GH_ERROR_MEMORY;
  if (status)
    free(handle);
  else
    *out = handle;
  return result(status);
}

void genhance_device_close(genhance_device *device) {
  if (!device) return;
  gh_device_close(device->device);
  free(device);
}

/* ---- encoders ---- */

genhance_status genhance_encoder_open(genhance_encoder **out, genhance_device *device, const char *model_folder,
                                      const genhance_encoder_options *options) {
  if (out) *out = NULL;
  if (!out || !device || !model_folder) return refuse("genhance_encoder_open: out, device or model_folder is NULL");
  size_t batch = options && options->batch ? options->batch : 1;
  if (batch > MAX_BATCH) return refuse("genhance_encoder_open: batch is larger than 65536");
  gh_embed_options how = {.adapter = options ? options->adapter : NULL, .batch = (int64_t)batch};
  genhance_encoder *encoder = gh_alloc(&last, 1, sizeof *encoder);
  gh_status status =
      encoder ? gh_embedder_open(&last, &encoder->embedder, device->device, model_folder, &how) : GH_ERROR_MEMORY;
  if (!status) {
    encoder->pixels = gh_alloc(&last, batch * (size_t)gh_embedder_image_elements(&encoder->embedder), sizeof(float));
    encoder->rows = gh_alloc(&last, batch * (size_t)encoder->embedder.width, sizeof(float));
    if (!encoder->pixels || !encoder->rows) status = GH_ERROR_MEMORY;
  }
  if (status)
    genhance_encoder_close(encoder);
  else
    *out = encoder;
  return result(status);
}

void genhance_encoder_close(genhance_encoder *encoder) {
  if (!encoder) return;
  gh_embedder_close(&encoder->embedder);
  free(encoder->pixels);
  free(encoder->rows);
  free(encoder);
}

size_t genhance_encoder_width(const genhance_encoder *encoder) { return encoder ? (size_t)encoder->embedder.width : 0; }

/* Where the pictures of a call come from: one of the two. */
typedef struct gh_pictures {
  const char *const *paths;
  const genhance_image *images;
} gh_pictures;

static gh_status check_image(const genhance_image *image, size_t index) {
  if (!image->rgb || image->width < 1 || image->height < 1)
    return gh_fail(&last, GH_ERROR_ARGUMENT, "picture %zu has no pixels", index);
  if (image->width > GH_IMAGE_MAX_SIDE || image->height > GH_IMAGE_MAX_SIDE ||
      (int64_t)image->width * image->height > GH_IMAGE_MAX_PIXELS)
    return gh_fail(&last, GH_ERROR_ARGUMENT, "picture %zu is too large: %d x %d", index, image->width, image->height);
  return GH_OK;
}

/* One picture, preprocessed: to (3, S, S). */
static gh_status prepare(const genhance_encoder *encoder, float *to, const gh_pictures *from, size_t index) {
  const gh_preprocess *how = &encoder->embedder.preprocess;
  if (from->images) {
    const genhance_image *given = &from->images[index];
    gh_status status = check_image(given, index);
    gh_image image = {.width = given->width, .height = given->height, .pixels = (uint8_t *)given->rgb}; /* only read */
    return status ? status : gh_preprocess_image(&last, NULL, to, how, &image);
  }
  if (!from->paths[index]) return gh_fail(&last, GH_ERROR_ARGUMENT, "path %zu is NULL", index);
  gh_image image = {0};
  gh_status status = gh_image_read(&last, &image, from->paths[index]);
  if (!status) status = gh_preprocess_image(&last, NULL, to, how, &image);
  gh_image_free(&image);
  return status;
}

static gh_status check_finite(const float *rows, size_t count, size_t width, size_t first, const gh_pictures *from) {
  for (size_t i = 0; i < count * width; i++) {
    if (isfinite(rows[i])) continue;
    size_t index = first + i / width;
    if (from->paths) return gh_fail(&last, GH_ERROR_NUMERIC, "%s: its embedding is not finite", from->paths[index]);
    return gh_fail(&last, GH_ERROR_NUMERIC, "picture %zu: its embedding is not finite", index);
  }
  return GH_OK;
}

static genhance_status embed(genhance_encoder *encoder, float *embeddings, const gh_pictures *from, size_t count) {
  gh_embedder *e = &encoder->embedder;
  const size_t batch = (size_t)e->batch, width = (size_t)e->width, elements = (size_t)gh_embedder_image_elements(e);
  gh_status status = GH_OK;
  for (size_t first = 0; first < count && !status; first += batch) {
    size_t now = GH_MIN(batch, count - first); /* a last, smaller batch: the other places keep what they had */
    for (size_t i = 0; i < now && !status; i++)
      status = prepare(encoder, encoder->pixels + i * elements, from, first + i);
    if (!status) status = gh_embedder_start(&last, e, encoder->pixels);
    if (!status) status = gh_embedder_finish(&last, e, encoder->rows);
    if (!status) status = check_finite(encoder->rows, now, width, first, from);
    if (!status) memcpy(embeddings + first * width, encoder->rows, now * width * sizeof *embeddings);
  }
  return result(status);
}

genhance_status genhance_embed_files(genhance_encoder *encoder, float *embeddings, const char *const *paths,
                                     size_t count) {
  if (!encoder || (count && (!embeddings || !paths))) return refuse("genhance_embed_files: an argument is NULL");
  return embed(encoder, embeddings, &(gh_pictures){.paths = paths}, count);
}

genhance_status genhance_embed_images(genhance_encoder *encoder, float *embeddings, const genhance_image *images,
                                      size_t count) {
  if (!encoder || (count && (!embeddings || !images))) return refuse("genhance_embed_images: an argument is NULL");
  return embed(encoder, embeddings, &(gh_pictures){.images = images}, count);
}
