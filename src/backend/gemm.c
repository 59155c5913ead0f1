#include "backend/gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gemm_internal.h"
#include "backend/kernel_source.h"
#include "base/cache.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

#define MAX_CACHE_BYTES ((size_t)16 << 20)

void gh_gemm_key(const gh_gemm_desc *desc, char *key, size_t size) {
  const bool mixed = desc->dtype_c != desc->dtype;
  int used = snprintf(key, size, "m=%lld n=%lld k=%lld %c%c batch=%lld beta=%d %s%s%s", (long long)desc->m,
                      (long long)desc->n, (long long)desc->k, desc->trans_a ? 't' : 'n', desc->trans_b ? 't' : 'n',
                      (long long)desc->batch, desc->beta != 0.0, gh_dtype_name(desc->dtype), mixed ? ":" : "",
                      mixed ? gh_dtype_name(desc->dtype_c) : "");
  if (desc->image.channels && used > 0 && (size_t)used < size)
    snprintf(key + used, size - (size_t)used, " 3x3 w=%lld", (long long)desc->image.width);
}

/* Elements from the start of the buffer to the end of the last matrix; -1 on overflow. */
static int64_t extent(int64_t offset, int64_t rows, int64_t columns, int64_t ld, int64_t batch, int64_t stride) {
  int64_t whole, matrix, end;
  if (__builtin_mul_overflow(batch - 1, stride, &whole) || __builtin_mul_overflow(rows - 1, ld, &matrix) ||
      __builtin_add_overflow(whole, matrix, &end) || __builtin_add_overflow(end, columns, &end) ||
      __builtin_add_overflow(end, offset, &end))
    return -1;
  return end;
}

static gh_status check_matrix(gh_error *err, const gh_device *d, const char *name, const gh_buffer *buffer,
                              int64_t elements, int64_t columns, int64_t ld, gh_dtype dtype) {
  if (!buffer) return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: no buffer for %s", name);
  if (ld < columns)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: rows of %s are %lld elements apart and %lld long", name,
                   (long long)ld, (long long)columns);
  int64_t room = d->backend->buffer_bytes(buffer) / (int64_t)gh_dtype_size(dtype);
  if (elements < 0 || elements > room)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: %s ends at element %lld, its buffer has %lld", name,
                   (long long)elements, (long long)room);
  return GH_OK;
}

static bool is_served(gh_dtype dtype) { return dtype == GH_F32 || dtype == GH_BF16; }

static gh_status check_epilogue(gh_error *err, const gh_device *d, const gh_gemm_desc *g, int64_t end_c) {
  if (g->epilogue < GH_EPILOGUE_NONE || g->epilogue > GH_EPILOGUE_BIAS_GELU)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: there is no epilogue %d", (int)g->epilogue);
  gh_status status = GH_OK;
  const int64_t biases = g->image.channels ? g->m : g->n;
  if (g->epilogue != GH_EPILOGUE_NONE)
    status = check_matrix(err, d, "the bias", g->bias, biases, biases, biases, g->dtype_c);
  if (!status && g->epilogue == GH_EPILOGUE_BIAS_GELU && g->before)
    status = check_matrix(err, d, "what is before the GELU", g->before, end_c, g->n, g->ldc, g->dtype_c);
  return status;
}

static gh_status check_image(gh_error *err, const gh_gemm_desc *g) {
  const int64_t c = g->image.channels, h = g->image.height, w = g->image.width;
  if (c < 1 || h < 1 || w < 1 || g->trans_b || g->k % 9 || g->k / 9 != c || g->n % w || g->n / w != h)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: images of %lldx%lldx%lld do not make a B of %lldx%lld", (long long)c,
                   (long long)h, (long long)w, (long long)g->k, (long long)g->n);
  return GH_OK;
}

gh_status gh_gemm_check(gh_error *err, const gh_device *d, const gh_gemm_desc *g, const gh_buffer *a,
                        const gh_buffer *b, const gh_buffer *c) {
  if (g->m < 1 || g->n < 1 || g->k < 1 || g->batch < 1)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: %lldx%lldx%lld, batch %lld", (long long)g->m, (long long)g->n,
                   (long long)g->k, (long long)g->batch);
  if (g->offset_a < 0 || g->offset_b < 0 || g->offset_c < 0 || g->stride_a < 0 || g->stride_b < 0 || g->stride_c < 0)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: a negative offset or stride");
  if (!is_served(g->dtype) || !is_served(g->dtype_c))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "gemm: %s in, %s out: f32 and bf16 are served", gh_dtype_name(g->dtype),
                   gh_dtype_name(g->dtype_c));
  if (g->batch > 1 && !g->stride_c) return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: a batch needs a stride of C");
  int64_t rows_a = g->trans_a ? g->k : g->m, columns_a = g->trans_a ? g->m : g->k;
  const bool image = g->image.channels != 0;
  if (image && check_image(err, g)) return GH_ERROR_ARGUMENT;
  int64_t rows_b = g->trans_b ? g->n : g->k, columns_b = g->trans_b ? g->k : g->n, ldb = g->ldb;
  if (image) rows_b = g->image.channels, columns_b = ldb = g->n;
  int64_t ends[] = {extent(g->offset_a, rows_a, columns_a, g->lda, g->batch, g->stride_a),
                    extent(g->offset_b, rows_b, columns_b, ldb, g->batch, g->stride_b),
                    extent(g->offset_c, g->m, g->n, g->ldc, g->batch, g->stride_c)};
  gh_status status = check_matrix(err, d, "A", a, ends[0], columns_a, g->lda, g->dtype);
  if (!status) status = check_matrix(err, d, "B", b, ends[1], columns_b, ldb, g->dtype);
  if (!status) status = check_matrix(err, d, "C", c, ends[2], g->n, g->ldc, g->dtype_c);
  return status ? status : check_epilogue(err, d, g, ends[2]);
}

bool gh_gemm_serves(const gh_gemm_provider *p, const gh_gemm_desc *g, const gh_device *d) {
  return p->convolves == (g->image.channels != 0) && p->applies(g, d);
}

bool gh_gemm_suits(const gh_gemm_provider *p, const gh_gemm_desc *g, const gh_device *d) {
  return gh_gemm_serves(p, g, d) && GH_MIN(g->m, GH_MIN(g->n, g->k)) >= p->min_side;
}

/* ---- choices, sorted by key ---- */

const gh_gemm_provider *gh_gemm_find(const gh_gemm_state *state, const char *name) {
  for (int i = 0; state->providers[i]; i++)
    if (!strcmp(state->providers[i]->name, name)) return state->providers[i];
  return NULL;
}

static gh_status unknown_provider(gh_error *err, const gh_gemm_state *state, const char *name) {
  char names[600] = "";
  size_t used = 0;
  for (int i = 0; state->providers[i] && used < sizeof names; i++)
    used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", state->providers[i]->name);
  return gh_fail(err, GH_ERROR_ARGUMENT, "there is no GEMM provider \"%s\": there are %s", name, names);
}

/* Where key is, or where it would have to stand. */
static int find_choice(const gh_gemm_state *state, const char *key, bool *found) {
  int low = 0, high = state->count;
  *found = false;
  while (low < high) {
    int middle = (low + high) / 2, order = strcmp(state->choices[middle].key, key);
    if (!order) {
      *found = true;
      return middle;
    }
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static gh_status set_choice(gh_error *err, gh_gemm_state *state, const char *key, const gh_gemm_provider *provider,
                            bool forced) {
  bool found;
  int at = find_choice(state, key, &found);
  if (found) {
    state->choices[at].provider = provider;
    return GH_OK;
  }
  if (state->count == state->capacity) {
    int capacity = GH_MAX(64, 2 * state->capacity);
    gh_gemm_choice_entry *grown = gh_alloc(err, (size_t)capacity, sizeof *grown);
    if (!grown) return GH_ERROR_MEMORY;
    if (state->count) memcpy(grown, state->choices, (size_t)state->count * sizeof *grown);
    free(state->choices);
    state->choices = grown;
    state->capacity = capacity;
  }
  char *copy = gh_strdup(err, key);
  if (!copy) return GH_ERROR_MEMORY;
  gh_gemm_choice_entry *place = state->choices + at;
  memmove(place + 1, place, (size_t)(state->count - at) * sizeof *place);
  *place = (gh_gemm_choice_entry){copy, provider, forced};
  state->count++;
  return GH_OK;
}

/* ---- the cache on disk: {"shape": "provider", ...}; never fatal ---- */

static gh_json *read_cache(const gh_gemm_state *state) {
  gh_error err;
  gh_json *root = NULL;
  if (!state->cache_file || !gh_path_is_file(state->cache_file)) return NULL;
  if (gh_json_read_file(&err, &root, state->cache_file, MAX_CACHE_BYTES)) {
    gh_debug("%s: made anew", err.text);
    return NULL;
  }
  if (gh_json_type_of(root) == GH_JSON_OBJECT) return root;
  gh_json_free(root);
  return NULL;
}

static const gh_gemm_provider *cached_choice(const gh_gemm_state *state, const char *key) {
  gh_json *root = read_cache(state);
  const gh_json *member = root ? gh_json_member(root, key) : NULL;
  gh_error err;
  const char *name;
  const gh_gemm_provider *provider = NULL;
  if (member && !gh_json_to_string(&err, member, key, &name)) provider = gh_gemm_find(state, name);
  gh_json_free(root);
  return provider;
}

/* Another process may have written meanwhile: its choices are kept. */
static void save_choice(const gh_gemm_state *state, const char *key, const gh_gemm_provider *provider) {
  if (!state->cache_file) return;
  gh_error err = {0};
  gh_file_lock *lock = NULL;
  gh_json *root = NULL;
  char *lock_file = gh_format(&err, "%s.lock", state->cache_file);
  gh_status status = lock_file ? gh_file_lock_take(&err, &lock, lock_file, true) : GH_ERROR_MEMORY;
  if (!status) {
    root = read_cache(state);
    if (!root) root = gh_json_object(&err);
    status = root ? gh_json_put_string(&err, root, key, provider->name) : GH_ERROR_MEMORY;
  }
  if (!status) status = gh_json_write_file(&err, state->cache_file, root);
  if (status) gh_debug("GEMM choice not kept: %s", err.text);
  gh_json_free(root);
  gh_file_lock_release(lock);
  free(lock_file);
}

/* ---- the state ---- */

/* A hash over the text of every kernel that makes matrix products. */
static gh_status hash_kernels(gh_error *err, char out[GH_CACHE_KEY_SIZE]) {
  static const char *const names[] = {"tuned_gemm_cpu", "tuned_gemm_amx", "tuned_gemm_dot", "tuned_gemm_matrix",
                                      "tuned_gemm_gpu"};
  char hashes[GH_COUNT(names)][GH_CACHE_KEY_SIZE];
  const char *parts[GH_COUNT(names) + 1] = {NULL};
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    char *text;
    gh_status status = gh_kernel_source(err, names[i], &text);
    if (status) return status;
    gh_cache_key(hashes[i], (const char *[]){text, NULL});
    parts[i] = hashes[i];
    free(text);
  }
  gh_cache_key(out, parts);
  return GH_OK;
}

/* The cache file's name: everything that makes a choice stale. */
static char *cache_file_name(gh_error *err, gh_device *d) {
  char key[GH_CACHE_KEY_SIZE], kernels[GH_CACHE_KEY_SIZE], *path = NULL, *name = NULL;
  const char *library = d->backend->library_name(d);
  char *folder = gh_cache_folder();
  if (!folder || hash_kernels(err, kernels)) goto done;
  const char *parts[] = {"gemm",
                         d->backend->name,
                         d->info.platform,
                         d->info.driver,
                         d->info.name,
                         d->info.shape == GH_SHAPE_CPU ? "cpu" : "gpu",
                         d->info.is_cpu ? gh_cache_cpu_flags() : "",
                         d->info.amx ? "amx" : "",
                         library ? library : "",
                         kernels,
                         NULL};
  gh_cache_key(key, parts);
  name = gh_format(err, "gemm-%s.json", key);
  if (name) path = gh_path_join(err, folder, name);
done:
  free(folder);
  free(name);
  return path;
}

gh_gemm_state *gh_gemm_state_get(gh_error *err, gh_device *d) {
  if (d->gemm) return d->gemm;
  gh_gemm_state *state = gh_alloc(err, 1, sizeof *state);
  if (!state) return NULL;
  for (int i = 0; gh_gemm_providers[i].name; i++) state->providers[i] = &gh_gemm_providers[i];
  const char *forced = getenv("GH_GEMM");
  if (forced && *forced) {
    state->forced = gh_gemm_find(state, forced);
    if (!state->forced) {
      unknown_provider(err, state, forced);
      free(state);
      return NULL;
    }
  }
  state->cache_file = cache_file_name(err, d);
  d->gemm = state;
  return state;
}

void gh_gemm_state_free(gh_gemm_state *state) {
  if (!state) return;
  for (int i = 0; i < state->count; i++) free(state->choices[i].key);
  free(state->choices);
  free(state->cache_file);
  free(state);
}

gh_status gh_gemm_plant(gh_error *err, gh_device *d, const gh_gemm_provider *provider) {
  gh_gemm_state *state = gh_gemm_state_get(err, d);
  if (!state) return err->status;
  int count = 0;
  while (state->providers[count]) count++;
  if (count >= GH_GEMM_MAX_PROVIDERS) return gh_fail(err, GH_ERROR_ARGUMENT, "too many GEMM providers");
  memmove(state->providers + 1, state->providers, (size_t)(count + 1) * sizeof state->providers[0]);
  memset(state->family_good, 0, sizeof state->family_good);
  state->providers[0] = provider;
  return GH_OK;
}

/* ---- binding ---- */

static gh_status choose(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const char *key,
                        const gh_gemm_provider **out) {
  gh_gemm_state *state = gh_gemm_state_get(err, d);
  if (!state) return err->status;
  bool found;
  int at = find_choice(state, key, &found);
  if (state->forced && state->forced->convolves ==
                           (desc->image.channels != 0)) { /* what stood there before comes back when forcing ends */
    *out = state->forced;
    return found ? GH_OK : set_choice(err, state, key, state->forced, true);
  }
  if (found) {
    *out = state->choices[at].provider;
    return GH_OK;
  }
  *out = cached_choice(state, key);
  if (*out && gh_gemm_suits(*out, desc, d)) return set_choice(err, state, key, *out, false);
  gh_status status = gh_gemm_tune(err, d, desc, out);
  if (!status) status = set_choice(err, state, key, *out, false);
  if (!status && gh_gemm_is_timed(desc)) save_choice(state, key, *out);
  return status;
}

static gh_status provider_for(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_gemm_provider **out) {
  char key[160];
  gh_gemm_key(desc, key, sizeof key);
  gh_status status = choose(err, d, desc, key, out);
  if (status) return status;
  const gh_gemm_provider *provider = *out;
  if (!gh_gemm_serves(provider, desc, d))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "GEMM %s: provider %s does not serve it on %s", key, provider->name,
                   d->info.id);
  if (desc->epilogue != GH_EPILOGUE_NONE && !(provider->fuses & (1u << desc->epilogue)))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "GEMM %s: provider %s does not fuse epilogue %d", key, provider->name,
                   (int)desc->epilogue);
  return GH_OK;
}

gh_status gh_gemm_bind(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a, const gh_buffer *b,
                       gh_buffer *c, gh_launch **out) {
  *out = NULL;
  const gh_gemm_provider *provider = NULL;
  gh_status status = gh_gemm_check(err, d, desc, a, b, c);
  if (!status) status = provider_for(err, d, desc, &provider);
  return status ? status : provider->bind(err, d, provider, desc, a, b, c, out);
}

gh_status gh_gemm_choose(gh_error *err, gh_device *d, const gh_gemm_desc *desc) {
  const gh_gemm_provider *provider;
  return provider_for(err, d, desc, &provider);
}

/* ---- frozen and forced choices ---- */

gh_status gh_gemm_freeze(gh_error *err, gh_device *d, const char *key, const char *provider) {
  gh_gemm_state *state = gh_gemm_state_get(err, d);
  if (!state) return err->status;
  const gh_gemm_provider *found = gh_gemm_find(state, provider);
  return found ? set_choice(err, state, key, found, false) : unknown_provider(err, state, provider);
}

int gh_gemm_choice_count(const gh_device *d) { return d->gemm ? d->gemm->count : 0; }

void gh_gemm_choice(const gh_device *d, int index, const char **key, const char **provider) {
  *key = d->gemm->choices[index].key;
  *provider = d->gemm->choices[index].provider->name;
}

gh_status gh_gemm_force(gh_error *err, gh_device *d, const char *provider) {
  gh_gemm_state *state = gh_gemm_state_get(err, d);
  if (!state) return err->status;
  const gh_gemm_provider *found = provider ? gh_gemm_find(state, provider) : NULL;
  if (provider && !found) return unknown_provider(err, state, provider);
  int kept = 0;
  for (int i = 0; i < state->count; i++) {
    if (state->choices[i].forced)
      free(state->choices[i].key);
    else
      state->choices[kept++] = state->choices[i];
  }
  state->count = kept;
  state->forced = found;
  return GH_OK;
}
