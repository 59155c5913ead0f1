#include "models/vqgan.h"
#include "models/unread.h"

#include <string.h>

#define CODEBOOK  "quantize.embedding.weight"
#define MAX_CODES GH_NEAREST_ROWS
#define MAX_WIDTH (1 << 16)

const gh_vqgan_config gh_vqgan_f16 = {.channels = 128,
                                      .levels = 5,
                                      .multipliers = {1, 1, 2, 2, 4},
                                      .blocks = 2,
                                      .latent = 256,
                                      .embedding = 256,
                                      .codes = 16384};
const gh_vqgan_config gh_vqgan_f16_1024 = {.channels = 128,
                                           .levels = 5,
                                           .multipliers = {1, 1, 2, 2, 4},
                                           .blocks = 2,
                                           .latent = 256,
                                           .embedding = 256,
                                           .codes = 1024};
const gh_vqgan_config gh_vqgan_tiny = {.channels = 32,
                                       .levels = 5,
                                       .multipliers = {1, 1, 1, 1, 2},
                                       .blocks = 1,
                                       .latent = 32,
                                       .embedding = 32,
                                       .codes = 128};

static gh_autoencoder_config networks(const gh_vqgan_config *c) {
  gh_autoencoder_config a = {
      .channels = c->channels, .levels = c->levels, .blocks = c->blocks, .latent = c->latent, .attention = true};
  memcpy(a.multipliers, c->multipliers, sizeof a.multipliers);
  return a;
}

int gh_vqgan_factor(const gh_vqgan_config *c) {
  const gh_autoencoder_config a = networks(c);
  return gh_autoencoder_factor(&a);
}

/* ---- sizes from a file ---- */

static void walk(gh_walk *w, const gh_vqgan_config *c) {
  const gh_autoencoder_config a = networks(c);
  gh_autoencoder_walk(w, &a, c->latent);
  gh_walk_conv(w, c->embedding, c->latent, 1, "quant_conv");
  gh_walk_conv(w, c->latent, c->embedding, 1, "post_quant_conv");
  gh_walk_tensor(w, gh_init_constant(0), 2, (int64_t[]){c->codes, c->embedding}, CODEBOOK);
}

static void walk_any(gh_walk *w, const void *config) { walk(w, config); }

gh_status gh_vqgan_config_read(gh_error *err, const gh_safetensors *file, gh_vqgan_config *c) {
  static const char layout[] = "a VQ-GAN in taming-transformers' layout";
  const char *path = gh_safetensors_path(file);
  const gh_st_tensor *codebook = gh_safetensors_find(file, CODEBOOK);
  gh_autoencoder_config a;
  *c = (gh_vqgan_config){0};
  if (!codebook) return gh_fail(err, GH_ERROR_FORMAT, "%s: not %s: " CODEBOOK " is missing", path, layout);
  if (codebook->rank != 2 || codebook->shape[0] < 1 || codebook->shape[0] > MAX_CODES || codebook->shape[1] < 1 ||
      codebook->shape[1] > MAX_WIDTH)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: " CODEBOOK " is not a codebook of 1 to %d rows, 1 to %d wide", path,
                   MAX_CODES, MAX_WIDTH);
  if (gh_autoencoder_config_read(err, file, layout, &a)) return err->status;
  *c = (gh_vqgan_config){.channels = a.channels,
                         .levels = a.levels,
                         .blocks = a.blocks,
                         .latent = a.latent,
                         .embedding = (int)codebook->shape[1],
                         .codes = (int)codebook->shape[0]};
  memcpy(c->multipliers, a.multipliers, sizeof c->multipliers);
  return gh_check_tensors_by_walk(err, file, "a VQ-GAN of these sizes", walk_any, c);
}

/* ---- the model ---- */

gh_tensor *gh_vqgan_codebook(gh_module *m, const gh_vqgan_config *c) {
  const gh_init init = {GH_INIT_UNIFORM, 1.0 / c->codes};
  m->part = GH_PART_AUTOENCODER;
  return gh_parameter(m, init, 2, (int64_t[]){c->codes, c->embedding}, CODEBOOK);
}

gh_tensor *gh_vqgan_latents(gh_module *m, const gh_vqgan_config *c, gh_tensor *images) {
  const gh_autoencoder_config a = networks(c);
  const int factor = gh_autoencoder_factor(&a);
  if (!images) return NULL;
  if (images->rank != 4 || images->shape[2] % factor || images->shape[3] % factor) {
    gh_graph_fail(m->graph, NULL, "the VQ-GAN needs images (B, 3, H, W) whose sides are multiples of %d", factor);
    return NULL;
  }
  gh_tensor *z = gh_autoencoder_encode(m, &a, images, c->latent);
  return gh_cast(m->graph, gh_point_layer(m, z, c->embedding, "quant_conv"), GH_F32);
}

gh_tensor *gh_vqgan_rows(gh_module *m, const gh_vqgan_config *c, gh_tensor *images) {
  gh_graph *g = m->graph;
  gh_tensor *z = gh_vqgan_latents(m, c, images);
  if (!z) return NULL;
  return gh_transpose(g, gh_reshape(g, z, 3, (int64_t[]){z->shape[0], z->shape[1], z->shape[2] * z->shape[3]}));
}

gh_tensor *gh_vqgan_quantize(gh_module *m, const gh_vqgan_config *c, gh_tensor *rows) {
  gh_graph *g = m->graph;
  gh_tensor *codebook = gh_vqgan_codebook(m, c);
  if (!rows || !codebook) return NULL;
  int64_t batch = rows->shape[0], positions = rows->shape[1], width = rows->shape[2];
  gh_tensor *codes = gh_nearest_row(g, gh_reshape(g, rows, 2, (int64_t[]){batch * positions, width}), codebook);
  return gh_reshape(g, codes, 2, (int64_t[]){batch, positions});
}

gh_tensor *gh_vqgan_encode(gh_module *m, const gh_vqgan_config *c, gh_tensor *images) {
  return gh_vqgan_quantize(m, c, gh_vqgan_rows(m, c, images));
}

gh_tensor *gh_vqgan_vectors(gh_module *m, const gh_vqgan_config *c, gh_tensor *codes) {
  gh_graph *g = m->graph;
  gh_tensor *codebook = gh_vqgan_codebook(m, c);
  if (!codes || !codebook) return NULL;
  if (codes->rank != 2) {
    gh_graph_fail(g, NULL, "the VQ-GAN's codes must be (B, N)");
    return NULL;
  }
  int64_t batch = codes->shape[0], positions = codes->shape[1];
  codebook = gh_reshape(g, codebook, 3, (int64_t[]){1, c->codes, c->embedding});
  gh_tensor *rows = gh_gather_rows(g, codebook, gh_reshape(g, codes, 2, (int64_t[]){1, batch * positions}));
  return gh_reshape(g, rows, 3, (int64_t[]){batch, positions, c->embedding});
}

/* The side of a square of n positions; 0 if n is not a square. */
static int64_t side_of(int64_t n) {
  int64_t side = 0;
  while (side * side < n) side++;
  return side * side == n ? side : 0;
}

gh_tensor *gh_vqgan_decode_vectors(gh_module *m, const gh_vqgan_config *c, gh_tensor *x) {
  const gh_autoencoder_config a = networks(c);
  gh_graph *g = m->graph;
  if (!x) return NULL;
  int64_t side = side_of(x->shape[1]);
  if (!side) {
    gh_graph_fail(g, NULL, "%lld codes are not a square", (long long)x->shape[1]);
    return NULL;
  }
  x = gh_reshape(g, gh_transpose(g, x), 4, (int64_t[]){x->shape[0], c->embedding, side, side});
  return gh_autoencoder_decode(m, &a, gh_point_layer(m, x, c->latent, "post_quant_conv"));
}

gh_tensor *gh_vqgan_decode(gh_module *m, const gh_vqgan_config *c, gh_tensor *codes) {
  return gh_vqgan_decode_vectors(m, c, gh_vqgan_vectors(m, c, codes));
}

/* ---- random weights ---- */

static gh_status record(gh_module *m, const void *config, gh_store *inputs) {
  const gh_vqgan_config *c = config;
  gh_error *err = gh_graph_error(m->graph);
  int64_t side = 2 * gh_vqgan_factor(c);
  gh_tensor *images = NULL;
  if (gh_store_add(err, inputs, "images", GH_F32, 4, (int64_t[]){1, 3, side, side}, &images)) return err->status;
  gh_vqgan_decode(m, c, gh_vqgan_encode(m, c, images));
  return err->status;
}

gh_status gh_vqgan_write(gh_error *err, gh_device *device, const gh_vqgan_config *config, uint64_t seed,
                         const char *path, int64_t *parameters) {
  return gh_autoencoder_write(err, device, record, config, seed, path, parameters);
}
