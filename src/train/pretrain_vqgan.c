/* Pre-training a VQ-GAN: the vector quantiser of van den Oord et al. (2017), in taming-transformers' layout.
 *
 * The encoder's latents z are replaced by the nearest rows e of the codebook. The decoder's gradient passes straight
 * through to z. The codebook learns from mean((sg[z] - e)^2), and the encoder keeps near to its codes by
 * beta * mean((z - sg[e])^2).
 *
 * A row that is never the nearest gets no gradient and would stay where it is. So after the first update, and at fixed
 * intervals from then on, rows that nothing has chosen since the last time get latents of the current pictures. */
#include "train/pretrain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(gh_pretrain_config, member)

static const gh_row rows[] = {
    {"latent", ROW_INT, AT(latent), "32", 1, 4096, 0, NULL},
    {"embedding", ROW_INT, AT(embedding), "32", 1, 4096, 0, NULL},
    {"codes", ROW_INT, AT(codes), "512", 2, 1 << 16, 0, NULL},
    {"commitment", ROW_REAL, AT(commitment), "0.25", 0, 100, 0, NULL},
    {"revive_every", ROW_INT, AT(revive_every), "20", 0, 99999999, 0, NULL},
};

static gh_status size(gh_error *err, gh_pretrain_config *c) {
  (void)err;
  c->vqgan = (gh_vqgan_config){.channels = (int)c->channels,
                               .levels = (int)c->multipliers.count,
                               .blocks = (int)c->blocks,
                               .latent = (int)c->latent,
                               .embedding = (int)c->embedding,
                               .codes = (int)c->codes};
  for (int i = 0; i < c->vqgan.levels; i++) c->vqgan.multipliers[i] = (int)c->multipliers.items[i];
  return GH_OK;
}

static int numbers(const gh_pretrain_config *c, gh_metrics_number *out) {
  const gh_metrics_number own[] = {{"latent", (double)c->latent},
                                   {"embedding", (double)c->embedding},
                                   {"codes", (double)c->codes},
                                   {"commitment", c->commitment},
                                   {"revive_every", (double)c->revive_every}};
  memcpy(out, own, sizeof own);
  return GH_COUNT(own);
}

/* With PyTorch's initial values, latents differ by a tenth from position to position. The decoder then sees little of
 * them beside its own biases, and learns for hundreds of updates to draw an average picture. */
static void start(const gh_pretrain_config *c, const char *name, float *values, int64_t n) {
  (void)c;
  static const struct {
    const char *name;
    float gain;
  } gains[] = {{"quant_conv.weight", 8}, {"post_quant_conv.weight", 32}};
  for (size_t k = 0; k < GH_COUNT(gains); k++)
    if (!strcmp(name, gains[k].name))
      for (int64_t i = 0; i < n; i++) values[i] *= gains[k].gain;
}

/* ---- the step ---- */

static gh_tensor *record(gh_module *m, const gh_pretrain_config *c, gh_step *step, gh_pretrain_kept *kept) {
  gh_graph *g = m->graph;
  gh_error *err = gh_graph_error(g);
  gh_tensor *reconstruction = NULL;
  if (gh_step_tensor(err, m->store, "log.reconstruction", 0, NULL, &reconstruction) ||
      gh_step_tensor(err, m->store, "usage", 1, &c->codes, &kept->usage))
    return NULL;
  gh_tensor *x = gh_target_pixels(g, step->images);
  gh_tensor *z = gh_vqgan_rows(m, &c->vqgan, x);
  gh_tensor *codes = gh_vqgan_quantize(m, &c->vqgan, z);
  gh_tensor *e = gh_vqgan_vectors(m, &c->vqgan, codes);
  gh_tensor *picture = gh_vqgan_decode_vectors(m, &c->vqgan, gh_straight_through(g, e, z));
  gh_tensor *error = gh_mse_loss(g, picture, x, step->block);
  gh_tensor *codebook = gh_mse_loss(g, e, gh_straight_through(g, z, NULL), step->block);
  gh_tensor *commitment = gh_mse_loss(g, z, gh_straight_through(g, e, NULL), step->block);
  gh_accumulate(g, reconstruction, error);
  gh_accumulate(g, kept->usage, gh_count_rows(g, codes, step->block, c->codes));
  step->logs[step->log_count++] = reconstruction;
  step->carried[step->carried_count++] = kept->usage;
  kept->codebook = gh_vqgan_codebook(m, &c->vqgan);
  kept->latents = z;
  return gh_add_scaled(g, gh_add(g, error, codebook), commitment, c->commitment);
}

/* ---- between updates ---- */

int64_t gh_codebook_revive(gh_stream stream, uint64_t update, const float *usage, int64_t codes, const float *latents,
                           int64_t count, int64_t width, float *codebook, float *m, float *v) {
  const size_t bytes = (size_t)width * sizeof *codebook;
  int64_t revived = 0;
  for (int64_t k = 0; k < codes && revived < count; k++) {
    if (usage[k] > 0) continue;
    uint64_t from = gh_permute_at(stream, update, (uint64_t)revived++, (uint64_t)count);
    memcpy(codebook + k * width, latents + from * (uint64_t)width, bytes);
    memset(m + k * width, 0, bytes);
    memset(v + k * width, 0, bytes);
  }
  return revived;
}

/* The latents in memory are those of the update's last micro-batch, in which fillers may follow the samples. */
static gh_status revive(gh_error *err, gh_pretraining *p, const float *usage) {
  const gh_loop *l = &p->loop;
  const gh_update *u = &l->update;
  const int64_t *shape = p->kept.latents->shape;
  int64_t codes = p->config->codes, width = shape[2], samples = (l->stage->batch - 1) % l->micro_batch + 1, i = 0;
  gh_stream stream = gh_stream_make((uint64_t)p->config->seed, l->number, "revive", "");
  while (u->parameters[i] != p->kept.codebook) i++;
  gh_tensor *const written[] = {u->parameters[i], u->m[i], u->v[i]};
  float *values[GH_COUNT(written)] = {0};
  float *latents = gh_alloc(err, (size_t)gh_tensor_elements(p->kept.latents), sizeof *latents);
  gh_status status = latents ? gh_tensor_read(err, l->device, p->kept.latents, latents) : GH_ERROR_MEMORY;
  for (size_t k = 0; k < GH_COUNT(written) && !status; k++) {
    values[k] = gh_alloc(err, (size_t)(codes * width), sizeof *values[k]);
    status = values[k] ? gh_tensor_read(err, l->device, written[k], values[k]) : GH_ERROR_MEMORY;
  }
  if (!status)
    gh_codebook_revive(stream, (uint64_t)l->done, usage, codes, latents, samples * shape[1], width, values[0],
                       values[1], values[2]);
  for (size_t k = 0; k < GH_COUNT(written) && !status; k++)
    status = gh_tensor_write(err, l->device, written[k], values[k]);
  for (size_t k = 0; k < GH_COUNT(written); k++) free(values[k]);
  free(latents);
  return status;
}

/* The share of the codebook that was used, and the perplexity of its use: exp of the entropy. */
static int64_t put_usage(gh_metrics_row *row, const float *usage, int64_t codes) {
  double total = 0, entropy = 0;
  int64_t used = 0;
  for (int64_t k = 0; k < codes; k++) total += (double)usage[k];
  for (int64_t k = 0; k < codes; k++) {
    if (!(usage[k] > 0)) continue;
    entropy -= (double)usage[k] / total * log((double)usage[k] / total);
    used++;
  }
  row->numbers[row->number_count++] = (gh_metrics_number){"codes_used", (double)used / (double)codes};
  row->numbers[row->number_count++] = (gh_metrics_number){"perplexity", exp(entropy)};
  return used;
}

/* Usage counts from the last revival on; without revivals, every update counts for itself. The first update's revival
 * also replaces the initial rows, which are much shorter than the latents. */
static gh_status after(gh_error *err, gh_loop *l, const gh_update_result *result, gh_metrics_row *row) {
  gh_pretraining *p = l->user;
  const gh_pretrain_config *c = p->config;
  float *usage = gh_alloc(err, (size_t)c->codes, sizeof *usage);
  gh_status status = usage ? gh_tensor_read(err, l->device, p->kept.usage, usage) : GH_ERROR_MEMORY;
  if (!status) {
    row->numbers[row->number_count++] = (gh_metrics_number){"reconstruction", result->logs[0]};
    bool all = put_usage(row, usage, c->codes) == c->codes, due = (l->done - 1) % GH_MAX(1, c->revive_every) == 0;
    if (due && c->revive_every && !all) status = revive(err, p, usage);
    memset(usage, 0, (size_t)c->codes * sizeof *usage);
    if (due && !status) status = gh_tensor_write(err, l->device, p->kept.usage, usage);
  }
  free(usage);
  return status;
}

const gh_pretrain_kind gh_pretrain_vqgan = {.name = "vqgan",
                                            .ending = ".safetensors",
                                            .autoencodes = true,
                                            .micro_batch = 16,
                                            .rows = rows,
                                            .row_count = GH_COUNT(rows),
                                            .size = size,
                                            .numbers = numbers,
                                            .record = record,
                                            .start = start,
                                            .after = after};
