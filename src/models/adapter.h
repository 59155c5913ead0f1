/* A LoRA adapter in a PEFT folder: adapter_config.json and adapter_model.safetensors, or adapter_model.bin. Everything
 * that uses an adapter reads it here. */
#ifndef GH_MODELS_ADAPTER_H
#define GH_MODELS_ADAPTER_H

#include "base/text.h"
#include "models/lora.h"
#include "models/vision.h"

struct gh_adapter {
  gh_safetensors *file;
  gh_strings layers;       /* whole names of the layers it adapts, "vision_model.encoder.layers.0.mlp.fc1" */
  double *alphas;          /* (layers.count) */
  gh_strings biases_alone; /* whole names of the biases of other layers, "vision_model.post_layernorm.bias" */
  gh_strings saved;        /* whole names of the tensors of "modules_to_save", which replace the model's */
  gh_strings modules;      /* "modules_to_save" as the configuration has it */
  const char *tower;       /* what the names here have in front of those in the folder: "vision_model.", or NULL */
  int rank;                /* "r" and "lora_alpha"; a layer's own may differ (rank_pattern, alpha_pattern) */
  double alpha;
  bool rslora;           /* scale alpha / sqrt(r) (Kalajdzievski, 2023) */
  bool dora;             /* W' = m (W + s B A) / |W + s B A|, by rows (Liu et al., 2024) */
  gh_lora_biases biases; /* which biases the file holds: of adapted layers ("lora_only"), or of any layer ("all") */
};

/* Reads the folder and checks that every tensor belongs to an adapted layer. Variants of LoRA that compute something
 * else, initialisations that change the model's weights, and unknown keys that are not null, false or empty are
 * GH_ERROR_UNSUPPORTED; the text names them. */
gh_status gh_adapter_open(gh_error *err, gh_adapter *out, const char *folder);
void gh_adapter_close(gh_adapter *adapter); /* an empty one is fine */

/* The gh_lora for a module that computes with the adapter, without dropout. The adapter must outlive it. It adapts no
 * layer of a DoRA adapter, whose layers have to be merged into their weights (gh_adapter_merge). */
gh_lora gh_adapter_lora(const gh_adapter *adapter);

/* The tensors of a layer; NULL where there is none. */
const gh_st_tensor *gh_adapter_a(const gh_adapter *adapter, const char *layer);    /* (r, K) */
const gh_st_tensor *gh_adapter_b(const gh_adapter *adapter, const char *layer);    /* (N, r) */
const gh_st_tensor *gh_adapter_bias(const gh_adapter *adapter, const char *layer); /* (N) */
/* The tensor of that name in saved; NULL: there is none. */
const gh_st_tensor *gh_adapter_saved(const gh_adapter *adapter, const char *name);
/* The tensor of that name in biases_alone or saved; NULL: there is none. */
const gh_st_tensor *gh_adapter_alone(const gh_adapter *adapter, const char *name);

/* The rank and the alpha of an adapted layer, and alpha / r or alpha / sqrt(r). 0: the layer is not adapted. */
int gh_adapter_rank(const gh_adapter *adapter, const char *layer);
double gh_adapter_alpha(const gh_adapter *adapter, const char *layer);
double gh_adapter_scale(const gh_adapter *adapter, const char *layer);

/* The Frobenius norm of the change that each layer's matrices make to its weight, |s B A|: norms (layers.count). Of a
 * DoRA adapter, before the magnitudes. GH_ERROR_FORMAT if matrices do not fit. */
gh_status gh_adapter_norms(gh_error *err, const gh_adapter *adapter, double *norms);

/* Merges an adapted layer into its weight (N, K), in place. GH_ERROR_FORMAT if the matrices do not fit. */
gh_status gh_adapter_merge(gh_error *err, const gh_adapter *adapter, const char *layer, int64_t n, int64_t k,
                           float *weight);

/* Checks that every layer, bias and saved tensor of the adapter for the tower (`text`: the text tower, else the vision
 * tower) is in the store, so that a misnamed one is noticed. merged: DoRA's layers are not adapted, but merged. */
gh_status gh_adapter_check(gh_error *err, const gh_adapter *adapter, const gh_store *store, const gh_family *family,
                           bool text, bool merged);

#endif
