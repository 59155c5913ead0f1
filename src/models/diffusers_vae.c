#include "models/diffusers_vae.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

#define WEIGHTS "diffusion_pytorch_model.safetensors"
#define CONFIG  "config.json"

/* ---- files ---- */

/* folder/name if that is a file, else NULL. */
static gh_status find_file(gh_error *err, char **out, const char *folder, const char *name) {
  if (!(*out = gh_path_join(err, folder, name))) return GH_ERROR_MEMORY;
  if (gh_path_is_file(*out)) return GH_OK;
  free(*out);
  *out = NULL;
  return GH_OK;
}

gh_status gh_diffusers_find(gh_error *err, char **out, const char *path) {
  char *part = NULL;
  *out = NULL;
  gh_status status = gh_path_is_folder(path) ? find_file(err, &part, path, "vae/" CONFIG) : GH_OK;
  char *folder = part ? gh_path_folder(err, part) : gh_strdup(err, path);
  free(part);
  if (!status && !folder) status = GH_ERROR_MEMORY;
  if (!status && gh_path_is_folder(folder)) status = find_file(err, out, folder, WEIGHTS);
  if (status || *out) {
    free(folder);
  } else {
    *out = folder;
  }
  return status;
}

bool gh_diffusers_is(const gh_safetensors *file) {
  return gh_safetensors_find(file, "encoder.down_blocks.0.resnets.0.conv1.weight") ||
         gh_safetensors_find(file, "decoder.up_blocks.0.resnets.0.conv1.weight");
}

/* ---- config.json ---- */

static gh_status check_class(gh_error *err, const gh_json *root, const char *path) {
  static const struct {
    const char *class, *whose;
  } known[] = {{"AutoencoderKLFlux2", "FLUX.2's autoencoder"},
               {"AutoencoderKLQwenImage", "Qwen-Image's autoencoder"},
               {"AutoencoderKLWan", "Wan's autoencoder of films"},
               {"AutoencoderTiny", "a TAESD autoencoder"},
               {"AsymmetricAutoencoderKL", "an asymmetric autoencoder"},
               {"AutoencoderDC", "a DC-AE autoencoder"},
               {"VQModel", "a VQ-GAN of diffusers"}};
  const char *class = "AutoencoderKL";
  gh_status status = gh_json_opt_string(err, root, "_class_name", &class);
  if (status || !strcmp(class, "AutoencoderKL")) return status;
  for (size_t i = 0; i < GH_COUNT(known); i++)
    if (!strcmp(class, known[i].class))
      return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: %s (%s) is not supported, only AutoencoderKL as FLUX.1 has it",
                     path, known[i].whose, class);
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: the class %.60s is not supported, only AutoencoderKL as FLUX.1 has it",
                 path, class);
}

/* Settings that change what the network computes and that its tensors do not show. */
static gh_status check_settings(gh_error *err, const gh_json *root, const char *path) {
  const char *activation = "silu";
  int64_t groups = 32;
  bool middle = true;
  gh_status status = gh_json_opt_string(err, root, "act_fn", &activation);
  if (!status) status = gh_json_opt_int(err, root, "norm_num_groups", &groups);
  if (!status) status = gh_json_opt_bool(err, root, "mid_block_add_attention", &middle);
  if (status) return status;
  if (strcmp(activation, "silu") && strcmp(activation, "swish"))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: act_fn: \"%.40s\" is not supported, only silu", path, activation);
  if (groups != 32)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: norm_num_groups: %lld is not supported, only 32", path,
                   (long long)groups);
  if (!middle) return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: mid_block_add_attention: false is not supported", path);
  static const char *const statistics[] = {"latents_mean", "latents_std"};
  for (size_t i = 0; i < GH_COUNT(statistics); i++)
    if (gh_json_type_of(gh_json_member(root, statistics[i])) != GH_JSON_NULL)
      return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: %s: a value per channel is not supported, only scaling_factor",
                     path, statistics[i]);
  return GH_OK;
}

static gh_status read_config(gh_error *err, const char *weights, double *shift, double *scale) {
  gh_json *root = NULL;
  char *folder = gh_path_is_folder(weights) ? gh_strdup(err, weights) : gh_path_folder(err, weights);
  char *path = folder ? gh_path_join(err, folder, CONFIG) : NULL;
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && !gh_path_exists(path))
    status = gh_fail(err, GH_ERROR_FILE,
                     "%s: has diffusers' names, but there is no " CONFIG " beside it, which says the latents' "
                     "scaling_factor and shift_factor",
                     weights);
  if (!status) status = gh_json_read_file(err, &root, path, GH_JSON_MAX_BYTES);
  if (!status) status = check_class(err, root, path);
  if (!status) status = check_settings(err, root, path);
  *shift = 0; /* null: latents are not shifted */
  if (!status && ((status = gh_json_get_double(err, root, "scaling_factor", scale)) ||
                  (status = gh_json_opt_double(err, root, "shift_factor", shift))))
    gh_fail_in(err, "%s", path);
  if (!status && !(*scale > 0))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: scaling_factor: %g is not above 0", path, *scale);
  gh_json_free(root);
  free(path);
  free(folder);
  return status;
}

/* ---- names ---- */

/* Moves past the prefix, if the text begins with it. */
static bool take(const char **at, const char *prefix) {
  if (!gh_starts_with(*at, prefix)) return false;
  *at += strlen(prefix);
  return true;
}

/* A number of one digit, followed by a dot. */
static bool take_digit(const char **at, int *out) {
  if ((*at)[0] < '0' || (*at)[0] > '9' || (*at)[1] != '.') return false;
  *out = (*at)[0] - '0';
  *at += 2;
  return true;
}

typedef struct pair {
  const char *theirs, *ours;
} pair;

static const pair of_resnet[] = {{"conv_shortcut.", "nin_shortcut."}, {NULL, NULL}};
/* The second name of each is that of diffusers before 0.17. */
static const pair of_attention[] = {{"group_norm.", "norm."},
                                    {"to_q.", "q."},
                                    {"query.", "q."},
                                    {"to_k.", "k."},
                                    {"key.", "k."},
                                    {"to_v.", "v."},
                                    {"value.", "v."},
                                    {"to_out.0.", "proj_out."},
                                    {"proj_attn.", "proj_out."},
                                    {NULL, NULL}};
static const pair of_side[] = {{"conv_norm_out.", "norm_out."}, {NULL, NULL}};

static gh_name rename_rest(const pair *pairs, const char *before, const char *rest) {
  for (; pairs->theirs; pairs++)
    if (take(&rest, pairs->theirs)) return gh_name_make("%s.%s%s", before, pairs->ours, rest);
  return gh_name_make("%s.%s", before, rest);
}

/* Names within the encoder or decoder; the decoder counts its levels from the small end. Unknown ones stay as they are,
 * to be refused by their own name. */
static bool rename_one(gh_name *out, const char *name, int levels) {
  const char *at = name;
  const bool encoder = take(&at, "encoder.");
  int level, block;
  if (!encoder && !take(&at, "decoder.")) return false;
  const char *side = encoder ? "encoder" : "decoder", *way = encoder ? "down" : "up";
  if (take(&at, "mid_block.")) {
    if (take(&at, "attentions.0."))
      *out = rename_rest(of_attention, gh_name_make("%s.mid.attn_1", side).text, at);
    else if (take(&at, "resnets.") && take_digit(&at, &block))
      *out = rename_rest(of_resnet, gh_name_make("%s.mid.block_%d", side, block + 1).text, at);
    else
      return false;
    return true;
  }
  if (!take(&at, encoder ? "down_blocks." : "up_blocks.")) {
    *out = rename_rest(of_side, side, at);
    return true;
  }
  if (!take_digit(&at, &level) || level >= levels) return false;
  if (!encoder) level = levels - 1 - level;
  const gh_name place = gh_name_make("%s.%s.%d", side, way, level);
  if (take(&at, "resnets.") && take_digit(&at, &block))
    *out = rename_rest(of_resnet, gh_name_make("%s.block.%d", place.text, block).text, at);
  else if (take(&at, encoder ? "downsamplers.0.conv." : "upsamplers.0.conv."))
    *out = gh_name_make("%s.%ssample.conv.%s", place.text, way, at);
  else
    return false;
  return true;
}

static gh_status translate(gh_error *err, gh_safetensors *file) {
  const size_t count = gh_safetensors_count(file);
  int levels = 0;
  gh_strings names = {0};
  gh_st_tensor *list = gh_alloc(err, count, sizeof *list);
  void **nothing = gh_alloc(err, 1, sizeof *nothing); /* no tensor has memory of its own */
  gh_status status = list && nothing ? GH_OK : GH_ERROR_MEMORY;
  while (levels < GH_AUTOENCODER_MAX_LEVELS &&
         gh_safetensors_find(file, gh_name_make("decoder.up_blocks.%d.resnets.0.conv1.weight", levels).text))
    levels++;
  for (size_t i = 0; i < count && !status; i++) {
    gh_st_tensor *t = &list[i];
    gh_name name;
    *t = *gh_safetensors_at(file, i);
    const bool renamed = rename_one(&name, t->name, levels);
    status = gh_strings_add(err, &names, renamed ? name.text : t->name);
    if (!status) t->name = names.items[i];
    if (renamed && t->rank == 2 && strstr(name.text, ".mid.attn_1.")) { /* a linear layer is a 1 x 1 convolution */
      t->rank = 4;
      t->shape[2] = t->shape[3] = 1;
    }
  }
  if (nothing) { /* takes the names, too */
    gh_status seen = gh_safetensors_remap(err, file, list, status ? 0 : count, names, nothing, 0);
    if (!status) status = seen;
  } else {
    gh_strings_free(&names);
  }
  free(list);
  return status;
}

gh_status gh_diffusers_translate(gh_error *err, gh_safetensors *file, const char *path, double *shift, double *scale) {
  gh_status status = read_config(err, path, shift, scale);
  if (!status && gh_safetensors_find(file, "quant_conv.weight"))
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s: Stable Diffusion's autoencoder (it has quant_conv) is not supported, only AutoencoderKL as "
                   "FLUX.1 has it",
                   path);
  return status ? status : translate(err, file);
}
