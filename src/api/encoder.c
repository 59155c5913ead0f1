/* The public library's encoders: pictures and lines of text to embeddings. */
#include "api/internal.h"
#include "base/file.h"
#include "encode/encode.h"
#include "encode/feed.h"

#include <stdlib.h>
#include <string.h>

GH_API_NO_PADDING(genhance_encoder_options, precision);
GH_API_NO_PADDING(genhance_image, height);

struct genhance_encoder {
  gh_device *device;
  char *folder, *adapter, *weights; /* of the model, and from the options or NULL; kept for the text tower */
  gh_embed_options options;
  gh_embedder embedder;
  gh_text_embedder *texts; /* NULL until the first line */
};

/* ---- opening ---- */

static gh_status read_options(genhance_encoder *e, const char *folder, const genhance_encoder_options *given) {
  gh_error *err = &gh_api_error;
  genhance_encoder_options o;
  gh_status status = GH_API_READ(&o, given, genhance_encoder_options);
  if (!status) status = gh_api_batch(o.batch, 1, &e->options.batch);
  if (!status) status = gh_api_precision(o.precision, &e->options.storage);
  if (status) return status;
  if (!(e->folder = gh_strdup(err, folder))) return GH_ERROR_MEMORY;
  if (o.adapter && !(e->adapter = gh_strdup(err, o.adapter))) return GH_ERROR_MEMORY;
  if (o.weights && !(e->weights = gh_strdup(err, o.weights))) return GH_ERROR_MEMORY;
  e->options.adapter = e->adapter;
  e->options.encoder = e->weights;
  return GH_OK;
}

genhance_status genhance_encoder_open(genhance_encoder **out, genhance_device *device, const char *model_folder,
                                      const genhance_encoder_options *options) {
  if (out) *out = NULL;
  if (!out || !device || !model_folder)
    return gh_api_refuse("genhance_encoder_open: out, device or model_folder is NULL");
  genhance_encoder *e = gh_alloc(&gh_api_error, 1, sizeof *e);
  if (!e) return GENHANCE_ERROR_MEMORY;
  e->device = device->device;
  gh_status status = read_options(e, model_folder, options);
  if (!status) status = gh_embedder_open(&gh_api_error, &e->embedder, e->device, e->folder, &e->options);
  if (status)
    genhance_encoder_close(e);
  else
    *out = e;
  return gh_api_result(status);
}

void genhance_encoder_close(genhance_encoder *e) {
  if (!e) return;
  gh_text_embedder_close(e->texts);
  gh_embedder_close(&e->embedder);
  free(e->folder);
  free(e->adapter);
  free(e->weights);
  free(e);
}

size_t genhance_encoder_width(const genhance_encoder *e) { return e ? (size_t)e->embedder.width : 0; }

/* ---- pictures ---- */

genhance_status genhance_embed_files(genhance_encoder *e, float *embeddings, const char *const *paths, size_t count) {
  if (!e || (count && (!embeddings || !paths))) return gh_api_refuse("genhance_embed_files: an argument is NULL");
  for (size_t i = 0; i < count; i++)
    if (!paths[i]) return gh_api_result(gh_fail(&gh_api_error, GH_ERROR_ARGUMENT, "path %zu is NULL", i));
  for (size_t i = 0; i < count; i++) { /* said at once: a file that vanishes later is waited for */
    uint64_t bytes;
    gh_status status = gh_file_size(&gh_api_error, paths[i], &bytes);
    if (status) return gh_api_result(status);
  }
  const gh_strings list = {.items = (char **)paths, .count = count}; /* only read */
  return gh_api_result(count ? gh_feed_files(&gh_api_error, embeddings, &e->embedder, &list, NULL) : GH_OK);
}

static gh_status read_image(gh_image *out, const void *given, size_t size, size_t index) {
  genhance_image image;
  gh_status status = gh_api_read_element(&image, sizeof image, given, size, "genhance_image");
  if (status) return status;
  if (!image.rgb || image.width < 1 || image.height < 1)
    return gh_fail(&gh_api_error, GH_ERROR_ARGUMENT, "picture %zu has no pixels", index);
  if (image.width > GH_IMAGE_MAX_SIDE || image.height > GH_IMAGE_MAX_SIDE ||
      (int64_t)image.width * image.height > GH_IMAGE_MAX_PIXELS)
    return gh_fail(&gh_api_error, GH_ERROR_ARGUMENT, "picture %zu is too large: %d x %d", index, image.width,
                   image.height);
  *out = (gh_image){.width = image.width, .height = image.height, .pixels = (uint8_t *)image.rgb}; /* only read */
  return GH_OK;
}

genhance_status genhance_embed_images(genhance_encoder *e, float *embeddings, const genhance_image *images,
                                      size_t count) {
  if (!e || (count && (!embeddings || !images))) return gh_api_refuse("genhance_embed_images: an argument is NULL");
  if (!count) return GENHANCE_OK;
  gh_status status = gh_api_check_size(images, "genhance_image");
  gh_image *list = status ? NULL : gh_alloc(&gh_api_error, count, sizeof *list);
  if (!list) return gh_api_result(gh_api_error.status);
  for (size_t i = 0, size = images->struct_size; i < count && !status; i++)
    status = read_image(&list[i], (const char *)images + i * size, size, i);
  if (!status) status = gh_feed_images(&gh_api_error, embeddings, &e->embedder, list, count, NULL);
  free(list);
  return gh_api_result(status);
}

/* ---- text ---- */

static gh_status open_texts(genhance_encoder *e) {
  if (e->texts) return GH_OK;
  gh_status status = gh_text_embedder_open(&gh_api_error, &e->texts, e->device, e->folder, &e->options);
  if (status || gh_text_embedder_width(e->texts) == e->embedder.width) return status;
  status =
      gh_fail(&gh_api_error, GH_ERROR_FORMAT, "%s: the image tower gives %lld numbers, but the text tower gives %lld",
              e->folder, (long long)e->embedder.width, (long long)gh_text_embedder_width(e->texts));
  gh_text_embedder_close(e->texts);
  e->texts = NULL;
  return status;
}

genhance_status genhance_embed_texts(genhance_encoder *e, float *embeddings, const char *const *lines, size_t count) {
  if (!e || (count && (!embeddings || !lines))) return gh_api_refuse("genhance_embed_texts: an argument is NULL");
  if (!count) return GENHANCE_OK;
  for (size_t i = 0; i < count; i++)
    if (!lines[i]) return gh_api_result(gh_fail(&gh_api_error, GH_ERROR_ARGUMENT, "line %zu is NULL", i + 1));
  const gh_strings list = {.items = (char **)lines, .count = count}; /* only read */
  gh_text_encoding encoding = {0};
  gh_status status = open_texts(e);
  if (!status) status = gh_encode_text(&gh_api_error, &encoding, e->texts, &list, "text", NULL);
  if (!status) memcpy(embeddings, encoding.embeddings, count * (size_t)encoding.width * sizeof *embeddings);
  gh_text_encoding_free(&encoding);
  return gh_api_result(status);
}
