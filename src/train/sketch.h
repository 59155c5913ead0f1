/* A step recorded on a store without memory: to be measured and counted. */
#ifndef GH_TRAIN_SKETCH_H
#define GH_TRAIN_SKETCH_H

#include "method/step.h"

typedef struct gh_sketch {
  gh_step_spec spec; /* the given one, with the sketch's store */
  gh_lora lora;      /* spec.lora, with that store's step block */
  gh_step step;
} gh_sketch;

/* Free with gh_sketch_free, after a failure too; the sketch stays where it is until then. */
gh_status gh_sketch_record(gh_error *err, gh_sketch *out, const gh_step_spec *given);
void gh_sketch_free(gh_sketch *sketch);

#endif
