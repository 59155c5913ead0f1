#include "models/archs.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the table ---- */

#define VISION_L(side)                                                                                                 \
  {                                                                                                                    \
    .hidden = 1024, .layers = 24, .heads = 16, .mlp = 4096, .image = side, .patch = 14, .projection = 768,             \
    .eps = 1e-5, .activation = GH_QUICK_GELU                                                                           \
  }
#define TEXT_L                                                                                                         \
  { .hidden = 768, .layers = 12, .heads = 12, .mlp = 3072, .vocabulary = 49408, .positions = 77 }

const gh_arch gh_archs[] = {
    {.name = "tiny",
     .summary = "a small one for tests and first steps, 64 pixels",
     .vision = {.hidden = 128,
                .layers = 4,
                .heads = 4,
                .mlp = 512,
                .image = 64,
                .patch = 8,
                .projection = 128,
                .eps = 1e-5,
                .activation = GH_QUICK_GELU},
     .text = {.hidden = 64, .layers = 2, .heads = 2, .mlp = 256, .vocabulary = 1024, .positions = 77}},
    {.name = "openai-vit-l-14-224",
     .summary = "OpenAI CLIP ViT-L/14 at 224 pixels",
     .vision = VISION_L(224),
     .text = TEXT_L},
    {.name = "openai-vit-l-14-336",
     .summary = "OpenAI CLIP ViT-L/14 at 336 pixels",
     .vision = VISION_L(336),
     .text = TEXT_L},
    {.name = "metaclip-vit-l-14-224",
     .summary = "MetaCLIP ViT-L/14 at 224 pixels",
     .vision = VISION_L(224),
     .text = TEXT_L},
    {.name = "metaclip-vit-h-14-224",
     .summary = "MetaCLIP ViT-H/14 at 224 pixels",
     .vision = {.hidden = 1280,
                .layers = 32,
                .heads = 16,
                .mlp = 5120,
                .image = 224,
                .patch = 14,
                .projection = 1024,
                .eps = 1e-5,
                .activation = GH_QUICK_GELU},
     .text = {.hidden = 1024, .layers = 24, .heads = 16, .mlp = 4096, .vocabulary = 49408, .positions = 77}},
    {.name = "siglip-so400m-14-224", .summary = "SigLIP SO400M/14 at 224 pixels (not supported yet)", .siglip = true},
    {.name = "siglip-so400m-14-384", .summary = "SigLIP SO400M/14 at 384 pixels (not supported yet)", .siglip = true},
    {0},
};

gh_status gh_arch_find(gh_error *err, const char *name, const gh_arch **out) {
  const char *names[GH_COUNT(gh_archs)];
  size_t n = 0;
  for (const gh_arch *a = gh_archs; a->name; a++) {
    names[n++] = a->name;
    if (strcmp(a->name, name)) continue;
    *out = a;
    if (a->siglip) return gh_fail(err, GH_ERROR_UNSUPPORTED, "the architecture %s is not supported yet", name);
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

static void linear(gh_walk *w, double std, int64_t out, int64_t in, const char *layer, const char *name) {
  tensor(w, gh_init_normal(std), 2, (int64_t[]){out, in}, gh_name_make("%s.%s.weight", layer, name).text);
  tensor(w, gh_init_constant(0), 1, &out, gh_name_make("%s.%s.bias", layer, name).text);
}

static void norm(gh_walk *w, int64_t width, const char *layer, const char *name) {
  tensor(w, gh_init_constant(1), 1, &width, gh_name_make("%s.%s.weight", layer, name).text);
  tensor(w, gh_init_constant(0), 1, &width, gh_name_make("%s.%s.bias", layer, name).text);
}

static void encoder(gh_walk *w, const char *tower, int64_t hidden, int64_t mlp, int layers) {
  double width = pow((double)hidden, -0.5), in = width * pow(2.0 * layers, -0.5), fc = pow(2.0 * (double)hidden, -0.5);
  static const char *const qkv[] = {"self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj"};
  for (int i = 0; i < layers; i++) {
    gh_name layer = gh_name_make("%s.encoder.layers.%d", tower, i);
    for (int j = 0; j < 3; j++) linear(w, in, hidden, hidden, layer.text, qkv[j]);
    linear(w, width, hidden, hidden, layer.text, "self_attn.out_proj");
    norm(w, hidden, layer.text, "layer_norm1");
    linear(w, fc, mlp, hidden, layer.text, "mlp.fc1");
    linear(w, in, hidden, mlp, layer.text, "mlp.fc2");
    norm(w, hidden, layer.text, "layer_norm2");
  }
}

gh_status gh_arch_tensors(gh_error *err, const gh_arch *arch, gh_arch_visit *visit, void *user) {
  gh_walk w = {.err = err, .visit = visit, .user = user};
  const gh_clip_config *v = &arch->vision;
  const gh_text_sizes *t = &arch->text;
  int64_t wide = v->hidden, narrow = t->hidden, tokens = gh_clip_tokens(v), d = v->projection;
  double vision_std = pow((double)wide, -0.5), text_std = pow((double)narrow, -0.5);
  const char *embeddings = "text_model.embeddings";
  tensor(&w, gh_init_constant(GH_LOGIT_SCALE), 0, NULL, "logit_scale");
  tensor(&w, gh_init_normal(0.02), 2, (int64_t[]){t->vocabulary, narrow},
         gh_name_make("%s.token_embedding.weight", embeddings).text);
  tensor(&w, gh_init_normal(0.02), 2, (int64_t[]){t->positions, narrow},
         gh_name_make("%s.position_embedding.weight", embeddings).text);
  encoder(&w, "text_model", narrow, t->mlp, t->layers);
  norm(&w, narrow, "text_model", "final_layer_norm");
  tensor(&w, gh_init_normal(text_std), 2, (int64_t[]){d, narrow}, "text_projection.weight");
  embeddings = "vision_model.embeddings";
  tensor(&w, gh_init_normal(vision_std), 1, &wide, gh_name_make("%s.class_embedding", embeddings).text);
  tensor(&w, gh_init_normal(0.02), 4, (int64_t[]){wide, 3, v->patch, v->patch},
         gh_name_make("%s.patch_embedding.weight", embeddings).text);
  tensor(&w, gh_init_normal(0.02), 2, (int64_t[]){tokens, wide},
         gh_name_make("%s.position_embedding.weight", embeddings).text);
  norm(&w, wide, "vision_model", "pre_layrnorm");
  encoder(&w, "vision_model", wide, v->mlp, v->layers);
  norm(&w, wide, "vision_model", "post_layernorm");
  tensor(&w, gh_init_normal(vision_std), 2, (int64_t[]){d, wide}, "visual_projection.weight");
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
  if (!arch->siglip) gh_arch_tensors(NULL, arch, count, &total);
  return total;
}
