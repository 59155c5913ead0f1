#include "models/adapter.h"
#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX "base_model.model."

/* PEFT versions write a trained bias under either of the two bias names. */
static const char *const tails[] = {".lora_A.weight", ".lora_B.weight", ".base_layer.bias", ".bias"};

/* The longest layer name for which the names of all its tensors fit into a gh_name. */
enum { LONGEST_LAYER = sizeof(gh_name) - sizeof PREFIX - sizeof ".base_layer.bias" };

/* ---- adapter_config.json ---- */

/* Keys that change what is computed: they must be absent, null, false, 0 or empty. */
static const char *const refused[] = {"use_dora",          "use_rslora",
                                      "use_qalora",        "use_bdlora",
                                      "fan_in_fan_out",    "lora_bias",
                                      "rank_pattern",      "alpha_pattern",
                                      "layer_replication", "modules_to_save",
                                      "megatron_config",   "alora_invocation_tokens",
                                      "target_parameters", "trainable_token_indices"};

static bool off(const gh_json *value) {
  double number = 1;
  bool flag = true;
  gh_error ignored;
  switch (gh_json_type_of(value)) {
  case GH_JSON_NULL:
    return true;
  case GH_JSON_BOOL:
    return !gh_json_to_bool(&ignored, value, "", &flag) && !flag;
  case GH_JSON_NUMBER:
    return !gh_json_to_double(&ignored, value, "", &number) && number == 0;
  case GH_JSON_ARRAY:
  case GH_JSON_OBJECT:
    return gh_json_count(value) == 0;
  default:
    return false;
  }
}

static gh_status read_config(gh_error *err, const gh_json *root, gh_adapter *a) {
  const char *type = "LORA", *bias = "none";
  int64_t rank = 8;
  a->alpha = 8;
  if (gh_json_opt_string(err, root, "peft_type", &type) || gh_json_opt_string(err, root, "bias", &bias) ||
      gh_json_opt_int(err, root, "r", &rank) || gh_json_opt_double(err, root, "lora_alpha", &a->alpha))
    return err->status;
  if (strcmp(type, "LORA")) return gh_fail(err, GH_ERROR_UNSUPPORTED, "peft_type %s is not supported", type);
  const char *const known[] = {[GH_BIASES_NONE] = "none", [GH_BIASES_ADAPTED] = "lora_only", [GH_BIASES_ALL] = "all"};
  size_t which = 0;
  while (which < GH_COUNT(known) && strcmp(bias, known[which])) which++;
  if (which == GH_COUNT(known)) return gh_fail(err, GH_ERROR_UNSUPPORTED, "bias %s is not supported", bias);
  a->biases = (gh_lora_biases)which;
  if (rank < 1 || rank > 1 << 16) return gh_fail(err, GH_ERROR_FORMAT, "r: %lld is not a valid rank", (long long)rank);
  a->rank = (int)rank;
  for (size_t i = 0; i < GH_COUNT(refused); i++)
    if (!off(gh_json_member(root, refused[i])))
      return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s is not supported", refused[i]);
  return GH_OK;
}

/* ---- adapter_model.safetensors ---- */

static const gh_st_tensor *find(const gh_adapter *a, const char *layer, const char *tail) {
  return gh_safetensors_find(a->file, gh_name_make(PREFIX "%s%s", layer, tail).text);
}

const gh_st_tensor *gh_adapter_a(const gh_adapter *a, const char *layer) { return find(a, layer, tails[0]); }
const gh_st_tensor *gh_adapter_b(const gh_adapter *a, const char *layer) { return find(a, layer, tails[1]); }
const gh_st_tensor *gh_adapter_bias(const gh_adapter *a, const char *layer) {
  const gh_st_tensor *t = find(a, layer, tails[2]);
  return t || !a->biases ? t : find(a, layer, tails[3]);
}

/* Finds the layer of a tensor's name. Returns the index in `tails` of the name's end, or -1 (also if the name is too
 * long). */
static int layer_of(const char *name, gh_name *layer) {
  if (!gh_starts_with(name, PREFIX)) return -1;
  name += strlen(PREFIX);
  for (size_t i = 0; i < GH_COUNT(tails); i++)
    if (gh_ends_with(name, tails[i])) {
      size_t n = strlen(name) - strlen(tails[i]);
      if (n > LONGEST_LAYER) return -1;
      *layer = gh_name_make("%.*s", (int)n, name);
      return (int)i;
    }
  return -1;
}

static gh_status read_tensors(gh_error *err, gh_adapter *a) {
  gh_name layer;
  for (size_t i = 0; i < gh_safetensors_count(a->file); i++)
    if (layer_of(gh_safetensors_at(a->file, i)->name, &layer) == 0) {
      const gh_st_tensor *t = gh_adapter_a(a, layer.text), *b = gh_adapter_b(a, layer.text);
      if (t->rank != 2 || t->shape[0] != a->rank || !b || b->rank != 2 || b->shape[1] != a->rank)
        return gh_fail(err, GH_ERROR_FORMAT, "%s: %s has no pair of matrices of rank %d", t->file, layer.text, a->rank);
      if (gh_strings_add(err, &a->layers, layer.text)) return err->status;
    }
  for (size_t i = 0; i < gh_safetensors_count(a->file); i++) {
    const gh_st_tensor *t = gh_safetensors_at(a->file, i);
    int tail = layer_of(t->name, &layer);
    bool bias = tail >= 2, adapted = tail >= 0 && gh_adapter_a(a, layer.text);
    bool alone = !adapted && tail != 2 && a->biases && gh_starts_with(t->name, PREFIX) && gh_ends_with(t->name, "bias");
    if ((!adapted || (bias && !a->biases)) && !alone)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: %s does not belong to an adapted layer", t->file, t->name);
    if (!adapted && gh_strings_add(err, &a->biases_alone, t->name + strlen(PREFIX))) return err->status;
  }
  if (!a->layers.count) return gh_fail(err, GH_ERROR_FORMAT, "%s: adapts no layer", gh_safetensors_path(a->file));
  return GH_OK;
}

gh_status gh_adapter_open(gh_error *err, gh_adapter *out, const char *folder) {
  *out = (gh_adapter){0};
  char *config = gh_path_join(err, folder, "adapter_config.json");
  char *weights = gh_path_join(err, folder, "adapter_model.safetensors");
  gh_json *root = NULL;
  gh_status status = config && weights ? gh_json_read_file(err, &root, config, GH_JSON_MAX_BYTES) : GH_ERROR_MEMORY;
  if (!status && (status = read_config(err, root, out))) gh_fail_in(err, "%s", config);
  if (!status) status = gh_safetensors_open(err, &out->file, weights);
  if (!status) status = read_tensors(err, out);
  if (status) gh_adapter_close(out);
  gh_json_free(root);
  free(config);
  free(weights);
  return status;
}

void gh_adapter_close(gh_adapter *a) {
  gh_safetensors_close(a->file);
  gh_strings_free(&a->layers);
  gh_strings_free(&a->biases_alone);
  *a = (gh_adapter){0};
}

const gh_st_tensor *gh_adapter_bias_alone(const gh_adapter *a, const char *name) {
  for (size_t i = 0; i < a->biases_alone.count; i++)
    if (!strcmp(a->biases_alone.items[i], name))
      return gh_safetensors_find(a->file, gh_name_make(PREFIX "%s", name).text);
  return NULL;
}

gh_lora gh_adapter_lora(const gh_adapter *a) {
  return (gh_lora){.rank = a->rank,
                   .alpha = a->alpha,
                   .biases = a->biases,
                   .targets = (const char *const *)a->layers.items,
                   .target_count = (int)a->layers.count,
                   .adapter = a->file};
}
