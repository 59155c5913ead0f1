/* A model's tensors in the order of transformers' files, each with its initial values, for checking and writing a model
 * without computing with it. The families implement gh_family.tensors with these functions. */
#ifndef GH_MODELS_WALK_H
#define GH_MODELS_WALK_H

#include "models/archs.h"

typedef struct gh_walk {
  gh_error *err;
  gh_arch_visit *visit;
  void *user;
  gh_status status; /* the first failure; the rest of the walk does nothing */
} gh_walk;

/* How the linear layers of a transformer start. */
typedef struct gh_layer_init {
  gh_init in, out;            /* the queries', keys' and values' weights; the attention output's */
  gh_init fc1, fc2, mlp_bias; /* of the MLP; other biases start at 0 */
} gh_layer_init;

void gh_walk_tensor(gh_walk *w, gh_init init, int rank, const int64_t *shape, const char *name);
/* `layer`.`name`.weight (out, in), and a bias of 0. */
void gh_walk_linear(gh_walk *w, gh_init init, int64_t out, int64_t in, const char *layer, const char *name);
void gh_walk_norm(gh_walk *w, int64_t width, const char *layer, const char *name);
void gh_walk_mlp(gh_walk *w, const gh_transformer *t, const gh_layer_init *init, const char *name);
/* `tower`.encoder.layers.0, 1, ... */
void gh_walk_layers(gh_walk *w, const gh_transformer *t, const gh_layer_init *init, const char *tower);
/* text_model.embeddings: tokens and positions, with the same initialisation. */
void gh_walk_text_embeddings(gh_walk *w, gh_init init, const gh_text_config *t);

gh_init gh_init_lecun(int64_t fan_in);           /* normal, deviation 1/sqrt(fan_in) */
gh_init gh_init_xavier(int64_t in, int64_t out); /* Glorot's uniform */

#endif
