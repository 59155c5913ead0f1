#include "models/perceiver.h"

#include <math.h>

#define EPS       1e-5
#define MLP_RATIO 4
#define DEVIATION 0.02 /* of the initial embeddings */

gh_status gh_perceiver_config_check(gh_error *err, const gh_perceiver_config *c) {
  if (c->positions < 2)
    return gh_fail(err, GH_ERROR_CONFIG, "pictures of %lld codes: masking needs at least 2", (long long)c->positions);
  return GH_OK;
}

gh_tensor *gh_perceiver_condition(gh_module *m, const gh_perceiver_config *config, gh_tensor *c, gh_tensor *local) {
  m->part = GH_PART_DENOISER;
  return gh_projector(m, gh_condition_tokens(m, c, local), config->hidden, GH_F32, "project_condition");
}

/* ---- blocks ---- */

typedef struct gh_perceiver_state {
  gh_module *m;
  const gh_perceiver_config *c;
  gh_tensor *mask;      /* (B, N) */
  gh_tensor *condition; /* (B, T, hidden) */
} gh_perceiver_state;

static gh_tensor *norm(const gh_perceiver_state *s, gh_tensor *x, const char *prefix, const char *name) {
  return gh_layernorm_layer(s->m, x, EPS, s->m->storage, gh_name_make("%s.%s", prefix, name).text);
}

static gh_tensor *linear(const gh_perceiver_state *s, gh_tensor *x, int64_t width, const char *prefix,
                         const char *name) {
  return gh_linear_layer(s->m, x, width, true, gh_name_make("%s.%s", prefix, name).text);
}

/* q (B, Nq, hidden), k and v (B, Nk, hidden) -> (B, Nq, hidden); `hidden_keys` as in gh_attention. */
static gh_tensor *attend(const gh_perceiver_state *s, gh_tensor *q, gh_tensor *k, gh_tensor *v,
                         gh_tensor *hidden_keys) {
  gh_tensor *qkv[3] = {q, k, v};
  const int64_t size = s->c->hidden / s->c->heads;
  if (!q || !k || !v) return NULL;
  for (int i = 0; i < 3; i++)
    qkv[i] = gh_reshape(s->m->graph, qkv[i], 4, (int64_t[]){q->shape[0], qkv[i]->shape[1], s->c->heads, size});
  gh_tensor *y = gh_attention(s->m->graph, qkv[0], qkv[1], qkv[2], hidden_keys, 1 / sqrt((double)size), false);
  return gh_reshape(s->m->graph, y, 3, q->shape);
}

/* All positions ask; visible positions and the condition answer. */
static gh_tensor *cross_attention(const gh_perceiver_state *s, gh_tensor *x, const char *prefix) {
  const int64_t hidden = s->c->hidden;
  gh_tensor *q = linear(s, norm(s, x, prefix, "norm_q"), hidden, prefix, "q");
  gh_tensor *kv = norm(s, gh_concat(s->m->graph, (gh_tensor *[]){x, s->condition}, 2, 1), prefix, "norm_kv");
  gh_tensor *y = attend(s, q, linear(s, kv, hidden, prefix, "k"), linear(s, kv, hidden, prefix, "v"), s->mask);
  return linear(s, y, hidden, prefix, "out");
}

static gh_tensor *self_attention(const gh_perceiver_state *s, gh_tensor *x, const char *prefix) {
  const int64_t hidden = s->c->hidden;
  gh_tensor *qkv[3] = {0};
  gh_tensor *h = linear(s, norm(s, x, prefix, "norm"), 3 * hidden, prefix, "qkv");
  gh_split(s->m->graph, h, 2, (int64_t[]){hidden, hidden, hidden}, 3, qkv);
  return linear(s, attend(s, qkv[0], qkv[1], qkv[2], NULL), hidden, prefix, "out");
}

static gh_tensor *mlp(const gh_perceiver_state *s, gh_tensor *x, const char *prefix) {
  const int64_t hidden = s->c->hidden;
  gh_tensor *h = norm(s, x, prefix, "norm");
  h = gh_activated_layer(s->m, h, MLP_RATIO * hidden, GH_GELU_ERF, gh_name_make("%s.fc1", prefix).text);
  return linear(s, h, hidden, prefix, "fc2");
}

static gh_tensor *layer(const gh_perceiver_state *s, gh_tensor *x, int index) {
  gh_graph *g = s->m->graph;
  gh_graph_segment(g);
  if (!s->c->cross_once) x = gh_add(g, x, cross_attention(s, x, gh_name_make("layers.%d.cross_attn", index).text));
  x = gh_add(g, x, self_attention(s, x, gh_name_make("layers.%d.self_attn", index).text));
  return gh_add(g, x, mlp(s, x, gh_name_make("layers.%d.mlp", index).text));
}

/* ---- the denoiser ---- */

/* Visible codes by their vectors, masked ones as one learnt row; and the positions. (B, N, hidden) */
static gh_tensor *embed(const gh_perceiver_state *s, gh_tensor *vectors) {
  gh_module *m = s->m;
  const int64_t hidden = s->c->hidden;
  const gh_init init = gh_init_normal(DEVIATION);
  gh_tensor *x = gh_linear_layer_to(m, vectors, hidden, true, GH_F32, "token_in");
  x = gh_replace_rows(m->graph, x, s->mask, gh_parameter(m, init, 1, &hidden, "mask_embedding"));
  return gh_add(m->graph, x, gh_positions(m, init, s->c->positions, hidden, "position_embedding"));
}

gh_tensor *gh_perceiver(gh_module *m, const gh_perceiver_config *c, gh_tensor *vectors, gh_tensor *mask,
                        gh_tensor *condition, gh_tensor *index) {
  const gh_perceiver_state s = {.m = m, .c = c, .mask = mask, .condition = condition};
  gh_graph *g = m->graph;
  m->part = GH_PART_DENOISER;
  gh_tensor *x = embed(&s, vectors);
  if (c->cross_once) /* the visible positions alone ask; masked ones keep their embedding */
    x = gh_add(g, x, gh_replace_rows(g, cross_attention(&s, x, "cross_attn"), mask, NULL));
  for (int i = 0; i < c->layers; i++) x = layer(&s, x, i);
  gh_graph_segment(g);
  x = gh_layernorm_layer(m, gh_gather_rows(g, x, index), EPS, m->storage, "norm");
  return gh_linear_layer(m, x, c->codes, true, "head");
}
