#include "cli/fits.h"

#include "backend/registry.h"
#include "bench/step.h"
#include "cli/cli.h"
#include "models/family.h"

#include <stdio.h>

#define BATCH 256 /* samples per update, in all published settings */

const char *const gh_fits_heads[GH_FITS_COLUMNS] = {"device", "published setting", "stage 1", "stage 2"};

/* Options that save memory of trained parameters; the first is what the others need. */
static const char *const less_memory[] = {"precision=bfloat16", "memory.master_weights=bfloat16",
                                          "memory.gradients=bfloat16", "memory.moments=8bit"};

/* What is tried, in this order: a setting as it is published, then with what saves more and more. */
static const struct {
  gh_precision precision;
  bool less_memory;
} tried[] = {{GH_PRECISION_FLOAT32, false}, {GH_PRECISION_BFLOAT16, false}, {GH_PRECISION_BFLOAT16, true}};

typedef struct gh_fit {
  bool fits, less_memory;
  gh_precision precision;
  gh_bench_fitted how;
} gh_fit;

static gh_status fit_with(gh_error *err, gh_device *device, gh_bench_options *options, gh_fit *out) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(less_memory) && out->less_memory && !status; i++)
    status = gh_strings_add(err, &options->sets, less_memory[i]);
  if (!status) status = gh_bench_fit(err, device, options, BATCH, &out->how);
  gh_strings_free(&options->sets);
  return status;
}

static gh_status fit(gh_error *err, gh_device *device, const char *arch, int stage, gh_fit *out) {
  gh_status status = GH_OK;
  *out = (gh_fit){0};
  for (size_t i = 0; i < GH_COUNT(tried) && !out->fits && !status; i++) {
    gh_bench_options options = {.arch = arch, .stage = stage, .precision = tried[i].precision};
    out->precision = tried[i].precision;
    out->less_memory = tried[i].less_memory;
    status = fit_with(err, device, &options, out);
    out->fits = !status;
    if (status == GH_ERROR_MEMORY) status = GH_OK;
  }
  return status;
}

static gh_status put_fit(gh_error *err, gh_json *list, const char *arch, int stage, const gh_fit *f) {
  gh_json *o = gh_json_put_object(err, list, NULL);
  if (!o || gh_json_put_string(err, o, "setting", arch) || gh_json_put_int(err, o, "stage", stage) ||
      gh_json_put_bool(err, o, "fits", f->fits) ||
      gh_json_put_string(err, o, "precision", gh_precision_name(f->precision)) ||
      gh_json_put_int(err, o, "micro_batch", f->how.micro_batch) ||
      gh_json_put_bool(err, o, "recompute", f->how.recompute))
    return err->status;
  if (gh_json_put_bool(err, o, "less_memory", f->less_memory)) return err->status;
  return gh_json_put_int(err, o, "peak_bytes", gh_budget_peak(&f->how.budget));
}

/* "micro_batch 16, 9.1 GiB"; "precision bf16, memory.recompute all, micro_batch 4, 7.9 GiB"; "precision bf16, less
 * memory, micro_batch 8, 9.0 GiB"; "no: needs 6.2 GiB" */
static gh_status add_cell(gh_error *err, gh_strings *cells, const gh_fit *f) {
  char memory[32];
  gh_bytes_text(memory, sizeof memory, gh_budget_peak(&f->how.budget));
  if (!f->fits && !gh_budget_peak(&f->how.budget)) return gh_cell(err, cells, "no: a tensor is too large in one piece");
  if (!f->fits) return gh_cell(err, cells, "no: needs %s", memory);
  return gh_cell(err, cells, "%s%s%smicro_batch %lld, %s",
                 f->precision == GH_PRECISION_BFLOAT16 ? "precision bf16, " : "", f->less_memory ? "less memory, " : "",
                 f->how.recompute ? "memory.recompute all, " : "", (long long)f->how.micro_batch, memory);
}

static gh_status add_setting(gh_error *err, gh_json *list, gh_strings *cells, gh_device *device, const char *arch) {
  gh_status status = gh_cell(err, cells, "%s", device->info.id);
  if (!status) status = gh_cell(err, cells, "%s", arch);
  for (int stage = 1; stage <= 2 && !status; stage++) {
    gh_fit f;
    status = fit(err, device, arch, stage, &f);
    if (!status) status = put_fit(err, list, arch, stage, &f);
    if (!status) status = add_cell(err, cells, &f);
  }
  return status;
}

/* A row without numbers. */
static gh_status add_refusal(gh_error *err, gh_strings *cells, const char *id, const char *why) {
  if (gh_cell(err, cells, "%s", id) || gh_cell(err, cells, "none") || gh_cell(err, cells, "%s", why) ||
      gh_cell(err, cells, "%s", ""))
    return err->status;
  return GH_OK;
}

gh_status gh_fits_add(gh_error *err, gh_json *object, gh_strings *cells, const gh_device_info *info, bool all) {
  gh_device *device = NULL;
  gh_error why = {0};
  gh_json *list = gh_json_put_array(err, object, "fits");
  if (!list) return err->status;
  if (info->unfit) return add_refusal(err, cells, info->id, info->unfit);
  if (gh_device_open(&why, info->id, &device)) return add_refusal(err, cells, info->id, why.text);
  gh_status status = GH_OK;
  bool more = true; /* without `all`, only the first */
  for (const gh_family *const *f = gh_families; *f && more && !status; f++)
    for (const gh_arch *a = (*f)->archs; a->name && more && !status; a++) {
      if (!a->published) continue;
      status = add_setting(err, list, cells, device, a->name);
      more = all;
    }
  gh_device_close(device);
  return status;
}
