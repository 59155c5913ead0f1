#include "models/adapter.h"

#include "base/checksum.h"
#include "base/file.h"
#include "base/json.h"
#include "base/pattern.h"
#include "io/torch_file.h"
#include "models/family.h"
#include "models/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX    "base_model.model."
#define MAGNITUDE ".lora_magnitude_vector"

/* PEFT versions write a trained bias under either of the two bias names. */
enum { TAIL_A, TAIL_B, TAIL_MAGNITUDE, TAIL_BASE_BIAS, TAIL_BIAS, TAILS };
static const char *const tails[TAILS] = {".lora_A.weight", ".lora_B.weight", MAGNITUDE, ".base_layer.bias", ".bias"};

/* The longest layer name for which the names of all its tensors fit into a gh_name. */
enum { LONGEST_LAYER = sizeof(gh_name) - sizeof PREFIX - sizeof MAGNITUDE };
enum { MOST_PATTERNS = 4096 };

/* ---- adapter_config.json ---- */

/* The keys that are read, and those that are without effect on a trained adapter: they describe how it was trained, or
 * on which layers, which the tensors say. */
static const char *const known[] = {"peft_type",
                                    "bias",
                                    "r",
                                    "lora_alpha",
                                    "use_rslora",
                                    "use_dora",
                                    "rank_pattern",
                                    "alpha_pattern",
                                    "modules_to_save",
                                    "init_lora_weights",
                                    "target_modules",
                                    "exclude_modules",
                                    "layers_to_transform",
                                    "layers_pattern",
                                    "lora_dropout",
                                    "inference_mode",
                                    "task_type",
                                    "auto_mapping",
                                    "base_model_name_or_path",
                                    "revision",
                                    "peft_version",
                                    "megatron_core",
                                    "qalora_group_size",
                                    "ensure_weight_tying",
                                    "runtime_config",
                                    "loftq_config",
                                    "eva_config",
                                    "corda_config",
                                    "lora_ga_config"};

static bool off(const gh_json *value) {
  bool flag = true;
  const char *text = "";
  gh_error ignored;
  switch (gh_json_type_of(value)) {
  case GH_JSON_NULL:
    return true;
  case GH_JSON_BOOL:
    return !gh_json_to_bool(&ignored, value, "", &flag) && !flag;
  case GH_JSON_STRING:
    return !gh_json_to_string(&ignored, value, "", &text) && !*text;
  case GH_JSON_ARRAY:
  case GH_JSON_OBJECT:
    return gh_json_count(value) == 0;
  default:
    return false;
  }
}

static gh_status check_keys(gh_error *err, const gh_json *root) {
  for (const gh_json *item = gh_json_first(root); item; item = gh_json_next(item)) {
    size_t i = 0;
    while (i < GH_COUNT(known) && strcmp(gh_json_key(item), known[i])) i++;
    if (i == GH_COUNT(known) && !off(item))
      return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s is not supported", gh_json_key(item));
  }
  return GH_OK;
}

/* Some initialisations take the factors out of the model's weights: with the model as it is, the sum would be wrong. */
static gh_status check_init(gh_error *err, const gh_json *root) {
  static const char *const same[] = {"gaussian", "Gaussian", "eva", "orthogonal"};
  static const char *const taken_out[] = {"pissa", "olora", "corda", "lora_ga"};
  const gh_json *node = gh_json_member(root, "init_lora_weights");
  const char *how = NULL;
  if (gh_json_type_of(node) <= GH_JSON_BOOL) return GH_OK;
  if (gh_json_to_string(err, node, "init_lora_weights", &how)) return err->status;
  for (size_t i = 0; i < GH_COUNT(same); i++)
    if (!strcmp(how, same[i])) return GH_OK;
  for (size_t i = 0; i < GH_COUNT(taken_out); i++)
    if (gh_starts_with(how, taken_out[i]))
      return gh_fail(
          err, GH_ERROR_UNSUPPORTED,
          "init_lora_weights %s changes the model's weights, which is not supported: convert the adapter with "
          "peft, save_pretrained(..., path_initial_model_for_weight_conversion=...)",
          how);
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "init_lora_weights %s is not supported%s", how,
                 strcmp(how, "loftq")
                     ? ""
                     : ": it changes the model's weights, and peft does not convert it "
                       "(path_initial_model_for_weight_conversion is for PiSSA, OLoRA, CorDA, LoRA-GA)");
}

static gh_status read_biases(gh_error *err, const gh_json *root, gh_lora_biases *out) {
  static const char *const names[] = {
      [GH_BIASES_NONE] = "none", [GH_BIASES_ADAPTED] = "lora_only", [GH_BIASES_ALL] = "all"};
  const char *bias = "none";
  if (gh_json_opt_string(err, root, "bias", &bias)) return err->status;
  size_t which = 0;
  while (which < GH_COUNT(names) && strcmp(bias, names[which])) which++;
  if (which == GH_COUNT(names)) return gh_fail(err, GH_ERROR_UNSUPPORTED, "bias %s is not supported", bias);
  *out = (gh_lora_biases)which;
  return GH_OK;
}

/* modules_to_save of the configuration. */
static gh_status read_modules(gh_error *err, const gh_json *root, gh_strings *out) {
  const gh_json *list = gh_json_member(root, "modules_to_save");
  if (off(list)) return GH_OK;
  if (gh_json_type_of(list) != GH_JSON_ARRAY || gh_json_count(list) > MOST_PATTERNS)
    return gh_fail(err, GH_ERROR_FORMAT, "modules_to_save: expected an array of at most %d names, found %s",
                   MOST_PATTERNS, gh_json_type_name(list));
  for (const gh_json *item = gh_json_first(list); item; item = gh_json_next(item)) {
    const char *module = NULL;
    if (gh_json_to_string(err, item, "modules_to_save", &module)) return err->status;
    if (!*module) return gh_fail(err, GH_ERROR_FORMAT, "modules_to_save: an empty name");
    if (gh_strings_add(err, out, module)) return err->status;
  }
  return GH_OK;
}

static gh_status read_config(gh_error *err, const gh_json *root, gh_adapter *a) {
  const char *type = "LORA";
  int64_t rank = 8;
  a->alpha = 8;
  if (gh_json_opt_string(err, root, "peft_type", &type)) return err->status;
  if (strcmp(type, "LORA")) return gh_fail(err, GH_ERROR_UNSUPPORTED, "peft_type %s is not supported", type);
  if (gh_json_opt_int(err, root, "r", &rank) || gh_json_opt_double(err, root, "lora_alpha", &a->alpha) ||
      gh_json_opt_bool(err, root, "use_rslora", &a->rslora) || gh_json_opt_bool(err, root, "use_dora", &a->dora) ||
      read_biases(err, root, &a->biases) || read_modules(err, root, &a->modules) || check_init(err, root) ||
      check_keys(err, root))
    return err->status;
  if (rank < 1 || rank > 1 << 16) return gh_fail(err, GH_ERROR_FORMAT, "r: %lld is not a valid rank", (long long)rank);
  a->rank = (int)rank;
  return GH_OK;
}

/* Whether a pattern of PEFT matches a layer's name, or its last components. */
static gh_status matches(gh_error *err, const char *pattern, const char *before, const char *after, const char *name,
                         bool *out) {
  char *whole = gh_format(err, "%s(%s)%s", before, pattern, after);
  gh_status status = whole ? gh_pattern_match(err, whole, name, out) : GH_ERROR_MEMORY;
  free(whole);
  return status;
}

/* Replaces *value by the number of the first pattern under `key` that matches the layer, if there is one. */
static gh_status of_pattern(gh_error *err, const gh_json *root, const char *key, const char *layer, double *value) {
  const gh_json *patterns = gh_json_member(root, key);
  bool found = false;
  if (off(patterns)) return GH_OK;
  if (gh_json_type_of(patterns) != GH_JSON_OBJECT || gh_json_count(patterns) > MOST_PATTERNS)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: expected an object of at most %d numbers, found %s", key, MOST_PATTERNS,
                   gh_json_type_name(patterns));
  for (const gh_json *item = gh_json_first(patterns); item && !found; item = gh_json_next(item)) {
    gh_status status = matches(err, gh_json_key(item), "(.*\\.)?", "$", layer, &found);
    if (!status && found) status = gh_json_to_double(err, item, gh_json_key(item), value);
    if (status) return gh_fail_in(err, "%s", key);
  }
  return GH_OK;
}

/* Whether a layer is in target_modules or exclude_modules: a list of names or ends of names, or a regular expression.
 * *whole: it is in the list by its whole name. */
static gh_status is_listed(gh_error *err, const gh_json *list, const char *layer, bool *out, bool *whole) {
  const char *text = NULL;
  *out = *whole = false;
  if (gh_json_type_of(list) == GH_JSON_STRING) {
    if (gh_json_to_string(err, list, "", &text)) return err->status;
    *out = !strcmp(text, "all-linear");
    return *out ? GH_OK : matches(err, text, "", "", layer, out);
  }
  for (const gh_json *item = gh_json_first(list); item && !*whole; item = gh_json_next(item)) {
    if (gh_json_to_string(err, item, "an element", &text)) return err->status;
    *whole = !strcmp(layer, text);
    *out |= gh_lora_names(text, layer);
  }
  return GH_OK;
}

/* Whether layers_to_transform and layers_pattern select a layer: by its first component that is a number and has two
 * others in front, and by the component before that. */
static gh_status is_transformed(gh_error *err, const gh_json *root, const char *layer, bool *out) {
  const gh_json *numbers = gh_json_member(root, "layers_to_transform"), *names = gh_json_member(root, "layers_pattern");
  const char *before = strchr(layer, '.'), *digits = NULL;
  *out = false;
  for (; before; before = digits) {
    if (!(digits = strchr(before + 1, '.'))) return GH_OK;
    size_t length = strspn(digits + 1, "0123456789");
    if (length && length < 10 && digits[1 + length] == '.') break;
  }
  if (!before) return GH_OK;
  int64_t number = strtol(digits + 1, NULL, 10), chosen = -1;
  gh_name name = gh_name_make("%.*s", (int)(digits - before - 1), before + 1);
  bool any = off(names), single = gh_json_type_of(numbers) == GH_JSON_NUMBER, found = false;
  if (!any && is_listed(err, names, name.text, &any, &found)) return err->status;
  if (single && gh_json_to_int(err, numbers, "", &chosen)) return err->status;
  found = chosen == number;
  for (const gh_json *item = single ? NULL : gh_json_first(numbers); item && !found; item = gh_json_next(item)) {
    if (gh_json_to_int(err, item, "an element", &chosen)) return err->status;
    found = chosen == number;
  }
  *out = any && found;
  return GH_OK;
}

/* A module that is saved whole is not adapted, nor is what is in it. */
static gh_status check_not_saved(gh_error *err, const gh_adapter *a, const char *layer) {
  bool saved = false;
  for (size_t i = 0; i < a->modules.count && !saved; i++)
    if (matches(err, a->modules.items[i], "(.*\\.)?", "(\\..*)?", layer, &saved))
      return gh_fail_in(err, "modules_to_save");
  return saved ? gh_fail(err, GH_ERROR_FORMAT, "modules_to_save leaves out %s, which the file adapts", layer) : GH_OK;
}

/* Checks that PEFT would adapt a layer of the file: it leaves out those that the configuration does not select. */
static gh_status check_selected(gh_error *err, const gh_adapter *a, const gh_json *root, const char *layer) {
  const gh_json *targets = gh_json_member(root, "target_modules"), *others = gh_json_member(root, "exclude_modules");
  bool is = true, whole = true, excluded = false, ignored;
  if (check_not_saved(err, a, layer)) return err->status;
  if (!off(targets) && is_listed(err, targets, layer, &is, &whole)) return gh_fail_in(err, "target_modules");
  if (!is) return gh_fail(err, GH_ERROR_FORMAT, "target_modules does not select %s, which the file adapts", layer);
  if (!off(others) && is_listed(err, others, layer, &excluded, &ignored)) return gh_fail_in(err, "exclude_modules");
  if (excluded) return gh_fail(err, GH_ERROR_FORMAT, "exclude_modules leaves out %s, which the file adapts", layer);
  if (whole || off(gh_json_member(root, "layers_to_transform"))) return GH_OK;
  if (is_transformed(err, root, layer, &is)) return gh_fail_in(err, "layers_to_transform");
  return is ? GH_OK
            : gh_fail(err, GH_ERROR_FORMAT, "layers_to_transform does not select %s, which the file adapts", layer);
}

/* Whether a tensor is of a module whose name ends with `module`: so PEFT compares, without regard to dots. */
static bool is_within(const char *tensor, const char *module) {
  size_t length = strlen(module);
  for (const char *dot = strchr(tensor, '.'); dot; dot = strchr(dot + 1, '.'))
    if ((size_t)(dot - tensor) >= length && !strncmp(dot - length, module, length)) return true;
  return false;
}

static bool is_saved(const gh_adapter *a, const char *name) {
  for (size_t i = 0; i < a->modules.count; i++)
    if (is_within(name, a->modules.items[i])) return true;
  return false;
}

/* ---- adapter_model.safetensors ---- */

/* An adapter of a tower alone has names without the tower (transformers 5). Those of a vision and of a text tower are
 * the same; the class of the model that was adapted tells them apart. */
static gh_status put_tower(gh_error *err, gh_adapter *a, const gh_json *root) {
  const char *class = "";
  const gh_json *mapping = gh_json_member(root, "auto_mapping");
  size_t i = 0, count = gh_safetensors_count(a->file);
  for (; i < count; i++) {
    const char *name = gh_safetensors_at(a->file, i)->name;
    if (gh_starts_with(name, PREFIX) && gh_weights_bare(name + strlen(PREFIX))) break;
  }
  if (i == count) return GH_OK;
  if (gh_json_type_of(mapping) == GH_JSON_OBJECT && gh_json_opt_string(err, mapping, "base_model_class", &class))
    return gh_fail_in(err, "auto_mapping");
  const bool vision = strstr(class, "Vision"), text = strstr(class, "Text");
  if (vision == text)
    return gh_fail(err, GH_ERROR_FORMAT,
                   "%s: %s is of a vision or of a text model alone; adapter_config.json does not say which: "
                   "\"auto_mapping\": {\"base_model_class\": \"CLIPVisionModel\"}",
                   gh_safetensors_path(a->file), gh_safetensors_at(a->file, i)->name);
  a->tower = vision ? "vision_model." : "text_model.";
  return gh_weights_prefix(err, a->file, PREFIX, a->tower);
}

/* The name that PEFT knows, to which the configuration refers. */
static const char *own_name(const gh_adapter *a, const char *name) {
  return a->tower && gh_starts_with(name, a->tower) ? name + strlen(a->tower) : name;
}

static const gh_st_tensor *find(const gh_adapter *a, const char *layer, int tail) {
  return gh_safetensors_find(a->file, gh_name_make(PREFIX "%s%s", layer, tails[tail]).text);
}

const gh_st_tensor *gh_adapter_a(const gh_adapter *a, const char *layer) { return find(a, layer, TAIL_A); }
const gh_st_tensor *gh_adapter_b(const gh_adapter *a, const char *layer) { return find(a, layer, TAIL_B); }
const gh_st_tensor *gh_adapter_bias(const gh_adapter *a, const char *layer) {
  const gh_st_tensor *t = find(a, layer, TAIL_BASE_BIAS);
  return t || !a->biases ? t : find(a, layer, TAIL_BIAS);
}

/* Finds the layer of a tensor's name. Returns the index in `tails` of the name's end, or -1 (also if the name is too
 * long). */
static int layer_of(const char *name, gh_name *layer) {
  if (!gh_starts_with(name, PREFIX)) return -1;
  name += strlen(PREFIX);
  for (int i = 0; i < TAILS; i++)
    if (gh_ends_with(name, tails[i])) {
      size_t n = strlen(name) - strlen(tails[i]);
      if (n > LONGEST_LAYER) return -1;
      *layer = gh_name_make("%.*s", (int)n, name);
      return i;
    }
  return -1;
}

static gh_status read_layer(gh_error *err, gh_adapter *a, const gh_json *root, const char *layer) {
  const gh_st_tensor *down = gh_adapter_a(a, layer), *up = gh_adapter_b(a, layer), *m = find(a, layer, TAIL_MAGNITUDE);
  double rank = a->rank, alpha = a->alpha;
  const char *own = own_name(a, layer);
  if (check_selected(err, a, root, own) || of_pattern(err, root, "rank_pattern", own, &rank) ||
      of_pattern(err, root, "alpha_pattern", own, &alpha))
    return err->status;
  if (down->rank != 2 || (double)down->shape[0] != rank || !up || up->rank != 2 || (double)up->shape[1] != rank ||
      rank < 1)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %s has no pair of matrices of rank %g", down->file, layer, rank);
  if (a->dora && (!m || m->rank != 1 || m->shape[0] != up->shape[0]))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %s has no magnitudes (DoRA)", down->file, layer);
  a->alphas[a->layers.count] = alpha;
  return gh_strings_add(err, &a->layers, layer);
}

/* A tensor that is not one of LoRA's: a bias, or one of modules_to_save. */
static gh_status read_other(gh_error *err, gh_adapter *a, const gh_st_tensor *t) {
  gh_name layer;
  int tail = layer_of(t->name, &layer);
  bool under = gh_starts_with(t->name, PREFIX);
  bool fits = strlen(t->name) < sizeof(gh_name);
  const char *name = under ? t->name + strlen(PREFIX) : t->name;
  if (under && fits && is_saved(a, own_name(a, name))) return gh_strings_add(err, &a->saved, name);
  bool bias = tail >= TAIL_BASE_BIAS, adapted = tail >= 0 && gh_adapter_a(a, layer.text);
  bool alone = !adapted && tail != TAIL_BASE_BIAS && a->biases && under && gh_ends_with(t->name, "bias");
  if ((!adapted || (bias && !a->biases) || (tail == TAIL_MAGNITUDE && !a->dora)) && !alone)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %s does not belong to an adapted layer", t->file, t->name);
  return adapted ? GH_OK : gh_strings_add(err, &a->biases_alone, name);
}

/* Checks that the file holds something of each of modules_to_save. */
static gh_status check_saved(gh_error *err, const gh_adapter *a) {
  for (size_t k = 0; k < a->modules.count; k++) {
    bool found = false;
    for (size_t i = 0; i < a->saved.count && !found; i++)
      found = is_within(own_name(a, a->saved.items[i]), a->modules.items[k]);
    if (!found)
      return gh_fail(err, GH_ERROR_FORMAT, "modules_to_save: %s holds no tensor of %s", gh_safetensors_path(a->file),
                     a->modules.items[k]);
  }
  return GH_OK;
}

static gh_status read_tensors(gh_error *err, gh_adapter *a, const gh_json *root) {
  gh_name layer;
  size_t count = gh_safetensors_count(a->file);
  a->alphas = gh_alloc(err, count, sizeof *a->alphas);
  if (!a->alphas) return GH_ERROR_MEMORY;
  for (size_t i = 0; i < count; i++)
    if (layer_of(gh_safetensors_at(a->file, i)->name, &layer) == TAIL_A && read_layer(err, a, root, layer.text))
      return err->status;
  for (size_t i = 0; i < count; i++)
    if (read_other(err, a, gh_safetensors_at(a->file, i))) return err->status;
  if (!a->layers.count) return gh_fail(err, GH_ERROR_FORMAT, "%s: adapts no layer", gh_safetensors_path(a->file));
  return check_saved(err, a);
}

/* Earlier PEFT wrote PyTorch's format, which counts where there is no other. */
static gh_status open_weights(gh_error *err, gh_safetensors **out, const char *folder) {
  char *weights = gh_path_join(err, folder, "adapter_model.safetensors");
  char *torch = gh_path_join(err, folder, "adapter_model.bin");
  gh_status status = weights && torch ? GH_OK : GH_ERROR_MEMORY;
  if (!status && !gh_path_exists(weights) && gh_path_exists(torch)) {
    status = gh_torch_open_weights(err, out, torch);
  } else if (!status) {
    status = gh_checksums_check(err, weights); /* of a snapshot */
    if (!status) status = gh_safetensors_open(err, out, weights);
  }
  free(weights);
  free(torch);
  return status;
}

gh_status gh_adapter_open(gh_error *err, gh_adapter *out, const char *folder) {
  *out = (gh_adapter){0};
  char *config = gh_path_join(err, folder, "adapter_config.json");
  gh_json *root = NULL;
  gh_status status = config ? gh_file_check_regular(err, config) : GH_ERROR_MEMORY;
  if (!status) status = gh_checksums_check(err, config); /* of a snapshot */
  if (!status) status = gh_json_read_file(err, &root, config, GH_JSON_MAX_BYTES);
  if (!status && (status = read_config(err, root, out))) gh_fail_in(err, "%s", config);
  if (!status) status = open_weights(err, &out->file, folder);
  if (!status) status = put_tower(err, out, root);
  if (!status) status = read_tensors(err, out, root);
  if (status) gh_adapter_close(out);
  gh_json_free(root);
  free(config);
  return status;
}

void gh_adapter_close(gh_adapter *a) {
  gh_safetensors_close(a->file);
  gh_strings_free(&a->layers);
  gh_strings_free(&a->biases_alone);
  gh_strings_free(&a->saved);
  gh_strings_free(&a->modules);
  free(a->alphas);
  *a = (gh_adapter){0};
}

/* ---- what was read ---- */

static const gh_st_tensor *listed(const gh_adapter *a, const gh_strings *list, const char *name) {
  for (size_t i = 0; i < list->count; i++)
    if (!strcmp(list->items[i], name)) return gh_safetensors_find(a->file, gh_name_make(PREFIX "%s", name).text);
  return NULL;
}

const gh_st_tensor *gh_adapter_saved(const gh_adapter *a, const char *name) { return listed(a, &a->saved, name); }

const gh_st_tensor *gh_adapter_alone(const gh_adapter *a, const char *name) {
  const gh_st_tensor *t = listed(a, &a->biases_alone, name);
  return t ? t : gh_adapter_saved(a, name);
}

int gh_adapter_rank(const gh_adapter *a, const char *layer) {
  const gh_st_tensor *t = gh_adapter_a(a, layer);
  return t ? (int)t->shape[0] : 0;
}

double gh_adapter_alpha(const gh_adapter *a, const char *layer) {
  for (size_t i = 0; i < a->layers.count; i++)
    if (!strcmp(a->layers.items[i], layer)) return a->alphas[i];
  return 0;
}

double gh_adapter_scale(const gh_adapter *a, const char *layer) {
  double rank = gh_adapter_rank(a, layer);
  return rank > 0 ? gh_adapter_alpha(a, layer) / (a->rslora ? sqrt(rank) : rank) : 0;
}

gh_lora gh_adapter_lora(const gh_adapter *a) {
  return (gh_lora){.rank = a->rank,
                   .alpha = a->alpha,
                   .biases = a->biases,
                   .targets = (const char *const *)a->layers.items,
                   .target_count = a->dora ? 0 : (int)a->layers.count,
                   .adapter = a};
}

/* DoRA: the row of W' is the merged row, scaled to its magnitude. */
static void scale_rows(float *weight, const float *magnitudes, int64_t n, int64_t k) {
  for (int64_t i = 0; i < n; i++) {
    double squares = 0;
    for (int64_t j = 0; j < k; j++) squares += (double)weight[i * k + j] * (double)weight[i * k + j];
    double factor = (double)magnitudes[i] / sqrt(squares);
    for (int64_t j = 0; j < k; j++) weight[i * k + j] = (float)((double)weight[i * k + j] * factor);
  }
}

static float *values_of(gh_error *err, const gh_st_tensor *t) {
  float *values = gh_alloc(err, (size_t)t->elements, sizeof *values);
  if (values && !gh_st_read_f32(err, t, 0, t->elements, values)) return values;
  free(values);
  return NULL;
}

gh_status gh_adapter_merge(gh_error *err, const gh_adapter *a, const char *layer, int64_t n, int64_t k, float *weight) {
  const gh_st_tensor *down = gh_adapter_a(a, layer), *up = gh_adapter_b(a, layer), *m = find(a, layer, TAIL_MAGNITUDE);
  if (down->shape[1] != k || up->shape[0] != n)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: the matrices for %s do not fit its weight", down->file, layer);
  float *x = values_of(err, down), *y = x ? values_of(err, up) : NULL, *z = y && a->dora ? values_of(err, m) : NULL;
  gh_status status = y && (z || !a->dora) ? GH_OK : err->status;
  if (!status) gh_lora_merge(weight, x, y, n, k, (int)down->shape[0], gh_adapter_scale(a, layer));
  if (!status && a->dora) scale_rows(weight, z, n, k);
  free(x);
  free(y);
  free(z);
  return status;
}

gh_status gh_adapter_check(gh_error *err, const gh_adapter *a, const gh_store *store, const gh_family *family,
                           bool text, bool merged) {
  const char *file = gh_safetensors_path(a->file);
  for (size_t i = 0; i < a->layers.count; i++) {
    const char *layer = a->layers.items[i];
    bool whole = (merged && a->dora) || gh_family_past_adapter(family, layer);
    gh_name met = gh_name_make("%s.%s", layer, whole ? "weight" : "lora_A.weight");
    if (gh_weights_of_text(layer) == text && !gh_store_find(store, met.text))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: adapts %s, which the encoder does not have", file, layer);
  }
  const gh_strings *const others[] = {&a->biases_alone, &a->saved};
  for (size_t k = 0; k < GH_COUNT(others); k++)
    for (size_t i = 0; i < others[k]->count; i++) {
      const char *name = others[k]->items[i];
      if (gh_weights_of_text(name) == text && !gh_store_find(store, name))
        return gh_fail(err, GH_ERROR_FORMAT, "%s: trains %s, which the encoder does not have", file, name);
    }
  return GH_OK;
}
