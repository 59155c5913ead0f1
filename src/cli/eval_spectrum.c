/* genhance eval spectrum: which spatial frequencies the global token holds. */
#include "backend/registry.h"
#include "cli/cli.h"
#include "cli/run_options.h"
#include "eval/spectrum.h"
#include "method/redraw.h"
#include "method/setup.h"

#include <stdio.h>

static gh_status put(gh_error *err, gh_json *to, const gh_spectrum *s) {
  const struct {
    const char *name;
    const double *values;
  } lists[] = {{"power_original", s->original}, {"power_reconstruction", s->reconstruction},
               {"power_ratio", s->ratio},       {"correlation", s->correlation},
               {"correlation_low", s->low},     {"correlation_high", s->high}};
  if (gh_json_put_int(err, to, "images", s->images) || gh_json_put_int(err, to, "rings", s->rings) ||
      gh_json_put_string(err, to, "interval", "95 %: mean -+ 1.96 standard errors over the images"))
    return err->status;
  for (size_t i = 0; i < GH_COUNT(lists); i++)
    if (gh_json_put_doubles(err, to, lists[i].name, lists[i].values, (size_t)s->rings)) return err->status;
  return GH_OK;
}

/* Rings in octaves: 1, 2, 3-4, 5-8, ... */
static gh_status show(gh_error *err, const gh_spectrum *s) {
  static const char *const heads[] = {"cycles per image", "power kept", "correlation", "95 % interval"};
  gh_strings cells = {0};
  gh_status status = GH_OK;
  for (int64_t first = 1, last = 1; first <= s->rings && !status; first = last + 1, last = 2 * last) {
    double original = 0, drawn = 0, correlation = 0, low = 0, high = 0;
    int64_t end = GH_MIN(last, s->rings);
    for (int64_t r = first; r <= end; r++) {
      original += s->original[r - 1];
      drawn += s->reconstruction[r - 1];
      correlation += s->correlation[r - 1];
      low += s->low[r - 1];
      high += s->high[r - 1];
    }
    double n = (double)(end - first + 1);
    status = first == end ? gh_cell(err, &cells, "%lld", (long long)first)
                          : gh_cell(err, &cells, "%lld-%lld", (long long)first, (long long)end);
    if (!status) status = gh_cell(err, &cells, "%.3f", original > 0 ? drawn / original : 0);
    if (!status) status = gh_cell(err, &cells, "%.3f", correlation / n);
    if (!status) status = gh_cell(err, &cells, "%.3f to %.3f", low / n, high / n);
  }
  if (!status) gh_print_table(heads, "rrrr", 4, &cells);
  if (!status) printf("\n%lld images, each compared with its reconstruction from one token\n", (long long)s->images);
  gh_strings_free(&cells);
  return status;
}

static gh_status compute(gh_error *err, const gh_args *args, const gh_redraw *run, const gh_source *source) {
  int64_t limit = gh_args_int(args, "limit"), batch = gh_args_int(args, "batch");
  const char *encoder = gh_args_given(args, "run") ? gh_args_text(args, "model") : NULL;
  const gh_drawing_how how = {.seed = (uint64_t)gh_args_int(args, "seed")};
  gh_reconstruction pictures = {0};
  gh_spectrum spectrum = {0};
  gh_status status = gh_redraw_gather(err, run, &pictures, source, encoder, limit, batch);
  if (!status) status = gh_redraw_sample(err, run, &pictures, &how, batch);
  if (!status)
    status = gh_spectrum_compute(err, &spectrum, run->device, pictures.originals, pictures.images, pictures.count,
                                 pictures.side);
  if (!status) status = put(err, args->result, &spectrum);
  if (!status) status = show(err, &spectrum);
  gh_spectrum_free(&spectrum);
  gh_reconstruction_free(&pictures);
  return status;
}

static gh_status run_command(gh_error *err, const gh_args *args) {
  gh_redraw redraw = {0};
  gh_source *source = NULL;
  gh_device *device = NULL;
  const char *run = gh_args_text(args, gh_args_given(args, "run") ? "run" : "model");
  if (!run)
    return gh_fail(err, GH_ERROR_ARGUMENT, "eval spectrum: --run DIR is missing; its denoiser reconstructs the images");
  gh_status status = gh_open_source(err, &source, args, "data");
  if (!status) status = gh_redraw_open(err, &redraw, run, gh_args_text(args, "snapshot"));
  if (!status) status = gh_run_device(err, args, &redraw.config.device);
  if (!status) status = gh_setup_device(err, redraw.config.device, false, &device);
  redraw.device = device;
  if (!status) status = compute(err, args, &redraw, source);
  gh_device_close(device);
  gh_redraw_close(&redraw);
  gh_source_free(source);
  return status;
}

static const gh_option options[] = {
    {"run", "DIR", GH_OPTION_TEXT, .help = "folder of the run whose denoiser reconstructs the images"},
    {"data", "PATH", GH_OPTION_TEXT, .help = "image, folder of images, or .tar shards", .required = true},
    GH_KEYS_OPTION,
    {"model", "DIR", GH_OPTION_TEXT,
     .help = "model folder of the encoder (default: the run's snapshot); without --run, the run's folder"},
    GH_SNAPSHOT_OPTION("last"),
    {"seed", "N", GH_OPTION_INT, .help = "seed of the initial noise", .initial = "0"},
    {"limit", "N", GH_OPTION_INT, .help = "use the first N images", .initial = "64", .least = 1, .most = 65536},
    {"batch", "N", GH_OPTION_INT, .help = "images per launch", .initial = "8", .least = 1, .most = 256},
    {0},
};

const gh_command gh_command_eval_spectrum = {
    .name = "eval spectrum",
    .summary = "measure which spatial frequencies the token preserves",
    .details =
        "The run's denoiser reconstructs every image from its one token. The radial spectra of original and "
        "reconstruction are compared: the power ratio measures how much detail there is, the Fourier ring correlation "
        "how much of it is in the right place. Images are windowed (Hann) and transformed on the device. --json lists "
        "every ring.",
    .run = run_command,
    .options = options,
};
