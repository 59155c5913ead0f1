#include "models/weights.h"
#include "base/file.h"
#include "models/module.h"
#include "models/openclip.h"

#include <stdlib.h>
#include <string.h>

/* ---- OpenAI's names, which are OpenCLIP's; and its SigLIP, whose vision tower is timm's ---- */

#define TIMM_PATCHES   "visual.trunk.patch_embed.proj.weight"
#define TIMM_POSITIONS "visual.trunk.pos_embed"
#define TIMM_QUERY     "visual.trunk.attn_pool.q."
#define TIMM_KEYS      "visual.trunk.attn_pool.kv." /* and values */

/* One of theirs and ours; a prefix of whole names, so "ln_pre" serves weight and bias. */
typedef struct gh_renaming {
  const char *from, *to;
} gh_renaming;

static const gh_renaming outer[] = {
    {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
    {"visual.conv1.", "vision_model.embeddings.patch_embedding."},
    {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
    {"visual.ln_pre.", "vision_model.pre_layrnorm."},
    {"visual.ln_post.", "vision_model.post_layernorm."},
    {"visual.proj", "visual_projection.weight"},
    {"token_embedding.", "text_model.embeddings.token_embedding."},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final.", "text_model.final_layer_norm."},
    {"text_projection", "text_projection.weight"},
    {"text_projection.", "text_model.head."},
    {"visual.trunk.patch_embed.proj.", "vision_model.embeddings.patch_embedding."},
    {TIMM_POSITIONS, "vision_model.embeddings.position_embedding.weight"},
    {"visual.trunk.norm.", "vision_model.post_layernorm."},
    {"visual.trunk.attn_pool.latent", "vision_model.head.probe"},
    {"visual.trunk.attn_pool.proj.", "vision_model.head.attention.out_proj."},
    {"visual.trunk.attn_pool.norm.", "vision_model.head.layernorm."},
    {"visual.trunk.attn_pool.mlp.", "vision_model.head.mlp."},
};

static const gh_renaming towers[] = {{"visual.transformer.resblocks.", "vision_model.encoder.layers."},
                                     {"visual.trunk.blocks.", "vision_model.encoder.layers."},
                                     {"transformer.resblocks.", "text_model.encoder.layers."}};

static const gh_renaming inner[] = {{"ln_1.", "layer_norm1."},
                                    {"ln_2.", "layer_norm2."},
                                    {"norm1.", "layer_norm1."},
                                    {"norm2.", "layer_norm2."},
                                    {"attn.out_proj.", "self_attn.out_proj."},
                                    {"attn.proj.", "self_attn.out_proj."},
                                    {"mlp.c_fc.", "mlp.fc1."},
                                    {"mlp.c_proj.", "mlp.fc2."},
                                    {"mlp.fc1.", "mlp.fc1."},
                                    {"mlp.fc2.", "mlp.fc2."}};

/* What holds q, k and v one under the other: before "weight" or "bias". */
static const char *const packed[] = {"attn.in_proj_", "attn.qkv."};

/* The matrices that those files hold for x W and not for x W^T. */
static const char *const turned[] = {"visual.proj", "text_projection"};

/* The new name, or an empty one where none of the n applies. */
static gh_name renamed(const gh_renaming *table, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++) {
    size_t length = strlen(table[i].from);
    bool whole = table[i].from[length - 1] != '.';
    if (!strncmp(name, table[i].from, length) && (!whole || !name[length]))
      return gh_name_make("%s%s", table[i].to, name + length);
  }
  return (gh_name){0};
}

/* ---- the tensors seen anew ---- */

typedef struct gh_view {
  const gh_safetensors *file;
  gh_st_tensor *tensors;
  size_t count;
  gh_strings names;
  void **owned;
  size_t owned_count;
  bool siglip;
} gh_view;

static gh_status add(gh_error *err, gh_view *v, gh_st_tensor t, const char *name) {
  if (gh_strings_add(err, &v->names, name)) return err->status;
  t.name = v->names.items[v->names.count - 1];
  v->tensors[v->count++] = t;
  return GH_OK;
}

/* (R, C) -> (C, R), in memory of its own. */
static gh_status add_turned(gh_error *err, gh_view *v, gh_st_tensor t, const char *name) {
  size_t size = gh_st_dtype_bytes(t.dtype);
  char *to = gh_alloc(err, GH_MAX(t.bytes, 1), 1);
  if (!to) return GH_ERROR_MEMORY;
  v->owned[v->owned_count++] = to;
  for (int64_t r = 0; r < t.shape[0]; r++)
    for (int64_t c = 0; c < t.shape[1]; c++)
      memcpy(to + (size_t)(c * t.shape[0] + r) * size, (const char *)t.data + (size_t)(r * t.shape[1] + c) * size,
             size);
  int64_t rows = t.shape[0];
  t.shape[0] = t.shape[1];
  t.shape[1] = rows;
  t.data = to;
  return add(err, v, t, name);
}

/* A packed weight or bias, whose rows are those of q, k and v. */
static gh_status add_packed(gh_error *err, gh_view *v, gh_st_tensor t, const char *layer, const char *kind) {
  static const char *const parts[3] = {"q_proj", "k_proj", "v_proj"};
  if (t.rank < 1 || t.shape[0] % 3)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: tensor \"%.200s\" does not hold three equal parts", t.file, t.name);
  t.shape[0] /= 3;
  t.elements /= 3;
  t.bytes /= 3;
  const char *data = t.data;
  gh_status status = GH_OK;
  for (int i = 0; i < 3 && !status; i++) {
    t.data = data + (size_t)i * t.bytes;
    status = add(err, v, t, gh_name_make("%s.self_attn.%s.%s", layer, parts[i], kind).text);
  }
  return status;
}

static gh_status add_inner(gh_error *err, gh_view *v, gh_st_tensor t, const char *layer, const char *rest) {
  gh_name name = renamed(inner, GH_COUNT(inner), rest);
  for (size_t i = 0; i < GH_COUNT(packed); i++)
    if (gh_starts_with(rest, packed[i])) return add_packed(err, v, t, layer, rest + strlen(packed[i]));
  return add(err, v, t, name.text[0] ? gh_name_make("%s.%s", layer, name.text).text : t.name);
}

/* Queries above keys and values, as torch.nn.MultiheadAttention has them: "weight" or "bias". */
static gh_status add_joined(gh_error *err, gh_view *v, gh_st_tensor t, const char *kind) {
  const gh_st_tensor *more = gh_safetensors_find(v->file, gh_name_make(TIMM_KEYS "%s", kind).text);
  bool fit = more && more->dtype == t.dtype && more->rank == t.rank && t.rank >= 1 && more->bytes == 2 * t.bytes &&
             more->shape[0] == 2 * t.shape[0];
  if (!fit) return gh_fail(err, GH_ERROR_FORMAT, "%s: %s has no keys and values of its size", t.file, t.name);
  char *to = gh_alloc(err, GH_MAX(3 * t.bytes, (size_t)1), 1);
  if (!to) return GH_ERROR_MEMORY;
  v->owned[v->owned_count++] = to;
  memcpy(to, t.data, t.bytes);
  memcpy(to + t.bytes, more->data, more->bytes);
  t.data = to;
  t.shape[0] *= 3;
  t.elements *= 3;
  t.bytes *= 3;
  return add(err, v, t, gh_name_make("vision_model.head.attention.in_proj_%s", kind).text);
}

/* timm's (1, N, C) is ours (N, C); numbers are of one element. */
static gh_st_tensor reshaped(gh_st_tensor t, const char *name) {
  if (!strcmp(name, TIMM_POSITIONS) && t.rank == 3 && t.shape[0] == 1) {
    t.rank = 2;
    t.shape[0] = t.shape[1];
    t.shape[1] = t.shape[2];
  }
  if (gh_starts_with(name, "logit_") && t.rank == 0) t.rank = 1, t.shape[0] = 1;
  return t;
}

static gh_status add_renamed(gh_error *err, gh_view *v, const gh_st_tensor *t) {
  const char *name = gh_starts_with(t->name, "text.") ? t->name + strlen("text.") : t->name; /* some have it in front */
  for (size_t i = 0; i < GH_COUNT(towers); i++) {
    size_t length = strlen(towers[i].from), digits;
    if (strncmp(name, towers[i].from, length)) continue;
    digits = strspn(name + length, "0123456789");
    if (digits < 1 || digits > 4 || name[length + digits] != '.') continue;
    gh_name layer = gh_name_make("%s%.*s", towers[i].to, (int)digits, name + length);
    return add_inner(err, v, *t, layer.text, name + length + digits + 1);
  }
  if (gh_starts_with(name, TIMM_KEYS)) return GH_OK; /* joined with the queries */
  if (gh_starts_with(name, TIMM_QUERY)) return add_joined(err, v, *t, name + strlen(TIMM_QUERY));
  gh_name fresh = renamed(outer, GH_COUNT(outer), name);
  if (v->siglip) return add(err, v, reshaped(*t, name), fresh.text[0] ? fresh.text : t->name);
  for (size_t i = 0; i < GH_COUNT(turned); i++)
    if (!strcmp(name, turned[i]) && t->rank == 2) return add_turned(err, v, *t, fresh.text);
  return add(err, v, *t, fresh.text[0] ? fresh.text : t->name);
}

static gh_status remap_names(gh_error *err, gh_safetensors *file, bool siglip) {
  size_t n = gh_safetensors_count(file);
  gh_view v = {.file = file,
               .siglip = siglip,
               .tensors = gh_alloc(err, 3 * n, sizeof(gh_st_tensor)),
               .owned = gh_alloc(err, n, sizeof(void *))};
  gh_status status = v.tensors && v.owned ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < n && !status; i++) status = add_renamed(err, &v, gh_safetensors_at(file, i));
  gh_status seen = gh_safetensors_remap(err, file, v.tensors, status ? 0 : v.count, v.names, v.owned, v.owned_count);
  free(v.tensors);
  return status ? status : seen;
}

/* A folder that open_clip's file describes may hold another package's view of the weights too, as timm's do. */
static gh_status open_file(gh_error *err, gh_safetensors **out, const char *path) {
  bool theirs = false;
  *out = NULL;
  if (gh_path_is_folder(path) && gh_openclip_is(err, path, &theirs)) return err->status;
  char *file = theirs ? gh_path_join(err, path, GH_OPENCLIP_WEIGHTS) : NULL;
  gh_status status = theirs && !file ? GH_ERROR_MEMORY : GH_OK;
  if (!status) status = gh_safetensors_open(err, out, file && gh_path_is_file(file) ? file : path);
  free(file);
  return status;
}

gh_status gh_weights_open(gh_error *err, gh_safetensors **out, const char *path) {
  gh_status status = open_file(err, out, path);
  bool siglip = !status && gh_safetensors_find(*out, TIMM_PATCHES);
  if (status || (!siglip && !gh_safetensors_find(*out, "visual.conv1.weight"))) return status;
  status = remap_names(err, *out, siglip);
  if (!status) return GH_OK;
  gh_safetensors_close(*out);
  *out = NULL;
  return status;
}

gh_status gh_weights_refuse_others(gh_error *err, const char *folder, const char *weights, const char *config,
                                   const char *maker) {
  char *weights_path = gh_path_join(err, folder, weights), *config_path = gh_path_join(err, folder, config);
  gh_status status = weights_path && config_path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && (gh_path_exists(weights_path) || gh_path_exists(config_path))) {
    gh_safetensors *file = NULL;
    gh_error ignored;
    const char *made_by =
        gh_safetensors_open(&ignored, &file, weights_path) ? NULL : gh_safetensors_metadata(file, "made_by");
    if (!made_by || strcmp(made_by, maker))
      status = gh_fail(err, GH_ERROR_FILE, "%s: holds %s that is not of `%s`: not replaced", folder,
                       strcmp(config, "config.json") ? "an adapter" : "a model or a run", maker);
    gh_safetensors_close(file);
  }
  free(weights_path);
  free(config_path);
  return status;
}
