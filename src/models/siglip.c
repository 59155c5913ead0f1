/* SigLIP: transformers' SiglipModel; open_clip's text tower beside timm's vision tower. */
#include "models/family.h"
#include "models/lora.h"

#include <math.h>

#define HEAD   "vision_model.head"
#define OUTPUT HEAD ".attention.out_proj"

/* ---- the vision tower ---- */

/* Patches with positions added: (B, N, hidden); there is no class token. */
static gh_tensor *embeddings(gh_module *m, const gh_vision_config *c, gh_tensor *pixels) {
  int64_t hidden = c->tower.hidden;
  gh_tensor *patches = gh_vision_patch_embedding(m, c, pixels, true);
  gh_tensor *positions = gh_positions(m, gh_init_normal(pow((double)hidden, -0.5)), gh_vision_tokens(c), hidden,
                                      "vision_model.embeddings.position_embedding.weight");
  return gh_add(m->graph, patches, positions);
}

/* torch.nn.MultiheadAttention ignores an adapter on this weight, so LoRA would have no effect here and is omitted. The
 * bias trains like that of an adapted layer. */
static gh_tensor *attention_output(gh_module *m, int64_t hidden, gh_tensor *x) {
  static const char name[] = OUTPUT;
  gh_init init = gh_init_fan_in(hidden);
  gh_tensor *w = gh_matrix(m, init, 2, (int64_t[]){hidden, hidden}, "%s.weight", name);
  gh_tensor *b = gh_bias(m, gh_init_constant(0), hidden, "%s.bias", name);
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
  gh_tensor *shift = gh_bias(m, gh_init_constant(0), 3 * hidden, HEAD ".attention.in_proj_bias");
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

static gh_tensor *vision_tower(gh_module *m, const gh_vision_config *c, gh_tensor *pixels, gh_tensor **local) {
  gh_graph *g = m->graph;
  gh_tensor *x = gh_transformer_layers(m, &c->tower, embeddings(m, c, pixels), "vision_model");
  x = gh_layernorm_layer(m, x, c->tower.eps, GH_F32, "vision_model.post_layernorm");
  if (local) *local = x;
  x = probe_attention(m, c, x);
  gh_tensor *h = gh_layernorm_layer(m, x, c->tower.eps, m->storage, HEAD ".layernorm");
  x = gh_add(g, x, gh_transformer_mlp(m, &c->tower, h, HEAD ".mlp"));
  return gh_reshape(g, x, 2, (int64_t[]){pixels->shape[0], c->tower.hidden});
}

/* ---- the text tower ---- */

static int32_t text_pooled(const gh_text_config *c, const int32_t *ids, int64_t n) {
  (void)c, (void)ids;
  return (int32_t)(n - 1); /* the last token, also if it is padding */
}

static gh_tensor *text_tower(gh_module *m, const gh_text_config *c, gh_tensor *ids, gh_tensor *pooled) {
  return gh_linear_layer(m, gh_text_state(m, c, ids, pooled), c->projection, true, "text_model.head");
}

/* ---- initial values: SiglipPreTrainedModel._init_weights ---- */

static gh_layer_init layer_init(const gh_transformer *t) {
  gh_init square = gh_init_xavier(t->hidden, t->hidden), mlp = gh_init_xavier(t->hidden, t->mlp);
  return (gh_layer_init){.in = square, .out = square, .fc1 = mlp, .fc2 = mlp, .mlp_bias = gh_init_normal(1e-6)};
}

static void head_tensors(gh_walk *w, const gh_transformer *t, const gh_layer_init *init) {
  int64_t wide = t->hidden;
  gh_walk_tensor(w, gh_init_xavier(wide, wide), 3, (int64_t[]){1, 1, wide}, HEAD ".probe");
  gh_walk_tensor(w, gh_init_xavier(wide, 3 * wide), 2, (int64_t[]){3 * wide, wide}, HEAD ".attention.in_proj_weight");
  gh_walk_tensor(w, gh_init_constant(0), 1, (int64_t[]){3 * wide}, HEAD ".attention.in_proj_bias");
  gh_walk_linear(w, gh_init_lecun(wide), wide, wide, HEAD ".attention", "out_proj");
  gh_walk_norm(w, wide, HEAD, "layernorm");
  gh_walk_mlp(w, t, init, HEAD ".mlp");
}

static void tensors(gh_walk *w, const gh_vision_config *v, const gh_text_config *t) {
  int64_t wide = v->tower.hidden, narrow = t->tower.hidden, one = 1, patch[4] = {wide, 3, v->patch, v->patch};
  const gh_layer_init text = layer_init(&t->tower), vision = layer_init(&v->tower);
  gh_walk_tensor(w, gh_init_constant(0), 1, &one, "logit_bias");
  gh_walk_tensor(w, gh_init_constant(0), 1, &one, "logit_scale");
  gh_walk_text_embeddings(w, gh_init_lecun(narrow), t);
  gh_walk_layers(w, &t->tower, &text, "text_model");
  gh_walk_norm(w, narrow, "text_model", "final_layer_norm");
  gh_walk_linear(w, gh_init_lecun(narrow), t->projection, narrow, "text_model", "head");
  gh_walk_tensor(w, gh_init_lecun(patch[1] * patch[2] * patch[3]), 4, patch,
                 "vision_model.embeddings.patch_embedding.weight");
  gh_walk_tensor(w, gh_init_constant(0), 1, &wide, "vision_model.embeddings.patch_embedding.bias");
  gh_walk_tensor(w, gh_init_lecun(wide), 2, (int64_t[]){gh_vision_tokens(v), wide},
                 "vision_model.embeddings.position_embedding.weight");
  gh_walk_layers(w, &v->tower, &vision, "vision_model");
  gh_walk_norm(w, wide, "vision_model", "post_layernorm");
  head_tensors(w, &v->tower, &vision);
}

/* ---- config.json ---- */

static gh_status read_vision(gh_error *err, const gh_json *tower, const gh_json *owner, gh_vision_config *c) {
  bool head = true;
  (void)owner;
  if (gh_json_opt_bool(err, tower, "vision_use_head", &head)) return err->status;
  if (!head) return gh_fail(err, GH_ERROR_UNSUPPORTED, "vision_use_head false is not supported");
  c->projection = c->tower.hidden; /* the pooled token is the embedding */
  return GH_OK;
}

static gh_status read_text(gh_error *err, const gh_json *tower, const gh_json *owner, gh_text_config *c) {
  (void)owner;
  return gh_config_read_size(err, tower, "projection_size", c->tower.hidden, &c->projection);
}

static gh_status put_text(gh_error *err, gh_json *tower, const gh_text_config *c) {
  gh_status status = gh_json_put_double(err, tower, "projection_size", c->projection);
  return status ? status : gh_json_put_double(err, tower, "bos_token_id", 0);
}

/* ---- the row ---- */

#define TOWER(width, depth, groups, wide, act)                                                                         \
  { .hidden = width, .layers = depth, .heads = groups, .mlp = wide, .eps = 1e-6, .activation = act }
#define VISION(side, sub, width, depth, groups, wide)                                                                  \
  {                                                                                                                    \
    .family = &gh_siglip, .tower = TOWER(width, depth, groups, wide, GH_GELU_TANH), .image = side, .patch = sub,       \
    .projection = width                                                                                                \
  }
#define TEXT(width, depth, groups, wide, tokens)                                                                       \
  {                                                                                                                    \
    .family = &gh_siglip, .tower = TOWER(width, depth, groups, wide, GH_GELU_TANH), .vocabulary = tokens,              \
    .positions = 64, .projection = width, .eos = 1                                                                     \
  }

#define GEMMA 256000 /* tokens */

static const gh_arch archs[] = {
    {.name = "tiny-siglip",
     .summary = "a small SigLIP, 64 pixels",
     .vision = VISION(64, 8, 128, 4, 4, 512),
     .text = TEXT(128, 4, 4, 512, 1000)},
    {.name = "siglip-so400m-14-224",
     .published = true,
     .summary = "SigLIP SO400M/14 at 224 pixels",
     .vision = VISION(224, 14, 1152, 27, 16, 4304),
     .text = TEXT(1152, 27, 16, 4304, 32000)},
    {.name = "siglip-so400m-14-384",
     .published = true,
     .summary = "SigLIP SO400M/14 at 384 pixels",
     .vision = VISION(384, 14, 1152, 27, 16, 4304),
     .text = TEXT(1152, 27, 16, 4304, 32000)},
    {.name = "siglip2-base-16-224",
     .summary = "SigLIP 2 B/16 at 224 pixels",
     .vision = VISION(224, 16, 768, 12, 12, 3072),
     .text = TEXT(768, 12, 12, 3072, GEMMA)},
    {.name = "siglip2-large-16-256",
     .summary = "SigLIP 2 L/16 at 256 pixels",
     .vision = VISION(256, 16, 1024, 24, 16, 4096),
     .text = TEXT(1024, 24, 16, 4096, GEMMA)},
    {.name = "siglip2-so400m-14-224",
     .summary = "SigLIP 2 SO400M/14 at 224 pixels",
     .vision = VISION(224, 14, 1152, 27, 16, 4304),
     .text = TEXT(1152, 27, 16, 4304, GEMMA)},
    {.name = "siglip2-so400m-14-384",
     .summary = "SigLIP 2 SO400M/14 at 384 pixels",
     .vision = VISION(384, 14, 1152, 27, 16, 4304),
     .text = TEXT(1152, 27, 16, 4304, GEMMA)},
    {.name = "siglip2-so400m-16-384",
     .summary = "SigLIP 2 SO400M/16 at 384 pixels",
     .vision = VISION(384, 16, 1152, 27, 16, 4304),
     .text = TEXT(1152, 27, 16, 4304, GEMMA)},
    {.name = "siglip2-giant-16-384",
     .summary = "SigLIP 2 giant-opt/16 at 384 pixels",
     .vision = VISION(384, 16, 1536, 40, 16, 6144),
     .text = {.family = &gh_siglip,
              .tower = TOWER(1152, 27, 16, 4304, GH_GELU_TANH),
              .vocabulary = GEMMA,
              .positions = 64,
              .projection = 1536,
              .eos = 1}},
    {0},
};

#define BASE(act)   TOWER(768, 12, 12, 3072, act)
#define LARGE(act)  TOWER(1024, 24, 16, 4096, act)
#define SO400M(act) TOWER(1152, 27, 16, 4304, act)
#define GIANT(act)  TOWER(1536, 40, 16, 6144, act)

/* The older towers have the exact GELU. */
static const gh_timm_tower timm_towers[] = {{"vit_base_patch16_siglip_224", 16, BASE(GH_GELU_ERF)},
                                            {"vit_base_patch16_siglip_256", 16, BASE(GH_GELU_ERF)},
                                            {"vit_base_patch16_siglip_384", 16, BASE(GH_GELU_ERF)},
                                            {"vit_base_patch16_siglip_512", 16, BASE(GH_GELU_ERF)},
                                            {"vit_base_patch32_siglip_256", 32, BASE(GH_GELU_TANH)},
                                            {"vit_large_patch16_siglip_256", 16, LARGE(GH_GELU_ERF)},
                                            {"vit_large_patch16_siglip_384", 16, LARGE(GH_GELU_ERF)},
                                            {"vit_large_patch16_siglip_512", 16, LARGE(GH_GELU_TANH)},
                                            {"vit_so400m_patch14_siglip_224", 14, SO400M(GH_GELU_ERF)},
                                            {"vit_so400m_patch14_siglip_378", 14, SO400M(GH_GELU_ERF)},
                                            {"vit_so400m_patch14_siglip_384", 14, SO400M(GH_GELU_ERF)},
                                            {"vit_so400m_patch16_siglip_256", 16, SO400M(GH_GELU_TANH)},
                                            {"vit_so400m_patch16_siglip_384", 16, SO400M(GH_GELU_TANH)},
                                            {"vit_so400m_patch16_siglip_512", 16, SO400M(GH_GELU_TANH)},
                                            {"vit_giantopt_patch16_siglip_256", 16, GIANT(GH_GELU_TANH)},
                                            {"vit_giantopt_patch16_siglip_384", 16, GIANT(GH_GELU_TANH)},
                                            {0}};

static const gh_openclip_rule openclip_vision[] = {{"timm_pool", "map", "avg"}, {"timm_proj", "none", "linear"}, {0}};
static const gh_openclip_rule openclip_text[] = {
    {"pool_type", "last", "argmax"},   {"no_causal_mask", "true", "false"},  {"proj_bias", "true", "false"},
    {"proj_type", "linear", "linear"}, {"block_type", "default", "default"}, {0}};

/* timm's names, beside the text tower's of open_clip. */
static const gh_renaming renamings[] = {
    {.from = "visual.trunk.patch_embed.proj.", .to = "vision_model.embeddings.patch_embedding."},
    {.from = "visual.trunk.pos_embed",
     .to = "vision_model.embeddings.position_embedding.weight",
     .reform = GH_SQUEEZED},
    {.from = "visual.trunk.norm.", .to = "vision_model.post_layernorm."},
    {.from = "visual.trunk.attn_pool.latent", .to = HEAD ".probe"},
    {.from = "visual.trunk.attn_pool.q.",
     .to = HEAD ".attention.in_proj_",
     .reform = GH_JOINED,
     .with = "visual.trunk.attn_pool.kv."},
    {.from = "visual.trunk.attn_pool.kv.", .reform = GH_LEFT_OUT}, /* joined above */
    {.from = "visual.trunk.attn_pool.proj.", .to = OUTPUT "."},
    {.from = "visual.trunk.attn_pool.norm.", .to = HEAD ".layernorm."},
    {.from = "visual.trunk.attn_pool.mlp.", .to = HEAD ".mlp."},
    {.from = "text_projection.", .to = "text_model.head."},
    {.from = "logit_scale", .to = "logit_scale", .reform = GH_VECTOR_OF_ONE},
    {.from = "logit_bias", .to = "logit_bias", .reform = GH_VECTOR_OF_ONE},
    {0},
};

static const gh_renaming timm_layer[] = {{.from = "norm1.", .to = "layer_norm1."},
                                         {.from = "norm2.", .to = "layer_norm2."},
                                         {.from = "attn.qkv.", .to = "", .reform = GH_PACKED},
                                         {.from = "attn.proj.", .to = "self_attn.out_proj."},
                                         {.from = "mlp.fc1.", .to = "mlp.fc1."},
                                         {.from = "mlp.fc2.", .to = "mlp.fc2."},
                                         {0}};

static const char *const processors[] = {"SiglipImageProcessor", "SiglipImageProcessorFast", "SiglipImageProcessorPil",
                                         NULL};
static const char *const past_adapter[] = {OUTPUT, NULL};

const gh_family gh_siglip = {
    .name = "siglip",
    .title = "SigLIP",
    .archs = archs,
    .vision_type = "siglip_vision_model",
    .text_type = "siglip_text_model",
    .model_class = "SiglipModel",
    .vision_class = "SiglipVisionModel",
    .refused = "siglip2",
    .refusal = "NaFlex takes pictures of any shape; the checkpoints of SigLIP 2 for one size are",
    .vision = VISION(224, 16, 768, 12, 12, 3072),
    .text = TEXT(768, 12, 12, 3072, 32000),
    .read_vision = read_vision,
    .read_text = read_text,
    .put_text = put_text,
    .openclip = {.timm = timm_towers, .vision = openclip_vision, .text = openclip_text, .eos = 1},
    .weights = {.marker = "visual.trunk.attn_pool.latent",
                .layers = "visual.trunk.blocks.",
                .layer = timm_layer,
                .renamings = renamings},
    .processor = {.classes = processors,
                  .defaults = {.do_resize = true,
                               .filter = GH_FILTER_BICUBIC,
                               .do_rescale = true,
                               .rescale_factor = 1 / 255.0,
                               .do_normalize = true,
                               .mean = {0.5, 0.5, 0.5},
                               .std = {0.5, 0.5, 0.5}}},
    .vision_tower = vision_tower,
    .text_tower = text_tower,
    .text_pooled = text_pooled,
    .tensors = tensors,
    .past_adapter = past_adapter,
};
