/* A tensor that belongs to a model's file and is not read is an error in every model's file; what may be left out is a
 * table. */
#include "support/compare.h"
#include "support/scratch.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TINY GH_FIXTURES "/probe/tiny"
#define TEXT GH_FIXTURES "/text/clip"

static gh_error err;

static void copy(const char *from, const char *to, const char *name) {
  check_ok(gh_folder_make(&err, to));
  check_ok(gh_file_copy(&err, from, to, name, true));
}

/* Writes the file again, with one more tensor of one number. */
static void extend(const char *from, const char *to, const char *name) {
  const int64_t one = 1;
  const float value = 2;
  gh_safetensors *file;
  gh_safetensors_writer *w;
  check_ok(gh_safetensors_open(&err, &file, from));
  check_ok(gh_safetensors_writer_new(&err, &w, to));
  for (size_t i = 0; i < gh_safetensors_count(file); i++) {
    const gh_st_tensor *t = gh_safetensors_at(file, i);
    check_ok(gh_safetensors_writer_declare(&err, w, t->name, t->dtype, t->rank, t->shape));
  }
  check_ok(gh_safetensors_writer_declare(&err, w, name, GH_ST_F32, 1, &one));
  check_ok(gh_safetensors_writer_begin(&err, w));
  for (size_t i = 0; i < gh_safetensors_count(file); i++) {
    const gh_st_tensor *t = gh_safetensors_at(file, i);
    check_ok(gh_safetensors_writer_write(&err, w, t->name, t->data, t->bytes));
  }
  check_ok(gh_safetensors_writer_write_f32(&err, w, name, &value, 1));
  check_ok(gh_safetensors_writer_finish(&err, w));
  gh_safetensors_writer_free(w);
  gh_safetensors_close(file);
}

static int lay_out(void **state) {
  char *folder = gh_format(&err, "%s/run", scratch), *clip = gh_format(&err, "%s/clip", folder);
  char *images = gh_format(&err, "%s/images", folder), *text = gh_format(&err, "%s/text", folder);
  char *path = gh_format(&err, "%s/line.txt", folder), *adapter = gh_format(&err, "%s/adapter", folder);
  static const char *const model[] = {"config.json", "model.safetensors", "preprocessor_config.json"};
  static const char *const words[] = {"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"};
  (void)state;
  copy(TINY, folder, "ae.safetensors");
  copy(TINY, folder, "denoiser.safetensors");
  copy(TINY, folder, "stage1.json");
  copy(TINY "/adapter", adapter, "adapter_config.json");
  copy(TINY "/adapter", adapter, "adapter_model.safetensors");
  copy(GH_FIXTURES "/images", images, "rgb.jpg");
  for (size_t i = 0; i < GH_COUNT(model); i++) copy(TINY "/clip", clip, model[i]);
  for (size_t i = 0; i < GH_COUNT(model); i++) copy(TEXT, text, model[i]);
  for (size_t i = 0; i < GH_COUNT(words); i++) copy(TEXT, text, words[i]);
  check_write(path, "a cat\n", 6);
  assert_int_equal(chdir(folder), 0); /* the configuration's paths are relative */
  free(adapter);
  free(path);
  free(text);
  free(images);
  free(clip);
  free(folder);
  return 0;
}

typedef enum command { TRAIN, ENCODE, ENCODE_TEXT } command;

static gh_status run(command how) {
  char *config = check_path(scratch, "run/stage1.json"), *clip = check_path(scratch, "run/clip");
  char *images = check_path(scratch, "run/images"), *out = check_path(scratch, "out.safetensors");
  char *text = check_path(scratch, "run/text"), *line = check_path(scratch, "run/line.txt");
  gh_status status = GH_OK;
  if (how == TRAIN)
    status = compare_run(&err, "train", "--config", config, "--dry-run", "--set", "stage2.steps=0", NULL);
  if (how == ENCODE) status = compare_run(&err, "encode", "--model", clip, "--images", images, "--out", out, NULL);
  if (how == ENCODE_TEXT) status = compare_run(&err, "encode", "--model", text, "--text", line, "--out", out, NULL);
  free(line);
  free(text);
  free(out);
  free(images);
  free(clip);
  free(config);
  return status;
}

static const struct {
  const char *file, *tensor;
  command how;
  bool refused;
} cases[] = {
    {"ae.safetensors", "encoder.quant_conv.weight", TRAIN, true}, /* FLUX.2 */
    {"ae.safetensors", "quant_conv.weight", TRAIN, true},         /* latent diffusion's KL autoencoders */
    {"ae.safetensors", "decoder.post_quant_conv.bias", TRAIN, true},
    {"ae.safetensors", "bn.running_mean", TRAIN, true},
    {"ae.safetensors", "encoder.down.0.attn.0.q.weight", TRAIN, true},
    {"ae.safetensors", "loss.logvar", TRAIN, false},
    {"ae.safetensors", "model_ema.decay", TRAIN, false},
    {"denoiser.safetensors", "double_blocks.2.img_attn.qkv.weight", TRAIN, true}, /* one more block */
    {"denoiser.safetensors", "project_extra.0.weight", TRAIN, true},
    {"clip/model.safetensors", "vision_model.encoder.layers.9.mlp.fc1.weight", TRAIN, true},
    {"clip/model.safetensors", "vision_model.encoder.layers.9.mlp.fc1.weight", ENCODE, true},
    {"clip/model.safetensors", "vision_model.head.probe", ENCODE, true},
    {"clip/model.safetensors", "visual_projection.bias", ENCODE, true},
    {"clip/model.safetensors", "text_model.encoder.layers.9.mlp.fc1.weight", ENCODE, false},
    {"clip/model.safetensors", "vision_model.embeddings.position_ids", ENCODE, false},
    {"clip/model.safetensors", "logit_bias", ENCODE, false},
    {"text/model.safetensors", "text_model.encoder.layers.9.mlp.fc1.weight", ENCODE_TEXT, true},
    {"text/model.safetensors", "text_projection.bias", ENCODE_TEXT, true},
    {"text/model.safetensors", "vision_model.head.probe", ENCODE_TEXT, false},
    {"text/model.safetensors", "text_model.embeddings.position_ids", ENCODE_TEXT, false},
};

static void one_tensor_more(void **state) {
  (void)state;
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    char *to = gh_format(&err, "%s/run/%s", scratch, cases[i].file);
    bool text = cases[i].how == ENCODE_TEXT;
    char *from = text ? gh_strdup(&err, TEXT "/model.safetensors") : gh_format(&err, TINY "/%s", cases[i].file);
    extend(from, to, cases[i].tensor);
    err = (gh_error){0};
    gh_status status = run(cases[i].how);
    if (!cases[i].refused && status) fail_msg("%s: %s", cases[i].tensor, err.text);
    if (cases[i].refused) {
      char *piece = gh_format(&err, "tensor \"%s\" does not belong to ", cases[i].tensor);
      if (!status) fail_msg("%s in %s is ignored", cases[i].tensor, cases[i].file);
      check_failure(status, &err, GH_ERROR_FORMAT, piece, __FILE__, __LINE__);
      free(piece);
    }
    extend(from, to, "loss.nothing"); /* good again for the next case */
    free(from);
    free(to);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup(one_tensor_more, lay_out)};
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
