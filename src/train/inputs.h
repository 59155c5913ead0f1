/* The inputs that a configuration names, all checked in one go. */
#ifndef GH_TRAIN_INPUTS_H
#define GH_TRAIN_INPUTS_H

#include "config/config.h"

typedef struct gh_inputs {
  gh_strings problems; /* "clip: models/x: no such file or folder", one per input that is missing or cannot be used */
  gh_status status;    /* of the first problem */
  bool models;         /* the models can be opened */
} gh_inputs;

/* Opens every input and lists what fails; fails itself only where memory runs out or a signal asks for a stop. */
gh_status gh_inputs_check(gh_error *err, gh_inputs *out, const gh_config *config);
/* The problems as one error; GH_OK if there are none. */
gh_status gh_inputs_fail(gh_error *err, const gh_inputs *inputs);
void gh_inputs_free(gh_inputs *inputs);

#endif
