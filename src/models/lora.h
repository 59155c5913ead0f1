/* LoRA (Hu et al., 2021) as PEFT computes it: y = W x + b + (alpha / r) B A dropout(x), W frozen; with bias "lora_only"
 * the adapted layers' biases train too, with "all" those of every linear layer and norm. An adapter to start from may
 * be DoRA's (Liu et al., 2024), and may hold whole tensors of other layers, which then train. */
#ifndef GH_MODELS_LORA_H
#define GH_MODELS_LORA_H

#include "models/module.h"

typedef struct gh_adapter gh_adapter; /* models/adapter.h */

typedef enum gh_lora_biases {
  GH_BIASES_NONE,
  GH_BIASES_ADAPTED,
  GH_BIASES_ALL
} gh_lora_biases; /* which biases train */

struct gh_lora {
  int rank; /* without an adapter; an adapter has its own ranks and scales */
  double alpha;
  double dropout;
  gh_lora_biases biases;
  const char *const
      *targets; /* names or last components of names: "q_proj", "visual_projection"; NULL: every linear layer */
  int target_count;
  const gh_adapter *adapter; /* to start from; NULL: A Kaiming-uniform, B zero */
  gh_tensor *step;           /* the step block; NULL: no dropout is drawn */
  uint64_t seed;
  int stage;
  /* Gives masks (1 keeps) instead of drawing them: returns the tensor for a layer, or NULL for no dropout there; `user`
   * is passed on. NULL: masks are drawn. */
  gh_tensor *(*mask)(void *user, gh_graph *g, const char *layer, const gh_tensor *x);
  void *user;
};

/* Whether `target` is the whole name of the layer, or its last components. */
bool gh_lora_names(const char *target, const char *layer);
/* Whether the layer of that name is adapted: it is a target, and the adapter does not hold its own weight. */
bool gh_lora_targets(const gh_lora *lora, const char *layer);
/* Whether the target matches a layer whose factors are in the store. */
bool gh_lora_met(const gh_store *store, const char *target);
/* The rank of a layer and the factor of its product. 0: there is an adapter, and it does not adapt the layer. */
int gh_lora_rank(const gh_lora *lora, const char *layer);
double gh_lora_scale(const gh_lora *lora, const char *layer);
/* The values that the adapter has for a parameter (modules_to_save), which therefore trains; NULL: there are none. */
const gh_st_tensor *gh_lora_saved(const gh_lora *lora, const char *name);
/* x (..., K), weight (N, K), bias (N) or NULL -> x W^T + bias + s dropout(x) A^T B^T, (..., N), s = alpha / r; A (r, K)
 * and B (N, r) are `layer`.lora_A.weight and .lora_B.weight, created and filled if absent. DoRA adds
 * (m / |W + s B A| - 1) dropout(x) (W + s B A)^T, with m (N), `layer`.lora_magnitude_vector. */
gh_tensor *gh_lora_linear(gh_module *m, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, gh_dtype result,
                          const char *layer);

/* Trains a layer's bias (NULL: it has none) if m->lora trains the biases of adapted or, where `adapted` is false, other
 * layers. A bias that the adapter holds counts as adapted. */
void gh_lora_bias_layer(gh_module *m, gh_tensor *bias, const char *layer, bool adapted);

/* W + scale B A on the host: weight (N, K) in place, a (r, K), b (N, r). */
void gh_lora_merge(float *weight, const float *a, const float *b, int64_t n, int64_t k, int rank, double scale);

#endif
