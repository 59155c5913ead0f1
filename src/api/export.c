/* The public library's export: a run's encoder as a model folder. */
#include "export/export.h"
#include "api/internal.h"

#include <stdlib.h>

GH_API_NO_PADDING(genhance_export_options, dtype);
GH_API_NO_PADDING(genhance_export_result, rounded);

static const gh_export_format formats[] = {[GENHANCE_EXPORT_MODEL] = GH_EXPORT_HF,
                                           [GENHANCE_EXPORT_ADAPTER] = GH_EXPORT_PEFT,
                                           [GENHANCE_EXPORT_VISION] = GH_EXPORT_VISION};
static const gh_st_dtype dtypes[] = {[GENHANCE_DTYPE_DEFAULT] = GH_ST_DTYPES, /* the model's own */
                                     [GENHANCE_FLOAT32] = GH_ST_F32,
                                     [GENHANCE_FLOAT16] = GH_ST_F16,
                                     [GENHANCE_BFLOAT16] = GH_ST_BF16};

genhance_status genhance_export(genhance_export_result *result, const char *out_folder, const char *run_folder,
                                const genhance_export_options *options) {
  if (!out_folder || !run_folder) return gh_api_refuse("genhance_export: out_folder or run_folder is NULL");
  gh_api_begin();
  genhance_export_options o;
  gh_status status = GH_API_READ(&o, options, genhance_export_options);
  if (!status && result) status = gh_api_check_size(result, "genhance_export_result");
  if (status) return gh_api_result(status);
  if ((size_t)o.format >= GH_COUNT(formats)) return gh_api_refuse("genhance_export: there is no such format");
  if ((size_t)o.dtype >= GH_COUNT(dtypes)) return gh_api_refuse("genhance_export: there is no such dtype");
  if (o.format == GENHANCE_EXPORT_ADAPTER && o.dtype)
    return gh_api_refuse("genhance_export: an adapter stays float32; leave dtype at its default");
  const gh_export_run what = {
      .run = run_folder, .snapshot = o.snapshot, .format = formats[(size_t)o.format], .dtype = dtypes[(size_t)o.dtype]};
  gh_exported done = {0};
  status = gh_export_of_run(&gh_api_error, out_folder, &what, &done);
  const genhance_export_result counts = {.update = done.update,
                                         .tensors = done.counts.tensors,
                                         .changed = done.counts.changed,
                                         .rounded = done.counts.rounded};
  if (!status && result) status = GH_API_WRITE(result, &counts, genhance_export_result);
  free(done.adapter);
  return gh_api_result(status);
}
