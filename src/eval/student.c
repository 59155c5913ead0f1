#include "eval/student.h"

#include <math.h>

#define ROUNDS  300   /* of the continued fraction; it needs about sqrt(max(a, b)) */
#define SMALL   1e-15 /* relative change at which it ends */
#define TINY    1e-300
#define HALVING 200 /* steps, far more than a double has bits */

/* One step of Lentz's method. */
static double lentz(double *c, double *d, double factor) {
  *d = 1 + factor * *d;
  *d = 1 / (fabs(*d) < TINY ? TINY : *d);
  *c = 1 + factor / *c;
  if (fabs(*c) < TINY) *c = TINY;
  return *c * *d;
}

/* The continued fraction of the incomplete beta function (Abramowitz and Stegun, 26.5.8). */
static double fraction(double x, double a, double b) {
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (fabs(d) < TINY ? TINY : d);
  double value = d;
  for (int m = 1; m <= ROUNDS; m++) {
    value *= lentz(&c, &d, m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)));
    const double change = lentz(&c, &d, -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)));
    value *= change;
    if (fabs(change - 1) < SMALL) break;
  }
  return value;
}

/* I_x(a, b), with y = 1 - x. */
static double incomplete_beta(double x, double y, double a, double b) {
  if (x <= 0) return 0;
  if (y <= 0) return 1;
  const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(y));
  return x < (a + 1) / (a + b + 2) ? front * fraction(x, a, b) / a : 1 - front * fraction(y, b, a) / b;
}

double gh_student_p(double t, double freedom) {
  const double squares = freedom + t * t;
  if (isinf(t)) return 0;
  return incomplete_beta(freedom / squares, t * t / squares, freedom / 2, 0.5);
}

double gh_student_t(double p, double freedom) {
  double low = 0, high = 1;
  while (gh_student_p(high, freedom) > p && high < 1e15) high *= 2;
  for (int i = 0; i < HALVING && low < high; i++) {
    const double middle = (low + high) / 2;
    if (middle <= low || middle >= high) break;
    *(gh_student_p(middle, freedom) > p ? &low : &high) = middle;
  }
  return (low + high) / 2;
}

void gh_student_mean(gh_interval *out, double *p, const double *values, size_t n) {
  double mean = 0, squares = 0;
  for (size_t i = 0; i < n; i++) mean += values[i] / (double)n;
  for (size_t i = 0; i < n; i++) squares += (values[i] - mean) * (values[i] - mean);
  *out = (gh_interval){n ? mean : NAN, NAN, NAN};
  *p = NAN;
  if (n < 2) return;
  const double freedom = (double)n - 1, error = sqrt(squares / freedom / (double)n);
  const double half = gh_student_t(0.05, freedom) * error;
  out->low = mean - half;
  out->high = mean + half;
  *p = error > 0 ? gh_student_p(mean / error, freedom) : mean == 0;
}
