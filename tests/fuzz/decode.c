#include "decode.h"

#include "fuzz.h"
#include "models/family.h"

enum { SIDE = 8, MOST_PIXELS = 1 << 16 };

int fuzz_decode(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_image image = {0};
  float pixels[3 * SIDE * SIDE], normalized[3 * SIDE * SIDE];
  gh_preprocess how;
  if (gh_image_decode(&err, &image, "fuzz", data, size)) {
    FUZZ_CHECK(!image.pixels && err.text[0]);
    return 0;
  }
  FUZZ_CHECK(image.width > 0 && image.height > 0 && (int64_t)image.width * image.height <= GH_IMAGE_MAX_PIXELS);
  gh_preprocess_defaults(&how, size % 2 ? &gh_clip.processor : &gh_siglip.processor, SIDE);
  if ((int64_t)image.width * image.height <= MOST_PIXELS &&
      !gh_preprocess_image(&err, pixels, normalized, &how, &image))
    for (int i = 0; i < 3 * SIDE * SIDE; i++) FUZZ_CHECK(pixels[i] >= 0 && pixels[i] <= 1);
  gh_image_free(&image);
  return 0;
}
