/* Pre-training CLIP: two towers in transformers' layout, on pictures with captions. */
#include "train/pretrain.h"

#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(gh_pretrain_config, member)

static const gh_word schedules[] = {{"constant", GH_SCHEDULE_CONSTANT}, {"cosine", GH_SCHEDULE_COSINE}, {0}};

static const gh_row rows[] = {
    {"patch", ROW_INT, AT(patch), "8", 1, 4096, 0, NULL},
    {"width", ROW_INT, AT(width), "128", 1, 1 << 16, 0, NULL},
    {"layers", ROW_INT, AT(layers), "4", 1, 1024, 0, NULL},
    {"heads", ROW_INT, AT(heads), "4", 1, 1024, 0, NULL},
    {"text_width", ROW_INT, AT(text_width), "128", 1, 1 << 16, 0, NULL},
    {"text_layers", ROW_INT, AT(text_layers), "2", 1, 1024, 0, NULL},
    {"text_heads", ROW_INT, AT(text_heads), "4", 1, 1024, 0, NULL},
    {"projection", ROW_INT, AT(projection), "128", 1, 1 << 16, 0, NULL},
    {"context", ROW_INT, AT(context), "32", 3, 4096, 0, NULL},
    {"vocabulary", ROW_INT, AT(vocabulary), "1024", GH_BPE_LEAST, 1 << 16, 0, NULL},
    {"tokenizer", ROW_MAYBE_STRING, AT(tokenizer), "null", 0, 0, 0, NULL},
    {"batch", ROW_INT, AT(stage.batch), "256", 2, 1 << 20, 0, NULL},
    {"weight_decay", ROW_REAL, AT(stage.optimizer.weight_decay), "0.2", 0, 1e3, 0, NULL},
    {"schedule", ROW_WORD, AT(stage.optimizer.schedule), "\"cosine\"", 0, 0, 0, schedules},
};

/* ---- sizes ---- */

static void set_tower(gh_transformer *t, int64_t width, int64_t layers, int64_t heads) {
  t->hidden = (int)width;
  t->layers = (int)layers;
  t->heads = (int)heads;
  t->mlp = (int)(4 * width);
}

static gh_status check_multiple(gh_error *err, const char *name, int64_t value, const char *of, int64_t divisor) {
  if (value % divisor == 0) return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG, "%s: %lld is not a multiple of %s, %lld", name, (long long)value, of,
                 (long long)divisor);
}

static void set_vocabulary(gh_text_config *text, int64_t vocabulary) {
  text->vocabulary = (int)vocabulary;
  text->eos = vocabulary - 1;
}

/* The optimiser's other settings are those of CLIP's ViT: Table 20 of its paper. What no key says is as in the smallest
 * architecture. */
static gh_status size(gh_error *err, gh_pretrain_config *c) {
  gh_optimizer_config *o = &c->stage.optimizer;
  const gh_arch *tiny = NULL;
  gh_status status = gh_arch_find(err, "tiny", &tiny);
  if (status) return status;
  o->betas[1] = 0.98;
  o->eps = 1e-6;
  o->spare_vectors = true;
  c->clip = *tiny;
  set_tower(&c->clip.vision.tower, c->width, c->layers, c->heads);
  set_tower(&c->clip.text.tower, c->text_width, c->text_layers, c->text_heads);
  set_vocabulary(&c->clip.text, c->vocabulary);
  c->clip.vision.image = (int)c->image_size;
  c->clip.vision.patch = (int)c->patch;
  c->clip.vision.projection = c->clip.text.projection = (int)c->projection;
  c->clip.text.positions = (int)c->context;
  status = check_multiple(err, "width", c->width, "heads", c->heads);
  if (!status) status = check_multiple(err, "text_width", c->text_width, "text_heads", c->text_heads);
  return status ? status : check_multiple(err, "image_size", c->image_size, "patch", c->patch);
}

/* A cosine's learning rates depend on how many updates there are. */
static int numbers(const gh_pretrain_config *c, gh_metrics_number *out) {
  const gh_optimizer_config *o = &c->stage.optimizer;
  const bool cosine = o->schedule == GH_SCHEDULE_COSINE;
  const gh_metrics_number own[] = {
      {"patch", (double)c->patch},           {"width", (double)c->width},
      {"layers", (double)c->layers},         {"heads", (double)c->heads},
      {"text_width", (double)c->text_width}, {"text_layers", (double)c->text_layers},
      {"text_heads", (double)c->text_heads}, {"projection", (double)c->projection},
      {"context", (double)c->context},       {"vocabulary", c->tokenizer ? 0 : (double)c->vocabulary},
      {"weight_decay", o->weight_decay},     {"cosine_steps", cosine ? (double)c->stage.steps : 0}};
  _Static_assert(GH_COUNT(own) <= GH_PRETRAIN_NUMBERS, "they fit");
  memcpy(out, own, sizeof own);
  return GH_COUNT(own);
}

/* ---- before training ---- */

/* Lines are as long as the longest caption: what follows a line's end changes nothing, because attention is causal. */
static gh_status open_captions(gh_error *err, gh_pretraining *p) {
  const gh_pretrain_config *c = p->config;
  gh_status status = gh_caption_tokens_open(err, &p->captions, p->images, c->tokenizer, c->vocabulary, c->context);
  if (status) return status;
  p->kept.contrastive = (gh_contrastive){.batch = c->stage.batch, .length = p->captions->longest};
  p->kept.contrastive.arch = c->clip;
  set_vocabulary(&p->kept.contrastive.arch.text, p->captions->vocabulary);
  p->loop.extra_hash = p->captions->hash;
  return GH_OK;
}

static gh_tensor *record(gh_module *m, const gh_pretrain_config *c, gh_step *step, gh_pretrain_kept *kept) {
  (void)c;
  return gh_contrastive_record(m, &kept->contrastive, step);
}

/* CLIPPreTrainedModel._init_weights: the values of `genhance init`. */
typedef struct gh_starting {
  const char *name;
  uint64_t seed;
  float *values;
  int64_t n;
} gh_starting;

static gh_status draw(gh_error *err, void *user, const char *name, int rank, const int64_t *shape, gh_init init) {
  const gh_starting *s = user;
  (void)err, (void)rank, (void)shape;
  if (!strcmp(name, s->name)) gh_init_draw(s->values, 0, s->n, init, s->seed, name);
  return GH_OK;
}

static void start(const gh_pretrain_config *c, const char *name, float *values, int64_t n) {
  gh_arch_tensors(NULL, &c->clip, draw, &(gh_starting){name, (uint64_t)c->seed, values, n});
}

/* ---- an update ---- */

static gh_status send_lines(gh_error *err, gh_loop *l, const gh_loader_sample *samples, int64_t count) {
  gh_pretraining *p = l->user;
  gh_contrastive *c = &p->kept.contrastive;
  gh_caption_tokens_fill(p->captions, samples, count, c->micro_batch, c->length, c->host_ids, c->host_pooled);
  gh_status status = gh_tensor_send(err, l->device, c->ids, c->host_ids);
  return status ? status : gh_tensor_send(err, l->device, c->pooled, c->host_pooled);
}

/* Keeps a micro-batch for the second time. */
static void hold(gh_contrastive *c, const gh_loop *l, int64_t first, int64_t count) {
  const int64_t image = gh_tensor_elements(l->step.images) / c->micro_batch;
  memcpy(c->held_images + first * image, l->images, (size_t)(count * image) * sizeof *l->images);
  memcpy(c->held_samples + first, l->samples, (size_t)count * sizeof *l->samples);
}

/* The rest of a held micro-batch is what follows it, or zero: it has no gradient. */
static gh_status send_held(gh_error *err, gh_loop *l, int64_t first, int64_t count) {
  const gh_contrastive *c = &((gh_pretraining *)l->user)->kept.contrastive;
  const int64_t image = gh_tensor_elements(l->step.images) / c->micro_batch;
  gh_status status = gh_tensor_send(err, l->device, l->step.images, c->held_images + first * image);
  return status ? status : send_lines(err, l, c->held_samples + first, count);
}

static gh_status replays(gh_error *err, gh_loop *l) {
  gh_contrastive *c = &((gh_pretraining *)l->user)->kept.contrastive;
  const int64_t m = c->micro_batch;
  gh_status status = GH_OK;
  for (int64_t first = 0; first < c->batch && !status; first += m) {
    status = gh_loop_take(err, l, first);
    if (status) break;
    hold(c, l, first, GH_MIN(m, c->batch - first));
    status = gh_contrastive_embed(err, c, first);
  }
  if (!status) status = gh_contrastive_loss(err, c);
  for (int64_t first = 0; first < c->batch && !status; first += m) {
    status = send_held(err, l, first, GH_MIN(m, c->batch - first));
    if (!status) status = gh_contrastive_gradients(err, c, l->step.graph, first);
  }
  return status;
}

static gh_status after(gh_error *err, gh_loop *l, const gh_update_result *result, gh_metrics_row *row) {
  double scale = 0;
  gh_status status = gh_contrastive_clamp(err, &((gh_pretraining *)l->user)->kept.contrastive, &scale);
  row->numbers[row->number_count++] = (gh_metrics_number){"accuracy", result->logs[0]};
  row->numbers[row->number_count++] = (gh_metrics_number){"scale", scale};
  return status;
}

/* ---- the result ---- */

static gh_status write_beside(gh_error *err, gh_pretraining *p, const char *folder) {
  const gh_arch *arch = &p->kept.contrastive.arch;
  gh_preprocess how;
  gh_vision_preprocess_defaults(&how, &arch->vision);
  gh_status status = gh_caption_tokens_write(err, p->captions, folder, p->config->context);
  if (!status) status = gh_vision_preprocess_write(err, &how, folder, &arch->vision);
  return status ? status : gh_model_config_write(err, arch, "float32", folder);
}

const gh_pretrain_kind gh_pretrain_clip = {.name = "clip",
                                           .ending = "",
                                           .rows = rows,
                                           .row_count = GH_COUNT(rows),
                                           .micro_batch = 256,
                                           .size = size,
                                           .numbers = numbers,
                                           .open = open_captions,
                                           .record = record,
                                           .start = start,
                                           .send = send_lines,
                                           .replays = replays,
                                           .after = after,
                                           .write_beside = write_beside};
