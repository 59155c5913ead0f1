#include "encode/embed.h"

#include <stdlib.h>

gh_status gh_embedder_open(gh_error *err, gh_embedder *e, gh_device *device, const char *folder,
                           const gh_embed_options *options) {
  *e = (gh_embedder){.device = device, .batch = options->batch};
  gh_status status = gh_vision_config_read(err, folder, &e->config);
  if (!status) status = gh_vision_preprocess_read(err, &e->preprocess, folder, &e->config);
  if (!status) status = gh_tower_begin(err, &e->tower, device, folder, e->config.family, false, options);
  if (status) return status;
  int64_t side = e->config.image;
  e->width = e->config.projection;
  status = gh_tower_input(err, &e->tower, "input.embed", GH_F32, 4, (int64_t[]){e->batch, 3, side, side}, &e->pixels);
  if (status) return status;
  gh_module m = gh_tower_module(&e->tower);
  e->embeddings = gh_vision_tower(&m, &e->config, e->pixels, NULL);
  return gh_tower_finish(err, &e->tower, e->embeddings, options);
}

void gh_embedder_close(gh_embedder *e) {
  gh_tower_close(&e->tower);
  *e = (gh_embedder){0};
}

int64_t gh_embedder_image_elements(const gh_embedder *e) { return 3 * (int64_t)e->config.image * e->config.image; }

gh_status gh_embedder_start(gh_error *err, gh_embedder *e, const float *pixel_values) {
  gh_status status = gh_tensor_write(err, e->device, e->pixels, pixel_values);
  return status ? status : gh_graph_run(err, e->tower.graph);
}

gh_status gh_embedder_finish(gh_error *err, gh_embedder *e, float *embeddings) {
  return gh_tensor_read(err, e->device, e->embeddings, embeddings);
}
