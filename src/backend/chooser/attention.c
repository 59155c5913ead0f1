#include "backend/chooser/attention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/attention_internal.h"

enum { ITEMS = 128, LOCAL_BYTES = 36 * 1024, MAX_ROWS = 1 << 30, SIZES = 4 };

const int gh_attention_sizes[SIZES + 1] = {64, 72, 80, 128, 0};

/* Units one below the other and columns of a tile, of each part, for heads up to 80 and up to 128: as large as
 * registers allow on every device from sm_80 to sm_120. */
static const struct {
  int high, columns;
} tiles[2][GH_ATTENTION_PARTS] = {{{2, 32}, {2, 16}, {1, 32}}, {{1, 32}, {1, 32}, {1, 16}}};

static int index_of(int64_t size) {
  for (int i = 0; i < SIZES; i++)
    if (gh_attention_sizes[i] == size) return i;
  return -1;
}

void gh_attention_kernel_of(const gh_attention_desc *desc, const char *unit, gh_attention_kernel *out) {
  static const char *const kernels[] = {"attention_matrix_forward", "attention_matrix_backward_q",
                                        "attention_matrix_backward_kv"};
  const int large = desc->size > 80, high = tiles[large][desc->part].high;
  const int64_t rows = 64 * high, count = desc->part == GH_ATTENTION_BACKWARD_KV ? desc->nk : desc->nq;
  snprintf(out->defines, sizeof out->defines, "%s -DPART=%d -DSIZE=%d -DMI=%d -DCOLUMNS=%d", unit, (int)desc->part,
           (int)desc->size, high, tiles[large][desc->part].columns);
  out->id = (gh_kernel_id){
      .name = kernels[desc->part], .source = "tuned_attention_matrix", .defines = out->defines, .dtype = GH_F32};
  out->grid = (gh_grid){{(size_t)GH_CEIL_DIV(count, rows), (size_t)desc->heads, (size_t)desc->batch}, {ITEMS, 1, 1}};
}

/* ---- the providers ---- */

bool gh_attention_fits(const gh_attention_desc *desc, const gh_device *d) {
  return index_of(desc->size) >= 0 && d->info.shape == GH_SHAPE_GPU && d->info.max_group >= ITEMS &&
         d->info.local_bytes >= LOCAL_BYTES;
}

static bool mma_supports(const gh_attention_desc *desc, const gh_device *d) {
  return d->info.matrix == GH_MATRIX_MMA && gh_attention_fits(desc, d);
}

static bool shared_supports(const gh_attention_desc *desc, const gh_device *d) { return desc && d; }

static const gh_attention_provider providers[] = {
    {{"matrix", "matrix"}, "-DUNIT_MMA", mma_supports},
    {{"shared", "shared"}, NULL, shared_supports},
};

/* ---- the kind ---- */

static const gh_attention_provider *of(const gh_provider *p) { return (const gh_attention_provider *)p; }

static const gh_provider *provider_at(int index) {
  return index < (int)GH_COUNT(providers) ? &providers[index].base : NULL;
}

static void key_of(const void *desc, char *key, size_t size) {
  snprintf(key, size, "size=%lld bf16", (long long)((const gh_attention_desc *)desc)->size);
}

static bool knows_key(const char *key) {
  for (int i = 0; i < SIZES; i++) {
    char known[40];
    key_of(&(gh_attention_desc){.size = gh_attention_sizes[i]}, known, sizeof known);
    if (!strcmp(known, key)) return true;
  }
  return false;
}

static bool supports(const gh_provider *p, const void *desc, const gh_device *d) { return of(p)->supports(desc, d); }

typedef struct trial {
  gh_device *d;
  int64_t size;
} trial;

static gh_status trial_open(gh_error *err, gh_device *d, const void *desc, bool timed, void **out) {
  (void)timed;
  trial *t = gh_alloc(err, 1, sizeof *t);
  if (!t) return GH_ERROR_MEMORY;
  *t = (trial){d, ((const gh_attention_desc *)desc)->size};
  *out = t;
  return GH_OK;
}

static gh_status trial_run(gh_error *err, void *of_trial, const gh_provider *p, gh_launch **launch) {
  const trial *t = of_trial;
  *launch = NULL;
  return gh_attention_check(err, t->d, t->size, of(p)->unit);
}

static int verdict(const void *desc) { return index_of(((const gh_attention_desc *)desc)->size); }

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

gh_status gh_attention_choose(gh_error *err, gh_device *d, const gh_attention_desc *desc, bool *matrix,
                              gh_attention_kernel *out) {
  const gh_provider *chosen;
  *matrix = false;
  /* Elsewhere there is no choice. */
  if (desc->dtype != GH_BF16 || GH_MAX(desc->nq, desc->nk) > MAX_ROWS || index_of(desc->size) < 0) return GH_OK;
  gh_status status = gh_choose(err, d, &gh_attention_kind, desc, &chosen);
  *matrix = !status && of(chosen)->unit;
  if (*matrix && out) gh_attention_kernel_of(desc, of(chosen)->unit, out);
  return status;
}
