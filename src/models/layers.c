/* Layers: each fetches its parameters by name and applies itself. */
#include "models/lora.h"
#include "models/module.h"

#define PROJECTOR_EPS 1e-5

static void linear_parameters(gh_module *m, const gh_tensor *x, int64_t width, bool bias, const char *name,
                              gh_tensor **w, gh_tensor **b) {
  int64_t in = gh_tensor_columns(x);
  gh_init init = gh_init_fan_in(in);
  *w = gh_matrix(m, init, 2, (int64_t[]){width, in}, "%s.weight", name);
  *b = bias ? gh_linear_bias(m, init, width, name) : NULL;
}

gh_tensor *gh_linear_layer_to(gh_module *m, gh_tensor *x, int64_t width, bool bias, gh_dtype result, const char *name) {
  gh_tensor *w, *b;
  if (!x) return NULL;
  linear_parameters(m, x, width, bias, name, &w, &b);
  if (m->lora && gh_lora_targets(m->lora, name)) return gh_lora_linear(m, x, w, b, result, name);
  if (m->lora) gh_lora_bias_layer(m, b, name, false);
  return gh_linear_to(m->graph, x, w, b, result);
}

gh_tensor *gh_linear_layer(gh_module *m, gh_tensor *x, int64_t width, bool bias, const char *name) {
  return x ? gh_linear_layer_to(m, x, width, bias, x->dtype, name) : NULL;
}

gh_tensor *gh_activated_layer(gh_module *m, gh_tensor *x, int64_t width, gh_activation_kind kind, const char *name) {
  gh_tensor *w, *b;
  if (!x) return NULL;
  if (kind != GH_GELU_TANH || (m->lora && gh_lora_targets(m->lora, name)))
    return gh_activation(m->graph, gh_linear_layer(m, x, width, true, name), kind);
  linear_parameters(m, x, width, true, name, &w, &b);
  if (m->lora) gh_lora_bias_layer(m, b, name, false);
  return gh_linear_gelu(m->graph, x, w, b);
}

gh_tensor *gh_layernorm_layer(gh_module *m, gh_tensor *x, double eps, gh_dtype result, const char *name) {
  if (!x) return NULL;
  int64_t width = gh_tensor_columns(x);
  gh_tensor *w = gh_parameter(m, gh_init_constant(1), 1, &width, "%s.weight", name);
  gh_tensor *b = gh_bias(m, gh_init_constant(0), width, "%s.bias", name);
  if (m->lora) gh_lora_bias_layer(m, b, name, false);
  return gh_layernorm(m->graph, x, w, b, eps, result);
}

gh_tensor *gh_groupnorm_layer(gh_module *m, gh_tensor *x, int groups, double eps, const char *name) {
  if (!x) return NULL;
  gh_tensor *w = gh_parameter(m, gh_init_constant(1), 1, &x->shape[1], "%s.weight", name);
  gh_tensor *b = gh_bias(m, gh_init_constant(0), x->shape[1], "%s.bias", name);
  return gh_groupnorm(m->graph, x, w, b, groups, eps);
}

gh_tensor *gh_conv_layer(gh_module *m, gh_tensor *x, int64_t channels, int kernel, gh_conv_geometry geometry,
                         const char *name) {
  if (!x) return NULL;
  int64_t in = x->shape[1];
  gh_init init = gh_init_fan_in(in * kernel * kernel);
  gh_tensor *w = gh_matrix(m, init, 4, (int64_t[]){channels, in, kernel, kernel}, "%s.weight", name);
  gh_tensor *b = gh_linear_bias(m, init, channels, name);
  return gh_conv2d(m->graph, gh_cast(m->graph, x, m->storage), w, b, geometry);
}

gh_tensor *gh_condition_tokens(gh_module *m, gh_tensor *c, gh_tensor *local) {
  if (!c) return NULL;
  gh_tensor *token = gh_reshape(m->graph, c, 3, (int64_t[]){c->shape[0], 1, c->shape[1]});
  return local ? gh_concat(m->graph, (gh_tensor *[]){token, local}, 2, 1) : token;
}

gh_tensor *gh_projector(gh_module *m, gh_tensor *x, int64_t width, gh_dtype result, const char *name) {
  if (!x) return NULL;
  gh_tensor *h = gh_layernorm_layer(m, x, PROJECTOR_EPS, m->storage, gh_name_make("%s.0", name).text);
  h = gh_activated_layer(m, h, width, GH_GELU_ERF, gh_name_make("%s.1", name).text);
  return gh_linear_layer_to(m, h, width, true, result, gh_name_make("%s.3", name).text);
}
