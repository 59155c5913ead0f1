/* The parameters of a model. The first graph that requests a parameter creates it in the store and fills it, from a
 * file or from the model's initialisation; later graphs find it there. So a model is one function that reads like its
 * equations and is used for loading, for checking shapes and for recording.
 *
 * Errors go to the graph, like those of ops. Names are those of the published checkpoints. */
#ifndef GH_MODELS_MODULE_H
#define GH_MODELS_MODULE_H

#include "io/safetensors.h"
#include "ops/ops.h"

typedef struct gh_lora gh_lora; /* models/lora.h */

typedef struct gh_module {
  gh_graph *graph;
  gh_store *store;
  const gh_safetensors *weights; /* NULL: initialised from `seed` */
  uint64_t seed;
  bool draft;     /* without weights: arbitrary numbers of the initialisation's size, quickly; for measuring speed */
  bool trainable; /* every parameter gets a gradient; false: parameters that are already trainable stay so */
  /* GH_BF16 or GH_F16: mixed precision. Matrices have that type (a trained one has a float32 master and a working
   * copy), and so have the activations between them; the residual stream, vectors of parameters and vectors per sample
   * (modulation) are float32. */
  gh_dtype storage;
  gh_dtype master;     /* of a trained matrix in mixed precision; GH_BF16: the matrix is bf16 and has no other copy */
  gh_dtype gradient;   /* of such a matrix: GH_BF16: rounded at random by every addition */
  bool offload;        /* the float32 master of such a matrix, which only the update reads, is in the host's memory */
  const gh_lora *lora; /* adapts the linear layers it targets, trains the tensors its adapter holds; NULL: none */
  gh_part part;        /* of the parameters that it creates; each model's functions set it */
} gh_module;

typedef enum gh_init_kind { GH_INIT_CONSTANT, GH_INIT_UNIFORM, GH_INIT_NORMAL } gh_init_kind;

typedef struct gh_init {
  gh_init_kind kind;
  double value; /* the constant, the bound of uniform(-value, value), or the standard deviation */
} gh_init;

static inline gh_init gh_init_constant(double v) { return (gh_init){GH_INIT_CONSTANT, v}; }
static inline gh_init gh_init_normal(double std) { return (gh_init){GH_INIT_NORMAL, std}; }
gh_init gh_init_fan_in(int64_t fan_in); /* uniform, +-1/sqrt(fan_in), as in torch.nn.Linear and Conv2d */
/* Values [first, first + n) of the parameter of that name in a model drawn from `seed`. */
void gh_init_draw(float *values, int64_t first, int64_t n, gh_init init, uint64_t seed, const char *name);

/* The parameter of that name, (shape). */
gh_tensor *gh_parameter(gh_module *m, gh_init init, int rank, const int64_t *shape, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The same for a parameter that only matrix products read, (N, K...); stored as m->storage. */
gh_tensor *gh_matrix(gh_module *m, gh_init init, int rank, const int64_t *shape, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Two special cases of gh_parameter: a bias (width); an embedding of positions (tokens, width). */
gh_tensor *gh_bias(gh_module *m, gh_init init, int64_t width, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
gh_tensor *gh_positions(gh_module *m, gh_init init, int64_t tokens, int64_t width, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The bias "layer.bias" of a linear layer: a product may add it before it rounds, and LoRA may train it later. */
gh_tensor *gh_linear_bias(gh_module *m, gh_init init, int64_t width, const char *layer);

/* Layers: each fetches its parameters `name`.weight and `name`.bias, and applies itself. */

/* torch.nn.Linear: x (..., K) -> (..., width), stored as x or as `result`; adapted by LoRA where m->lora targets
 * `name`. */
gh_tensor *gh_linear_layer(gh_module *m, gh_tensor *x, int64_t width, bool bias, const char *name);
gh_tensor *gh_linear_layer_to(gh_module *m, gh_tensor *x, int64_t width, bool bias, gh_dtype result, const char *name);
/* The same with an activation, which the product may fuse. */
gh_tensor *gh_activated_layer(gh_module *m, gh_tensor *x, int64_t width, gh_activation_kind kind, const char *name);
/* The tokens that condition a denoiser: the encoder's token c (B, D), then local tokens (B, L, D), or NULL for none ->
 * (B, 1 + L, D). */
gh_tensor *gh_condition_tokens(gh_module *m, gh_tensor *c, gh_tensor *local);
/* The method's projector of the encoder's tokens: LayerNorm, Linear, GELU, Linear, named `name`.0, .1 and .3. x (...,
 * D)
 * -> (..., width), stored as `result`. */
gh_tensor *gh_projector(gh_module *m, gh_tensor *x, int64_t width, gh_dtype result, const char *name);
gh_tensor *gh_layernorm_layer(gh_module *m, gh_tensor *x, double eps, gh_dtype result, const char *name);
gh_tensor *gh_groupnorm_layer(gh_module *m, gh_tensor *x, int groups, double eps, const char *name);
gh_tensor *gh_conv_layer(gh_module *m, gh_tensor *x, int64_t channels, int kernel, gh_conv_geometry geometry,
                         const char *name);

/* A table of computed values that are not trained: found by name or created with these values. */
gh_tensor *gh_table(gh_module *m, int rank, const int64_t *shape, const float *values, const char *name);

/* A formatted name in a buffer of its own: parameter paths. */
typedef struct gh_name {
  char text[160];
} gh_name;
gh_name gh_name_make(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
