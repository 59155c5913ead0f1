/* The encoders by name: sizes of the published backbones (the paper's Table 1) and of tiny ones, and the tensors of
 * each under transformers' names. Their rows are with their families (models/family.h). */
#ifndef GH_MODELS_ARCHS_H
#define GH_MODELS_ARCHS_H

#include "base/json.h"
#include "models/text.h"

#define GH_LOGIT_SCALE 2.6592 /* ln(1 / 0.07) */

typedef struct gh_arch {
  const char *name;
  const char *summary;
  gh_vision_config vision;
  gh_text_config text;
  bool published; /* the paper trains it: configs/ has its settings */
} gh_arch;

/* GH_ERROR_ARGUMENT names the nearest architecture. */
gh_status gh_arch_find(gh_error *err, const char *name, const gh_arch **out);

/* Calls visit for every tensor of both towers, the projections and logit_scale; stops at its first failure. Initial
 * values are those of transformers' _init_weights for the family (a truncated normal keeps its tails here). */
typedef gh_status gh_arch_visit(gh_error *err, void *user, const char *name, int rank, const int64_t *shape,
                                gh_init init);
gh_status gh_arch_tensors(gh_error *err, const gh_arch *arch, gh_arch_visit *visit, void *user);
int64_t gh_arch_parameters(const gh_arch *arch); /* of the whole model */

/* Writes config.json, preprocessor_config.json and model.safetensors (float32, drawn from the seed, a chunk of a tensor
 * at a time) into a folder, which is made if it is absent. A folder with a model that this function did not write is
 * GH_ERROR_FILE. */
gh_status gh_arch_write(gh_error *err, const gh_arch *arch, const char *folder, uint64_t seed);

/* Writes folder/config.json of a whole model, as transformers' class does; only the towers of arch are read. dtype is
 * PyTorch's name. */
gh_status gh_model_config_write(gh_error *err, const gh_arch *arch, const char *dtype, const char *folder);

/* Writes the vision tower's keys of config.json into an object: the tower's object in a whole model, or the root for a
 * vision tower alone. */
gh_status gh_vision_config_put(gh_error *err, gh_json *to, const gh_vision_config *config);

#endif
