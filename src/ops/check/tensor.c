/* Tensors of the op checks: guarded memory, and the distance of a result from its expected values. */
#include "ops/check/case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t guard_bytes(const gh_device *d) { return d->info.alignment_bytes; }

static int64_t padded_bytes(const gh_device *d, int64_t bytes) {
  return (GH_CEIL_DIV(bytes, guard_bytes(d)) + 2) * guard_bytes(d);
}

gh_status gh_guarded_create(gh_error *err, gh_device *d, gh_guarded *out, const char *name, gh_dtype dtype, int rank,
                            const int64_t *shape, const void *data) {
  *out = (gh_guarded){.tensor = {.lifetime = GH_PERSISTENT, .dtype = dtype, .rank = rank, .plan = {.last = -1}}};
  snprintf(out->name, sizeof out->name, "%s", name);
  out->tensor.name = out->name;
  for (int i = 0; i < rank; i++) out->tensor.shape[i] = shape[i];
  int64_t bytes = gh_tensor_bytes(&out->tensor), total = padded_bytes(d, bytes);
  uint32_t *words = gh_alloc(err, (size_t)total, 1);
  if (!words) return GH_ERROR_MEMORY;
  for (int64_t i = 0; i < total / 4; i++) words[i] = GH_POISON;
  char *inside = (char *)words + guard_bytes(d);
  if (data)
    memcpy(inside, data, (size_t)bytes);
  else
    memset(inside, 0, (size_t)bytes);
  gh_status status = d->backend->buffer_create(err, d, total, &out->parent);
  if (!status) status = d->backend->write(err, d, out->parent, 0, words, total);
  if (!status) status = d->backend->buffer_view(err, d, out->parent, guard_bytes(d), bytes, &out->view);
  free(words);
  out->tensor.buffer = out->view;
  return status;
}

void gh_guarded_free(gh_device *d, gh_guarded *guarded) {
  if (guarded->view) d->backend->buffer_free(guarded->view);
  if (guarded->parent) d->backend->buffer_free(guarded->parent);
  *guarded = (gh_guarded){0};
}

gh_status gh_guarded_intact(gh_error *err, gh_device *d, const gh_guarded *guarded) {
  if (!guarded->view) return GH_OK;
  const uint32_t poison = GH_POISON;
  int64_t bytes = gh_tensor_bytes(&guarded->tensor), total = padded_bytes(d, bytes), first = guard_bytes(d);
  unsigned char *memory = gh_alloc(err, (size_t)total, 1), wanted[sizeof poison];
  if (!memory) return GH_ERROR_MEMORY;
  memcpy(wanted, &poison, sizeof poison);
  gh_status status = d->backend->read(err, d, guarded->parent, 0, memory, total);
  for (int64_t i = 0; !status && i < total; i++) {
    bool inside = i >= first && i < first + bytes;
    if (!inside && memory[i] != wanted[i % (int64_t)sizeof poison])
      status = gh_fail(err, GH_ERROR_DEVICE, "written %s %s", i < first ? "before" : "past the end of", guarded->name);
  }
  free(memory);
  return status;
}

void gh_check_report(const gh_check *c, const char *tensor, double error, double tolerance, bool passed,
                     const char *note) {
  const gh_check_result result = {.op = c->op->name,
                                  .test = c->name,
                                  .tensor = tensor,
                                  .error = error,
                                  .tolerance = tolerance,
                                  .passed = passed,
                                  .note = note};
  c->listener->result(c->listener->context, &result);
}

#define SMALL_ROUNDINGS 1 /* see gh_check_judge */

/* ||ours - factor * expected|| / ||factor * expected||, or the absolute norm. */
static double relative_error(const double *ours, const gh_expected *expected, double factor, double free) {
  (void)free;
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < expected->elements; i++) {
    double want = factor * expected->values[i], d = ours[i] - want;
    difference += d * d;
    norm += want * want;
  }
  return norm > 0 ? sqrt(difference / norm) : sqrt(difference);
}

/* For narrow types: the largest error of an element, beyond `free` times the factor, relative to its own size plus a
 * fraction of the average. Returns NaN if any. */
static double elementwise_error(const double *ours, const gh_expected *expected, double factor, double free) {
  double squares = 0, worst = 0;
  for (int64_t i = 0; i < expected->elements; i++) squares += expected->values[i] * expected->values[i];
  double average = fabs(factor) * sqrt(squares / (double)expected->elements);
  for (int64_t i = 0; i < expected->elements; i++) {
    double want = factor * expected->values[i], off = fabs(ours[i] - want),
           size = fabs(want) + expected->room * average;
    double d = off <= fabs(factor) * free ? 0 : off - fabs(factor) * free;
    double error = d > 0 && size > 0 ? d / size : d;
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

/* Changes the largest element by that fraction of it (by the fraction itself if all are 0), an integer by one. */
static void plant_error(double *ours, int64_t n, bool integer, double share) {
  int64_t at = 0;
  for (int64_t i = 0; i < n; i++)
    if (fabs(ours[i]) > fabs(ours[at])) at = i;
  if (integer)
    ours[at] += 1;
  else
    ours[at] = ours[at] != 0 ? ours[at] * (1 + share) : share;
}

static gh_status read_values(gh_error *err, gh_device *d, const gh_tensor *t, double *out) {
  int64_t n = gh_tensor_elements(t);
  void *raw = gh_alloc(err, (size_t)n, 4);
  if (!raw) return GH_ERROR_MEMORY;
  bool integer = t->dtype == GH_I32 || t->dtype == GH_U32;
  gh_status status = integer ? gh_tensor_read(err, d, t, raw) : gh_tensor_read_f32(err, d, t, raw);
  for (int64_t i = 0; !status && i < n; i++)
    out[i] = !integer             ? (double)((const float *)raw)[i]
             : t->dtype == GH_I32 ? (double)((const int32_t *)raw)[i]
                                  : (double)((const uint32_t *)raw)[i];
  free(raw);
  return status;
}

gh_status gh_check_judge(gh_error *err, const gh_check *c, const char *what, const gh_tensor *t,
                         const gh_expected *expected, double factor, bool plant) {
  int64_t n = gh_tensor_elements(t);
  const bool integer = t->dtype == GH_I32 || t->dtype == GH_U32, narrow = c->options.narrow != GH_F32 && !integer;
  double (*measure)(const double *, const gh_expected *, double, double) = narrow ? elementwise_error : relative_error;
  /* Roundings to multiples of the smallest number, of results and on the way to them. */
  const double free_of_charge = SMALL_ROUNDINGS * gh_dtype_smallest(c->options.narrow);
  if (n != expected->elements)
    return gh_fail(err, GH_ERROR_FORMAT, "%s has %lld elements, the fixture %lld", what, (long long)n,
                   (long long)expected->elements);
  double *ours = gh_alloc(err, (size_t)n, sizeof *ours), tolerance = integer ? 0 : expected->tolerance;
  double planted_share = narrow ? fmax(0.01, 4 * tolerance) : 0.01;
  if (!ours) return GH_ERROR_MEMORY;
  gh_status status = read_values(err, c->device, t, ours);
  if (!status) {
    if (plant && c->options.sabotage) plant_error(ours, n, integer, planted_share);
    double error = measure(ours, expected, factor, free_of_charge);
    gh_check_report(c, what, error, tolerance, error <= tolerance, "");
    if (plant && error <= tolerance) {
      plant_error(ours, n, integer, planted_share);
      double planted = measure(ours, expected, factor, free_of_charge);
      if (planted <= tolerance)
        gh_check_report(c, what, planted, tolerance, false, "an error planted in one element goes unnoticed");
    }
  }
  free(ours);
  return status;
}
