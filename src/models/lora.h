/* LoRA (Hu et al., 2021) as PEFT computes it: y = W x + b + (alpha / r) B A dropout(x), W frozen; with bias "lora_only"
 * the adapted layers' biases train too, with "all" those of every linear layer and norm. */
#ifndef GH_MODELS_LORA_H
#define GH_MODELS_LORA_H

#include "models/module.h"

typedef enum gh_lora_biases { GH_BIASES_NONE, GH_BIASES_ADAPTED, GH_BIASES_ALL } gh_lora_biases; /* which train */

struct gh_lora {
  int rank;
  double alpha;
  double dropout;
  gh_lora_biases biases;
  const char *const
      *targets; /* names or last parts of names: "q_proj", "visual_projection"; NULL: every linear layer */
  int target_count;
  const gh_safetensors *adapter; /* a PEFT adapter to start from; NULL: A Kaiming-uniform, B zero */
  gh_tensor *step;               /* the step block; NULL: no dropout is drawn */
  uint64_t seed;
  int stage;
  /* Given masks (1 keeps) in place of drawn ones: the tensor for a layer, or NULL for no dropout there; `user` is
   * passed on. NULL: draw. */
  gh_tensor *(*mask)(void *user, gh_graph *g, const char *layer, const gh_tensor *x);
  void *user;
};

/* Whether the layer of that name is adapted. */
bool gh_lora_targets(const gh_lora *lora, const char *layer);
/* Whether that target has adapted a layer whose factors are in the store. */
bool gh_lora_met(const gh_store *store, const char *target);
/* x (..., K), weight (N, K), bias (N) or NULL -> x W^T + bias + (alpha / r) dropout(x) A^T B^T, (..., N); A (r, K) and
 * B (N, r) are `layer`.lora_A.weight and .lora_B.weight, made and filled where they are not there yet. */
gh_tensor *gh_lora_linear(gh_module *m, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, gh_dtype result,
                          const char *layer);

/* Trains a layer's bias (NULL: it has none), as m->lora says: `adapted` or not. One that the adapter holds counts as
 * adapted. */
void gh_lora_bias_layer(gh_module *m, gh_tensor *bias, const char *layer, bool adapted);

/* W + (alpha / r) B A on the host: weight (N, K) in place, a (r, K), b (N, r). */
void gh_lora_merge(float *weight, const float *a, const float *b, int64_t n, int64_t k, int rank, double alpha);

#endif
