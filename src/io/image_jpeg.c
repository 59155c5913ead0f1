/* JPEG through TurboJPEG: accurate DCT and smooth upsampling, PIL's (libjpeg-turbo's) defaults. */
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "io/image_codecs.h"

/* ---- markers ---- */

enum { SOF0 = 0xC0, DHT = 0xC4, RST0 = 0xD0, SOI = 0xD8, EOI = 0xD9, APP1 = 0xE1, TEM = 0x01 };

/* Information from the markers, found without decoding. */
typedef struct outline {
  bool complete; /* the end-of-image marker is there */
  int frame;     /* first SOF marker, 0: none before the end */
  int precision; /* bits per sample */
  int exif, xmp; /* orientations, 0: absent */
} outline;

static bool is_frame(int marker) {
  return marker >= SOF0 && marker <= 0xCF && marker != DHT && marker != 0xC8 && marker != 0xCC;
}

static void note_segment(outline *found, int marker, const uint8_t *body, size_t size) {
  static const char xmp[] = "http://ns.adobe.com/xap/1.0/"; /* its zero byte belongs to it */
  if (is_frame(marker) && !found->frame && size >= 1) {
    found->frame = marker;
    found->precision = body[0];
  }
  if (marker != APP1) return;
  if (size >= 6 && memcmp(body, "Exif\0\0", 6) == 0 && !found->exif)
    found->exif = gh_exif_orientation(body, size);
  else if (size >= sizeof xmp && memcmp(body, xmp, sizeof xmp) == 0)
    found->xmp = gh_xmp_orientation(body + sizeof xmp, size - sizeof xmp);
}

static outline read_outline(const uint8_t *bytes, size_t size) {
  outline found = {0};
  size_t at = 2; /* after SOI */
  while (at + 1 < size) {
    if (bytes[at] != 0xFF) { /* coded data, or stray bytes between segments */
      const uint8_t *next = memchr(bytes + at, 0xFF, size - at);
      if (!next) break;
      at = (size_t)(next - bytes);
      continue;
    }
    int marker = bytes[at + 1];
    if (marker == 0xFF) { /* fill byte */
      at++;
      continue;
    }
    at += 2;
    if (marker == EOI) {
      found.complete = true;
      break;
    }
    if (marker == 0 || marker == TEM || (marker >= RST0 && marker <= SOI)) continue; /* no length follows */
    if (at + 2 > size) break;
    size_t length = (size_t)bytes[at] << 8 | bytes[at + 1];
    if (length < 2 || length > size - at) break;
    note_segment(&found, marker, bytes + at + 2, length - 2);
    at += length;
  }
  return found;
}

static gh_status check_outline(gh_error *err, const char *name, const outline *found) {
  static const int decodable[] = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}; /* Huffman and arithmetic, sequential, progressive */
  if (!found->complete) return gh_fail(err, GH_ERROR_FORMAT, "%s: broken JPEG: the file is truncated", name);
  if (!found->frame) return gh_fail(err, GH_ERROR_FORMAT, "%s: broken JPEG: no frame header", name);
  for (size_t i = 0; i < GH_COUNT(decodable); i++) {
    if (found->frame != decodable[i]) continue;
    if (found->precision == 8) return GH_OK;
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: JPEG with %d bits per sample is not supported", name,
                   found->precision);
  }
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: JPEG process SOF%d is not supported", name, found->frame - SOF0);
}

/* ---- pixels ---- */

/* round(a * b / 255) */
static int multiply_bytes(int a, int b) {
  int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/* The file's values are inverted: 255 means no ink. With c, m, y, k as ink, PIL's rule is
 * (255 - k) - c * (255 - k) / 255. */
static void cmyk_to_rgb(uint8_t *rgb, const uint8_t *cmyk, size_t pixels) {
  for (size_t i = 0; i < pixels; i++)
    for (size_t c = 0; c < 3; c++) {
      int light = cmyk[4 * i + 3];
      rgb[3 * i + c] = (uint8_t)GH_MAX(light - multiply_bytes(255 - cmyk[4 * i + c], light), 0);
    }
}

/* libjpeg warns and continues. If it had to invent pixels, the file is broken. Oddities that leave the pixels unchanged
 * (stray bytes between segments, an unknown version) are common and accepted. */
static bool warning_is_harmless(const char *text) {
  if (strstr(text, "extraneous bytes")) return true;
  return !strstr(text, "Corrupt JPEG data") && !strstr(text, "Premature end") &&
         !strstr(text, "Inconsistent progression");
}

/* TurboJPEG has no code for it, but passes on libjpeg's text, and its own. */
static bool ran_out_of_memory(const char *text) {
  return strstr(text, "nsufficient memory") || strstr(text, "emory allocation failure");
}

static gh_status fail_jpeg(gh_error *err, const char *name, const char *text) {
  if (ran_out_of_memory(text)) return gh_fail(err, GH_ERROR_MEMORY, "%s: out of memory for TurboJPEG", name);
  return gh_fail(err, GH_ERROR_FORMAT, "%s: broken JPEG: %s", name, text);
}

static gh_status decompress(gh_error *err, tjhandle jpeg, uint8_t *pixels, const char *name, const uint8_t *bytes,
                            size_t size, int width, int height, int format) {
  const int flags = TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS;
  if (tjDecompress2(jpeg, bytes, (unsigned long)size, pixels, width, 0, height, format, flags) == 0) return GH_OK;
  const char *text = tjGetErrorStr2(jpeg);
  if (tjGetErrorCode(jpeg) == TJERR_WARNING && warning_is_harmless(text)) return GH_OK;
  return fail_jpeg(err, name, text);
}

gh_status gh_jpeg_decode(gh_error *err, gh_image *out, int *orientation, const char *name, const uint8_t *bytes,
                         size_t size) {
  outline found = read_outline(bytes, size);
  gh_status status = check_outline(err, name, &found);
  if (status) return status;
  *orientation = found.exif ? found.exif : found.xmp ? found.xmp : 1;

  uint8_t *cmyk = NULL;
  tjhandle jpeg = tjInitDecompress();
  if (!jpeg) return gh_fail(err, GH_ERROR_MEMORY, "%s: out of memory for TurboJPEG", name);
  int width = 0, height = 0, subsampling = -1, space = -1;
  /* Fails for subsamplings it has no name for, although it can decode them: the sizes are set all the same. */
  if (tjDecompressHeader3(jpeg, bytes, (unsigned long)size, &width, &height, &subsampling, &space) != 0 &&
      (width <= 0 || height <= 0 || space < 0)) {
    status = fail_jpeg(err, name, tjGetErrorStr2(jpeg));
    goto done;
  }
  if ((status = gh_image_check_size(err, name, width, height))) goto done;
  if ((status = gh_image_new(err, out, width, height))) goto done;
  if (space == TJCS_CMYK || space == TJCS_YCCK) {
    size_t pixels = (size_t)width * height;
    cmyk = gh_alloc(err, pixels, 4);
    status = cmyk ? decompress(err, jpeg, cmyk, name, bytes, size, width, height, TJPF_CMYK) : GH_ERROR_MEMORY;
    if (!status) cmyk_to_rgb(out->pixels, cmyk, pixels);
  } else {
    status = decompress(err, jpeg, out->pixels, name, bytes, size, width, height, TJPF_RGB);
  }
done:
  free(cmyk);
  tjDestroy(jpeg);
  return status;
}
