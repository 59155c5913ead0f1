#include "method/probe.h"
#include "method/setup.h"
#include "models/tensors_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct gh_probe_state {
  gh_device *device;
  gh_safetensors *inputs;
  gh_models models;
  gh_store *store;
  gh_lora lora;
  gh_step step;
} gh_probe_state;

/* Copies a named input of the file into a tensor of the store, whose shape it must have. */
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

/* The given numbers of patch tokens; tokens is how many there are. */
static gh_status fill_index(gh_error *err, gh_probe_state *p, gh_tensor *t, int64_t tokens) {
  const gh_st_tensor *given = gh_safetensors_find(p->inputs, "local_index");
  int64_t n = gh_tensor_elements(t);
  if (!given || given->rank != 2 || given->shape[0] != t->shape[0] || given->shape[1] != t->shape[1])
    return gh_fail(err, GH_ERROR_FORMAT,
                   "%s: condition.local_tokens asks for local_index (%lld, %lld), which tokens a sample",
                   gh_safetensors_path(p->inputs), (long long)t->shape[0], (long long)t->shape[1]);
  int32_t *index = gh_alloc(err, (size_t)n, sizeof *index);
  gh_status status = index ? GH_OK : GH_ERROR_MEMORY;
  for (int64_t i = 0; i < n && !status; i++) {
    int64_t value = 0;
    status = gh_st_read_i64(err, given, i, 1, &value);
    if (!status && (value < 0 || value >= tokens))
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: local_index: %lld is none of the %lld patch tokens",
                       gh_safetensors_path(p->inputs), (long long)value, (long long)tokens);
    if (!status) index[i] = (int32_t)value;
  }
  if (!status) status = gh_tensor_write(err, p->device, t, index);
  free(index);
  return status;
}

static gh_status fill_inputs(gh_error *err, gh_probe_state *p) {
  static const char *const names[] = {"images", "latent_noise", "pixel_values", "latents", "noise", "t"};
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    gh_tensor *t = gh_store_find(p->store, gh_name_make("input.%s", names[i]).text);
    gh_status status = t ? fill(err, p, t, names[i]) : GH_OK;
    if (status) return status;
  }
  gh_tensor *index = gh_store_find(p->store, "input.local_index");
  return index ? fill_index(err, p, index, gh_vision_patches(&p->models.clip)) : GH_OK;
}

static gh_status record(gh_error *err, gh_probe_state *p, const gh_config *config, int stage) {
  const gh_st_tensor *t = NULL;
  gh_status status = gh_safetensors_expect(err, p->inputs, "t", 1, (int64_t[]){-1}, &t);
  if (!status) status = gh_store_create(err, p->device, &p->store);
  if (status) return status;
  gh_setup_lora(&p->lora, config, &p->models, NULL);
  p->lora.mask = given_mask;
  p->lora.user = p;
  gh_step_spec spec =
      gh_setup_step(config, &p->models, stage, t->shape[0], stage == 2 && config->lora.enabled ? &p->lora : NULL);
  spec.device = p->device;
  spec.store = p->store;
  spec.source = gh_safetensors_find(p->inputs, "images") ? GH_STEP_GIVEN_IMAGES : GH_STEP_GIVEN_LATENTS;
  status = gh_step_record(err, &spec, &p->step);
  if (status) return status;
  gh_graph_keep(p->step.graph, p->step.condition);
  gh_graph_keep(p->step.graph, p->step.latents);
  gh_graph_keep(p->step.graph, p->step.prediction);
  status = gh_graph_plan(err, p->step.graph);
  const gh_step_values values = {
      .update = 1, .samples = (uint32_t)spec.batch, .weight = 1 / (double)spec.batch, .beta1 = 0.9, .beta2 = 0.999};
  if (!status) status = gh_step_write(err, p->device, p->step.block, &values);
  if (!status) status = fill_inputs(err, p);
  return status ? status : gh_graph_run(err, p->step.graph);
}

/* ---- results ---- */

static int list_results(const gh_probe_state *p, gh_named_tensor *results) {
  int n = 0;
  results[n++] = (gh_named_tensor){gh_name_make("condition"), p->step.condition};
  results[n++] = (gh_named_tensor){gh_name_make("latents"), p->step.latents};
  results[n++] = (gh_named_tensor){gh_name_make("prediction"), p->step.prediction};
  for (int i = 0; i < gh_store_count(p->store); i++) {
    const gh_tensor *t = gh_store_at(p->store, i);
    if (t->trainable) results[n++] = (gh_named_tensor){gh_name_make("grad.%s", t->name), t->grad};
  }
  return n;
}

typedef struct gh_squares {
  const gh_named_tensor *results;
  double sum; /* of the gradients' squares */
} gh_squares;

static void add_squares(void *user, int index, float *values, int64_t n) {
  gh_squares *s = user;
  if (!gh_starts_with(s->results[index].name.text, "grad.")) return;
  for (int64_t k = 0; k < n; k++) s->sum += (double)values[k] * (double)values[k];
}

static gh_status write_values(gh_error *err, gh_probe_state *p, gh_safetensors_writer *writer,
                              const gh_named_tensor *results, int count) {
  const int64_t one = 1;
  float loss = 0;
  gh_squares squares = {.results = results};
  gh_status status = gh_safetensors_writer_declare(err, writer, "loss", GH_ST_F32, 1, &one);
  if (!status) status = gh_tensors_declare(err, writer, results, count);
  if (!status) status = gh_safetensors_writer_declare(err, writer, "grad_norm", GH_ST_F32, 1, &one);
  if (!status) status = gh_safetensors_writer_begin(err, writer);
  if (!status) status = gh_tensor_read(err, p->device, p->step.loss_total, &loss);
  if (!status) status = gh_safetensors_writer_write_f32(err, writer, "loss", &loss, 1);
  if (!status) status = gh_tensors_write(err, writer, p->device, results, count, add_squares, &squares);
  float norm = (float)sqrt(squares.sum);
  if (!status) status = gh_safetensors_writer_write_f32(err, writer, "grad_norm", &norm, 1);
  return status ? status : gh_safetensors_writer_finish(err, writer);
}

static gh_status write_results(gh_error *err, gh_probe_state *p, const char *out) {
  gh_named_tensor *results = gh_alloc(err, (size_t)gh_store_count(p->store) + 3, sizeof *results);
  gh_safetensors_writer *writer = NULL;
  gh_status status = results ? gh_safetensors_writer_new(err, &writer, out) : GH_ERROR_MEMORY;
  if (!status) status = write_values(err, p, writer, results, list_results(p, results));
  gh_safetensors_writer_free(writer);
  free(results);
  return status;
}

gh_status gh_probe(gh_error *err, const gh_config *config, int stage, const char *inputs, const char *out) {
  gh_probe_state p = {0};
  gh_status status = gh_setup_refuse(err, config);
  if (!status) status = gh_setup_device(err, config->device, false, &p.device);
  if (!status) status = gh_safetensors_open(err, &p.inputs, inputs);
  if (!status) status = gh_models_open(err, &p.models, config, NULL, NULL);
  if (!status) status = record(err, &p, config, stage);
  if (!status) status = write_results(err, &p, out);
  gh_graph_free(p.step.graph);
  gh_store_free(p.store);
  gh_models_close(&p.models);
  gh_safetensors_close(p.inputs);
  gh_device_close(p.device);
  return status;
}
