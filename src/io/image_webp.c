/* WebP through libwebp: lossy, lossless, and the first picture of an animation, as PIL opens it. */
#if GH_WITH_WEBP
#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include "io/image_codecs.h"

static int orientation_of(const WebPDemuxer *file) {
  static const struct {
    const char *chunk;
    int (*find)(const uint8_t *bytes, size_t size);
  } places[] = {{"EXIF", gh_exif_orientation}, {"XMP ", gh_xmp_orientation}};
  int found = 0;
  for (size_t i = 0; i < GH_COUNT(places) && !found; i++) {
    WebPChunkIterator at;
    if (WebPDemuxGetChunk(file, places[i].chunk, 1, &at)) found = places[i].find(at.chunk.bytes, at.chunk.size);
    WebPDemuxReleaseChunkIterator(&at);
  }
  return found ? found : 1;
}

/* Decodes the frame into its place on the canvas; what lies around it stays black. */
static gh_status decode_frame(gh_error *err, gh_image *out, const char *name, const WebPIterator *frame) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: libwebp of another ABI", name);
  VP8StatusCode code = WebPGetFeatures(frame->fragment.bytes, frame->fragment.size, &config.input);
  const int width = config.input.width, height = config.input.height;
  if (code == VP8_STATUS_OK && (frame->x_offset < 0 || frame->y_offset < 0 || width <= 0 || height <= 0 ||
                                width > out->width - frame->x_offset || height > out->height - frame->y_offset))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: broken WebP: a picture that exceeds its canvas", name);
  const size_t stride = (size_t)out->width * 3, first = (size_t)frame->y_offset * stride + (size_t)frame->x_offset * 3;
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = out->pixels + first;
  config.output.u.RGBA.stride = (int)stride;
  config.output.u.RGBA.size = (size_t)out->height * stride - first;
  if (code == VP8_STATUS_OK) code = WebPDecode(frame->fragment.bytes, frame->fragment.size, &config);
  WebPFreeDecBuffer(&config.output);
  if (code == VP8_STATUS_OK) return GH_OK;
  if (code == VP8_STATUS_OUT_OF_MEMORY) return gh_fail(err, GH_ERROR_MEMORY, "%s: out of memory for libwebp", name);
  return gh_fail(err, GH_ERROR_FORMAT, "%s: broken WebP: %s", name,
                 code == VP8_STATUS_NOT_ENOUGH_DATA ? "the file is truncated" : "its data is damaged");
}

gh_status gh_webp_decode(gh_error *err, gh_image *out, int *orientation, const char *name, const uint8_t *bytes,
                         size_t size) {
  WebPIterator frame = {0};
  WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
  const WebPData data = {bytes, size};
  WebPDemuxer *file = WebPDemuxPartial(&data, &state);
  gh_status status = GH_OK;
  if (!file && state == WEBP_DEMUX_DONE)
    status = gh_fail(err, GH_ERROR_MEMORY, "%s: out of memory for libwebp", name);
  else if (!file || state == WEBP_DEMUX_PARSE_ERROR)
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: broken WebP: its chunks are damaged", name);
  else if (state != WEBP_DEMUX_DONE)
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: broken WebP: the file is truncated", name);
  if (!status)
    status = gh_image_check_size(err, name, WebPDemuxGetI(file, WEBP_FF_CANVAS_WIDTH),
                                 WebPDemuxGetI(file, WEBP_FF_CANVAS_HEIGHT));
  if (!status && !WebPDemuxGetFrame(file, 1, &frame))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: broken WebP: no picture in it", name);
  if (!status)
    status =
        gh_image_new(err, out, WebPDemuxGetI(file, WEBP_FF_CANVAS_WIDTH), WebPDemuxGetI(file, WEBP_FF_CANVAS_HEIGHT));
  if (!status) status = decode_frame(err, out, name, &frame);
  if (!status) *orientation = orientation_of(file);
  WebPDemuxReleaseIterator(&frame);
  WebPDemuxDelete(file);
  return status;
}
#else
typedef int gh_built_without_webp;
#endif
