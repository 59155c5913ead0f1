/* An autoencoder's sizes, as its tensors' shapes tell them, and its tensors. */
#include "models/autoencoder.h"

#define GROUPS       32
#define MAX_CHANNELS (1 << 16)

int gh_autoencoder_factor(const gh_autoencoder_config *c) { return 1 << (c->levels - 1); }

/* 0 if there is no such dimension; implausibly large sizes become MAX_CHANNELS + 1, which fits an int. */
static int64_t dimension(const gh_safetensors *file, const char *name, int index) {
  const gh_st_tensor *t = gh_safetensors_find(file, name);
  return t && t->rank > index ? GH_MIN(t->shape[index], (int64_t)MAX_CHANNELS + 1) : 0;
}

gh_status gh_autoencoder_config_read(gh_error *err, const gh_safetensors *file, const char *layout,
                                     gh_autoencoder_config *c) {
  const char *path = gh_safetensors_path(file);
  *c = (gh_autoencoder_config){.channels = (int)dimension(file, "encoder.conv_in.weight", 0),
                               .latent = (int)dimension(file, "decoder.conv_in.weight", 1)};
  while (c->levels < GH_AUTOENCODER_MAX_LEVELS) {
    int64_t width = dimension(file, gh_name_make("encoder.down.%d.block.0.conv1.weight", c->levels).text, 0);
    if (!width) break;
    if (c->channels < 1 || width % c->channels || width > MAX_CHANNELS)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: level %d has %lld channels, not a multiple of the first level's", path,
                     c->levels, (long long)width);
    c->multipliers[c->levels++] = (int)(width / c->channels);
  }
  while (gh_safetensors_find(file, gh_name_make("encoder.down.0.block.%d.conv1.weight", c->blocks).text)) c->blocks++;
  if (c->channels > MAX_CHANNELS || c->latent > MAX_CHANNELS)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: more than %d channels", path, MAX_CHANNELS);
  if (!c->levels || !c->blocks || c->latent < 1)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: not %s (encoder.down.0.block.0.conv1.weight, decoder.conv_in.weight)",
                   path, layout);
  for (int i = 0; i < c->levels; i++)
    if (c->channels * c->multipliers[i] % GROUPS)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: %d channels are not a multiple of %d groups", path,
                     c->channels * c->multipliers[i], GROUPS);
  return GH_OK;
}

/* ---- tensors ---- */

void gh_walk_conv(gh_walk *w, int64_t out, int64_t in, int kernel, const char *name) {
  gh_init init = gh_init_fan_in(in * kernel * kernel);
  gh_walk_tensor(w, init, 4, (int64_t[]){out, in, kernel, kernel}, gh_name_make("%s.weight", name).text);
  gh_walk_tensor(w, init, 1, &out, gh_name_make("%s.bias", name).text);
}

static void walk_residual(gh_walk *w, int64_t out, int64_t in, const char *name) {
  gh_walk_norm(w, in, name, "norm1");
  gh_walk_conv(w, out, in, 3, gh_name_make("%s.conv1", name).text);
  gh_walk_norm(w, out, name, "norm2");
  gh_walk_conv(w, out, out, 3, gh_name_make("%s.conv2", name).text);
  if (in != out) gh_walk_conv(w, out, in, 1, gh_name_make("%s.nin_shortcut", name).text);
}

static void walk_attention(gh_walk *w, int64_t channels, const char *name) {
  static const char *const layers[] = {"q", "k", "v", "proj_out"};
  gh_walk_norm(w, channels, name, "norm");
  for (size_t i = 0; i < GH_COUNT(layers); i++)
    gh_walk_conv(w, channels, channels, 1, gh_name_make("%s.%s", name, layers[i]).text);
}

static void walk_middle(gh_walk *w, int64_t channels, const char *side) {
  walk_residual(w, channels, channels, gh_name_make("%s.mid.block_1", side).text);
  walk_attention(w, channels, gh_name_make("%s.mid.attn_1", side).text);
  walk_residual(w, channels, channels, gh_name_make("%s.mid.block_2", side).text);
}

/* A level of `blocks` residual blocks; returns its channels. */
static int64_t walk_level(gh_walk *w, const gh_autoencoder_config *c, int level, int blocks, int64_t in,
                          const char *levels) {
  int64_t out = (int64_t)c->channels * c->multipliers[level];
  for (int i = 0; i < blocks; i++) {
    walk_residual(w, out, i ? out : in, gh_name_make("%s.%d.block.%d", levels, level, i).text);
    if (c->attention && level + 1 == c->levels)
      walk_attention(w, out, gh_name_make("%s.%d.attn.%d", levels, level, i).text);
  }
  return out;
}

void gh_autoencoder_walk(gh_walk *w, const gh_autoencoder_config *c, int64_t outputs) {
  int64_t width = c->channels;
  gh_walk_conv(w, width, 3, 3, "encoder.conv_in");
  for (int level = 0; level < c->levels && !w->status; level++) {
    width = walk_level(w, c, level, c->blocks, width, "encoder.down");
    if (level + 1 < c->levels)
      gh_walk_conv(w, width, width, 3, gh_name_make("encoder.down.%d.downsample.conv", level).text);
  }
  walk_middle(w, width, "encoder");
  gh_walk_norm(w, width, "encoder", "norm_out");
  gh_walk_conv(w, outputs, width, 3, "encoder.conv_out");

  gh_walk_conv(w, width, c->latent, 3, "decoder.conv_in");
  walk_middle(w, width, "decoder");
  for (int level = c->levels - 1; level >= 0 && !w->status; level--) {
    width = walk_level(w, c, level, c->blocks + 1, width, "decoder.up");
    if (level) gh_walk_conv(w, width, width, 3, gh_name_make("decoder.up.%d.upsample.conv", level).text);
  }
  gh_walk_norm(w, width, "decoder", "norm_out");
  gh_walk_conv(w, 3, width, 3, "decoder.conv_out");
}
