#include "train/helps.h"

#include "method/setup.h"
#include "train/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES 12

typedef struct gh_helper {
  const gh_config *config;
  gh_json *document;
  int stage;
  gh_device *device;
  double base;
  gh_help found[CANDIDATES];
  int count;
} gh_helper;

/* Measures the stage under the changed configuration. False where it cannot be: weights of another size are given. */
static bool measure(const gh_helper *h, const gh_config *config, gh_help *out) {
  gh_error ignored = {0};
  gh_models models = {0};
  gh_lora lora;
  gh_budget budget = {0};
  const gh_stage_config *stage = &config->stages[h->stage - 1];
  gh_status status = gh_models_open(&ignored, &models, config, NULL, NULL);
  const bool adapts = h->stage == 2 && config->lora.enabled;
  if (!status) {
    gh_setup_lora(&lora, config, &models, NULL);
    gh_step_spec spec = gh_setup_step(config, &models, h->stage, stage->micro_batch, adapts ? &lora : NULL);
    spec.device = h->device;
    if (h->stage == 2) status = gh_evaluate_measure(&ignored, config, h->device, spec.lora, &budget);
    if (!status) status = gh_budget_fit(&ignored, &spec, stage, config->recompute, &h->device, 1, &budget);
    out->fits = !status;
    out->peak = gh_budget_peak(&budget);
    out->arithmetic = h->base > 0 ? budget.flops / (double)spec.batch / h->base : 0;
  }
  gh_models_close(&models);
  return out->peak && (!status || status == GH_ERROR_MEMORY);
}

/* Settings that belong together. */
static gh_status add_sets(gh_error *err, gh_helper *h, const char *const *sets, size_t count) {
  gh_help *out = &h->found[h->count];
  gh_config config;
  char *text = NULL;
  size_t size = 0, used = 0;
  if (h->count == CANDIDATES) return GH_OK;
  *out = (gh_help){0};
  for (size_t i = 0; i < count && used < sizeof out->set; i++)
    used += (size_t)snprintf(out->set + used, sizeof out->set - used, "%s%s", i ? " " : "", sets[i]);
  gh_status status = gh_json_print(err, &text, &size, h->document, false);
  if (!status) status = gh_config_parse(err, &config, "the configuration", text, size, sets, count);
  free(text);
  if (status) return status == GH_ERROR_CONFIG ? GH_OK : status; /* a check of two keys forbids it */
  h->count += measure(h, &config, out);
  gh_config_free(&config);
  return GH_OK;
}

static gh_status add(gh_error *err, gh_helper *h, const char *key, const char *value) {
  char set[80];
  snprintf(set, sizeof set, "%s=%s", key, value);
  return add_sets(err, h, (const char *const[]){set}, 1);
}

/* All that saves memory of what is trained, for where none of it is enough alone. */
static gh_status add_all_less_memory(gh_error *err, gh_helper *h) {
  static const char *const sets[] = {"precision=bf16", "memory.master_weights=bf16", "memory.gradients=bf16",
                                     "memory.moments=8bit"};
  const gh_config *c = h->config;
  const int reduced = (c->master_weights != GH_PRECISION_FLOAT32) + (c->gradients != GH_PRECISION_FLOAT32) +
                      (c->moments != GH_MOMENTS_FLOAT32);
  const size_t first = c->precision != GH_PRECISION_FLOAT32; /* the others need the precision */
  return reduced > 1 ? GH_OK : add_sets(err, h, sets + first, GH_COUNT(sets) - first);
}

/* A denoiser of half the depth, by whichever keys its kind has. */
static gh_status add_denoisers(gh_error *err, gh_helper *h) {
  static const char *const depths[] = {"denoiser.double_blocks", "denoiser.single_blocks", "denoiser.layers"};
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(depths) && !status; i++) {
    const gh_json *value = gh_json_at(h->document, depths[i]);
    gh_error ignored;
    int64_t depth = 0;
    char half[24];
    if (!value || gh_json_to_int(&ignored, value, depths[i], &depth) || depth < 2) continue;
    snprintf(half, sizeof half, "%lld", (long long)depth / 2);
    status = add(err, h, depths[i], half);
  }
  return status;
}

static int most_useful_first(const void *a, const void *b) {
  const gh_help *x = a, *y = b;
  if (x->fits != y->fits) return x->fits ? -1 : 1;
  if (x->peak != y->peak) return x->peak < y->peak ? -1 : 1;
  return strcmp(x->set, y->set);
}

gh_status gh_helps_find(gh_error *err, const gh_config *config, int stage, gh_device *device, double base,
                        gh_help helps[GH_HELPS], int *count) {
  gh_helper h = {.config = config, .stage = stage, .device = device, .base = base};
  char key[32];
  snprintf(key, sizeof key, "stage%d.micro_batch", stage);
  *count = 0;
  gh_status status = gh_config_to_json(err, &h.document, config);
  if (!status && config->stages[stage - 1].micro_batch > 1) status = add(err, &h, key, "auto");
  if (!status && config->recompute == GH_RECOMPUTE_NONE) status = add(err, &h, "memory.recompute", "auto");
  if (!status && config->precision == GH_PRECISION_FLOAT32) status = add(err, &h, "precision", "bf16");
  if (!status && config->moments == GH_MOMENTS_FLOAT32) status = add(err, &h, "memory.moments", "8bit");
  if (!status && config->master_weights == GH_PRECISION_FLOAT32 && config->precision == GH_PRECISION_BFLOAT16)
    status = add(err, &h, "memory.master_weights", "bfloat16");
  if (!status && config->gradients == GH_PRECISION_FLOAT32 && config->precision == GH_PRECISION_BFLOAT16)
    status = add(err, &h, "memory.gradients", "bfloat16");
  if (!status && config->offload == GH_OFFLOAD_NONE && !device->info.shares_host)
    status = add(err, &h, "memory.offload", "optimizer");
  if (!status) status = add_all_less_memory(err, &h);
  if (!status) status = add_denoisers(err, &h);
  if (!status && stage == 2 && gh_json_count(config->evaluate)) status = add(err, &h, "evaluate", "[]");
  gh_json_free(h.document);
  if (status) return status;
  qsort(h.found, (size_t)h.count, sizeof *h.found, most_useful_first);
  *count = GH_MIN(h.count, GH_HELPS);
  memcpy(helps, h.found, (size_t)*count * sizeof *helps);
  return GH_OK;
}
