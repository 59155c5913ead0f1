#include "method/probe.h"
#include "backend/registry.h"
#include "base/log.h"
#include "cl/step.h"
#include "method/objective.h"
#include "method/setup.h"
#include "models/tensors_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct gh_probe_state {
  gh_device *device;
  gh_safetensors *inputs;
  gh_models models;
  gh_store *store;
  gh_lora lora;
  gh_step step;
  float scale;                       /* of the loss: what the gradients are multiplied by */
  int32_t *indices[GH_STEP_OUTPUTS]; /* of the outputs that have one, after the step */
} gh_probe_state;

/* Copies a named input of the file into a tensor of the store. Their shapes must agree. */
static gh_status fill(gh_error *err, gh_probe_state *p, gh_tensor *t, const char *name) {
  float *values = gh_alloc(err, (size_t)gh_tensor_elements(t), sizeof *values);
  gh_status status = GH_ERROR_MEMORY;
  if (values) status = gh_safetensors_load_f32(err, p->inputs, name, t->rank, t->shape, values);
  if (!status) status = gh_tensor_write(err, p->device, t, values);
  free(values);
  return status;
}

static gh_tensor *given_mask(void *user, gh_graph *g, const char *layer, const gh_tensor *x) {
  gh_probe_state *p = user;
  gh_name name = gh_name_make("dropout_mask.%s.lora_A.weight", layer);
  gh_error *err = gh_graph_error(g);
  gh_tensor *t = NULL;
  if (!x || !gh_safetensors_find(p->inputs, name.text)) return NULL;
  if (gh_step_tensor(err, p->store, name.text, x->rank, x->shape, &t) || fill(err, p, t, name.text)) return NULL;
  return t;
}

/* Copies the given integers and checks that each is in [0, input->below). */
static gh_status fill_index(gh_error *err, gh_probe_state *p, const gh_step_input *input) {
  gh_tensor *t = input->tensor;
  const gh_st_tensor *given = gh_safetensors_find(p->inputs, input->name);
  int64_t n = gh_tensor_elements(t);
  char shape[96] = "";
  for (int i = 0; i < t->rank; i++)
    snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%lld", i ? ", " : "", (long long)t->shape[i]);
  bool same = given && given->rank == t->rank && !memcmp(given->shape, t->shape, (size_t)t->rank * sizeof *t->shape);
  if (!same)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %s (%s) is missing or has another shape; it selects among the %lld %s",
                   gh_safetensors_path(p->inputs), input->name, shape, (long long)input->below, input->what);
  int32_t *index = gh_alloc(err, (size_t)n, sizeof *index);
  gh_status status = index ? GH_OK : GH_ERROR_MEMORY;
  for (int64_t i = 0; i < n && !status; i++) {
    int64_t value = 0;
    status = gh_st_read_i64(err, given, i, 1, &value);
    if (!status && (value < 0 || value >= input->below))
      status =
          gh_fail(err, GH_ERROR_FORMAT, "%s: %s: %lld is out of range: there are %lld %s",
                  gh_safetensors_path(p->inputs), input->name, (long long)value, (long long)input->below, input->what);
    if (!status) index[i] = (int32_t)value;
  }
  if (!status) status = gh_tensor_write(err, p->device, t, index);
  free(index);
  return status;
}

static gh_status fill_inputs(gh_error *err, gh_probe_state *p) {
  gh_status status = GH_OK;
  for (int i = 0; i < p->step.input_count && !status; i++) {
    const gh_step_input *input = &p->step.inputs[i];
    status = input->below ? fill_index(err, p, input) : fill(err, p, input->tensor, input->name);
  }
  return status;
}

/* Whether the objective's target is given under its own name, in place of being computed from the images. */
static bool has_targets(const gh_probe_state *p) {
  gh_target target;
  return gh_objective_target(&p->models, &target) && gh_safetensors_find(p->inputs, target.name);
}

/* Finds pictures, or pixels that are already normalised. Their number is the batch. */
static gh_status find_images(gh_error *err, const gh_probe_state *p, gh_step_source *source, int64_t *batch) {
  const gh_st_tensor *images = gh_safetensors_find(p->inputs, "images"), *pixels = NULL;
  if (!images) {
    const int64_t any[4] = {-1, 3, -1, -1};
    gh_status status = gh_safetensors_expect(err, p->inputs, "pixel_values", 4, any, &pixels);
    if (status) return status;
  }
  const gh_st_tensor *given = images ? images : pixels;
  *source = !images ? GH_STEP_GIVEN_PIXELS : has_targets(p) ? GH_STEP_GIVEN_IMAGES_AND_TARGETS : GH_STEP_GIVEN_IMAGES;
  *batch = given->rank ? given->shape[0] : 0;
  if (*batch > 0) return GH_OK;
  return gh_fail(err, GH_ERROR_FORMAT, "%s: %s is empty", gh_safetensors_path(p->inputs), given->name);
}

static bool is_used(const gh_probe_state *p, const char *name, gh_step_source source) {
  if (!strcmp(name, source == GH_STEP_GIVEN_PIXELS ? "pixel_values" : "images")) return true;
  for (int i = 0; i < p->step.input_count; i++)
    if (!strcmp(p->step.inputs[i].name, name)) return true;
  return gh_store_find(p->store, name) != NULL;
}

/* A misspelt mask would be no mask. */
static void warn_of_unused(const gh_probe_state *p, gh_step_source source) {
  const char *first = NULL;
  size_t unused = 0, count = gh_safetensors_count(p->inputs);
  for (size_t i = 0; i < count; i++) {
    const char *name = gh_safetensors_at(p->inputs, i)->name;
    if (is_used(p, name, source)) continue;
    if (!unused++) first = name;
  }
  if (unused)
    gh_warn("%s: \"%.200s\" is not used (%zu of %zu tensors)", gh_safetensors_path(p->inputs), first, unused, count);
}

/* ---- the run ---- */

/* *all_finite: stays true if the tensor's values are. */
static gh_status examine(gh_error *err, gh_device *device, const gh_tensor *t, bool *all_finite) {
  const int64_t n = gh_tensor_elements(t);
  float *values = gh_alloc(err, (size_t)n, sizeof *values);
  gh_status status = values ? gh_tensor_read_f32(err, device, t, values) : GH_ERROR_MEMORY;
  for (int64_t i = 0; i < n && !status && *all_finite; i++) *all_finite = isfinite(values[i]);
  free(values);
  return status;
}

static gh_status clear(gh_error *err, gh_device *device, gh_tensor *t) {
  float *zeros = gh_alloc(err, (size_t)gh_tensor_elements(t), sizeof *zeros);
  gh_status status = zeros ? gh_tensor_write_f32(err, device, t, zeros) : GH_ERROR_MEMORY;
  free(zeros);
  return status;
}

/* Halves the loss's scale after a run whose gradients are not finite, as training does, and clears what the run added
 * up; *again: it has to be repeated. */
static gh_status settle(gh_error *err, gh_probe_state *p, bool *again) {
  bool all_finite = true;
  gh_status status = GH_OK;
  *again = false;
  if (!p->step.loss_scale) return GH_OK;
  for (int i = 0; i < gh_store_count(p->store) && !status && all_finite; i++) {
    const gh_tensor *t = gh_store_at(p->store, i);
    if (t->trainable) status = examine(err, p->device, t->grad, &all_finite);
  }
  if (status || all_finite || p->scale <= LOSS_SCALE_LEAST) return status;
  for (int i = 0; i < gh_store_count(p->store) && !status; i++) {
    const gh_tensor *t = gh_store_at(p->store, i);
    if (t->trainable) status = clear(err, p->device, t->grad);
  }
  p->scale *= LOSS_SCALE_BACKOFF;
  *again = true;
  if (!status) status = gh_tensor_write(err, p->device, p->step.loss_scale, &p->scale);
  for (int i = 0; i < p->step.log_count && !status; i++) status = clear(err, p->device, p->step.logs[i]);
  return status ? status : clear(err, p->device, p->step.loss_total);
}

static gh_status run_step(gh_error *err, gh_probe_state *p) {
  gh_status status;
  bool again;
  p->scale = p->step.loss_scale ? LOSS_SCALE_FIRST : 1;
  do {
    status = gh_graph_run(err, p->step.graph);
    if (!status) status = settle(err, p, &again);
  } while (!status && again);
  return status;
}

static gh_status record(gh_error *err, gh_probe_state *p, const gh_config *config, int stage) {
  gh_step_source source;
  int64_t batch = 0;
  gh_status status = find_images(err, p, &source, &batch);
  if (!status) status = gh_store_create(err, p->device, &p->store);
  if (status) return status;
  gh_setup_lora(&p->lora, config, &p->models, NULL);
  p->lora.mask = given_mask;
  p->lora.user = p;
  gh_step_spec spec =
      gh_setup_step(config, &p->models, stage, batch, stage == 2 && config->lora.enabled ? &p->lora : NULL);
  spec.device = p->device;
  spec.store = p->store;
  spec.source = source;
  status = gh_step_record(err, &spec, &p->step);
  if (status) return status;
  warn_of_unused(p, source);
  for (int i = 0; i < p->step.output_count; i++) {
    const gh_step_output *output = &p->step.outputs[i];
    gh_graph_keep(p->step.graph, output->tensor);
    if (output->index) gh_graph_keep(p->step.graph, output->index);
  }
  status = gh_graph_plan(err, p->step.graph);
  const gh_step_values values = {
      .update = 1, .samples = (uint32_t)spec.batch, .weight = 1 / (double)spec.batch, .beta1 = 0.9, .beta2 = 0.999};
  if (!status) status = gh_step_write(err, p->device, p->step.block, &values);
  if (!status) status = fill_inputs(err, p);
  return status ? status : run_step(err, p);
}

/* ---- results ---- */

static gh_status read_indices(gh_error *err, gh_probe_state *p) {
  for (int i = 0; i < p->step.output_count; i++) {
    const gh_tensor *index = p->step.outputs[i].index;
    if (!index) continue;
    p->indices[i] = gh_alloc(err, (size_t)gh_tensor_elements(index), sizeof *p->indices[i]);
    if (!p->indices[i] || gh_tensor_read(err, p->device, index, p->indices[i])) return err->status;
  }
  return GH_OK;
}

static int list_results(const gh_probe_state *p, gh_named_tensor *results) {
  int n = 0;
  for (int i = 0; i < p->step.output_count; i++)
    results[n++] = (gh_named_tensor){.name = gh_name_make("%s", p->step.outputs[i].name),
                                     .tensor = p->step.outputs[i].tensor,
                                     .index = p->indices[i]};
  for (int i = 0; i < gh_store_count(p->store); i++) {
    const gh_tensor *t = gh_store_at(p->store, i);
    if (t->trainable) results[n++] = (gh_named_tensor){.name = gh_name_make("grad.%s", t->name), .tensor = t->grad};
  }
  return n;
}

typedef struct gh_squares {
  const gh_named_tensor *results;
  float scale; /* what the gradients are still multiplied by */
  double sum;  /* of their squares */
} gh_squares;

static void unscale(void *user, int index, float *values, int64_t n) {
  gh_squares *s = user;
  if (!gh_starts_with(s->results[index].name.text, "grad.")) return;
  for (int64_t k = 0; k < n; k++) {
    values[k] /= s->scale;
    s->sum += (double)values[k] * (double)values[k];
  }
}

static gh_status write_values(gh_error *err, gh_probe_state *p, gh_safetensors_writer *writer,
                              const gh_named_tensor *results, int count) {
  const int64_t one = 1;
  float loss = 0;
  gh_squares squares = {.results = results, .scale = p->scale};
  gh_status status = gh_safetensors_writer_declare(err, writer, "loss", GH_ST_F32, 1, &one);
  if (!status) status = gh_tensors_declare(err, writer, results, count);
  if (!status) status = gh_safetensors_writer_declare(err, writer, "grad_norm", GH_ST_F32, 1, &one);
  if (!status) status = gh_safetensors_writer_begin(err, writer);
  if (!status) status = gh_tensor_read(err, p->device, p->step.loss_total, &loss);
  if (!status) status = gh_safetensors_writer_write_f32(err, writer, "loss", &loss, 1);
  if (!status) status = gh_tensors_write(err, writer, p->device, results, count, unscale, &squares);
  float norm = (float)sqrt(squares.sum);
  if (!status) status = gh_safetensors_writer_write_f32(err, writer, "grad_norm", &norm, 1);
  return status ? status : gh_safetensors_writer_finish(err, writer);
}

static gh_status write_results(gh_error *err, gh_probe_state *p, const char *out) {
  gh_named_tensor *results = gh_alloc(err, (size_t)gh_store_count(p->store) + GH_STEP_OUTPUTS, sizeof *results);
  gh_safetensors_writer *writer = NULL;
  gh_status status = results ? read_indices(err, p) : GH_ERROR_MEMORY;
  if (!status) status = gh_safetensors_writer_new(err, &writer, out);
  if (!status) status = write_values(err, p, writer, results, list_results(p, results));
  gh_safetensors_writer_free(writer);
  free(results);
  return status;
}

gh_status gh_probe(gh_error *err, const gh_config *config, int stage, const char *inputs, const char *out) {
  gh_probe_state p = {0};
  gh_status status = gh_setup_device(err, config->device, false, &p.device);
  if (!status) status = gh_safetensors_open(err, &p.inputs, inputs);
  if (!status) status = gh_models_open(err, &p.models, config, NULL, NULL);
  if (!status) status = record(err, &p, config, stage);
  if (!status) status = write_results(err, &p, out);
  for (int i = 0; i < GH_STEP_OUTPUTS; i++) free(p.indices[i]);
  gh_graph_free(p.step.graph);
  gh_store_free(p.store);
  gh_models_close(&p.models);
  gh_safetensors_close(p.inputs);
  gh_device_close(p.device);
  return status;
}
