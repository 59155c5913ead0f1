/* What each kind of task measures. */
#include "backend/registry.h"
#include "base/file.h"
#include "bench/ops.h"
#include "bench/suite_internal.h"
#include "data/loader.h"
#include "io/png_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static gh_bench_repeats how(const gh_suite *s, int most_at_once) {
  return (gh_bench_repeats){.repeats = s->options->repeats, .most_at_once = most_at_once};
}

gh_status gh_suite_open(gh_error *err, gh_suite *s, int device, gh_device **out) {
  gh_suite_device *d = &s->devices[device];
  gh_status status = d->device ? GH_OK : gh_device_open(err, d->id, &d->device);
  *out = d->device;
  return status;
}

gh_status gh_task_place(gh_error *err, gh_suite *s, const gh_task *task, gh_result *place) {
  gh_device *device = NULL;
  gh_result_init(place);
  gh_status status = task->device == GH_SUITE_HOST ? GH_OK : gh_suite_open(err, s, task->device, &device);
  return status ? status : gh_result_place(err, place, device ? &device->info : NULL, GH_CLOCK_WALL);
}

/* ---- limits ---- */

gh_status gh_task_peaks(gh_error *err, gh_suite *s, gh_task *task, gh_results *results) {
  const gh_bench_repeats repeats = how(s, 1);
  gh_device *device;
  gh_status status = gh_suite_open(err, s, task->device, &device);
  return status ? status : gh_probe_device(err, device, &repeats, results);
}

gh_status gh_task_product_peak(gh_error *err, gh_suite *s, gh_task *task, gh_results *results) {
  const gh_bench_repeats repeats = how(s, 1);
  gh_results peaks = {0};
  gh_device *device;
  gh_status status = gh_suite_open(err, s, task->device, &device);
  for (size_t i = 0; i < s->results.count && !status; i++) { /* the device's own, which give the size */
    const gh_result *row = &s->results.items[i];
    if (!gh_result_is(row, GH_RESULT_KIND, "peak") || !gh_result_is(row, GH_RESULT_DEVICE, device->info.id)) continue;
    gh_result *copy = gh_results_add(err, &peaks);
    status = copy ? gh_result_copy(err, copy, row) : err->status;
  }
  const size_t before = peaks.count;
  if (!status) status = gh_product_peak(err, device, task->storage, &repeats, &peaks);
  if (!status && peaks.count > before) {
    gh_result *added = gh_results_add(err, results);
    status = added ? gh_result_copy(err, added, &peaks.items[before]) : err->status;
  }
  gh_results_free(&peaks);
  return status;
}

gh_status gh_task_latency(gh_error *err, gh_suite *s, gh_task *task, gh_results *results) {
  const gh_bench_repeats repeats = how(s, 1);
  gh_device *device;
  gh_status status = gh_suite_open(err, s, task->device, &device);
  return status ? status : gh_probe_latency(err, device, &repeats, results);
}

gh_status gh_task_transfers(gh_error *err, gh_suite *s, gh_task *task, gh_results *results) {
  const gh_bench_repeats repeats = how(s, 1);
  gh_device *device;
  gh_status status = gh_suite_open(err, s, task->device, &device);
  return status ? status : gh_probe_transfers(err, device, &repeats, results);
}

/* ---- products, ops, steps ---- */

static gh_status put_op(gh_error *err, gh_suite *s, gh_task *task, const gh_op_bench *times, gh_results *results) {
  gh_result place;
  gh_status status = gh_task_place(err, s, task, &place);
  if (status) return status;
  status = gh_collect_op(err, results, &place, &task->title, times);
  gh_result_free(&place);
  return status;
}

gh_status gh_task_product(gh_error *err, gh_suite *s, gh_task *task, gh_results *results) {
  const gh_bench_repeats repeats = how(s, 100);
  gh_op_bench times;
  gh_device *device;
  gh_status status = gh_suite_open(err, s, task->device, &device);
  if (!status) status = gh_product_run(err, device, task->product, &repeats, &times);
  return status ? status : put_op(err, s, task, &times, results);
}

gh_status gh_task_op(gh_error *err, gh_suite *s, gh_task *task, gh_results *results) {
  const gh_bench_repeats repeats = how(s, 100);
  gh_op_bench times;
  gh_device *device;
  gh_status status = gh_suite_open(err, s, task->device, &device);
  if (!status) status = gh_op_case_run(err, device, task->index, s->options->batch, task->storage, &repeats, &times);
  return status ? status : put_op(err, s, task, &times, results);
}

gh_status gh_task_step(gh_error *err, gh_suite *s, gh_task *task, gh_results *results) {
  gh_bench_result result = {0};
  gh_result place;
  gh_device *device;
  gh_status status = gh_suite_open(err, s, task->device, &device);
  if (!status) status = gh_bench_step(err, device, &task->step, &result);
  if (!status) status = gh_task_place(err, s, task, &place);
  if (status) return status;
  status = gh_collect_step(err, results, &place, &task->step, &result);
  gh_result_free(&place);
  gh_bench_free(&result);
  return status;
}

/* ---- drift ---- */

#define DRIFT_UPDATES 8

static double worst(const double *a, const double *b, int count) {
  double most = 0;
  for (int i = 0; i < count; i++) most = fmax(most, fabs(a[i] - b[i]) / fmax(fabs(a[i]), 1e-30));
  return most;
}

static gh_status put_drift(gh_error *err, gh_suite *s, gh_task *task, const char *op, double value,
                           gh_results *results) {
  gh_result place;
  gh_result_title title = task->title;
  title.op = op;
  gh_status status = gh_task_place(err, s, task, &place);
  gh_result *row = status ? NULL : gh_result_begin(err, results, &place, &title);
  if (!status) status = row ? gh_result_single(err, row, value, "relative", "lower") : err->status;
  gh_result_free(&place);
  return status;
}

/* The same updates on the first device and on this one: the largest relative differences. */
gh_status gh_task_drift(gh_error *err, gh_suite *s, gh_task *task, gh_results *results) {
  gh_bench_result sides[2];
  memset(sides, 0, sizeof sides);
  gh_bench_options step = task->step;
  step.warmup = 0;
  step.repeats = DRIFT_UPDATES;
  gh_status status = GH_OK;
  for (int i = 0; i < 2 && !status; i++) {
    gh_device *device;
    status = gh_suite_open(err, s, i ? task->device : 0, &device);
    if (!status) status = gh_bench_step(err, device, &step, &sides[i]);
  }
  const int count = GH_MIN(sides[0].loss_count, sides[1].loss_count);
  if (!status) status = put_drift(err, s, task, "loss", worst(sides[0].losses, sides[1].losses, count), results);
  if (!status) status = put_drift(err, s, task, "gradient norm", worst(sides[0].norms, sides[1].norms, count), results);
  for (int i = 0; i < 2; i++) gh_bench_free(&sides[i]);
  return status;
}

/* ---- loader ---- */

#define PICTURES     16
#define PICTURE_SIDE 256
#define SAMPLES      32 /* per repeat */
#define CROP         224

/* Smooth patterns with some noise, so that decoding costs what it costs for photographs. */
static void paint(gh_image *image, uint32_t seed) {
  for (int i = 0; i < image->width * image->height * 3; i++) {
    const int x = i / 3 % image->width, y = i / 3 / image->width;
    seed = seed * 1664525u + 1013904223u;
    image->pixels[i] = (uint8_t)((uint32_t)(x * (i % 3 + 1) + y) / 2 + (seed >> 29));
  }
}

static gh_status make_pictures(gh_error *err, const char *folder) {
  gh_image image = {0};
  gh_status status = gh_folder_make(err, folder);
  if (!status) status = gh_image_new(err, &image, PICTURE_SIDE, PICTURE_SIDE);
  for (int i = 0; i < PICTURES && !status; i++) {
    char name[32];
    snprintf(name, sizeof name, "%02d.png", i);
    char *path = gh_path_join(err, folder, name);
    paint(&image, (uint32_t)i + 1);
    status = path ? gh_png_write(err, path, &image) : GH_ERROR_MEMORY;
    free(path);
  }
  gh_image_free(&image);
  return status;
}

typedef struct gh_loading {
  gh_loader *loader;
  float *image;
} gh_loading;

static gh_status load(gh_error *err, void *user, int times) {
  gh_loading *l = user;
  gh_status status = GH_OK;
  for (int i = 0; i < times * SAMPLES && !status; i++) status = gh_loader_next(err, l->loader, l->image, NULL, 1);
  return status;
}

static gh_status time_loader(gh_error *err, gh_suite *s, const char *source, gh_bench_sample *out) {
  const gh_loader_options options = {.sources = &source,
                                     .source_count = 1,
                                     .image_size = CROP,
                                     .crop = {{0.9, 1.0}, {0.75, 1.3333333}}, /* as in the published settings */
                                     .stage = 1,
                                     .workers = (int)GH_MAX(1, sysconf(_SC_NPROCESSORS_ONLN)),
                                     .ahead = SAMPLES};
  const gh_bench_repeats repeats = how(s, 1);
  gh_loading l = {NULL, gh_alloc(err, (size_t)CROP * CROP * 3, sizeof *l.image)};
  gh_status status = l.image ? gh_loader_create(err, &l.loader, &options) : GH_ERROR_MEMORY;
  if (!status) status = gh_bench_repeat(err, &repeats, load, &l, out);
  gh_loader_free(l.loader);
  free(l.image);
  return status;
}

gh_status gh_task_loader(gh_error *err, gh_suite *s, gh_task *task, gh_results *results) {
  const char *given = s->options->images;
  char *made = given ? NULL : gh_path_join(err, s->options->out, "pictures");
  gh_bench_sample sample;
  gh_result place;
  gh_status status = given || made ? GH_OK : GH_ERROR_MEMORY;
  if (!status && made) status = make_pictures(err, made);
  if (!status) status = time_loader(err, s, given ? given : made, &sample);
  if (made) gh_folder_remove(&(gh_error){0}, made);
  free(made);
  if (!status) status = gh_task_place(err, s, task, &place);
  gh_result *row = status ? NULL : gh_result_begin(err, results, &place, &task->title);
  if (!row) return status ? status : err->status;
  status = gh_result_format(err, row, GH_RESULT_SHAPE, "crops of %d from %s", CROP,
                            given ? gh_path_name(given) : "PNG of 256x256");
  if (!status) status = gh_result_rate(err, row, &sample, SAMPLES, "images/s");
  gh_result_free(&place);
  return status;
}
