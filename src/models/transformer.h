/* The pre-norm transformer that the families' towers share, under transformers' names. */
#ifndef GH_MODELS_TRANSFORMER_H
#define GH_MODELS_TRANSFORMER_H

#include "models/module.h"

typedef struct gh_transformer {
  int hidden, layers, heads, mlp; /* widths; head size = hidden / heads */
  double eps;                     /* of the layer norms */
  gh_activation_kind activation;
  bool causal; /* a token sees itself and those before it */
} gh_transformer;

const char *gh_activation_name(gh_activation_kind kind); /* as config.json writes it; NULL: no tower has it */
bool gh_activation_find(const char *name, gh_activation_kind *out);

/* x (B, N, hidden) through `prefix`.encoder.layers.0, 1, ... Each layer is a segment of recomputation. */
gh_tensor *gh_transformer_layers(gh_module *m, const gh_transformer *t, gh_tensor *x, const char *prefix);

/* fc2(activation(fc1(x))) of `name`.fc1 and `name`.fc2. */
gh_tensor *gh_transformer_mlp(gh_module *m, const gh_transformer *t, gh_tensor *x, const char *name);

/* softmax(q k^T / sqrt(head size)) v; q (B, Nq, hidden), k and v (B, Nk, hidden) -> (B, Nq, hidden). */
gh_tensor *gh_transformer_attend(gh_module *m, const gh_transformer *t, gh_tensor *q, gh_tensor *k, gh_tensor *v);

#endif
