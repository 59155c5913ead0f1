#include "models/autoencoder.h"

#include <math.h>

#define EPS    1e-6
#define GROUPS 32

static const gh_conv_geometry SAME3 = {.stride = 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
static const gh_conv_geometry POINT = {.stride = 1};
static const gh_conv_geometry HALVE = {.stride = 2, .pad_bottom = 1, .pad_right = 1};

/* ---- blocks ---- */

gh_tensor *gh_point_layer(gh_module *m, gh_tensor *x, int64_t channels, const char *name) {
  return gh_conv_layer(m, x, channels, 1, POINT, name);
}

static gh_tensor *norm_swish(gh_module *m, gh_tensor *x, const char *name) {
  return gh_activation(m->graph, gh_groupnorm_layer(m, x, GROUPS, EPS, name), GH_SILU);
}

static gh_tensor *residual_block(gh_module *m, gh_tensor *x, int64_t channels, const char *name) {
  if (!x) return NULL;
  gh_graph_segment(m->graph);
  gh_tensor *h = norm_swish(m, x, gh_name_make("%s.norm1", name).text);
  h = gh_conv_layer(m, h, channels, 3, SAME3, gh_name_make("%s.conv1", name).text);
  h = norm_swish(m, h, gh_name_make("%s.norm2", name).text);
  h = gh_conv_layer(m, h, channels, 3, SAME3, gh_name_make("%s.conv2", name).text);
  if (x->shape[1] != channels) x = gh_point_layer(m, x, channels, gh_name_make("%s.nin_shortcut", name).text);
  return gh_add(m->graph, x, h);
}

/* One head over all positions: (B, C, H, W) seen as H*W tokens of width C. */
static gh_tensor *attention_block(gh_module *m, gh_tensor *x, const char *name) {
  if (!x) return NULL;
  gh_graph *g = m->graph;
  int64_t batch = x->shape[0], channels = x->shape[1], tokens = x->shape[2] * x->shape[3];
  gh_tensor *h = gh_groupnorm_layer(m, x, GROUPS, EPS, gh_name_make("%s.norm", name).text), *qkv[3];
  const char *names[3] = {"q", "k", "v"};
  for (int i = 0; i < 3; i++) {
    gh_tensor *t = gh_point_layer(m, h, channels, gh_name_make("%s.%s", name, names[i]).text);
    t = gh_transpose(g, gh_reshape(g, t, 3, (int64_t[]){batch, channels, tokens}));
    qkv[i] = gh_reshape(g, t, 4, (int64_t[]){batch, tokens, 1, channels});
  }
  gh_tensor *y = gh_attention(g, qkv[0], qkv[1], qkv[2], NULL, 1 / sqrt((double)channels), false);
  y = gh_transpose(g, gh_reshape(g, y, 3, (int64_t[]){batch, tokens, channels}));
  y = gh_point_layer(m, gh_reshape(g, y, 4, x->shape), channels, gh_name_make("%s.proj_out", name).text);
  return gh_add(g, x, y);
}

static gh_tensor *middle(gh_module *m, gh_tensor *x, int64_t channels, const char *side) {
  x = residual_block(m, x, channels, gh_name_make("%s.mid.block_1", side).text);
  x = attention_block(m, x, gh_name_make("%s.mid.attn_1", side).text);
  return residual_block(m, x, channels, gh_name_make("%s.mid.block_2", side).text);
}

/* One residual block of a level, with its attention. */
static gh_tensor *level_block(gh_module *m, const gh_autoencoder_config *c, gh_tensor *x, int64_t channels, int level,
                              int block, const char *levels) {
  x = residual_block(m, x, channels, gh_name_make("%s.%d.block.%d", levels, level, block).text);
  if (!c->attention || level + 1 < c->levels) return x;
  return attention_block(m, x, gh_name_make("%s.%d.attn.%d", levels, level, block).text);
}

/* ---- encoder and decoder ---- */

gh_tensor *gh_autoencoder_encode(gh_module *m, const gh_autoencoder_config *c, gh_tensor *images, int64_t outputs) {
  m->part = GH_PART_AUTOENCODER;
  gh_tensor *x = gh_conv_layer(m, images, c->channels, 3, SAME3, "encoder.conv_in");
  int64_t channels = c->channels;
  for (int level = 0; level < c->levels; level++) {
    channels = (int64_t)c->channels * c->multipliers[level];
    for (int i = 0; i < c->blocks; i++) x = level_block(m, c, x, channels, level, i, "encoder.down");
    if (level + 1 < c->levels)
      x = gh_conv_layer(m, x, channels, 3, HALVE, gh_name_make("encoder.down.%d.downsample.conv", level).text);
  }
  x = middle(m, x, channels, "encoder");
  x = norm_swish(m, x, "encoder.norm_out");
  return gh_conv_layer(m, x, outputs, 3, SAME3, "encoder.conv_out");
}

gh_tensor *gh_autoencoder_decode(gh_module *m, const gh_autoencoder_config *c, gh_tensor *z) {
  m->part = GH_PART_AUTOENCODER;
  int64_t channels = (int64_t)c->channels * c->multipliers[c->levels - 1];
  gh_tensor *x = gh_conv_layer(m, z, channels, 3, SAME3, "decoder.conv_in");
  x = middle(m, x, channels, "decoder");
  for (int level = c->levels - 1; level >= 0; level--) {
    channels = (int64_t)c->channels * c->multipliers[level];
    for (int i = 0; i <= c->blocks; i++) x = level_block(m, c, x, channels, level, i, "decoder.up");
    if (level)
      x = gh_conv_layer(m, gh_upsample2x(m->graph, x), channels, 3, SAME3,
                        gh_name_make("decoder.up.%d.upsample.conv", level).text);
  }
  x = norm_swish(m, x, "decoder.norm_out");
  return gh_conv_layer(m, x, 3, 3, SAME3, "decoder.conv_out");
}
