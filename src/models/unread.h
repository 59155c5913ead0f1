/* A model's file has nothing that the model does not read: a tensor beyond its own changes what the model computes
 * (a convolution after the encoder, a second norm, more layers), and would be ignored without a word. What may be left
 * out is a table. */
#ifndef GH_MODELS_UNREAD_H
#define GH_MODELS_UNREAD_H

#include "models/walk.h"

/* Names that may be left out; ends with NULL. "loss." and "text_" are prefixes, ".position_ids" is a suffix, any other
 * row is a whole name. */
typedef const char *const gh_left_out[];

extern gh_left_out gh_left_out_by_vision; /* a file of two towers of which only the vision tower is read */
extern gh_left_out gh_left_out_by_text;

typedef bool gh_is_read(const void *context, const char *name);

/* GH_ERROR_FORMAT names the first tensor that is neither read nor in `left_out` (NULL: none) nor in the table for all
 * models: copies for an average, losses, buffers. `model`: "a VQ-GAN of these sizes". */
gh_status gh_refuse_unread(gh_error *err, const gh_safetensors *file, const char *model, gh_is_read *is_read,
                           const void *context, const char *const *left_out);
/* For a model whose tensors are in the store. file NULL: nothing to check. */
gh_status gh_refuse_unread_by_store(gh_error *err, const gh_safetensors *file, const char *model, const gh_store *store,
                                    const char *const *left_out);
/* For a model whose tensors `walk` visits. All of them must be there, as floats of their shapes. */
typedef void gh_walk_model(gh_walk *w, const void *config);
gh_status gh_check_tensors_by_walk(gh_error *err, const gh_safetensors *file, const char *model, gh_walk_model *walk,
                                   const void *config);

#endif
