#include "models/text.h"
#include "models/family.h"

int32_t gh_text_pooled(const gh_text_config *c, const int32_t *ids, int64_t n) {
  return c->family->text_pooled(c, ids, n);
}

/* Token and position embeddings: (B, N, hidden). */
static gh_tensor *embeddings(gh_module *m, const gh_text_config *c, gh_tensor *ids, int64_t batch) {
  gh_graph *g = m->graph;
  const char *prefix = "text_model.embeddings";
  int64_t hidden = c->tower.hidden, n = ids->shape[1] / batch, rest = c->positions - n;
  gh_tensor *tokens =
      gh_parameter(m, gh_init_normal(0.02), 2, (int64_t[]){c->vocabulary, hidden}, "%s.token_embedding.weight", prefix);
  gh_tensor *positions =
      gh_positions(m, gh_init_normal(0.02), c->positions, hidden, "%s.position_embedding.weight", prefix);
  gh_tensor *first[2] = {positions};
  if (rest && !gh_graph_failed(g)) gh_split(g, positions, 0, (int64_t[]){n, rest}, 2, first);
  gh_tensor *x = gh_gather_rows(g, gh_reshape(g, tokens, 3, (int64_t[]){1, c->vocabulary, hidden}), ids);
  return gh_add(g, gh_reshape(g, x, 3, (int64_t[]){batch, n, hidden}), first[0]);
}

gh_tensor *gh_text_state(gh_module *m, const gh_text_config *c, gh_tensor *ids, gh_tensor *pooled) {
  gh_graph *g = m->graph;
  if (gh_graph_failed(g)) return NULL;
  int64_t batch = pooled->shape[0];
  gh_tensor *x = gh_transformer_layers(m, &c->tower, embeddings(m, c, ids, batch), "text_model");
  x = gh_layernorm_layer(m, x, c->tower.eps, GH_F32, "text_model.final_layer_norm");
  return gh_reshape(g, gh_gather_rows(g, x, pooled), 2, (int64_t[]){batch, c->tower.hidden});
}

gh_tensor *gh_text_tower(gh_module *m, const gh_text_config *c, gh_tensor *ids, gh_tensor *pooled) {
  m->part = GH_PART_ENCODER;
  return c->family->text_tower(m, c, ids, pooled);
}
