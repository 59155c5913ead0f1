#include "eval/reconstruct.h"
#include "base/log.h"
#include "base/random.h"
#include "io/png_write.h"

#include <math.h>
#include <stdlib.h>

#define PADDING 2 /* white pixels around a picture */

static int64_t plane(const gh_reconstruction *r) { return 3 * r->side * r->side; }

/* ---- pictures to conditions ---- */

static gh_status read_image(gh_error *err, const gh_source *source, size_t index, const gh_preprocess *how,
                            float *original, float *normalized) {
  char *bytes = NULL, *name = gh_source_full_name(err, source, index);
  size_t size = 0;
  gh_image image = {0};
  gh_status status = name ? gh_source_load(err, source, index, &bytes, &size) : GH_ERROR_MEMORY;
  if (!status) status = gh_image_decode(err, &image, name, bytes, size);
  if (!status) status = gh_preprocess_image(err, original, normalized, how, &image);
  gh_image_free(&image);
  free(bytes);
  free(name);
  return status;
}

static gh_status read_images(gh_error *err, gh_reconstruction *r, const gh_embedder *e, const gh_source *source,
                             float *normalized) {
  for (size_t i = 0; i < gh_source_count(source) && r->count < r->batch; i++) {
    int64_t at = r->count * plane(r);
    gh_status status = read_image(err, source, i, &e->preprocess, r->originals + at, normalized + at);
    if (status == GH_ERROR_MEMORY) return status;
    if (status) {
      gh_warn("skipped: %s", err->text);
      continue;
    }
    if (gh_strings_add(err, &r->names, gh_source_name(source, i))) return err->status;
    r->count++;
  }
  if (!r->count) return gh_fail(err, GH_ERROR_FORMAT, "%s: no image could be read", gh_source_path(source));
  return GH_OK;
}

gh_status gh_reconstruct_gather(gh_error *err, gh_reconstruction *r, gh_embedder *e, const gh_source *source) {
  *r = (gh_reconstruction){.batch = e->batch, .side = e->config.image, .width = e->width};
  size_t pixels = (size_t)(r->batch * plane(r));
  float *normalized = gh_alloc(err, pixels, sizeof *normalized);
  r->originals = gh_alloc(err, pixels, sizeof(float));
  r->images = gh_alloc(err, pixels, sizeof(float));
  r->conditions = gh_alloc(err, (size_t)(r->batch * r->width), sizeof(float));
  gh_status status = normalized && r->originals && r->images && r->conditions ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = read_images(err, r, e, source, normalized);
  if (!status) status = gh_embedder_start(err, e, normalized);
  if (!status) status = gh_embedder_finish(err, e, r->conditions);
  free(normalized);
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

static void show_step(void *user, int step) { gh_progress_update(user, (uint64_t)step, NULL); }

gh_status gh_reconstruct_sample(gh_error *err, gh_reconstruction *r, gh_sampler *sampler, uint64_t seed) {
  int64_t n = sampler->spec.tokens * sampler->spec.flux.channels;
  float *noise = gh_alloc(err, (size_t)(r->batch * n), sizeof *noise);
  if (!noise) return GH_ERROR_MEMORY;
  gh_stream stream = gh_stream_make(seed, 0, "reconstruct", "");
  for (int64_t b = 0; b < r->batch; b++) gh_stream_normals(stream, (uint64_t)b, 0, n, noise + b * n);
  gh_progress progress;
  gh_progress_start(&progress, "reconstruct", "steps", GH_SAMPLER_STEPS, 0);
  gh_status status = gh_sampler_run(err, sampler, NULL, r->images, r->conditions, noise, show_step, &progress);
  if (progress.terminal) gh_progress_end(&progress);
  for (int64_t i = 0; i < r->batch * plane(r) && !status; i++) r->images[i] = (r->images[i] + 1) / 2;
  free(noise);
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

gh_status gh_reconstruction_write(gh_error *err, const char *path, const gh_reconstruction *r) {
  gh_image *cells = gh_alloc(err, (size_t)(2 * r->count), sizeof *cells), grid = {0};
  gh_status status = cells ? GH_OK : GH_ERROR_MEMORY;
  for (int64_t i = 0; i < 2 * r->count && !status; i++) {
    const float *from = (i % 2 ? r->images : r->originals) + i / 2 * plane(r);
    status = gh_image_from_floats(err, &cells[i], from, (int)r->side, (int)r->side);
  }
  if (!status) status = gh_image_grid(err, &grid, cells, (int)r->count, 2, PADDING);
  if (!status) status = gh_png_write(err, path, &grid);
  for (int64_t i = 0; cells && i < 2 * r->count; i++) gh_image_free(&cells[i]);
  gh_image_free(&grid);
  free(cells);
  return status;
}
