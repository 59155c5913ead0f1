#include "method/flow_sampler.h"
#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void gh_sampler_schedule(double *levels, int steps, int64_t tokens) {
  double mu = 0.5 + (1.15 - 0.5) * ((double)tokens - 256) / (4096 - 256);
  for (int i = 0; i <= steps; i++) {
    double t = 1 - (double)i / steps;
    levels[i] = i < steps ? exp(mu) / (exp(mu) + 1 / t - 1) : 0;
  }
}

/* ---- planning ---- */

static gh_tensor *input(gh_error *err, gh_sampler *s, const char *name, int rank, const int64_t *shape) {
  gh_tensor *t = NULL;
  gh_store_add(err, s->store, name, GH_F32, rank, shape, &t);
  return t;
}

static gh_status plan(gh_error *err, gh_graph *g, gh_tensor *result) {
  if (gh_graph_failed(g)) {
    *err = *gh_graph_error(g);
    return err->status;
  }
  gh_graph_keep(g, result);
  return gh_graph_plan(err, g);
}

static gh_status plan_denoiser(gh_error *err, gh_sampler *s) {
  const gh_sampler_spec *spec = &s->spec;
  const int64_t shape[3] = {spec->batch, spec->tokens, spec->flux.channels};
  s->condition = input(err, s, "condition", 2, (int64_t[]){spec->batch, spec->width});
  s->x = s->condition ? input(err, s, "x", 3, shape) : NULL;
  s->t = s->x ? input(err, s, "t", 1, &spec->batch) : NULL;
  if (!s->t || gh_graph_create(err, spec->device, &s->denoise)) return err->status;
  gh_module m = {.graph = s->denoise, .store = s->store, .weights = spec->denoiser, .storage = spec->storage};
  gh_tensor *vector, *context;
  gh_projectors(&m, &spec->flux, s->condition, NULL, &vector, &context);
  s->prediction = gh_flux_denoiser(&m, &spec->flux, s->x, s->t, vector, context);
  return plan(err, s->denoise, s->prediction);
}

static gh_status plan_decoder(gh_error *err, gh_sampler *s, int64_t side) {
  const gh_sampler_spec *spec = &s->spec;
  s->z = input(err, s, "z", 3, (int64_t[]){spec->batch, spec->tokens, spec->flux.channels});
  if (!s->z || gh_graph_create(err, spec->device, &s->decode)) return err->status;
  gh_module m = {.graph = s->decode, .store = s->store, .weights = spec->autoencoder};
  gh_tensor *z =
      gh_unpatchify(s->decode, s->z, GH_FLOW_PACK, spec->vae.latent, GH_FLOW_PACK * side, GH_FLOW_PACK * side);
  s->image = gh_vae_decode(&m, &spec->vae, z);
  return plan(err, s->decode, s->image);
}

gh_status gh_sampler_open(gh_error *err, gh_sampler *s, const gh_sampler_spec *spec) {
  *s = (gh_sampler){.spec = *spec};
  int64_t side = (int64_t)lround(sqrt((double)spec->tokens));
  if (side * side != spec->tokens || spec->flux.channels != GH_FLOW_PACK * GH_FLOW_PACK * spec->vae.latent)
    return gh_fail(err, GH_ERROR_CONFIG, "%lld tokens of %d channels do not fit an autoencoder of %d latent channels",
                   (long long)spec->tokens, spec->flux.channels, spec->vae.latent);
  gh_status status = gh_flux_config_check(err, &spec->flux);
  if (!status) status = gh_store_create(err, spec->device, &s->store);
  if (!status) status = plan_denoiser(err, s);
  return status ? status : plan_decoder(err, s, side);
}

void gh_sampler_close(gh_sampler *s) {
  gh_graph_free(s->denoise);
  gh_graph_free(s->decode);
  gh_store_free(s->store);
  *s = (gh_sampler){0};
}

/* ---- running ---- */

/* x += (next - level) * dx/dlevel. In the paper's convention time is 1 - level, and the velocity has the opposite
 * sign. */
static gh_status euler_step(gh_error *err, gh_sampler *s, float *x, float *velocity, float *times, double level,
                            double next) {
  const gh_sampler_spec *spec = &s->spec;
  double step = spec->noise_at_one ? next - level : level - next;
  for (int64_t b = 0; b < spec->batch; b++) times[b] = (float)(spec->noise_at_one ? level : 1 - level);
  if (gh_tensor_write(err, spec->device, s->x, x) || gh_tensor_write(err, spec->device, s->t, times) ||
      gh_graph_run(err, s->denoise) || gh_tensor_read(err, spec->device, s->prediction, velocity))
    return err->status;
  for (int64_t i = 0; i < gh_tensor_elements(s->x); i++) x[i] = (float)((double)x[i] + step * (double)velocity[i]);
  return GH_OK;
}

static gh_status decode(gh_error *err, gh_sampler *s, float *images, const float *x, float *z) {
  int64_t n = gh_tensor_elements(s->z), pixels = gh_tensor_elements(s->image);
  for (int64_t i = 0; i < n; i++) z[i] = (float)((double)x[i] / s->spec.vae.scale + s->spec.vae.shift);
  if (gh_tensor_write(err, s->spec.device, s->z, z) || gh_graph_run(err, s->decode) ||
      gh_tensor_read(err, s->spec.device, s->image, images))
    return err->status;
  for (int64_t i = 0; i < pixels; i++)
    if (!isfinite(images[i])) return gh_fail(err, GH_ERROR_NUMERIC, "a sampled image is not finite");
  return GH_OK;
}

gh_status gh_sampler_run(gh_error *err, gh_sampler *s, float *latents, float *images, const float *condition,
                         const float *noise, void (*progress)(void *user, int step), void *user) {
  const int steps = s->spec.steps;
  size_t n = (size_t)gh_tensor_elements(s->x);
  float *x = gh_alloc(err, n, sizeof *x), *velocity = gh_alloc(err, n, sizeof *velocity);
  float *times = gh_alloc(err, (size_t)s->spec.batch, sizeof *times);
  double *levels = gh_alloc(err, (size_t)steps + 1, sizeof *levels);
  gh_status status = x && velocity && times && levels ? GH_OK : GH_ERROR_MEMORY;
  if (!status) {
    gh_sampler_schedule(levels, steps, s->spec.tokens);
    memcpy(x, noise, n * sizeof *x);
    status = gh_tensor_write(err, s->spec.device, s->condition, condition);
  }
  for (int i = 0; i < steps && !status; i++) {
    status = euler_step(err, s, x, velocity, times, levels[i], levels[i + 1]);
    if (progress) progress(user, i + 1);
  }
  if (!status && latents) memcpy(latents, x, n * sizeof *x);
  if (!status) status = decode(err, s, images, x, velocity);
  free(x);
  free(velocity);
  free(times);
  free(levels);
  return status;
}

/* ---- as the objective's drawing ---- */

typedef struct gh_flow_drawer {
  gh_sampler sampler;
  uint64_t seed;
  float *noise; /* (B, N, C) */
} gh_flow_drawer;

static void close_drawer(void *drawer) {
  gh_flow_drawer *d = drawer;
  if (!d) return;
  gh_sampler_close(&d->sampler);
  free(d->noise);
  free(d);
}

static gh_status open_drawer(gh_error *err, const gh_drawing_spec *spec, void **out) {
  const gh_models *m = spec->models;
  const gh_flow_models *own = gh_flow_models_of(m);
  const int64_t side = gh_flow_side(m);
  const gh_sampler_spec how = {.device = spec->device,
                               .flux = own->flux,
                               .vae = own->vae,
                               .denoiser = m->denoiser_file,
                               .autoencoder = own->vae_file,
                               .batch = spec->batch,
                               .width = spec->width,
                               .tokens = side * side,
                               .steps = spec->how.steps,
                               .noise_at_one =
                                   gh_flow_config_of(m->config)->timestep.convention == GH_TIME_NOISE_AT_ONE,
                               .storage = gh_precision_storage(m->config->precision)};
  gh_flow_drawer *d = gh_alloc(err, 1, sizeof *d);
  *out = NULL;
  if (!d) return GH_ERROR_MEMORY;
  d->seed = spec->how.seed;
  d->noise = gh_alloc(err, (size_t)(how.batch * how.tokens * how.flux.channels), sizeof *d->noise);
  gh_status status = d->noise ? gh_sampler_open(err, &d->sampler, &how) : GH_ERROR_MEMORY;
  if (status)
    close_drawer(d);
  else
    *out = d;
  return status;
}

static gh_status draw(gh_error *err, void *drawer, float *images, const float *conditions, uint64_t first,
                      void (*progress)(void *user, int step), void *user) {
  gh_flow_drawer *d = drawer;
  const gh_stream stream = gh_stream_make(d->seed, 0, "reconstruct", "");
  const int64_t batch = d->sampler.spec.batch, n = d->sampler.spec.tokens * d->sampler.spec.flux.channels;
  for (int64_t b = 0; b < batch; b++) gh_stream_normals(stream, first + (uint64_t)b, 0, n, d->noise + b * n);
  gh_status status = gh_sampler_run(err, &d->sampler, NULL, images, conditions, d->noise, progress, user);
  int64_t pixels = gh_tensor_elements(d->sampler.image);
  for (int64_t i = 0; i < pixels && !status; i++) images[i] = (images[i] + 1) / 2;
  return status;
}

const gh_drawing gh_flow_drawing = {.steps = GH_SAMPLER_STEPS,
                                    .details =
                                        "twenty Euler steps over FLUX's time-shifted schedule, at the run's guidance.",
                                    .open = open_drawer,
                                    .draw = draw,
                                    .close = close_drawer};
