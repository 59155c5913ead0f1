#include "bench/step.h"
#include "base/log.h"
#include "base/random.h"
#include "base/usage.h"
#include "method/objective.h"
#include "method/setup.h"
#include "models/archs.h"
#include "train/budget.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- sizes ---- */

static const gh_optimizer_config optimizer = {
    .lr = 1e-5, .betas = {0.9, 0.999}, .eps = 1e-8, .weight_decay = 0.01, .clip_norm = 1};

static bool is_tiny(const gh_bench_options *o) { return !strcmp(o->arch, "tiny"); }

gh_status gh_bench_config(gh_error *err, const gh_bench_options *o, gh_config *out) {
  gh_config plain;
  gh_strings sets = {0};
  gh_status status = gh_config_defaults(err, &plain, (const char *const *)o->sets.items, o->sets.count);
  const char *const *tiny = status || !is_tiny(o) ? NULL : gh_objective_of(&plain)->tiny_keys;
  for (; tiny && *tiny && !status; tiny++) status = gh_strings_add(err, &sets, *tiny);
  for (size_t i = 0; i < o->sets.count && !status; i++) status = gh_strings_add(err, &sets, o->sets.items[i]);
  if (!status) status = gh_config_defaults(err, out, (const char *const *)sets.items, sets.count);
  gh_strings_free(&sets);
  gh_config_free(&plain);
  return status;
}

static gh_status choose_models(gh_error *err, const gh_bench_options *o, gh_config *config, gh_models *m) {
  const gh_arch *arch = NULL;
  gh_status status = gh_arch_find(err, o->arch, &arch);
  if (!status) status = gh_bench_config(err, o, config);
  return status ? status : gh_models_draft(err, m, config, &arch->vision, is_tiny(o));
}

/* ---- a step, ready to run ---- */

typedef struct gh_bench {
  const gh_bench_options *options;
  gh_device *device;
  gh_config config;
  gh_models models;
  gh_store *store;
  gh_lora lora;
  gh_step step;
  gh_update update;
  float *images; /* (batch, 3, S, S) */
  void *targets; /* zeros for the step's targets, where they are given; else NULL */
  int64_t done;  /* updates */
  gh_bench_result *result;
} gh_bench;

static gh_step_spec spec_of(gh_bench *b) {
  const gh_bench_options *o = b->options;
  b->lora = (gh_lora){.rank = 16, .alpha = 16, .dropout = 0.1, .biases = GH_BIASES_ADAPTED, .stage = 2};
  return (gh_step_spec){.device = b->device,
                        .models = &b->models,
                        .source = b->config.data.latent_cache ? GH_STEP_GIVEN_TARGETS : GH_STEP_DRAWN,
                        .stage = o->stage,
                        .batch = o->batch,
                        .storage = gh_precision_storage(o->precision),
                        .train_denoiser = o->train_denoiser,
                        .lora = o->stage == 2 ? &b->lora : NULL,
                        .recompute = o->recompute,
                        .memory = gh_setup_memory(&b->config),
                        .draft = true};
}

static gh_status prepare(gh_error *err, gh_bench *b) {
  const gh_bench_options *o = b->options;
  gh_step_spec spec = spec_of(b);
  gh_bench_result *r = b->result;
  gh_status status = gh_budget_measure(err, &spec, &optimizer, &r->budget);
  if (!status) status = gh_budget_check(err, b->device, &r->budget, o->batch, o->recompute);
  if (!status) status = gh_store_create(err, b->device, &b->store);
  if (!status) status = gh_step_block(err, b->store, "step", &b->lora.step);
  spec.store = b->store;
  if (!status) status = gh_step_record(err, &spec, &b->step);
  if (!status) status = gh_update_record(err, b->device, b->store, &optimizer, &b->step, &b->update);
  if (!status) status = gh_graph_plan(err, b->step.graph);
  if (!status) status = gh_graph_plan(err, b->update.graph);
  if (!status) status = gh_step_reserve_sends(err, b->device, &b->step, 1);
  if (status) return status;
  r->flops = gh_graph_flops(b->step.graph) + gh_graph_flops(b->update.graph);
  int64_t n = gh_tensor_elements(b->step.images);
  if (!(b->images = gh_alloc(err, (size_t)n, sizeof *b->images))) return GH_ERROR_MEMORY;
  gh_stream_uniforms(gh_stream_make(0, 0, "bench", "images"), 0, 0, n, b->images);
  if (!b->step.targets) return GH_OK;
  b->targets = gh_alloc(err, (size_t)gh_tensor_bytes(b->step.targets), 1);
  return b->targets ? GH_OK : GH_ERROR_MEMORY;
}

static gh_status send_inputs(gh_error *err, gh_bench *b) {
  int64_t batch = b->options->batch;
  const gh_step_values values = {.learning_rate = optimizer.lr,
                                 .beta1 = optimizer.betas[0],
                                 .beta2 = optimizer.betas[1],
                                 .update = (uint64_t)b->done + 1,
                                 .ordinal = (uint64_t)(b->done * batch),
                                 .samples = (uint32_t)batch,
                                 .weight = 1 / (double)batch};
  gh_status status = gh_tensor_send(err, b->device, b->step.images, b->images);
  if (!status && b->targets) status = gh_tensor_send(err, b->device, b->step.targets, b->targets);
  return status ? status : gh_step_write(err, b->device, b->step.block, &values);
}

static gh_status read_loss(gh_error *err, gh_bench *b) {
  gh_update_result got;
  gh_status status = gh_update_read(err, b->device, &b->update, &got);
  gh_bench_result *r = b->result;
  b->done++;
  r->loss = got.loss;
  if (!status && r->loss_count < GH_BENCH_LOSSES) {
    r->losses[r->loss_count] = got.loss;
    r->norms[r->loss_count++] = got.norm;
  }
  if (!status && got.bad)
    status = gh_fail(err, GH_ERROR_NUMERIC, "the loss is not finite (%g, gradient norm %g): the time is meaningless",
                     got.loss, got.norm);
  return status;
}

static gh_status run_update(gh_error *err, gh_bench *b) {
  gh_status status = send_inputs(err, b);
  if (!status) status = gh_graph_run(err, b->step.graph);
  if (!status) status = gh_graph_run(err, b->update.graph);
  return status ? status : read_loss(err, b);
}

/* ---- timing whole updates ---- */

static void count_since(gh_counters *out, const gh_counters *now, const gh_counters *before) {
  *out = (gh_counters){.allocations = now->allocations - before->allocations,
                       .binds = now->binds - before->binds,
                       .compilations = now->compilations - before->compilations,
                       .launches = now->launches - before->launches,
                       .sends = now->sends - before->sends,
                       .writes = now->writes - before->writes,
                       .reads = now->reads - before->reads,
                       .waits = now->waits - before->waits};
}

static gh_status time_updates(gh_error *err, gh_bench *b) {
  const int repeats = b->options->repeats;
  gh_bench_time *times = gh_alloc(err, (size_t)repeats, sizeof *times);
  gh_status status = times ? GH_OK : GH_ERROR_MEMORY;
  for (int i = 0; i < b->options->warmup && !status; i++) status = run_update(err, b);
  const gh_counters before = b->device->counters;
  for (int i = 0; i < repeats && !status; i++) {
    const gh_bench_time began = gh_bench_now();
    status = gh_bench_go_on(err);
    if (!status) status = run_update(err, b);
    times[i] = gh_bench_since(began);
  }
  gh_bench_sample *sample = &b->result->sample;
  if (!status) status = gh_bench_sample_of(err, sample, times, repeats, GH_CLOCK_WALL);
  if (!status) {
    count_since(&b->result->counters, &b->device->counters, &before);
    b->result->median = (gh_bench_time){sample->median, sample->processor};
    b->result->least = sample->least;
  }
  free(times);
  return status;
}

/* ---- timing parts, with a wait after each ---- */

typedef gh_status gh_bench_visit(gh_error *err, gh_bench *b, const gh_launch_note *first, gh_bench_time began,
                                 gh_bench_time taken, double flops);

static bool same_phase(const gh_graph *g, int i, int j) {
  const char *a = gh_graph_launch_note(g, i).node->phase, *b = gh_graph_launch_note(g, j).node->phase;
  return a == b || (a && b && !strcmp(a, b));
}

/* Runs the graph in parts (consecutive launches of one phase, or single launches) and waits after each. */
static gh_status run_parts(gh_error *err, gh_bench *b, gh_graph *g, bool by_phase, gh_bench_visit *visit) {
  int total = gh_graph_launch_count(g);
  for (int first = 0, next; first < total; first = next) {
    double flops = gh_graph_launch_note(g, first).flops;
    for (next = first + 1; by_phase && next < total && same_phase(g, first, next); next++)
      flops += gh_graph_launch_note(g, next).flops;
    gh_bench_time began = gh_bench_now();
    gh_status status = gh_graph_run_part(err, g, first, next - first);
    if (!status) status = b->device->backend->finish(err, b->device);
    const gh_launch_note note = gh_graph_launch_note(g, first);
    if (!status) status = visit(err, b, &note, began, gh_bench_since(began), flops);
    if (status) return status;
  }
  return GH_OK;
}

static gh_status run_update_in_parts(gh_error *err, gh_bench *b, bool by_phase, gh_bench_visit *visit) {
  gh_status status = send_inputs(err, b);
  if (!status) status = b->device->backend->finish(err, b->device);
  if (!status) status = run_parts(err, b, b->step.graph, by_phase, visit);
  if (!status) status = run_parts(err, b, b->update.graph, by_phase, visit);
  return status ? status : read_loss(err, b);
}

static gh_status add_phase(gh_error *err, gh_bench *b, const gh_launch_note *note, gh_bench_time began,
                           gh_bench_time taken, double flops) {
  (void)err, (void)began;
  gh_bench_result *r = b->result;
  const char *name = note->node->phase ? note->node->phase : "other";
  int i = 0;
  while (i < r->phase_count && strcmp(r->phases[i].name, name)) i++;
  if (i == GH_BENCH_PHASES) i--;
  if (i == r->phase_count) r->phases[r->phase_count++] = (gh_bench_phase){.name = name};
  r->phases[i].time.wall += taken.wall;
  r->phases[i].time.processor += taken.processor;
  r->phases[i].flops += flops;
  return GH_OK;
}

/* Takes the fastest of several replays for each phase, by processor time: other load on the machine can only add to
 * it. */
static gh_status time_phases(gh_error *err, gh_bench *b) {
  gh_bench_result *r = b->result;
  gh_bench_phase best[GH_BENCH_PHASES];
  for (int i = 0; i < b->options->repeats; i++) {
    r->phase_count = 0;
    gh_status status = run_update_in_parts(err, b, true, add_phase);
    if (status) return status;
    for (int p = 0; p < r->phase_count; p++)
      if (!i || r->phases[p].time.wall < best[p].time.wall) best[p] = r->phases[p];
  }
  memcpy(r->phases, best, sizeof best);
  return GH_OK;
}

static gh_status add_launch(gh_error *err, gh_bench *b, const gh_launch_note *note, gh_bench_time began,
                            gh_bench_time taken, double flops) {
  (void)flops; /* the note's */
  return gh_profile_add(err, &b->result->profile, note, began, taken);
}

/* Nothing is allocated, so the device's largest buffer does not matter meanwhile. */
static int64_t lift_limit(gh_device *device) {
  const int64_t limit = device->info.max_buffer_bytes;
  device->info.max_buffer_bytes = INT64_C(1) << 50;
  return limit;
}

gh_status gh_bench_plan(gh_error *err, gh_device *device, const gh_bench_options *options, gh_budget *out) {
  gh_bench b = {.options = options, .device = device};
  gh_status status = choose_models(err, options, &b.config, &b.models);
  const int64_t limit = lift_limit(device);
  if (!status) {
    const gh_step_spec spec = spec_of(&b);
    status = gh_budget_measure(err, &spec, &optimizer, out);
  }
  device->info.max_buffer_bytes = limit;
  gh_models_close(&b.models);
  gh_config_free(&b.config);
  return status;
}

gh_status gh_bench_fit(gh_error *err, gh_device *device, const gh_bench_options *options, int64_t batch,
                       gh_bench_fitted *out) {
  gh_bench b = {.options = options, .device = device};
  const gh_stage_config stage = {.batch = batch, .optimizer = optimizer};
  *out = (gh_bench_fitted){0};
  gh_status status = choose_models(err, options, &b.config, &b.models);
  if (!status) {
    gh_step_spec spec = spec_of(&b);
    spec.batch = 0; /* automatic */
    status = gh_budget_fit(err, &spec, &stage, GH_RECOMPUTE_AUTO, &device, 1, &out->budget);
    out->micro_batch = spec.batch;
    out->recompute = spec.recompute;
  }
  gh_models_close(&b.models);
  gh_config_free(&b.config);
  return status;
}

gh_status gh_bench_record(gh_error *err, gh_device *device, const gh_bench_options *options, gh_bench_see_graph *visit,
                          void *user) {
  gh_bench b = {.options = options, .device = device};
  gh_status status = choose_models(err, options, &b.config, &b.models);
  const int64_t limit = lift_limit(device);
  if (!status) status = gh_store_create_unbacked(err, device, &b.store);
  if (!status) {
    gh_step_spec spec = spec_of(&b);
    spec.store = b.store;
    status = gh_step_block(err, b.store, "step", &b.lora.step);
    if (!status) status = gh_step_record(err, &spec, &b.step);
    if (!status) status = gh_update_record(err, device, b.store, &optimizer, &b.step, &b.update);
    if (!status) status = visit(err, user, b.step.graph);
    if (!status) status = visit(err, user, b.update.graph);
  }
  device->info.max_buffer_bytes = limit;
  gh_update_free(&b.update);
  gh_graph_free(b.step.graph);
  gh_store_free(b.store);
  gh_models_close(&b.models);
  gh_config_free(&b.config);
  return status;
}

gh_status gh_bench_step(gh_error *err, gh_device *device, const gh_bench_options *options, gh_bench_result *result) {
  *result = (gh_bench_result){0};
  gh_bench b = {.options = options, .device = device, .result = result};
  double began = gh_now();
  gh_status status = choose_models(err, options, &b.config, &b.models);
  if (!status) status = prepare(err, &b);
  if (!status) status = device->backend->finish(err, device);
  result->setup_seconds = gh_now() - began;
  if (!status) status = time_updates(err, &b);
  if (!status && !options->whole) status = time_phases(err, &b);
  if (!status && options->profile) status = run_update_in_parts(err, &b, false, add_launch);
  result->by_clock = !device->info.is_cpu;
  result->resident_bytes = gh_peak_resident_bytes();
  free(b.images);
  free(b.targets);
  gh_update_free(&b.update);
  gh_graph_free(b.step.graph);
  gh_store_free(b.store);
  gh_models_close(&b.models);
  gh_config_free(&b.config);
  if (status) gh_bench_free(result);
  return status;
}

void gh_bench_free(gh_bench_result *result) { gh_profile_free(&result->profile); }
