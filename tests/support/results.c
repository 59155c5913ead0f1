#include "support/results.h"
#include "support/check.h"

#include <math.h>

static gh_error err;

gh_result *add_result(gh_results *rows, const char *kind, const char *op, const char *device, double value,
                      const char *unit, const char *better) {
  gh_result *row = gh_results_add(&err, rows);
  const struct {
    gh_result_field field;
    const char *text;
  } texts[] = {{GH_RESULT_APPLICATION, "genhance"},
               {GH_RESULT_BACKEND, "opencl"},
               {GH_RESULT_PLATFORM, "Runtime"},
               {GH_RESULT_DEVICE, device},
               {GH_RESULT_HARDWARE, "Chip (host)"},
               {GH_RESULT_KIND, kind},
               {GH_RESULT_OP, op},
               {GH_RESULT_UNIT, unit},
               {GH_RESULT_BETTER, better},
               {GH_RESULT_CLOCK, "wall"},
               {GH_RESULT_DTYPE, "f32"},
               {GH_RESULT_STATUS, "ok"},
               {GH_RESULT_COMMIT, "abc"},
               {GH_RESULT_DATE, "2026-01-31T12:00:00Z"}};
  assert_non_null(row);
  for (size_t i = 0; i < GH_COUNT(texts); i++) check_ok(gh_result_set(&err, row, texts[i].field, texts[i].text));
  gh_result_put(row, GH_RESULT_VALUE, value);
  return row;
}

gh_result *add_seconds(gh_results *rows, const char *op, const char *device, double seconds) {
  return add_result(rows, "op", op, device, seconds, "s", "lower");
}

void set_text(gh_result *row, gh_result_field field, const char *text) {
  check_ok(gh_result_set(&err, row, field, text));
}

void add_peak(gh_results *rows, const char *op, const char *device, double gflops, double gbytes, double working_set) {
  gh_result *row =
      add_result(rows, "peak", op, device, gflops > 0 ? gflops : gbytes, gflops > 0 ? "GFLOP/s" : "GB/s", "higher");
  gh_result_put(row, GH_RESULT_GFLOPS, gflops > 0 ? gflops : NAN);
  gh_result_put(row, GH_RESULT_GBYTES, gbytes > 0 ? gbytes : NAN);
  gh_result_put(row, GH_RESULT_WORKING_SET, working_set);
  gh_result_put(row, GH_RESULT_SPREAD, 0.02);
  if (gflops > 0) gh_result_put(row, GH_RESULT_NOMINAL, 0);
}
