#include "models/flux_dit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define EPS        1e-6 /* of every norm in the denoiser */
#define THETA      10000.0
#define TIME_WIDTH 256

gh_status gh_flux_config_check(gh_error *err, const gh_flux_config *c) {
  int axes = c->rope_axes[0] + c->rope_axes[1] + c->rope_axes[2];
  if (c->hidden % c->heads)
    return gh_fail(err, GH_ERROR_CONFIG, "denoiser.hidden %d is not a multiple of denoiser.heads %d", c->hidden,
                   c->heads);
  if (axes != c->hidden / c->heads)
    return gh_fail(err, GH_ERROR_CONFIG, "denoiser.rope_axes add up to %d; the head size is %d", axes,
                   c->hidden / c->heads);
  for (int i = 0; i < 3; i++)
    if (c->rope_axes[i] < 0 || c->rope_axes[i] % 2)
      return gh_fail(err, GH_ERROR_CONFIG, "denoiser.rope_axes[%d] is not even", i);
  return GH_OK;
}

/* ---- projectors ---- */

void gh_projectors(gh_module *m, const gh_flux_config *config, gh_tensor *c, gh_tensor *local, gh_tensor **vector,
                   gh_tensor **context) {
  m->part = GH_PART_DENOISER;
  *vector = *context = NULL;
  if (!c) return;
  gh_tensor *tokens = gh_condition_tokens(m, c, local);
  *vector = gh_projector(m, c, config->vector_width, GH_F32, "project_clip");
  *context = gh_projector(m, tokens, config->context_width, m->storage, "project_t5");
}

/* ---- positions ---- */

/* (cos, sin) of position * theta^(-2i/axis) for context tokens at (0, 0, 0), then image tokens at (0, row, column). */
static gh_tensor *rope_table(gh_module *m, const gh_flux_config *c, int64_t context, int64_t side) {
  int64_t tokens = context + side * side, half = c->hidden / c->heads / 2;
  float *table = gh_alloc(gh_graph_error(m->graph), (size_t)(tokens * half * 2), sizeof *table);
  if (!table) return NULL;
  for (int64_t n = 0; n < tokens; n++) {
    int64_t image = n - context;
    double position[3] = {0, image < 0 ? 0 : (double)(image / side), image < 0 ? 0 : (double)(image % side)};
    int64_t at = n * half * 2;
    for (int axis = 0; axis < 3; axis++)
      for (int i = 0; i < c->rope_axes[axis] / 2; i++, at += 2) {
        double angle = position[axis] * pow(THETA, -2.0 * i / c->rope_axes[axis]);
        table[at] = (float)cos(angle);
        table[at + 1] = (float)sin(angle);
      }
  }
  gh_tensor *t = gh_table(m, 3, (int64_t[]){tokens, half, 2}, table,
                          gh_name_make("rope.%lld.%lld", (long long)context, (long long)side).text);
  free(table);
  return t;
}

/* ---- blocks ---- */

typedef struct gh_flux {
  gh_module *m;
  const gh_flux_config *c;
  gh_tensor *silu_vec; /* SiLU(vec) (B, hidden): every modulation starts from it */
  gh_tensor *rope;     /* (T + N, D/2, 2) */
  int64_t batch, context, tokens;
} gh_flux;

static void modulation(gh_flux *f, const char *name, int count, gh_tensor **out) {
  int64_t sizes[6], hidden = f->c->hidden;
  for (int i = 0; i < count; i++) sizes[i] = hidden, out[i] = NULL;
  gh_split(f->m->graph, gh_linear_layer(f->m, f->silu_vec, count * hidden, true, name), 1, sizes, count, out);
}

static gh_tensor *heads_of(gh_flux *f, gh_tensor *x) {
  if (!x) return NULL;
  return gh_reshape(f->m->graph, x, 4, (int64_t[]){f->batch, x->shape[1], f->c->heads, f->c->hidden / f->c->heads});
}

static gh_tensor *head_norm(gh_flux *f, gh_tensor *x, const char *prefix, const char *which) {
  int64_t size = f->c->hidden / f->c->heads;
  gh_tensor *scale = gh_parameter(f->m, gh_init_constant(1), 1, &size, "%s.norm.%s_norm.scale", prefix, which);
  return gh_rmsnorm(f->m->graph, heads_of(f, x), scale, EPS);
}

/* softmax attention with rope over all tokens: q, k, v (B, T + N, H, D) -> (B, T + N, hidden) */
static gh_tensor *joint_attention(gh_flux *f, gh_tensor *q, gh_tensor *k, gh_tensor *v) {
  gh_graph *g = f->m->graph;
  double scale = 1 / sqrt((double)f->c->hidden / f->c->heads);
  gh_tensor *y = gh_attention(g, gh_rope(g, q, f->rope), gh_rope(g, k, f->rope), v, NULL, scale, false);
  return gh_reshape(g, y, 3, (int64_t[]){f->batch, f->context + f->tokens, f->c->hidden});
}

typedef struct gh_stream_state {
  const char *name;  /* "img" or "txt" */
  gh_tensor *x;      /* (B, tokens, hidden) */
  gh_tensor *mod[6]; /* shift1, scale1, gate1, shift2, scale2, gate2 */
  gh_tensor *q, *k, *v;
} gh_stream_state;

static void stream_qkv(gh_flux *f, gh_stream_state *s, int block) {
  gh_graph *g = f->m->graph;
  int64_t hidden = f->c->hidden;
  gh_name prefix = gh_name_make("double_blocks.%d.%s", block, s->name), attn = gh_name_make("%s_attn", prefix.text);
  modulation(f, gh_name_make("%s_mod.lin", prefix.text).text, 6, s->mod);
  gh_tensor *h = gh_modulate(g, s->x, s->mod[0], s->mod[1], EPS, f->m->storage), *qkv[3] = {0};
  h = gh_linear_layer(f->m, h, 3 * hidden, true, gh_name_make("%s.qkv", attn.text).text);
  gh_split(g, h, 2, (int64_t[]){hidden, hidden, hidden}, 3, qkv);
  s->q = head_norm(f, qkv[0], attn.text, "query");
  s->k = head_norm(f, qkv[1], attn.text, "key");
  s->v = heads_of(f, qkv[2]);
}

static gh_tensor *stream_rest(gh_flux *f, gh_stream_state *s, gh_tensor *attended, int block) {
  gh_graph *g = f->m->graph;
  gh_name prefix = gh_name_make("double_blocks.%d.%s", block, s->name);
  int64_t mlp = (int64_t)(f->c->hidden * f->c->mlp_ratio);
  gh_tensor *h = gh_linear_layer(f->m, attended, f->c->hidden, true, gh_name_make("%s_attn.proj", prefix.text).text);
  gh_tensor *x = gh_gated_add(g, s->x, h, s->mod[2]);
  h = gh_modulate(g, x, s->mod[3], s->mod[4], EPS, f->m->storage);
  h = gh_activated_layer(f->m, h, mlp, GH_GELU_TANH, gh_name_make("%s_mlp.0", prefix.text).text);
  h = gh_linear_layer(f->m, h, f->c->hidden, true, gh_name_make("%s_mlp.2", prefix.text).text);
  return gh_gated_add(g, x, h, s->mod[5]);
}

static void double_block(gh_flux *f, int block, gh_tensor **img, gh_tensor **txt) {
  gh_graph *g = f->m->graph;
  gh_graph_segment(g);
  gh_stream_state i = {.name = "img", .x = *img}, t = {.name = "txt", .x = *txt};
  stream_qkv(f, &i, block);
  stream_qkv(f, &t, block);
  gh_tensor *y =
      joint_attention(f, gh_concat(g, (gh_tensor *[]){t.q, i.q}, 2, 1), gh_concat(g, (gh_tensor *[]){t.k, i.k}, 2, 1),
                      gh_concat(g, (gh_tensor *[]){t.v, i.v}, 2, 1));
  gh_tensor *cut[2] = {0};
  gh_split(g, y, 1, (int64_t[]){f->context, f->tokens}, 2, cut);
  *img = stream_rest(f, &i, cut[1], block);
  *txt = stream_rest(f, &t, cut[0], block);
}

static gh_tensor *single_block(gh_flux *f, int block, gh_tensor *x) {
  gh_graph *g = f->m->graph;
  gh_graph_segment(g);
  int64_t hidden = f->c->hidden, mlp = (int64_t)(f->c->hidden * f->c->mlp_ratio);
  gh_name prefix = gh_name_make("single_blocks.%d", block);
  gh_tensor *mod[3], *part[4] = {0};
  modulation(f, gh_name_make("%s.modulation.lin", prefix.text).text, 3, mod);
  gh_tensor *h = gh_modulate(g, x, mod[0], mod[1], EPS, f->m->storage);
  h = gh_linear_layer(f->m, h, 3 * hidden + mlp, true, gh_name_make("%s.linear1", prefix.text).text);
  gh_split(g, h, 2, (int64_t[]){hidden, hidden, hidden, mlp}, 4, part);
  gh_tensor *attended = joint_attention(f, head_norm(f, part[0], prefix.text, "query"),
                                        head_norm(f, part[1], prefix.text, "key"), heads_of(f, part[2]));
  h = gh_concat(g, (gh_tensor *[]){attended, gh_activation(g, part[3], GH_GELU_TANH)}, 2, 2);
  h = gh_linear_layer(f->m, h, hidden, true, gh_name_make("%s.linear2", prefix.text).text);
  return gh_gated_add(g, x, h, mod[2]);
}

/* ---- the denoiser ---- */

static gh_tensor *embedder(gh_flux *f, gh_tensor *x, const char *name) {
  gh_tensor *h = gh_linear_layer(f->m, x, f->c->hidden, true, gh_name_make("%s.in_layer", name).text);
  h = gh_activation(f->m->graph, h, GH_SILU);
  return gh_linear_layer(f->m, h, f->c->hidden, true, gh_name_make("%s.out_layer", name).text);
}

/* vec = MLP_time(t) + MLP_guidance(g) + MLP_vec(vector), (B, hidden) */
static gh_tensor *conditioning(gh_flux *f, gh_tensor *t, gh_tensor *vector) {
  gh_graph *g = f->m->graph;
  float *values = gh_alloc(gh_graph_error(g), (size_t)f->batch, sizeof *values);
  if (!values) return NULL;
  for (int64_t i = 0; i < f->batch; i++) values[i] = (float)f->c->guidance;
  gh_tensor *guidance = gh_table(f->m, 1, &f->batch, values, gh_name_make("guidance.%lld", (long long)f->batch).text);
  free(values);
  gh_tensor *vec = embedder(f, gh_timestep_embedding(g, t, TIME_WIDTH, 1000), "time_in");
  vec = gh_add(g, vec, embedder(f, gh_timestep_embedding(g, guidance, TIME_WIDTH, 1000), "guidance_in"));
  return gh_add(g, vec, embedder(f, vector, "vector_in"));
}

gh_tensor *gh_flux_denoiser(gh_module *m, const gh_flux_config *c, gh_tensor *x_t, gh_tensor *t, gh_tensor *vector,
                            gh_tensor *context) {
  gh_graph *g = m->graph;
  m->part = GH_PART_DENOISER;
  if (!x_t || !t || !vector || !context) return NULL;
  gh_flux f = {.m = m, .c = c, .batch = x_t->shape[0], .tokens = x_t->shape[1], .context = context->shape[1]};
  int64_t side = (int64_t)lround(sqrt((double)f.tokens));
  if (side * side != f.tokens) {
    gh_graph_fail(g, NULL, "the denoiser's %lld tokens are not a square number", (long long)f.tokens);
    return NULL;
  }
  gh_tensor *img = gh_linear_layer(m, x_t, c->hidden, true, "img_in");
  gh_tensor *txt = gh_linear_layer_to(m, context, c->hidden, true, GH_F32, "txt_in");
  f.silu_vec = gh_activation(g, conditioning(&f, t, vector), GH_SILU);
  f.rope = rope_table(m, c, f.context, side);
  for (int i = 0; i < c->double_blocks; i++) double_block(&f, i, &img, &txt);
  gh_tensor *x = gh_concat(g, (gh_tensor *[]){txt, img}, 2, 1), *cut[2] = {0}, *mod[2];
  for (int i = 0; i < c->single_blocks; i++) x = single_block(&f, i, x);
  gh_graph_segment(g);
  gh_split(g, x, 1, (int64_t[]){f.context, f.tokens}, 2, cut);
  modulation(&f, "final_layer.adaLN_modulation.1", 2, mod); /* shift, scale */
  x = gh_modulate(g, cut[1], mod[0], mod[1], EPS, m->storage);
  return gh_linear_layer_to(m, x, c->channels, true, GH_F32, "final_layer.linear");
}
