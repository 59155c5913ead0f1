#include "data/augment.h"

#include <math.h>

#include "io/resize.h"

gh_status gh_crop_rule_check(gh_error *err, const gh_crop_rule *rule) {
  if (!(rule->scale[0] > 0.0 && rule->scale[0] <= rule->scale[1] && rule->scale[1] <= 1.0))
    return gh_fail(err, GH_ERROR_CONFIG, "crop_scale: [%g, %g] is not a range of area shares in (0, 1]", rule->scale[0],
                   rule->scale[1]);
  if (!(rule->ratio[0] > 0.0 && rule->ratio[0] <= rule->ratio[1] && isfinite(rule->ratio[1])))
    return gh_fail(err, GH_ERROR_CONFIG, "crop_ratio: [%g, %g] is not a range of aspect ratios", rule->ratio[0],
                   rule->ratio[1]);
  return GH_OK;
}

/* The largest central crop of an allowed aspect. */
static gh_crop_box central_crop(const gh_crop_rule *rule, int width, int height) {
  double aspect = (double)width / height;
  gh_crop_box box = {.width = width, .height = height};
  if (aspect < rule->ratio[0]) box.height = (int)rint(width / rule->ratio[0]);
  if (aspect > rule->ratio[1]) box.width = (int)rint(height * rule->ratio[1]);
  /* torchvision lets a side round to 0 or beyond the image and fails later; this takes the nearest valid crop. */
  box.width = GH_MIN(GH_MAX(box.width, 1), width);
  box.height = GH_MIN(GH_MAX(box.height, 1), height);
  box.left = (width - box.width) / 2;
  box.top = (height - box.height) / 2;
  return box;
}

gh_crop_box gh_crop_choose(const gh_crop_rule *rule, const float u[GH_CROP_UNIFORMS], int width, int height) {
  double area = (double)width * height, low = log(rule->ratio[0]), high = log(rule->ratio[1]);
  for (int k = 0; k < GH_CROP_TRIES; k++, u += 4) {
    double target = area * (rule->scale[0] + (double)u[0] * (rule->scale[1] - rule->scale[0]));
    double aspect = exp(low + (double)u[1] * (high - low));
    double w = rint(sqrt(target * aspect)), h = rint(sqrt(target / aspect));
    if (!(w >= 1.0 && w <= width && h >= 1.0 && h <= height)) continue;
    gh_crop_box box = {.width = (int)w, .height = (int)h};
    box.top = (int)((double)u[2] * (height - box.height + 1)); /* u < 1: at most the last position */
    box.left = (int)((double)u[3] * (width - box.width + 1));
    return box;
  }
  return central_crop(rule, width, height);
}

gh_status gh_augment(gh_error *err, gh_image *out, const gh_image *image, const gh_crop_rule *rule, gh_stream stream,
                     uint64_t ordinal, int size) {
  float u[GH_CROP_UNIFORMS];
  gh_image cut = {0};
  *out = (gh_image){0};
  gh_stream_uniforms(stream, ordinal, 0, GH_CROP_UNIFORMS, u);
  gh_crop_box box = gh_crop_choose(rule, u, image->width, image->height);
  gh_status status = gh_image_crop(err, &cut, image, box.left, box.top, box.width, box.height);
  if (!status) status = gh_image_resize(err, out, &cut, size, size, GH_FILTER_BICUBIC, NULL);
  gh_image_free(&cut);
  return status;
}
