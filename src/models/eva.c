/* EVA-CLIP of the second generation (EVA02), as timm and open_clip have it: a vision tower with rotary positions
 * besides the learnt ones, SwiGLU, and a norm inside each attention and MLP; CLIP's text tower. transformers has no
 * such class: the names here follow its CLIP's. */
#include "models/clip.h"

#include <math.h>
#include <stdlib.h>

#define EMBEDDINGS "vision_model.embeddings"
#define THETA      10000.0
#define SIDE       16 /* positions are scaled to as many rows and columns of patches, whatever the image's size */

/* ---- the vision tower ---- */

/* (cos, sin) of the angles of a head's pairs: first of the row, then of the column; the class token is not rotated. */
static gh_tensor *rope_table(gh_module *m, const gh_vision_config *c) {
  const int64_t tokens = gh_vision_tokens(c), side = c->image / c->patch, half = c->tower.hidden / c->tower.heads / 2;
  float *table = gh_alloc(gh_graph_error(m->graph), (size_t)(tokens * half * 2), sizeof *table);
  if (!table) return NULL;
  for (int64_t n = 0; n < tokens; n++)
    for (int64_t i = 0; i < half; i++) {
      const int64_t bands = half / 2, at = i < bands ? (n - 1) / side : (n - 1) % side;
      double angle = n ? (double)at / (double)side * SIDE * pow(THETA, -(double)(i % bands) / (double)bands) : 0;
      table[(n * half + i) * 2] = (float)cos(angle);
      table[(n * half + i) * 2 + 1] = (float)sin(angle);
    }
  gh_tensor *t = gh_table(m, 3, (int64_t[]){tokens, half, 2}, table,
                          gh_name_make("rope.eva.%lld.%lld", (long long)side, (long long)half).text);
  free(table);
  return t;
}

static gh_tensor *embeddings(gh_module *m, const gh_vision_config *c, gh_tensor *pixels) {
  gh_graph *g = m->graph;
  const int64_t hidden = c->tower.hidden;
  gh_tensor *patches = gh_vision_patch_embedding(m, c, pixels, true);
  gh_tensor *cls = gh_parameter(m, gh_init_normal(0.02), 3, (int64_t[]){1, 1, hidden}, EMBEDDINGS ".class_embedding");
  gh_tensor *positions =
      gh_positions(m, gh_init_normal(0.02), gh_vision_tokens(c), hidden, EMBEDDINGS ".position_embedding.weight");
  if (gh_graph_failed(g)) return NULL;
  gh_tensor *first = gh_repeat(g, gh_reshape(g, cls, 2, (int64_t[]){1, hidden}), pixels->shape[0]);
  return gh_add(g, gh_concat(g, (gh_tensor *[]){first, patches}, 2, 1), positions);
}

static gh_tensor *rotated(gh_module *m, const gh_transformer *t, gh_tensor *x, gh_tensor *rope) {
  if (!x) return NULL;
  const int64_t heads[4] = {x->shape[0], x->shape[1], t->heads, t->hidden / t->heads};
  gh_tensor *y = gh_rope(m->graph, gh_reshape(m->graph, x, 4, heads), rope);
  return gh_reshape(m->graph, y, 3, x->shape);
}

/* A norm of what a layer computed: in float32, the result as that. */
static gh_tensor *inner_norm(gh_module *m, const gh_transformer *t, gh_tensor *x, const char *name) {
  return x ? gh_layernorm_layer(m, gh_cast(m->graph, x, GH_F32), t->eps, m->storage, name) : NULL;
}

static gh_tensor *attention(gh_module *m, const gh_transformer *t, gh_tensor *x, gh_tensor *rope, const char *layer) {
  gh_tensor *q = gh_linear_layer(m, x, t->hidden, true, gh_name_make("%s.q_proj", layer).text);
  gh_tensor *k = gh_linear_layer(m, x, t->hidden, false, gh_name_make("%s.k_proj", layer).text);
  gh_tensor *v = gh_linear_layer(m, x, t->hidden, true, gh_name_make("%s.v_proj", layer).text);
  x = gh_transformer_attend(m, t, rotated(m, t, q, rope), rotated(m, t, k, rope), v);
  x = inner_norm(m, t, x, gh_name_make("%s.inner_norm", layer).text);
  return gh_linear_layer(m, x, t->hidden, true, gh_name_make("%s.out_proj", layer).text);
}

/* fc2(norm(silu(fc1_g(x)) fc1_x(x))) */
static gh_tensor *swiglu(gh_module *m, const gh_transformer *t, gh_tensor *x, const char *layer) {
  gh_tensor *gate = gh_activated_layer(m, x, t->mlp, GH_SILU, gh_name_make("%s.fc1_g", layer).text);
  x = gh_multiply(m->graph, gate, gh_linear_layer(m, x, t->mlp, true, gh_name_make("%s.fc1_x", layer).text));
  x = inner_norm(m, t, x, gh_name_make("%s.inner_norm", layer).text);
  return gh_linear_layer(m, x, t->hidden, true, gh_name_make("%s.fc2", layer).text);
}

static gh_tensor *layers(gh_module *m, const gh_vision_config *c, gh_tensor *x) {
  const gh_transformer *t = &c->tower;
  gh_tensor *rope = rope_table(m, c);
  for (int i = 0; i < t->layers; i++) {
    gh_graph_segment(m->graph);
    gh_name layer = gh_name_make("vision_model.encoder.layers.%d", i);
    gh_tensor *h = gh_layernorm_layer(m, x, t->eps, m->storage, gh_name_make("%s.layer_norm1", layer.text).text);
    x = gh_add(m->graph, x, attention(m, t, h, rope, gh_name_make("%s.self_attn", layer.text).text));
    h = gh_layernorm_layer(m, x, t->eps, m->storage, gh_name_make("%s.layer_norm2", layer.text).text);
    x = gh_add(m->graph, x, swiglu(m, t, h, gh_name_make("%s.mlp", layer.text).text));
  }
  gh_graph_segment(m->graph);
  return x;
}

/* Norm and projection of the class token, and of the patches' tokens where they are wanted. */
static gh_tensor *vision_tower(gh_module *m, const gh_vision_config *c, gh_tensor *pixels, gh_tensor **local) {
  gh_graph *g = m->graph;
  gh_tensor *x = layers(m, c, embeddings(m, c, pixels)), *part[2] = {0};
  const int64_t cut[2] = {1, gh_vision_patches(c)}, batch = pixels->shape[0];
  const int64_t widths[] = {c->tower.hidden, c->projection};
  if (!local) gh_split(g, x, 1, cut, 2, part);
  if (!local) x = gh_reshape(g, part[0], 2, (int64_t[]){batch, widths[0]});
  x = gh_layernorm_layer(m, x, c->tower.eps, m->storage, "vision_model.post_layernorm");
  x = gh_linear_layer_to(m, x, c->projection, true, GH_F32, "visual_projection");
  if (!local) return x;
  gh_split(g, x, 1, cut, 2, part);
  *local = part[1];
  return gh_reshape(g, part[0], 2, (int64_t[]){batch, widths[1]});
}

/* ---- the row ---- */

#define TOWER(side, sub, width, depth, groups, wide)                                                                   \
  {                                                                                                                    \
    "eva02_" side, sub, {                                                                                              \
      .hidden = width, .layers = depth, .heads = groups, .mlp = wide, .eps = 1e-6, .activation = GH_SILU               \
    }                                                                                                                  \
  }
static const gh_timm_tower timm_towers[] = {TOWER("base_patch16_clip_224", 16, 768, 12, 12, 2048),
                                            TOWER("large_patch14_clip_224", 14, 1024, 24, 16, 2730),
                                            TOWER("large_patch14_clip_336", 14, 1024, 24, 16, 2730),
                                            {0}};

static const gh_openclip_rule openclip_vision[] = {{"timm_pool", "token", "avg"}, {"timm_proj", "null", "linear"}, {0}};

static const gh_renaming renamings[] = {
    {.from = "visual.trunk.cls_token", .to = EMBEDDINGS ".class_embedding"},
    {.from = "visual.trunk.pos_embed", .to = EMBEDDINGS ".position_embedding.weight", .reform = GH_SQUEEZED},
    {.from = "visual.trunk.patch_embed.proj.", .to = EMBEDDINGS ".patch_embedding."},
    {.from = "visual.trunk.norm.", .to = "vision_model.post_layernorm."},
    {.from = "visual.trunk.head.", .to = "visual_projection."},
    {.from = "text_projection", .to = "text_projection.weight", .reform = GH_TRANSPOSED},
    {0},
};

static const gh_renaming timm_layer[] = {{.from = "norm1.", .to = "layer_norm1."},
                                         {.from = "norm2.", .to = "layer_norm2."},
                                         {.from = "attn.q_proj.", .to = "self_attn.q_proj."},
                                         {.from = "attn.k_proj.", .to = "self_attn.k_proj."},
                                         {.from = "attn.v_proj.", .to = "self_attn.v_proj."},
                                         {.from = "attn.norm.", .to = "self_attn.inner_norm."},
                                         {.from = "attn.proj.", .to = "self_attn.out_proj."},
                                         {.from = "mlp.norm.", .to = "mlp.inner_norm."},
                                         {.from = "mlp.", .to = "mlp."},
                                         {0}};

static const gh_arch archs[] = {{0}};

const gh_family gh_eva = {
    .title = "EVA-CLIP",
    .archs = archs,
    .vision = {.family = &gh_eva},
    .text = {.family = &gh_eva, .tower.causal = true},
    .openclip = {.timm = timm_towers,
                 .projects = true,
                 .vision = openclip_vision,
                 .text = gh_clip_openclip_text,
                 .eos = GH_CLIP_OLD_EOS},
    .weights = {.marker = "visual.trunk.blocks.0.attn.q_proj.weight",
                .layers = "visual.trunk.blocks.",
                .layer = timm_layer,
                .renamings = renamings},
    .processor = {.classes = gh_clip_processors, .defaults = GH_OPENAI_PREPROCESS},
    .class_tokens = 1,
    .vision_tower = vision_tower,
    .text_tower = gh_clip_text_tower,
    .text_pooled = gh_clip_text_pooled,
};
