#include "models/clip_vision.h"
#include "base/file.h"
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- config.json ---- */

static const struct {
  const char *name;
  gh_activation_kind kind;
} activations[] = {{"quick_gelu", GH_QUICK_GELU}, {"gelu", GH_GELU_ERF}, {"gelu_pytorch_tanh", GH_GELU_TANH}};

const char *gh_activation_name(gh_activation_kind kind) {
  for (size_t i = 0; i < GH_COUNT(activations); i++)
    if (activations[i].kind == kind) return activations[i].name;
  return NULL;
}

static gh_status read_sizes(gh_error *err, const gh_json *vision, gh_clip_config *c) {
  const struct {
    const char *key;
    int *to;
    int64_t value; /* CLIPVisionConfig's default */
  } sizes[] = {{"hidden_size", &c->hidden, 768},       {"num_hidden_layers", &c->layers, 12},
               {"num_attention_heads", &c->heads, 12}, {"intermediate_size", &c->mlp, 3072},
               {"image_size", &c->image, 224},         {"patch_size", &c->patch, 32},
               {"projection_dim", &c->projection, 512}};
  for (size_t i = 0; i < GH_COUNT(sizes); i++) {
    int64_t value = sizes[i].value;
    if (gh_json_opt_int(err, vision, sizes[i].key, &value)) return err->status;
    if (value < 1 || value > 1 << 20)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: %lld is no size", sizes[i].key, (long long)value);
    *sizes[i].to = (int)value;
  }
  if (c->hidden % c->heads) return gh_fail(err, GH_ERROR_FORMAT, "hidden_size is no multiple of num_attention_heads");
  if (c->image < c->patch) return gh_fail(err, GH_ERROR_FORMAT, "image_size is below patch_size");
  return GH_OK;
}

static gh_status read_activation(gh_error *err, const gh_json *vision, gh_clip_config *c) {
  const char *name = "quick_gelu";
  if (gh_json_opt_string(err, vision, "hidden_act", &name)) return err->status;
  for (size_t i = 0; i < GH_COUNT(activations); i++)
    if (!strcmp(name, activations[i].name)) {
      c->activation = activations[i].kind;
      return GH_OK;
    }
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "the activation %s is not supported", name);
}

static gh_status read_config(gh_error *err, const gh_json *root, gh_clip_config *c) {
  const char *type = "clip";
  if (gh_json_opt_string(err, root, "model_type", &type)) return err->status;
  if (strcmp(type, "clip") && strcmp(type, "clip_vision_model"))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "model type %s is not supported (clip is)", type);
  const gh_json *vision = gh_json_member(root, "vision_config");
  if (!vision) vision = root;
  c->eps = 1e-5;
  if (read_sizes(err, vision, c) || read_activation(err, vision, c)) return err->status;
  if (gh_json_opt_double(err, vision, "layer_norm_eps", &c->eps)) return err->status;
  int64_t projection = c->projection; /* CLIPModel takes the one of the whole model */
  if (gh_json_opt_int(err, root, "projection_dim", &projection)) return err->status;
  if (projection < 1 || projection > 1 << 20) return gh_fail(err, GH_ERROR_FORMAT, "projection_dim is no size");
  c->projection = (int)projection;
  return GH_OK;
}

gh_status gh_clip_config_read(gh_error *err, const char *folder, gh_clip_config *config) {
  char *path = gh_path_join(err, folder, "config.json");
  gh_json *root = NULL;
  gh_status status = path ? gh_json_read_file(err, &root, path, GH_JSON_MAX_BYTES) : GH_ERROR_MEMORY;
  if (!status && (status = read_config(err, root, config))) gh_fail_in(err, "%s", path);
  gh_json_free(root);
  free(path);
  return status;
}

/* ---- the tower ---- */

int64_t gh_clip_tokens(const gh_clip_config *c) {
  int64_t side = c->image / c->patch;
  return side * side + 1;
}

static gh_tensor *self_attention(gh_module *m, const gh_clip_config *c, gh_tensor *x, const char *layer) {
  if (!x) return NULL;
  const int64_t heads[] = {x->shape[0], x->shape[1], c->heads, c->hidden / c->heads};
  gh_tensor *qkv[3];
  const char *names[3] = {"q_proj", "k_proj", "v_proj"};
  for (int i = 0; i < 3; i++) {
    gh_tensor *flat = gh_linear_layer(m, x, c->hidden, true, gh_name_make("%s.self_attn.%s", layer, names[i]).text);
    qkv[i] = gh_reshape(m->graph, flat, 4, heads);
  }
  gh_tensor *out = gh_attention(m->graph, qkv[0], qkv[1], qkv[2], 1 / sqrt((double)heads[3]), false);
  return gh_linear_layer(m, gh_reshape(m->graph, out, 3, x->shape), c->hidden, true,
                         gh_name_make("%s.self_attn.out_proj", layer).text);
}

static gh_tensor *encoder_layer(gh_module *m, const gh_clip_config *c, gh_tensor *x, int index) {
  gh_graph_segment(m->graph);
  gh_name layer = gh_name_make("vision_model.encoder.layers.%d", index);
  gh_tensor *h = gh_layernorm_layer(m, x, c->eps, gh_name_make("%s.layer_norm1", layer.text).text);
  x = gh_add(m->graph, x, self_attention(m, c, h, layer.text));
  h = gh_layernorm_layer(m, x, c->eps, gh_name_make("%s.layer_norm2", layer.text).text);
  h = gh_linear_layer(m, h, c->mlp, true, gh_name_make("%s.mlp.fc1", layer.text).text);
  h = gh_activation(m->graph, h, c->activation);
  h = gh_linear_layer(m, h, c->hidden, true, gh_name_make("%s.mlp.fc2", layer.text).text);
  return gh_add(m->graph, x, h);
}

/* Patch convolution as a linear layer on patches, class token in front, positions added: (B, N + 1, hidden). */
static gh_tensor *embeddings(gh_module *m, const gh_clip_config *c, gh_tensor *pixels) {
  gh_graph *g = m->graph;
  int64_t hidden = c->hidden, batch = pixels->shape[0], columns = 3 * (int64_t)c->patch * c->patch;
  const char *prefix = "vision_model.embeddings";
  gh_tensor *w = gh_parameter(m, gh_init_normal(0.02), 4, (int64_t[]){hidden, 3, c->patch, c->patch},
                              "%s.patch_embedding.weight", prefix);
  gh_tensor *cls = gh_parameter(m, gh_init_normal(pow((double)hidden, -0.5)), 1, &hidden, "%s.class_embedding", prefix);
  gh_tensor *positions = gh_parameter(m, gh_init_normal(0.02), 2, (int64_t[]){gh_clip_tokens(c), hidden},
                                      "%s.position_embedding.weight", prefix);
  gh_tensor *patches =
      gh_linear(g, gh_patchify(g, pixels, c->patch), gh_reshape(g, w, 2, (int64_t[]){hidden, columns}), NULL);
  gh_tensor *first = gh_repeat(g, gh_reshape(g, cls, 2, (int64_t[]){1, hidden}), batch);
  return gh_add(g, gh_concat(g, (gh_tensor *[]){first, patches}, 2, 1), positions);
}

/* Norm and projection of the output: (..., hidden) -> (..., D). */
static gh_tensor *project(gh_module *m, const gh_clip_config *c, gh_tensor *x) {
  x = gh_layernorm_layer(m, x, c->eps, "vision_model.post_layernorm");
  return gh_linear_layer(m, x, c->projection, false, "visual_projection");
}

gh_tensor *gh_clip_vision(gh_module *m, const gh_clip_config *c, gh_tensor *pixels, gh_tensor **local) {
  gh_graph *g = m->graph;
  if (local) *local = NULL;
  if (!pixels) return NULL;
  gh_tensor *x = embeddings(m, c, pixels);
  x = gh_layernorm_layer(m, x, c->eps, "vision_model.pre_layrnorm"); /* the published name */
  for (int i = 0; i < c->layers; i++) x = encoder_layer(m, c, x, i);
  gh_graph_segment(g);
  const int64_t cut[2] = {1, gh_clip_tokens(c) - 1}, batch = pixels->shape[0];
  gh_tensor *part[2] = {0};
  if (local) { /* one projection of all tokens, so that an adapted layer is met once */
    gh_split(g, project(m, c, x), 1, cut, 2, part);
    *local = part[1];
    return gh_reshape(g, part[0], 2, (int64_t[]){batch, c->projection});
  }
  gh_split(g, x, 1, cut, 2, part);
  return project(m, c, gh_reshape(g, part[0], 2, (int64_t[]){batch, c->hidden}));
}
