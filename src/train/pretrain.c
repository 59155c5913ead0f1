#include "train/pretrain.h"
#include "backend/registry.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "method/setup.h"
#include "models/tensors_write.h"
#include "train/budget.h"
#include "train/loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AUTO_MICRO_BATCH   16
#define SPREAD_SAMPLES     64 /* images used to measure the spread of the latents */
#define FIRST_LOG_VARIANCE (-6.0f)

typedef struct gh_pretraining {
  const gh_pretrain_config *config;
  gh_tensor *latents; /* z (B, latent, h, w), kept */
  gh_image_set *images;
  bool began; /* the output folder has been written to */
  gh_loop loop;
} gh_pretraining;

/* ---- the graph ---- */

static void record(gh_pretraining *p, gh_graph *g) {
  const gh_pretrain_config *c = p->config;
  static const double half[3] = {0.5, 0.5, 0.5};
  gh_loop *l = &p->loop;
  gh_module m = {.graph = g, .store = l->store, .seed = (uint64_t)c->seed, .trainable = true};
  int64_t side = c->image_size / gh_vae_factor(&c->vae);
  gh_tensor *x = gh_normalize_image(g, l->step.images, half, half);
  gh_tensor *moments = gh_vae_encode(&m, &c->vae, x);
  gh_stream stream = gh_stream_make((uint64_t)c->seed, 1, "latent", "");
  gh_tensor *eps =
      gh_random_normal(g, l->step.block, stream.key, 4, (int64_t[]){l->micro_batch, c->vae.latent, side, side});
  p->latents = gh_gaussian_sample(g, moments, eps, 0, 1);
  gh_tensor *loss = gh_mse_loss(g, gh_vae_decode(&m, &c->vae, p->latents), x, l->step.block);
  l->step.loss = gh_add_scaled(g, loss, gh_gaussian_kl(g, moments, l->step.block), c->kl_weight);
  gh_accumulate(g, l->step.loss_total, l->step.loss);
  gh_graph_differentiate(g, l->step.loss);
  if (!gh_graph_failed(g)) gh_graph_keep(g, p->latents);
}

static gh_status build(gh_error *err, gh_pretraining *p) {
  gh_loop *l = &p->loop;
  int64_t side = p->config->image_size;
  gh_status status = gh_store_create(err, l->device, &l->store);
  if (!status) status = gh_step_block(err, l->store, "step", &l->step.block);
  if (!status) status = gh_step_tensor(err, l->store, "loss", 0, NULL, &l->step.loss_total);
  if (!status)
    status =
        gh_step_tensor(err, l->store, "input.images", 4, (int64_t[]){l->micro_batch, 3, side, side}, &l->step.images);
  if (!status) status = gh_graph_create(err, l->device, &l->step.graph);
  if (status) return status;
  record(p, l->step.graph);
  if (!gh_graph_failed(l->step.graph)) return gh_loop_plan(err, l);
  *err = *gh_graph_error(l->step.graph);
  return err->status;
}

/* ---- the result ---- */

/* Standard deviation of z over the first images of the stream. The replay also writes gradients, which are not used. */
static gh_status measure_spread(gh_error *err, gh_pretraining *p, double *out) {
  gh_loop *l = &p->loop;
  int64_t n = gh_tensor_elements(p->latents), replays = GH_MAX(1, SPREAD_SAMPLES / l->micro_batch);
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
    if (!status) status = gh_tensor_read(err, l->device, p->latents, z);
    for (int64_t k = 0; k < n && !status; k++) sum += (double)z[k], squares += (double)z[k] * (double)z[k];
  }
  double count = (double)(n * replays), mean = sum / count;
  *out = sqrt(squares / count - mean * mean);
  free(z);
  if (!status && !(*out > 0 && isfinite(*out)))
    status = gh_fail(err, GH_ERROR_NUMERIC, "the autoencoder's latents have a spread of %g", *out);
  return status;
}

/* Scales z by a = 1 / (GH_VAE_SCALE * spread) in the encoder's last convolution; the decoder's first convolution undoes
 * it. */
static void rescale(const char *name, float *values, int64_t n, double a) {
  bool last = !strcmp(name, "encoder.conv_out.weight"), bias = !strcmp(name, "encoder.conv_out.bias");
  if (last || bias)
    for (int64_t i = 0; i < n / 2; i++)
      values[i] = (float)(values[i] * a); /* the first half of the channels: the mean */
  if (bias)
    for (int64_t i = n / 2; i < n; i++) values[i] = (float)(values[i] + 2 * log(a)); /* log-variance */
  if (!strcmp(name, "decoder.conv_in.weight"))
    for (int64_t i = 0; i < n; i++) values[i] = (float)(values[i] / a);
}

typedef struct gh_rescaling {
  const gh_update *update;
  double a;
} gh_rescaling;

static void rescale_values(void *user, int index, float *values, int64_t n) {
  const gh_rescaling *r = user;
  rescale(r->update->parameters[index]->name, values, n, r->a);
}

static gh_status write_parameters(gh_error *err, gh_loop *l, gh_safetensors_writer *writer, double a) {
  const gh_update *u = &l->update;
  gh_rescaling rescaling = {u, a};
  gh_named_tensor *list = gh_alloc(err, (size_t)u->count, sizeof *list);
  for (int i = 0; list && i < u->count; i++)
    list[i] = (gh_named_tensor){.name = gh_name_make("%s", u->parameters[i]->name), .tensor = u->parameters[i]};
  gh_status status = GH_ERROR_MEMORY;
  if (list) status = gh_tensors_write_all(err, writer, l->device, list, u->count, rescale_values, &rescaling);
  free(list);
  return status;
}

static gh_status write_result(gh_error *err, gh_pretraining *p) {
  double spread = 1;
  gh_safetensors_writer *writer = NULL;
  char *path = gh_path_join(err, p->config->output, "autoencoder.safetensors");
  gh_status status = path ? measure_spread(err, p, &spread) : GH_ERROR_MEMORY;
  if (!status) status = gh_safetensors_writer_new(err, &writer, path);
  if (!status) status = write_parameters(err, &p->loop, writer, 1 / (GH_VAE_SCALE * spread));
  gh_safetensors_writer_free(writer);
  free(path);
  return status;
}

static gh_status no_snapshot(gh_error *err, gh_loop *loop) {
  (void)err;
  (void)loop;
  return GH_OK; /* the state is enough until the end */
}

/* ---- the run ---- */

/* Describes what identifies the run, for resuming. */
static gh_status describe(gh_error *err, const gh_pretrain_config *c, gh_json **out) {
  gh_json *root = gh_json_object(err), *levels = NULL;
  gh_status status = root ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_strings(err, root, "images", &c->data.images);
  if (!status) status = (levels = gh_json_put_array(err, root, "multipliers")) ? GH_OK : err->status;
  for (int i = 0; i < c->vae.levels && !status; i++) status = gh_json_put_int(err, levels, NULL, c->vae.multipliers[i]);
  const struct {
    const char *key;
    double value;
  } numbers[] = {{"image_size", (double)c->image_size},
                 {"channels", c->vae.channels},
                 {"blocks", c->vae.blocks},
                 {"latent", c->vae.latent},
                 {"kl_weight", c->kl_weight},
                 {"batch", (double)c->stage.batch},
                 {"lr", c->stage.optimizer.lr},
                 {"warmup", (double)c->stage.optimizer.warmup},
                 {"seed", (double)c->seed}};
  for (size_t i = 0; i < GH_COUNT(numbers) && !status; i++)
    status = gh_json_put_double(err, root, numbers[i].key, numbers[i].value);
  if (!status) status = gh_json_put_doubles(err, root, "crop_scale", c->data.crop_scale, 2);
  if (!status) status = gh_json_put_doubles(err, root, "crop_ratio", c->data.crop_ratio, 2);
  if (!status)
    *out = root;
  else
    gh_json_free(root);
  return status;
}

/* Initial biases of a fresh encoder, where PyTorch's default makes learning slow.
 *
 * Log-variance: with the default, the latents are drawn with a deviation near 1, much larger than the differences
 * between their means, and the decoder learns from noise for hundreds of updates. So the encoder starts with a small
 * variance, and the KL term finds the balance.
 *
 * Inputs of group norms: a group norm subtracts each group's mean. In a narrow model, with two channels per group, that
 * also removes a picture's brightness and colours. Biases of alternating sign give each group a spread of its own, so
 * that the picture's mean survives. */
static void start_bias(const char *name, float *values, int64_t n) {
  static const char *const feeding[] = {"conv_in.bias", "downsample.conv.bias", "upsample.conv.bias",
                                        "nin_shortcut.bias", ".conv1.bias"};
  if (!strcmp(name, "encoder.conv_out.bias"))
    for (int64_t i = n / 2; i < n; i++) values[i] = FIRST_LOG_VARIANCE;
  for (size_t k = 0; k < GH_COUNT(feeding); k++)
    if (gh_ends_with(name, feeding[k]))
      for (int64_t i = 0; i < n; i++) values[i] += i % 2 ? -1.0f : 1.0f;
}

static gh_status start_biases(gh_error *err, gh_loop *l) {
  gh_status status = GH_OK;
  for (int i = 0; i < l->update.count && !status; i++) {
    gh_tensor *t = l->update.parameters[i];
    if (t->role != GH_ROLE_BIAS) continue;
    float *values = gh_alloc(err, (size_t)gh_tensor_elements(t), sizeof *values);
    status = values ? gh_tensor_read(err, l->device, t, values) : GH_ERROR_MEMORY;
    if (!status) start_bias(t->name, values, gh_tensor_elements(t));
    if (!status) status = gh_tensor_write(err, l->device, t, values);
    free(values);
  }
  return status;
}

static gh_status prepare(gh_error *err, gh_pretraining *p, const gh_train_options *o, const char *folder,
                         const gh_state_info *from) {
  gh_loop *l = &p->loop;
  int64_t asked = p->config->stage.micro_batch;
  l->micro_batch = folder ? from->micro_batch : GH_MIN(p->config->stage.batch, asked ? asked : AUTO_MICRO_BATCH);
  gh_status status = GH_OK;
  if (folder && !o->replan) status = gh_choices_freeze(err, l->device, from->plan);
  if (!status) status = build(err, p);
  if (!status) status = gh_choices_describe(err, l->device, l->micro_batch, &l->plan_json);
  if (!status && folder) status = gh_state_load(err, folder, l->device, &l->update);
  if (!status && folder) l->done = from->update;
  if (!status && !folder) status = start_biases(err, l);
  if (!status) {
    gh_budget budget;
    gh_budget_describe(&budget, l->store, &l->step, &l->update);
    gh_budget_print(l->device, l->label, &budget, l->micro_batch, false);
  }
  if (!status) status = gh_loop_load_images(err, l, &p->config->data, (uint64_t)p->config->seed);
  if (!status && folder && !o->allow_data_change) status = gh_loop_check_data(err, l, from->data_hash);
  if (!status) p->began = true;
  if (!status) status = gh_loop_begin_run(err, l->run, l->config_json, folder ? from : NULL);
  return status ? status : gh_choices_write(err, l->run, l->plan_json);
}

static gh_status train(gh_error *err, gh_pretraining *p, const gh_train_options *o, gh_stage_report *report) {
  gh_loop *l = &p->loop;
  char *folder = NULL;
  gh_state_info from = {0};
  double began = gh_now();
  gh_status status = describe(err, p->config, &l->config_json);
  const gh_strings *images = &p->config->data.images;
  if (!status) status = gh_loop_find_run(err, l->run, l->config_json, o->resume, &folder, &from);
  if (!status) status = gh_image_set_open(err, &p->images, "images", (const char *const *)images->items, images->count);
  if (!status) status = gh_image_set_check(err, p->images);
  l->set = p->images;
  if (!status) status = prepare(err, p, o, folder, &from);
  if (!status) status = gh_loop_run(err, l);
  if (!status) status = write_result(err, p);
  if (!status) status = gh_loop_report(err, l, gh_now() - began, report);
  gh_state_info_free(&from);
  free(folder);
  return status;
}

gh_status gh_pretrain_autoencoder(gh_error *err, const gh_pretrain_config *c, const gh_train_options *o,
                                  gh_stage_report *report) {
  gh_device *device = NULL;
  gh_run_hold hold = {0};
  *report = (gh_stage_report){0};
  gh_status status = gh_setup_device(err, c->device, true, &device);
  if (!status) status = gh_run_lock(err, c->output, &hold);
  gh_pretraining p = {.config = c};
  p.loop = (gh_loop){.label = "autoencoder",
                     .number = 1,
                     .run = c->output,
                     .stage = &c->stage,
                     .state_keep = c->state_keep,
                     .state_minutes = c->state_minutes,
                     .quiet = o->quiet,
                     .progress = o->progress,
                     .progress_user = o->progress_user,
                     .snapshot = no_snapshot,
                     .user = &p,
                     .device = device};
  if (!status) status = train(err, &p, o, report);
  gh_loop_free(&p.loop);
  gh_image_set_free(p.images);
  gh_run_unlock(&hold, p.began);
  gh_device_close(device);
  return status;
}
