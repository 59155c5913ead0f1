#include "bench/probe.h"
#include "backend/registry.h"
#include "cl/launch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_SECONDS 4e-3 /* of a launch: shorter ones measure the launch itself */
#define MOST_ROUNDS   (1 << 24)
#define SHORT_LOOP    30000
#define STREAMS       3 /* buffers of a triad */
#define LARGEST_SET   (INT64_C(256) << 20)

static const gh_bench_repeats standard = {.repeats = 5, .most_at_once = 1};

/* Working sets in bytes, for the caches of a core, of a processor, and for memory. */
static const int64_t working_sets[] = {INT64_C(64) << 10, INT64_C(512) << 10, INT64_C(4) << 20, INT64_C(32) << 20,
                                       LARGEST_SET};

typedef struct gh_probe {
  gh_device *device;
  const gh_bench_repeats *how;
  gh_results *rows;
  gh_result place;
  gh_buffer *memory[STREAMS];
  int64_t bytes; /* of each */
} gh_probe;

/* ---- timing a launch ---- */

typedef struct gh_enqueued {
  gh_device *device;
  gh_launch *launch;
} gh_enqueued;

static gh_status enqueue(gh_error *err, void *user, int times) {
  gh_enqueued *e = user;
  gh_status status = GH_OK;
  for (int i = 0; i < times && !status; i++) status = e->device->backend->enqueue(err, e->device, e->launch);
  return status;
}

static gh_status run_once(gh_error *err, gh_enqueued *e) {
  gh_status status = enqueue(err, e, 1);
  return status ? status : e->device->backend->finish(err, e->device);
}

/* A kernel of tuned_probe.cl, whose argument `rounds` says how often it repeats its work. */
typedef struct gh_probe_kernel {
  const char *name;
  gh_grid grid;
  gh_arg args[8];
  int count, rounds;
  int64_t loops; /* of a work-item in a round */
} gh_probe_kernel;

/* A device that is unfit for training may end a long loop early; its rates would be too high. */
static int most_rounds(const gh_device *d, const gh_probe_kernel *k) {
  return d->info.unfit ? (int)GH_MAX(2, SHORT_LOOP / GH_MAX(k->loops, 1)) : MOST_ROUNDS;
}

static gh_status bind(gh_error *err, gh_device *d, gh_probe_kernel *k, int rounds, gh_launch **out) {
  const gh_kernel_id id = {.name = k->name, .source = "tuned_probe", .defines = "", .dtype = GH_F32};
  k->args[k->rounds] = gh_arg_i32(rounds);
  return d->backend->bind_kernel(err, d, &id, &k->grid, k->args, k->count, out);
}

/* Finds how many rounds take long enough, then samples them. */
static gh_status sample_rounds(gh_error *err, gh_probe *p, gh_probe_kernel *k, int *rounds, gh_bench_sample *out) {
  const int most = most_rounds(p->device, k);
  gh_status status = GH_OK;
  for (*rounds = 2; !status;) {
    gh_enqueued e = {p->device, NULL};
    status = bind(err, p->device, k, *rounds, &e.launch);
    if (!status) status = run_once(err, &e); /* a warm-up */
    double taken = INFINITY;
    for (int i = 0; i < 2 && !status; i++) { /* the shorter of two: other work on the machine only adds */
      const double began = gh_bench_clock_now(GH_CLOCK_WALL);
      status = run_once(err, &e);
      taken = fmin(taken, gh_bench_clock_now(GH_CLOCK_WALL) - began);
    }
    const bool enough = taken >= LEAST_SECONDS || *rounds >= most;
    if (!status && enough) status = gh_bench_repeat_on(err, p->device, p->how, enqueue, &e, out);
    p->device->backend->launch_free(e.launch);
    if (enough) break;
    const double factor = fmax(2, fmin(32, 1.5 * LEAST_SECONDS / fmax(taken, 1e-6)));
    *rounds = (int)fmin(most, ceil(*rounds * factor / 2) * 2);
  }
  return status;
}

static gh_result *begin_peak(gh_error *err, gh_probe *p, const char *op, const char *provider) {
  const gh_result_title title = {.kind = "peak", .op = op, .dtype = "f32", .provider = provider};
  return gh_result_begin(err, p->rows, &p->place, &title);
}

/* ---- arithmetic ---- */

static gh_status probe_fma(gh_error *err, gh_probe *p) {
  const gh_device_info *info = &p->device->info;
  const bool cpu = info->shape == GH_SHAPE_CPU;
  size_t groups = (size_t)GH_MAX(info->compute_units, 1) * 16, local = cpu ? 1 : 256;
  local = GH_MIN(local, (size_t)info->max_group);
  groups = GH_MIN(groups, ((size_t)p->bytes / 4 - PROBE_CHAINS) / local); /* each work-item stores one number */
  gh_probe_kernel k = {.name = "probe_fma_peak",
                       .grid = {{groups, 1, 1}, {local, 1, 1}},
                       .args = {gh_arg_buffer(p->memory[0]), {0}, gh_arg_f32(0.5), gh_arg_f32(1)},
                       .count = 4,
                       .rounds = 1};
  gh_bench_sample sample;
  int rounds = 0;
  gh_status status = sample_rounds(err, p, &k, &rounds, &sample);
  gh_result *row = status ? NULL : begin_peak(err, p, "fma", "probe_fma_peak");
  if (!row) return status ? status : err->status;
  const double flop = 2.0 * rounds * PROBE_CHAINS * (cpu ? CPU_VECTOR : 1) * (double)(groups * local);
  gh_result_work(row, &sample, flop, 0, 0);
  gh_result_put(row, GH_RESULT_NOMINAL, 0);
  return gh_result_rate(err, row, &sample, flop * 1e-9, "GFLOP/s");
}

/* ---- memory ---- */

static const struct {
  const char *op, *kernel;
  int streams; /* buffers */
  int traffic; /* of them, read or written per round */
} streams[] = {{"copy", "probe_copy", 2, 2}, {"triad", "probe_triad", 3, 3}};

static gh_status add_stream(gh_error *err, gh_probe *p, const char *op, const char *provider,
                            const gh_bench_sample *sample, double bytes, int64_t set) {
  gh_result *row = begin_peak(err, p, op, provider);
  if (!row) return err->status;
  gh_result_work(row, sample, 0, bytes, (double)set);
  gh_status status = gh_result_format(err, row, GH_RESULT_SHAPE, "%lld KiB", (long long)set / 1024);
  return status ? status : gh_result_rate(err, row, sample, bytes * 1e-9, "GB/s");
}

static gh_status probe_stream(gh_error *err, gh_probe *p, size_t which, int64_t set) {
  const gh_device_info *info = &p->device->info;
  const bool cpu = info->shape == GH_SHAPE_CPU;
  const size_t local = cpu ? 1 : (size_t)GH_MIN(info->max_group, 256);
  const size_t groups = (size_t)GH_MAX(info->compute_units, 1) * (info->is_cpu ? 1 : 8);
  const int64_t step = (int64_t)(groups * local) * (cpu ? CPU_VECTOR : 1);
  const int64_t n = GH_MIN(set / 4 / streams[which].streams, p->bytes / 4) / step * step;
  if (!n || (info->unfit && n / step > SHORT_LOOP / 2)) return GH_OK; /* smaller than the device, or too long a loop */
  gh_probe_kernel k = {.name = streams[which].kernel, .grid = {{groups, 1, 1}, {local, 1, 1}}, .loops = n / step};
  for (int i = 0; i < streams[which].streams; i++) k.args[k.count++] = gh_arg_buffer(p->memory[i]);
  k.args[k.count++] = gh_arg_i64(n);
  k.rounds = k.count++;
  if (streams[which].streams == 3) k.args[k.count++] = gh_arg_f32(1e-3);
  gh_bench_sample sample;
  int rounds = 0;
  gh_status status = sample_rounds(err, p, &k, &rounds, &sample);
  if (status) return status;
  return add_stream(err, p, streams[which].op, k.name, &sample, 4.0 * (double)n * streams[which].traffic * rounds,
                    n * 4 * streams[which].streams);
}

static gh_status probe_driver_copy(gh_error *err, gh_probe *p) {
  gh_enqueued e = {p->device, NULL};
  gh_bench_sample sample;
  gh_status status =
      p->device->backend->bind_copy(err, p->device, p->memory[1], 0, p->memory[0], 0, p->bytes, &e.launch);
  if (!status) status = gh_bench_repeat_on(err, p->device, p->how, enqueue, &e, &sample);
  p->device->backend->launch_free(e.launch);
  return status ? status : add_stream(err, p, "copy", "driver", &sample, 2 * (double)p->bytes, 2 * p->bytes);
}

/* ---- opening ---- */

static gh_status clear(gh_error *err, gh_device *d, gh_buffer *buffer, int64_t bytes) {
  gh_launch *zero = NULL;
  gh_status status = d->backend->bind_fill(err, d, buffer, 0, bytes, 0, &zero);
  if (!status) status = d->backend->enqueue(err, d, zero);
  if (!status) status = d->backend->finish(err, d);
  d->backend->launch_free(zero);
  return status;
}

static gh_status open_probe(gh_error *err, gh_probe *p, gh_device *d, const gh_bench_repeats *how, gh_results *rows) {
  const int64_t most = GH_MIN(d->info.max_buffer_bytes, d->info.memory_bytes / 8);
  *p = (gh_probe){.device = d, .how = how, .rows = rows};
  p->bytes = GH_MIN(LARGEST_SET / 2, most) / 4096 * 4096;
  gh_status status = gh_result_place(err, &p->place, &d->info, how->clock);
  for (int i = 0; i < STREAMS && !status; i++) {
    status = d->backend->buffer_create(err, d, p->bytes, &p->memory[i]);
    if (!status) status = clear(err, d, p->memory[i], p->bytes);
  }
  return status;
}

static void close_probe(gh_probe *p) {
  for (int i = 0; i < STREAMS; i++) p->device->backend->buffer_free(p->memory[i]);
  gh_result_free(&p->place);
}

static gh_status probe_memory(gh_error *err, gh_probe *p) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(working_sets) && !status; i++)
    for (size_t k = 0; k < GH_COUNT(streams) && !status; k++) status = probe_stream(err, p, k, working_sets[i]);
  return status ? status : probe_driver_copy(err, p);
}

static gh_status probe(gh_error *err, gh_device *device, bool memory, const gh_bench_repeats *how, gh_results *rows) {
  gh_probe p;
  gh_status status = open_probe(err, &p, device, how, rows);
  if (!status) status = probe_fma(err, &p);
  if (!status && memory) status = probe_memory(err, &p);
  close_probe(&p);
  return status;
}

gh_status gh_bench_with_shape(gh_error *err, gh_device *device, gh_shape shape, gh_bench_visit_device *visit,
                              void *user) {
  char id[48];
  gh_device *other = NULL;
  if (device->info.shape == shape) return visit(err, device, user);
  snprintf(id, sizeof id, "%.*s/%s", (int)strcspn(device->info.id, "/"), device->info.id,
           shape == GH_SHAPE_CPU ? "cpu" : "gpu");
  gh_status status = gh_device_open(err, id, &other);
  if (!status) status = visit(err, other, user);
  gh_device_close(other);
  return status;
}

typedef struct gh_probing {
  const gh_bench_repeats *how;
  gh_results *rows;
} gh_probing;

static gh_status probe_all(gh_error *err, gh_device *device, void *user) {
  const gh_probing *p = user;
  return probe(err, device, true, p->how, p->rows);
}

static gh_status probe_arithmetic(gh_error *err, gh_device *device, void *user) {
  const gh_probing *p = user;
  return probe(err, device, false, p->how, p->rows);
}

/* A CPU: everything by its own shape, whose work-items are long loops, and the other's arithmetic. A GPU: its own. */
gh_status gh_probe_device(gh_error *err, gh_device *device, const gh_bench_repeats *how, gh_results *rows) {
  gh_probing p = {how, rows};
  if (!device->info.is_cpu) return probe_all(err, device, &p);
  gh_status status = gh_bench_with_shape(err, device, GH_SHAPE_CPU, probe_all, &p);
  if (status == GH_ERROR_UNSUPPORTED) return probe_all(err, device, &p);
  if (!status) status = gh_bench_with_shape(err, device, GH_SHAPE_GPU, probe_arithmetic, &p);
  return status == GH_ERROR_UNSUPPORTED ? GH_OK : status;
}

/* ---- launches and transfers ---- */

static gh_status add_latency(gh_error *err, gh_probe *p, gh_enqueued *e, const char *op, int at_once) {
  const gh_bench_repeats how = {.repeats = p->how->repeats, .most_at_once = at_once, .clock = p->how->clock};
  const gh_result_title title = {.kind = "latency", .op = op};
  gh_bench_sample sample;
  gh_status status = gh_bench_repeat_on(err, p->device, &how, enqueue, e, &sample);
  gh_result *row = status ? NULL : gh_result_begin(err, p->rows, &p->place, &title);
  if (!row) return status ? status : err->status;
  return gh_result_seconds(err, row, &sample);
}

gh_status gh_probe_latency(gh_error *err, gh_device *device, const gh_bench_repeats *how, gh_results *rows) {
  gh_probe p;
  gh_enqueued e = {device, NULL};
  gh_status status = open_probe(err, &p, device, how, rows);
  gh_probe_kernel k = {.name = "probe_copy", .grid = {{1, 1, 1}, {1, 1, 1}}, .count = 4, .rounds = 3};
  for (int i = 0; i < 2 && !status; i++) k.args[i] = gh_arg_buffer(p.memory[i]);
  k.args[2] = gh_arg_i64(0);
  if (!status) status = bind(err, device, &k, 0, &e.launch);
  if (!status) status = add_latency(err, &p, &e, "launch and wait", 1);
  if (!status) status = add_latency(err, &p, &e, "launch, many at once", 4096);
  device->backend->launch_free(e.launch);
  close_probe(&p);
  return status;
}

typedef struct gh_transfer {
  gh_device *device;
  gh_buffer *memory;
  void *host;
  int64_t bytes;
  bool read;
} gh_transfer;

static gh_status transfer(gh_error *err, void *user, int times) {
  gh_transfer *t = user;
  const gh_backend *b = t->device->backend;
  gh_status status = GH_OK;
  for (int i = 0; i < times && !status; i++)
    status = t->read ? b->read(err, t->device, t->memory, 0, t->host, t->bytes)
                     : b->write(err, t->device, t->memory, 0, t->host, t->bytes);
  return status;
}

gh_status gh_probe_transfers(gh_error *err, gh_device *device, const gh_bench_repeats *how, gh_results *rows) {
  static const char *const names[] = {"host to device", "device to host"};
  gh_probe p;
  gh_status status = open_probe(err, &p, device, how, rows);
  gh_transfer t = {.device = device, .memory = p.memory[0], .bytes = GH_MIN(p.bytes, INT64_C(64) << 20)};
  if (!status && !(t.host = gh_alloc(err, (size_t)t.bytes, 1))) status = GH_ERROR_MEMORY;
  for (int i = 0; i < 2 && !status; i++) {
    gh_bench_sample sample;
    const gh_result_title title = {.kind = "transfer", .op = names[i]};
    t.read = i == 1;
    status = gh_bench_repeat(err, how, transfer, &t, &sample);
    gh_result *row = status ? NULL : gh_result_begin(err, rows, &p.place, &title);
    if (!status && !row) status = err->status;
    if (status) break;
    status = gh_result_format(err, row, GH_RESULT_SHAPE, "%lld KiB", (long long)t.bytes / 1024);
    if (!status) status = gh_result_rate(err, row, &sample, (double)t.bytes * 1e-9, "GB/s");
  }
  free(t.host);
  close_probe(&p);
  return status;
}

/* ---- the best ---- */

void gh_probe_best(const gh_results *rows, gh_bench_peak *out) {
  double largest = 0;
  *out = (gh_bench_peak){0};
  for (size_t i = 0; i < rows->count; i++)
    if (gh_result_is(&rows->items[i], GH_RESULT_KIND, "peak"))
      largest = fmax(largest, gh_result_number(&rows->items[i], GH_RESULT_WORKING_SET));
  for (size_t i = 0; i < rows->count; i++) {
    const gh_result *row = &rows->items[i];
    if (!gh_result_is(row, GH_RESULT_KIND, "peak")) continue;
    out->flops = fmax(out->flops, 1e9 * gh_result_best_rate(row, GH_RESULT_GFLOPS));
    if (gh_result_number(row, GH_RESULT_WORKING_SET) >= 0.5 * largest)
      out->bytes = fmax(out->bytes, 1e9 * gh_result_best_rate(row, GH_RESULT_GBYTES));
  }
}

gh_status gh_bench_measure_peak(gh_error *err, gh_device *device, gh_bench_clock clock, gh_bench_peak *out) {
  gh_results rows = {0};
  gh_bench_repeats how = standard;
  how.clock = clock;
  gh_status status = gh_probe_device(err, device, &how, &rows);
  gh_probe_best(&rows, out);
  gh_results_free(&rows);
  return status;
}
