/* genhance export: a run's encoder as files for other tools. */
#include "export/export.h"
#include "base/log.h"
#include "cli/run_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const formats[GH_EXPORT_FORMATS] = {
    [GH_EXPORT_HF] = "hf", [GH_EXPORT_PEFT] = "peft", [GH_EXPORT_VISION] = "vision"};

static gh_status read_format(gh_error *err, const gh_args *args, gh_export_format *out) {
  const char *name = gh_args_text(args, "format");
  for (int i = 0; i < GH_EXPORT_FORMATS; i++)
    if (!strcmp(name, formats[i])) {
      *out = (gh_export_format)i;
      return GH_OK;
    }
  return gh_fail(err, GH_ERROR_ARGUMENT, "export: unknown format \"%s\"; available: hf, peft, vision", name);
}

static gh_status read_dtype(gh_error *err, const gh_args *args, gh_st_dtype *out) {
  static const struct {
    const char *name;
    gh_st_dtype dtype;
  } dtypes[] = {{"keep", GH_ST_DTYPES}, {"float32", GH_ST_F32}, {"float16", GH_ST_F16}, {"bfloat16", GH_ST_BF16}};
  const char *name = gh_args_text(args, "dtype");
  for (size_t i = 0; i < GH_COUNT(dtypes); i++)
    if (!strcmp(name, dtypes[i].name)) {
      *out = dtypes[i].dtype;
      return GH_OK;
    }
  return gh_fail(err, GH_ERROR_ARGUMENT, "export: unknown dtype \"%s\"; available: keep, float32, float16, bfloat16",
                 name);
}

static gh_status report_model(gh_error *err, const gh_args *args, const gh_export_counts *counts, gh_st_dtype dtype) {
  if (counts->rounded)
    gh_warn("%lld trained tensors were rounded to 16 bits%s; use --dtype float32 to keep their precision",
            (long long)counts->rounded, dtype == GH_ST_DTYPES ? ", the precision of the model's file" : "");
  printf("%s: %lld tensors, %lld of them trained\n", gh_args_text(args, "out"), (long long)counts->tensors,
         (long long)counts->changed);
  if (gh_json_put_int(err, args->result, "tensors", counts->tensors) ||
      gh_json_put_int(err, args->result, "changed", counts->changed))
    return err->status;
  return gh_json_put_int(err, args->result, "rounded", counts->rounded);
}

static gh_status report_snapshot(gh_error *err, const gh_args *args, const char *asked, const gh_exported *result) {
  char name[32];
  snprintf(name, sizeof name, "stage%d-%08lld", result->stage, (long long)result->update);
  const bool other = strcmp(asked, name) != 0;
  gh_print_line("from snapshot %s%s%s%s of %s", name, other ? " (" : "", other ? asked : "", other ? ")" : "",
                gh_args_text(args, "run"));
  return gh_json_put_string(err, args->result, "snapshot", name);
}

static gh_status run_command(gh_error *err, const gh_args *args) {
  const char *run = gh_args_text(args, "run"), *snapshot = gh_args_text(args, "snapshot");
  gh_export_run what = {
      .run = run, .snapshot = snapshot ? snapshot : gh_run_default_snapshot(run), .model = gh_args_text(args, "model")};
  const char *out = gh_args_text(args, "out");
  gh_exported result = {0};
  gh_status status = read_format(err, args, &what.format);
  if (!status) status = read_dtype(err, args, &what.dtype);
  if (!status && what.format == GH_EXPORT_PEFT && gh_args_given(args, "dtype"))
    status = gh_fail(err, GH_ERROR_ARGUMENT,
                     "export: --dtype applies to the formats hf and vision; an adapter is always float32");
  if (!status) status = gh_export_of_run(err, out, &what, &result);
  if (!status && what.format != GH_EXPORT_PEFT) status = report_model(err, args, &result.counts, what.dtype);
  if (!status && what.format == GH_EXPORT_PEFT) gh_print_line("%s: the adapter of %s", out, result.adapter);
  if (!status) status = report_snapshot(err, args, what.snapshot, &result);
  if (!status) status = gh_json_put_string(err, args->result, "format", formats[what.format]);
  if (!status) status = gh_json_put_int(err, args->result, "update", result.update);
  free(result.adapter);
  return status;
}

static const gh_option options[] = {
    {"run", "DIR", GH_OPTION_TEXT, .help = "folder of a run", .required = true},
    {"out", "DIR", GH_OPTION_TEXT, .help = "folder to write; created if absent", .required = true},
    {"format", "NAME", GH_OPTION_TEXT,
     .help = "hf: the whole model, merged; vision: its vision tower only; peft: the adapter", .initial = "hf"},
    GH_SNAPSHOT_OPTION(GH_BEST_OR_LAST),
    GH_MODEL_OPTION,
    {"dtype", "NAME", GH_OPTION_TEXT,
     .help = "dtype of the weights: keep (the model file's), float32, float16 or bfloat16", .initial = "keep"},
    {0},
};

const gh_command gh_command_export = {
    .name = "export",
    .summary = "write a run's encoder for other tools",
    .details =
        "hf: opens with transformers' CLIPModel.from_pretrained or SiglipModel.from_pretrained; includes the model's "
        "preprocessing and tokenizer files. An EVA-CLIP, which transformers does not have, is written as open_clip "
        "reads it "
        "(local-dir:DIR).\n"
        "vision: opens with CLIPVisionModel.from_pretrained or SiglipVisionModel.from_pretrained, for example as the "
        "vision tower of a multimodal model.\n"
        "peft: opens with PeftModel.from_pretrained(MODEL, DIR); MODEL is the model folder that training started "
        "from.",
    .run = run_command,
    .options = options,
};
