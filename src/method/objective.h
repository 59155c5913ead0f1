/* An objective: what a step learns from. The encoder's token conditions a model that must explain the picture. The
 * objective decides how: flow matching over an autoencoder's latents (flow.c), or another objective in the table.
 * Trainer, probe, comparison, benchmark, cache and reconstruction use only this table.
 *
 * A new objective is one file with a gh_objective and its row in objectives.c. docs/architecture.md says where to
 * start. */
#ifndef GH_METHOD_OBJECTIVE_H
#define GH_METHOD_OBJECTIVE_H

#include "data/target_cache.h"
#include "method/drawing.h"
#include "method/step.h"

#define GH_OBJECTIVE_FILES 4 /* that one objective may open */

/* ---- what an objective uses to record ---- */

typedef struct gh_recording {
  const gh_step_spec *spec;
  gh_graph *graph;
  gh_module encoder, frozen, denoiser; /* `frozen` has no weights yet; for models that are not trained */
  gh_tensor *local;                    /* (B, N, D): the encoder's patch tokens, or NULL where none are requested */
  gh_step *step;                       /* the objective sets `loss` */
} gh_recording;

/* Whether random numbers are drawn on the device; otherwise they are inputs. */
bool gh_recording_draws(const gh_recording *r);
/* The stream of random numbers of a purpose ("timestep"), in this stage. */
gh_stream gh_recording_stream(const gh_recording *r, const char *purpose);
/* Standard normal noise: drawn for `purpose`, or the input `name`. */
gh_tensor *gh_recording_noise(gh_recording *r, const char *purpose, const char *name, int rank, const int64_t *shape);
/* An input: float32, or integers in [0, below) that index `what` ("patch tokens"). `name` is static text. */
gh_tensor *gh_recording_input(gh_recording *r, const char *name, int rank, const int64_t *shape);
gh_tensor *gh_recording_index(gh_recording *r, const char *name, int rank, const int64_t *shape, int64_t below,
                              const char *what);
/* The same for any element type; `described` has the name and, for integers, the range. */
gh_tensor *gh_recording_add_input(gh_recording *r, const gh_step_input *described, gh_dtype dtype, int rank,
                                  const int64_t *shape);
/* The patch tokens that join the context, (B, K, D). A subset is drawn or given as an input. NULL: none. */
gh_tensor *gh_recording_tokens(gh_recording *r);
/* A result that a probe reads; `name` is static text. */
void gh_recording_output(gh_recording *r, const char *name, gh_tensor *t);
/* The next of the objective's logged numbers: a scalar (), weighted like the loss (STEP_WEIGHT). */
void gh_recording_log(gh_recording *r, gh_tensor *value);

/* The rows of `t` (B, M, ...) with index[b, m] >= 0, as one matrix: a probe leaves the others out. index (B, M) int32.
 */
void gh_recording_output_rows(gh_recording *r, const char *name, gh_tensor *t, gh_tensor *index);

/* ---- what targets from a frozen model's file share ---- */

/* Puts a hash of the tensors whose names begin with one of `prefixes` (ends with NULL) under `key`: names, shapes,
 * bytes. */
gh_status gh_target_identify(gh_error *err, const gh_safetensors *file, const char *const *prefixes, const char *key,
                             gh_json *into);
/* images in [0, 1] -> [-1, 1], as autoencoders read them. */
gh_tensor *gh_target_pixels(gh_graph *g, gh_tensor *images);

/* ---- the table ---- */

/* A number that is logged beside the loss. */
typedef struct gh_objective_log {
  const char *name;               /* in metrics.jsonl */
  double (*of_loss)(double loss); /* computed from the mean loss; NULL: recorded, in the table's order */
} gh_objective_log;

struct gh_objective {
  gh_config_kind kind; /* its name and its configuration keys; models->config->own is the record of those keys */
  const char *loss;    /* the kind of loss, for a chart's axis: "mean squared error" */
  const char *phase;   /* the phase of the graph in which targets are computed: "autoencoder" */
  const gh_objective_log *logs; /* ends with a null name; NULL: none; at most GH_STEP_LOGS */
  const char *probe_inputs;     /* the inputs of a step, for `probe --help`; NULL: not listed */

  /* -- models; `own` is models->own, zeroed at first -- */
  size_t model_bytes; /* 0: no sizes and no files; the functions of this group may then be NULL */
  /* Opens its files and reads their sizes. Sets *key to the configuration key that an error is about. */
  gh_status (*open)(gh_error *err, gh_models *models, const char **key);
  void (*draft)(gh_models *models, bool tiny); /* sizes without files, see gh_models_draft */
  const char *const *tiny_keys; /* overrides of a tiny configuration, "denoiser.hidden=256"; ends with NULL */
  void (*close)(void *own);     /* optional */
  int (*files)(const void *own, const gh_safetensors **out); /* the opened files, in order; optional */
  /* Chains what identifies the models beside their files through `seed`; optional. */
  uint64_t (*hash)(const void *own, uint64_t seed);
  /* Whether the sizes of encoder, configuration and files fit together; optional. */
  gh_status (*check)(gh_error *err, const gh_models *models);
  /* check_weights compares models->denoiser_file with the configuration; describe_weights writes the metadata of such a
   * file. Optional. */
  gh_status (*check_weights)(gh_error *err, const gh_models *models);
  gh_status (*describe_weights)(gh_error *err, const gh_config *config, gh_safetensors_writer *writer);

  /* -- what it needs from each picture; all or none of these: without them it uses only the images -- */
  /* The tensor per picture; its functions and context need not be set. */
  void (*target)(const gh_models *models, gh_target *out);
  gh_status (*identify)(gh_error *err, const gh_models *models, gh_json *into); /* as in gh_target; may be NULL */
  /* images (B, 3, S, S) in [0, 1] -> (B, shape...), on a module without weights. */
  gh_tensor *(*compute_target)(gh_module *m, const gh_models *models, gh_tensor *images);

  /* -- the step -- */
  /* Records r->step->loss () from the images' condition (B, D) and the targets (B, ...). targets is NULL without
   * `target`. It is also NULL where pixels are given; the objective then adds inputs in place of the targets. */
  void (*record)(gh_recording *r, gh_tensor *condition, gh_tensor *targets);

  const gh_drawing *drawing; /* how it draws a picture from the token; NULL: it cannot */
};

/* The objectives by index; NULL past the last. */
const gh_objective *gh_objective_at(size_t index);
/* The objective that the configuration names. */
const gh_objective *gh_objective_of(const gh_config *config);
/* Adds a program's own objective to the table. The objective must outlive all use. Call this from one thread, before
 * any configuration is read. GH_ERROR_ARGUMENT where the table is full or has that name. */
gh_status gh_objective_add(gh_error *err, const gh_objective *objective);

/* The target in the form that the cache takes; false where the objective has none. `models` must outlive *out. */
bool gh_objective_target(const gh_models *models, gh_target *out);

#endif
