#include "models/openclip.h"
#include "base/file.h"
#include "models/family.h"

#include <stdlib.h>
#include <string.h>

#define LARGEST_SIZE (1 << 20)
#define TIMM         "timm_model_name"

/* ---- keys ---- */

/* Keys that are read, or that do not matter here because they concern how a model is created, trained or called. */
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
static const char *const no_keys[] = {NULL};
static const gh_openclip_rule no_rules[] = {{0}};
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
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s.%.60s: this value is not supported", where, key);
}

/* The first rule that the object breaks; NULL: none. */
static const gh_openclip_rule *broken(const gh_json *from, const gh_openclip_rule *rules) {
  for (const gh_openclip_rule *rule = rules; rule->key; rule++) {
    const gh_json *node = gh_json_member(from, rule->key);
    bool absent = gh_json_type_of(node) == GH_JSON_NULL;
    if (node && absent && !strcmp(rule->value, "null")) continue;
    if (absent ? strcmp(rule->absent, rule->value) != 0 : !says(node, rule->value)) return rule;
  }
  return NULL;
}

/* Checks the rules, and that every other key of the object is known or switched off. */
static gh_status check(gh_error *err, const gh_json *from, const char *where, const gh_openclip_rule *rules,
                       const char *const *keys) {
  const gh_openclip_rule *wrong = broken(from, rules);
  if (wrong) return refuse(err, where, wrong->key);
  for (const gh_json *item = gh_json_first(from); item; item = gh_json_next(item)) {
    const char *key = gh_json_key(item);
    bool known = is_off(item);
    for (const gh_openclip_rule *rule = rules; rule->key && !known; rule++) known = !strcmp(key, rule->key);
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
      return gh_fail(err, GH_ERROR_FORMAT, "%s.%s: %lld is not a valid size", where, sizes[i].key, (long long)value);
    *sizes[i].to = (int)value;
  }
  return GH_OK;
}

/* ---- keys of both towers ---- */

/* Reads activation, eps and the MLP's width; hidden is already set. */
static gh_status read_tower(gh_error *err, const gh_json *model, const gh_json *from, const char *where,
                            gh_transformer *t) {
  double ratio = 4, eps = 1e-5;
  bool quick = false;
  const gh_json *act = gh_json_member(from, "act_kwargs"), *norm = gh_json_member(from, "norm_kwargs");
  static const gh_openclip_rule tanh_rule[] = {{"approximate", "tanh", "none"}, {0}};
  static const char *const norm_keys[] = {"eps", NULL};
  bool tanh = gh_json_count(act) && !says(gh_json_member(act, "approximate"), "none");
  if (gh_json_opt_bool(err, model, "quick_gelu", &quick) || gh_json_opt_double(err, from, "mlp_ratio", &ratio) ||
      gh_json_opt_double(err, norm, "eps", &eps))
    return gh_fail_in(err, "%s", where);
  if (check(err, norm, where, no_rules, norm_keys) || (tanh && check(err, act, where, tanh_rule, no_keys)))
    return err->status;
  if (!(ratio * t->hidden >= 1) || ratio * t->hidden > LARGEST_SIZE || !(eps > 0))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: mlp_ratio or eps is out of range", where);
  t->mlp = (int)(ratio * t->hidden);
  t->eps = eps;
  t->activation = tanh ? GH_GELU_TANH : quick ? GH_QUICK_GELU : GH_GELU_ERF;
  if (t->hidden % t->heads)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: the width is not a multiple of the number of heads", where);
  return GH_OK;
}

/* "model_cfg", its keys checked, and its family. */
typedef struct gh_openclip_model {
  const gh_json *root;
  const gh_family *family;
  const char *timm;           /* the name of timm's vision tower; NULL: open_clip's own ViT */
  const gh_timm_tower *tower; /* the tower of that name; NULL: no family has it */
} gh_openclip_model;

/* Finds the family. The text tower does not depend on the timm tower: if no family has that, the first family with timm
 * towers reads the text tower. Families with open_clip's own ViT differ in the text tower. */
static void find_family(gh_openclip_model *m) {
  const gh_json *text = gh_json_member(m->root, "text_cfg");
  bool fits = false;
  for (const gh_family *const *f = gh_families; *f && !m->tower && !fits; f++) {
    const gh_timm_tower *t = (*f)->openclip.timm;
    if (!m->timm != !t) continue;
    if (!t && !broken(text, (*f)->openclip.text)) m->family = *f, fits = true;
    if (!m->family) m->family = *f;
    for (; t && t->name && !m->tower; t++)
      if (!strcmp(t->name, m->timm)) m->family = *f, m->tower = t;
  }
}

static gh_status open_model(gh_error *err, const gh_json *root, gh_openclip_model *m) {
  *m = (gh_openclip_model){.root = gh_json_member(root, "model_cfg")};
  for (int i = 0; i < 3; i++) {
    static const char *const names[] = {NULL, "vision_cfg", "text_cfg"};
    const gh_json *node = names[i] ? gh_json_member(m->root, names[i]) : m->root;
    if (gh_json_type_of(node) != GH_JSON_OBJECT)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: expected an object", names[i] ? names[i] : "model_cfg");
  }
  if (check(err, m->root, "model_cfg", no_rules, model_keys)) return err->status;
  const gh_json *name = gh_json_at(m->root, "vision_cfg." TIMM);
  if (gh_json_type_of(name) != GH_JSON_NULL && gh_json_to_string(err, name, TIMM, &m->timm)) return err->status;
  find_family(m);
  return GH_OK;
}

/* ---- the vision tower ---- */

static const char *title_of_timm(const gh_family *family) { return family->openclip.timm ? family->title : NULL; }

static gh_status read_timm(gh_error *err, const gh_openclip_model *m, const gh_json *from, gh_vision_config *c) {
  if (!m->tower)
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "model_cfg.vision_cfg." TIMM ": the tower %.100s is not supported (%s's are)", m->timm,
                   gh_family_list(title_of_timm).text);
  c->tower = m->tower->tower;
  c->patch = m->tower->patch;
  return check(err, from, "model_cfg.vision_cfg", m->family->openclip.vision, vision_keys);
}

static gh_status read_own(gh_error *err, const gh_openclip_model *m, const gh_json *from, gh_vision_config *c) {
  static const char where[] = "model_cfg.vision_cfg";
  int head = 64;
  const gh_size sizes[] = {{"width", &c->tower.hidden, 768},
                           {"layers", &c->tower.layers, 12},
                           {"head_width", &head, 64},
                           {"patch_size", &c->patch, 16}};
  if (check(err, from, where, m->family->openclip.vision, vision_keys)) return err->status;
  if (gh_json_type_of(gh_json_member(from, "layers")) == GH_JSON_ARRAY)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s.layers: a ResNet is not supported", where);
  if (read_sizes(err, from, where, sizes, GH_COUNT(sizes))) return err->status;
  if (head > c->tower.hidden) return gh_fail(err, GH_ERROR_FORMAT, "%s: head_width is above width", where);
  c->tower.heads = c->tower.hidden / head;
  return read_tower(err, m->root, from, where, &c->tower);
}

gh_status gh_openclip_vision(gh_error *err, const gh_json *root, gh_vision_config *c) {
  gh_openclip_model m;
  if (open_model(err, root, &m)) return err->status;
  const gh_json *from = gh_json_member(m.root, "vision_cfg");
  *c = (gh_vision_config){.family = m.family};
  const gh_size width = {"embed_dim", &c->projection, 0}, image = {"image_size", &c->image, 224};
  if (read_sizes(err, m.root, "model_cfg", &width, 1) || read_sizes(err, from, "model_cfg.vision_cfg", &image, 1) ||
      (m.timm ? read_timm : read_own)(err, &m, from, c))
    return err->status;
  if (c->image < c->patch) return gh_fail(err, GH_ERROR_FORMAT, "image_size is below patch_size");
  if (m.timm && !m.family->openclip.projects && c->projection != c->tower.hidden)
    return gh_fail(err, GH_ERROR_FORMAT, "model_cfg.embed_dim: %d; %s gives %d", c->projection, m.timm,
                   c->tower.hidden);
  return GH_OK;
}

/* ---- the text tower ---- */

/* What open_clip's tokenizers do to a line first: CLIP's own, and those of the package transformers. */
static gh_status read_clean(gh_error *err, const gh_json *from, gh_text_config *c) {
  static const char where[] = "model_cfg.text_cfg.tokenizer_kwargs";
  static const char *const names[] = {
      [GH_CLEAN_SPACES] = "whitespace", [GH_CLEAN_LOWER] = "lower", [GH_CLEAN_CANONICAL] = "canonicalize"};
  static const char *const keys[] = {"clean", NULL};
  const bool own = gh_json_type_of(gh_json_member(from, "hf_tokenizer_name")) == GH_JSON_NULL;
  const gh_json *kwargs = gh_json_member(from, "tokenizer_kwargs");
  const char *name = names[own ? GH_CLEAN_LOWER : GH_CLEAN_SPACES];
  if (check(err, kwargs, where, no_rules, keys) || gh_json_opt_string(err, kwargs, "clean", &name)) return err->status;
  for (gh_clean i = GH_CLEAN_SPACES; i < GH_COUNT(names); i++)
    if (!strcmp(name, names[i])) {
      c->clean = i;
      return GH_OK;
    }
  return refuse(err, where, "clean");
}

gh_status gh_openclip_text(gh_error *err, const gh_json *root, gh_text_config *c) {
  static const char where[] = "model_cfg.text_cfg";
  gh_openclip_model m;
  if (open_model(err, root, &m)) return err->status;
  const gh_json *from = gh_json_member(m.root, "text_cfg");
  const gh_family *family = m.family;
  *c = (gh_text_config){.family = family, .eos = family->openclip.eos, .tower.causal = family->text.tower.causal};
  const gh_size width = {"embed_dim", &c->projection, 0};
  const gh_size sizes[] = {{"width", &c->tower.hidden, 512},
                           {"layers", &c->tower.layers, 12},
                           {"heads", &c->tower.heads, 8},
                           {"vocab_size", &c->vocabulary, 49408},
                           {"context_length", &c->positions, 77}};
  gh_status status = read_sizes(err, m.root, "model_cfg", &width, 1);
  if (!status) status = check(err, from, where, family->openclip.text, text_keys);
  if (!status) status = read_clean(err, from, c);
  if (!status && family->openclip.reads_eos) status = gh_json_opt_int(err, from, "eos_id", &c->eos);
  if (!status) status = read_sizes(err, from, where, sizes, GH_COUNT(sizes));
  return status ? status : read_tower(err, m.root, from, where, &c->tower);
}

/* ---- the folder ---- */

gh_status gh_openclip_is(gh_error *err, const char *folder, bool *is) {
  gh_json *root = NULL;
  char *theirs = gh_path_join(err, folder, GH_OPENCLIP_CONFIG), *ours = gh_path_join(err, folder, "config.json");
  gh_path_kind kind = GH_PATH_ABSENT;
  gh_status status = theirs && ours ? gh_path_look(err, theirs, &kind) : GH_ERROR_MEMORY;
  *is = !status && kind == GH_PATH_FILE;
  if (*is && gh_path_exists(ours)) {
    status = gh_json_read_file(err, &root, ours, GH_JSON_MAX_BYTES);
    *is = !status && !gh_json_member(root, "model_type");
  }
  gh_json_free(root);
  free(theirs);
  free(ours);
  return status;
}
