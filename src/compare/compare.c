#include "backend/registry.h"
#include "compare/internal.h"
#include "method/setup.h"
#include "train/budget.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEGLIGIBLE      1e-5 /* of the norm of all gradients: smaller ones are rounding error (e.g. a key's bias) */
#define FIRST_GRADIENTS 1e-3 /* drift that rounding explains in the first step; beyond it, the nodes are compared */
#define NODE_BOUND      3e-6 /* smaller differences of one op are ignored; larger ones are compared with its sensitivity */

typedef struct gh_comparison {
  const gh_config *config;
  const gh_compare_options *options;
  gh_device *devices[2];
  gh_image_set *images;
  /* per stage */
  gh_models models;
  gh_lora lora[2];
  gh_loop loops[2];
  bool parted;
  gh_compared_step step;
  gh_compared_nodes walk;
} gh_comparison;

/* ---- building a stage on both devices ---- */

static void close_stage(gh_comparison *c) {
  for (int i = 0; i < 2; i++) gh_loop_free(&c->loops[i]);
  gh_models_close(&c->models);
  free(c->step.gradients.each);
  free(c->step.weights.each);
  free(c->step.counts);
  free(c->walk.ops);
  c->step = (gh_compared_step){0};
  c->walk = (gh_compared_nodes){0};
  c->parted = false;
}

static gh_step_spec spec_of(gh_comparison *c, int number, int side, gh_tensor *block) {
  bool lora = number == 2 && c->config->lora.enabled;
  gh_setup_lora(&c->lora[side], c->config, &c->models, block);
  int64_t micro_batch = c->config->stages[number - 1].micro_batch;
  gh_step_spec spec = gh_setup_step(c->config, &c->models, number, micro_batch, lora ? &c->lora[side] : NULL);
  spec.source = GH_STEP_DRAWN; /* with a cache configured: the same crops, but targets are computed */
  return spec;
}

static gh_status build_side(gh_error *err, gh_comparison *c, int number, int side, const gh_step_spec *fitted) {
  gh_loop *l = &c->loops[side];
  gh_tensor *block = NULL;
  *l = (gh_loop){.label = number == 1 ? "stage 1" : "stage 2",
                 .number = number,
                 .stage = &c->config->stages[number - 1],
                 .device = c->devices[side],
                 .set = c->images,
                 .micro_batch = fitted->batch};
  gh_status status = gh_store_create(err, l->device, &l->store);
  if (!status) status = gh_step_block(err, l->store, "step", &block);
  if (status) return status;
  gh_step_spec spec = spec_of(c, number, side, block);
  spec.device = l->device;
  spec.store = l->store;
  spec.batch = fitted->batch;
  spec.recompute = fitted->recompute;
  status = gh_step_record(err, &spec, &l->step);
  if (!status) status = gh_loop_plan(err, l);
  return status ? status : gh_loop_load_images(err, l, &c->config->data, (uint64_t)c->config->seed);
}

static gh_status build(gh_error *err, gh_comparison *c, int number, bool *recompute) {
  gh_budget budget = {0};
  gh_status status = gh_models_open(err, &c->models, c->config, NULL, NULL);
  if (status) return status;
  gh_step_spec spec = spec_of(c, number, 0, NULL);
  status = gh_budget_fit(err, &spec, &c->config->stages[number - 1], c->config->recompute, c->devices, 2, &budget);
  for (int i = 0; i < 2 && !status; i++) status = build_side(err, c, number, i, &spec);
  *recompute = spec.recompute;
  int count = status ? 0 : c->loops[0].update.count;
  if (!status && c->loops[1].update.count != count)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%d and %d tensors are trained", count, c->loops[1].update.count);
  c->step.gradients.each = gh_alloc(err, (size_t)count, sizeof(double));
  c->step.weights.each = gh_alloc(err, (size_t)count, sizeof(double));
  c->step.counts = gh_alloc(err, (size_t)count, sizeof(bool));
  if (!status && (!c->step.gradients.each || !c->step.weights.each || !c->step.counts)) status = GH_ERROR_MEMORY;
  return status;
}

/* ---- drift ---- */

typedef struct gh_norms {
  double apart, first; /* squares of ||a - b||, ||a|| */
} gh_norms;

static gh_status measure(gh_error *err, gh_comparison *c, gh_tensor *a, gh_tensor *b, gh_norms *out) {
  size_t n = (size_t)gh_tensor_elements(a);
  float *x = gh_alloc(err, n, sizeof *x), *y = gh_alloc(err, n, sizeof *y);
  gh_status status = x && y ? gh_tensor_read_numbers(err, c->devices[0], a, x) : GH_ERROR_MEMORY;
  if (!status) status = gh_tensor_read_numbers(err, c->devices[1], b, y);
  *out = (gh_norms){0};
  for (size_t i = 0; !status && i < n; i++) {
    double p = (double)x[i], q = (double)y[i];
    out->apart += (p - q) * (p - q);
    out->first += p * p;
  }
  free(x);
  free(y);
  return status;
}

static double relative(double apart, double norm) { return apart == 0 ? 0 : sqrt(apart / norm); }

/* Finds the gradients that are more than rounding error, by their norms. */
static void find_negligible(gh_comparison *c, const gh_norms *norms, int count) {
  double total = 0;
  for (int i = 0; i < count; i++) total += norms[i].first;
  c->step.left_out = 0;
  for (int i = 0; i < count; i++) {
    c->step.counts[i] = !(sqrt(norms[i].first) <= NEGLIGIBLE * sqrt(total));
    c->step.left_out += !c->step.counts[i];
  }
}

static gh_status measure_drift(gh_error *err, gh_comparison *c, bool gradients, gh_drift *out) {
  const gh_update *a = &c->loops[0].update, *b = &c->loops[1].update;
  gh_norms *norms = gh_alloc(err, (size_t)a->count, sizeof *norms), total = {0};
  gh_status status = norms ? GH_OK : GH_ERROR_MEMORY;
  for (int i = 0; i < a->count && !status; i++) {
    gh_tensor *p = a->parameters[i], *q = b->parameters[i];
    status = measure(err, c, gradients ? p->grad : p, gradients ? q->grad : q, &norms[i]);
  }
  if (!status && gradients) find_negligible(c, norms, a->count);
  out->worst = 0;
  out->name = "-";
  for (int i = 0; i < a->count && !status; i++) {
    out->each[i] = relative(norms[i].apart, norms[i].first);
    if (!c->step.counts[i]) continue;
    total.apart += norms[i].apart;
    total.first += norms[i].first;
    if (out->each[i] <= out->worst) continue;
    out->worst = out->each[i];
    out->name = a->parameters[i]->name;
  }
  out->total = relative(total.apart, total.first);
  free(norms);
  return status;
}

static gh_status measure_loss(gh_error *err, gh_comparison *c) {
  gh_compared_step *s = &c->step;
  for (int i = 0; i < 2; i++) {
    float loss = 0;
    gh_status status = gh_tensor_read_numbers(err, c->devices[i], c->loops[i].step.loss_total, &loss);
    if (status) return status;
    s->loss[i] = (double)loss;
  }
  double apart = fabs(s->loss[0] - s->loss[1]);
  s->loss_drift = apart == 0 ? 0 : apart / fmax(fabs(s->loss[0]), fabs(s->loss[1]));
  return GH_OK;
}

/* ---- a step ---- */

static gh_status run_graph(gh_error *err, gh_comparison *c, gh_graph *g, int side) {
  return side && c->options->sabotage ? gh_graph_run_sabotaged(err, g, c->options->sabotage) : gh_graph_run(err, g);
}

static gh_status accumulate(gh_error *err, gh_comparison *c) {
  gh_status status = GH_OK;
  for (int64_t first = 0; first < c->loops[0].stage->batch; first += c->loops[0].micro_batch)
    for (int i = 0; i < 2 && !status; i++) {
      status = gh_loop_load(err, &c->loops[i], first);
      if (!status) status = run_graph(err, c, c->loops[i].step.graph, i);
    }
  return status;
}

/* Runs a step. The update is skipped if the two have diverged. */
static gh_status take_step(gh_error *err, gh_comparison *c) {
  gh_compared_step *s = &c->step;
  s->step = c->loops[0].done + 1;
  s->updated = false;
  gh_status status = accumulate(err, c);
  if (!status) status = measure_loss(err, c);
  if (!status) status = measure_drift(err, c, true, &s->gradients);
  if (status) return status;
  c->parted = !(s->loss_drift <= c->options->tolerance) || (s->step == 1 && !(s->gradients.total <= FIRST_GRADIENTS));
  if (c->parted) return GH_OK;
  for (int i = 0; i < 2 && !status; i++) {
    gh_update_result result;
    status = run_graph(err, c, c->loops[i].update.graph, i);
    if (!status) status = gh_update_read(err, c->devices[i], &c->loops[i].update, &result);
    if (!status && result.bad) c->parted = true;
  }
  if (!status) status = measure_drift(err, c, false, &s->weights);
  s->updated = true;
  for (int i = 0; i < 2; i++) c->loops[i].done++;
  return status;
}

/* ---- the walk ---- */

static void count_node(void *context, const gh_node_difference *node) {
  gh_comparison *c = context;
  gh_compared_nodes *w = &c->walk;
  int at = 0;
  while (at < w->count && w->ops[at].op != node->node->op) at++;
  if (at == w->count) w->ops[w->count++] = (gh_compared_op){.op = node->node->op, .rounding = -1};
  w->nodes++;
  w->ops[at].nodes++;
  if (node->difference <= w->ops[at].worst) return;
  w->ops[at].worst = node->difference;
  w->ops[at].rounding = node->rounding;
}

static gh_status clear(gh_error *err, gh_device *d, gh_tensor *t) {
  void *zeros = gh_alloc(err, (size_t)gh_tensor_bytes(t), 1);
  gh_status status = zeros ? gh_tensor_write(err, d, t, zeros) : GH_ERROR_MEMORY;
  free(zeros);
  return status;
}

/* Clears gradients and loss, and restarts the loader at the first image of the next update. */
static gh_status start_again(gh_error *err, gh_comparison *c, gh_loop *l) {
  gh_loader_free(l->loader);
  free(l->images);
  free(l->samples);
  l->loader = NULL;
  l->images = NULL;
  l->samples = NULL;
  gh_status status = gh_loop_load_images(err, l, &c->config->data, (uint64_t)c->config->seed);
  if (!status) status = clear(err, l->device, l->step.loss_total);
  for (int i = 0; i < l->update.count && !status; i++) status = clear(err, l->device, l->update.parameters[i]->grad);
  return status;
}

/* Compares node by node: the whole update if the two have diverged, else its first micro-batch and the update graph. */
static gh_status walk(gh_error *err, gh_comparison *c) {
  gh_loop *a = &c->loops[0], *b = &c->loops[1];
  const gh_graph_compare_options options = {
      .bound = NODE_BOUND, .node = count_node, .context = c, .sabotage = c->options->sabotage};
  int most = gh_graph_node_count(a->step.graph) + gh_graph_node_count(a->update.graph);
  c->walk.ops = gh_alloc(err, (size_t)most, sizeof *c->walk.ops);
  if (!c->walk.ops) return GH_ERROR_MEMORY;
  c->walk.step = a->done + 1;
  gh_status status = start_again(err, c, a);
  if (!status) status = start_again(err, c, b);
  for (int64_t at = 0; !status && !c->walk.first.node && at < (c->parted ? a->stage->batch : 1); at += a->micro_batch) {
    status = gh_loop_load(err, a, at);
    if (!status) status = gh_loop_load(err, b, at);
    if (!status) status = gh_graph_compare(err, a->step.graph, b->step.graph, &options, &c->walk.first);
  }
  if (!status && !c->walk.first.node)
    status = gh_graph_compare(err, a->update.graph, b->update.graph, &options, &c->walk.first);
  if (!status && c->walk.first.node) gh_compare_describe(c->walk.text, sizeof c->walk.text, &c->walk.first);
  return status;
}

/* ---- a stage ---- */

/* Whether something is wrong; writes one line about it. */
static bool judge(const gh_comparison *c, char *text, size_t size) {
  const gh_compared_step *s = &c->step;
  bool wrong = c->walk.first.node != NULL;
  const char *label = c->loops[0].label, *a = c->devices[0]->info.id, *b = c->devices[1]->info.id;
  if (!(s->loss_drift <= c->options->tolerance))
    snprintf(text, size,
             "%s: %s and %s diverge at step %lld: losses %.8g and %.8g, relative drift %.2g above %.2g; %s%s", label, a,
             b, (long long)s->step, s->loss[0], s->loss[1], s->loss_drift, c->options->tolerance,
             wrong ? "the first result that differs on equal inputs: "
                   : "on equal inputs no op differs by more than rounding error",
             c->walk.text);
  else if (wrong)
    snprintf(text, size, "%s: %s and %s differ on equal inputs (step %lld): %s", label, a, b, (long long)c->walk.step,
             c->walk.text);
  else
    return false;
  return true;
}

static gh_status compare_stage(gh_error *err, gh_comparison *c, int number, gh_json *result, char *wrong, size_t size) {
  bool recompute = false;
  gh_json *stage = NULL;
  gh_status status = build(err, c, number, &recompute);
  if (!status && !(stage = gh_compare_begin_stage(err, result, &c->loops[0], c->options->steps, recompute)))
    status = err->status;
  while (!status && !c->parted && c->loops[0].done < c->options->steps) {
    status = take_step(err, c);
    if (!status) status = gh_compare_put_step(err, stage, &c->loops[0].update, &c->step);
  }
  if (!status) status = walk(err, c);
  if (!status) status = gh_compare_put_nodes(err, stage, &c->step, &c->walk);
  char text[800];
  if (!status && judge(c, text, sizeof text) && !wrong[0]) snprintf(wrong, size, "%s", text);
  close_stage(c);
  return status;
}

gh_status gh_compare(gh_error *err, const gh_config *config, const gh_compare_options *options, gh_json *result) {
  gh_comparison c = {.config = config, .options = options};
  char wrong[800] = "";
  int compared = 0;
  gh_status status = GH_OK;
  for (int i = 0; i < 2 && !status; i++) status = gh_device_open(err, options->devices[i], &c.devices[i]);
  const gh_strings *images = &config->data.images;
  if (!status)
    status = gh_image_set_open_keys(err, &c.images, "data.images", (const char *const *)images->items, images->count,
                                    &config->data.keys);
  if (!status) gh_image_set_exif(c.images, config->data.exif);
  if (!status) status = gh_compare_open_report(err, c.devices, options, result);
  for (int number = 1; number <= 2 && !status; number++) {
    if (!config->stages[number - 1].steps || (options->stage && options->stage != number)) continue;
    status = compare_stage(err, &c, number, result, wrong, sizeof wrong);
    compared++;
  }
  if (!status && !compared) status = gh_fail(err, GH_ERROR_CONFIG, "the configuration skips the stage: 0 steps");
  if (!status && wrong[0]) status = gh_fail(err, GH_ERROR_NUMERIC, "%s", wrong);
  gh_image_set_free(c.images);
  gh_device_close(c.devices[0]);
  gh_device_close(c.devices[1]);
  return status;
}
