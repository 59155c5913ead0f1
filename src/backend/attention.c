#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/attention_internal.h"
#include "base/log.h"

enum { ITEMS = 128, LOCAL_BYTES = 36 * 1024, MAX_ROWS = 1 << 30 };

const int gh_attention_sizes[GH_ATTENTION_SIZES + 1] = {64, 72, 80, 128, 0};

static const char *const keys[GH_ATTENTION_SIZES] = {"size=64 bf16", "size=72 bf16", "size=80 bf16", "size=128 bf16"};

/* By gh_attention_provider. */
static const char *const names[] = {NULL, "shared", "matrix"};

/* Units one below the other and columns of a tile, of each part, for heads up to 80 and up to 128: as large as
 * registers allow on every device from sm_80 to sm_120. */
static const struct {
  int high, columns;
} tiles[2][GH_ATTENTION_PARTS] = {{{2, 32}, {2, 16}, {1, 32}}, {{1, 32}, {1, 32}, {1, 16}}};

static int index_of(int64_t size) {
  for (int i = 0; i < GH_ATTENTION_SIZES; i++)
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

/* ---- the state ---- */

static gh_status find_provider(gh_error *err, const char *name, gh_attention_provider *out) {
  *out = GH_ATTENTION_OPEN;
  for (int i = GH_ATTENTION_SHARED; i <= GH_ATTENTION_MATRIX; i++) {
    if (strcmp(names[i], name)) continue;
    *out = (gh_attention_provider)i;
    return GH_OK;
  }
  return gh_fail(err, GH_ERROR_ARGUMENT, "there are no attention kernels \"%s\": there are shared, matrix", name);
}

gh_attention_state *gh_attention_state_get(gh_error *err, gh_device *d) {
  if (d->attention) return d->attention;
  gh_attention_state *state = gh_alloc(err, 1, sizeof *state);
  const char *forced = getenv("GH_ATTENTION");
  if (state && forced && *forced && find_provider(err, forced, &state->forced)) {
    free(state);
    return NULL;
  }
  return d->attention = state;
}

void gh_attention_state_free(gh_attention_state *state) { free(state); }

/* ---- choosing ---- */

/* Its own unit's defines; NULL: none, or none that the kernels are written for. */
static const char *unit_of(const gh_attention_state *state, const gh_device *d) {
  return state->unit ? state->unit : d->info.matrix == GH_MATRIX_MMA ? "-DUNIT_MMA" : NULL;
}

static bool applies(const gh_attention_state *state, const gh_device *d) {
  return unit_of(state, d) && d->info.shape == GH_SHAPE_GPU && d->info.max_group >= ITEMS &&
         d->info.local_bytes >= LOCAL_BYTES;
}

/* Once a device and head size. */
static bool is_right(gh_device *d, gh_attention_state *state, int index) {
  if (!state->good[index]) {
    gh_error why = {0};
    const gh_status status = gh_attention_check(&why, d, gh_attention_sizes[index], unit_of(state, d));
    state->good[index] = status ? -1 : 1;
    if (status)
      gh_warn("%s: attention by matrix units (heads of %d) is left to the shared kernels: %s", d->info.id,
              gh_attention_sizes[index], why.text);
  }
  return state->good[index] > 0;
}

/* By what is forced, else frozen or chosen before, else by what the device can do. */
static gh_status choose(gh_error *err, gh_device *d, gh_attention_state *state, int index) {
  gh_attention_provider *chosen = &state->chosen[index];
  if (state->forced) *chosen = state->forced;
  if (*chosen == GH_ATTENTION_SHARED) return GH_OK;
  if (!applies(state, d)) /* and was asked for */
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "attention, %s: the kernels \"matrix\" do not serve %s", keys[index],
                   d->info.id);
  *chosen = is_right(d, state, index) ? GH_ATTENTION_MATRIX : GH_ATTENTION_SHARED;
  if (*chosen == state->forced || !state->forced) return GH_OK;
  return gh_fail(err, GH_ERROR_DEVICE, "attention, %s: the kernels \"matrix\" are wrong on %s", keys[index],
                 d->info.id);
}

gh_status gh_attention_choose(gh_error *err, gh_device *d, const gh_attention_desc *desc, bool *matrix,
                              gh_attention_kernel *out) {
  *matrix = false;
  gh_attention_state *state = gh_attention_state_get(err, d);
  if (!state) return err->status;
  const int index = desc->dtype == GH_BF16 && GH_MAX(desc->nq, desc->nk) <= MAX_ROWS ? index_of(desc->size) : -1;
  const bool asked = index >= 0 && (state->forced || state->chosen[index]);
  if (index < 0 || (!asked && !applies(state, d))) return GH_OK; /* there is no choice */
  gh_status status = choose(err, d, state, index);
  *matrix = !status && state->chosen[index] == GH_ATTENTION_MATRIX;
  if (*matrix && out) gh_attention_kernel_of(desc, unit_of(state, d), out);
  return status;
}

/* ---- frozen and forced choices ---- */

gh_status gh_attention_freeze(gh_error *err, gh_device *d, const char *key, const char *provider) {
  gh_attention_state *state = gh_attention_state_get(err, d);
  gh_attention_provider found;
  if (!state) return err->status;
  if (find_provider(err, provider, &found)) return err->status;
  for (int i = 0; i < GH_ATTENTION_SIZES; i++) {
    if (strcmp(keys[i], key)) continue;
    state->chosen[i] = found;
    return GH_OK;
  }
  return gh_fail(err, GH_ERROR_ARGUMENT, "attention is not chosen by \"%s\"", key);
}

int gh_attention_choice_count(const gh_device *d) {
  int count = 0;
  for (int i = 0; d->attention && i < GH_ATTENTION_SIZES; i++) count += d->attention->chosen[i] != GH_ATTENTION_OPEN;
  return count;
}

void gh_attention_choice(const gh_device *d, int index, const char **key, const char **provider) {
  for (int i = 0; i < GH_ATTENTION_SIZES; i++) {
    if (d->attention->chosen[i] == GH_ATTENTION_OPEN || index-- > 0) continue;
    *key = keys[i];
    *provider = names[d->attention->chosen[i]];
    return;
  }
}

gh_status gh_attention_force(gh_error *err, gh_device *d, const char *provider) {
  gh_attention_state *state = gh_attention_state_get(err, d);
  gh_attention_provider found = GH_ATTENTION_OPEN;
  if (!state) return err->status;
  if (provider && find_provider(err, provider, &found)) return err->status;
  state->forced = found;
  memset(state->chosen, 0, sizeof state->chosen);
  memset(state->good, 0, sizeof state->good);
  return GH_OK;
}
