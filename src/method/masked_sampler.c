/* Pictures from conditions, with the discrete denoiser (Chang et al. 2022, "MaskGIT"): all codes are masked at first;
 * in every step the denoiser predicts the masked ones, codes are drawn for them, and the most confident stay. */
#include "base/random.h"
#include "method/masked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEPS       12
#define TEMPERATURE 1.0

/* The step's place in a picture's ordinal: every step draws other numbers. A run has fewer than 2^40 pictures. */
#define STEP_SHIFT 40

typedef struct gh_masked_drawer {
  gh_device *device;
  gh_drawing_how how;
  int64_t batch, positions;
  gh_store *store;
  gh_graph *predict, *decode;
  gh_tensor *block;                         /* the step block: which pictures draw */
  gh_tensor *condition, *codes, *mask;      /* (B, D); (B, N) int32, twice */
  gh_tensor *index, *drawn, *score, *noise; /* (B, N) by masked position: it, its code, log-probability, Gumbel noise */
  gh_tensor *image;                         /* (B, 3, S, S) */
  int32_t *host_codes, *host_mask, *host_index, *host_drawn; /* (B, N) */
  float *host_score, *host_noise;
} gh_masked_drawer;

static void close_drawer(void *drawer) {
  gh_masked_drawer *d = drawer;
  if (!d) return;
  gh_graph_free(d->predict);
  gh_graph_free(d->decode);
  gh_store_free(d->store);
  free(d->host_codes);
  free(d->host_mask);
  free(d->host_index);
  free(d->host_drawn);
  free(d->host_score);
  free(d->host_noise);
  free(d);
}

/* ---- planning ---- */

static gh_status allocate(gh_error *err, gh_masked_drawer *d) {
  const size_t n = (size_t)(d->batch * d->positions);
  int32_t **integers[] = {&d->host_codes, &d->host_mask, &d->host_index, &d->host_drawn};
  float **floats[] = {&d->host_score, &d->host_noise};
  for (size_t i = 0; i < GH_COUNT(integers); i++)
    if (!(*integers[i] = gh_alloc(err, n, sizeof **integers[i]))) return GH_ERROR_MEMORY;
  for (size_t i = 0; i < GH_COUNT(floats); i++)
    if (!(*floats[i] = gh_alloc(err, n, sizeof **floats[i]))) return GH_ERROR_MEMORY;
  return GH_OK;
}

static gh_status add_inputs(gh_error *err, gh_masked_drawer *d, int64_t width) {
  const int64_t shape[2] = {d->batch, d->positions}, condition[2] = {d->batch, width};
  gh_status status = gh_store_create(err, d->device, &d->store);
  if (!status) status = gh_step_block(err, d->store, "step", &d->block);
  if (!status) status = gh_store_add(err, d->store, "condition", GH_F32, 2, condition, &d->condition);
  if (!status) status = gh_store_add(err, d->store, "codes", GH_I32, 2, shape, &d->codes);
  return status ? status : gh_store_add(err, d->store, "mask", GH_I32, 2, shape, &d->mask);
}

/* Codes and mask to a code drawn for each masked position, with what its confidence needs. */
static gh_status plan_prediction(gh_error *err, gh_masked_drawer *d, const gh_models *m, uint64_t seed) {
  const gh_masked_models *own = gh_masked_models_of(m);
  gh_status status = gh_graph_create(err, d->device, &d->predict);
  if (status) return status;
  gh_graph *g = d->predict;
  const gh_module frozen = {.graph = g, .store = d->store};
  gh_module tokenizer = gh_masked_tokenizer(&frozen, own), denoiser = frozen;
  denoiser.weights = m->denoiser_file;
  denoiser.storage = gh_precision_storage(m->config->precision);
  gh_tensor *tokens = gh_perceiver_condition(&denoiser, &own->perceiver, d->condition, NULL);
  gh_tensor *vectors = gh_vqgan_vectors(&tokenizer, &own->vqgan, d->codes);
  d->index = gh_masked_positions(g, d->mask, d->positions);
  gh_tensor *logits = gh_perceiver(&denoiser, &own->perceiver, vectors, d->mask, tokens, d->index);
  gh_categorical(g, logits, d->block, gh_stream_make(seed, 0, "reconstruct", "codes").key, d->how.temperature,
                 &d->drawn, &d->score);
  d->noise = gh_random_gumbel(g, d->block, gh_stream_make(seed, 0, "reconstruct", "confidence").key, 2,
                              (int64_t[]){d->batch, d->positions});
  gh_tensor *results[] = {d->index, d->drawn, d->score, d->noise};
  for (size_t i = 0; i < GH_COUNT(results) && results[i]; i++) gh_graph_keep(g, results[i]);
  return gh_graph_plan(err, g);
}

static gh_status plan_decoder(gh_error *err, gh_masked_drawer *d, const gh_models *m) {
  const gh_masked_models *own = gh_masked_models_of(m);
  gh_status status = gh_graph_create(err, d->device, &d->decode);
  if (status) return status;
  const gh_module frozen = {.graph = d->decode, .store = d->store};
  gh_module tokenizer = gh_masked_tokenizer(&frozen, own);
  d->image = gh_vqgan_decode(&tokenizer, &own->vqgan, d->codes);
  if (d->image) gh_graph_keep(d->decode, d->image);
  return gh_graph_plan(err, d->decode);
}

static gh_status open_drawer(gh_error *err, const gh_drawing_spec *spec, void **out) {
  gh_masked_drawer *d = gh_alloc(err, 1, sizeof *d);
  *out = NULL;
  if (!d) return GH_ERROR_MEMORY;
  d->device = spec->device;
  d->how = spec->how;
  d->batch = spec->batch;
  d->positions = gh_masked_models_of(spec->models)->perceiver.positions;
  gh_status status = allocate(err, d);
  if (!status) status = add_inputs(err, d, spec->width);
  if (!status) status = plan_prediction(err, d, spec->models, spec->how.seed);
  if (!status) status = plan_decoder(err, d, spec->models);
  if (status)
    close_drawer(d);
  else
    *out = d;
  return status;
}

/* ---- drawing ---- */

static gh_status predict(gh_error *err, gh_masked_drawer *d, uint64_t first, int step) {
  const gh_step_values values = {.update = 1,
                                 .ordinal = first + ((uint64_t)step << STEP_SHIFT),
                                 .samples = (uint32_t)d->batch,
                                 .weight = 1 / (double)d->batch,
                                 .beta1 = 0.9,
                                 .beta2 = 0.999};
  if (gh_step_write(err, d->device, d->block, &values) || gh_tensor_write(err, d->device, d->codes, d->host_codes) ||
      gh_tensor_write(err, d->device, d->mask, d->host_mask) || gh_graph_run(err, d->predict) ||
      gh_tensor_read(err, d->device, d->index, d->host_index) ||
      gh_tensor_read(err, d->device, d->drawn, d->host_drawn) ||
      gh_tensor_read(err, d->device, d->score, d->host_score) ||
      gh_tensor_read(err, d->device, d->noise, d->host_noise))
    return err->status;
  return GH_OK;
}

typedef struct gh_candidate {
  double confidence;
  int32_t position, code;
} gh_candidate;

/* The most confident first, at a tie the lower position. */
static int by_confidence(const void *a, const void *b) {
  const gh_candidate *x = a, *y = b;
  if (x->confidence != y->confidence) return x->confidence < y->confidence ? 1 : -1;
  return (x->position > y->position) - (x->position < y->position);
}

/* Fixes the codes of sample b's most confident masked positions, so that `left` stay masked. `heat` scales the noise of
 * the confidences. */
static gh_status fix_codes(gh_error *err, gh_masked_drawer *d, int64_t b, int64_t left, double heat,
                           gh_candidate *candidates) {
  const int64_t row = b * d->positions;
  int64_t count = 0;
  for (; count < d->positions && d->host_index[row + count] >= 0; count++) {
    const int64_t i = row + count;
    candidates[count] =
        (gh_candidate){(double)d->host_score[i] + heat * (double)d->host_noise[i], d->host_index[i], d->host_drawn[i]};
    if (!isfinite(candidates[count].confidence))
      return gh_fail(err, GH_ERROR_NUMERIC, "a predicted probability is not finite");
  }
  qsort(candidates, (size_t)count, sizeof *candidates, by_confidence);
  for (int64_t i = 0; i < count - left; i++) {
    d->host_codes[row + candidates[i].position] = candidates[i].code;
    d->host_mask[row + candidates[i].position] = 0;
  }
  return GH_OK;
}

static gh_status decode(gh_error *err, gh_masked_drawer *d, float *images) {
  const int64_t pixels = gh_tensor_elements(d->image);
  if (gh_tensor_write(err, d->device, d->codes, d->host_codes) || gh_graph_run(err, d->decode) ||
      gh_tensor_read(err, d->device, d->image, images))
    return err->status;
  for (int64_t i = 0; i < pixels; i++) {
    if (!isfinite(images[i])) return gh_fail(err, GH_ERROR_NUMERIC, "a drawn image is not finite");
    images[i] = (images[i] + 1) / 2;
  }
  return GH_OK;
}

static gh_status draw(gh_error *err, void *drawer, float *images, const float *conditions, uint64_t first,
                      void (*progress)(void *user, int step), void *user) {
  gh_masked_drawer *d = drawer;
  const int steps = d->how.steps;
  gh_candidate *candidates = gh_alloc(err, (size_t)d->positions, sizeof *candidates);
  gh_status status = candidates ? gh_tensor_write(err, d->device, d->condition, conditions) : GH_ERROR_MEMORY;
  for (int64_t i = 0; i < d->batch * d->positions; i++) {
    d->host_codes[i] = 0; /* not read while masked */
    d->host_mask[i] = 1;
  }
  for (int k = 1; k <= steps && !status; k++) {
    const double done = (double)k / steps;
    const int64_t left = k < steps ? (int64_t)floor((double)d->positions * cos(acos(0.0) * done)) : 0;
    status = predict(err, d, first, k);
    for (int64_t b = 0; b < d->batch && !status; b++)
      status = fix_codes(err, d, b, left, d->how.temperature * (1 - done), candidates);
    if (progress) progress(user, k);
  }
  if (!status) status = decode(err, d, images);
  free(candidates);
  return status;
}

const gh_drawing gh_masked_drawing = {.steps = STEPS,
                                      .temperature = TEMPERATURE,
                                      .details = "all codes are masked at first; each of twelve steps draws codes for "
                                                 "the masked ones and keeps the most confident.",
                                      .open = open_drawer,
                                      .draw = draw,
                                      .close = close_drawer};
