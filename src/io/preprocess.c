#include "io/preprocess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

/* ---- defaults ---- */

/* The open_clip package's own, for every family. */
static const gh_processor openclip_processor = {.defaults = GH_OPENAI_PREPROCESS};

void gh_preprocess_defaults(gh_preprocess *out, const gh_processor *processor, int image_size) {
  *out = processor->defaults;
  out->image_size = out->height = out->width = image_size;
  if (out->do_center_crop) out->shortest_edge = image_size;
}

/* ---- reading ---- */

static bool is_null(const gh_json *node) { return gh_json_type_of(node) == GH_JSON_NULL; }

static gh_status read_side(gh_error *err, const gh_json *node, const char *what, int *out) {
  int64_t side = 0;
  gh_status status = gh_json_to_int(err, node, what, &side);
  if (!status && (side <= 0 || side > GH_IMAGE_MAX_SIDE))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: %lld is not a side length in pixels", what, (long long)side);
  if (!status) *out = (int)side;
  return status;
}

/* {"height": H, "width": W} */
static gh_status read_height_width(gh_error *err, const gh_json *node, const char *what, int *height, int *width) {
  const gh_json *h = gh_json_member(node, "height"), *w = gh_json_member(node, "width");
  if (gh_json_type_of(node) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: expected a number or height and width, found %s", what,
                   gh_json_type_name(node));
  for (const gh_json *item = gh_json_first(node); item; item = gh_json_next(item))
    if (item != h && item != w && !is_null(item))
      return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s.%s is not supported, only height and width", what,
                     gh_json_key(item));
  gh_status status = read_side(err, h, what, height);
  return status ? status : read_side(err, w, what, width);
}

/* square: what a single number means, both sides instead of the shorter one. */
static gh_status read_size(gh_error *err, gh_preprocess *out, const gh_json *node, bool square) {
  if (is_null(node)) return GH_OK;
  const gh_json *edge = gh_json_type_of(node) == GH_JSON_NUMBER ? node : gh_json_member(node, "shortest_edge");
  out->shortest_edge = 0;
  if (is_null(edge)) return read_height_width(err, node, "size", &out->height, &out->width);
  if (edge == node && square) {
    gh_status status = read_side(err, edge, "size", &out->height);
    out->width = out->height;
    return status;
  }
  if (edge != node)
    for (const gh_json *item = gh_json_first(node); item; item = gh_json_next(item))
      if (item != edge && !is_null(item))
        return gh_fail(err, GH_ERROR_UNSUPPORTED, "size.%s together with size.shortest_edge is not supported",
                       gh_json_key(item));
  return read_side(err, edge, "size.shortest_edge", &out->shortest_edge);
}

static gh_status read_crop_size(gh_error *err, int *height, int *width, const gh_json *node) {
  if (is_null(node)) return GH_OK;
  if (gh_json_type_of(node) != GH_JSON_NUMBER) return read_height_width(err, node, "crop_size", height, width);
  gh_status status = read_side(err, node, "crop_size", height);
  *width = *height;
  return status;
}

/* One number for all channels, or one per channel. */
static gh_status read_channels(gh_error *err, const gh_json *root, const char *key, double out[3]) {
  const gh_json *node = gh_json_member(root, key);
  if (is_null(node)) return GH_OK;
  if (gh_json_type_of(node) == GH_JSON_NUMBER) {
    gh_status status = gh_json_to_double(err, node, key, &out[0]);
    out[1] = out[2] = out[0];
    return status;
  }
  if (gh_json_type_of(node) != GH_JSON_ARRAY || gh_json_count(node) != 3)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: expected three numbers", key);
  int c = 0;
  for (const gh_json *item = gh_json_first(node); item; item = gh_json_next(item)) {
    gh_status status = gh_json_to_double(err, item, key, &out[c++]);
    if (status) return status;
  }
  return GH_OK;
}

/* *out is the model's own class if the file names none. */
static gh_status read_class(gh_error *err, const gh_json *root, const gh_processor *const *known,
                            const gh_processor **out) {
  const char *name = NULL;
  gh_status status = gh_json_opt_string(err, root, "image_processor_type", &name);
  if (!status && !name) status = gh_json_opt_string(err, root, "feature_extractor_type", &name);
  *out = known[0];
  if (status || !name) return status;
  for (size_t i = 0; (*out = known[i]); i++)
    for (const char *const *class = known[i]->classes; *class; class ++)
      if (!strcmp(name, *class)) return GH_OK;
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "image processor \"%s\" is not supported", name);
}

/* The settings must yield S x S for every image. */
static gh_status check_result(gh_error *err, const gh_preprocess *how, int crop_height, int crop_width) {
  int height = how->height, width = how->width, size = how->image_size;
  if (how->do_center_crop)
    height = crop_height, width = crop_width;
  else if (!how->do_resize || how->shortest_edge)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "neither a crop nor a fixed size: images would differ in size");
  if (height != size || width != size)
    return gh_fail(err, GH_ERROR_FORMAT, "yields images of %d x %d pixels, the model takes %d x %d", width, height,
                   size, size);
  for (int c = 0; c < 3; c++)
    if (how->do_normalize && !((float)how->std[c] != 0.0f))
      return gh_fail(err, GH_ERROR_FORMAT, "image_std: %g is not a valid divisor", how->std[c]);
  return GH_OK;
}

static gh_status read_settings(gh_error *err, gh_preprocess *out, const gh_json *root, const gh_processor *const *known,
                               int image_size) {
  const gh_processor *processor;
  if (gh_json_type_of(root) != GH_JSON_OBJECT) return gh_fail(err, GH_ERROR_FORMAT, "expected an object");
  gh_status status = read_class(err, root, known, &processor);
  if (status) return status;
  gh_preprocess_defaults(out, processor, image_size);
  bool do_pad = false, square = false,
       do_convert_rgb = true; /* images are already RGB here, so do_convert_rgb does not matter */
  int64_t filter = out->filter;
  int crop_height = image_size, crop_width = image_size;
  const struct {
    const char *key;
    bool *value;
  } flags[] = {{"do_resize", &out->do_resize},      {"do_center_crop", &out->do_center_crop},
               {"do_rescale", &out->do_rescale},    {"do_normalize", &out->do_normalize},
               {"do_convert_rgb", &do_convert_rgb}, {"do_pad", &do_pad},
               {"default_to_square", &square}};
  for (size_t i = 0; i < GH_COUNT(flags); i++)
    if ((status = gh_json_opt_bool(err, root, flags[i].key, flags[i].value))) return status;
  if (do_pad) return gh_fail(err, GH_ERROR_UNSUPPORTED, "do_pad is not supported");
  if ((status = read_size(err, out, gh_json_member(root, "size"), square))) return status;
  if ((status = read_crop_size(err, &crop_height, &crop_width, gh_json_member(root, "crop_size")))) return status;
  if ((status = gh_json_opt_int(err, root, "resample", &filter))) return status;
  if ((status = gh_filter_from_number(err, &out->filter, "resample", filter))) return status;
  if ((status = gh_json_opt_double(err, root, "rescale_factor", &out->rescale_factor))) return status;
  if ((status = read_channels(err, root, "image_mean", out->mean))) return status;
  if ((status = read_channels(err, root, "image_std", out->std))) return status;
  return check_result(err, out, crop_height, crop_width);
}

/* The open_clip package's settings: its key names, and its defaults for every family. Its "size" is the model's. */
static gh_status read_openclip(gh_error *err, gh_preprocess *out, const gh_json *root, const gh_processor *const *known,
                               int image_size) {
  const gh_json *node = gh_json_member(root, "preprocess_cfg");
  const char *filter = "bicubic", *resize = "shortest", *mode = "RGB";
  gh_status status = gh_json_opt_string(err, node, "interpolation", &filter);
  if (!status) status = gh_json_opt_string(err, node, "resize_mode", &resize);
  if (!status) status = gh_json_opt_string(err, node, "mode", &mode);
  if (status) return status;
  bool squash = !strcmp(resize, "squash"), linear = !strcmp(filter, "bilinear");
  (void)known;
  gh_preprocess_defaults(out, &openclip_processor, image_size);
  out->crop_to_even = !squash;
  if (squash) out->shortest_edge = 0, out->do_center_crop = false;
  out->filter = linear ? GH_FILTER_BILINEAR : GH_FILTER_BICUBIC;
  if (!squash && strcmp(resize, "shortest"))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "preprocess_cfg.resize_mode: \"%.40s\" is not supported", resize);
  if (!linear && strcmp(filter, "bicubic"))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "preprocess_cfg.interpolation: \"%.40s\" is not supported", filter);
  if (strcmp(mode, "RGB"))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "preprocess_cfg.mode: \"%.40s\" is not supported", mode);
  status = read_channels(err, node, "mean", out->mean);
  if (!status) status = read_channels(err, node, "std", out->std);
  return status ? status : check_result(err, out, image_size, image_size);
}

/* An owner's files, the first that has settings counts. As in transformers 5, which writes processor_config.json, an
 * image processor in it counts before preprocessor_config.json. */
static const struct {
  const char *file, *member; /* member: inside the file; NULL: the root */
  gh_settings_owner owner;
  gh_status (*read)(gh_error *, gh_preprocess *, const gh_json *, const gh_processor *const *, int);
} places[] = {{"processor_config.json", "image_processor", GH_OWNER_TRANSFORMERS, read_settings},
              {"preprocessor_config.json", NULL, GH_OWNER_TRANSFORMERS, read_settings},
              {"open_clip_config.json", NULL, GH_OWNER_OPENCLIP, read_openclip}};

/* Sets *from to the file's name if it has the settings. */
static gh_status read_place(gh_error *err, gh_preprocess *out, const char *folder, size_t place,
                            const gh_processor *const *known, int image_size, const char **from) {
  char *path = gh_path_join(err, folder, places[place].file);
  if (!path) return GH_ERROR_MEMORY;
  gh_json *root = NULL;
  bool found = gh_path_exists(path);
  gh_status status = found ? gh_json_read_file(err, &root, path, GH_JSON_MAX_BYTES) : GH_OK;
  const gh_json *node = places[place].member ? gh_json_member(root, places[place].member) : root;
  if (!status && found && (node || !places[place].member)) {
    status = places[place].read(err, out, node, known, image_size);
    if (status) gh_fail_in(err, "%s", path);
    *from = places[place].file;
  }
  gh_json_free(root);
  free(path);
  return status;
}

gh_status gh_preprocess_read(gh_error *err, gh_preprocess *out, const char *folder, gh_settings_owner owner,
                             const gh_processor *const *known, int image_size, const char **from) {
  gh_status status = GH_OK;
  *from = NULL;
  gh_preprocess_defaults(out, known[0], image_size);
  for (int others = 0; others < 2; others++)
    for (size_t i = 0; i < GH_COUNT(places) && !status && !*from; i++)
      if ((places[i].owner != owner) == others) status = read_place(err, out, folder, i, known, image_size, from);
  return status;
}

bool gh_preprocess_equal(const gh_preprocess *a, const gh_preprocess *b) {
  bool equal = a->image_size == b->image_size && a->do_resize == b->do_resize && a->shortest_edge == b->shortest_edge &&
               a->filter == b->filter && a->do_center_crop == b->do_center_crop && a->do_rescale == b->do_rescale &&
               a->do_normalize == b->do_normalize && fabs(a->rescale_factor - b->rescale_factor) < 1e-9;
  if (!a->shortest_edge) equal = equal && a->height == b->height && a->width == b->width;
  for (int c = 0; c < 3; c++)
    equal = equal && fabs(a->mean[c] - b->mean[c]) < 1e-6 && fabs(a->std[c] - b->std[c]) < 1e-6;
  return equal;
}

/* ---- writing ---- */

static gh_status put_square(gh_error *err, gh_json *to, int side) {
  if (!to || gh_json_put_int(err, to, "height", side) || gh_json_put_int(err, to, "width", side)) return err->status;
  return GH_OK;
}

static gh_status fill(gh_error *err, gh_json *root, const gh_preprocess *p, const char *class) {
  bool crop = p->do_center_crop;
  const struct {
    const char *key;
    bool value;
  } flags[] = {{"do_resize", p->do_resize},
               {"do_rescale", p->do_rescale},
               {"do_normalize", p->do_normalize},
               {"do_convert_rgb", true},
               {"do_center_crop", crop}};
  for (size_t i = 0; i < GH_COUNT(flags) - !crop; i++)
    if (gh_json_put_bool(err, root, flags[i].key, flags[i].value)) return err->status;
  gh_json *size = gh_json_put_object(err, root, "size");
  gh_status status = size ? GH_OK : err->status;
  if (!status && p->shortest_edge) status = gh_json_put_int(err, size, "shortest_edge", p->shortest_edge);
  if (!status && !p->shortest_edge) status = put_square(err, size, p->image_size);
  if (!status && crop) status = put_square(err, gh_json_put_object(err, root, "crop_size"), p->image_size);
  if (!status) status = gh_json_put_doubles(err, root, "image_mean", p->mean, 3);
  if (!status) status = gh_json_put_doubles(err, root, "image_std", p->std, 3);
  if (!status) status = gh_json_put_int(err, root, "resample", p->filter);
  if (!status) status = gh_json_put_double(err, root, "rescale_factor", p->rescale_factor);
  if (status) return status;
  return gh_json_put_string(err, root, "image_processor_type", class);
}

gh_status gh_preprocess_write(gh_error *err, const gh_preprocess *how, const char *folder,
                              const gh_processor *const *known) {
  while (known[1] && known[0]->defaults.do_center_crop != how->do_center_crop) known++;
  char *path = gh_path_join(err, folder, "preprocessor_config.json");
  gh_json *root = gh_json_object(err);
  gh_status status = path && root ? fill(err, root, how, known[0]->classes[0]) : GH_ERROR_MEMORY;
  if (!status) status = gh_json_write_file(err, path, root);
  gh_json_free(root);
  free(path);
  return status;
}

/* ---- running ---- */

/* The longer side is truncated to an integer, as by Python's int(). */
static void resized_shape(const gh_preprocess *how, const gh_image *image, int64_t *width, int64_t *height) {
  *width = how->width;
  *height = how->height;
  if (!how->shortest_edge) return;
  int64_t edge = how->shortest_edge;
  bool narrow = image->width <= image->height;
  int64_t shorter = narrow ? image->width : image->height, longer = narrow ? image->height : image->width;
  int64_t other = (int64_t)((double)(edge * longer) / (double)shorter);
  *width = narrow ? edge : other;
  *height = narrow ? other : edge;
}

/* Position of the image's first pixel in the crop: negative if the image is larger (half the excess, rounded down or to
 * even), positive if it is smaller (half the difference, rounded up). */
static int64_t crop_offset(int64_t side, int64_t crop, bool to_even) {
  if (side < crop) return (crop - side + 1) / 2;
  int64_t half = (side - crop) / 2;
  return -half - (to_even && (side - crop) % 2 && half % 2 ? 1 : 0);
}

/* The part of an image of that size which center_crop takes. */
static gh_image_part central_part(int64_t width, int64_t height, int size, bool to_even) {
  return (gh_image_part){.left = -GH_MIN(crop_offset(width, size, to_even), 0),
                         .top = -GH_MIN(crop_offset(height, size, to_even), 0),
                         .width = GH_MIN(width, (int64_t)size),
                         .height = GH_MIN(height, (int64_t)size)};
}

static gh_status center_crop(gh_error *err, gh_image *out, const gh_image *image, int size, bool to_even) {
  gh_status status = gh_image_new(err, out, size, size); /* black */
  if (status) return status;
  const int left = (int)crop_offset(image->width, size, to_even), top = (int)crop_offset(image->height, size, to_even);
  int begin_x = GH_MAX(left, 0), end_x = GH_MIN(left + image->width, size);
  for (int y = GH_MAX(top, 0); y < GH_MIN(top + image->height, size); y++)
    memcpy(out->pixels + 3 * ((size_t)y * size + begin_x),
           image->pixels + 3 * ((size_t)(y - top) * image->width + (begin_x - left)), 3 * (size_t)(end_x - begin_x));
  return GH_OK;
}

/* One lookup table per channel. Rescales in float64, rounded once; normalises in float32. */
static void normalize(float *out, const gh_preprocess *how, const gh_image *image) {
  size_t plane = (size_t)image->width * image->height;
  for (size_t c = 0; c < 3; c++) {
    float meaning[256];
    for (int byte = 0; byte < 256; byte++) {
      float value = how->do_rescale ? (float)(byte * how->rescale_factor) : (float)byte;
      if (how->do_normalize) value = (value - (float)how->mean[c]) / (float)how->std[c];
      meaning[byte] = value;
    }
    for (size_t i = 0; i < plane; i++) out[c * plane + i] = meaning[image->pixels[3 * i + c]];
  }
}

gh_status gh_preprocess_image(gh_error *err, float *pixels, float *normalized, const gh_preprocess *how,
                              const gh_image *image) {
  gh_image resized = {0}, cropped = {0};
  const gh_image *current = image;
  gh_status status = GH_OK;
  if (how->do_resize) {
    int64_t width, height;
    resized_shape(how, image, &width, &height);
    const gh_image_part part = how->do_center_crop ? central_part(width, height, how->image_size, how->crop_to_even)
                                                   : (gh_image_part){.width = width, .height = height};
    if ((status = gh_image_resize_part(err, &resized, image, width, height, how->filter, NULL, &part))) goto done;
    current = &resized;
  }
  if (how->do_center_crop) {
    if ((status = center_crop(err, &cropped, current, how->image_size, how->crop_to_even))) goto done;
    current = &cropped;
  }
  if (pixels) gh_image_to_floats(pixels, current);
  if (normalized) normalize(normalized, how, current);
done:
  gh_image_free(&resized);
  gh_image_free(&cropped);
  return status;
}

gh_status gh_preprocess_file(gh_error *err, float *pixels, float *normalized, const gh_preprocess *how,
                             const char *name, const void *bytes, size_t size, bool *clipped) {
  gh_image image;
  gh_status status = gh_image_decode_as(err, &image, name, bytes, size, !how->as_stored);
  if (clipped) *clipped = image.clipped;
  if (!status && (status = gh_preprocess_image(err, pixels, normalized, how, &image))) gh_fail_in(err, "%s", name);
  gh_image_free(&image);
  return status;
}
