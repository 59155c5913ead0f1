#include "train/pretrain.h"
#include "backend/registry.h"
#include "base/file.h"
#include "base/log.h"
#include "method/setup.h"
#include "models/tensors_write.h"
#include "train/budget.h"

#include <stdlib.h>
#include <string.h>

/* ---- the graph ---- */

static void record(gh_pretraining *p, gh_graph *g) {
  const gh_pretrain_config *c = p->config;
  gh_step *step = &p->loop.step;
  gh_module m = {.graph = g, .store = p->loop.store, .seed = (uint64_t)c->seed, .trainable = true};
  step->loss = c->kind->record(&m, c, step, &p->kept);
  if (!step->loss || gh_graph_failed(g)) return;
  gh_accumulate(g, step->loss_total, step->loss);
  if (!gh_graph_failed(g)) gh_graph_differentiate(g, step->loss);
  if (!gh_graph_failed(g) && p->kept.latents) gh_graph_keep(g, p->kept.latents);
}

static gh_status build(gh_error *err, gh_pretraining *p) {
  gh_loop *l = &p->loop;
  int64_t side = p->config->image_size;
  gh_status status = gh_store_create(err, l->device, &l->store);
  if (!status) status = gh_step_block(err, l->store, "step", &l->step.block);
  if (!status) status = gh_step_tensor(err, l->store, "loss", 0, NULL, &l->step.loss_total);
  if (!status)
    status =
        gh_step_tensor(err, l->store, "input.images", 4, (int64_t[]){l->micro_batch, 3, side, side}, &l->step.images);
  if (!status) status = gh_graph_create(err, l->device, &l->step.graph);
  if (status) return status;
  record(p, l->step.graph);
  if (!gh_graph_failed(l->step.graph)) return gh_loop_plan(err, l);
  *err = *gh_graph_error(l->step.graph);
  return err->status;
}

/* ---- the result ---- */

typedef struct gh_changing {
  const gh_update *update;
  const gh_pretrain_kind *kind;
  double factor;
} gh_changing;

static void change_values(void *user, int index, float *values, int64_t n) {
  const gh_changing *c = user;
  c->kind->change(c->update->parameters[index]->name, values, n, c->factor);
}

static gh_status write_parameters(gh_error *err, gh_pretraining *p, gh_safetensors_writer *writer, double factor) {
  const gh_update *u = &p->loop.update;
  gh_changing changing = {u, p->config->kind, factor};
  gh_named_tensor *list = gh_alloc(err, (size_t)u->count, sizeof *list);
  for (int i = 0; list && i < u->count; i++)
    list[i] = (gh_named_tensor){.name = gh_name_make("%s", u->parameters[i]->name), .tensor = u->parameters[i]};
  gh_status status = GH_ERROR_MEMORY;
  if (list)
    status = gh_tensors_write_all(err, writer, p->loop.device, list, u->count,
                                  changing.kind->change ? change_values : NULL, &changing);
  free(list);
  return status;
}

/* transformers requires the metadata. */
static gh_status write_model(gh_error *err, gh_pretraining *p, const char *folder) {
  gh_safetensors_writer *writer = NULL;
  char *path = gh_path_join(err, folder, "model.safetensors");
  gh_status status = path ? gh_folder_make(err, folder) : GH_ERROR_MEMORY;
  if (!status) status = p->config->kind->write_beside(err, p, folder);
  if (!status) status = gh_safetensors_writer_new(err, &writer, path);
  if (!status) status = gh_safetensors_writer_metadata(err, writer, "format", "pt");
  if (!status) status = write_parameters(err, p, writer, 1);
  gh_safetensors_writer_free(writer);
  free(path);
  return status;
}

static gh_status write_file(gh_error *err, gh_pretraining *p, const char *path) {
  double factor = 1;
  gh_safetensors_writer *writer = NULL;
  gh_status status = p->config->kind->measure ? p->config->kind->measure(err, p, &factor) : GH_OK;
  if (!status) status = gh_safetensors_writer_new(err, &writer, path);
  if (!status) status = write_parameters(err, p, writer, factor);
  gh_safetensors_writer_free(writer);
  return status;
}

static gh_status write_result(gh_error *err, gh_pretraining *p) {
  const gh_pretrain_kind *kind = p->config->kind;
  char *path = gh_format(err, "%s/%s%s", p->config->output, kind->name, kind->ending);
  gh_status status = path ? (kind->write_beside ? write_model : write_file)(err, p, path) : GH_ERROR_MEMORY;
  free(path);
  return status;
}

static gh_status no_snapshot(gh_error *err, gh_loop *loop) {
  (void)err;
  (void)loop;
  return GH_OK; /* the state is enough until the end */
}

/* ---- the run ---- */

static gh_status put_numbers(gh_error *err, gh_json *root, const gh_metrics_number *numbers, size_t count) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < count && !status; i++)
    status = gh_json_put_double(err, root, numbers[i].name, numbers[i].value);
  return status;
}

static gh_status describe_levels(gh_error *err, const gh_pretrain_config *c, gh_json *root) {
  const gh_metrics_number sizes[] = {{"channels", (double)c->channels}, {"blocks", (double)c->blocks}};
  gh_status status = gh_json_put_ints(err, root, "multipliers", c->multipliers.items, c->multipliers.count);
  return status ? status : put_numbers(err, root, sizes, GH_COUNT(sizes));
}

/* Describes what identifies the run, for resuming. */
static gh_status describe(gh_error *err, const gh_pretrain_config *c, gh_json **out) {
  gh_json *root = gh_json_object(err);
  gh_status status = root ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_string(err, root, "kind", c->kind->name);
  if (!status) status = gh_json_put_strings(err, root, "images", &c->data.images);
  if (!status) status = gh_json_put_bool(err, root, "exif", c->data.exif);
  if (!status && c->kind->autoencodes) status = describe_levels(err, c, root);
  gh_metrics_number own[GH_PRETRAIN_NUMBERS];
  const gh_metrics_number common[] = {{"image_size", (double)c->image_size},
                                      {"batch", (double)c->stage.batch},
                                      {"lr", c->stage.optimizer.lr},
                                      {"warmup", (double)c->stage.optimizer.warmup},
                                      {"seed", (double)c->seed}};
  if (!status) status = put_numbers(err, root, common, GH_COUNT(common));
  if (!status) status = put_numbers(err, root, own, (size_t)c->kind->numbers(c, own));
  if (!status) status = gh_json_put_doubles(err, root, "crop_scale", c->data.crop_scale, 2);
  if (!status) status = gh_json_put_doubles(err, root, "crop_ratio", c->data.crop_ratio, 2);
  if (!status)
    *out = root;
  else
    gh_json_free(root);
  return status;
}

/* Initial biases before group norms, where PyTorch's default makes learning slow. A group norm subtracts each group's
 * mean. In a narrow model, with two channels per group, that also removes a picture's brightness and colours. Biases of
 * alternating sign give each group a spread of its own, so that the picture's mean survives. */
static void start_bias(const char *name, float *values, int64_t n) {
  static const char *const feeding[] = {"conv_in.bias", "downsample.conv.bias", "upsample.conv.bias",
                                        "nin_shortcut.bias", ".conv1.bias"};
  for (size_t k = 0; k < GH_COUNT(feeding); k++)
    if (gh_ends_with(name, feeding[k]))
      for (int64_t i = 0; i < n; i++) values[i] += i % 2 ? -1.0f : 1.0f;
}

static gh_status start_values(gh_error *err, gh_pretraining *p) {
  gh_loop *l = &p->loop;
  const gh_pretrain_kind *kind = p->config->kind;
  gh_status status = GH_OK;
  for (int i = 0; i < l->update.count && !status; i++) {
    gh_tensor *t = l->update.parameters[i];
    float *values = gh_alloc(err, (size_t)gh_tensor_elements(t), sizeof *values);
    status = values ? gh_tensor_read(err, l->device, t, values) : GH_ERROR_MEMORY;
    if (!status && t->role == GH_ROLE_BIAS) start_bias(t->name, values, gh_tensor_elements(t));
    if (!status && kind->start) kind->start(p->config, t->name, values, gh_tensor_elements(t));
    if (!status) status = gh_tensor_write(err, l->device, t, values);
    free(values);
  }
  return status;
}

static gh_status prepare(gh_error *err, gh_pretraining *p, const gh_train_options *o, const char *folder,
                         const gh_state_info *from) {
  gh_loop *l = &p->loop;
  const gh_pretrain_kind *kind = p->config->kind;
  int64_t asked = p->config->stage.micro_batch;
  l->micro_batch = folder ? from->micro_batch : GH_MIN(p->config->stage.batch, asked ? asked : kind->micro_batch);
  if (l->micro_batch < p->config->stage.batch) l->replays = kind->replays;
  gh_status status = folder && !o->allow_data_change ? gh_loop_check_data(err, l, from->data_hash) : GH_OK;
  if (!status && folder && !o->replan) status = gh_choices_freeze(err, l->device, from->plan);
  if (!status) status = build(err, p);
  if (!status) status = gh_loop_describe_plan(err, l);
  if (!status && folder) status = gh_state_load(err, folder, &l->update);
  if (!status && folder) l->done = from->update;
  if (!status && !folder) status = start_values(err, p);
  if (!status) {
    gh_budget budget;
    gh_budget_describe(&budget, l->store, &l->step, &l->update);
    budget.step_bytes += gh_contrastive_bytes(&p->kept.contrastive);
    gh_budget_print(l->device, l->label, &budget, l->micro_batch, false);
  }
  if (!status) status = gh_loop_load_images(err, l, &p->config->data, (uint64_t)p->config->seed);
  if (!status) p->began = true;
  if (!status) status = gh_loop_begin_run(err, l, folder ? from : NULL);
  return status ? status : gh_choices_write(err, l->run, l->plan_json);
}

static gh_status train(gh_error *err, gh_pretraining *p, const gh_train_options *o, gh_stage_report *report) {
  gh_loop *l = &p->loop;
  char *folder = NULL;
  gh_state_info from = {0};
  double began = gh_now();
  gh_status status = describe(err, p->config, &l->config_json);
  if (!status) status = gh_loop_find_run(err, l->run, l->config_json, o->resume, &folder, &from);
  if (!status && folder && gh_loop_keeps_turning(&from, "exif", p->config->data.exif)) {
    p->turned = *p->config;
    p->turned.data.exif = true;
    p->config = &p->turned;
    gh_json_free(l->config_json);
    l->config_json = NULL;
    status = describe(err, p->config, &l->config_json);
  }
  const gh_data_config *data = &p->config->data;
  const gh_strings *images = &data->images;
  if (!status)
    status = gh_image_set_open_keys(err, &p->images, "images", (const char *const *)images->items, images->count,
                                    &data->keys);
  if (!status) gh_image_set_exif(p->images, data->exif);
  if (!status) status = gh_image_set_check(err, p->images);
  if (!status && p->config->kind->open) status = p->config->kind->open(err, p);
  l->set = p->images;
  if (!status) status = prepare(err, p, o, folder, &from);
  if (!status) status = gh_loop_run(err, l);
  if (!status) status = write_result(err, p);
  if (!status) status = gh_loop_report(err, l, gh_now() - began, report);
  gh_state_info_free(&from);
  free(folder);
  return status;
}

gh_status gh_pretrain(gh_error *err, const gh_pretrain_config *c, const gh_train_options *o, gh_stage_report *report) {
  gh_device *device = NULL;
  gh_run_hold hold = {0};
  *report = (gh_stage_report){0};
  gh_status status = gh_setup_device(err, c->device, true, &device);
  if (!status) status = gh_run_lock(err, c->output, &hold);
  gh_pretraining p = {.config = c};
  p.loop = (gh_loop){.label = c->kind->name,
                     .number = 1,
                     .run = c->output,
                     .stage = &c->stage,
                     .state_keep = c->state_keep,
                     .state_minutes = c->state_minutes,
                     .quiet = o->quiet,
                     .progress = o->progress,
                     .progress_user = o->progress_user,
                     .snapshot = no_snapshot,
                     .after = c->kind->after,
                     .send = c->kind->send,
                     .user = &p,
                     .device = device};
  if (!status) status = train(err, &p, o, report);
  gh_contrastive_free(&p.kept.contrastive);
  gh_loop_free(&p.loop);
  gh_image_set_free(p.images);
  gh_caption_tokens_free(p.captions);
  gh_run_unlock(&hold, p.began);
  gh_device_close(device);
  return status;
}
