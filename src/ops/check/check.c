/* Reads the cases of a fixture file and runs each. */
#include "ops/check/check.h"
#include "ops/check/case.h"
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOLERANCE    1e-4
#define LEAST_TOLERANCE  2.5e-7 /* a few roundings */
#define PYTORCH_FACTOR   4      /* allowed error relative to PyTorch's float32 */
#define MAX_FIXTURE_JSON ((size_t)8 << 20)

/* "<case>.<kind><index>" of the file; NULL when absent. */
static const gh_st_tensor *part(const gh_check *c, const char *kind, int index) {
  char name[160];
  snprintf(name, sizeof name, "%s.%s%d", c->name, kind, index);
  return gh_safetensors_find(c->file, name);
}

static gh_status input_dtype(gh_error *err, const gh_st_tensor *t, gh_dtype *dtype) {
  static const struct {
    gh_st_dtype file;
    gh_dtype device;
  } known[] = {{GH_ST_F32, GH_F32}, {GH_ST_I32, GH_I32}, {GH_ST_U32, GH_U32}};
  for (size_t i = 0; i < GH_COUNT(known); i++) {
    if (known[i].file != t->dtype) continue;
    *dtype = known[i].device;
    return GH_OK;
  }
  return gh_fail(err, GH_ERROR_FORMAT, "%s: %s is not an input type", t->name, gh_st_dtype_name(t->dtype));
}

/* A guarded tensor with the file's data, and a copy of the data for the host. */
static gh_status load_guarded(gh_error *err, gh_check *c, const char *kind, int index, gh_guarded *out, float **data) {
  const gh_st_tensor *t = part(c, kind, index);
  gh_dtype dtype = GH_F32;
  char name[32];
  gh_status status = input_dtype(err, t, &dtype);
  if (status) return status;
  if (t->rank > GH_MAX_RANK) return gh_fail(err, GH_ERROR_FORMAT, "%s: rank %d", t->name, t->rank);
  if (!(*data = gh_alloc(err, t->bytes, 1))) return GH_ERROR_MEMORY;
  memcpy(*data, t->data, t->bytes);
  snprintf(name, sizeof name, "%s%d", kind, index);
  return gh_guarded_create(err, c->device, out, name, dtype, t->rank, t->shape, *data);
}

static gh_status load_expected(gh_error *err, gh_check *c, const char *kind, int index, gh_expected *out) {
  const gh_st_tensor *t = part(c, kind, index);
  if (!t) return GH_OK;
  out->elements = t->elements;
  out->values = gh_alloc(err, (size_t)t->elements, sizeof *out->values);
  if (!out->values) return GH_ERROR_MEMORY;
  if (t->dtype == GH_ST_F64) {
    const gh_json *error = gh_json_member(c->errors, t->name);
    double theirs = NAN;
    gh_status status = gh_json_to_double(err, error, t->name, &theirs);
    if (status) return status;
    memcpy(out->values, t->data, t->bytes);
    out->tolerance = fmin(MAX_TOLERANCE, fmax(PYTORCH_FACTOR * theirs, LEAST_TOLERANCE));
    return GH_OK;
  }
  for (int64_t i = 0; i < t->elements; i++) {
    int64_t value;
    gh_status status = gh_st_read_i64(err, t, i, 1, &value);
    if (status) return status;
    out->values[i] = (double)value;
  }
  return GH_OK;
}

static bool listed(const gh_json *list, int index) {
  for (const gh_json *item = gh_json_first(list); item; item = gh_json_next(item)) {
    int64_t value;
    if (!gh_json_to_int(NULL, item, "absent", &value) && value == index) return true;
  }
  return false;
}

static gh_status load_input(gh_error *err, gh_check *c, const gh_json *absent, int i) {
  bool given = part(c, "in", i) != NULL;
  if (given == listed(absent, i))
    return gh_fail(err, GH_ERROR_FORMAT, "input %d is %s", i, given ? "both given and listed as absent" : "missing");
  if (!given) return GH_OK;
  gh_status status = load_guarded(err, c, "in", i, &c->in[i], &c->in_data[i]);
  if (!status) status = load_expected(err, c, "after", i, &c->after[i]);
  if (!status) status = load_expected(err, c, "din", i, &c->din[i]);
  if (status || !c->din[i].values) return status;
  gh_tensor *t = &c->in[i].tensor;
  char name[32];
  snprintf(name, sizeof name, "din%d", i);
  if (c->din[i].elements != gh_tensor_elements(t)) return gh_fail(err, GH_ERROR_FORMAT, "%s: wrong size", name);
  status = gh_guarded_create(err, c->device, &c->grad[i], name, GH_F32, t->rank, t->shape, NULL);
  t->trainable = t->needs_grad = true;
  t->grad = &c->grad[i].tensor;
  return status;
}

static gh_status load_output(gh_error *err, gh_check *c, int i) {
  gh_status status = load_expected(err, c, "out", i, &c->out[i]);
  if (!status && !c->out[i].values) return gh_fail(err, GH_ERROR_FORMAT, "output %d is missing", i);
  if (!status && part(c, "dout", i)) status = load_guarded(err, c, "dout", i, &c->dout[i], &c->dout_data[i]);
  if (!status && c->dout_data[i] && gh_tensor_elements(&c->dout[i].tensor) != c->out[i].elements)
    return gh_fail(err, GH_ERROR_FORMAT, "dout%d: wrong size", i);
  return status;
}

static gh_status load_attributes(gh_error *err, gh_check *c, const gh_json *attrs) {
  for (const gh_json *item = gh_json_first(attrs); item; item = gh_json_next(item)) {
    const char *name = gh_json_key(item);
    int at = 0;
    while (at < GH_MAX_ATTRS && c->op->attrs[at] && strcmp(c->op->attrs[at], name)) at++;
    if (at == GH_MAX_ATTRS || !c->op->attrs[at])
      return gh_fail(err, GH_ERROR_FORMAT, "the op has no attribute %s", name);
    gh_status status = gh_json_to_double(err, item, name, &c->attr[at]);
    if (status) return status;
  }
  return GH_OK;
}

static gh_status load_case(gh_error *err, gh_check *c, const gh_json *node) {
  int64_t inputs = 0, outputs = 0;
  gh_status status = gh_json_get_int(err, node, "inputs", &inputs);
  if (!status) status = gh_json_get_int(err, node, "outputs", &outputs);
  if (!status) status = gh_json_opt_bool(err, node, "finite", &c->finite);
  if (!status) status = load_attributes(err, c, gh_json_member(node, "attrs"));
  if (status) return status;
  if (inputs < 0 || inputs > GH_MAX_INPUTS || outputs < 0 || outputs > GH_MAX_OUTPUTS)
    return gh_fail(err, GH_ERROR_FORMAT, "%lld inputs, %lld outputs", (long long)inputs, (long long)outputs);
  c->inputs = (int)inputs;
  c->outputs = (int)outputs;
  for (int i = 0; !status && i < c->inputs; i++) status = load_input(err, c, gh_json_member(node, "absent"), i);
  for (int i = 0; !status && i < c->outputs; i++) status = load_output(err, c, i);
  if (!status) status = gh_guarded_create(err, c->device, &c->zero, "zero", GH_F32, 0, NULL, NULL);
  return status;
}

static void free_case(gh_check *c) {
  for (int i = 0; i < GH_MAX_INPUTS; i++) {
    gh_guarded_free(c->device, &c->in[i]);
    gh_guarded_free(c->device, &c->grad[i]);
    free(c->in_data[i]);
    free(c->din[i].values);
    free(c->after[i].values);
  }
  for (int i = 0; i < GH_MAX_OUTPUTS; i++) {
    gh_guarded_free(c->device, &c->dout[i]);
    free(c->dout_data[i]);
    free(c->out[i].values);
  }
  gh_guarded_free(c->device, &c->zero);
}

static gh_status check_case(gh_error *err, const gh_check *common, const gh_json *node) {
  gh_check c = *common;
  const char *op;
  c.finite = true;
  gh_status status = gh_json_get_string(err, node, "name", &c.name);
  if (!status) status = gh_json_get_string(err, node, "op", &op);
  if (status) return status;
  c.op = gh_op_find(op);
  if (!c.op) return gh_fail(err, GH_ERROR_FORMAT, "%s: there is no op %s", c.name, op);
  gh_error failure = {0};
  status = load_case(&failure, &c, node);
  if (!status) status = c.options.narrow != GH_F32 ? gh_check_run_narrow(&failure, &c) : gh_check_run(&failure, &c);
  if (status) gh_check_report(&c, "", NAN, 0, false, failure.text);
  free_case(&c);
  return GH_OK;
}

static gh_status parse_metadata(gh_error *err, const gh_safetensors *file, const char *key, gh_json **out) {
  const char *text = gh_safetensors_metadata(file, key);
  if (!text)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: holds no %s: not a fixture of ops", gh_safetensors_path(file), key);
  return gh_json_parse(err, out, key, text, strlen(text), MAX_FIXTURE_JSON);
}

gh_status gh_check_file(gh_error *err, gh_device *device, const gh_safetensors *file, gh_check_options options,
                        const gh_check_listener *listener) {
  gh_json *cases = NULL, *errors = NULL;
  gh_status status = parse_metadata(err, file, "cases", &cases);
  if (!status) status = parse_metadata(err, file, "errors", &errors);
  const gh_check common = {.device = device, .file = file, .errors = errors, .listener = listener, .options = options};
  for (const gh_json *node = gh_json_first(cases); !status && node; node = gh_json_next(node))
    status = check_case(err, &common, node);
  gh_json_free(cases);
  gh_json_free(errors);
  return status;
}

gh_status gh_check_embedded(gh_error *err, gh_device *device, gh_check_options options,
                            const gh_check_listener *listener) {
  gh_safetensors *file = NULL;
  gh_status status =
      gh_safetensors_open_memory(err, &file, "the self-test's cases", gh_embedded_selftest, gh_embedded_selftest_size);
  if (!status) status = gh_check_file(err, device, file, options, listener);
  gh_safetensors_close(file);
  return status;
}
