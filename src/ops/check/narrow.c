/* A case in a narrow type. Its inputs and the gradients of its outputs are rounded to that; the op's float32 kernels,
 * which the same case checks against float64 elsewhere, give the expected values for them; then the case runs with the
 * inputs stored in the narrow type. So nothing may differ but the roundings of what is stored on the way: in bf16 2^-8
 * of an element each, in f16 2^-11 or 2^-25. Inputs that are float32 always stay what they are, and gradients and
 * results that are never stored in the narrow type are exact but for the order of sums. */
#include "backend/chooser/attention.h"
#include "ops/check/case.h"

#include <stdlib.h>
#include <string.h>

#define EXACT 2e-5   /* float32 sums in another order */
#define ROOM  0x1p-8 /* for float32's own errors under cancellation, relative to the average element */

/* Ops whose results are rounded more than once: how often, and a factor. room: a sum is rounded before another is
 * added, so its own magnitude counts. */
static const struct {
  const char *op;
  double result, gradient, room;
} roundings[] = {
    {"linear", 4, 1, 1},       /* the product, up to four times an average result, then the bias */
    {"conv2d", 4, 1, 1},       /* the same */
    {"attention", 1, 3, ROOM}, /* terms that cancel to 2^-9 of their size keep the rest of the result's 16 bits */
};

/* Half a unit in the last place of the smallest number of a binade. */
static double rounding(const gh_check *c) { return gh_dtype_rounding(c->options.narrow); }

/* Float32 in this case for every storage type. */
static bool is_wide(const gh_check *c, int input) {
  if (c->op->wide >> input & 1) return true;
  if (!strcmp(c->op->name, "linear")) return input == 2;
  bool broadcast = !strcmp(c->op->name, "add") && input == 1;
  return broadcast && gh_tensor_elements(&c->in[1].tensor) != gh_tensor_elements(&c->in[0].tensor);
}

/* The index of an attribute, or -1: "type" is that of the result. */
static int attribute_of(const gh_op *op, const char *name) {
  for (int i = 0; i < GH_MAX_ATTRS && op->attrs[i]; i++)
    if (!strcmp(op->attrs[i], name)) return i;
  return -1;
}

/* The activation's input is rounded, and every gradient goes through it. */
static bool rounds_between(const gh_check *c) {
  int gelu = attribute_of(c->op, "gelu");
  return gelu >= 0 && c->attr[gelu] != 0;
}

/* Integers, and tensors that are written in place, have no narrow form. */
static bool has_narrow(const gh_check *c) {
  if (!c->outputs || !strcmp(c->op->name, "cast")) return false; /* cast: gh_check_drawn and test_narrow.c */
  if (attribute_of(c->op, "type") >= 0) return true;
  for (int i = 0; i < c->inputs; i++)
    if (c->in[i].view && c->in[i].tensor.dtype == GH_F32 && !is_wide(c, i)) return true;
  return false;
}

static void round_values(gh_dtype narrow, float *values, int64_t n) {
  for (int64_t i = 0; i < n; i++) values[i] = gh_widen(narrow, gh_narrow(narrow, values[i]));
}

static gh_status round_given(gh_error *err, gh_check *c) {
  gh_status status = GH_OK;
  for (int i = 0; i < c->inputs && !status; i++) {
    if (!c->in[i].view || c->in[i].tensor.dtype != GH_F32 || is_wide(c, i)) continue;
    round_values(c->options.narrow, c->in_data[i], gh_tensor_elements(&c->in[i].tensor));
    status = gh_tensor_write(err, c->device, &c->in[i].tensor, c->in_data[i]);
  }
  for (int i = 0; i < c->outputs && !status; i++) {
    if (!c->dout[i].view) continue;
    round_values(c->options.narrow, c->dout_data[i], gh_tensor_elements(&c->dout[i].tensor));
    status = gh_tensor_write(err, c->device, &c->dout[i].tensor, c->dout_data[i]);
  }
  return status;
}

/* Replaces the float32 input by its narrow version. */
static gh_status narrow_input(gh_error *err, gh_check *c, int i) {
  gh_guarded *in = &c->in[i], narrow;
  int64_t n = gh_tensor_elements(&in->tensor);
  uint16_t *stored = gh_alloc(err, (size_t)n, sizeof *stored);
  if (!stored) return GH_ERROR_MEMORY;
  for (int64_t k = 0; k < n; k++) stored[k] = gh_narrow(c->options.narrow, c->in_data[i][k]);
  gh_status status = gh_guarded_create(err, c->device, &narrow, in->name, c->options.narrow, in->tensor.rank,
                                       in->tensor.shape, stored);
  memcpy(c->in_data[i], stored, (size_t)n * sizeof *stored);
  free(stored);
  narrow.tensor.trainable = narrow.tensor.needs_grad = in->tensor.trainable;
  narrow.tensor.grad = in->tensor.grad;
  gh_guarded_free(c->device, in);
  *in = narrow;
  in->tensor.name = in->name;
  return status;
}

/* Attention on matrix units rounds its weights, and their gradients, before multiplying: each sum is also off by one
 * rounding of its terms' magnitudes. */
static bool rounds_weights(const gh_check *c) {
  const int64_t *q = c->in[0].tensor.shape, *k = c->in[1].tensor.shape;
  const int64_t hidden = c->in[3].view ? c->in[3].tensor.shape[1] : 0;
  const gh_attention_desc desc = {GH_ATTENTION_FORWARD, c->options.narrow, q[0], q[1], k[1], q[2], q[3], hidden, false};
  gh_error ignored;
  bool matrix = false;
  return !strcmp(c->op->name, "attention") && !gh_attention_choose(&ignored, c->device, &desc, &matrix, NULL) && matrix;
}

static void set_tolerances(gh_check *c) {
  double result = 1, gradient = 1, room = ROOM;
  for (size_t i = 0; i < GH_COUNT(roundings); i++) {
    if (strcmp(roundings[i].op, c->op->name)) continue;
    result = roundings[i].result;
    gradient = roundings[i].gradient;
    room = roundings[i].room;
  }
  double gradient_room = ROOM;
  if (rounds_weights(c)) {
    result += 1;
    gradient += 1;
    room = gradient_room = 1;
  }
  for (int i = 0; i < c->outputs; i++) {
    c->out[i].tolerance = result * rounding(c) * (1 + rounding(c));
    c->out[i].room = room;
  }
  for (int i = 0; i < c->inputs; i++) {
    if (rounds_between(c)) {
      c->din[i].tolerance = result * rounding(c) * (1 + rounding(c));
      c->din[i].room = room;
      continue;
    }
    c->din[i].tolerance = is_wide(c, i) ? EXACT : gradient * rounding(c) * (1 + rounding(c));
    c->din[i].room = gradient_room;
  }
}

gh_status gh_check_run_narrow(gh_error *err, gh_check *c) {
  int attribute = attribute_of(c->op, "type");
  if (!has_narrow(c)) return GH_OK;
  c->finite = false;
  gh_status status = round_given(err, c);
  if (!status) status = gh_check_take(err, c);
  for (int i = 0; i < c->inputs && !status; i++)
    if (c->in[i].view && c->in[i].tensor.dtype == GH_F32 && !is_wide(c, i)) status = narrow_input(err, c, i);
  if (attribute >= 0) c->attr[attribute] = c->options.narrow;
  if (status) return status;
  set_tolerances(c);
  return gh_check_run(err, c);
}
