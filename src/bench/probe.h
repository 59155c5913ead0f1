/* The limits of a device: arithmetic, memory, launches, transfers. */
#ifndef GH_BENCH_PROBE_H
#define GH_BENCH_PROBE_H

#include "bench/place.h"

/* Adds rows of kind "peak": fused multiply-adds in registers, copy and triad at several working sets, the driver's own
 * copy. On a CPU the multiply-adds are those of both shapes of kernels, whichever the device was opened with. */
gh_status gh_probe_device(gh_error *err, gh_device *device, const gh_bench_repeats *how, gh_results *rows);

/* Calls visit with the device, or with the same device opened with kernels of another shape. GH_ERROR_UNSUPPORTED if it
 * has none of that shape. */
typedef gh_status gh_bench_visit_device(gh_error *err, gh_device *device, void *user);
gh_status gh_bench_with_shape(gh_error *err, gh_device *device, gh_shape shape, gh_bench_visit_device *visit,
                              void *user);

/* Adds rows of kind "latency" (an empty kernel: enqueued and waited for; per launch of many) and "transfer" (from and
 * to the host). */
gh_status gh_probe_latency(gh_error *err, gh_device *device, const gh_bench_repeats *how, gh_results *rows);
gh_status gh_probe_transfers(gh_error *err, gh_device *device, const gh_bench_repeats *how, gh_results *rows);

/* The best of them in one number each. */
typedef struct gh_bench_peak {
  double flops; /* per second; a fused multiply-add in registers counts as two */
  double bytes; /* per second, of a copy or triad in the largest working set; reads and writes both count */
} gh_bench_peak;
void gh_probe_best(const gh_results *rows, gh_bench_peak *out);
/* Probes the device (gh_probe_device) for that alone. With wall-clock time, a busy machine shows lower rates; with
 * processor time, the rates are those of one core. */
gh_status gh_bench_measure_peak(gh_error *err, gh_device *device, gh_bench_clock clock, gh_bench_peak *out);

#endif
