#include "train/contrastive.h"

#include <math.h>
#include <stdlib.h>

/* ---- the towers ---- */

typedef struct gh_embeddings {
  gh_tensor *image, *text; /* (M, D) */
} gh_embeddings;

static gh_embeddings towers(gh_module *m, const gh_contrastive *c, gh_tensor *images) {
  const gh_arch *arch = &c->arch;
  gh_preprocess how;
  gh_vision_preprocess_defaults(&how, &arch->vision);
  gh_graph_phase(m->graph, "vision");
  gh_tensor *pixels = gh_normalize_image(m->graph, images, how.mean, how.std);
  gh_tensor *image = gh_vision_tower(m, &arch->vision, pixels, NULL);
  gh_graph_phase(m->graph, "text");
  return (gh_embeddings){image, gh_text_tower(m, &arch->text, c->ids, c->pooled)};
}

/* ---- the loss ---- */

/* Rows of length 1: an RMS norm's rows have the length sqrt(D). */
static gh_tensor *unit_rows(gh_module *m, gh_tensor *x) {
  if (gh_graph_failed(m->graph)) return NULL;
  const int64_t width = gh_tensor_columns(x);
  float *values = gh_alloc(gh_graph_error(m->graph), (size_t)width, sizeof *values);
  if (!values) return NULL;
  for (int64_t i = 0; i < width; i++) values[i] = (float)(1 / sqrt((double)width));
  gh_tensor *weight = gh_table(m, 1, &width, values, "contrastive.unit");
  free(values);
  return gh_rmsnorm(m->graph, x, weight, 0);
}

/* The logits' cross-entropy with the diagonal, weighted by the block: half. logits (1, N, N). */
static gh_tensor *one_direction(gh_module *m, const gh_contrastive *c, gh_tensor *logits, gh_tensor *pairs,
                                gh_tensor *nearest) {
  gh_tensor *right = NULL;
  gh_tensor *loss = gh_cross_entropy(m->graph, logits, pairs, pairs, c->block, &right);
  gh_accumulate(m->graph, nearest, right);
  return loss;
}

static gh_tensor *number_pairs(gh_module *m, const gh_contrastive *c) {
  gh_error *err = gh_graph_error(m->graph);
  gh_tensor *pairs = NULL;
  int32_t *numbers = gh_alloc(err, (size_t)c->batch, sizeof *numbers);
  for (int64_t i = 0; numbers && i < c->batch; i++) numbers[i] = (int32_t)i;
  if (!numbers || gh_store_add(err, m->store, "contrastive.pairs", GH_I32, 2, (int64_t[]){1, c->batch}, &pairs) ||
      gh_tensor_write(err, c->device, pairs, numbers))
    pairs = NULL;
  free(numbers);
  return pairs;
}

/* The symmetric loss () of N embeddings of each tower, (N, D). */
static gh_tensor *record_loss(gh_module *m, const gh_contrastive *c, gh_embeddings e, gh_step *step) {
  gh_graph *g = m->graph;
  gh_tensor *nearest = step->logs[0];
  const int64_t shape[3] = {1, c->batch, c->batch};
  gh_graph_phase(g, "loss");
  gh_tensor *pairs = gh_graph_failed(g) ? NULL : number_pairs(m, c);
  gh_tensor *image = gh_exp_scale(g, unit_rows(m, e.image), c->logit_scale);
  gh_tensor *logits = gh_reshape(g, gh_linear(g, image, unit_rows(m, e.text), NULL), 3, shape);
  gh_tensor *by_text = gh_transpose(g, logits);
  gh_tensor *of_images = one_direction(m, c, logits, pairs, nearest);
  return gh_add(g, of_images, one_direction(m, c, by_text, pairs, nearest));
}

/* ---- recording ---- */

static gh_status add_integers(gh_error *err, gh_store *store, const char *name, int64_t rows, int64_t columns,
                              gh_tensor **out) {
  return gh_store_add(err, store, name, GH_I32, 2, (int64_t[]){rows, columns}, out);
}

/* The inputs beside the images; the temperature comes first among the parameters, whatever M is. */
static gh_status add_inputs(gh_error *err, gh_module *m, gh_contrastive *c, gh_step *step) {
  const gh_step_values half = {.update = 1, .beta1 = 0.9, .beta2 = 0.999, .samples = 1, .weight = 0.5};
  gh_tensor *nearest = NULL;
  gh_status status = add_integers(err, m->store, "input.ids", 1, c->micro_batch * c->length, &c->ids);
  if (!status) status = add_integers(err, m->store, "input.pooled", c->micro_batch, 1, &c->pooled);
  if (!status) status = gh_step_block(err, m->store, "contrastive", &c->block);
  if (!status) status = gh_step_write(err, c->device, c->block, &half);
  if (!status) status = gh_step_tensor(err, m->store, "log.accuracy", 0, NULL, &nearest);
  if (status) return status;
  c->host_ids = gh_alloc(err, (size_t)(c->micro_batch * c->length), sizeof *c->host_ids);
  c->host_pooled = gh_alloc(err, (size_t)c->micro_batch, sizeof *c->host_pooled);
  if (!c->host_ids || !c->host_pooled) return GH_ERROR_MEMORY;
  step->logs[step->log_count++] = nearest;
  m->part = GH_PART_ENCODER;
  c->logit_scale = gh_parameter(m, gh_init_constant(GH_LOGIT_SCALE), 0, NULL, "logit_scale");
  return c->logit_scale ? GH_OK : err->status;
}

static gh_status add_caches(gh_error *err, gh_module *m, gh_contrastive *c, const gh_tensor *images) {
  const int64_t shape[2] = {c->batch, c->arch.vision.projection};
  const int64_t pairs = GH_CEIL_DIV(c->batch, c->micro_batch) * c->micro_batch;
  gh_status status = gh_store_create(err, c->device, &c->cached);
  if (!status) status = gh_store_add(err, c->cached, "image", GH_F32, 2, shape, &c->image);
  if (!status) status = gh_store_add(err, c->cached, "text", GH_F32, 2, shape, &c->text);
  if (!status) status = gh_store_make_trainable(err, c->cached, c->image);
  if (!status) status = gh_store_make_trainable(err, c->cached, c->text);
  if (!status) status = add_integers(err, m->store, "contrastive.place", 1, c->batch, &c->place);
  if (!status) status = add_integers(err, m->store, "contrastive.rows", 1, c->micro_batch, &c->rows);
  if (!status) status = gh_graph_create(err, c->device, &c->embed);
  if (!status) status = gh_graph_create(err, c->device, &c->loss);
  if (status) return status;
  c->host_place = gh_alloc(err, (size_t)c->batch, sizeof *c->host_place);
  c->host_rows = gh_alloc(err, (size_t)c->micro_batch, sizeof *c->host_rows);
  c->held_samples = gh_alloc(err, (size_t)c->batch, sizeof *c->held_samples);
  c->held_images = gh_alloc(err, (size_t)(pairs * (gh_tensor_elements(images) / c->micro_batch)), sizeof(float));
  return c->host_place && c->host_rows && c->held_samples && c->held_images ? GH_OK : GH_ERROR_MEMORY;
}

/* x (R, C) as one sample's rows -> the rows of that index, (K, C) */
static gh_tensor *chosen_rows(gh_graph *g, gh_tensor *x, gh_tensor *index) {
  if (gh_graph_failed(g)) return NULL;
  const int64_t columns = x->shape[1];
  gh_tensor *y = gh_gather_rows(g, gh_reshape(g, x, 3, (int64_t[]){1, x->shape[0], columns}), index);
  return gh_reshape(g, y, 2, (int64_t[]){index->shape[1], columns});
}

/* The other micro-batches' rows of the caches are 0 until they are added. */
static void record_embed(gh_module *m, gh_contrastive *c, gh_tensor *images) {
  gh_embeddings e = towers(m, c, images);
  gh_accumulate(m->graph, c->image, chosen_rows(m->graph, e.image, c->place));
  gh_accumulate(m->graph, c->text, chosen_rows(m->graph, e.text, c->place));
}

static void record_cached_loss(gh_module *m, gh_contrastive *c, gh_step *step) {
  gh_graph *g = m->graph;
  gh_zero(g, c->image->grad);
  gh_zero(g, c->text->grad);
  gh_tensor *loss = record_loss(m, c, (gh_embeddings){c->image, c->text}, step);
  gh_accumulate(g, step->loss_total, loss);
  if (!gh_graph_failed(g)) gh_graph_differentiate(g, loss);
  gh_zero(g, c->image);
  gh_zero(g, c->text);
}

static void record_gradients(gh_module *m, gh_contrastive *c, gh_step *step) {
  gh_graph *g = m->graph;
  gh_tensor *gradients[2] = {chosen_rows(g, c->image->grad, c->rows), chosen_rows(g, c->text->grad, c->rows)};
  gh_embeddings e = towers(m, c, step->images);
  if (!gh_graph_failed(g)) gh_graph_differentiate_from(g, (gh_tensor *[]){e.image, e.text}, gradients, 2);
}

/* Plans a graph whose failure the step's graph reports. */
static bool plan(gh_graph *g, gh_graph *step) {
  if (gh_graph_failed(step)) return false;
  if (gh_graph_failed(g)) *gh_graph_error(step) = *gh_graph_error(g);
  return !gh_graph_failed(step) && !gh_graph_plan(gh_graph_error(step), g);
}

gh_tensor *gh_contrastive_record(gh_module *m, gh_contrastive *c, gh_step *step) {
  gh_graph *g = m->graph;
  gh_error *err = gh_graph_error(g);
  c->device = gh_graph_device(g);
  c->micro_batch = step->images->shape[0];
  if (add_inputs(err, m, c, step)) return NULL;
  if (c->micro_batch == c->batch) return record_loss(m, c, towers(m, c, step->images), step);
  if (add_caches(err, m, c, step->images)) return NULL;
  gh_module embed = *m, loss = *m;
  embed.graph = c->embed;
  loss.graph = c->loss;
  record_embed(&embed, c, step->images);
  if (!plan(c->embed, g)) return NULL;
  record_cached_loss(&loss, c, step);
  if (!plan(c->loss, g)) return NULL;
  record_gradients(m, c, step);
  return NULL;
}

void gh_contrastive_free(gh_contrastive *c) {
  gh_graph_free(c->embed);
  gh_graph_free(c->loss);
  gh_store_free(c->cached);
  free(c->host_place);
  free(c->host_rows);
  free(c->held_images);
  free(c->held_samples);
  free(c->host_ids);
  free(c->host_pooled);
  *c = (gh_contrastive){0};
}

int64_t gh_contrastive_bytes(const gh_contrastive *c) {
  return c->cached ? gh_graph_peak_bytes(c->embed) + gh_graph_peak_bytes(c->loss) + gh_store_bytes(c->cached) : 0;
}

/* ---- an update in micro-batches ---- */

gh_status gh_contrastive_embed(gh_error *err, gh_contrastive *c, int64_t first) {
  for (int64_t n = 0; n < c->batch; n++) {
    int64_t row = n - first;
    c->host_place[n] = row >= 0 && row < c->micro_batch ? (int32_t)row : -1;
  }
  gh_status status = gh_tensor_send(err, c->device, c->place, c->host_place);
  return status ? status : gh_graph_run(err, c->embed);
}

gh_status gh_contrastive_loss(gh_error *err, gh_contrastive *c) { return gh_graph_run(err, c->loss); }

gh_status gh_contrastive_gradients(gh_error *err, gh_contrastive *c, gh_graph *step, int64_t first) {
  for (int64_t m = 0; m < c->micro_batch; m++) c->host_rows[m] = first + m < c->batch ? (int32_t)(first + m) : -1;
  gh_status status = gh_tensor_send(err, c->device, c->rows, c->host_rows);
  return status ? status : gh_graph_run(err, step);
}

gh_status gh_contrastive_clamp(gh_error *err, gh_contrastive *c, double *scale) {
  float value = 0;
  gh_status status = gh_tensor_read(err, c->device, c->logit_scale, &value);
  const float inside = fminf(fmaxf(value, 0), (float)GH_LOGIT_SCALE_MOST);
  *scale = exp((double)inside);
  return status || inside == value ? status : gh_tensor_write(err, c->device, c->logit_scale, &inside);
}
