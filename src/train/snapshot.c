#include "train/snapshot.h"
#include "base/build.h"
#include "base/checksum.h"
#include "config/run.h"
#include "method/objective.h"
#include "models/adapter.h"
#include "train/made_by.h"

#include <stdlib.h>
#include <string.h>

/* The file of a snapshot that a parameter belongs to. */
typedef enum gh_kind { KIND_DENOISER, KIND_ADAPTER, KIND_ENCODER, KINDS } gh_kind;

static const char *const files[KINDS] = {"denoiser.safetensors", "adapter_model.safetensors", "encoder.safetensors"};

static gh_kind kind_of(const gh_tensor *t, bool lora) {
  return t->part != GH_PART_ENCODER ? KIND_DENOISER : lora ? KIND_ADAPTER : KIND_ENCODER;
}

static bool is_trained(const gh_update *u, const char *name) {
  for (int i = 0; i < u->count; i++)
    if (!strcmp(u->parameters[i]->name, name)) return true;
  return false;
}

/* PEFT's keys: "base_model.model." in front, and the bias of an adapted layer is its base layer's. */
static gh_name file_name(const gh_update *u, const gh_tensor *t, gh_kind kind) {
  if (kind != KIND_ADAPTER) return gh_name_make("%s", t->name);
  int layer = (int)(strlen(t->name) - strlen(".bias"));
  if (t->role != GH_ROLE_BIAS || !is_trained(u, gh_name_make("%.*s.lora_A.weight", layer, t->name).text))
    return gh_name_make("base_model.model.%s", t->name);
  return gh_name_make("base_model.model.%.*s.base_layer.bias", layer, t->name);
}

static gh_status write_one(gh_error *err, gh_safetensors_writer *writer, const gh_update *u, int parameter,
                           const char *name) {
  const int64_t n = gh_tensor_elements(u->parameters[parameter]);
  float *values = gh_alloc(err, (size_t)n, sizeof *values);
  gh_status status = values ? gh_update_get(err, u, parameter, GH_KEPT_PARAMETER, values) : GH_ERROR_MEMORY;
  if (!status) status = gh_safetensors_writer_write_f32(err, writer, name, values, n);
  free(values);
  return status;
}

static gh_status write_values(gh_error *err, gh_safetensors_writer *writer, const gh_update *u, bool lora,
                              gh_kind kind) {
  gh_status status = GH_OK;
  for (int i = 0; i < u->count && !status; i++) {
    const gh_tensor *t = u->parameters[i];
    if (kind_of(t, lora) == kind)
      status = gh_safetensors_writer_declare(err, writer, file_name(u, t, kind).text, GH_ST_F32, t->rank, t->shape);
  }
  if (!status) status = gh_safetensors_writer_begin(err, writer);
  for (int i = 0; i < u->count && !status; i++)
    if (kind_of(u->parameters[i], lora) == kind)
      status = write_one(err, writer, u, i, file_name(u, u->parameters[i], kind).text);
  return status ? status : gh_safetensors_writer_finish(err, writer);
}

/* Without a time: a run that is repeated has the same bytes. */
static gh_status sign(gh_error *err, gh_safetensors_writer *writer, const gh_device *device, const gh_config *config) {
  gh_json *json = NULL;
  char *text = NULL;
  gh_status status = gh_config_to_json(err, &json, config);
  if (!status) status = gh_made_by_text(err, &text, &device->info, json, false);
  if (!status) status = gh_safetensors_writer_metadata(err, writer, GH_MADE_BY, text);
  gh_json_free(json);
  free(text);
  return status;
}

static gh_status write_file(gh_error *err, const char *folder, gh_device *device, const gh_update *u, bool lora,
                            gh_kind kind, const gh_config *config) {
  const gh_objective *objective = gh_objective_of(config);
  bool any = false;
  for (int i = 0; i < u->count; i++) any |= kind_of(u->parameters[i], lora) == kind;
  if (!any) return GH_OK;
  gh_safetensors_writer *writer = NULL;
  char *path = gh_path_join(err, folder, files[kind]);
  gh_status status = path ? gh_safetensors_writer_new(err, &writer, path) : GH_ERROR_MEMORY;
  if (!status) status = gh_safetensors_writer_metadata(err, writer, "format", "pt"); /* transformers requires it */
  if (!status) status = sign(err, writer, device, config);
  if (!status && kind == KIND_DENOISER && objective->describe_weights)
    status = objective->describe_weights(err, config, writer);
  if (!status) status = write_values(err, writer, u, lora, kind);
  gh_safetensors_writer_free(writer);
  free(path);
  return status;
}

/* The layer of the i-th parameter, if that is its A; else "". */
static gh_name adapted_layer(const gh_update *u, int i) {
  static const char tail[] = ".lora_A.weight";
  const char *name = u->parameters[i]->name;
  int length = u->parameters[i]->role == GH_ROLE_LORA_A ? (int)(strlen(name) - strlen(tail)) : 0;
  return gh_name_make("%.*s", length, name);
}

/* Lists the modules that PEFT wraps, by their full names: the text tower has layers with the same last names. */
static gh_status put_targets(gh_error *err, gh_json *root, const gh_update *u) {
  gh_json *targets = gh_json_put_array(err, root, "target_modules");
  gh_status status = targets ? GH_OK : err->status;
  for (int i = 0; i < u->count && !status; i++) {
    gh_name layer = adapted_layer(u, i);
    if (layer.text[0]) status = gh_json_put_string(err, targets, NULL, layer.text);
  }
  return status;
}

/* What the adapter at the start had: DoRA, whole modules, scales, ranks and alphas of single layers. */
static gh_status put_start(gh_error *err, gh_json *root, const gh_update *u, const gh_lora *lora) {
  const gh_adapter *a = lora->adapter;
  if (!a) return GH_OK;
  gh_status status = a->rslora ? gh_json_put_bool(err, root, "use_rslora", true) : GH_OK;
  if (!status && a->dora) status = gh_json_put_bool(err, root, "use_dora", true);
  gh_json *modules = !status && a->modules.count ? gh_json_put_array(err, root, "modules_to_save") : NULL;
  if (!status && a->modules.count && !modules) status = err->status;
  for (size_t i = 0; i < a->modules.count && !status; i++)
    status = gh_json_put_string(err, modules, NULL, a->modules.items[i]);
  gh_json *ranks = status ? NULL : gh_json_put_object(err, root, "rank_pattern");
  gh_json *alphas = ranks ? gh_json_put_object(err, root, "alpha_pattern") : NULL;
  if (!alphas) return err->status;
  for (int i = 0; i < u->count && !status; i++) {
    gh_name layer = adapted_layer(u, i);
    if (!layer.text[0]) continue;
    int rank = gh_adapter_rank(a, layer.text);
    double alpha = gh_adapter_alpha(a, layer.text);
    if (rank != a->rank) status = gh_json_put_int(err, ranks, layer.text, rank);
    if (!status && alpha != a->alpha) status = gh_json_put_double(err, alphas, layer.text, alpha);
  }
  return status;
}

static gh_status write_adapter_config(gh_error *err, const char *folder, const gh_update *u, const gh_config *c,
                                      const gh_lora *lora) {
  static const char *const biases[] = {
      [GH_LORA_BIAS_NONE] = "none", [GH_LORA_BIAS_LORA_ONLY] = "lora_only", [GH_LORA_BIAS_ALL] = "all"};
  char *path = gh_path_join(err, folder, "adapter_config.json");
  gh_json *root = gh_json_object(err);
  gh_status status = path && root ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_string(err, root, "peft_type", "LORA");
  if (!status) status = gh_json_put_int(err, root, "r", c->lora.rank);
  if (!status) status = gh_json_put_double(err, root, "lora_alpha", c->lora.alpha);
  if (!status) status = gh_json_put_double(err, root, "lora_dropout", c->lora.dropout);
  if (!status) status = gh_json_put_string(err, root, "bias", biases[c->lora.bias]);
  if (!status) status = gh_json_put_bool(err, root, "inference_mode", true);
  if (!status) status = gh_json_put_string(err, root, "base_model_name_or_path", c->clip);
  if (!status) status = put_targets(err, root, u);
  if (!status) status = put_start(err, root, u, lora);
  if (!status) status = gh_json_write_file(err, path, root);
  gh_json_free(root);
  free(path);
  return status;
}

static gh_status write_all(gh_error *err, const char *folder, gh_device *device, const gh_update *u, const gh_config *c,
                           const gh_lora *lora) {
  gh_status status = gh_folder_make(err, folder);
  for (int kind = 0; kind < KINDS && !status; kind++)
    status = write_file(err, folder, device, u, lora, (gh_kind)kind, c);
  if (!status && lora) status = write_adapter_config(err, folder, u, c, lora);
  return status ? status : gh_checksums_write(err, folder);
}

gh_status gh_snapshot_write(gh_error *err, const char *run, gh_device *device, const gh_update *u, const gh_config *c,
                            const gh_lora *lora, int stage, int64_t number) {
  char *folder = gh_format(err, "%s/snapshots/stage%d-%08lld", run, stage, (long long)number);
  char *building = gh_path_join(err, run, GH_RUN_BUILDING);
  gh_status status = folder && building ? gh_folder_remove(err, building) : GH_ERROR_MEMORY;
  if (!status) status = write_all(err, building, device, u, c, lora);
  if (!status) status = gh_folder_remove(err, folder); /* from before a resume: replaced by the same bytes */
  if (!status) status = gh_file_rename(err, building, folder);
  free(folder);
  free(building);
  return status;
}
