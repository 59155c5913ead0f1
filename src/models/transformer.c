#include "models/transformer.h"

#include <math.h>
#include <string.h>

static const struct {
  const char *name;
  gh_activation_kind kind;
} activations[] = {{"quick_gelu", GH_QUICK_GELU}, {"gelu", GH_GELU_ERF}, {"gelu_pytorch_tanh", GH_GELU_TANH}};

const char *gh_activation_name(gh_activation_kind kind) {
  for (size_t i = 0; i < GH_COUNT(activations); i++)
    if (activations[i].kind == kind) return activations[i].name;
  return NULL;
}

bool gh_activation_find(const char *name, gh_activation_kind *out) {
  for (size_t i = 0; i < GH_COUNT(activations); i++)
    if (!strcmp(name, activations[i].name)) {
      *out = activations[i].kind;
      return true;
    }
  return false;
}

static gh_tensor *by_head(gh_module *m, const gh_transformer *t, gh_tensor *x) {
  if (!x) return NULL;
  return gh_reshape(m->graph, x, 4, (int64_t[]){x->shape[0], x->shape[1], t->heads, t->hidden / t->heads});
}

gh_tensor *gh_transformer_attend(gh_module *m, const gh_transformer *t, gh_tensor *q, gh_tensor *k, gh_tensor *v) {
  if (!q) return NULL;
  double scale = 1 / sqrt((double)(t->hidden / t->heads));
  gh_tensor *out = gh_attention(m->graph, by_head(m, t, q), by_head(m, t, k), by_head(m, t, v), NULL, scale, t->causal);
  return gh_reshape(m->graph, out, 3, q->shape);
}

static gh_tensor *self_attention(gh_module *m, const gh_transformer *t, gh_tensor *x, const char *layer) {
  static const char *const names[3] = {"q_proj", "k_proj", "v_proj"};
  gh_tensor *qkv[3];
  for (int i = 0; i < 3; i++)
    qkv[i] = gh_linear_layer(m, x, t->hidden, true, gh_name_make("%s.self_attn.%s", layer, names[i]).text);
  return gh_linear_layer(m, gh_transformer_attend(m, t, qkv[0], qkv[1], qkv[2]), t->hidden, true,
                         gh_name_make("%s.self_attn.out_proj", layer).text);
}

gh_tensor *gh_transformer_mlp(gh_module *m, const gh_transformer *t, gh_tensor *x, const char *name) {
  x = gh_activated_layer(m, x, t->mlp, t->activation, gh_name_make("%s.fc1", name).text);
  return gh_linear_layer(m, x, t->hidden, true, gh_name_make("%s.fc2", name).text);
}

gh_tensor *gh_transformer_layers(gh_module *m, const gh_transformer *t, gh_tensor *x, const char *prefix) {
  for (int i = 0; i < t->layers; i++) {
    gh_graph_segment(m->graph);
    gh_name layer = gh_name_make("%s.encoder.layers.%d", prefix, i);
    gh_tensor *h = gh_layernorm_layer(m, x, t->eps, m->storage, gh_name_make("%s.layer_norm1", layer.text).text);
    x = gh_add(m->graph, x, self_attention(m, t, h, layer.text));
    h = gh_layernorm_layer(m, x, t->eps, m->storage, gh_name_make("%s.layer_norm2", layer.text).text);
    x = gh_add(m->graph, x, gh_transformer_mlp(m, t, h, gh_name_make("%s.mlp", layer.text).text));
  }
  gh_graph_segment(m->graph);
  return x;
}
