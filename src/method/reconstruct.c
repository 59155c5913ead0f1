#include "method/reconstruct.h"
#include "base/log.h"
#include "base/retry.h"
#include "data/clipped.h"
#include "io/png_write.h"
#include "method/objective.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PADDING 2 /* white pixels around a picture */

static int64_t plane(const gh_reconstruction *r) { return 3 * r->side * r->side; }

/* ---- pictures to conditions ---- */

static gh_status read_once(gh_error *err, const gh_source *source, size_t index, const gh_preprocess *how,
                           float *original, float *normalized, gh_clipped *clips) {
  char *bytes = NULL, *name = gh_source_full_name(err, source, index);
  size_t size = 0;
  bool clipped = false;
  gh_status status = name ? gh_source_load(err, source, index, &bytes, &size) : GH_ERROR_MEMORY;
  if (!status) status = gh_preprocess_file(err, original, normalized, how, name, bytes, size, &clipped);
  if (!status && clipped) gh_clipped_note(clips, name);
  free(bytes);
  free(name);
  return status;
}

static gh_status read_image(gh_error *err, const gh_source *source, size_t index, const gh_preprocess *how,
                            float *original, float *normalized, gh_clipped *clips) {
  gh_retry retry = {0};
  gh_status status = read_once(err, source, index, how, original, normalized, clips);
  while (status && gh_retry_wait(&retry, err)) status = read_once(err, source, index, how, original, normalized, clips);
  return status;
}

/* Embeds one batch of pictures, starting at source index *next; `normalized` (B, 3, S, S) is scratch. */
static gh_status gather_batch(gh_error *err, gh_reconstruction *r, gh_embedder *e, const gh_source *source,
                              size_t *next, float *normalized, float *rows, gh_clipped *clips) {
  int64_t taken = 0, room = GH_MIN(e->batch, r->places - r->count);
  while (*next < gh_source_count(source) && taken < room) {
    size_t i = (*next)++;
    float *original = r->originals + (r->count + taken) * plane(r);
    gh_status status = read_image(err, source, i, &e->preprocess, original, normalized + taken * plane(r), clips);
    if (gh_status_is_fault(status)) return status;
    if (status) {
      gh_warn("skipped: %s", err->text);
      continue;
    }
    char *name = gh_source_short_name(err, source, i);
    status = name ? gh_strings_add(err, &r->names, name) : GH_ERROR_MEMORY;
    free(name);
    if (status) return status;
    taken++;
  }
  if (!taken) return GH_OK;
  gh_status status = gh_embedder_start(err, e, normalized);
  if (!status) status = gh_embedder_finish(err, e, rows);
  if (!status) memcpy(r->conditions + r->count * r->width, rows, (size_t)(taken * r->width) * sizeof *rows);
  r->count += taken;
  return status;
}

gh_status gh_reconstruct_gather(gh_error *err, gh_reconstruction *r, gh_embedder *e, const gh_source *source,
                                int64_t limit) {
  size_t next = 0, total = gh_source_count(source);
  gh_clipped clips = GH_NONE_CLIPPED;
  *r = (gh_reconstruction){.places = GH_MIN(limit, (int64_t)total), .side = e->config.image, .width = e->width};
  float *normalized = gh_alloc(err, (size_t)(e->batch * plane(r)), sizeof *normalized);
  float *rows = gh_alloc(err, (size_t)(e->batch * e->width), sizeof *rows);
  r->originals = gh_alloc(err, (size_t)(r->places * plane(r)), sizeof(float));
  r->images = gh_alloc(err, (size_t)(r->places * plane(r)), sizeof(float));
  r->conditions = gh_alloc(err, (size_t)(r->places * r->width), sizeof(float));
  gh_status status = normalized && rows && r->originals && r->images && r->conditions ? GH_OK : GH_ERROR_MEMORY;
  while (!status && next < total && r->count < r->places)
    status = gather_batch(err, r, e, source, &next, normalized, rows, &clips);
  gh_clipped_end(&clips);
  if (!status && !r->count)
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: no image could be read", gh_source_path(source));
  free(normalized);
  free(rows);
  if (status) gh_reconstruction_free(r);
  return status;
}

void gh_reconstruction_free(gh_reconstruction *r) {
  gh_strings_free(&r->names);
  free(r->originals);
  free(r->conditions);
  free(r->images);
  *r = (gh_reconstruction){0};
}

/* ---- conditions to pictures ---- */

typedef struct gh_shown {
  gh_progress progress;
  uint64_t before; /* steps of the finished batches */
} gh_shown;

static void show_step(void *user, int step) {
  gh_shown *shown = user;
  gh_progress_update(&shown->progress, shown->before + (uint64_t)step, NULL);
}

static gh_status draw_all(gh_error *err, gh_reconstruction *r, const gh_drawing *drawing, void *drawer, int64_t batch,
                          int steps) {
  float *conditions = gh_alloc(err, (size_t)(batch * r->width), sizeof *conditions);
  float *images = gh_alloc(err, (size_t)(batch * plane(r)), sizeof *images);
  gh_status status = conditions && images ? GH_OK : GH_ERROR_MEMORY;
  gh_shown shown = {0};
  gh_progress_start(&shown.progress, "reconstruct", "steps", (uint64_t)(GH_CEIL_DIV(r->count, batch) * steps), 0);
  for (int64_t first = 0; first < r->count && !status; first += batch) {
    int64_t count = GH_MIN(batch, r->count - first);
    memcpy(conditions, r->conditions + first * r->width, (size_t)(count * r->width) * sizeof *conditions);
    status = drawing->draw(err, drawer, images, conditions, (uint64_t)first, show_step, &shown);
    shown.before += (uint64_t)steps;
    if (!status) memcpy(r->images + first * plane(r), images, (size_t)(count * plane(r)) * sizeof *images);
  }
  if (shown.progress.terminal) gh_progress_end(&shown.progress);
  free(conditions);
  free(images);
  return status;
}

gh_status gh_reconstruct_draw(gh_error *err, gh_reconstruction *r, gh_device *device, const gh_models *models,
                              int64_t batch, const gh_drawing_how *how) {
  const gh_drawing *drawing = models->objective->drawing;
  gh_drawing_spec spec = {
      .how = *how, .device = device, .models = models, .batch = GH_MIN(batch, r->count), .width = r->width};
  void *drawer = NULL;
  if (!drawing) return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s cannot draw pictures", models->objective->kind.foreign);
  if (how->temperature != 0 && drawing->temperature == 0)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s draws without a temperature", models->objective->kind.foreign);
  if (!spec.how.steps) spec.how.steps = drawing->steps;
  if (spec.how.temperature == 0) spec.how.temperature = drawing->temperature;
  if (r->side != models->clip.image)
    return gh_fail(err, GH_ERROR_CONFIG,
                   "the encoder reads pictures of %lld x %lld pixels, but the run's denoiser draws %d x %d",
                   (long long)r->side, (long long)r->side, models->clip.image, models->clip.image);
  gh_status status = drawing->open(err, &spec, &drawer);
  if (!status) status = draw_all(err, r, drawing, drawer, spec.batch, spec.how.steps);
  drawing->close(drawer);
  return status;
}

double gh_reconstruction_psnr(const gh_reconstruction *r, int64_t index) {
  const float *a = r->originals + index * plane(r), *b = r->images + index * plane(r);
  double squares = 0;
  for (int64_t i = 0; i < plane(r); i++) {
    double d = (double)a[i] - fmin(fmax((double)b[i], 0), 1);
    squares += d * d;
  }
  return -10 * log10(fmax(squares / (double)plane(r), 1e-12));
}

gh_status gh_reconstruction_grid(gh_error *err, gh_image *out, const gh_reconstruction *r) {
  gh_image *cells = gh_alloc(err, (size_t)(2 * r->count), sizeof *cells);
  gh_status status = cells ? GH_OK : GH_ERROR_MEMORY;
  for (int64_t i = 0; i < 2 * r->count && !status; i++) {
    const float *from = (i % 2 ? r->images : r->originals) + i / 2 * plane(r);
    status = gh_image_from_floats(err, &cells[i], from, (int)r->side, (int)r->side);
  }
  if (!status) status = gh_image_grid(err, out, cells, (int)r->count, 2, PADDING);
  for (int64_t i = 0; cells && i < 2 * r->count; i++) gh_image_free(&cells[i]);
  free(cells);
  return status;
}

gh_status gh_reconstruction_write(gh_error *err, const char *path, const gh_reconstruction *r) {
  gh_image grid = {0};
  gh_status status = gh_reconstruction_grid(err, &grid, r);
  if (!status) status = gh_png_write(err, path, &grid);
  gh_image_free(&grid);
  return status;
}
