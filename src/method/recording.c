/* The functions with which an objective records a step: inputs, random numbers, outputs, logged numbers. */
#include "method/objective.h"

bool gh_recording_draws(const gh_recording *r) {
  return r->spec->source == GH_STEP_DRAWN || r->spec->source == GH_STEP_GIVEN_TARGETS;
}

gh_stream gh_recording_stream(const gh_recording *r, const char *purpose) {
  return gh_stream_make(r->spec->seed, r->spec->stage, purpose, "");
}

gh_tensor *gh_recording_add_input(gh_recording *r, const gh_step_input *described, gh_dtype dtype, int rank,
                                  const int64_t *shape) {
  gh_step *step = r->step;
  gh_error *err = gh_graph_error(r->graph);
  if (gh_graph_failed(r->graph)) return NULL;
  if (step->input_count == GH_STEP_INPUTS) {
    gh_graph_fail(r->graph, NULL, "input.%s: a step has at most %d inputs", described->name, GH_STEP_INPUTS);
    return NULL;
  }
  const gh_name name = gh_name_make("input.%s", described->name);
  gh_tensor *t = gh_store_find(r->spec->store, name.text);
  if (!t && gh_store_add(err, r->spec->store, name.text, dtype, rank, shape, &t)) return NULL;
  step->inputs[step->input_count] = *described;
  step->inputs[step->input_count++].tensor = t;
  return t;
}

gh_tensor *gh_recording_input(gh_recording *r, const char *name, int rank, const int64_t *shape) {
  return gh_recording_add_input(r, &(gh_step_input){.name = name}, GH_F32, rank, shape);
}

gh_tensor *gh_recording_index(gh_recording *r, const char *name, int rank, const int64_t *shape, int64_t below,
                              const char *what) {
  return gh_recording_add_input(r, &(gh_step_input){.name = name, .below = below, .what = what}, GH_I32, rank, shape);
}

gh_tensor *gh_recording_noise(gh_recording *r, const char *purpose, const char *name, int rank, const int64_t *shape) {
  if (!gh_recording_draws(r)) return gh_recording_input(r, name, rank, shape);
  return gh_random_normal(r->graph, r->step->block, gh_recording_stream(r, purpose).key, rank, shape);
}

gh_tensor *gh_recording_tokens(gh_recording *r) {
  const gh_step_spec *s = r->spec;
  if (!r->local || s->local_tokens == r->local->shape[1]) return r->local; /* all tokens: no random choice */
  const int64_t shape[2] = {s->batch, s->local_tokens}, patches = r->local->shape[1];
  gh_tensor *index =
      gh_recording_draws(r)
          ? gh_random_index(r->graph, r->step->block, gh_recording_stream(r, "local").key, s->batch, patches, shape[1])
          : gh_recording_index(r, "local_index", 2, shape, patches, "patch tokens");
  return gh_gather_rows(r->graph, r->local, index);
}

void gh_recording_output_rows(gh_recording *r, const char *name, gh_tensor *t, gh_tensor *index) {
  gh_step *step = r->step;
  if (gh_graph_failed(r->graph)) return;
  if (step->output_count == GH_STEP_OUTPUTS)
    gh_graph_fail(r->graph, NULL, "output %s: a step has at most %d outputs", name, GH_STEP_OUTPUTS);
  else
    step->outputs[step->output_count++] = (gh_step_output){name, t, index};
}

void gh_recording_output(gh_recording *r, const char *name, gh_tensor *t) {
  gh_recording_output_rows(r, name, t, NULL);
}

/* The name of the objective's n-th recorded number. */
static const char *log_name(const gh_objective *objective, int n) {
  const gh_objective_log *log = objective->logs;
  for (; log && log->name; log++)
    if (!log->of_loss && n-- == 0) return log->name;
  return NULL;
}

void gh_recording_log(gh_recording *r, gh_tensor *value) {
  gh_step *step = r->step;
  const char *name = log_name(r->spec->models->objective, step->log_count);
  if (gh_graph_failed(r->graph)) return;
  if (!name || step->log_count == GH_STEP_LOGS) {
    gh_graph_fail(r->graph, NULL, "logged number %d has no name", step->log_count + 1);
    return;
  }
  gh_tensor *total = NULL;
  if (gh_step_tensor(gh_graph_error(r->graph), r->spec->store, gh_name_make("log.%s", name).text, 0, NULL, &total))
    return;
  gh_accumulate(r->graph, total, value);
  step->logs[step->log_count++] = total;
}
