#include "models/vision.h"
#include "models/family.h"
#include "models/lora.h"

int64_t gh_vision_patches(const gh_vision_config *c) {
  int64_t side = c->image / c->patch;
  return side * side;
}

int64_t gh_vision_tokens(const gh_vision_config *c) { return gh_vision_patches(c) + c->family->class_tokens; }

/* The part of (B, 3, S, S) that a convolution without padding reads: the whole patches from the top left. */
static gh_tensor *whole_patches(gh_graph *g, gh_tensor *x, int64_t patch) {
  for (int axis = 2; axis < 4 && x; axis++) {
    int64_t rest = x->shape[axis] % patch, sizes[2] = {x->shape[axis] - rest, rest};
    gh_tensor *parts[2];
    if (!rest) continue;
    gh_split(g, x, axis, sizes, 2, parts);
    x = parts[0];
  }
  return x;
}

gh_tensor *gh_vision_patch_embedding(gh_module *m, const gh_vision_config *c, gh_tensor *pixels, bool bias) {
  int64_t hidden = c->tower.hidden, columns = 3 * (int64_t)c->patch * c->patch;
  static const char name[] = "vision_model.embeddings.patch_embedding";
  gh_init init = bias ? gh_init_fan_in(columns) : gh_init_normal(0.02);
  gh_tensor *w = gh_matrix(m, init, 4, (int64_t[]){hidden, 3, c->patch, c->patch}, "%s.weight", name);
  gh_tensor *b = bias ? gh_bias(m, gh_init_constant(0), hidden, "%s.bias", name) : NULL;
  if (m->lora) gh_lora_bias_layer(m, b, name, false);
  gh_tensor *patches = gh_patchify(m->graph, whole_patches(m->graph, pixels, c->patch), c->patch);
  return gh_linear(m->graph, patches, gh_reshape(m->graph, w, 2, (int64_t[]){hidden, columns}), b);
}

gh_tensor *gh_vision_tower(gh_module *m, const gh_vision_config *c, gh_tensor *pixels, gh_tensor **local) {
  m->part = GH_PART_ENCODER;
  if (local) *local = NULL;
  return pixels ? c->family->vision_tower(m, c, pixels, local) : NULL;
}
