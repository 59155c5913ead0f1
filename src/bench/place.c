#include "bench/place.h"
#include "base/build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static gh_status put_device(gh_error *err, gh_result *row, const gh_device_info *d) {
  char backend[16], hardware[320];
  snprintf(backend, sizeof backend, "%.*s", (int)strcspn(d->id, ":"), d->id);
  gh_hardware_name(hardware, sizeof hardware, &d->identity, d->is_cpu, d->name);
  const struct {
    gh_result_field field;
    const char *text;
  } texts[] = {{GH_RESULT_BACKEND, backend},
               {GH_RESULT_PLATFORM, d->platform},
               {GH_RESULT_DEVICE, d->id},
               {GH_RESULT_DEVICE_NAME, d->name},
               {GH_RESULT_HARDWARE, hardware},
               {GH_RESULT_DRIVER, d->driver},
               {GH_RESULT_COMPILER, d->identity.compiler},
               {GH_RESULT_KERNEL_SHAPE, d->shape == GH_SHAPE_CPU ? "cpu" : "gpu"}};
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(texts) && !status; i++)
    status = gh_result_set(err, row, texts[i].field, *texts[i].text ? texts[i].text : NULL);
  return status;
}

static gh_status put_host(gh_error *err, gh_result *row) {
  const gh_device_identity none = {0};
  char processor[160], hardware[320];
  gh_processor_name(processor, sizeof processor);
  gh_hardware_name(hardware, sizeof hardware, &none, true, "");
  gh_status status = gh_result_set(err, row, GH_RESULT_BACKEND, "host");
  if (!status) status = gh_result_set(err, row, GH_RESULT_DEVICE, "host");
  if (!status) status = gh_result_set(err, row, GH_RESULT_DEVICE_NAME, processor);
  return status ? status : gh_result_set(err, row, GH_RESULT_HARDWARE, hardware);
}

/* The environment's choice of providers: "GH_GEMM=clblast" is that library alone. */
static gh_status put_forced(gh_error *err, gh_result *row) {
  static const char *const variables[] = {"GH_GEMM", "GH_ATTENTION", "GH_ATTENTION_TILE", "GH_FFT"};
  char text[256] = "";
  size_t used = 0;
  for (size_t i = 0; i < GH_COUNT(variables) && used < sizeof text; i++) {
    const char *value = getenv(variables[i]);
    if (value && *value)
      used += (size_t)snprintf(text + used, sizeof text - used, "%s%s=%s", used ? ", " : "", variables[i], value);
  }
  return used ? gh_result_set(err, row, GH_RESULT_CONFIGURATION, text) : GH_OK;
}

gh_status gh_result_place(gh_error *err, gh_result *row, const gh_device_info *device, gh_bench_clock clock) {
  char host[128], date[32];
  const time_t now = time(NULL);
  struct tm utc;
  gh_result_init(row);
  gh_host_name(host, sizeof host);
  strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  gh_status status = gh_result_set(err, row, GH_RESULT_APPLICATION, "genhance");
  if (!status) status = gh_result_set(err, row, GH_RESULT_COMMIT, gh_build_commit);
  if (!status) status = gh_result_set(err, row, GH_RESULT_HOST, host);
  if (!status) status = gh_result_set(err, row, GH_RESULT_DATE, date);
  if (!status) status = gh_result_set(err, row, GH_RESULT_CLOCK, gh_bench_clock_name(clock));
  if (!status) status = put_forced(err, row);
  if (!status) status = device ? put_device(err, row, device) : put_host(err, row);
  if (status) gh_result_free(row);
  return status;
}

gh_result *gh_result_begin(gh_error *err, gh_results *rows, const gh_result *place, const gh_result_title *title) {
  const struct {
    gh_result_field field;
    const char *text;
  } texts[] = {{GH_RESULT_KIND, title->kind}, {GH_RESULT_OP, title->op},       {GH_RESULT_SHAPE, title->shape},
               {GH_RESULT_PASS, title->pass}, {GH_RESULT_DTYPE, title->dtype}, {GH_RESULT_PROVIDER, title->provider}};
  gh_result *row = gh_results_add(err, rows);
  if (!row || gh_result_copy(err, row, place)) return NULL;
  if (title->batch) gh_result_put(row, GH_RESULT_BATCH, (double)title->batch);
  for (size_t i = 0; i < GH_COUNT(texts); i++)
    if (gh_result_set(err, row, texts[i].field, texts[i].text)) return NULL;
  return row;
}

static gh_status put_value(gh_error *err, gh_result *row, double value, double least, double most, const char *unit,
                           const char *better) {
  const double spread = value > 0 ? (most - least) / value : NAN;
  gh_result_put(row, GH_RESULT_VALUE, value);
  gh_result_put(row, GH_RESULT_MINIMUM, least);
  gh_result_put(row, GH_RESULT_MAXIMUM, most);
  gh_result_put(row, GH_RESULT_SPREAD, spread);
  gh_result_put(row, GH_RESULT_NOISY, isnan(spread) ? NAN : spread > GH_BENCH_NOISY);
  gh_status status = gh_result_set(err, row, GH_RESULT_UNIT, unit);
  if (!status) status = gh_result_set(err, row, GH_RESULT_BETTER, better);
  return status ? status : gh_result_outcome(err, row, "ok", NULL);
}

static void put_sample(gh_result *row, const gh_bench_sample *s) {
  gh_result_put(row, GH_RESULT_REPEATS, s->repeats);
  gh_result_put(row, GH_RESULT_PROCESSOR_SECONDS, s->processor);
  gh_result_put(row, GH_RESULT_DEVICE_SECONDS, s->device > 0 ? s->device : NAN);
}

gh_status gh_result_seconds(gh_error *err, gh_result *row, const gh_bench_sample *s) {
  put_sample(row, s);
  return put_value(err, row, s->median, s->least, s->most, "s", "lower");
}

gh_status gh_result_rate(gh_error *err, gh_result *row, const gh_bench_sample *s, double work, const char *unit) {
  put_sample(row, s);
  return put_value(err, row, work / s->median, work / s->most, work / s->least, unit, "higher");
}

gh_status gh_result_single(gh_error *err, gh_result *row, double value, const char *unit, const char *better) {
  gh_result_put(row, GH_RESULT_REPEATS, 1);
  gh_result_put(row, GH_RESULT_VALUE, value);
  gh_status status = gh_result_set(err, row, GH_RESULT_UNIT, unit);
  if (!status) status = gh_result_set(err, row, GH_RESULT_BETTER, better);
  return status ? status : gh_result_outcome(err, row, "ok", NULL);
}

void gh_result_work(gh_result *row, const gh_bench_sample *s, double flop, double bytes, double working_set) {
  const struct {
    gh_result_field amount, rate;
    double value;
  } work[] = {{GH_RESULT_FLOP, GH_RESULT_GFLOPS, flop}, {GH_RESULT_BYTES, GH_RESULT_GBYTES, bytes}};
  for (size_t i = 0; i < GH_COUNT(work); i++) {
    if (!(work[i].value > 0)) continue;
    gh_result_put(row, work[i].amount, work[i].value);
    gh_result_put(row, work[i].rate, work[i].value / s->median * 1e-9);
  }
  if (working_set > 0) gh_result_put(row, GH_RESULT_WORKING_SET, working_set);
}

gh_status gh_result_without(gh_error *err, gh_result *row, const char *unit, const char *status, const char *reason) {
  gh_result_put(row, GH_RESULT_VALUE, NAN);
  gh_status set = gh_result_set(err, row, GH_RESULT_UNIT, unit);
  if (!set) set = gh_result_set(err, row, GH_RESULT_BETTER, strchr(unit, '/') ? "higher" : "lower");
  return set ? set : gh_result_outcome(err, row, status, reason);
}
