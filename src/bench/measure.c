/* The clocks of benchmarks, and the measured peaks of a device, to which other results are compared in per cent. */
#include "base/array.h"
#include "base/log.h"
#include "bench/step.h"
#include "cl/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

gh_bench_time gh_bench_now(void) {
  struct timespec used = {0};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return (gh_bench_time){gh_now(), (double)used.tv_sec + 1e-9 * (double)used.tv_nsec};
}

gh_bench_time gh_bench_since(gh_bench_time began) {
  gh_bench_time now = gh_bench_now();
  return (gh_bench_time){now.wall - began.wall, now.processor - began.processor};
}

double gh_bench_median(double *values, int count) {
  gh_sort_doubles(values, (size_t)count);
  return count % 2 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

int64_t gh_bench_resident_bytes(void) {
  FILE *file = fopen("/proc/self/status", "r");
  char line[256];
  long long kib = 0;
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "VmHWM: %lld kB", &kib) == 1) break;
  if (file) fclose(file);
  return (int64_t)kib * 1024;
}

/* ---- peaks ---- */

#define PEAK_ROUNDS 5
#define FMA_ROUNDS  20000
#define COPY_FLOATS (INT64_C(32) << 20)
#define COPY_ROW    INT64_C(65536)

/* The shortest of several runs after a warm-up. */
static gh_status fastest(gh_error *err, gh_device *d, gh_launch *launch, double (*now)(void), double *seconds) {
  *seconds = 0;
  for (int i = 0; i <= PEAK_ROUNDS; i++) {
    double began = now();
    gh_status status = d->backend->enqueue(err, d, launch);
    if (!status) status = d->backend->finish(err, d);
    if (status) return status;
    double taken = now() - began;
    if (i == 1 || (i && taken < *seconds)) *seconds = taken;
  }
  return GH_OK;
}

static gh_status measure_fma(gh_error *err, gh_device *d, gh_buffer *memory, double (*now)(void), double *flops) {
  bool cpu = d->info.shape == GH_SHAPE_CPU;
  size_t groups = (size_t)GH_MAX(d->info.compute_units, 1) * 16, local = cpu ? 1 : 256;
  local = GH_MIN(local, (size_t)d->info.max_group);
  const gh_kernel_id id = {.name = "probe_fma_peak", .source = "tuned_probe", .defines = "", .dtype = GH_F32};
  const gh_grid grid = {{groups, 1, 1}, {local, 1, 1}};
  const gh_arg args[] = {gh_arg_buffer(memory), gh_arg_i32(FMA_ROUNDS), gh_arg_f32(0.5), gh_arg_f32(1)};
  gh_launch *launch = NULL;
  double seconds = 0;
  gh_status status = d->backend->bind_kernel(err, d, &id, &grid, args, (int)GH_COUNT(args), &launch);
  if (!status) status = fastest(err, d, launch, now, &seconds);
  d->backend->launch_free(launch);
  if (!status) *flops = 2.0 * FMA_ROUNDS * PROBE_CHAINS * (cpu ? CPU_VECTOR : 1) * (double)(groups * local) / seconds;
  return status;
}

static gh_status measure_copy(gh_error *err, gh_device *d, gh_buffer *to, gh_buffer *from, int64_t floats,
                              double (*now)(void), double *bytes) {
  bool cpu = d->info.shape == GH_SHAPE_CPU;
  const gh_kernel_id id = {.name = "copy_rows", .dtype = GH_F32};
  const gh_grid grid = {{(size_t)(floats / COPY_ROW), 1, 1}, {cpu ? 1 : (size_t)GH_MIN(d->info.max_group, 256), 1, 1}};
  const gh_arg args[] = {gh_arg_buffer(to),    gh_arg_buffer(from),  gh_arg_i64(floats / COPY_ROW),
                         gh_arg_i64(COPY_ROW), gh_arg_i64(0),        gh_arg_i64(COPY_ROW),
                         gh_arg_i64(0),        gh_arg_i64(COPY_ROW), gh_arg_i64(1),
                         gh_arg_i64(COPY_ROW)};
  gh_launch *launches[2] = {NULL, NULL};
  gh_status status = d->backend->bind_kernel(err, d, &id, &grid, args, (int)GH_COUNT(args), &launches[0]);
  if (!status) status = d->backend->bind_copy(err, d, to, 0, from, 0, floats * 4, &launches[1]);
  *bytes = 0;
  for (int i = 0; i < 2 && !status; i++) {
    double seconds = 0;
    status = fastest(err, d, launches[i], now, &seconds);
    if (!status) *bytes = GH_MAX(*bytes, 8.0 * (double)floats / seconds);
  }
  for (int i = 0; i < 2; i++) d->backend->launch_free(launches[i]);
  return status;
}

gh_status gh_bench_measure_peak(gh_error *err, gh_device *d, double (*now)(void), gh_bench_peak *out) {
  gh_buffer *memory[2] = {NULL, NULL};
  int64_t floats = GH_MIN(COPY_FLOATS, d->info.max_buffer_bytes / 4) / COPY_ROW * COPY_ROW;
  gh_status status = GH_OK;
  for (int i = 0; i < 2 && !status; i++) {
    gh_launch *zero = NULL;
    status = d->backend->buffer_create(err, d, floats * 4, &memory[i]);
    if (!status) status = d->backend->bind_fill(err, d, memory[i], 0, floats * 4, 0, &zero);
    if (!status) status = d->backend->enqueue(err, d, zero);
    if (!status) status = d->backend->finish(err, d);
    d->backend->launch_free(zero);
  }
  if (!status) status = measure_fma(err, d, memory[0], now, &out->flops);
  if (!status) status = measure_copy(err, d, memory[0], memory[1], floats, now, &out->bytes);
  for (int i = 0; i < 2; i++) d->backend->buffer_free(memory[i]);
  return status;
}
