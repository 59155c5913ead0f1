/* genhance encode: images and lines of text to embeddings. */
#include "encode/encode.h"
#include "base/log.h"
#include "cli/ranks.h"
#include "cli/run_options.h"
#include "config/config.h"
#include "train/made_by.h"
#include "train/ranks_encode.h"

#include <stdio.h>
#include <string.h>

/* A file name may hold any bytes, JSON only UTF-8: null for other names. */
static gh_status put_text(gh_error *err, gh_json *to, const char *key, const char *text) {
  return gh_utf8_valid(text, strlen(text)) ? gh_json_put_string(err, to, key, text) : gh_json_put_null(err, to, key);
}

static gh_status put_images(gh_error *err, gh_json *to, const gh_encoding *e) {
  if (gh_json_put_strings(err, to, "names", &e->names)) return err->status;
  gh_json *skipped = gh_json_put_array(err, to, "skipped");
  if (!skipped || gh_json_put_int(err, to, "images", (int64_t)e->names.count) ||
      gh_json_put_int(err, to, "clipped", e->clipped) || gh_json_put_int(err, to, "width", e->width))
    return err->status;
  for (size_t i = 0; i + 1 < e->skipped.count; i += 2) {
    gh_json *item = gh_json_put_object(err, skipped, NULL);
    if (!item || put_text(err, item, "name", e->skipped.items[i]) ||
        put_text(err, item, "reason", e->skipped.items[i + 1]))
      return err->status;
  }
  return GH_OK;
}

static gh_status choose_storage(gh_error *err, const gh_args *args, gh_dtype *out) {
  gh_precision precision = GH_PRECISION_FLOAT32;
  gh_status status = gh_precision_find(err, "--precision", gh_args_text(args, "precision"), &precision);
  *out = gh_precision_storage(precision);
  return status;
}

static gh_status encode_images(gh_error *err, const gh_args *args, const gh_named_encoder *named, gh_device *device,
                               const gh_source *source, gh_encoding *out) {
  gh_embed_options options = {.adapter = named->adapter,
                              .encoder = named->encoder,
                              .batch = GH_MIN(gh_args_int(args, "batch"), (int64_t)gh_source_count(source))};
  gh_embedder embedder = {0};
  gh_ranks_parts ranks;
  const gh_parts *parts = gh_ranks_parts_of(&ranks, args->comm, device);
  gh_status status = choose_storage(err, args, &options.storage);
  if (!status) status = gh_parts_before(err, parts);
  if (!status) status = gh_embedder_open(err, &embedder, device, named->model, &options);
  embedder.parts = parts;
  if (!status) status = gh_parts_after(err, parts);
  if (!status) status = gh_encode_part(err, out, &embedder, source);
  status = gh_ranks_gather_encoding(err, args->comm, status, out);
  if (!status && gh_cli_writes(args)) status = gh_encoding_check(err, out, source);
  if (!status) status = put_images(err, args->result, out);
  gh_embedder_close(&embedder);
  return status;
}

static gh_status encode_lines(gh_error *err, const gh_args *args, const gh_named_encoder *named, gh_device *device,
                              const gh_strings *lines, gh_text_encoding *out) {
  gh_embed_options options = {.adapter = named->adapter,
                              .encoder = named->encoder,
                              .batch = GH_MIN(gh_args_int(args, "batch"), (int64_t)GH_MAX(lines->count, 1u))};
  gh_text_embedder *embedder = NULL;
  gh_ranks_parts ranks;
  const gh_parts *parts = gh_ranks_parts_of(&ranks, args->comm, device);
  gh_status status = choose_storage(err, args, &options.storage);
  if (!status) status = gh_parts_before(err, parts);
  if (!status) status = gh_text_embedder_open(err, &embedder, device, named->model, &options);
  if (!status) status = gh_parts_after(err, parts);
  if (!status) status = gh_encode_text(err, out, embedder, lines, gh_args_text(args, "text"), parts);
  if (!status) status = gh_json_put_int(err, args->result, "lines", out->lines);
  if (!status) status = gh_json_put_int(err, args->result, "width", out->width);
  gh_text_embedder_close(embedder);
  return status;
}

static void print_counts(const char *out, const gh_encoding *images, const gh_text_encoding *text) {
  printf("%s:", out);
  if (images->width) {
    printf(" %zu image%s, %lld numbers each", images->names.count, images->names.count == 1 ? "" : "s",
           (long long)images->width);
    if (images->skipped.count) printf("; %zu skipped", images->skipped.count / 2);
  }
  if (text->width)
    printf("%s %lld line%s, %lld numbers each", images->width ? ";" : "", (long long)text->lines,
           text->lines == 1 ? "" : "s", (long long)text->width);
  printf("\n");
}

static gh_status run(gh_error *err, const gh_args *args) {
  const char *images = gh_args_text(args, "images"), *text = gh_args_text(args, "text"),
             *out = gh_args_text(args, "out");
  if (!images && !text) return gh_fail(err, GH_ERROR_ARGUMENT, "encode: --images or --text is required");
  gh_source *source = NULL;
  gh_device *device = NULL;
  gh_named_encoder named;
  gh_strings lines = {0};
  gh_encoding encoding = {0};
  gh_text_encoding text_encoding = {0};
  gh_stop_install();
  gh_status status = gh_name_encoder(err, args, gh_args_text(args, "adapter"), NULL, &named);
  if (!status && gh_cli_writes(args)) status = gh_output_check(err, args, "out");
  if (!status && text) status = gh_lines_read(err, &lines, text);
  if (!status && images) status = gh_open_source(err, &source, args, "images");
  if (!status && gh_stop_requested())
    status = gh_fail(err, GH_ERROR_INTERRUPTED, "stopped while listing; nothing is written");
  if (!status) status = gh_cli_same_input(err, args, named.model, lines.count + (source ? gh_source_count(source) : 0));
  if (!status) status = gh_cli_open_device(err, args, &device);
  if (!status) status = gh_made_by_put(err, args->result, &device->info, NULL, true);
  if (!status && text) status = encode_lines(err, args, &named, device, &lines, &text_encoding);
  if (!status && images) status = encode_images(err, args, &named, device, source, &encoding);
  if (!status && gh_cli_writes(args))
    status = gh_encoding_write(err, out, images ? &encoding : NULL, text ? &text_encoding : NULL);
  if (!status) print_counts(out, &encoding, &text_encoding);
  gh_named_encoder_free(&named);
  gh_text_encoding_free(&text_encoding);
  gh_encoding_free(&encoding);
  gh_strings_free(&lines);
  gh_device_close(device);
  gh_source_free(source);
  return status;
}

static const gh_option options[] = {
    {"model", "DIR", GH_OPTION_TEXT, .help = "model folder in Hugging Face layout"},
    {"run", "DIR", GH_OPTION_TEXT, .help = "folder of a run whose encoder to use"},
    GH_SNAPSHOT_OPTION(GH_BEST_OR_LAST),
    {"images", "PATH", GH_OPTION_TEXT,
     .help = "image, folder of images (recursive), or .tar shards (one, or a {00000..00009} pattern)"},
    GH_KEYS_OPTION,
    {"out", "E.safetensors", GH_OPTION_TEXT, .help = "file to write the embeddings to", .required = true},
    {"adapter", "DIR", GH_OPTION_TEXT, .help = "apply this PEFT adapter (LoRA)"},
    {"text", "FILE", GH_OPTION_TEXT, .help = "text file whose lines are embedded, with or without --images"},
    {"precision", "P", GH_OPTION_TEXT, .help = "float32, or bf16 or float16 for mixed precision", .initial = "float32"},
    {"batch", "N", GH_OPTION_INT, .help = "images or lines per launch", .initial = "32", .least = 1, .most = 65536},
    {0},
};

const gh_command gh_command_encode = {
    .name = "encode",
    .summary = "compute embeddings of images and lines of text",
    .details =
        "--images writes `embeddings` (n, D) as projected, before normalisation. Row i belongs to the i-th name in the "
        "metadata key `names`, a JSON list of paths relative to PATH, for shards 00000.tar/0001.jpg. Preprocessing "
        "follows the model's preprocessor_config.json. A broken image is skipped, counted and named in a "
        "warning.\n"
        "--text writes `text_embeddings` (lines, D), one row per line. The model folder's tokenizer pads and truncates "
        "each line to its length.\n"
        "`mpirun -n N genhance encode` divides the images and lines among N processes; the file has the bits of one "
        "process's. "
        "A signal stops the command and nothing is written: the exit code after Ctrl-C is 130.",
    .run = run,
    .ranks = GH_RANKS_SHARE,
    .options = options,
};
