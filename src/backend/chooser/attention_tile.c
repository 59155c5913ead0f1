#include "backend/chooser/attention_tile.h"

#include <stdio.h>

#include "backend/chooser/attention_internal.h"

#define TINY_MADDS 1e6 /* below this there is nothing to gain */

static void key_of(const void *of, char *key, size_t size) {
  static const char *const parts[] = {"forward", "backward q", "backward kv"};
  const gh_attention_work *work = of;
  const gh_attention_desc *d = &work->desc;
  char masked[32] = "";
  if (d->hidden) snprintf(masked, sizeof masked, " masked=%lld", (long long)d->hidden);
  snprintf(key, size, "%s %lldx%lld batch=%lld heads=%lld size=%lld %s%s%s%s", parts[d->part], (long long)d->nq,
           (long long)d->nk, (long long)d->batch, (long long)d->heads, (long long)d->size, gh_dtype_name(d->dtype),
           d->causal ? " causal" : "", masked, work->unit ? " matrix" : "");
}

static bool supports(const gh_provider *p, const void *work, const gh_device *d) {
  return gh_attention_tile_suits((const gh_attention_tile *)p, work, &d->info);
}

/* Forcing a tile concerns the kernels that have it: the way and the pass that its name says. */
static bool concerns(const gh_provider *p, const void *of) {
  const gh_attention_tile *tile = (const gh_attention_tile *)p;
  const gh_attention_work *work = of;
  return tile->backward == (work->desc.part != GH_ATTENTION_FORWARD) &&
         (tile->way == GH_ATTENTION_MATRIX) == (work->unit != NULL);
}

static bool is_timed(const void *work) { return gh_attention_madds(work) >= TINY_MADDS; }

static const char *const sources[] = {"tuned_attention", "tuned_attention_matrix", "tuned_attention_columns", NULL};

const gh_choice_kind gh_attention_tile_kind = {.name = "attention_tile",
                                               .title = "attention tile",
                                               .variable = "GH_ATTENTION_TILE",
                                               .provider = gh_attention_usual,
                                               .key = key_of,
                                               .supports = supports,
                                               .suits = supports,
                                               .concerns = concerns,
                                               .trial_open = gh_attention_trial_open,
                                               .trial_run = gh_attention_trial_run,
                                               .trial_close = gh_attention_trial_close,
                                               .is_timed = is_timed,
                                               .only_searched = true,
                                               .sources = sources,
                                               .searched = gh_attention_searched,
                                               .desc_bytes = sizeof(gh_attention_work),
                                               .work = gh_attention_madds};
