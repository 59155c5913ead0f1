#include "models/openclip.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

#define LARGEST_SIZE (1 << 20)
#define TIMM         "timm_model_name"

/* ---- keys ---- */

/* A key that must have one value, as JSON's true and false or as a text, with what counts where it is absent. */
typedef struct gh_rule {
  const char *key, *value, *absent;
} gh_rule;

static const gh_rule vision_rules[] = {
    {"pool_type", "tok", "tok"}, {"pos_embed_type", "learnable", "learnable"}, {"block_type", "default", "default"}};
static const gh_rule timm_rules[] = {{"timm_pool", "map", "avg"}, {"timm_proj", "none", "linear"}};
static const gh_rule clip_text_rules[] = {{"pool_type", "argmax", "argmax"},
                                          {"no_causal_mask", "false", "false"},
                                          {"proj_bias", "false", "false"},
                                          {"proj_type", "linear", "linear"},
                                          {"block_type", "default", "default"}};
static const gh_rule siglip_text_rules[] = {{"pool_type", "last", "argmax"},
                                            {"no_causal_mask", "true", "false"},
                                            {"proj_bias", "true", "false"},
                                            {"proj_type", "linear", "linear"},
                                            {"block_type", "default", "default"}};

/* Keys that are read, or that change nothing here: how a model is made, trained or called. */
static const char *const model_keys[] = {
    "embed_dim",        "vision_cfg",      "text_cfg",   "quick_gelu",  "custom_text",
    "init_logit_scale", "init_logit_bias", "cast_dtype", "output_dict", NULL};
static const char *const vision_keys[] = {"image_size",
                                          "layers",
                                          "width",
                                          "head_width",
                                          "patch_size",
                                          "mlp_ratio",
                                          "act_kwargs",
                                          "norm_kwargs",
                                          "patch_dropout",
                                          "output_tokens",
                                          "attn_pooler_heads",
                                          TIMM,
                                          "timm_drop",
                                          "timm_drop_path",
                                          "attn_pooler_queries",
                                          "timm_proj_bias",
                                          "timm_pool",
                                          "timm_proj",
                                          "timm_model_pretrained",
                                          NULL};
static const char *const text_keys[] = {"context_length", "vocab_size",       "width",
                                        "heads",          "layers",           "mlp_ratio",
                                        "act_kwargs",     "norm_kwargs",      "output_tokens",
                                        "pad_id",         "eos_id",           "hf_tokenizer_name",
                                        "tokenizer_mode", "tokenizer_kwargs", "hf_model_pretrained",
                                        "hf_proj_type",   "hf_pooler_type",   NULL};

static bool says(const gh_json *node, const char *value) {
  const char *text = "";
  bool flag = false;
  gh_error ignored;
  if (gh_json_type_of(node) == GH_JSON_STRING) gh_json_to_string(&ignored, node, "", &text);
  if (gh_json_type_of(node) == GH_JSON_BOOL && !gh_json_to_bool(&ignored, node, "", &flag))
    text = flag ? "true" : "false";
  return !strcmp(text, value);
}

static bool is_off(const gh_json *node) { return gh_json_type_of(node) == GH_JSON_NULL || says(node, "false"); }

static gh_status refuse(gh_error *err, const char *where, const char *key) {
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s.%.60s: what it says is not supported", where, key);
}

/* Everything that the object says is among the rules and the keys, or is switched off. */
static gh_status check(gh_error *err, const gh_json *from, const char *where, const gh_rule *rules, size_t n,
                       const char *const *keys) {
  for (size_t i = 0; i < n; i++) {
    const gh_json *node = gh_json_member(from, rules[i].key);
    bool absent = gh_json_type_of(node) == GH_JSON_NULL;
    if (absent ? strcmp(rules[i].absent, rules[i].value) != 0 : !says(node, rules[i].value))
      return refuse(err, where, rules[i].key);
  }
  for (const gh_json *item = gh_json_first(from); item; item = gh_json_next(item)) {
    const char *key = gh_json_key(item);
    bool known = is_off(item);
    for (size_t i = 0; i < n && !known; i++) known = !strcmp(key, rules[i].key);
    for (size_t i = 0; keys[i] && !known; i++) known = !strcmp(key, keys[i]);
    if (!known) return refuse(err, where, key);
  }
  return GH_OK;
}

typedef struct gh_size {
  const char *key;
  int *to, value; /* the default; 0: there is none */
} gh_size;

static gh_status read_sizes(gh_error *err, const gh_json *from, const char *where, const gh_size *sizes, size_t n) {
  for (size_t i = 0; i < n; i++) {
    int64_t value = sizes[i].value;
    if (gh_json_opt_int(err, from, sizes[i].key, &value)) return gh_fail_in(err, "%s", where);
    if (value < 1 || value > LARGEST_SIZE)
      return gh_fail(err, GH_ERROR_FORMAT, "%s.%s: %lld is no size", where, sizes[i].key, (long long)value);
    *sizes[i].to = (int)value;
  }
  return GH_OK;
}

/* ---- what both towers have ---- */

/* Activation, eps and the MLP's width; hidden is known. */
static gh_status read_tower(gh_error *err, const gh_json *model, const gh_json *from, const char *where,
                            gh_transformer *t) {
  double ratio = 4, eps = 1e-5;
  bool quick = false;
  const gh_json *act = gh_json_member(from, "act_kwargs"), *norm = gh_json_member(from, "norm_kwargs");
  static const gh_rule tanh_rule[] = {{"approximate", "tanh", "none"}};
  static const char *const norm_keys[] = {"eps", NULL}, *const none[] = {NULL};
  bool tanh = gh_json_count(act) && !says(gh_json_member(act, "approximate"), "none");
  if (gh_json_opt_bool(err, model, "quick_gelu", &quick) || gh_json_opt_double(err, from, "mlp_ratio", &ratio) ||
      gh_json_opt_double(err, norm, "eps", &eps))
    return gh_fail_in(err, "%s", where);
  if (check(err, norm, where, NULL, 0, norm_keys) || (tanh && check(err, act, where, tanh_rule, 1, none)))
    return err->status;
  if (!(ratio * t->hidden >= 1) || ratio * t->hidden > LARGEST_SIZE || !(eps > 0))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: mlp_ratio or eps is out of range", where);
  t->mlp = (int)(ratio * t->hidden);
  t->eps = eps;
  t->activation = tanh ? GH_GELU_TANH : quick ? GH_QUICK_GELU : GH_GELU_ERF;
  if (t->hidden % t->heads)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: the width is no multiple of the number of heads", where);
  return GH_OK;
}

/* "model_cfg", checked, with its name of a timm model, NULL where the vision tower is open_clip's own. */
static gh_status open_model(gh_error *err, const gh_json *root, const gh_json **model, const char **timm) {
  *model = gh_json_member(root, "model_cfg");
  *timm = NULL;
  for (int i = 0; i < 3; i++) {
    static const char *const names[] = {NULL, "vision_cfg", "text_cfg"};
    const gh_json *node = names[i] ? gh_json_member(*model, names[i]) : *model;
    if (gh_json_type_of(node) != GH_JSON_OBJECT)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: expected an object", names[i] ? names[i] : "model_cfg");
  }
  if (check(err, *model, "model_cfg", NULL, 0, model_keys)) return err->status;
  const gh_json *name = gh_json_at(*model, "vision_cfg." TIMM);
  return gh_json_type_of(name) == GH_JSON_NULL ? GH_OK : gh_json_to_string(err, name, TIMM, timm);
}

/* ---- the vision tower ---- */

#define SIGLIP(wide, depth, groups, between, act)                                                                      \
  { .hidden = wide, .layers = depth, .heads = groups, .mlp = between, .eps = 1e-6, .activation = act }
#define BASE(act)   SIGLIP(768, 12, 12, 3072, act)
#define LARGE(act)  SIGLIP(1024, 24, 16, 4096, act)
#define SO400M(act) SIGLIP(1152, 27, 16, 4304, act)

/* timm's SigLIP towers: the older ones have the exact GELU. */
static const struct {
  const char *name;
  int patch;
  gh_transformer tower;
} timm_towers[] = {{"vit_base_patch16_siglip_224", 16, BASE(GH_GELU_ERF)},
                   {"vit_base_patch16_siglip_256", 16, BASE(GH_GELU_ERF)},
                   {"vit_base_patch16_siglip_384", 16, BASE(GH_GELU_ERF)},
                   {"vit_base_patch16_siglip_512", 16, BASE(GH_GELU_ERF)},
                   {"vit_base_patch32_siglip_256", 32, BASE(GH_GELU_TANH)},
                   {"vit_large_patch16_siglip_256", 16, LARGE(GH_GELU_ERF)},
                   {"vit_large_patch16_siglip_384", 16, LARGE(GH_GELU_ERF)},
                   {"vit_large_patch16_siglip_512", 16, LARGE(GH_GELU_TANH)},
                   {"vit_so400m_patch14_siglip_224", 14, SO400M(GH_GELU_ERF)},
                   {"vit_so400m_patch14_siglip_378", 14, SO400M(GH_GELU_ERF)},
                   {"vit_so400m_patch14_siglip_384", 14, SO400M(GH_GELU_ERF)},
                   {"vit_so400m_patch16_siglip_256", 16, SO400M(GH_GELU_TANH)},
                   {"vit_so400m_patch16_siglip_384", 16, SO400M(GH_GELU_TANH)},
                   {"vit_so400m_patch16_siglip_512", 16, SO400M(GH_GELU_TANH)}};

static gh_status read_timm(gh_error *err, const gh_json *from, const char *name, gh_vision_config *c) {
  for (size_t i = 0; i < GH_COUNT(timm_towers); i++) {
    if (strcmp(timm_towers[i].name, name)) continue;
    c->tower = timm_towers[i].tower;
    c->patch = timm_towers[i].patch;
    return check(err, from, "model_cfg.vision_cfg", timm_rules, GH_COUNT(timm_rules), vision_keys);
  }
  return gh_fail(err, GH_ERROR_UNSUPPORTED,
                 "model_cfg.vision_cfg." TIMM ": the tower %.100s is not supported (SigLIP's are)", name);
}

static gh_status read_own(gh_error *err, const gh_json *model, const gh_json *from, gh_vision_config *c) {
  static const char where[] = "model_cfg.vision_cfg";
  int head = 64;
  const gh_size sizes[] = {{"width", &c->tower.hidden, 768},
                           {"layers", &c->tower.layers, 12},
                           {"head_width", &head, 64},
                           {"patch_size", &c->patch, 16}};
  if (check(err, from, where, vision_rules, GH_COUNT(vision_rules), vision_keys)) return err->status;
  if (gh_json_type_of(gh_json_member(from, "layers")) == GH_JSON_ARRAY)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s.layers: a ResNet is not supported", where);
  if (read_sizes(err, from, where, sizes, GH_COUNT(sizes))) return err->status;
  if (head > c->tower.hidden) return gh_fail(err, GH_ERROR_FORMAT, "%s: head_width is above width", where);
  c->tower.heads = c->tower.hidden / head;
  return read_tower(err, model, from, where, &c->tower);
}

gh_status gh_openclip_vision(gh_error *err, const gh_json *root, gh_vision_config *c) {
  const gh_json *model;
  const char *timm;
  if (open_model(err, root, &model, &timm)) return err->status;
  const gh_json *from = gh_json_member(model, "vision_cfg");
  *c = (gh_vision_config){.family = timm ? GH_SIGLIP : GH_CLIP};
  const gh_size width = {"embed_dim", &c->projection, 0}, image = {"image_size", &c->image, 224};
  if (read_sizes(err, model, "model_cfg", &width, 1) || read_sizes(err, from, "model_cfg.vision_cfg", &image, 1) ||
      (timm ? read_timm(err, from, timm, c) : read_own(err, model, from, c)))
    return err->status;
  if (c->image < c->patch) return gh_fail(err, GH_ERROR_FORMAT, "image_size is below patch_size");
  if (timm && c->projection != c->tower.hidden)
    return gh_fail(err, GH_ERROR_FORMAT, "model_cfg.embed_dim: %d; %s gives %d", c->projection, timm, c->tower.hidden);
  return GH_OK;
}

/* ---- the text tower ---- */

/* What it does to a line before the tokens: SigLIP's tokenizer does that here too, CLIP's does not. */
static gh_status check_tokenizer(gh_error *err, const gh_json *from, bool siglip) {
  const gh_json *how = gh_json_member(from, "tokenizer_kwargs");
  static const char *const none[] = {NULL};
  static const gh_rule clean[] = {{"clean", "canonicalize", "canonicalize"}};
  return check(err, how, "model_cfg.text_cfg.tokenizer_kwargs", clean, siglip, none);
}

gh_status gh_openclip_text(gh_error *err, const gh_json *root, gh_text_config *c) {
  static const char where[] = "model_cfg.text_cfg";
  const gh_json *model;
  const char *timm;
  if (open_model(err, root, &model, &timm)) return err->status;
  const gh_json *from = gh_json_member(model, "text_cfg");
  /* CLIP: the greatest id of a line is its end, which is what eos_token_id 2 asks for. */
  *c = (gh_text_config){.family = timm ? GH_SIGLIP : GH_CLIP, .eos = timm ? 1 : 2};
  c->tower.causal = !timm;
  const gh_size width = {"embed_dim", &c->projection, 0};
  const gh_size sizes[] = {{"width", &c->tower.hidden, 512},
                           {"layers", &c->tower.layers, 12},
                           {"heads", &c->tower.heads, 8},
                           {"vocab_size", &c->vocabulary, 49408},
                           {"context_length", &c->positions, 77}};
  gh_status status = read_sizes(err, model, "model_cfg", &width, 1);
  if (!status)
    status = timm ? check(err, from, where, siglip_text_rules, GH_COUNT(siglip_text_rules), text_keys)
                  : check(err, from, where, clip_text_rules, GH_COUNT(clip_text_rules), text_keys);
  if (!status) status = check_tokenizer(err, from, timm != NULL);
  if (!status) status = read_sizes(err, from, where, sizes, GH_COUNT(sizes));
  return status ? status : read_tower(err, model, from, where, &c->tower);
}

/* ---- the folder ---- */

gh_status gh_openclip_is(gh_error *err, const char *folder, bool *is) {
  gh_json *root = NULL;
  char *theirs = gh_path_join(err, folder, GH_OPENCLIP_CONFIG), *ours = gh_path_join(err, folder, "config.json");
  gh_status status = theirs && ours ? GH_OK : GH_ERROR_MEMORY;
  *is = !status && gh_path_is_file(theirs);
  if (*is && gh_path_exists(ours)) {
    status = gh_json_read_file(err, &root, ours, GH_JSON_MAX_BYTES);
    *is = !status && !gh_json_member(root, "model_type");
  }
  gh_json_free(root);
  free(theirs);
  free(ours);
  return status;
}
