#include "train/budget.h"
#include "base/host_memory.h"
#include "base/log.h"
#include "train/sketch.h"

#include <stdio.h>
#include <string.h>

#define LARGEST 4

/* Keeps out[] sorted, largest first. */
static void insert(const gh_tensor **out, int *count, const gh_tensor *t) {
  int place = *count;
  while (place > 0 && gh_tensor_bytes(out[place - 1]) < gh_tensor_bytes(t)) place--;
  if (place == LARGEST) return;
  *count = GH_MIN(*count + 1, LARGEST);
  memmove(out + place + 1, out + place, (size_t)(*count - place - 1) * sizeof *out);
  out[place] = t;
}

static void name_largest(gh_budget *b, const gh_store *store, const gh_graph *graph) {
  const gh_tensor *top[LARGEST], *values[LARGEST];
  int count = 0, of_graph = gh_graph_largest(graph, values, LARGEST);
  for (int i = 0; i < gh_store_count(store); i++) insert(top, &count, gh_store_at(store, i));
  for (int i = 0; i < of_graph; i++) insert(top, &count, values[i]);
  size_t used = 0;
  for (int i = 0; i < count && used < sizeof b->largest; i++)
    used += (size_t)snprintf(b->largest + used, sizeof b->largest - used, "%s%s %.1f MiB", i ? ", " : "", top[i]->name,
                             (double)gh_tensor_bytes(top[i]) / 1048576);
}

int64_t gh_budget_peak(const gh_budget *b) {
  return GH_MAX(b->lasting_bytes + b->step_bytes + b->evaluation_bytes, b->start_bytes);
}

void gh_budget_describe(gh_budget *b, const gh_store *store, const gh_step *step, const gh_update *update) {
  *b = (gh_budget){0};
  for (int i = 0; i < gh_store_count(store); i++) {
    const gh_tensor *t = gh_store_at(store, i);
    if (gh_is_parameter(t)) *(t->trainable ? &b->parameters_trained : &b->parameters_frozen) += gh_tensor_elements(t);
  }
  b->lasting_bytes = gh_store_bytes(store);
  b->host_bytes = gh_store_host_bytes(store);
  b->step_bytes = gh_graph_peak_bytes(step->graph) + gh_graph_peak_bytes(update->graph);
  b->flops = gh_graph_flops(step->graph);
  name_largest(b, store, step->graph);
}

static gh_status measure(gh_error *err, const gh_step_spec *given, const gh_optimizer_config *optimizer, bool choose,
                         gh_budget *b) {
  gh_sketch sketch;
  gh_update update = {0};
  gh_status status = gh_sketch_record(err, &sketch, given);
  gh_store *store = sketch.spec.store;
  gh_graph *step = sketch.step.graph;
  if (!status) status = gh_update_record(err, given->device, store, optimizer, &sketch.step, &update);
  if (!status) status = gh_graph_measure(err, step);
  if (!status) status = gh_graph_measure(err, update.graph);
  if (!status && choose) status = gh_graph_choose(err, step);
  if (!status) gh_budget_describe(b, store, &sketch.step, &update);
  gh_update_free(&update);
  gh_sketch_free(&sketch);
  return status;
}

gh_status gh_budget_measure(gh_error *err, const gh_step_spec *spec, const gh_optimizer_config *optimizer,
                            gh_budget *budget) {
  return measure(err, spec, optimizer, false, budget);
}

gh_status gh_budget_choose(gh_error *err, const gh_step_spec *spec, const gh_optimizer_config *optimizer) {
  gh_budget ignored;
  return measure(err, spec, optimizer, true, &ignored);
}

typedef struct gh_size_text {
  char text[24];
} gh_size_text;

static gh_size_text size_of(int64_t bytes) {
  gh_size_text out;
  gh_bytes_text(out.text, sizeof out.text, bytes);
  return out;
}

/* The parts of the peak. */
static void parts_text(char *out, size_t size, const gh_budget *b, int64_t micro_batch) {
  char step[24] = "", evaluation[48] = "";
  if (gh_budget_peak(b) > b->lasting_bytes + b->step_bytes + b->evaluation_bytes) {
    snprintf(out, size, "the evaluation before training; training itself %s",
             size_of(b->lasting_bytes + b->step_bytes + b->evaluation_bytes).text);
    return;
  }
  if (micro_batch) snprintf(step, sizeof step, " of %lld", (long long)micro_batch);
  if (b->evaluation_bytes)
    snprintf(evaluation, sizeof evaluation, ", %s in evaluations", size_of(b->evaluation_bytes).text);
  snprintf(out, size, "%s persistent, %s in a step%s%s", size_of(b->lasting_bytes).text, size_of(b->step_bytes).text,
           step, evaluation);
}

/* Names configuration keys. Persistent memory does not shrink with the micro-batch. */
static const char *what_helps(const gh_budget *b, int64_t have, int64_t micro_batch, bool recompute) {
  if (b->lasting_bytes + b->step_bytes <= have) return "a smaller batch in \"evaluate\", or no evaluation,";
  if (b->lasting_bytes > have) return "a smaller denoiser";
  if (recompute) return micro_batch > 1 ? "a smaller micro_batch" : "a smaller denoiser";
  return micro_batch > 1 ? "memory.recompute \"all\" or a smaller micro_batch" : "memory.recompute \"all\"";
}

gh_status gh_budget_check(gh_error *err, const gh_device *device, const gh_budget *b, int64_t micro_batch,
                          bool recompute) {
  int64_t need = gh_budget_peak(b), have = device->info.memory_bytes;
  char parts[128];
  if (b->host_bytes > gh_host_memory_limit())
    return gh_fail(err, GH_ERROR_MEMORY, "memory.offload needs %s of the host's memory, which has %s",
                   size_of(b->host_bytes).text, size_of(gh_host_memory_limit()).text);
  if (need <= have) return GH_OK;
  parts_text(parts, sizeof parts, b, micro_batch);
  return gh_fail(err, GH_ERROR_MEMORY,
                 "needs %s (%s), %s more than %s has (%s); the largest tensors: %s; %s would help", size_of(need).text,
                 parts, size_of(need - have).text, device->info.id, size_of(have).text, b->largest,
                 what_helps(b, have, micro_batch, recompute));
}

/* A tensor exceeded the largest allocation. Adds to the error whether a smaller micro-batch avoids that. */
static gh_status too_large_a_piece(gh_error *err, const gh_step_spec *given, const gh_optimizer_config *optimizer) {
  gh_step_spec one = *given;
  gh_error whole = *err;
  gh_budget ignored;
  one.batch = 1;
  if (given->batch == 1 || gh_budget_measure(&(gh_error){0}, &one, optimizer, &ignored)) return err->status;
  return gh_fail(err, whole.status, "%s; a smaller micro_batch would help", whole.text);
}

static gh_status measure_on_each(gh_error *err, const gh_step_spec *given, const gh_optimizer_config *optimizer,
                                 gh_device *const *devices, int count, gh_budget *b) {
  gh_step_spec spec = *given;
  gh_status status = GH_OK;
  const gh_budget caller = *b;
  for (int i = 0; i < count && !status; i++) {
    spec.device = devices[i];
    status = gh_budget_measure(err, &spec, optimizer, b);
    if (status == GH_ERROR_MEMORY) status = too_large_a_piece(err, &spec, optimizer);
    b->evaluation_bytes = caller.evaluation_bytes;
    b->start_bytes = caller.start_bytes;
    if (!status) status = gh_budget_check(err, devices[i], b, spec.batch, spec.recompute);
  }
  return status;
}

#define AUTO_MICRO_BATCH 16 /* tried first */

gh_status gh_budget_fit(gh_error *err, gh_step_spec *spec, const gh_stage_config *stage, gh_recompute recompute,
                        gh_device *const *devices, int count, gh_budget *b) {
  bool automatic = !spec->batch;
  spec->batch = GH_MIN(automatic ? AUTO_MICRO_BATCH : spec->batch, stage->batch);
  spec->recompute = recompute == GH_RECOMPUTE_ALL;
  for (;;) {
    const long failures = gh_alloc_failures();
    gh_status status = measure_on_each(err, spec, &stage->optimizer, devices, count, b);
    if (status != GH_ERROR_MEMORY) return status;
    if (gh_alloc_failures() != failures) /* a smaller step would be the wrong answer */
      return gh_fail_in(err, "planning the step: the host has too little memory");
    if (!spec->recompute && recompute == GH_RECOMPUTE_AUTO)
      spec->recompute = true;
    else if (automatic && spec->batch > 1)
      spec->batch /= 2;
    else
      return status;
  }
}

void gh_budget_lines(const gh_device *device, const char *label, const gh_budget *b, int64_t micro_batch,
                     bool recompute, gh_budget_line *print) {
  char line[GH_ERROR_TEXT_SIZE], parts[128];
  parts_text(parts, sizeof parts, b, 0);
  snprintf(line, sizeof line, "%s on %s (%s)", label, device->info.id, device->info.name);
  print(line);
  snprintf(line, sizeof line, "  parameters: %lld trained, %lld frozen", (long long)b->parameters_trained,
           (long long)b->parameters_frozen);
  print(line);
  snprintf(line, sizeof line, "  micro-batch %lld%s: %.4g GFLOP", (long long)micro_batch,
           recompute ? ", recomputing" : "", b->flops * 1e-9);
  print(line);
  snprintf(line, sizeof line, "  memory: %s at the peak (%s) of %s; the largest tensors: %s",
           size_of(gh_budget_peak(b)).text, parts, size_of(device->info.memory_bytes).text, b->largest);
  print(line);
  if (!b->host_bytes) return;
  snprintf(line, sizeof line, "  in the host's memory: %s", size_of(b->host_bytes).text);
  print(line);
}

static void print_note(const char *line) { gh_info("%s", line); }

void gh_budget_print(const gh_device *device, const char *label, const gh_budget *b, int64_t micro_batch,
                     bool recompute) {
  gh_budget_lines(device, label, b, micro_batch, recompute, print_note);
}

gh_json *gh_budget_json(gh_error *err, const gh_budget *b, int64_t micro_batch, bool recompute) {
  gh_json *o = gh_json_object(err);
  if (!o) return NULL;
  if (!gh_json_put_int(err, o, "parameters_trained", b->parameters_trained) &&
      !gh_json_put_int(err, o, "parameters_frozen", b->parameters_frozen) &&
      !gh_json_put_int(err, o, "persistent_bytes", b->lasting_bytes) &&
      !gh_json_put_renamed(err, o, "persistent_bytes", "lasting_bytes") &&
      !gh_json_put_int(err, o, "host_bytes", b->host_bytes) && !gh_json_put_int(err, o, "step_bytes", b->step_bytes) &&
      !gh_json_put_int(err, o, "evaluation_bytes", b->evaluation_bytes) &&
      !gh_json_put_int(err, o, "peak_bytes", gh_budget_peak(b)) &&
      !gh_json_put_double(err, o, "flop_per_micro_batch", b->flops) &&
      !gh_json_put_renamed(err, o, "flop_per_micro_batch", "flop_a_micro_batch") &&
      !gh_json_put_int(err, o, "micro_batch", micro_batch) && !gh_json_put_bool(err, o, "recompute", recompute))
    return o;
  gh_json_free(o);
  return NULL;
}
