#include "backend/chooser/gemm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/chooser/gemm_internal.h"
#include "backend/chooser/internal.h"
#include "cl/launch.h"

void gh_gemm_key(const gh_gemm_desc *desc, char *key, size_t size) {
  const bool mixed = desc->dtype_c != desc->dtype;
  char more[24] = "";
  if (desc->second.k) snprintf(more, sizeof more, "+%lld", (long long)desc->second.k);
  int used = snprintf(key, size, "m=%lld n=%lld k=%lld%s %c%c batch=%lld beta=%d %s%s%s", (long long)desc->m,
                      (long long)desc->n, (long long)desc->k, more, desc->trans_a ? 't' : 'n',
                      desc->trans_b ? 't' : 'n', (long long)desc->batch, desc->beta != 0.0, gh_dtype_name(desc->dtype),
                      mixed ? ":" : "", mixed ? gh_dtype_name(desc->dtype_c) : "");
  if (desc->image.channels && used > 0 && (size_t)used < size) gh_gemm_image_key(desc, key + used, size - (size_t)used);
}

void gh_gemm_deciding_key(const char *key, char *out, size_t size) {
  const char *second = strchr(key, '+'), *rest = second ? strchr(second, ' ') : NULL;
  snprintf(out, size, "%.*s%s", rest ? (int)(second - key) : (int)strlen(key), key, rest ? rest : "");
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
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: rows of %s are %lld elements apart but %lld long", name,
                   (long long)ld, (long long)columns);
  int64_t room = d->backend->buffer_bytes(buffer) / (int64_t)gh_dtype_size(dtype);
  if (elements < 0 || elements > room)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: %s ends at element %lld, but its buffer has %lld", name,
                   (long long)elements, (long long)room);
  return GH_OK;
}

/* Any two floating types, but not both narrow ones. */
static bool are_supported(gh_dtype in, gh_dtype out) {
  return gh_dtype_is_float(in) && gh_dtype_is_float(out) && (in == out || in == GH_F32 || out == GH_F32);
}

static gh_status check_epilogue(gh_error *err, const gh_device *d, const gh_gemm_desc *g, int64_t end_c) {
  if (g->epilogue < GH_EPILOGUE_NONE || g->epilogue > GH_EPILOGUE_BIAS_GELU)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: there is no epilogue %d", (int)g->epilogue);
  gh_status status = GH_OK;
  const int64_t biases = g->image.channels ? g->m : g->n;
  if (g->epilogue != GH_EPILOGUE_NONE)
    status = check_matrix(err, d, "the bias", g->bias, biases, biases, biases, g->dtype_c);
  if (!status && g->epilogue == GH_EPILOGUE_BIAS_GELU && g->before)
    status = check_matrix(err, d, "the input of GELU", g->before, end_c, g->n, g->ldc, g->dtype_c);
  return status;
}

static gh_status check_image(gh_error *err, const gh_gemm_desc *g) {
  const int64_t c = g->image.channels, h = g->image.height, w = g->image.width, taps = g->image.side * g->image.side;
  const int64_t rows = g->trans_b ? g->n : g->k, positions = g->trans_b ? g->k : g->n;
  if (c < 1 || h < 1 || w < 1 || taps < 1 || g->image.stride < 1 || g->image.out_width < 1 || rows % taps ||
      rows / taps != c || positions % g->image.out_width)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: images of %lldx%lldx%lld do not make a B of %lldx%lld", (long long)c,
                   (long long)h, (long long)w, (long long)g->k, (long long)g->n);
  return GH_OK;
}

static gh_status check_second(gh_error *err, const gh_device *d, const gh_gemm_desc *g) {
  if (!g->second.k) return GH_OK;
  if (g->second.k < 0 || g->batch != 1 || g->image.channels)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: a second product of k %lld, batch %lld%s", (long long)g->second.k,
                   (long long)g->batch, g->image.channels ? ", beside a convolution" : "");
  const int64_t k = g->second.k, rows_a = g->trans_a ? k : g->m, columns_a = g->trans_a ? g->m : k;
  const int64_t rows_b = g->trans_b ? g->n : k, columns_b = g->trans_b ? k : g->n;
  const int64_t end_a = extent(0, rows_a, columns_a, g->second.lda, 1, 0);
  const int64_t end_b = extent(0, rows_b, columns_b, g->second.ldb, 1, 0);
  gh_status status = check_matrix(err, d, "A2", g->second.a, end_a, columns_a, g->second.lda, g->dtype);
  return status ? status : check_matrix(err, d, "B2", g->second.b, end_b, columns_b, g->second.ldb, g->dtype);
}

/* Sizes, strides and extents against the buffers; GH_ERROR_ARGUMENT names what is wrong. */
static gh_status check(gh_error *err, const gh_device *d, const gh_gemm_desc *g, const gh_buffer *a, const gh_buffer *b,
                       const gh_buffer *c) {
  if (g->m < 1 || g->n < 1 || g->k < 1 || g->batch < 1)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: %lldx%lldx%lld, batch %lld", (long long)g->m, (long long)g->n,
                   (long long)g->k, (long long)g->batch);
  if (g->offset_a < 0 || g->offset_b < 0 || g->offset_c < 0 || g->stride_a < 0 || g->stride_b < 0 || g->stride_c < 0)
    return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: a negative offset or stride");
  if (!are_supported(g->dtype, g->dtype_c))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "gemm: %s in, %s out: f32 with bf16 or f16 is supported",
                   gh_dtype_name(g->dtype), gh_dtype_name(g->dtype_c));
  if (g->batch > 1 && !g->stride_c) return gh_fail(err, GH_ERROR_ARGUMENT, "gemm: a batch needs stride_c");
  int64_t rows_a = g->trans_a ? g->k : g->m, columns_a = g->trans_a ? g->m : g->k;
  const bool image = g->image.channels != 0;
  if (image && check_image(err, g)) return GH_ERROR_ARGUMENT;
  int64_t rows_b = g->trans_b ? g->n : g->k, columns_b = g->trans_b ? g->k : g->n, ldb = g->ldb;
  if (image) rows_b = g->image.channels, columns_b = ldb = g->image.height * g->image.width;
  int64_t ends[] = {extent(g->offset_a, rows_a, columns_a, g->lda, g->batch, g->stride_a),
                    extent(g->offset_b, rows_b, columns_b, ldb, g->batch, g->stride_b),
                    extent(g->offset_c, g->m, g->n, g->ldc, g->batch, g->stride_c)};
  gh_status status = check_matrix(err, d, "A", a, ends[0], columns_a, g->lda, g->dtype);
  if (!status) status = check_matrix(err, d, "B", b, ends[1], columns_b, ldb, g->dtype);
  if (!status) status = check_matrix(err, d, "C", c, ends[2], g->n, g->ldc, g->dtype_c);
  if (!status) status = check_second(err, d, g);
  return status ? status : check_epilogue(err, d, g, ends[2]);
}

/* ---- the kind ---- */

bool gh_gemm_supports(const gh_gemm_provider *p, const gh_gemm_desc *g, const gh_device *d) {
  return p->convolves == (g->image.channels != 0) && p->supports(g, d);
}

static const gh_gemm_provider *of(const gh_provider *p) { return (const gh_gemm_provider *)p; }

static const gh_provider *provider_at(int index) {
  return gh_gemm_providers[index].base.name ? &gh_gemm_providers[index].base : NULL;
}

static void key_of(const void *desc, char *key, size_t size) { gh_gemm_key(desc, key, size); }

static bool supports(const gh_provider *p, const void *desc, const gh_device *d) {
  return gh_gemm_supports(of(p), desc, d);
}

static bool suits(const gh_provider *p, const void *desc, const gh_device *d) { return gh_gemm_suits(of(p), desc, d); }

static bool concerns(const gh_provider *p, const void *desc) {
  return of(p)->convolves == (((const gh_gemm_desc *)desc)->image.channels != 0);
}

static const char *const sources[] = {
    "tuned_gemm_cpu", "tuned_gemm_amx", "tuned_gemm_amx_bf16", "tuned_gemm_dot",  "tuned_gemm_matrix",
    "tuned_gemm_gpu", "tuned_conv_amx", "conv2d_direct",       "conv2d_winograd", NULL};

const gh_choice_kind gh_gemm_kind = {.name = "gemm",
                                     .title = "GEMM",
                                     .variable = "GH_GEMM",
                                     .provider = provider_at,
                                     .fallback = GH_GEMM_COLUMNS,
                                     .key = key_of,
                                     .supports = supports,
                                     .suits = suits,
                                     .concerns = concerns,
                                     .trial_open = gh_gemm_trial_open,
                                     .trial_run = gh_gemm_trial_run,
                                     .trial_close = gh_gemm_trial_close,
                                     .time = gh_gemm_trial_time,
                                     .verdict = gh_gemm_verdict,
                                     .is_timed = gh_gemm_is_timed,
                                     .skips = gh_gemm_skips_library,
                                     .sources = sources,
                                     .searched = gh_gemm_searched,
                                     .desc_bytes = sizeof(gh_gemm_desc),
                                     .work = gh_gemm_madds};

/* ---- binding ---- */

/* On Intel's units of 8 lanes the large tile's sums take all registers: with a second product they spilled. */
bool gh_gemm_has_second(const gh_gemm_provider *p, const gh_gemm_desc *g, const gh_device *d) {
  const bool divides = g->second.alpha == 0 || isnormal((float)(g->second.alpha / g->alpha)); /* gemm_second.h */
  const bool full = p->bind == gh_gemm_matrix_bind && d->info.matrix == GH_MATRIX_DPAS8 && p->size[0] == 128;
  return (p->fuses & GH_GEMM_SECOND) && g->second.k <= GEMM_SECOND_DEPTH && divides && !full;
}

/* Its kernels for a second product are others than those that were checked when it was chosen. They are checked at
 * their first use in a process, on one shape for all; not while something watches the work, which tries nothing. */
static gh_status joins(gh_error *err, gh_device *d, const gh_gemm_provider *p, const gh_gemm_desc *g, bool *out) {
  *out = gh_gemm_has_second(p, g, d);
  if (!*out || gh_choices_are_watched(d)) return GH_OK;
  char key[GH_CHOICE_KEY];
  gh_gemm_key(g, key, sizeof key);
  gh_choice_state *state = gh_choice_state_get(err, d, &gh_gemm_kind);
  return state ? gh_trial_verdict(err, d, state, &p->base, g, key, out) : err->status;
}

static gh_status provider_for(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_gemm_provider **out) {
  const gh_provider *chosen;
  gh_gemm_desc first = *desc;
  bool itself = true;
  first.second.k = 0;
  gh_status status = gh_choose(err, d, &gh_gemm_kind, &first, &chosen);
  if (!status) *out = of(chosen);
  if (!status && desc->second.k) status = joins(err, d, *out, desc, &itself);
  if (status) return status;
  const bool fused = desc->epilogue == GH_EPILOGUE_NONE || ((*out)->fuses & (1u << desc->epilogue));
  if (fused && itself) return GH_OK;
  char key[GH_CHOICE_KEY];
  gh_gemm_key(desc, key, sizeof key);
  if (!itself)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "GEMM %s: provider %s does not add a second product", key, chosen->name);
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "GEMM %s: provider %s does not fuse epilogue %d", key, chosen->name,
                 (int)desc->epilogue);
}

gh_status gh_gemm_joins(gh_error *err, gh_device *d, const gh_gemm_desc *desc, bool *itself) {
  const gh_gemm_provider *provider;
  gh_status status = provider_for(err, d, desc, &provider);
  *itself = !status;
  return status == GH_ERROR_UNSUPPORTED ? GH_OK : status;
}

/* A provider that prepares the weights needs room for them. */
static gh_status check_prepared(gh_error *err, const gh_device *d, const gh_gemm_desc *g, const gh_gemm_provider *p) {
  if (!p->prepare) return GH_OK;
  const int64_t end = g->image.prepared_offset + gh_gemm_prepared_elements(d, g);
  const bool fits = g->image.prepared && g->image.prepared_offset >= 0 &&
                    d->backend->buffer_bytes(g->image.prepared) / (int64_t)sizeof(float) >= end;
  return fits ? GH_OK
              : gh_fail(err, GH_ERROR_ARGUMENT, "gemm: %s needs room for %lld prepared weights", p->base.name,
                        (long long)gh_gemm_prepared_elements(d, g));
}

gh_status gh_gemm_bind(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a, const gh_buffer *b,
                       gh_buffer *c, gh_launch **out) {
  *out = NULL;
  const gh_gemm_provider *provider = NULL;
  gh_gemm_desc g = *desc;
  gh_status status = check(err, d, desc, a, b, c);
  if (!status) status = provider_for(err, d, desc, &provider);
  if (!status) status = check_prepared(err, d, desc, provider);
  if (g.second.alpha == 0) g.second.k = 0; /* kernels divide by it */
  return status ? status : provider->bind(err, d, provider, &g, a, b, c, out);
}

gh_status gh_gemm_prepare(gh_error *err, gh_device *d, const gh_gemm_desc *desc, const gh_buffer *a, gh_launch **out) {
  const gh_gemm_provider *provider;
  *out = NULL;
  gh_status status = provider_for(err, d, desc, &provider);
  if (!status) status = check_prepared(err, d, desc, provider);
  return status || !provider->prepare ? status : provider->prepare(err, d, desc, a, out);
}

gh_status gh_gemm_convolves(gh_error *err, gh_device *d, const gh_gemm_desc *desc, bool *itself) {
  const gh_provider *chosen;
  gh_status status = gh_choose(err, d, &gh_gemm_kind, desc, &chosen);
  *itself = !status && !gh_choice_is_fallback(&gh_gemm_kind, chosen);
  return status;
}

gh_status gh_gemm_choose(gh_error *err, gh_device *d, const gh_gemm_desc *desc) {
  const gh_gemm_provider *provider;
  return provider_for(err, d, desc, &provider);
}
