#include "models/lora.h"
#include "models/vision.h"

#include <math.h>

#define HEAD "vision_model.head"

/* Patches with positions added: (B, N, hidden); there is no class token. */
static gh_tensor *embeddings(gh_module *m, const gh_vision_config *c, gh_tensor *pixels) {
  int64_t hidden = c->tower.hidden;
  gh_tensor *patches = gh_vision_patch_embedding(m, c, pixels, true);
  gh_tensor *positions =
      gh_parameter(m, gh_init_normal(pow((double)hidden, -0.5)), 2, (int64_t[]){gh_vision_tokens(c), hidden},
                   "vision_model.embeddings.position_embedding.weight");
  return gh_add(m->graph, patches, positions);
}

/* torch.nn.MultiheadAttention reads the weight past any adapter, so LoRA on it would do nothing: there is none. Its
 * bias trains like that of the layers it is named among. */
static gh_tensor *attention_output(gh_module *m, int64_t hidden, gh_tensor *x) {
  static const char name[] = HEAD ".attention.out_proj";
  gh_init init = gh_init_fan_in(hidden);
  gh_tensor *w = gh_matrix(m, init, 2, (int64_t[]){hidden, hidden}, "%s.weight", name);
  gh_tensor *b = gh_parameter(m, gh_init_constant(0), 1, &hidden, "%s.bias", name);
  if (m->lora) gh_lora_bias_layer(m, b, name, gh_lora_targets(m->lora, name));
  return gh_linear_to(m->graph, x, w, b, GH_F32);
}

/* torch.nn.MultiheadAttention of one learnt query over all tokens: (B, N, hidden) -> (B, 1, hidden), float32. The
 * weight is cut in three, so it is kept in float32 and its parts are rounded. */
static gh_tensor *probe_attention(gh_module *m, const gh_vision_config *c, gh_tensor *x) {
  gh_graph *g = m->graph;
  int64_t hidden = c->tower.hidden;
  const int64_t thirds[3] = {hidden, hidden, hidden};
  gh_tensor *probe =
      gh_parameter(m, gh_init_normal(pow((double)hidden, -0.5)), 3, (int64_t[]){1, 1, hidden}, HEAD ".probe");
  gh_tensor *in =
      gh_parameter(m, gh_init_fan_in(hidden), 2, (int64_t[]){3 * hidden, hidden}, HEAD ".attention.in_proj_weight");
  gh_tensor *shift = gh_parameter(m, gh_init_constant(0), 1, (int64_t[]){3 * hidden}, HEAD ".attention.in_proj_bias");
  gh_tensor *w[3], *b[3];
  if (m->lora) gh_lora_bias_layer(m, shift, HEAD ".attention.in_proj", false);
  if (gh_graph_failed(g) || !x) return NULL;
  gh_split(g, in, 0, thirds, 3, w);
  gh_split(g, shift, 0, thirds, 3, b);
  for (int i = 0; i < 3; i++) w[i] = gh_cast(g, w[i], m->storage);
  gh_tensor *query = gh_linear(g, gh_reshape(g, probe, 2, (int64_t[]){1, hidden}), w[0], b[0]);
  query = gh_cast(g, gh_repeat(g, query, x->shape[0]), m->storage);
  x = gh_cast(g, x, m->storage);
  x = gh_transformer_attend(m, &c->tower, query, gh_linear(g, x, w[1], b[1]), gh_linear(g, x, w[2], b[2]));
  return attention_output(m, hidden, x);
}

gh_tensor *gh_siglip_vision(gh_module *m, const gh_vision_config *c, gh_tensor *pixels, gh_tensor **local) {
  gh_graph *g = m->graph;
  gh_tensor *x = gh_transformer_layers(m, &c->tower, embeddings(m, c, pixels), "vision_model");
  x = gh_layernorm_layer(m, x, c->tower.eps, GH_F32, "vision_model.post_layernorm");
  if (local) *local = x;
  x = probe_attention(m, c, x);
  gh_tensor *h = gh_layernorm_layer(m, x, c->tower.eps, m->storage, HEAD ".layernorm");
  x = gh_add(g, x, gh_transformer_mlp(m, &c->tower, h, HEAD ".mlp"));
  return gh_reshape(g, x, 2, (int64_t[]){pixels->shape[0], c->tower.hidden});
}
