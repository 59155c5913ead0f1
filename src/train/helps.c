#include "train/helps.h"

#include "method/setup.h"
#include "train/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES 10

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

static gh_status add(gh_error *err, gh_helper *h, const char *key, const char *value) {
  gh_help *out = &h->found[h->count];
  gh_config config;
  char *text = NULL;
  size_t size = 0;
  if (h->count == CANDIDATES) return GH_OK;
  *out = (gh_help){0};
  snprintf(out->set, sizeof out->set, "%s=%s", key, value);
  const char *set = out->set;
  gh_status status = gh_json_print(err, &text, &size, h->document, false);
  if (!status) status = gh_config_parse(err, &config, "the configuration", text, size, &set, 1);
  free(text);
  if (status) return status == GH_ERROR_CONFIG ? GH_OK : status; /* a check of two keys forbids it */
  h->count += measure(h, &config, out);
  gh_config_free(&config);
  return GH_OK;
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
  if (!status) status = add_denoisers(err, &h);
  if (!status && stage == 2 && gh_json_count(config->evaluate)) status = add(err, &h, "evaluate", "[]");
  gh_json_free(h.document);
  if (status) return status;
  qsort(h.found, (size_t)h.count, sizeof *h.found, most_useful_first);
  *count = GH_MIN(h.count, GH_HELPS);
  memcpy(helps, h.found, (size_t)*count * sizeof *helps);
  return GH_OK;
}
