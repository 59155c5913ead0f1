#include "method/masked.h"

#include <math.h>

/* ---- keys ---- */

static const gh_word readings[] = {{"every_layer", GH_CROSS_EVERY_LAYER}, {"once", GH_CROSS_ONCE}, {0}};

/* clang-format off */
#define ROW(path, type, member, fallback, least, greatest, flags) \
  GH_ROW(path, type, gh_masked_config, member, fallback, least, greatest, flags)
/* clang-format on */

static const gh_row rows[] = {
    ROW("autoencoder", ROW_STRING, autoencoder, "\"\"", 0, 0, ROW_REQUIRED),
    ROW("denoiser.layers", ROW_INT, layers, "6", 1, 1000, 0),
    ROW("denoiser.hidden", ROW_INT, hidden, "1024", 1, 1e6, 0),
    ROW("denoiser.heads", ROW_INT, heads, "16", 1, 1e4, 0),
    ROW("denoiser.mask_ratio", ROW_PAIR, mask_ratio, "[0.5,0.9]", 0, 1, 0),
    GH_ROW_OF_WORDS("denoiser.cross_attention", gh_masked_config, cross_attention, "\"every_layer\"", readings),
};

static const char *const tiny_keys[] = {"denoiser.layers=2", "denoiser.hidden=128", "denoiser.heads=4", NULL};

static gh_status check_keys(gh_error *err, const gh_config *config) {
  const gh_masked_config *c = gh_masked_config_of(config);
  if (c->hidden % c->heads == 0) return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG, "denoiser.hidden: %lld is not a multiple of denoiser.heads, %lld",
                 (long long)c->hidden, (long long)c->heads);
}

/* ---- models ---- */

/* Codes per picture; 0 where the encoder's images do not make a whole grid. */
static int64_t positions_of(const gh_models *m) {
  const int factor = gh_vqgan_factor(&gh_masked_models_of(m)->vqgan), side = m->clip.image / factor;
  return m->clip.image % factor ? 0 : (int64_t)side * side;
}

static void size_denoiser(gh_models *m) {
  gh_masked_models *own = m->own;
  const gh_masked_config *c = gh_masked_config_of(m->config);
  own->perceiver = (gh_perceiver_config){.layers = (int)c->layers,
                                         .hidden = (int)c->hidden,
                                         .heads = (int)c->heads,
                                         .cross_once = c->cross_attention == GH_CROSS_ONCE,
                                         .vector = own->vqgan.embedding,
                                         .codes = own->vqgan.codes,
                                         .positions = positions_of(m)};
}

static gh_status open_models(gh_error *err, gh_models *m, const char **key) {
  gh_masked_models *own = m->own;
  *key = "autoencoder";
  gh_status status = gh_safetensors_open(err, &own->vqgan_file, gh_masked_config_of(m->config)->autoencoder);
  if (!status) status = gh_vqgan_config_read(err, own->vqgan_file, &own->vqgan);
  if (!status) size_denoiser(m);
  return status;
}

static void draft_models(gh_models *m, bool tiny) {
  ((gh_masked_models *)m->own)->vqgan = tiny ? gh_vqgan_tiny : gh_vqgan_f16;
  size_denoiser(m);
}

static void close_models(void *own) { gh_safetensors_close(((gh_masked_models *)own)->vqgan_file); }

static int files_of(const void *own, const gh_safetensors **out) {
  out[0] = ((const gh_masked_models *)own)->vqgan_file;
  return 1;
}

static gh_status check_models(gh_error *err, const gh_models *m) {
  const gh_masked_models *own = gh_masked_models_of(m);
  if (!own->perceiver.positions)
    return gh_fail(err, GH_ERROR_CONFIG, "the encoder's image size %d is not a multiple of the VQ-GAN's %d",
                   m->clip.image, gh_vqgan_factor(&own->vqgan));
  return gh_perceiver_config_check(err, &own->perceiver);
}

gh_module gh_masked_tokenizer(const gh_module *frozen, const gh_masked_models *own) {
  gh_module tokenizer = *frozen;
  tokenizer.weights = own->vqgan_file;
  return tokenizer;
}

/* ---- targets: the picture's codes ---- */

#define CODES "rows of the codebook" /* what a code selects from */

static void target_of(const gh_models *m, gh_target *out) {
  const gh_masked_models *own = gh_masked_models_of(m);
  out->name = out->files = "codes";
  out->dtype = GH_I32;
  out->below = own->vqgan.codes;
  out->what = CODES;
  out->rank = 1;
  out->shape[0] = own->perceiver.positions;
}

static gh_status identify(gh_error *err, const gh_models *m, gh_json *into) {
  static const char *const read[] = {"encoder.", "quant_conv.", "quantize.", NULL};
  return gh_target_identify(err, gh_masked_models_of(m)->vqgan_file, read, "vqgan", into);
}

static gh_tensor *codes_of(gh_module *frozen, const gh_models *m, gh_tensor *images) {
  const gh_masked_models *own = gh_masked_models_of(m);
  gh_module tokenizer = gh_masked_tokenizer(frozen, own);
  return gh_vqgan_encode(&tokenizer, &own->vqgan, gh_target_pixels(frozen->graph, images));
}

/* ---- the step ---- */

/* (B, N): drawn, or an input. */
static gh_tensor *mask_of(gh_recording *r, int64_t positions) {
  const double *ratio = gh_masked_config_of(r->spec->models->config)->mask_ratio;
  const int64_t shape[2] = {r->spec->batch, positions};
  if (!gh_recording_draws(r)) return gh_recording_index(r, "mask", 2, shape, 2, "values 0 and 1, where 1 masks a code");
  return gh_random_mask(r->graph, r->step->block, gh_recording_stream(r, "mask_ratio").key,
                        gh_recording_stream(r, "mask").key, r->spec->batch, positions, ratio[0], ratio[1]);
}

/* Algorithm 2: the cross-entropy of the masked codes, given the visible ones and the condition. Logits exist for as
 * many positions as can be masked at once; a given mask may mask all. */
static void record(gh_recording *r, gh_tensor *condition, gh_tensor *codes) {
  const gh_models *m = r->spec->models;
  const gh_masked_models *own = gh_masked_models_of(m);
  const gh_perceiver_config *p = &own->perceiver;
  const int64_t batch = r->spec->batch, shape[2] = {batch, p->positions};
  const double most = gh_masked_config_of(m->config)->mask_ratio[1];
  gh_module tokenizer = gh_masked_tokenizer(&r->frozen, own);
  if (!codes) codes = gh_recording_index(r, "codes", 2, shape, p->codes, CODES);
  gh_tensor *vectors = gh_vqgan_vectors(&tokenizer, &own->vqgan, codes), *correct = NULL;
  gh_graph_segment(r->graph);
  gh_graph_phase(r->graph, "denoiser");
  gh_tensor *tokens = gh_perceiver_condition(&r->denoiser, p, condition, gh_recording_tokens(r));
  gh_tensor *mask = mask_of(r, p->positions);
  gh_tensor *index =
      gh_masked_positions(r->graph, mask, gh_recording_draws(r) ? gh_mask_most(p->positions, most) : p->positions);
  gh_tensor *logits = gh_perceiver(&r->denoiser, p, vectors, mask, tokens, index);
  r->step->loss = gh_cross_entropy(r->graph, logits, codes, index, r->step->block, &correct);
  gh_recording_log(r, correct);
  gh_recording_output(r, "codes", codes);
  gh_recording_output(r, "mask", mask);
  gh_recording_output_rows(r, "logits", logits, index);
}

static const gh_objective_log logs[] = {{"perplexity", exp}, {"masked_accuracy", NULL}, {NULL, NULL}};

const gh_objective gh_masked_codes = {
    .kind = {.name = "discrete",
             .rows = rows,
             .row_count = GH_COUNT(rows),
             .record_bytes = sizeof(gh_masked_config),
             .check = check_keys,
             .foreign = "the discrete denoiser"},
    .loss = "cross-entropy",
    .phase = "tokenizer",
    .probe_inputs =
        "images (B,3,S,S) in [0,1], or pixel_values (B,3,S,S) and codes (B,N); mask (B,N), 1 where a code is "
        "masked. Codes that are given with images are used.",
    .logs = logs,
    .model_bytes = sizeof(gh_masked_models),
    .open = open_models,
    .draft = draft_models,
    .tiny_keys = tiny_keys,
    .close = close_models,
    .files = files_of,
    .check = check_models,
    .target = target_of,
    .identify = identify,
    .compute_target = codes_of,
    .record = record,
    .drawing = &gh_masked_drawing,
};
