#include "support/thumbnails.h"

#include <math.h>
#include <stdlib.h>

/* ---- keys ---- */

typedef struct keys {
  int64_t hidden;
} keys;

static const gh_row rows[] = {GH_ROW("denoiser.hidden", ROW_INT, keys, hidden, "96", 1, 4096, 0)};
static const char *const tiny_keys[] = {"denoiser.hidden=32", NULL};

static gh_status check_keys(gh_error *err, const gh_config *config) {
  const keys *k = config->own;
  return k->hidden % 2 ? gh_fail(err, GH_ERROR_CONFIG, "denoiser.hidden: %lld is odd", (long long)k->hidden) : GH_OK;
}

/* ---- models: no files except the weights ---- */

static gh_status check_models(gh_error *err, const gh_models *m) {
  if (m->clip.image % THUMBNAIL_SIDE == 0) return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG, "cannot split %d pixels into %d blocks", m->clip.image, THUMBNAIL_SIDE);
}

/* ---- targets: the mean colour of each block, (64, 3) ---- */

static void target_of(const gh_models *m, gh_target *out) {
  (void)m;
  out->name = "thumbnails";
  out->files = "thumbnails";
  out->dtype = GH_F32;
  out->rank = 2;
  out->shape[0] = THUMBNAIL_PIXELS;
  out->shape[1] = 3;
}

/* A block's pixels form a row (c, y, x); a product with a constant matrix (3, 3 p p) gives the mean per channel. */
static gh_tensor *block_means(gh_module *m, const gh_models *models, gh_tensor *images) {
  int block = models->clip.image / THUMBNAIL_SIDE, area = block * block;
  float *mean = calloc((size_t)(9 * area), sizeof *mean);
  for (int c = 0; mean && c < 3; c++)
    for (int i = 0; i < area; i++) mean[(c * 3 + c) * area + i] = 1 / (float)area;
  gh_tensor *matrix = gh_table(m, 2, (int64_t[]){3, 3 * area}, mean, "thumbnails.mean");
  free(mean);
  return gh_linear(m->graph, gh_patchify(m->graph, images, block), matrix, NULL);
}

/* ---- the step ---- */

static gh_tensor *predict(gh_module *m, const gh_config *config, gh_tensor *condition) {
  const int64_t shape[] = {condition ? condition->shape[0] : 0, THUMBNAIL_PIXELS, 3};
  gh_tensor *hidden = gh_activated_layer(m, condition, ((const keys *)config->own)->hidden, GH_GELU_ERF, "head.0");
  return gh_reshape(m->graph, gh_linear_layer_to(m, hidden, 3 * THUMBNAIL_PIXELS, true, GH_F32, "head.1"), 3, shape);
}

static void record(gh_recording *r, gh_tensor *condition, gh_tensor *targets) {
  const int64_t shape[] = {r->spec->batch, THUMBNAIL_PIXELS, 3};
  gh_graph_segment(r->graph);
  gh_graph_phase(r->graph, "denoiser");
  if (!targets) targets = gh_recording_input(r, "thumbnails", 3, shape);
  gh_tensor *prediction = predict(&r->denoiser, r->spec->models->config, condition);
  r->step->loss = gh_mse_loss(r->graph, prediction, targets, r->step->block);
  gh_recording_log(r, gh_mse_loss(r->graph, prediction, targets, r->step->block));
  gh_recording_output(r, "thumbnails", targets);
  gh_recording_output(r, "prediction", prediction);
}

static double psnr(double loss) { return -10 * log10(loss); }

static double unbounded(double loss) { return loss > 0 ? INFINITY : NAN; }

/* One recorded number (the loss again), one computed from it, and one that JSON cannot write. */
static const gh_objective_log logs[] = {{"psnr", psnr}, {"error", NULL}, {"unbounded", unbounded}, {NULL, NULL}};

/* ---- drawing: each block in its predicted colour ---- */

typedef struct drawer {
  gh_device *device;
  gh_store *store;
  gh_graph *graph;
  gh_tensor *condition, *prediction;
  float *values;
  int side;
} drawer;

static void close_drawer(void *it) {
  drawer *d = it;
  if (!d) return;
  gh_graph_free(d->graph);
  gh_store_free(d->store);
  free(d->values);
  free(d);
}

static gh_status open_drawer(gh_error *err, const gh_drawing_spec *spec, void **out) {
  drawer *d = gh_alloc(err, 1, sizeof *d);
  *out = NULL;
  if (!d) return GH_ERROR_MEMORY;
  d->device = spec->device;
  d->side = spec->models->clip.image;
  d->values = gh_alloc(err, (size_t)spec->batch * THUMBNAIL_PIXELS * 3, sizeof *d->values);
  gh_status status = d->values ? gh_store_create(err, spec->device, &d->store) : GH_ERROR_MEMORY;
  if (!status)
    status = gh_step_tensor(err, d->store, "condition", 2, (int64_t[]){spec->batch, spec->width}, &d->condition);
  if (!status) status = gh_graph_create(err, spec->device, &d->graph);
  if (!status) {
    gh_module m = {.graph = d->graph, .store = d->store, .weights = spec->models->denoiser_file};
    d->prediction = predict(&m, spec->models->config, d->condition);
    if (d->prediction) gh_graph_keep(d->graph, d->prediction);
    status = gh_graph_plan(err, d->graph);
  }
  if (status)
    close_drawer(d);
  else
    *out = d;
  return status;
}

static gh_status draw(gh_error *err, void *it, float *images, const float *conditions, uint64_t first,
                      void (*progress)(void *user, int step), void *user) {
  drawer *d = it;
  int block = d->side / THUMBNAIL_SIDE;
  (void)first;
  gh_status status = gh_tensor_write(err, d->device, d->condition, conditions);
  if (!status) status = gh_graph_run(err, d->graph);
  if (!status) status = gh_tensor_read(err, d->device, d->prediction, d->values);
  for (int64_t b = 0; b < d->condition->shape[0] && !status; b++)
    for (int c = 0; c < 3; c++)
      for (int y = 0; y < d->side; y++)
        for (int x = 0; x < d->side; x++)
          images[((b * 3 + c) * d->side + y) * d->side + x] =
              d->values[(b * THUMBNAIL_PIXELS + y / block * THUMBNAIL_SIDE + x / block) * 3 + c];
  if (progress) progress(user, 1);
  return status;
}

static const gh_drawing drawing = {.steps = 1, .open = open_drawer, .draw = draw, .close = close_drawer};

const gh_objective thumbnails = {
    .kind = {.name = "thumbnails",
             .rows = rows,
             .row_count = GH_COUNT(rows),
             .record_bytes = sizeof(keys),
             .check = check_keys,
             .foreign = "the thumbnail head"},
    .loss = "mean squared error of the thumbnail",
    .phase = "thumbnails",
    .logs = logs,
    .tiny_keys = tiny_keys,
    .check = check_models,
    .target = target_of,
    .compute_target = block_means,
    .record = record,
    .drawing = &drawing,
};
