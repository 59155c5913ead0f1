/* config.json of a model folder, with the defaults of transformers' configuration classes. */
#include "base/file.h"
#include "base/json.h"
#include "models/family.h"

#include <stdlib.h>
#include <string.h>

typedef struct gh_size {
  const char *key;
  int *to;
  int64_t value; /* the default */
} gh_size;

static gh_status read_sizes(gh_error *err, const gh_json *from, const gh_size *sizes, size_t n) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < n && !status; i++)
    status = gh_config_read_size(err, from, sizes[i].key, sizes[i].value, sizes[i].to);
  return status;
}

/* Reads the keys that both towers have; t already holds the defaults. */
static gh_status read_tower(gh_error *err, const gh_json *from, gh_transformer *t) {
  const gh_size sizes[] = {{"hidden_size", &t->hidden, t->hidden},
                           {"num_hidden_layers", &t->layers, t->layers},
                           {"num_attention_heads", &t->heads, t->heads},
                           {"intermediate_size", &t->mlp, t->mlp}};
  const char *activation = gh_activation_name(t->activation);
  if (read_sizes(err, from, sizes, GH_COUNT(sizes)) || gh_json_opt_double(err, from, "layer_norm_eps", &t->eps) ||
      gh_json_opt_string(err, from, "hidden_act", &activation))
    return err->status;
  if (t->hidden % t->heads)
    return gh_fail(err, GH_ERROR_FORMAT, "hidden_size is not a multiple of num_attention_heads");
  if (!gh_activation_find(activation, &t->activation))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "the activation %s is not supported", activation);
  return GH_OK;
}

/* The tower's object. As in transformers, an older key replaces the whole object of the newer one. */
static const gh_json *tower_of(const gh_json *root, const char *name, const char *older) {
  const gh_json *tower = older ? gh_json_member(root, older) : NULL;
  if (gh_json_type_of(tower) != GH_JSON_OBJECT) tower = gh_json_member(root, name);
  return tower ? tower : root;
}

/* ---- the family and its towers ---- */

typedef enum gh_towers { BOTH_TOWERS, VISION_ALONE, TEXT_ALONE } gh_towers;

static const char *name_of(const gh_family *family) { return family->name; }

/* Whether a file without a model_type, or with null, belongs to the family. */
static bool implied(const gh_family *family, const gh_json *root) {
  if (!family->implied_by) return false;
  if (gh_json_member(root, "model_type")) return true;
  for (size_t i = 0; family->implied_by[i]; i++)
    if (gh_json_member(root, family->implied_by[i])) return true;
  return false;
}

static gh_status read_type(gh_error *err, const gh_json *root, const gh_family **out, gh_towers *towers) {
  const char *type = NULL;
  if (gh_json_opt_string(err, root, "model_type", &type)) return err->status;
  for (const gh_family *const *row = gh_families; *row; row++) {
    const gh_family *f = *out = *row;
    const char *const names[] = {[BOTH_TOWERS] = f->name, [VISION_ALONE] = f->vision_type, [TEXT_ALONE] = f->text_type};
    *towers = BOTH_TOWERS;
    if (!type && implied(f, root)) return GH_OK;
    for (size_t k = 0; type && k < GH_COUNT(names); k++)
      if (names[k] && !strcmp(type, names[k])) {
        *towers = (gh_towers)k;
        return GH_OK;
      }
  }
  for (const gh_family *const *row = gh_families; type && *row; row++)
    if ((*row)->refused && !strncmp(type, (*row)->refused, strlen((*row)->refused)))
      return gh_fail(err, GH_ERROR_UNSUPPORTED, "model type %s is not supported: %s", type, (*row)->refusal);
  gh_name known = gh_family_list(name_of);
  if (!type) return gh_fail(err, GH_ERROR_UNSUPPORTED, "model_type is missing (%s are supported)", known.text);
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "model type %s is not supported (%s are)", type, known.text);
}

static gh_status read_vision(gh_error *err, const gh_json *root, void *out) {
  gh_vision_config *c = out;
  const gh_family *family;
  gh_towers towers;
  if (read_type(err, root, &family, &towers)) return err->status;
  if (towers == TEXT_ALONE) return gh_fail(err, GH_ERROR_UNSUPPORTED, "a text tower alone, without a vision tower");
  const gh_json *vision = tower_of(root, "vision_config", family->older_vision);
  *c = family->vision;
  int channels = 3;
  const gh_size sizes[] = {
      {"image_size", &c->image, c->image}, {"patch_size", &c->patch, c->patch}, {"num_channels", &channels, channels}};
  if (read_tower(err, vision, &c->tower) || read_sizes(err, vision, sizes, GH_COUNT(sizes))) return err->status;
  if (c->image < c->patch) return gh_fail(err, GH_ERROR_FORMAT, "image_size is below patch_size");
  if (channels != 3) return gh_fail(err, GH_ERROR_UNSUPPORTED, "num_channels: %d is not supported (3 is)", channels);
  return family->read_vision(err, vision, towers == BOTH_TOWERS ? root : vision, c);
}

static gh_status read_text(gh_error *err, const gh_json *root, void *out) {
  gh_text_config *c = out;
  const gh_family *family;
  gh_towers towers;
  if (read_type(err, root, &family, &towers)) return err->status;
  if (towers == VISION_ALONE) return gh_fail(err, GH_ERROR_UNSUPPORTED, "a vision tower alone, without a text tower");
  const gh_json *text = tower_of(root, "text_config", family->older_text);
  *c = family->text;
  const gh_size sizes[] = {{"vocab_size", &c->vocabulary, c->vocabulary},
                           {"max_position_embeddings", &c->positions, c->positions}};
  if (read_tower(err, text, &c->tower) || read_sizes(err, text, sizes, GH_COUNT(sizes))) return err->status;
  return family->read_text(err, text, towers == BOTH_TOWERS ? root : text, c);
}

typedef gh_status gh_config_reader(gh_error *err, const gh_json *root, void *out);

/* A path that is no model, told before one of its files is missed. */
static gh_status check_folder(gh_error *err, const char *folder) {
  gh_path_kind kind;
  if (gh_path_look(err, folder, &kind)) return err->status;
  if (kind == GH_PATH_FOLDER) return GH_OK;
  return gh_fail(err, GH_ERROR_FILE, "%s: %s; a model is a folder with config.json and weights", folder,
                 kind == GH_PATH_ABSENT ? "no such folder" : "is a file");
}

static gh_status read_folder(gh_error *err, const char *folder, void *out, gh_config_reader *ours,
                             gh_config_reader *theirs) {
  bool openclip = false;
  if (check_folder(err, folder) || gh_openclip_is(err, folder, &openclip)) return err->status;
  char *path = gh_path_join(err, folder, openclip ? GH_OPENCLIP_CONFIG : "config.json");
  gh_json *root = NULL;
  gh_status status = path ? gh_json_read_file(err, &root, path, GH_JSON_MAX_BYTES) : GH_ERROR_MEMORY;
  if (!status && (status = (openclip ? theirs : ours)(err, root, out))) gh_fail_in(err, "%s", path);
  gh_json_free(root);
  free(path);
  return status;
}

static gh_status read_openclip_vision(gh_error *err, const gh_json *root, void *out) {
  return gh_openclip_vision(err, root, out);
}

static gh_status read_openclip_text(gh_error *err, const gh_json *root, void *out) {
  return gh_openclip_text(err, root, out);
}

gh_status gh_vision_config_read(gh_error *err, const char *folder, gh_vision_config *config) {
  return read_folder(err, folder, config, read_vision, read_openclip_vision);
}

gh_status gh_text_config_read(gh_error *err, const char *folder, gh_text_config *config) {
  return read_folder(err, folder, config, read_text, read_openclip_text);
}
