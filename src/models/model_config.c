/* config.json of a model folder, with the defaults of transformers' configuration classes. */
#include "base/file.h"
#include "base/json.h"
#include "models/openclip.h"
#include "models/text.h"

#include <stdlib.h>
#include <string.h>

#define LARGEST_SIZE (1 << 20)

typedef enum gh_towers { BOTH_TOWERS, VISION_ALONE, TEXT_ALONE } gh_towers;

static const struct {
  const char *name;
  gh_family family;
  gh_towers towers;
} model_types[] = {{"clip", GH_CLIP, BOTH_TOWERS},
                   {"clip_vision_model", GH_CLIP, VISION_ALONE},
                   {"clip_text_model", GH_CLIP, TEXT_ALONE},
                   {"siglip", GH_SIGLIP, BOTH_TOWERS},
                   {"siglip_vision_model", GH_SIGLIP, VISION_ALONE},
                   {"siglip_text_model", GH_SIGLIP, TEXT_ALONE}};

static const double default_eps[] = {[GH_CLIP] = 1e-5, [GH_SIGLIP] = 1e-6};
static const char *const default_activation[] = {[GH_CLIP] = "quick_gelu", [GH_SIGLIP] = "gelu_pytorch_tanh"};

typedef struct gh_size {
  const char *key;
  int *to;
  int64_t value; /* the default */
} gh_size;

static gh_status read_sizes(gh_error *err, const gh_json *from, const gh_size *sizes, size_t n) {
  for (size_t i = 0; i < n; i++) {
    int64_t value = sizes[i].value;
    if (gh_json_opt_int(err, from, sizes[i].key, &value)) return err->status;
    if (value < 1 || value > LARGEST_SIZE)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: %lld is no size", sizes[i].key, (long long)value);
    *sizes[i].to = (int)value;
  }
  return GH_OK;
}

/* What both towers have; the sizes' defaults are in t already. */
static gh_status read_tower(gh_error *err, const gh_json *from, gh_family family, gh_transformer *t) {
  const gh_size sizes[] = {{"hidden_size", &t->hidden, t->hidden},
                           {"num_hidden_layers", &t->layers, t->layers},
                           {"num_attention_heads", &t->heads, t->heads},
                           {"intermediate_size", &t->mlp, t->mlp}};
  const char *activation = default_activation[family];
  t->eps = default_eps[family];
  if (read_sizes(err, from, sizes, GH_COUNT(sizes)) || gh_json_opt_double(err, from, "layer_norm_eps", &t->eps) ||
      gh_json_opt_string(err, from, "hidden_act", &activation))
    return err->status;
  if (t->hidden % t->heads) return gh_fail(err, GH_ERROR_FORMAT, "hidden_size is no multiple of num_attention_heads");
  if (!gh_activation_find(activation, &t->activation))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "the activation %s is not supported", activation);
  return GH_OK;
}

/* The tower's object. transformers lets CLIP's older `vision_config_dict`, where there is one, replace `vision_config`
 * whole. */
static const gh_json *tower_of(const gh_json *root, const char *name, const char *older) {
  const gh_json *tower = gh_json_member(root, older);
  if (gh_json_type_of(tower) != GH_JSON_OBJECT) tower = gh_json_member(root, name);
  return tower ? tower : root;
}

/* What CLIPModel projects to: the number of the whole model, whatever the towers say. */
static gh_status read_projection(gh_error *err, const gh_json *root, const gh_json *tower, gh_towers towers, int *to) {
  const gh_size size = {"projection_dim", to, 512};
  return read_sizes(err, towers == BOTH_TOWERS ? root : tower, &size, 1);
}

/* A file without a model_type, which CLIPModel takes for its own: it has at least one of its keys. */
static bool is_clip(const gh_json *root) {
  static const char *const keys[] = {"vision_config", "text_config", "vision_config_dict", "text_config_dict",
                                     "projection_dim"};
  for (size_t i = 0; i < GH_COUNT(keys); i++)
    if (gh_json_member(root, keys[i])) return true;
  return false;
}

static gh_status read_type(gh_error *err, const gh_json *root, gh_family *family, gh_towers *towers) {
  const char *type = "clip";
  if (gh_json_opt_string(err, root, "model_type", &type)) return err->status;
  if (!gh_json_member(root, "model_type") && !is_clip(root))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "it names no model_type (clip and siglip are supported)");
  for (size_t i = 0; i < GH_COUNT(model_types); i++)
    if (!strcmp(type, model_types[i].name)) {
      *family = model_types[i].family;
      *towers = model_types[i].towers;
      return GH_OK;
    }
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "model type %s is not supported (clip and siglip are)", type);
}

static gh_status read_vision(gh_error *err, const gh_json *root, void *out) {
  gh_vision_config *c = out;
  gh_towers towers;
  *c = (gh_vision_config){.tower = {.hidden = 768, .layers = 12, .heads = 12, .mlp = 3072}};
  if (read_type(err, root, &c->family, &towers)) return err->status;
  if (towers == TEXT_ALONE) return gh_fail(err, GH_ERROR_UNSUPPORTED, "a text tower alone: there is no vision tower");
  const gh_json *vision = tower_of(root, "vision_config", c->family == GH_CLIP ? "vision_config_dict" : "");
  int channels = 3;
  bool head = true;
  const gh_size sizes[] = {{"image_size", &c->image, 224},
                           {"patch_size", &c->patch, c->family == GH_CLIP ? 32 : 16},
                           {"num_channels", &channels, 3}};
  if (read_tower(err, vision, c->family, &c->tower) || read_sizes(err, vision, sizes, GH_COUNT(sizes)) ||
      gh_json_opt_bool(err, vision, "vision_use_head", &head))
    return err->status;
  if (c->image < c->patch) return gh_fail(err, GH_ERROR_FORMAT, "image_size is below patch_size");
  if (channels != 3) return gh_fail(err, GH_ERROR_UNSUPPORTED, "num_channels: %d is not supported (3 is)", channels);
  if (c->family == GH_CLIP) return read_projection(err, root, vision, towers, &c->projection);
  if (!head) return gh_fail(err, GH_ERROR_UNSUPPORTED, "vision_use_head false is not supported");
  c->projection = c->tower.hidden;
  return GH_OK;
}

static gh_status read_text(gh_error *err, const gh_json *root, void *out) {
  gh_text_config *c = out;
  gh_towers towers;
  *c = (gh_text_config){.eos = 49407};
  if (read_type(err, root, &c->family, &towers)) return err->status;
  if (towers == VISION_ALONE) return gh_fail(err, GH_ERROR_UNSUPPORTED, "a vision tower alone: there is no text tower");
  bool clip = c->family == GH_CLIP;
  const gh_json *text = tower_of(root, "text_config", clip ? "text_config_dict" : "");
  c->tower = clip ? (gh_transformer){.hidden = 512, .layers = 12, .heads = 8, .mlp = 2048, .causal = true}
                  : (gh_transformer){.hidden = 768, .layers = 12, .heads = 12, .mlp = 3072};
  const gh_size sizes[] = {{"vocab_size", &c->vocabulary, clip ? 49408 : 32000},
                           {"max_position_embeddings", &c->positions, clip ? 77 : 64}};
  if (read_tower(err, text, c->family, &c->tower) || read_sizes(err, text, sizes, GH_COUNT(sizes))) return err->status;
  const gh_size head = {"projection_size", &c->projection, c->tower.hidden};
  if (!clip) return read_sizes(err, text, &head, 1);
  if (gh_json_opt_int(err, text, "eos_token_id", &c->eos)) return err->status;
  return read_projection(err, root, text, towers, &c->projection);
}

typedef gh_status gh_config_reader(gh_error *err, const gh_json *root, void *out);

static gh_status read_folder(gh_error *err, const char *folder, void *out, gh_config_reader *ours,
                             gh_config_reader *theirs) {
  bool openclip = false;
  if (gh_openclip_is(err, folder, &openclip)) return err->status;
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
