#include "bench/scaling.h"
#include "base/array.h"
#include "config/run.h"
#include "train/metrics.h"

#include <math.h>
#include <stdlib.h>

/* ---- reading ---- */

typedef struct reading {
  int stage;
  double *seconds, *waiting;
  size_t count, seconds_capacity, waiting_capacity;
  int ranks;
} reading;

static gh_status take_line(gh_error *err, void *user, const gh_json *row) {
  reading *r = user;
  int64_t stage = 0;
  double ms = 0, least = 1;
  gh_status status = gh_json_get_int(err, row, "stage", &stage);
  if (!status) status = gh_json_get_double(err, row, "ms", &ms);
  if (status || stage != r->stage) return status;
  const gh_json *list = gh_json_member(row, "waiting");
  r->ranks = list ? (int)gh_json_count(list) : 1;
  for (const gh_json *one = gh_json_first(list); one && !status; one = gh_json_next(one)) {
    double share = 0;
    status = gh_json_to_double(err, one, "waiting", &share);
    least = GH_MIN(least, share);
  }
  if (!status) status = GH_ARRAY_RESERVE(err, r->seconds, r->seconds_capacity, r->count, 1);
  if (!status) status = GH_ARRAY_RESERVE(err, r->waiting, r->waiting_capacity, r->count, 1);
  if (status) return status;
  r->seconds[r->count] = ms * 1e-3;
  r->waiting[r->count++] = list ? least : 0;
  return GH_OK;
}

/* Without the first, which compiles. */
static double median(double *values, size_t count) {
  gh_sort_doubles(values + 1, count - 1);
  return values[1 + (count - 1) / 2];
}

static gh_status read_plan(gh_error *err, const char *run, gh_scaling *m) {
  gh_config config = {0};
  gh_json *info = NULL;
  int64_t trained = 0;
  char *path = gh_path_join(err, run, "info.json");
  const char *keys[2][2] = {{"stage1.parameters_trained", "stage1.micro_batch"},
                            {"stage2.parameters_trained", "stage2.micro_batch"}};
  gh_status status = path ? gh_run_config(err, run, &config) : GH_ERROR_MEMORY;
  if (!status) status = gh_json_read_file(err, &info, path, GH_JSON_MAX_BYTES);
  if (!status) status = gh_json_get_int(err, info, keys[m->stage - 1][0], &trained);
  if (!status) status = gh_json_get_int(err, info, keys[m->stage - 1][1], &m->micro_batch);
  if (!status && (trained < 1 || m->micro_batch < 1))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: no plan of stage %d", path, m->stage);
  if (!status) {
    m->batch = config.stages[m->stage - 1].batch;
    m->bytes = (double)trained * (config.reduce_precision == GH_PRECISION_BFLOAT16 ? 2 : 4);
    m->bucket = config.bucket * 1048576;
    gh_config_free(&config);
  }
  gh_json_free(info);
  free(path);
  return status;
}

gh_status gh_scaling_read(gh_error *err, const char *run, int stage, gh_scaling *m, gh_scaling_run *out) {
  reading r = {.stage = stage};
  m->stage = stage;
  gh_status status = read_plan(err, run, m);
  if (!status) status = gh_metrics_lines(err, run, "metrics.jsonl", take_line, &r);
  if (!status && r.count < 3)
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: stage %d has %zu updates: too few to measure", run, stage, r.count);
  if (!status) *out = (gh_scaling_run){r.ranks, median(r.seconds, r.count), median(r.waiting, r.count)};
  free(r.seconds);
  free(r.waiting);
  return status;
}

/* ---- the model ---- */

#define BACKWARD (2.0 / 3) /* of a micro-batch */
#define MESSAGE  2e-6      /* seconds of rank 0 per message of an agreement */
#define EAGER    65536     /* bytes: a longer message travels after a request and its answer (Open MPI over TCP) */

/* Seconds that an update waits for the network. */
static double exposed(const gh_scaling *m, int64_t ranks) {
  if (ranks == 1) return 0;
  const double n = (double)ranks, buckets = ceil(m->bytes / m->bucket);
  /* A bucket goes in two exchanges, parts to owners and sums back; one begins when the one before has ended. */
  const double delays = GH_MIN(m->bytes, m->bucket) / n > EAGER ? 3 : 1;
  const double travel = 2 * m->bytes * (n - 1) / n / m->bandwidth + 2 * buckets * delays * m->delay;
  const double hidden = buckets > 1 ? BACKWARD * m->step * (1 - 1 / buckets) : 0;
  const double agreements = 2 * (2 * m->delay + n * MESSAGE);
  return GH_MAX(travel - hidden, travel / buckets) + agreements;
}

gh_scaling gh_scaling_shared(const gh_scaling *m, int64_t ranks, int64_t processors) {
  gh_scaling other = *m;
  if (processors) other.step *= GH_MAX(1, (double)ranks / (double)processors);
  return other;
}

double gh_scaling_seconds(const gh_scaling *m, int64_t ranks, int64_t batch, double slow) {
  const double speed = ranks > 1 ? (double)ranks * (1 + slow) / 2 : 1; /* in fast devices */
  const double share = ceil((double)batch / speed);
  return ceil(share / (double)m->micro_batch) * m->step + exposed(m, ranks);
}

double gh_scaling_efficiency(const gh_scaling *m, int64_t ranks, int64_t batch, double slow) {
  const double speed = ranks > 1 ? (double)ranks * (1 + slow) / 2 : 1;
  const double alone = (double)batch / (double)m->micro_batch * m->step;
  return alone / (speed * gh_scaling_seconds(m, ranks, batch, slow));
}

int64_t gh_scaling_least_batch(const gh_scaling *m, int64_t ranks, double efficiency) {
  for (int64_t each = 1; each <= 4096; each++) {
    const int64_t batch = ranks * each * m->micro_batch;
    if (gh_scaling_efficiency(m, ranks, batch, 1) >= efficiency) return batch;
  }
  return 0;
}

double gh_scaling_least_bandwidth(const gh_scaling *m, int64_t ranks, int64_t batch, double efficiency) {
  gh_scaling other = *m;
  double low = 0, high = other.bandwidth = 1e15;
  if (gh_scaling_efficiency(&other, ranks, batch, 1) < efficiency) return 0;
  for (int i = 0; i < 200; i++) {
    other.bandwidth = low > 0 ? sqrt(low * high) : high / 2;
    if (other.bandwidth < 1) break;
    *(gh_scaling_efficiency(&other, ranks, batch, 1) >= efficiency ? &high : &low) = other.bandwidth;
  }
  return high;
}
