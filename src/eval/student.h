/* Student's t distribution: intervals and tests of a mean over few values. */
#ifndef GH_EVAL_STUDENT_H
#define GH_EVAL_STUDENT_H

#include "eval/interval.h"

/* The two-sided p value of t with `freedom` >= 1 degrees of freedom: P(|T| >= |t|). */
double gh_student_p(double t, double freedom);
/* The t whose two-sided p value is p, in (0, 1). */
double gh_student_t(double p, double freedom);

/* The mean of n values with its 95 % interval, and *p, the p value of a mean of 0. One value has no interval: low, high
 * and *p are NaN, and so is everything of no value. n equal values have an interval without width, and p is 0, or 1
 * where they are 0. */
void gh_student_mean(gh_interval *out, double *p, const double *values, size_t n);

#endif
