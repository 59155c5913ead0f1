/* Pre-training an autoencoder in FLUX's layout. */
#include "train/pretrain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPREAD_SAMPLES     64 /* images used to measure the spread of the latents */
#define FIRST_LOG_VARIANCE (-6.0f)

#define AT(member)         offsetof(gh_pretrain_config, member)

static const gh_row rows[] = {
    {"latent", ROW_INT, AT(latent), "16", 1, 256, 0, NULL},
    {"kl_weight", ROW_REAL, AT(kl_weight), "1e-6", 0, 1, 0, NULL},
};

static gh_status size(gh_error *err, gh_pretrain_config *c) {
  (void)err;
  c->vae = (gh_vae_config){.channels = (int)c->channels,
                           .levels = (int)c->multipliers.count,
                           .blocks = (int)c->blocks,
                           .latent = (int)c->latent};
  for (int i = 0; i < c->vae.levels; i++) c->vae.multipliers[i] = (int)c->multipliers.items[i];
  return GH_OK;
}

static int numbers(const gh_pretrain_config *c, gh_metrics_number *out) {
  out[0] = (gh_metrics_number){"latent", (double)c->latent};
  out[1] = (gh_metrics_number){"kl_weight", c->kl_weight};
  return 2;
}

static gh_tensor *record(gh_module *m, const gh_pretrain_config *c, gh_step *step, gh_pretrain_kept *kept) {
  gh_graph *g = m->graph;
  int64_t side = c->image_size / gh_vae_factor(&c->vae);
  gh_tensor *x = gh_target_pixels(g, step->images);
  gh_tensor *moments = gh_vae_encode(m, &c->vae, x);
  gh_stream stream = gh_stream_make((uint64_t)c->seed, 1, "latent", "");
  gh_tensor *eps =
      gh_random_normal(g, step->block, stream.key, 4, (int64_t[]){step->images->shape[0], c->vae.latent, side, side});
  kept->latents = gh_gaussian_sample(g, moments, eps, 0, 1);
  gh_tensor *loss = gh_mse_loss(g, gh_vae_decode(m, &c->vae, kept->latents), x, step->block);
  return gh_add_scaled(g, loss, gh_gaussian_kl(g, moments, step->block), c->kl_weight);
}

/* With PyTorch's default, the latents are drawn with a deviation near 1, much larger than the differences between their
 * means, and the decoder learns from noise for hundreds of updates. So the encoder starts with a small variance, and
 * the KL term finds the balance. */
static void start(const gh_pretrain_config *c, const char *name, float *values, int64_t n) {
  (void)c;
  if (!strcmp(name, "encoder.conv_out.bias"))
    for (int64_t i = n / 2; i < n; i++) values[i] = FIRST_LOG_VARIANCE;
}

/* 1 / (GH_VAE_SCALE * spread), the standard deviation of z over the first images of the stream. The replay also writes
 * gradients, which are not used. */
static gh_status measure(gh_error *err, gh_pretraining *p, double *factor) {
  gh_loop *l = &p->loop;
  int64_t n = gh_tensor_elements(p->kept.latents), replays = GH_MAX(1, SPREAD_SAMPLES / l->micro_batch);
  double sum = 0, squares = 0;
  float *z = gh_alloc(err, (size_t)n, sizeof *z);
  gh_status status = z ? GH_OK : GH_ERROR_MEMORY;
  for (int64_t i = 0; i < replays && !status; i++) {
    status = gh_loader_next(err, l->loader, l->images, NULL, (size_t)l->micro_batch);
    const gh_step_values values = {.update = 1,
                                   .beta1 = 0.9,
                                   .beta2 = 0.999,
                                   .ordinal = (uint64_t)(i * l->micro_batch),
                                   .samples = 1,
                                   .weight = 1};
    if (!status) status = gh_tensor_write(err, l->device, l->step.images, l->images);
    if (!status) status = gh_step_write(err, l->device, l->step.block, &values);
    if (!status) status = gh_graph_run(err, l->step.graph);
    if (!status) status = gh_tensor_read(err, l->device, p->kept.latents, z);
    for (int64_t k = 0; k < n && !status; k++) sum += (double)z[k], squares += (double)z[k] * (double)z[k];
  }
  double count = (double)(n * replays), mean = sum / count;
  double spread = sqrt(squares / count - mean * mean);
  free(z);
  *factor = 1 / (GH_VAE_SCALE * spread);
  if (!status && !(spread > 0 && isfinite(spread)))
    status = gh_fail(err, GH_ERROR_NUMERIC, "the autoencoder's latents have a spread of %g", spread);
  return status;
}

/* Scales z by a in the encoder's last convolution; the decoder's first convolution undoes
 * it. */
static void change(const char *name, float *values, int64_t n, double a) {
  bool last = !strcmp(name, "encoder.conv_out.weight"), bias = !strcmp(name, "encoder.conv_out.bias");
  if (last || bias)
    for (int64_t i = 0; i < n / 2; i++)
      values[i] = (float)(values[i] * a); /* the first half of the channels: the mean */
  if (bias)
    for (int64_t i = n / 2; i < n; i++) values[i] = (float)(values[i] + 2 * log(a)); /* log-variance */
  if (!strcmp(name, "decoder.conv_in.weight"))
    for (int64_t i = 0; i < n; i++) values[i] = (float)(values[i] / a);
}

const gh_pretrain_kind gh_pretrain_autoencoder = {.name = "autoencoder",
                                                  .ending = ".safetensors",
                                                  .autoencodes = true,
                                                  .micro_batch = 16,
                                                  .rows = rows,
                                                  .row_count = GH_COUNT(rows),
                                                  .size = size,
                                                  .numbers = numbers,
                                                  .record = record,
                                                  .start = start,
                                                  .measure = measure,
                                                  .change = change};
