/* The architectures: published totals, names and shapes compared with a folder written by transformers, and the output
 * of init. */
#include "backend/registry.h"
#include "support/check.h"

#include "base/file.h"
#include "models/family.h"
#include "models/lora.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void published_totals(void **state) {
  (void)state;
  static const struct {
    const char *name;
    int64_t parameters;
  } table[] = {{"openai-vit-l-14-224", 427616513},
               {"openai-vit-l-14-336", 427944193},
               {"metaclip-vit-l-14-224", 427616513},
               {"metaclip-vit-h-14-224", 986109441},
               {"siglip-so400m-14-224", 877415602},
               {"siglip-so400m-14-384", 877960498},
               {"laion-vit-h-14-224", 986109441},
               {"laion-vit-bigg-14-224", 2539567105},
               {"dfn-vit-h-14-378", 986714881},
               {"metaclip2-h-14-224", 1858783745},
               {"siglip2-base-16-224", 375187970},
               {"siglip2-large-16-256", 881526786},
               {"siglip2-so400m-14-384", 1136008498},
               {"siglip2-giant-16-384", 1871885426},
               {"tiny", 1021761}};
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    const gh_arch *arch = NULL;
    gh_error err = {0};
    check_ok(gh_arch_find(&err, table[i].name, &arch));
    assert_int_equal(gh_arch_parameters(arch), table[i].parameters);
  }
}

/* LoRA of rank 16 on every linear layer of the vision tower, with their biases, as the authors train it. SigLIP's
 * pooling attention has no LoRA pair at its output, where it would have no effect. */
static void adapted_totals(void **state) {
  (void)state;
  static const struct {
    const char *name;
    int64_t matrices, biases;
    int tensors;
  } table[] = {{"openai-vit-l-14-224", 7106560, 221184, 434},
               {"siglip-so400m-14-224", 8906752 - 36864, 278336, 3 * (27 * 6 + 2) + 1}};
  gh_error err = {0};
  gh_device *device = NULL;
  check_ok(gh_device_open(&err, "auto", &device));
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    const gh_arch *arch = NULL;
    const gh_lora lora = {.rank = 16, .alpha = 16, .biases = GH_BIASES_ADAPTED};
    gh_module m = {.lora = &lora, .storage = GH_F32};
    gh_tensor *pixels = NULL;
    int64_t totals[2] = {0}, side;
    int tensors = 0;
    check_ok(gh_arch_find(&err, table[i].name, &arch));
    side = arch->vision.image;
    check_ok(gh_store_create_unbacked(&err, device, &m.store));
    check_ok(gh_store_add(&err, m.store, "pixels", GH_F32, 4, (int64_t[]){1, 3, side, side}, &pixels));
    check_ok(gh_graph_create(&err, device, &m.graph));
    gh_tensor *out = gh_vision_tower(&m, &arch->vision, pixels, NULL);
    if (gh_graph_failed(m.graph)) fail_msg("%s", gh_graph_error(m.graph)->text);
    assert_int_equal(out->shape[1], arch->vision.projection);
    for (int k = 0; k < gh_store_count(m.store); k++) {
      const gh_tensor *t = gh_store_at(m.store, k);
      if (!t->trainable) continue;
      totals[t->rank == 1] += gh_tensor_elements(t);
      tensors++;
    }
    assert_int_equal(totals[0], table[i].matrices);
    assert_int_equal(totals[1], table[i].biases);
    assert_int_equal(tensors, table[i].tensors);
    gh_graph_free(m.graph);
    gh_store_free(m.store);
  }
  gh_device_close(device);
}

static void invalid_names(void **state) {
  (void)state;
  const gh_arch *arch = NULL;
  gh_error err = {0};
  check_fails(gh_arch_find(&err, "openai-vit-l-14-225", &arch), GH_ERROR_ARGUMENT, "did you mean openai-vit-l-14-224?");
  check_fails(gh_arch_find(&err, "resnet", &arch), GH_ERROR_ARGUMENT, "metaclip-vit-h-14-224");
}

typedef struct gh_comparison {
  gh_safetensors *file;
  size_t seen;
} gh_comparison;

static gh_status compare(gh_error *err, void *user, const char *name, int rank, const int64_t *shape, gh_init init) {
  (void)init;
  gh_comparison *c = user;
  c->seen++;
  return gh_safetensors_expect(err, c->file, name, rank, shape, NULL);
}

/* A model of the fixture's sizes has exactly the fixture's tensors. */
static void layout_is_transformers(void **state) {
  (void)state;
  gh_error err = {0};
  gh_comparison c = {0};
  gh_arch arch = {.name = "fixture"};
  const char *folder = GH_FIXTURES "/probe/tiny/clip";
  check_ok(gh_vision_config_read(&err, folder, &arch.vision));
  check_ok(gh_text_config_read(&err, folder, &arch.text));
  check_ok(gh_safetensors_open(&err, &c.file, folder));
  check_ok(gh_arch_tensors(&err, &arch, compare, &c));
  assert_int_equal(c.seen, gh_safetensors_count(c.file));
  arch.vision.tower.mlp++; /* the comparison detects a difference */
  assert_int_not_equal(gh_arch_tensors(&err, &arch, compare, &c), GH_OK);
  gh_safetensors_close(c.file);
}

static gh_status spread(gh_error *err, void *user, const char *name, int rank, const int64_t *shape, gh_init init) {
  const gh_safetensors *file = user;
  const gh_st_tensor *t = NULL;
  if (gh_safetensors_expect(err, file, name, rank, shape, &t)) return err->status;
  float *values = gh_alloc(err, (size_t)t->elements, sizeof *values);
  if (!values || gh_st_read_f32(err, t, 0, t->elements, values)) return err->status;
  double sum = 0, squares = 0, n = (double)t->elements;
  for (int64_t i = 0; i < t->elements; i++) sum += values[i], squares += (double)values[i] * values[i];
  free(values);
  double mean = sum / n, std = sqrt(squares / n);
  bool constant = init.kind == GH_INIT_CONSTANT;
  double want_mean = constant ? init.value : 0, want_std = fabs(init.value);
  if (init.kind == GH_INIT_UNIFORM) want_std /= sqrt(3);
  double room = constant ? 1e-6 : 5 * want_std / sqrt(n); /* five standard errors */
  if (!(fabs(mean - want_mean) <= room) || !(fabs(std - want_std) <= room))
    return gh_fail(err, GH_ERROR_NUMERIC, "%s: mean %g, spread %g, expected %g, %g", name, mean, std, want_mean,
                   want_std);
  return GH_OK;
}

static void written_as(const char *name) {
  gh_error err = {0};
  const gh_arch *arch = NULL;
  char *folder = check_folder();
  check_ok(gh_arch_find(&err, name, &arch));
  check_ok(gh_arch_write(&err, arch, folder, 7));
  gh_vision_config vision = {0};
  gh_text_config text = {0};
  check_ok(gh_vision_config_read(&err, folder, &vision));
  check_ok(gh_text_config_read(&err, folder, &text));
  assert_memory_equal(&vision, &arch->vision, sizeof vision);
  assert_memory_equal(&text, &arch->text, sizeof text);
  gh_safetensors *file = NULL;
  check_ok(gh_safetensors_open(&err, &file, folder));
  check_ok(gh_arch_tensors(&err, arch, spread, file));
  gh_safetensors_close(file);

  char *path = check_path(folder, "model.safetensors"), *bytes[3] = {0};
  size_t size[3] = {0};
  for (int i = 0; i < 3; i++) {
    check_ok(gh_arch_write(&err, arch, folder, i < 2 ? 7 : 8));
    check_ok(gh_file_read(&err, path, 1 << 30, &bytes[i], &size[i]));
  }
  assert_int_equal(size[0], size[1]);
  assert_memory_equal(bytes[0], bytes[1], size[0]);
  assert_int_equal(size[0], size[2]);
  assert_memory_not_equal(bytes[0], bytes[2], size[0]);
  for (int i = 0; i < 3; i++) free(bytes[i]);

  check_ok(gh_file_remove(&err, path)); /* a foreign config.json alone is reason enough to refuse */
  check_fails(gh_arch_write(&err, arch, folder, 7), GH_ERROR_FILE, "not replaced");
  free(path);
  check_folder_done(folder);
}

static void written_folders(void **state) {
  (void)state;
  written_as("tiny");
  written_as("tiny-siglip");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(published_totals),       cmocka_unit_test(adapted_totals),  cmocka_unit_test(invalid_names),
      cmocka_unit_test(layout_is_transformers), cmocka_unit_test(written_folders),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
