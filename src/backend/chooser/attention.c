#include "backend/chooser/attention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/attention_internal.h"

/* ---- the providers ---- */

static bool matrix_supports(const gh_attention_desc *desc, const gh_device *d) {
  const char *unit = gh_attention_unit_of(&d->info);
  return unit && gh_attention_fits(desc, d, unit);
}

static bool shared_supports(const gh_attention_desc *desc, const gh_device *d) { return desc && d; }

static const gh_attention_provider providers[] = {
    {{"matrix", "matrix"}, "", matrix_supports},
    {{"shared", "shared"}, NULL, shared_supports},
};

/* ---- the kind ---- */

static const gh_attention_provider *of(const gh_provider *p) { return (const gh_attention_provider *)p; }

/* The defines of the provider's unit on the device; NULL: the shared kernels. */
static const char *unit_of(const gh_provider *p, const gh_device *d) {
  const char *unit = of(p)->unit;
  return unit && !*unit ? gh_attention_unit_of(&d->info) : unit;
}

static const gh_provider *provider_at(int index) {
  return index < (int)GH_COUNT(providers) ? &providers[index].base : NULL;
}

static void key_of(const void *desc, char *key, size_t size) {
  const gh_attention_desc *d = desc;
  snprintf(key, size, "size=%lld %s%s", (long long)d->size, gh_dtype_name(d->dtype), d->hidden ? " masked" : "");
}

static bool knows_key(const char *key) {
  for (int i = 0; gh_attention_sizes[i]; i++)
    for (int k = 0; k < 4; k++) {
      char known[40];
      key_of(&(gh_attention_desc){.dtype = k / 2 ? GH_F16 : GH_BF16, .size = gh_attention_sizes[i], .hidden = k % 2},
             known, sizeof known);
      if (!strcmp(known, key)) return true;
    }
  return false;
}

static bool supports(const gh_provider *p, const void *desc, const gh_device *d) { return of(p)->supports(desc, d); }

typedef struct trial {
  gh_device *d;
  gh_dtype dtype;
  int64_t size;
  bool masked;
} trial;

static gh_status trial_open(gh_error *err, gh_device *d, const void *desc, bool timed, void **out) {
  const gh_attention_desc *asked = desc;
  (void)timed;
  trial *t = gh_alloc(err, 1, sizeof *t);
  if (!t) return GH_ERROR_MEMORY;
  *t = (trial){d, asked->dtype, asked->size, asked->hidden != 0};
  *out = t;
  return GH_OK;
}

static gh_status trial_run(gh_error *err, void *of_trial, const gh_provider *p, gh_launch **launch) {
  const trial *t = of_trial;
  *launch = NULL;
  return gh_attention_check(err, t->d, t->dtype, t->size, t->masked, unit_of(p, t->d));
}

static int verdict(const void *desc) {
  const gh_attention_desc *d = desc;
  return 4 * gh_attention_index(d->size) + 2 * (d->dtype == GH_F16) + (d->hidden != 0);
}

const gh_choice_kind gh_attention_kind = {.name = "attention",
                                          .title = "attention",
                                          .variable = "GH_ATTENTION",
                                          .provider = provider_at,
                                          .fallback = "shared",
                                          .key = key_of,
                                          .knows_key = knows_key,
                                          .supports = supports,
                                          .suits = supports,
                                          .trial_open = trial_open,
                                          .trial_run = trial_run,
                                          .trial_close = free,
                                          .verdict = verdict,
                                          .rechecks = true};

/* The tiles of the kernels that `unit` selects. */
static gh_status choose_tile(gh_error *err, gh_device *d, const gh_attention_desc *desc, const char *unit,
                             gh_attention_kernel *out) {
  const gh_attention_work work = {*desc, unit};
  const gh_provider *tile;
  gh_status status = gh_choose(err, d, &gh_attention_tile_kind, &work, &tile);
  if (!status && out) gh_attention_kernel_of(&work, (const gh_attention_tile *)tile, &d->info, out);
  return status;
}

gh_status gh_attention_choose(gh_error *err, gh_device *d, const gh_attention_desc *desc, bool *matrix,
                              gh_attention_kernel *out) {
  const gh_provider *chosen;
  const char *unit = NULL;
  gh_status status = GH_OK;
  *matrix = false;
  /* In all other cases there is no choice between the two. */
  if (gh_dtype_is_narrow(desc->dtype) && GH_MAX(desc->nq, desc->nk) <= GH_ATTENTION_MAX_ROWS &&
      gh_attention_index(desc->size) >= 0) {
    status = gh_choose(err, d, &gh_attention_kind, desc, &chosen);
    if (status) return status;
    unit = unit_of(chosen, d);
  }
  *matrix = unit != NULL;
  return choose_tile(err, d, desc, unit, out);
}
