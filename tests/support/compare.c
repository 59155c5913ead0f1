#include "support/compare.h"
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>

float *compare_load(const gh_safetensors *file, const char *name, int64_t *elements) {
  gh_error err = {0};
  const gh_st_tensor *t = gh_safetensors_find(file, name);
  if (!t) fail_msg("%s has no %s", gh_safetensors_path(file), name);
  float *values = gh_alloc(&err, (size_t)t->elements, sizeof *values);
  assert_non_null(values);
  check_ok(gh_st_read_f32(&err, t, 0, t->elements, values));
  if (elements) *elements = t->elements;
  return values;
}

float compare_number(const gh_safetensors *file, const char *name) {
  int64_t n = 0;
  float *values = compare_load(file, name, &n), first = values[0];
  assert_int_equal(n, 1);
  free(values);
  return first;
}

double compare_distance(const float *got, const float *want, int64_t n) {
  double worst = 0;
  for (int64_t i = 0; i < n; i++) {
    double d = fabs((double)got[i] - (double)want[i]);
    if (!(d <= worst)) worst = d <= INFINITY ? d : INFINITY;
  }
  return worst;
}

void compare_values(const char *what, const float *got, const float *want, int64_t n, double tolerance) {
  double distance = compare_distance(got, want, n);
  if (!(distance <= tolerance)) fail_msg("%s: off by %g, tolerance %g", what, distance, tolerance);
}

void compare_tensors(const gh_safetensors *got, const gh_safetensors *want, const char *name, double tolerance) {
  gh_error err = {0};
  int64_t n = 0;
  float *b = compare_load(want, name, &n);
  const gh_st_tensor *t = gh_safetensors_find(want, name);
  check_ok(gh_safetensors_expect(&err, got, name, t->rank, t->shape, NULL));
  float *a = compare_load(got, name, NULL);
  compare_values(name, a, b, n, tolerance);
  free(a);
  free(b);
}

#define MAX_WORDS 32

gh_status compare_run(gh_error *err, ...) {
  char *words[MAX_WORDS + 1] = {"genhance"};
  int count = 1;
  va_list args;
  va_start(args, err);
  for (char *word; count < MAX_WORDS && (word = va_arg(args, char *));) words[count++] = word;
  va_end(args);
  *err = (gh_error){0};
  return gh_cli_main(err, count, words);
}
