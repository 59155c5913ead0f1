#include "train/sketch.h"

gh_status gh_sketch_record(gh_error *err, gh_sketch *s, const gh_step_spec *given) {
  *s = (gh_sketch){.spec = *given};
  s->spec.store = NULL;
  gh_status status = gh_store_create_unbacked(err, given->device, &s->spec.store);
  if (!status && given->lora) { /* its step block belongs to the store */
    s->lora = *given->lora;
    s->spec.lora = &s->lora;
    status = gh_step_block(err, s->spec.store, "step", &s->lora.step);
  }
  return status ? status : gh_step_record(err, &s->spec, &s->step);
}

void gh_sketch_free(gh_sketch *s) {
  gh_graph_free(s->step.graph);
  gh_store_free(s->spec.store);
  *s = (gh_sketch){0};
}
