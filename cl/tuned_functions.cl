/* Evaluates the functions of functions.h over an array, for their test. */
#include "functions.h"

/* which: 0 exp, 1 log, 2 tanh, 3 sigmoid, 4 normal cdf, 5 normal density, 6 float_exp, 7 float_log */
KERNEL void functions_evaluate(GLOBAL float *y, GLOBAL const float *x, int32 which, int64 n) {
  FOR_ELEMENTS(i, n) {
    vec v = vec_load(x, i, n), density, cdf = vec_normal(v, &density), result = cdf;
    result = which == 0 ? vec_exp(v) : result;
    result = which == 1 ? vec_log(v) : result;
    result = which == 2 ? vec_tanh(v) : result;
    result = which == 3 ? vec_sigmoid(v) : result;
    result = which == 5 ? density : result;
    vec_store(y, i, n, result);
    for (int32 k = 0; k < VW && i + k < n && which >= 6; k++)
      y[i + k] = which == 6 ? float_exp(x[i + k]) : float_log(x[i + k]);
  }
}
