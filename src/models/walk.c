#include "models/walk.h"

#include <math.h>

gh_init gh_init_lecun(int64_t fan_in) { return gh_init_normal(pow((double)fan_in, -0.5)); }

gh_init gh_init_xavier(int64_t in, int64_t out) { return (gh_init){GH_INIT_UNIFORM, sqrt(6.0 / (double)(in + out))}; }

void gh_walk_tensor(gh_walk *w, gh_init init, int rank, const int64_t *shape, const char *name) {
  if (!w->status) w->status = w->visit(w->err, w->user, name, rank, shape, init);
}

static void weight_and_bias(gh_walk *w, gh_init weight, gh_init bias, int rank, const int64_t *shape,
                            const char *layer) {
  gh_walk_tensor(w, weight, rank, shape, gh_name_make("%s.weight", layer).text);
  gh_walk_tensor(w, bias, 1, shape, gh_name_make("%s.bias", layer).text);
}

void gh_walk_linear(gh_walk *w, gh_init init, int64_t out, int64_t in, const char *layer, const char *name) {
  weight_and_bias(w, init, gh_init_constant(0), 2, (int64_t[]){out, in}, gh_name_make("%s.%s", layer, name).text);
}

void gh_walk_norm(gh_walk *w, int64_t width, const char *layer, const char *name) {
  weight_and_bias(w, gh_init_constant(1), gh_init_constant(0), 1, &width, gh_name_make("%s.%s", layer, name).text);
}

void gh_walk_mlp(gh_walk *w, const gh_transformer *t, const gh_layer_init *init, const char *name) {
  const int64_t up[2] = {t->mlp, t->hidden}, down[2] = {t->hidden, t->mlp};
  weight_and_bias(w, init->fc1, init->mlp_bias, 2, up, gh_name_make("%s.fc1", name).text);
  weight_and_bias(w, init->fc2, init->mlp_bias, 2, down, gh_name_make("%s.fc2", name).text);
}

void gh_walk_layers(gh_walk *w, const gh_transformer *t, const gh_layer_init *init, const char *tower) {
  static const char *const names[] = {"self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj"};
  int64_t hidden = t->hidden;
  for (int i = 0; i < t->layers; i++) {
    gh_name layer = gh_name_make("%s.encoder.layers.%d", tower, i);
    for (int j = 0; j < 3; j++) gh_walk_linear(w, init->in, hidden, hidden, layer.text, names[j]);
    gh_walk_linear(w, init->out, hidden, hidden, layer.text, "self_attn.out_proj");
    gh_walk_norm(w, hidden, layer.text, "layer_norm1");
    gh_walk_mlp(w, t, init, gh_name_make("%s.mlp", layer.text).text);
    gh_walk_norm(w, hidden, layer.text, "layer_norm2");
  }
}

void gh_walk_text_embeddings(gh_walk *w, gh_init init, const gh_text_config *t) {
  const int64_t tokens[2] = {t->vocabulary, t->tower.hidden}, positions[2] = {t->positions, t->tower.hidden};
  gh_walk_tensor(w, init, 2, tokens, "text_model.embeddings.token_embedding.weight");
  gh_walk_tensor(w, init, 2, positions, "text_model.embeddings.position_embedding.weight");
}
