/* The files of a model folder and of an adapter, and the sizes of an autoencoder. The first byte selects the file that
 * the rest replaces; the others are valid. */
#include <string.h>

#include "fuzz.h"
#include "io/safetensors.h"
#include "models/adapter.h"
#include "models/family.h"
#include "models/flux_vae.h"
#include "models/vqgan.h"

const char *const fuzz_words[] = {"\"model_type\":\"clip\"",
                                  "\"model_type\":\"siglip\"",
                                  "\"vision_config\":{",
                                  "\"text_config\":{",
                                  "\"vision_config_dict\":{",
                                  "\"eos_token_id\":2",
                                  "\"max_position_embeddings\":16",
                                  "\"vision_use_head\":true",
                                  "\"hidden_size\":64",
                                  "\"image_size\":28",
                                  "\"hidden_act\":\"gelu\"",
                                  "\"projection_dim\":32",
                                  "\"size\":{\"shortest_edge\":28}",
                                  "\"crop_size\":28",
                                  "\"do_resize\":false",
                                  "\"resample\":3",
                                  "\"image_mean\":[0.5,0.5,0.5]",
                                  "\"image_processor\":{",
                                  "\"image_processor_type\":\"CLIPImageProcessor\"",
                                  "\"r\":2",
                                  "\"lora_alpha\":4",
                                  "\"bias\":\"lora_only\"",
                                  "\"use_dora\":true",
                                  "\"peft_type\":\"LORA\"",
                                  "\"weight_map\":{",
                                  "\"model-1.safetensors\"",
                                  "base_model.model.",
                                  ".lora_A.weight",
                                  ".lora_B.weight",
                                  ".base_layer.bias",
                                  "visual.conv1.weight",
                                  "visual.proj",
                                  "text_projection",
                                  "transformer.resblocks.0.",
                                  "attn.in_proj_weight",
                                  "\"shape\":[3,1]",
                                  "\"data_offsets\":[",
                                  "../",
                                  "\"model_cfg\":{",
                                  "\"embed_dim\":8",
                                  "\"vision_cfg\":{",
                                  "\"text_cfg\":{",
                                  "\"quick_gelu\":true",
                                  "\"head_width\":64",
                                  "\"mlp_ratio\":4",
                                  "\"timm_model_name\":\"vit_base_patch16_siglip_224\"",
                                  "\"act_kwargs\":{\"approximate\":\"tanh\"}",
                                  "\"norm_kwargs\":{\"eps\":1e-6}",
                                  "\"pool_type\":\"last\"",
                                  "\"preprocess_cfg\":{",
                                  "\"resize_mode\":\"squash\"",
                                  "quantize.embedding.weight",
                                  "encoder.conv_in.weight",
                                  "encoder.down.0.block.0.conv1.weight",
                                  "encoder.down.1.block.0.conv1.weight",
                                  "encoder.down.0.block.1.conv1.weight",
                                  "decoder.conv_in.weight",
                                  "\"shape\":[32,1]",
                                  NULL};

static const char adapter_header[] =
    "{\"base_model.model.fc.lora_A.weight\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[0,4]},"
    "\"base_model.model.fc.lora_B.weight\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[4,8]}}";

static const char weights_header[] = "{\"w\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}";

/* A valid file of a safetensors header and eight bytes of data. */
static void put_safetensors(const char *name, const char *header) {
  uint8_t bytes[512] = {0};
  size_t n = strlen(header);
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(n >> 8 * i);
  memcpy(bytes + 8, header, n);
  fuzz_file(name, bytes, 8 + n + (strcmp(name, "adapter_model.safetensors") ? 4 : 8));
}

static void put_good(const char *name) {
  static const char config[] = "{\"r\":2,\"lora_alpha\":2}";
  if (!strcmp(name, "adapter_model.safetensors"))
    put_safetensors(name, adapter_header);
  else if (!strcmp(name, "model-1.safetensors"))
    put_safetensors(name, weights_header);
  else
    fuzz_file(name, config, strlen(config));
}

static void open_config(void) {
  gh_error err = {0};
  gh_vision_config config = {0};
  gh_text_config text = {0};
  if (!gh_vision_config_read(&err, fuzz_folder(), &config)) {
    FUZZ_CHECK(config.tower.hidden % config.tower.heads == 0 && gh_vision_tokens(&config) > 0);
    FUZZ_CHECK(gh_activation_name(config.tower.activation));
  }
  if (!gh_text_config_read(&err, fuzz_folder(), &text)) FUZZ_CHECK(text.vocabulary > 0 && text.tower.layers > 0);
}

static void open_preprocessor(void) {
  static const gh_family *const families[] = {&gh_clip, &gh_siglip};
  gh_error err = {0};
  gh_preprocess how;
  for (int i = 0; i < 2; i++) {
    const gh_vision_config config = {.family = families[i], .image = 28};
    if (!gh_vision_preprocess_read(&err, &how, fuzz_folder(), &config)) FUZZ_CHECK(how.image_size == 28);
  }
}

static void size_autoencoder(const gh_safetensors *weights) {
  gh_error err = {0};
  gh_vqgan_config vqgan;
  gh_vae_config vae;
  if (!gh_vqgan_config_read(&err, weights, &vqgan))
    FUZZ_CHECK(vqgan.codes > 0 && vqgan.embedding > 0 && vqgan.latent > 0 && gh_vqgan_factor(&vqgan) > 0);
  if (gh_vae_config_read(&err, weights, &vae)) return;
  FUZZ_CHECK(vae.blocks > 0 && vae.latent > 0 && gh_vae_factor(&vae) > 0);
  for (int i = 0; i < vae.levels; i++)
    FUZZ_CHECK(vae.multipliers[i] > 0 && vae.channels * vae.multipliers[i] % 32 == 0);
}

/* Reads every byte that a tensor claims. */
static void read_weights(const char *name) {
  gh_error err = {0};
  gh_safetensors *weights = NULL;
  unsigned char sum = 0;
  char path[256] = "";
  strncat(strncat(path, fuzz_folder(), 100), name, 100);
  gh_weights_open(&err, &weights, path);
  for (size_t i = 0; weights && i < gh_safetensors_count(weights); i++) {
    const gh_st_tensor *t = gh_safetensors_at(weights, i);
    FUZZ_CHECK(t->bytes == (size_t)t->elements * gh_st_dtype_bytes(t->dtype));
    for (size_t k = 0; k < t->bytes; k++) sum ^= ((const unsigned char *)t->data)[k];
  }
  volatile unsigned char used = sum;
  (void)used;
  if (weights) size_autoencoder(weights);
  gh_safetensors_close(weights);
}

static void open_adapter(void) {
  gh_error err = {0};
  gh_adapter adapter = {0};
  if (!gh_adapter_open(&err, &adapter, fuzz_folder()))
    for (size_t i = 0; i < adapter.layers.count; i++)
      FUZZ_CHECK(gh_adapter_a(&adapter, adapter.layers.items[i]) && gh_adapter_b(&adapter, adapter.layers.items[i]));
  gh_adapter_close(&adapter);
}

static void open_openclip(void) {
  open_config();
  open_preprocessor();
}

static void open_index(void) { read_weights("/model.safetensors.index.json"); }
static void open_shard(void) { read_weights("/model-1.safetensors"); }

/* A file, the valid one that it needs beside it, and what reads it. */
static const struct {
  const char *name, *beside;
  void (*open)(void);
} kinds[] = {{"config.json", NULL, open_config},
             {"preprocessor_config.json", "config.json", open_preprocessor},
             {"adapter_config.json", "adapter_model.safetensors", open_adapter},
             {"adapter_model.safetensors", "adapter_config.json", open_adapter},
             {"model.safetensors.index.json", "model-1.safetensors", open_index},
             {"model-1.safetensors", NULL, open_shard},
             {GH_OPENCLIP_CONFIG, NULL, open_openclip}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  const size_t which = data[0] % (sizeof kinds / sizeof *kinds);
  if (kinds[which].beside) put_good(kinds[which].beside);
  fuzz_file(kinds[which].name, data + 1, size - 1);
  kinds[which].open();
  fuzz_clear();
  return 0;
}
