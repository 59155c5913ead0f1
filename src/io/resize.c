#include "io/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/image_codecs.h"

/* ---- filters ---- */

static double triangle(double x) {
  x = fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys' cubic convolution with a = -1/2. */
static double cubic(double x) {
  const double a = -0.5;
  x = fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

/* Indexed by PIL's number. */
static const struct {
  const char *name;
  double (*weight)(double x);
  double reach; /* the weight is zero beyond it */
} filters[] = {
    {"nearest", NULL, 0.0},
    {"lanczos", NULL, 0.0},
    [GH_FILTER_BILINEAR] = {"bilinear", triangle, 1.0},
    [GH_FILTER_BICUBIC] = {"bicubic", cubic, 2.0},
    {"box", NULL, 0.0},
    {"hamming", NULL, 0.0},
};

gh_status gh_filter_from_number(gh_error *err, gh_filter *out, const char *what, int64_t number) {
  if (number < 0 || number >= (int64_t)GH_COUNT(filters))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: unknown resampling filter %lld", what, (long long)number);
  if (!filters[number].weight)
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s: resampling filter %lld (%s) is not supported, only bilinear (2) and "
                   "bicubic (3)",
                   what, (long long)number, filters[number].name);
  *out = (gh_filter)number;
  return GH_OK;
}

/* ---- weights ---- */

enum { FRACTION_BITS = 22 };

typedef struct taps {
  int stride;       /* weights reserved per output pixel */
  int *first;       /* [n] the first input pixel */
  int *count;       /* [n] how many */
  int32_t *weights; /* [n * stride] in units of 2^-22 */
} taps;

static void taps_free(taps *t) {
  free(t->first);
  free(t->count);
  free(t->weights);
}

/* The weights of output pixel `place`, into row i; `raw` has room for stride values. */
static void weigh(taps *t, double *raw, int i, int place, gh_filter filter, double begin, double scale, int input) {
  double stretch = GH_MAX(scale, 1.0), reach = filters[filter].reach * stretch, shrink = 1.0 / stretch;
  double centre = begin + (place + 0.5) * scale, sum = 0.0;
  int first = GH_MAX((int)(centre - reach + 0.5), 0);
  int count = GH_MIN((int)(centre + reach + 0.5), input) - first;
  for (int x = 0; x < count; x++) {
    raw[x] = filters[filter].weight((x + first - centre + 0.5) * shrink);
    sum += raw[x];
  }
  for (int x = 0; x < count; x++) {
    double weight = (sum != 0.0 ? raw[x] / sum : raw[x]) * (1 << FRACTION_BITS);
    t->weights[(size_t)i * t->stride + x] = (int32_t)(weight < 0.0 ? weight - 0.5 : weight + 0.5);
  }
  t->first[i] = first;
  t->count[i] = count;
}

/* One direction: from [begin, end) of `input` pixels to `output` pixels, of which `count` from `from` on. */
typedef struct direction {
  float begin, end;
  int input, output, from, count;
} direction;

static gh_status taps_make(gh_error *err, taps *t, gh_filter filter, direction d) {
  gh_status status = GH_ERROR_MEMORY;
  double scale = (double)(d.end - d.begin) / d.output; /* the difference in float32, as in PIL */
  t->stride = (int)ceil(filters[filter].reach * GH_MAX(scale, 1.0)) * 2 + 1;
  t->first = gh_alloc(err, (size_t)d.count, sizeof *t->first);
  t->count = gh_alloc(err, (size_t)d.count, sizeof *t->count);
  t->weights = gh_alloc(err, (size_t)d.count * t->stride, sizeof *t->weights);
  double *raw = gh_alloc(err, (size_t)t->stride, sizeof *raw);
  if (t->first && t->count && t->weights && raw) {
    for (int i = 0; i < d.count; i++) weigh(t, raw, i, d.from + i, filter, d.begin, scale, d.input);
    status = GH_OK;
  }
  free(raw);
  return status;
}

/* ---- passes ---- */

enum { HALF = 1 << (FRACTION_BITS - 1) };

static uint8_t to_byte(int32_t sum) {
  sum >>= FRACTION_BITS; /* towards minus infinity */
  return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* Row y of out is row first_row + y of in, resampled. */
static void resample_rows(gh_image *out, const gh_image *in, const taps *t, int first_row) {
  for (int y = 0; y < out->height; y++) {
    const uint8_t *row = in->pixels + (size_t)(first_row + y) * in->width * 3;
    uint8_t *target = out->pixels + (size_t)y * out->width * 3;
    for (int x = 0; x < out->width; x++, target += 3) {
      const int32_t *weights = t->weights + (size_t)x * t->stride;
      const uint8_t *pixel = row + (size_t)t->first[x] * 3;
      int32_t red = HALF, green = HALF, blue = HALF;
      for (int i = 0; i < t->count[x]; i++, pixel += 3) {
        red += pixel[0] * weights[i];
        green += pixel[1] * weights[i];
        blue += pixel[2] * weights[i];
      }
      target[0] = to_byte(red);
      target[1] = to_byte(green);
      target[2] = to_byte(blue);
    }
  }
}

/* in starts at row first_row of the image that t was made for. Sums a whole row at once so that it vectorises. */
static gh_status resample_columns(gh_error *err, gh_image *out, const gh_image *in, const taps *t, int first_row) {
  size_t bytes = (size_t)out->width * 3;
  int32_t *sums = gh_alloc(err, bytes, sizeof *sums);
  if (!sums) return GH_ERROR_MEMORY;
  for (int y = 0; y < out->height; y++) {
    for (size_t i = 0; i < bytes; i++) sums[i] = HALF;
    for (int k = 0; k < t->count[y]; k++) {
      const uint8_t *row = in->pixels + (size_t)(t->first[y] + k - first_row) * bytes;
      int32_t weight = t->weights[(size_t)y * t->stride + k];
      for (size_t i = 0; i < bytes; i++) sums[i] += row[i] * weight;
    }
    for (size_t i = 0; i < bytes; i++) out->pixels[y * bytes + i] = to_byte(sums[i]);
  }
  free(sums);
  return GH_OK;
}

typedef struct passes {
  bool rows, columns; /* a direction that changes nothing is skipped, as in PIL */
  taps across, down;
  int first_row, row_count; /* the input rows that columns need */
} passes;

/* The order affects results: bytes are stored between the passes. Pillow 13's rule; before, rows always came first. */
static bool columns_come_first(const gh_image *image, int64_t width, int64_t height) {
  int64_t shorter = image->height - height, narrower = image->width - width;
  return shorter > 0 && shorter > 2 * narrower;
}

static gh_status run_rows_first(gh_error *err, gh_image *out, const gh_image *image, const passes *p, int width,
                                int height) {
  gh_image middle = {0};
  gh_status status = GH_OK;
  int first_row = 0;
  if (p->rows) {
    if ((status = gh_image_new(err, p->columns ? &middle : out, width, p->row_count))) return status;
    resample_rows(p->columns ? &middle : out, image, &p->across, p->first_row);
    image = &middle;
    first_row = p->first_row;
  }
  if (p->columns) {
    status = gh_image_new(err, out, width, height);
    if (!status) status = resample_columns(err, out, image, &p->down, first_row);
  }
  gh_image_free(&middle);
  return status;
}

static gh_status run_columns_first(gh_error *err, gh_image *out, const gh_image *image, const passes *p, int width,
                                   int height) {
  gh_image middle = {0};
  gh_image *squeezed = p->rows ? &middle : out;
  gh_status status = gh_image_new(err, squeezed, image->width, height);
  if (!status) status = resample_columns(err, squeezed, image, &p->down, 0);
  if (!status && p->rows) status = gh_image_new(err, out, width, height);
  if (!status && p->rows) resample_rows(out, &middle, &p->across, 0);
  gh_image_free(&middle);
  return status;
}

static gh_status check_box(gh_error *err, const gh_image *image, const float box[4]) {
  if (box[0] >= 0 && box[1] >= 0 && box[2] <= (float)image->width && box[3] <= (float)image->height &&
      box[2] > box[0] && box[3] > box[1])
    return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "resize: box (%g, %g, %g, %g) is not inside an image of %d x %d",
                 (double)box[0], (double)box[1], (double)box[2], (double)box[3], image->width, image->height);
}

static gh_status check_part(gh_error *err, int64_t width, int64_t height, const gh_image_part *part) {
  if (width < 1 || height < 1 || width > INT32_MAX || height > INT32_MAX)
    return gh_fail(err, GH_ERROR_FORMAT, "resize: to %lld x %lld pixels", (long long)width, (long long)height);
  if (part->left < 0 || part->top < 0 || part->width < 1 || part->height < 1 || part->width > width - part->left ||
      part->height > height - part->top)
    return gh_fail(err, GH_ERROR_ARGUMENT, "resize: a part outside %lld x %lld pixels", (long long)width,
                   (long long)height);
  return gh_image_check_size(err, "resize", part->width, part->height);
}

gh_status gh_image_resize(gh_error *err, gh_image *out, const gh_image *image, int64_t width, int64_t height,
                          gh_filter filter, const float box[4]) {
  const gh_image_part all = {.width = width, .height = height};
  return gh_image_resize_part(err, out, image, width, height, filter, box, &all);
}

gh_status gh_image_resize_part(gh_error *err, gh_image *out, const gh_image *image, int64_t width, int64_t height,
                               gh_filter filter, const float box[4], const gh_image_part *part) {
  const float whole[4] = {0.0f, 0.0f, (float)image->width, (float)image->height};
  if (!box) box = whole;
  *out = (gh_image){0};
  gh_status status = check_box(err, image, box);
  if (!status) status = check_part(err, width, height, part);
  if (status) return status;

  bool rows = width != image->width || box[0] != whole[0] || box[2] != whole[2];
  bool columns = height != image->height || box[1] != whole[1] || box[3] != whole[3];
  const bool turned = columns_come_first(image, width, height);
  gh_image cut = {0}; /* a direction that changes nothing is only cropped */
  if ((!rows && part->width < width) || (!columns && part->height < height) || (!rows && !columns)) {
    status = gh_image_crop(err, &cut, image, rows ? 0 : (int)part->left, columns ? 0 : (int)part->top,
                           rows ? image->width : (int)part->width, columns ? image->height : (int)part->height);
    if (status) return status;
  }
  if (!rows && !columns) {
    *out = cut;
    return GH_OK;
  }

  const gh_image *from = cut.pixels ? &cut : image;
  passes p = {.rows = rows, .columns = columns, .first_row = 0, .row_count = from->height};
  const direction down = {box[1], box[3], image->height, (int)height, (int)part->top, (int)part->height};
  const direction across = {box[0], box[2], image->width, (int)width, (int)part->left, (int)part->width};
  if (columns) {
    if ((status = taps_make(err, &p.down, filter, down))) goto done;
    p.first_row = p.down.first[0];
    p.row_count = p.down.first[down.count - 1] + p.down.count[down.count - 1] - p.first_row;
  }
  if (rows && (status = taps_make(err, &p.across, filter, across))) goto done;
  status = turned ? run_columns_first(err, out, from, &p, across.count, down.count)
                  : run_rows_first(err, out, from, &p, across.count, down.count);
done:
  taps_free(&p.across);
  taps_free(&p.down);
  gh_image_free(&cut);
  if (status) gh_image_free(out);
  return status;
}
