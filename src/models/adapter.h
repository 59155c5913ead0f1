/* A LoRA adapter in a PEFT folder: adapter_config.json and adapter_model.safetensors. */
#ifndef GH_MODELS_ADAPTER_H
#define GH_MODELS_ADAPTER_H

#include "base/text.h"
#include "models/lora.h"

typedef struct gh_adapter {
  gh_safetensors *file;
  gh_strings layers;       /* whole names of the layers it adapts, "vision_model.encoder.layers.0.mlp.fc1" */
  gh_strings biases_alone; /* whole names of the biases of other layers, "vision_model.post_layernorm.bias" */
  int rank;
  double alpha;
  gh_lora_biases biases; /* which biases the file holds: of adapted layers ("lora_only"), or of any layer ("all") */
} gh_adapter;

/* Reads the folder and checks that every tensor belongs to an adapted layer. Variants of LoRA that compute something
 * else are GH_ERROR_UNSUPPORTED; the text names them. */
gh_status gh_adapter_open(gh_error *err, gh_adapter *out, const char *folder);
void gh_adapter_close(gh_adapter *adapter); /* an empty one is fine */

/* The gh_lora for a module that computes with the adapter, without dropout. The adapter must outlive it. */
gh_lora gh_adapter_lora(const gh_adapter *adapter);

/* The tensors of a layer; NULL where there is none. */
const gh_st_tensor *gh_adapter_a(const gh_adapter *adapter, const char *layer);         /* (r, K) */
const gh_st_tensor *gh_adapter_b(const gh_adapter *adapter, const char *layer);         /* (N, r) */
const gh_st_tensor *gh_adapter_bias(const gh_adapter *adapter, const char *layer);      /* (N) */
const gh_st_tensor *gh_adapter_bias_alone(const gh_adapter *adapter, const char *name); /* of biases_alone */

#endif
