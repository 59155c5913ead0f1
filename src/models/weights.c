#include "models/weights.h"
#include "base/file.h"
#include "io/torch_file.h"
#include "models/family.h"

#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

/* The text tower of OpenAI's files and open_clip's. */
static const gh_renaming text_names[] = {
    {.from = "token_embedding.", .to = "text_model.embeddings.token_embedding."},
    {.from = "positional_embedding", .to = "text_model.embeddings.position_embedding.weight"},
    {.from = "ln_final.", .to = "text_model.final_layer_norm."},
    {0},
};
#define TEXT_LAYERS "transformer.resblocks."

const gh_renaming gh_openclip_layer[] = {{.from = "ln_1.", .to = "layer_norm1."},
                                         {.from = "ln_2.", .to = "layer_norm2."},
                                         {.from = "attn.in_proj_weight", .to = "weight", .reform = GH_PACKED},
                                         {.from = "attn.in_proj_bias", .to = "bias", .reform = GH_PACKED},
                                         {.from = "attn.out_proj.", .to = "self_attn.out_proj."},
                                         {.from = "mlp.c_fc.", .to = "mlp.fc1."},
                                         {.from = "mlp.c_proj.", .to = "mlp.fc2."},
                                         {0}};

/* The first row that applies, NULL if none does; *rest is what follows its name. */
static const gh_renaming *find(const gh_renaming *table, const char *name, const char **rest) {
  for (const gh_renaming *row = table; row->from; row++) {
    size_t length = strlen(row->from);
    bool prefix = row->from[length - 1] == '.';
    *rest = name + length;
    if (!strncmp(name, row->from, length) && (prefix || !name[length])) return row;
  }
  return NULL;
}

bool gh_weights_of_vision(const char *name) { return gh_starts_with(name, "vision_model."); }
bool gh_weights_of_text(const char *name) { return gh_starts_with(name, "text_"); }

/* ---- tensors under their new names ---- */

typedef struct gh_view {
  const gh_safetensors *file;
  gh_st_tensor *tensors;
  size_t count;
  gh_strings names;
  void **owned;
  size_t owned_count;
  const gh_weight_names *theirs;
} gh_view;

static gh_status add(gh_error *err, gh_view *v, gh_st_tensor t, const char *name) {
  if (gh_strings_add(err, &v->names, name)) return err->status;
  t.name = v->names.items[v->names.count - 1];
  v->tensors[v->count++] = t;
  return GH_OK;
}

/* (R, C) -> (C, R), in memory of its own. */
static gh_status add_transposed(gh_error *err, gh_view *v, gh_st_tensor t, const char *name) {
  if (t.scales.data)
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s: tensor \"%.200s\" is stored transposed, with scales per row or block", t.file, t.name);
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

/* A packed weight or bias: the rows of q, then k, then v. */
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
    t.scales.row = i * t.shape[0];
    status = add(err, v, t, gh_name_make("%s.self_attn.%s.%s", layer, parts[i], kind).text);
  }
  return status;
}

/* Stacks another tensor, with twice as many rows, below this one: keys and values below queries, as in
 * torch.nn.MultiheadAttention. */
static gh_status add_joined(gh_error *err, gh_view *v, gh_st_tensor t, const char *other, const char *name) {
  const gh_st_tensor *more = gh_safetensors_find(v->file, other);
  bool fit = more && more->dtype == t.dtype && more->scale == t.scale && !more->scales.data && !t.scales.data &&
             more->rank == t.rank && t.rank >= 1 && more->bytes == 2 * t.bytes && more->shape[0] == 2 * t.shape[0];
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
  return add(err, v, t, name);
}

/* Where a tensor goes. name: ours; of a GH_PACKED one, the layer's, and kind is "weight" or "bias". */
typedef struct gh_place {
  gh_reform reform;
  gh_name name, kind;
  const gh_renaming *row; /* NULL: it keeps its name */
  const char *rest;
} gh_place;

static gh_place place_in_layer(const gh_renaming *names, gh_name layer, const char *name, const char *whole) {
  gh_place p = {0};
  p.row = find(names, name, &p.rest);
  p.reform = p.row ? p.row->reform : GH_AS_IT_IS;
  const gh_name inner = p.row ? gh_name_make("%s%s", p.row->to, p.rest) : gh_name_make("%s", whole);
  if (p.reform == GH_PACKED) {
    p.name = layer;
    p.kind = inner;
  } else {
    p.name = p.row ? gh_name_make("%s.%s", layer.text, inner.text) : inner;
  }
  return p;
}

static gh_place place_of(const gh_weight_names *theirs, const char *whole) {
  const struct {
    const char *from, *to;
    const gh_renaming *names;
  } towers[] = {{theirs->layers, "vision_model.encoder.layers.", theirs->layer},
                {TEXT_LAYERS, "text_model.encoder.layers.", gh_openclip_layer}};
  const char *name = gh_starts_with(whole, "text.") ? whole + strlen("text.") : whole; /* some files have this prefix */
  for (size_t i = 0; i < GH_COUNT(towers); i++) {
    size_t length = strlen(towers[i].from), digits;
    if (strncmp(name, towers[i].from, length)) continue;
    digits = strspn(name + length, "0123456789");
    if (digits < 1 || digits > 4 || name[length + digits] != '.') continue;
    gh_name layer = gh_name_make("%s%.*s", towers[i].to, (int)digits, name + length);
    return place_in_layer(towers[i].names, layer, name + length + digits + 1, whole);
  }
  gh_place p = {0};
  p.row = find(theirs->renamings, name, &p.rest);
  if (!p.row) p.row = find(text_names, name, &p.rest);
  p.reform = p.row ? p.row->reform : GH_AS_IT_IS;
  p.name = p.row ? gh_name_make("%s%s", p.row->to ? p.row->to : "", p.rest) : gh_name_make("%s", whole);
  return p;
}

bool gh_weights_renamed(const gh_weight_names *theirs, const char *name, gh_name *out) {
  const gh_place p = place_of(theirs, name);
  *out = p.name;
  return p.reform == GH_AS_IT_IS || p.reform == GH_SQUEEZED || p.reform == GH_VECTOR_OF_ONE;
}

static gh_status add_renamed(gh_error *err, gh_view *v, const gh_st_tensor *from) {
  gh_st_tensor t = *from;
  const gh_place p = place_of(v->theirs, t.name);
  if (!p.row) return add(err, v, t, t.name);
  switch (p.reform) {
  case GH_LEFT_OUT:
    return GH_OK;
  case GH_PACKED:
    return add_packed(err, v, t, p.name.text, p.kind.text);
  case GH_JOINED:
    return add_joined(err, v, t, gh_name_make("%s%s", p.row->with, p.rest).text, p.name.text);
  case GH_TRANSPOSED:
    return t.rank == 2 ? add_transposed(err, v, t, p.name.text) : add(err, v, t, p.name.text);
  case GH_SQUEEZED:
    if (t.rank == 3 && t.shape[0] == 1) t.rank = 2, t.shape[0] = t.shape[1], t.shape[1] = t.shape[2];
    break;
  case GH_VECTOR_OF_ONE:
    if (t.rank == 0) t.rank = 1, t.shape[0] = 1;
    break;
  case GH_AS_IT_IS:
    break;
  }
  return add(err, v, t, p.name.text);
}

static gh_status remap_names(gh_error *err, gh_safetensors *file, const gh_weight_names *theirs) {
  size_t n = gh_safetensors_count(file);
  gh_view v = {.file = file,
               .theirs = theirs,
               .tensors = gh_alloc(err, 3 * n, sizeof(gh_st_tensor)),
               .owned = gh_alloc(err, n, sizeof(void *))};
  gh_status status = v.tensors && v.owned ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < n && !status; i++) status = add_renamed(err, &v, gh_safetensors_at(file, i));
  gh_status seen = gh_safetensors_remap(err, file, v.tensors, status ? 0 : v.count, v.names, v.owned, v.owned_count);
  free(v.tensors);
  return status ? status : seen;
}

/* transformers 5 writes a vision tower alone without the prefix that it has within a whole model. */
#define BARE_VISION "embeddings.patch_embedding.weight"

bool gh_weights_bare(const char *name) {
  static const char *const parts[] = {"embeddings.",     "encoder.", "pre_layrnorm.",
                                      "post_layernorm.", "head.",    "final_layer_norm."};
  for (size_t i = 0; i < GH_COUNT(parts); i++)
    if (gh_starts_with(name, parts[i])) return true;
  return false;
}

gh_status gh_weights_prefix(gh_error *err, gh_safetensors *file, const char *before, const char *tower) {
  const size_t n = gh_safetensors_count(file), length = strlen(before);
  gh_view v = {
      .file = file, .tensors = gh_alloc(err, n, sizeof(gh_st_tensor)), .owned = gh_alloc(err, 1, sizeof(void *))};
  gh_status status = v.tensors && v.owned ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < n && !status; i++) {
    const gh_st_tensor *t = gh_safetensors_at(file, i);
    const bool inside = gh_starts_with(t->name, before) && gh_weights_bare(t->name + length);
    status = add(err, &v, *t, inside ? gh_name_make("%s%s%s", before, tower, t->name + length).text : t->name);
  }
  gh_status seen = gh_safetensors_remap(err, file, v.tensors, status ? 0 : v.count, v.names, v.owned, 0);
  free(v.tensors);
  return status ? status : seen;
}

/* A folder's weights in PyTorch's own format; NULL if it has none, or has weights in safetensors. */
static gh_status find_torch(gh_error *err, char **out, const char *folder) {
  static const char *const usual[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                      "open_clip_pytorch_model.bin"};
  gh_strings names = {0};
  size_t found = GH_COUNT(usual);
  gh_status status = gh_folder_list(err, &names, folder, false);
  for (size_t i = 0; i < names.count && !status; i++) {
    const char *name = names.items[i];
    if (gh_ends_with(name, ".safetensors") || gh_ends_with(name, ".safetensors.index.json")) break;
    for (size_t k = 0; k < found; k++)
      if (!strcmp(name, usual[k])) found = k;
    if (i + 1 == names.count && found < GH_COUNT(usual) && !(*out = gh_path_join(err, folder, usual[found])))
      status = GH_ERROR_MEMORY;
  }
  gh_strings_free(&names);
  return status;
}

/* A folder that open_clip's file describes may also hold the weights under the names of another package, as timm's
 * folders do. */
gh_status gh_weights_open_as_stored(gh_error *err, gh_safetensors **out, const char *path) {
  bool theirs = false;
  char *torch = NULL;
  gh_path_kind kind;
  *out = NULL;
  if (gh_path_look(err, path, &kind)) return err->status;
  if (kind == GH_PATH_FOLDER) {
    gh_status status = gh_openclip_is(err, path, &theirs);
    if (!status) status = find_torch(err, &torch, path);
    if (status) return status;
  } else if (gh_st_is_torch_name(path)) {
    return gh_torch_open_weights(err, out, path);
  }
  char *file = theirs ? gh_path_join(err, path, GH_OPENCLIP_WEIGHTS) : NULL;
  gh_status status = theirs && !file ? GH_ERROR_MEMORY : GH_OK;
  if (!status && torch) status = gh_torch_open_weights(err, out, torch);
  if (!status && !torch) status = gh_safetensors_open(err, out, file && gh_path_is_file(file) ? file : path);
  free(torch);
  free(file);
  return status;
}

gh_status gh_weights_open(gh_error *err, gh_safetensors **out, const char *path) {
  const gh_weight_names *theirs = NULL;
  gh_status status = gh_weights_open_as_stored(err, out, path);
  for (const gh_family *const *f = gh_families; !status && !theirs && *f; f++)
    if (gh_safetensors_find(*out, (*f)->weights.marker)) theirs = &(*f)->weights;
  if (status) return status;
  if (theirs) status = remap_names(err, *out, theirs);
  if (!theirs && gh_safetensors_find(*out, BARE_VISION)) status = gh_weights_prefix(err, *out, "", "vision_model.");
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
      status = gh_fail(err, GH_ERROR_FILE, "%s: holds %s that `%s` did not write: not replaced", folder,
                       gh_starts_with(weights, "adapter_") ? "an adapter" : "a model or a run", maker);
    gh_safetensors_close(file);
  }
  free(weights_path);
  free(config_path);
  return status;
}
