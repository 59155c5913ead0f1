/* genhance encode: images to embeddings. */
#include "eval/encode.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

/* A file's name may hold any bytes; JSON holds UTF-8 alone. */
static gh_status put_text(gh_error *err, gh_json *to, const char *key, const char *text) {
  return gh_utf8_valid(text, strlen(text)) ? gh_json_put_string(err, to, key, text) : gh_json_put_null(err, to, key);
}

static gh_status put_results(gh_error *err, gh_json *to, const gh_encoding *e) {
  gh_json *names = gh_json_put_array(err, to, "names");
  gh_json *skipped = gh_json_put_array(err, to, "skipped");
  if (!names || !skipped || gh_json_put_int(err, to, "images", (int64_t)e->names.count) ||
      gh_json_put_int(err, to, "width", e->width))
    return err->status;
  for (size_t i = 0; i < e->names.count; i++)
    if (gh_json_put_string(err, names, NULL, e->names.items[i])) return err->status;
  for (size_t i = 0; i + 1 < e->skipped.count; i += 2) {
    gh_json *item = gh_json_put_object(err, skipped, NULL);
    if (!item || put_text(err, item, "name", e->skipped.items[i]) ||
        put_text(err, item, "reason", e->skipped.items[i + 1]))
      return err->status;
  }
  return GH_OK;
}

static gh_status encode(gh_error *err, const gh_args *args, gh_device *device, const gh_source *source) {
  gh_embed_options options = {.adapter = gh_args_text(args, "adapter"),
                              .batch = GH_MIN(gh_args_int(args, "batch"), (int64_t)gh_source_count(source))};
  gh_embedder embedder = {0};
  gh_encoding encoding = {0};
  const char *out = gh_args_text(args, "out");
  gh_status status = gh_embedder_open(err, &embedder, device, gh_args_text(args, "model"), &options);
  if (!status) status = gh_encode(err, &encoding, &embedder, source);
  if (!status) status = gh_encoding_write(err, out, &encoding);
  if (!status) status = put_results(err, args->result, &encoding);
  if (!status) {
    printf("%s: %zu image%s, %lld numbers each", out, encoding.names.count, encoding.names.count == 1 ? "" : "s",
           (long long)encoding.width);
    if (encoding.skipped.count) printf("; %zu skipped", encoding.skipped.count / 2);
    printf("\n");
  }
  gh_encoding_free(&encoding);
  gh_embedder_close(&embedder);
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  if (gh_args_given(args, "text"))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "encode --text is not supported yet: this build has no text tower");
  gh_source *source = NULL;
  gh_device *device = NULL;
  gh_status status = gh_check_output(err, args, "out");
  if (!status) status = gh_source_open(err, &source, gh_args_text(args, "images"));
  if (!status) gh_source_warn(source);
  if (!status) status = gh_device_open(err, gh_args_text(args, "device"), &device);
  if (!status) status = encode(err, args, device, source);
  gh_device_close(device);
  gh_source_free(source);
  return status;
}

static const gh_option options[] = {
    {"model", "DIR", GH_OPTION_TEXT, .help = "model folder in Hugging Face layout", .required = true},
    {"images", "PATH", GH_OPTION_TEXT,
     .help =
         "folder of PNG and JPEG files (with its sub-folders), .tar shards (one, or a pattern in braces), or one file",
     .required = true},
    {"out", "E.safetensors", GH_OPTION_TEXT, .help = "file for the embeddings", .required = true},
    {"adapter", "DIR", GH_OPTION_TEXT, .help = "compute with this PEFT adapter (LoRA)"},
    {"text", "FILE", GH_OPTION_TEXT, .help = "lines of text to embed too (not supported yet)"},
    {"batch", "N", GH_OPTION_INT, .help = "images a launch", .initial = "32", .least = 1, .most = 65536},
    {0},
};

const gh_command gh_command_encode = {
    .name = "encode",
    .summary = "turn images into embeddings",
    .details =
        "Writes `embeddings` (n, D) as projected, before normalisation; row i is the image of the i-th name in the\n"
        "metadata key `names`, a JSON list of paths relative to PATH. Preprocessing is what the model's\n"
        "preprocessor_config.json says. An image that cannot be read is skipped, counted and named.",
    .run = run,
    .options = options,
};
