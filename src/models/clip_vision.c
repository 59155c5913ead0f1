#include "models/vision.h"

#include <math.h>

/* Patches with the class token in front and positions added: (B, N + 1, hidden). */
static gh_tensor *embeddings(gh_module *m, const gh_vision_config *c, gh_tensor *pixels) {
  gh_graph *g = m->graph;
  int64_t hidden = c->tower.hidden;
  const char *prefix = "vision_model.embeddings";
  gh_tensor *patches = gh_vision_patch_embedding(m, c, pixels, false);
  gh_tensor *cls = gh_parameter(m, gh_init_normal(pow((double)hidden, -0.5)), 1, &hidden, "%s.class_embedding", prefix);
  gh_tensor *positions = gh_parameter(m, gh_init_normal(0.02), 2, (int64_t[]){gh_vision_tokens(c), hidden},
                                      "%s.position_embedding.weight", prefix);
  gh_tensor *first = gh_repeat(g, gh_reshape(g, cls, 2, (int64_t[]){1, hidden}), pixels->shape[0]);
  if (gh_graph_failed(g)) return NULL;
  return gh_add(g, gh_concat(g, (gh_tensor *[]){first, patches}, 2, 1), positions);
}

/* Norm and projection of the output: (..., hidden) -> (..., D), float32. */
static gh_tensor *project(gh_module *m, const gh_vision_config *c, gh_tensor *x) {
  x = gh_layernorm_layer(m, x, c->tower.eps, m->storage, "vision_model.post_layernorm");
  return gh_linear_layer_to(m, x, c->projection, false, GH_F32, "visual_projection");
}

gh_tensor *gh_clip_vision(gh_module *m, const gh_vision_config *c, gh_tensor *pixels, gh_tensor **local) {
  gh_graph *g = m->graph;
  gh_tensor *x = embeddings(m, c, pixels);
  x = gh_layernorm_layer(m, x, c->tower.eps, GH_F32, "vision_model.pre_layrnorm"); /* the published name */
  x = gh_transformer_layers(m, &c->tower, x, "vision_model");
  const int64_t cut[2] = {1, gh_vision_patches(c)}, batch = pixels->shape[0];
  gh_tensor *part[2] = {0};
  if (local) { /* one projection of all tokens, so that an adapted layer is met once */
    gh_split(g, project(m, c, x), 1, cut, 2, part);
    *local = part[1];
    return gh_reshape(g, part[0], 2, (int64_t[]){batch, c->projection});
  }
  gh_split(g, x, 1, cut, 2, part);
  return project(m, c, gh_reshape(g, part[0], 2, (int64_t[]){batch, c->tower.hidden}));
}
