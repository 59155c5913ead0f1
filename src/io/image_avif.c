/* AVIF through libavif: the first picture of a file, alpha dropped, as in PIL. The format's own rotation and mirror are
 * EXIF's orientation by another name; an EXIF block in the file does not count. */
#if GH_WITH_AVIF
#include <avif/avif.h>
#include <stdlib.h>
#include <string.h>

#include "io/image_codecs.h"

#if AVIF_VERSION >= 1000000
#define MIRROR_OF(image) ((image)->imir.axis)
#else
#define MIRROR_OF(image) ((image)->imir.mode)
#endif

/* By the quarter turns anticlockwise; then by the mirror: none, of top and bottom, of left and right. */
static int orientation_of(const avifImage *image) {
  static const uint8_t orientations[4][3] = {{1, 4, 2}, {8, 5, 7}, {3, 2, 4}, {6, 7, 5}};
  const int turns = image->transformFlags & AVIF_TRANSFORM_IROT ? image->irot.angle & 3 : 0;
  const int mirror = image->transformFlags & AVIF_TRANSFORM_IMIR ? 1 + (MIRROR_OF(image) & 1) : 0;
  return orientations[turns][mirror];
}

static gh_status fail(gh_error *err, const char *name, avifResult code) {
  if (code == AVIF_RESULT_NO_CODEC_AVAILABLE)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: AVIF, but libavif has no decoder of AV1", name);
#if AVIF_VERSION >= 110000
  if (code == AVIF_RESULT_OUT_OF_MEMORY) return gh_fail(err, GH_ERROR_MEMORY, "%s: out of memory for libavif", name);
#endif
  return gh_fail(err, GH_ERROR_FORMAT, "%s: broken AVIF: %s", name,
                 code == AVIF_RESULT_TRUNCATED_DATA || code == AVIF_RESULT_WAITING_ON_IO ? "the file is truncated"
                                                                                         : avifResultToString(code));
}

/* With an alpha channel through RGBA: asked for RGB, libavif would multiply by alpha. */
static gh_status convert(gh_error *err, gh_image *out, const char *name, const avifImage *image) {
  const size_t pixels = (size_t)image->width * image->height, bytes = image->alphaPlane ? 4 : 3;
  uint8_t *wide = NULL;
  gh_status status = gh_image_new(err, out, image->width, image->height);
  if (!status && bytes == 4 && !(wide = gh_alloc(err, pixels, bytes))) status = GH_ERROR_MEMORY;
  if (status) return status;
  avifRGBImage rgb = {0};
  avifRGBImageSetDefaults(&rgb, image);
  rgb.depth = 8;
  rgb.format = wide ? AVIF_RGB_FORMAT_RGBA : AVIF_RGB_FORMAT_RGB;
  rgb.pixels = wide ? wide : out->pixels;
  rgb.rowBytes = image->width * (uint32_t)bytes;
  const avifResult code = avifImageYUVToRGB(image, &rgb);
  if (code != AVIF_RESULT_OK) status = fail(err, name, code);
  for (size_t i = 0; wide && i < pixels; i++) memcpy(out->pixels + 3 * i, wide + 4 * i, 3);
  free(wide);
  return status;
}

gh_status gh_avif_decode(gh_error *err, gh_image *out, int *orientation, const char *name, const uint8_t *bytes,
                         size_t size) {
  avifDecoder *decoder = avifDecoderCreate();
  if (!decoder) return gh_fail(err, GH_ERROR_MEMORY, "%s: out of memory for libavif", name);
  gh_status status = GH_OK;
  decoder->maxThreads = 1;                                              /* pictures are decoded side by side */
  if (avifCodecName(AVIF_CODEC_CHOICE_AOM, AVIF_CODEC_FLAG_CAN_DECODE)) /* dav1d prints what is wrong with a file */
    decoder->codecChoice = AVIF_CODEC_CHOICE_AOM;
  decoder->ignoreExif = decoder->ignoreXMP = AVIF_TRUE;
  decoder->imageSizeLimit = (uint32_t)GH_MIN(GH_IMAGE_MAX_PIXELS, (int64_t)16384 * 16384); /* libavif's own greatest */
  decoder->strictFlags &= ~(avifStrictFlags)(AVIF_STRICT_CLAP_VALID | AVIF_STRICT_PIXI_REQUIRED); /* as PIL does */
  avifResult code = avifDecoderSetIOMemory(decoder, bytes, size);
  if (code == AVIF_RESULT_OK) code = avifDecoderParse(decoder);
  if (code == AVIF_RESULT_OK) status = gh_image_check_size(err, name, decoder->image->width, decoder->image->height);
  if (code == AVIF_RESULT_OK && !status) code = avifDecoderNextImage(decoder);
  if (code != AVIF_RESULT_OK) status = fail(err, name, code);
  if (!status) status = convert(err, out, name, decoder->image);
  if (!status) *orientation = orientation_of(decoder->image);
  avifDecoderDestroy(decoder);
  return status;
}
#else
typedef int gh_built_without_avif;
#endif
