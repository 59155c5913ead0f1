#include "models/archs.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the table ---- */

#define CLIP_VISION(side)                                                                                              \
  { .family = GH_CLIP, .tower = CLIP_TOWER(1024, 24, 16, 4096, false), .image = side, .patch = 14, .projection = 768 }
#define CLIP_TOWER(width, depth, groups, wide, masked)                                                                 \
  {                                                                                                                    \
    .hidden = width, .layers = depth, .heads = groups, .mlp = wide, .eps = 1e-5, .activation = GH_QUICK_GELU,          \
    .causal = masked                                                                                                   \
  }
#define CLIP_TEXT(width, depth, groups, wide, tokens, d)                                                               \
  {                                                                                                                    \
    .family = GH_CLIP, .tower = CLIP_TOWER(width, depth, groups, wide, true), .vocabulary = tokens, .positions = 77,   \
    .projection = d, .eos = tokens - 1                                                                                 \
  }
#define SIGLIP_TOWER(width, depth, groups, wide)                                                                       \
  { .hidden = width, .layers = depth, .heads = groups, .mlp = wide, .eps = 1e-6, .activation = GH_GELU_TANH }
#define SIGLIP(size, sub, width, depth, groups, wide, tokens, lines)                                                   \
  .vision = {.family = GH_SIGLIP,                                                                                      \
             .tower = SIGLIP_TOWER(width, depth, groups, wide),                                                        \
             .image = size,                                                                                            \
             .patch = sub,                                                                                             \
             .projection = width},                                                                                     \
  .text = {.family = GH_SIGLIP,                                                                                        \
           .tower = SIGLIP_TOWER(width, depth, groups, wide),                                                          \
           .vocabulary = tokens,                                                                                       \
           .positions = lines,                                                                                         \
           .projection = width,                                                                                        \
           .eos = 1}

const gh_arch gh_archs[] = {
    {.name = "tiny",
     .summary = "a small CLIP for tests and first steps, 64 pixels",
     .vision =
         {.family = GH_CLIP, .tower = CLIP_TOWER(128, 4, 4, 512, false), .image = 64, .patch = 8, .projection = 128},
     .text = CLIP_TEXT(64, 2, 2, 256, 1024, 128)},
    {.name = "tiny-siglip", .summary = "a small SigLIP, 64 pixels", SIGLIP(64, 8, 128, 4, 4, 512, 1000, 64)},
    {.name = "openai-vit-l-14-224",
     .summary = "OpenAI CLIP ViT-L/14 at 224 pixels",
     .vision = CLIP_VISION(224),
     .text = CLIP_TEXT(768, 12, 12, 3072, 49408, 768)},
    {.name = "openai-vit-l-14-336",
     .summary = "OpenAI CLIP ViT-L/14 at 336 pixels",
     .vision = CLIP_VISION(336),
     .text = CLIP_TEXT(768, 12, 12, 3072, 49408, 768)},
    {.name = "metaclip-vit-l-14-224",
     .summary = "MetaCLIP ViT-L/14 at 224 pixels",
     .vision = CLIP_VISION(224),
     .text = CLIP_TEXT(768, 12, 12, 3072, 49408, 768)},
    {.name = "metaclip-vit-h-14-224",
     .summary = "MetaCLIP ViT-H/14 at 224 pixels",
     .vision = {.family = GH_CLIP,
                .tower = CLIP_TOWER(1280, 32, 16, 5120, false),
                .image = 224,
                .patch = 14,
                .projection = 1024},
     .text = CLIP_TEXT(1024, 24, 16, 4096, 49408, 1024)},
    {.name = "siglip-so400m-14-224",
     .summary = "SigLIP SO400M/14 at 224 pixels",
     SIGLIP(224, 14, 1152, 27, 16, 4304, 32000, 64)},
    {.name = "siglip-so400m-14-384",
     .summary = "SigLIP SO400M/14 at 384 pixels",
     SIGLIP(384, 14, 1152, 27, 16, 4304, 32000, 64)},
    {0},
};

gh_status gh_arch_find(gh_error *err, const char *name, const gh_arch **out) {
  const char *names[GH_COUNT(gh_archs)];
  size_t n = 0;
  for (const gh_arch *a = gh_archs; a->name; a++) {
    names[n++] = a->name;
    if (strcmp(a->name, name)) continue;
    *out = a;
    return GH_OK;
  }
  const char *nearest = gh_nearest(name, names, n);
  if (nearest) return gh_fail(err, GH_ERROR_ARGUMENT, "unknown architecture %s; did you mean %s?", name, nearest);
  char list[512] = "";
  size_t used = 0;
  for (size_t i = 0; i < n && used < sizeof list; i++)
    used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
  return gh_fail(err, GH_ERROR_ARGUMENT, "unknown architecture %s; there are %s", name, list);
}

/* ---- its tensors ---- */

typedef struct gh_walk {
  gh_error *err;
  gh_arch_visit *visit;
  void *user;
  gh_status status;
} gh_walk;

static void tensor(gh_walk *w, gh_init init, int rank, const int64_t *shape, const char *name) {
  if (!w->status) w->status = w->visit(w->err, w->user, name, rank, shape, init);
}

static void linear(gh_walk *w, gh_init init, int64_t out, int64_t in, const char *layer, const char *name) {
  tensor(w, init, 2, (int64_t[]){out, in}, gh_name_make("%s.%s.weight", layer, name).text);
  tensor(w, gh_init_constant(0), 1, &out, gh_name_make("%s.%s.bias", layer, name).text);
}

static void norm(gh_walk *w, int64_t width, const char *layer, const char *name) {
  tensor(w, gh_init_constant(1), 1, &width, gh_name_make("%s.%s.weight", layer, name).text);
  tensor(w, gh_init_constant(0), 1, &width, gh_name_make("%s.%s.bias", layer, name).text);
}

static gh_init lecun(int64_t fan_in) { return gh_init_normal(pow((double)fan_in, -0.5)); }

/* Xavier (Glorot): uniform, and as wide as fan-in and fan-out say. */
static gh_init xavier(int64_t in, int64_t out) { return (gh_init){GH_INIT_UNIFORM, sqrt(6.0 / (double)(in + out))}; }

static void siglip_mlp(gh_walk *w, const gh_transformer *t, const char *name) {
  const int64_t shape[2][2] = {{t->mlp, t->hidden}, {t->hidden, t->mlp}};
  for (int i = 0; i < 2; i++) {
    gh_name layer = gh_name_make("%s.fc%d", name, i + 1);
    tensor(w, xavier(t->hidden, t->mlp), 2, shape[i], gh_name_make("%s.weight", layer.text).text);
    tensor(w, gh_init_normal(1e-6), 1, shape[i], gh_name_make("%s.bias", layer.text).text);
  }
}

static void clip_mlp(gh_walk *w, const gh_transformer *t, const char *layer) {
  double hidden = t->hidden;
  linear(w, gh_init_normal(pow(2 * hidden, -0.5)), t->mlp, t->hidden, layer, "mlp.fc1");
  linear(w, gh_init_normal(pow(hidden, -0.5) * pow(2.0 * t->layers, -0.5)), t->hidden, t->mlp, layer, "mlp.fc2");
}

static void encoder(gh_walk *w, gh_family family, const gh_transformer *t, const char *tower) {
  static const char *const qkv[] = {"self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj"};
  int64_t hidden = t->hidden;
  bool clip = family == GH_CLIP;
  double width = pow((double)hidden, -0.5);
  gh_init in = clip ? gh_init_normal(width * pow(2.0 * t->layers, -0.5)) : xavier(hidden, hidden);
  gh_init out = clip ? gh_init_normal(width) : in;
  for (int i = 0; i < t->layers; i++) {
    gh_name layer = gh_name_make("%s.encoder.layers.%d", tower, i);
    for (int j = 0; j < 3; j++) linear(w, in, hidden, hidden, layer.text, qkv[j]);
    linear(w, out, hidden, hidden, layer.text, "self_attn.out_proj");
    norm(w, hidden, layer.text, "layer_norm1");
    if (clip)
      clip_mlp(w, t, layer.text);
    else
      siglip_mlp(w, t, gh_name_make("%s.mlp", layer.text).text);
    norm(w, hidden, layer.text, "layer_norm2");
  }
}

static void token_embeddings(gh_walk *w, const gh_text_config *t, gh_init init) {
  const char *embeddings = "text_model.embeddings";
  tensor(w, init, 2, (int64_t[]){t->vocabulary, t->tower.hidden},
         gh_name_make("%s.token_embedding.weight", embeddings).text);
  tensor(w, init, 2, (int64_t[]){t->positions, t->tower.hidden},
         gh_name_make("%s.position_embedding.weight", embeddings).text);
}

static void clip_tensors(gh_walk *w, const gh_vision_config *v, const gh_text_config *t) {
  int64_t wide = v->tower.hidden, narrow = t->tower.hidden, d = v->projection;
  const char *embeddings = "vision_model.embeddings";
  tensor(w, gh_init_constant(GH_LOGIT_SCALE), 0, NULL, "logit_scale");
  token_embeddings(w, t, gh_init_normal(0.02));
  encoder(w, GH_CLIP, &t->tower, "text_model");
  norm(w, narrow, "text_model", "final_layer_norm");
  tensor(w, lecun(narrow), 2, (int64_t[]){d, narrow}, "text_projection.weight");
  tensor(w, lecun(wide), 1, &wide, gh_name_make("%s.class_embedding", embeddings).text);
  tensor(w, gh_init_normal(0.02), 4, (int64_t[]){wide, 3, v->patch, v->patch},
         gh_name_make("%s.patch_embedding.weight", embeddings).text);
  tensor(w, gh_init_normal(0.02), 2, (int64_t[]){gh_vision_tokens(v), wide},
         gh_name_make("%s.position_embedding.weight", embeddings).text);
  norm(w, wide, "vision_model", "pre_layrnorm");
  encoder(w, GH_CLIP, &v->tower, "vision_model");
  norm(w, wide, "vision_model", "post_layernorm");
  tensor(w, lecun(wide), 2, (int64_t[]){d, wide}, "visual_projection.weight");
}

static void siglip_head(gh_walk *w, const gh_transformer *t) {
  const char *head = "vision_model.head", *attention = "vision_model.head.attention";
  int64_t wide = t->hidden;
  tensor(w, xavier(wide, wide), 3, (int64_t[]){1, 1, wide}, gh_name_make("%s.probe", head).text);
  tensor(w, xavier(wide, 3 * wide), 2, (int64_t[]){3 * wide, wide}, gh_name_make("%s.in_proj_weight", attention).text);
  tensor(w, gh_init_constant(0), 1, (int64_t[]){3 * wide}, gh_name_make("%s.in_proj_bias", attention).text);
  linear(w, lecun(wide), wide, wide, attention, "out_proj");
  norm(w, wide, head, "layernorm");
  siglip_mlp(w, t, gh_name_make("%s.mlp", head).text);
}

static void siglip_tensors(gh_walk *w, const gh_vision_config *v, const gh_text_config *t) {
  int64_t wide = v->tower.hidden, narrow = t->tower.hidden, one = 1, patch[4] = {wide, 3, v->patch, v->patch};
  tensor(w, gh_init_constant(0), 1, &one, "logit_bias");
  tensor(w, gh_init_constant(0), 1, &one, "logit_scale");
  token_embeddings(w, t, lecun(narrow));
  encoder(w, GH_SIGLIP, &t->tower, "text_model");
  norm(w, narrow, "text_model", "final_layer_norm");
  linear(w, lecun(narrow), t->projection, narrow, "text_model", "head");
  tensor(w, lecun(patch[1] * patch[2] * patch[3]), 4, patch, "vision_model.embeddings.patch_embedding.weight");
  tensor(w, gh_init_constant(0), 1, &wide, "vision_model.embeddings.patch_embedding.bias");
  tensor(w, lecun(wide), 2, (int64_t[]){gh_vision_tokens(v), wide},
         "vision_model.embeddings.position_embedding.weight");
  encoder(w, GH_SIGLIP, &v->tower, "vision_model");
  norm(w, wide, "vision_model", "post_layernorm");
  siglip_head(w, &v->tower);
}

gh_status gh_arch_tensors(gh_error *err, const gh_arch *arch, gh_arch_visit *visit, void *user) {
  gh_walk w = {.err = err, .visit = visit, .user = user};
  if (arch->vision.family == GH_SIGLIP)
    siglip_tensors(&w, &arch->vision, &arch->text);
  else
    clip_tensors(&w, &arch->vision, &arch->text);
  return w.status;
}

static gh_status count(gh_error *err, void *user, const char *name, int rank, const int64_t *shape, gh_init init) {
  (void)err, (void)name, (void)init;
  int64_t n = 1;
  for (int i = 0; i < rank; i++) n *= shape[i];
  *(int64_t *)user += n;
  return GH_OK;
}

int64_t gh_arch_parameters(const gh_arch *arch) {
  int64_t total = 0;
  gh_arch_tensors(NULL, arch, count, &total);
  return total;
}
