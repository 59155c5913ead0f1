/* From a run's configuration to what a training step is recorded from. */
#ifndef GH_METHOD_SETUP_H
#define GH_METHOD_SETUP_H

#include "config/config.h"
#include "method/step.h"

/* GH_ERROR_UNSUPPORTED names the first value that is valid but not served by this build. */
gh_status gh_setup_refuse(gh_error *err, const gh_config *config);

/* Opens the device that a configuration names: GH_ERROR_CONFIG where there is none of that name. For training, one that
 * is fit for small tests only (gh_device_info.unfit) is refused. */
gh_status gh_setup_device(gh_error *err, const char *id, bool training, gh_device **out);

/* Reads sizes and opens weight files. `denoiser` and `adapter` NULL: what the configuration names, else fresh;
 * otherwise the paths to start from (an adapter is a PEFT folder). gh_models_close frees a half-built one too. */
gh_status gh_models_open(gh_error *err, gh_models *models, const gh_config *config, const char *denoiser,
                         const char *adapter);
void gh_models_close(gh_models *models);

/* Identifies the opened files by their tensors' names, shapes and first bytes: replaced weights show, reading all of
 * them would take minutes. */
uint64_t gh_models_hash(const gh_models *models);

/* The LoRA of stage 2, or lora->rank 0 for direct tuning. `step` may be NULL: no dropout. */
void gh_setup_lora(gh_lora *lora, const gh_config *config, const gh_models *models, gh_tensor *step);

/* condition.local_tokens, a share of the encoder's patch tokens in per cent, as the nearest count (halves up). */
int64_t gh_setup_local_tokens(const gh_config *config, const gh_models *models);

/* The spec of a step of `stage`, `batch` samples; lora NULL in stage 1 and for direct tuning. */
gh_step_spec gh_setup_step(const gh_config *config, const gh_models *models, int stage, int64_t batch,
                           const gh_lora *lora);

#endif
