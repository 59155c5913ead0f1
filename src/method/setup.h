/* Turns a run's configuration into the specification of a training step. */
#ifndef GH_METHOD_SETUP_H
#define GH_METHOD_SETUP_H

#include "config/config.h"
#include "method/step.h"

/* Opens the device that a configuration names; GH_ERROR_CONFIG where no device has that name. For training, a device
 * that is fit only for small tests (gh_device_info.unfit) is refused. */
gh_status gh_setup_device(gh_error *err, const char *id, bool training, gh_device **out);

/* Which biases stage 2 trains. */
gh_lora_biases gh_setup_biases(const gh_lora_config *lora);

/* The LoRA of stage 2, or lora->rank 0 for direct tuning. `step` may be NULL: no dropout. */
void gh_setup_lora(gh_lora *lora, const gh_config *config, const gh_models *models, gh_tensor *step);

/* What a configuration says of the memory of training. */
gh_step_memory gh_setup_memory(const gh_config *config);

/* The spec of a step of `stage`, `batch` samples; lora NULL in stage 1 and for direct tuning. */
gh_step_spec gh_setup_step(const gh_config *config, const gh_models *models, int stage, int64_t batch,
                           const gh_lora *lora);

#endif
