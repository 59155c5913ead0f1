/* CLIP: transformers' CLIPModel; open_clip's ViT; OpenAI's names. */
#include "models/clip.h"

#include <math.h>

#define EMBEDDINGS "vision_model.embeddings"

/* ---- the vision tower ---- */

/* Patches with the class token in front and positions added: (B, N + 1, hidden). */
static gh_tensor *embeddings(gh_module *m, const gh_vision_config *c, gh_tensor *pixels) {
  gh_graph *g = m->graph;
  int64_t hidden = c->tower.hidden;
  gh_tensor *patches = gh_vision_patch_embedding(m, c, pixels, false);
  gh_tensor *cls =
      gh_parameter(m, gh_init_normal(pow((double)hidden, -0.5)), 1, &hidden, EMBEDDINGS ".class_embedding");
  gh_tensor *positions =
      gh_positions(m, gh_init_normal(0.02), gh_vision_tokens(c), hidden, EMBEDDINGS ".position_embedding.weight");
  gh_tensor *first = gh_repeat(g, gh_reshape(g, cls, 2, (int64_t[]){1, hidden}), pixels->shape[0]);
  if (gh_graph_failed(g)) return NULL;
  return gh_add(g, gh_concat(g, (gh_tensor *[]){first, patches}, 2, 1), positions);
}

/* Norm and projection of the output, where there is one: (..., hidden) -> (..., D), float32. */
static gh_tensor *project(gh_module *m, const gh_vision_config *c, gh_tensor *x) {
  x = gh_layernorm_layer(m, x, c->tower.eps, c->unprojected ? GH_F32 : m->storage, "vision_model.post_layernorm");
  if (c->unprojected) return x;
  return gh_linear_layer_to(m, x, c->projection, false, GH_F32, "visual_projection");
}

gh_tensor *gh_clip_vision_tower(gh_module *m, const gh_vision_config *c, gh_tensor *pixels, gh_tensor **local) {
  gh_graph *g = m->graph;
  gh_tensor *x = embeddings(m, c, pixels);
  x = gh_layernorm_layer(m, x, c->tower.eps, GH_F32, "vision_model.pre_layrnorm"); /* the published name */
  x = gh_transformer_layers(m, &c->tower, x, "vision_model");
  const int64_t cut[2] = {1, gh_vision_patches(c)}, batch = pixels->shape[0];
  gh_tensor *part[2] = {0};
  if (local) { /* one projection of all tokens, so that an adapted layer is recorded once */
    gh_split(g, project(m, c, x), 1, cut, 2, part);
    *local = part[1];
    return gh_reshape(g, part[0], 2, (int64_t[]){batch, c->projection});
  }
  gh_split(g, x, 1, cut, 2, part);
  return project(m, c, gh_reshape(g, part[0], 2, (int64_t[]){batch, c->tower.hidden}));
}

/* ---- the text tower ---- */

int32_t gh_clip_first_end(const gh_text_config *c, const int32_t *ids, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (ids[i] == c->eos) return (int32_t)i;
  return 0;
}

int32_t gh_clip_text_pooled(const gh_text_config *c, const int32_t *ids, int64_t n) {
  int64_t at = 0;
  if (c->eos != GH_CLIP_OLD_EOS) return gh_clip_first_end(c, ids, n);
  for (int64_t i = 0; i < n; i++)
    if (ids[i] > ids[at]) at = i;
  return (int32_t)at;
}

gh_tensor *gh_clip_text_tower(gh_module *m, const gh_text_config *c, gh_tensor *ids, gh_tensor *pooled) {
  return gh_linear_layer(m, gh_text_state(m, c, ids, pooled), c->projection, false, "text_projection");
}

/* ---- initial values: CLIPPreTrainedModel._init_weights ---- */

static gh_layer_init layer_init(const gh_transformer *t) {
  double width = pow((double)t->hidden, -0.5), depth = pow(2.0 * t->layers, -0.5);
  return (gh_layer_init){.in = gh_init_normal(width * depth),
                         .out = gh_init_normal(width),
                         .fc1 = gh_init_normal(pow(2.0 * t->hidden, -0.5)),
                         .fc2 = gh_init_normal(width * depth),
                         .mlp_bias = gh_init_constant(0)};
}

void gh_clip_tensors(gh_walk *w, const gh_vision_config *v, const gh_text_config *t) {
  int64_t wide = v->tower.hidden, narrow = t->tower.hidden, d = v->projection;
  const gh_layer_init text = layer_init(&t->tower), vision = layer_init(&v->tower);
  gh_walk_tensor(w, gh_init_constant(GH_LOGIT_SCALE), 0, NULL, "logit_scale");
  gh_walk_text_embeddings(w, gh_init_normal(0.02), t);
  gh_walk_layers(w, &t->tower, &text, "text_model");
  gh_walk_norm(w, narrow, "text_model", "final_layer_norm");
  gh_walk_tensor(w, gh_init_lecun(narrow), 2, (int64_t[]){d, narrow}, "text_projection.weight");
  gh_walk_tensor(w, gh_init_lecun(wide), 1, &wide, EMBEDDINGS ".class_embedding");
  gh_walk_tensor(w, gh_init_normal(0.02), 4, (int64_t[]){wide, 3, v->patch, v->patch},
                 EMBEDDINGS ".patch_embedding.weight");
  gh_walk_tensor(w, gh_init_normal(0.02), 2, (int64_t[]){gh_vision_tokens(v), wide},
                 EMBEDDINGS ".position_embedding.weight");
  gh_walk_norm(w, wide, "vision_model", "pre_layrnorm");
  gh_walk_layers(w, &v->tower, &vision, "vision_model");
  gh_walk_norm(w, wide, "vision_model", "post_layernorm");
  if (!v->unprojected) gh_walk_tensor(w, gh_init_lecun(wide), 2, (int64_t[]){d, wide}, "visual_projection.weight");
}

/* ---- config.json ---- */

/* A folder of the vision tower alone has a projection, unless its class is the one without. */
gh_status gh_clip_read_vision(gh_error *err, const gh_json *tower, const gh_json *owner, gh_vision_config *c) {
  c->unprojected = tower == owner && gh_config_is_of(tower, c->family->vision_class);
  c->projection = c->tower.hidden;
  if (c->unprojected) return GH_OK;
  return gh_config_read_size(err, owner, "projection_dim", 512, &c->projection);
}

gh_status gh_clip_read_text(gh_error *err, const gh_json *tower, const gh_json *owner, gh_text_config *c) {
  gh_status status = gh_json_opt_int(err, tower, "eos_token_id", &c->eos);
  return status ? status : gh_config_read_size(err, owner, "projection_dim", 512, &c->projection);
}

gh_status gh_clip_put_model(gh_error *err, gh_json *root, const gh_vision_config *c) {
  gh_status status = gh_json_put_double(err, root, "projection_dim", c->projection);
  return status ? status : gh_json_put_double(err, root, "logit_scale_init_value", GH_LOGIT_SCALE);
}

gh_status gh_clip_put_vision(gh_error *err, gh_json *tower, const gh_vision_config *c) {
  return gh_json_put_double(err, tower, "projection_dim", c->projection);
}

static gh_status put_text(gh_error *err, gh_json *tower, const gh_text_config *c) {
  gh_status status = gh_json_put_double(err, tower, "projection_dim", c->projection);
  return status ? status : gh_json_put_double(err, tower, "bos_token_id", c->vocabulary - 2);
}

/* ---- the row ---- */

#define VISION(side, sub, width, depth, groups, wide, d, act)                                                          \
  {                                                                                                                    \
    .family = &gh_clip, .tower = GH_CLIP_TOWER(width, depth, groups, wide, act, false), .image = side, .patch = sub,   \
    .projection = d                                                                                                    \
  }
#define TEXT(width, depth, groups, wide, tokens, d, act)                                                               \
  {                                                                                                                    \
    .family = &gh_clip, .tower = GH_CLIP_TOWER(width, depth, groups, wide, act, true), .vocabulary = tokens,           \
    .positions = 77, .projection = d, .eos = tokens - 1                                                                \
  }
#define QUICK GH_QUICK_GELU
#define ERF   GH_GELU_ERF

static const gh_arch archs[] = {
    {.name = "tiny",
     .summary = "a small CLIP for tests and first steps, 64 pixels",
     .vision = VISION(64, 8, 128, 4, 4, 512, 128, QUICK),
     .text = TEXT(64, 2, 2, 256, 1024, 128, QUICK)},
    {.name = "openai-vit-l-14-224",
     .published = true,
     .summary = "OpenAI CLIP ViT-L/14 at 224 pixels",
     .vision = VISION(224, 14, 1024, 24, 16, 4096, 768, QUICK),
     .text = TEXT(768, 12, 12, 3072, 49408, 768, QUICK)},
    {.name = "openai-vit-l-14-336",
     .published = true,
     .summary = "OpenAI CLIP ViT-L/14 at 336 pixels",
     .vision = VISION(336, 14, 1024, 24, 16, 4096, 768, QUICK),
     .text = TEXT(768, 12, 12, 3072, 49408, 768, QUICK)},
    {.name = "metaclip-vit-l-14-224",
     .published = true,
     .summary = "MetaCLIP ViT-L/14 at 224 pixels",
     .vision = VISION(224, 14, 1024, 24, 16, 4096, 768, QUICK),
     .text = TEXT(768, 12, 12, 3072, 49408, 768, QUICK)},
    {.name = "metaclip-vit-h-14-224",
     .published = true,
     .summary = "MetaCLIP ViT-H/14 at 224 pixels",
     .vision = VISION(224, 14, 1280, 32, 16, 5120, 1024, QUICK),
     .text = TEXT(1024, 24, 16, 4096, 49408, 1024, QUICK)},
    {.name = "laion-vit-l-14-224",
     .summary = "LAION's CLIP ViT-L/14 at 224 pixels (laion2b)",
     .vision = VISION(224, 14, 1024, 24, 16, 4096, 768, ERF),
     .text = TEXT(768, 12, 12, 3072, 49408, 768, ERF)},
    {.name = "laion-vit-h-14-224",
     .summary = "LAION's CLIP ViT-H/14 at 224 pixels (laion2b)",
     .vision = VISION(224, 14, 1280, 32, 16, 5120, 1024, ERF),
     .text = TEXT(1024, 24, 16, 4096, 49408, 1024, ERF)},
    {.name = "laion-vit-bigg-14-224",
     .summary = "LAION's CLIP ViT-bigG/14 at 224 pixels (laion2b)",
     .vision = VISION(224, 14, 1664, 48, 16, 8192, 1280, ERF),
     .text = TEXT(1280, 32, 20, 5120, 49408, 1280, ERF)},
    {.name = "dfn-vit-l-14-224",
     .summary = "DFN CLIP ViT-L/14 at 224 pixels (DFN2B)",
     .vision = VISION(224, 14, 1024, 24, 16, 4096, 768, QUICK),
     .text = TEXT(768, 12, 12, 3072, 49408, 768, QUICK)},
    {.name = "dfn-vit-h-14-224",
     .summary = "DFN CLIP ViT-H/14 at 224 pixels (DFN5B)",
     .vision = VISION(224, 14, 1280, 32, 16, 5120, 1024, QUICK),
     .text = TEXT(1024, 24, 16, 4096, 49408, 1024, QUICK)},
    {.name = "dfn-vit-h-14-378",
     .summary = "DFN CLIP ViT-H/14 at 378 pixels (DFN5B)",
     .vision = VISION(378, 14, 1280, 32, 16, 5120, 1024, QUICK),
     .text = TEXT(1024, 24, 16, 4096, 49408, 1024, QUICK)},
    {0},
};

/* CLIPModel also reads a file without a model_type. */
static const char *const implied_by[] = {"vision_config",    "text_config",    "vision_config_dict",
                                         "text_config_dict", "projection_dim", NULL};

const gh_openclip_rule gh_clip_openclip_vision[] = {{"pool_type", "tok", "tok"},
                                                    {"pos_embed_type", "learnable", "learnable"},
                                                    {"block_type", "default", "default"},
                                                    {0}};
const gh_openclip_rule gh_clip_openclip_text[] = {
    {"pool_type", "argmax", "argmax"}, {"no_causal_mask", "false", "false"}, {"proj_bias", "false", "false"},
    {"proj_type", "linear", "linear"}, {"block_type", "default", "default"}, {0}};

/* OpenAI's names. Its files store both projections for x W, not for x W^T. */
const gh_renaming gh_clip_renamings[] = {
    {.from = "visual.class_embedding", .to = EMBEDDINGS ".class_embedding"},
    {.from = "visual.conv1.", .to = EMBEDDINGS ".patch_embedding."},
    {.from = "visual.positional_embedding", .to = EMBEDDINGS ".position_embedding.weight"},
    {.from = "visual.ln_pre.", .to = "vision_model.pre_layrnorm."},
    {.from = "visual.ln_post.", .to = "vision_model.post_layernorm."},
    {.from = "visual.proj", .to = "visual_projection.weight", .reform = GH_TRANSPOSED},
    {.from = "text_projection", .to = "text_projection.weight", .reform = GH_TRANSPOSED},
    {0},
};

/* The names that files carry under image_processor_type, or feature_extractor_type before 2022. */
const char *const gh_clip_processors[] = {"CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil",
                                          "CLIPFeatureExtractor", NULL};

const gh_family gh_clip = {
    .name = "clip",
    .title = "CLIP",
    .archs = archs,
    .vision_type = "clip_vision_model",
    .text_type = "clip_text_model",
    .model_class = "CLIPModel",
    .vision_class = "CLIPVisionModel",
    .implied_by = implied_by,
    .older_vision = "vision_config_dict",
    .older_text = "text_config_dict",
    .vision = VISION(224, 32, 768, 12, 12, 3072, 0, QUICK),
    .text = TEXT(512, 12, 8, 2048, 49408, 0, QUICK),
    .read_vision = gh_clip_read_vision,
    .read_text = gh_clip_read_text,
    .put_model = gh_clip_put_model,
    .put_vision = gh_clip_put_vision,
    .put_text = put_text,
    .openclip = {.vision = gh_clip_openclip_vision,
                 .text = gh_clip_openclip_text,
                 .eos = GH_CLIP_OLD_EOS}, /* the largest id of a line is its end */
    .weights = GH_CLIP_WEIGHTS,
    .processor = {.classes = gh_clip_processors, .defaults = GH_OPENAI_PREPROCESS},
    .class_tokens = 1,
    .vision_tower = gh_clip_vision_tower,
    .text_tower = gh_clip_text_tower,
    .text_pooled = gh_clip_text_pooled,
    .tensors = gh_clip_tensors,
};
