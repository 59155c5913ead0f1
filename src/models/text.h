/* The text tower of any family (models/family.h), forward only. */
#ifndef GH_MODELS_TEXT_H
#define GH_MODELS_TEXT_H

#include "io/tokenizer.h"
#include "models/vision.h"

typedef struct gh_text_config {
  const gh_family *family;
  gh_transformer tower;
  int vocabulary, positions; /* tokens; the longest line */
  int projection;            /* D */
  int64_t eos;               /* eos_token_id, where the family pools by it */
  gh_clean clean;            /* of lines, before the tokenizer */
} gh_text_config;

/* Reads DIR/config.json as gh_vision_config_read does; a folder of a vision tower alone is GH_ERROR_UNSUPPORTED. */
gh_status gh_text_config_read(gh_error *err, const char *folder, gh_text_config *config);

/* The index of the token that is pooled in a line of n ids, chosen as transformers does. */
int32_t gh_text_pooled(const gh_text_config *config, const int32_t *ids, int64_t n);

/* ids (1, B * N) int32, N at most the positions; pooled (B, 1) int32, gh_text_pooled of each -> (B, D). */
gh_tensor *gh_text_tower(gh_module *m, const gh_text_config *config, gh_tensor *ids, gh_tensor *pooled);

/* For the families' towers: the pooled tokens after the last norm, (B, hidden), float32. */
gh_tensor *gh_text_state(gh_module *m, const gh_text_config *config, gh_tensor *ids, gh_tensor *pooled);

#endif
