/* One training step of either stage against PyTorch's: every case of tests/fixtures/probe, in both kernel shapes.
 *
 * A tensor passes if the norm of its difference is at most 1e-4 of its own norm, or less if PyTorch's float32 is more
 * accurate: four times its error, but at least 1e-5. So a wrong eps is detected. Integers must be equal. The gradient
 * of a key's bias is zero up to rounding (a softmax ignores a constant added to a row), so it has no scale: that of the
 * query's bias is used. */
#include "support/check.h"

#include "base/file.h"
#include "base/log.h"
#include "io/safetensors.h"
#include "method/probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGEST_BOUND 1e-4
#define LEAST_BOUND   1e-5

static gh_error err;

typedef struct probe_case {
  char name[32], config[64], inputs[64], expected[64];
  int stage;
} probe_case;

typedef struct comparison {
  int bad, compared;
  double worst; /* the largest fraction of its bound that a tensor uses */
  char worst_name[128];
  bool quiet;
} comparison;

static void blame(comparison *c, const char *name, const char *what) {
  c->bad++;
  if (!c->quiet) print_error("  %s: %s\n", name, what);
}

static float *values_of(const gh_st_tensor *t) {
  float *values = malloc((size_t)t->elements * sizeof *values);
  assert_non_null(values);
  check_ok(gh_st_read_f32(&err, t, 0, t->elements, values));
  return values;
}

static double norm(const float *a, const float *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    double d = (double)a[i] - (b ? (double)b[i] : 0);
    sum += d * d;
  }
  return sqrt(sum);
}

static double norm_of(const gh_st_tensor *t) {
  float *values = values_of(t);
  double result = norm(values, NULL, t->elements);
  free(values);
  return result;
}

/* The scale of a tensor's difference: its own norm, or that of the query's bias for a key's bias. */
static double scale_of(const gh_safetensors *want, const gh_st_tensor *t) {
  const char *key = strstr(t->name, "k_proj.bias");
  if (!key) key = strstr(t->name, "k.bias");
  if (!key) return norm_of(t);
  char neighbour[192];
  snprintf(neighbour, sizeof neighbour, "%.*sq%s", (int)(key - t->name), t->name, key + 1);
  const gh_st_tensor *q = gh_safetensors_find(want, neighbour);
  assert_non_null(q);
  return norm_of(q);
}

static double bound_of(const gh_safetensors *want, const gh_st_tensor *t, double scale) {
  char name[192];
  float greatest = 0;
  snprintf(name, sizeof name, "error.%s", t->name);
  const gh_st_tensor *e = gh_safetensors_find(want, name);
  assert_non_null(e);
  check_ok(gh_st_read_f32(&err, e, 0, 1, &greatest));
  double theirs = (double)greatest * sqrt((double)t->elements) / scale;
  return fmin(LARGEST_BOUND, fmax(LEAST_BOUND, 4 * theirs));
}

static void compare_integers(comparison *c, const gh_st_tensor *w, const gh_st_tensor *g) {
  bool same = g->dtype == w->dtype && g->bytes == w->bytes && !memcmp(g->data, w->data, w->bytes);
  if (!same) blame(c, w->name, "differs");
  c->compared++;
}

static void compare_tensor(comparison *c, const gh_safetensors *want, const gh_st_tensor *w, const gh_st_tensor *g) {
  bool same = g && g->rank == w->rank;
  for (int i = 0; same && i < w->rank; i++) same = g->shape[i] == w->shape[i];
  if (!same) {
    blame(c, w->name, g ? "another shape" : "missing");
    return;
  }
  if (w->dtype == GH_ST_I32) {
    compare_integers(c, w, g);
    return;
  }
  float *a = values_of(w), *b = values_of(g);
  double scale = scale_of(want, w), bound = bound_of(want, w, scale), share = norm(a, b, w->elements) / (bound * scale);
  assert_true(scale > 0);
  char text[96];
  snprintf(text, sizeof text, "differs by %.3g of its scale %.3g; %.3g is allowed", share * bound, scale, bound);
  if (!(share <= 1)) blame(c, w->name, text);
  if (!(share <= c->worst)) {
    c->worst = share;
    snprintf(c->worst_name, sizeof c->worst_name, "%s", w->name);
  }
  c->compared++;
  free(a);
  free(b);
}

/* Some cases only keep expected gradients up to a size; a larger gradient is not unexpected. */
static void check_extra(comparison *c, const gh_safetensors *want, const gh_safetensors *got) {
  int64_t largest = 0;
  for (size_t i = 0; i < gh_safetensors_count(want); i++) {
    const gh_st_tensor *t = gh_safetensors_at(want, i);
    if (gh_starts_with(t->name, "grad.")) largest = GH_MAX(largest, t->elements);
  }
  for (size_t i = 0; i < gh_safetensors_count(got); i++) {
    const gh_st_tensor *t = gh_safetensors_at(got, i);
    if (!gh_safetensors_find(want, t->name) && t->elements <= largest) blame(c, t->name, "not expected");
  }
}

static comparison compare(const gh_safetensors *want, const gh_safetensors *got, bool quiet) {
  comparison c = {.quiet = quiet};
  for (size_t i = 0; i < gh_safetensors_count(want); i++) {
    const gh_st_tensor *t = gh_safetensors_at(want, i);
    if (!gh_starts_with(t->name, "error.")) compare_tensor(&c, want, t, gh_safetensors_find(got, t->name));
  }
  check_extra(&c, want, got);
  return c;
}

/* ---- running ---- */

static char *out_folder, *out_path;

static gh_safetensors *run_probe(const probe_case *k) {
  gh_config config;
  gh_safetensors *got = NULL;
  check_ok(gh_config_read(&err, &config, k->config, NULL, 0));
  check_ok(gh_probe(&err, &config, k->stage, k->inputs, out_path));
  gh_config_free(&config);
  check_ok(gh_safetensors_open(&err, &got, out_path));
  return got;
}

static int run_setting(const char *setting, const char *shape) {
  char folder[512], line[256];
  int bad = 0, cases = 0;
  snprintf(folder, sizeof folder, "%s/probe/%s", GH_FIXTURES, setting);
  assert_int_equal(chdir(folder), 0);
  FILE *list = fopen("cases.txt", "r");
  assert_non_null(list);
  while (fgets(line, sizeof line, list)) {
    probe_case k;
    assert_int_equal(sscanf(line, "%31s %d %63s %63s %63s", k.name, &k.stage, k.config, k.inputs, k.expected), 5);
    gh_safetensors *want = NULL, *got = run_probe(&k);
    check_ok(gh_safetensors_open(&err, &want, k.expected));
    comparison c = compare(want, got, false);
    printf("%s/%s, %s: %d tensors, the worst uses %.1f%% of its bound: %s%s\n", setting, k.name, shape, c.compared,
           100 * c.worst, c.worst_name, c.bad ? "  FAILED" : "");
    assert_true(c.compared > 20);
    bad += c.bad;
    cases++;
    gh_safetensors_close(got);
    gh_safetensors_close(want);
  }
  fclose(list);
  assert_true(cases >= 5);
  return bad;
}

static void run_shape(const char *shape) {
  assert_int_equal(setenv("GH_KERNEL_SHAPE", shape, 1), 0);
  static const char *const settings[] = {"tiny", "edges", "siglip", "masked", "masked-siglip", "adapters"};
  int bad = 0;
  for (size_t i = 0; i < GH_COUNT(settings); i++) bad += run_setting(settings[i], shape);
  unsetenv("GH_KERNEL_SHAPE");
  assert_int_equal(bad, 0);
}

#ifndef __SANITIZE_ADDRESS__ /* watches the host's code, the same around the kernels of both shapes */
static void test_cpu_shape(void **state) {
  (void)state;
  if (!check_has_shape("cpu")) return;
  run_shape("cpu");
}
#endif

static void test_gpu_shape(void **state) {
  (void)state;
  run_shape("gpu");
}

/* ---- the comparison itself ---- */

typedef enum plant {
  PLANT_NOTHING,
  PLANT_SCALE,
  PLANT_KEY_BIAS,
  PLANT_NAN,
  PLANT_MISSING,
  PLANT_EXTRA,
  PLANT_SHAPE
} plant;

/* Rewrites the expected gradients with an error in one tensor. */
static void write_planted(const gh_safetensors *want, plant what) {
  gh_safetensors_writer *writer = NULL;
  const char *victim = what == PLANT_KEY_BIAS ? "grad.vision_model.encoder.layers.1.self_attn.k_proj.bias"
                                              : "grad.vision_model.encoder.layers.1.mlp.fc1.lora_B.weight";
  const int64_t one = 1;
  check_ok(gh_safetensors_writer_new(&err, &writer, out_path));
  for (int pass = 0; pass < 2; pass++) {
    for (size_t i = 0; i < gh_safetensors_count(want); i++) {
      const gh_st_tensor *t = gh_safetensors_at(want, i);
      bool hit = !strcmp(t->name, victim);
      if (gh_starts_with(t->name, "error.") || (hit && what == PLANT_MISSING)) continue;
      if (!pass) {
        int64_t shape[GH_ST_MAX_RANK];
        memcpy(shape, t->shape, sizeof shape);
        if (hit && what == PLANT_SHAPE) shape[0] = t->shape[1], shape[1] = t->shape[0];
        check_ok(gh_safetensors_writer_declare(&err, writer, t->name, GH_ST_F32, t->rank, shape));
        continue;
      }
      float *values = values_of(t);
      for (int64_t k = 0; hit && k < t->elements; k++) {
        if (what == PLANT_SCALE) values[k] *= 1.0002f;
        if (what == PLANT_KEY_BIAS) values[k] += 1e-4f;
        if (what == PLANT_NAN && k == 5) values[k] = NAN;
      }
      check_ok(gh_safetensors_writer_write_f32(&err, writer, t->name, values, t->elements));
      free(values);
    }
    const float zero = 0;
    if (what == PLANT_EXTRA && !pass)
      check_ok(gh_safetensors_writer_declare(&err, writer, "grad.extra", GH_ST_F32, 1, &one));
    if (what == PLANT_EXTRA && pass) check_ok(gh_safetensors_writer_write_f32(&err, writer, "grad.extra", &zero, 1));
    if (!pass) check_ok(gh_safetensors_writer_begin(&err, writer));
  }
  check_ok(gh_safetensors_writer_finish(&err, writer));
  gh_safetensors_writer_free(writer);
}

static void test_planted_errors_are_detected(void **state) {
  (void)state;
  gh_safetensors *want = NULL;
  check_ok(gh_safetensors_open(&err, &want, GH_FIXTURES "/probe/tiny/stage2-only.expected.safetensors"));
  for (plant what = PLANT_NOTHING; what <= PLANT_SHAPE; what++) {
    gh_safetensors *got = NULL;
    write_planted(want, what);
    check_ok(gh_safetensors_open(&err, &got, out_path));
    comparison c = compare(want, got, true);
    if (c.bad != (what == PLANT_NOTHING ? 0 : 1)) fail_msg("planted error %d: %d tensors reported", (int)what, c.bad);
    gh_safetensors_close(got);
  }
  gh_safetensors_close(want);
}

/* ---- an autoencoder in bfloat16 ---- */

/* Latents of the expected ones' size, off by what rounding after every layer costs; the denoiser is still float32. */
static void check_narrow_autoencoder(const char *shape) {
  static const char *const keys[] = {"autoencoder_precision=bf16"};
  const probe_case k = {.config = "stage1.json", .inputs = "inputs.safetensors", .stage = 1};
  gh_config config;
  gh_safetensors *got = NULL, *want = NULL;
  setenv("GH_KERNEL_SHAPE", shape, 1);
  assert_int_equal(chdir(GH_FIXTURES "/probe/tiny"), 0);
  check_ok(gh_config_read(&err, &config, k.config, keys, 1));
  check_ok(gh_probe(&err, &config, k.stage, k.inputs, out_path));
  gh_config_free(&config);
  check_ok(gh_safetensors_open(&err, &got, out_path));
  check_ok(gh_safetensors_open(&err, &want, "stage1.expected.safetensors"));
  static const struct {
    const char *name;
    double least, most;
  } bounds[] = {{"latents", 1e-3, 2e-2}, {"prediction", 5e-4, 1e-2}, {"loss", 0, 1e-3}, {"condition", 0, 1e-5}};
  for (size_t i = 0; i < GH_COUNT(bounds); i++) {
    const gh_st_tensor *w = gh_safetensors_find(want, bounds[i].name), *g = gh_safetensors_find(got, bounds[i].name);
    assert_non_null(w);
    assert_non_null(g);
    float *a = values_of(w), *b = values_of(g);
    const double off = norm(a, b, w->elements) / norm(a, NULL, w->elements);
    if (!(off >= bounds[i].least && off <= bounds[i].most))
      fail_msg("%s shape: %s is off by %g", shape, bounds[i].name, off);
    free(a);
    free(b);
  }
  gh_safetensors_close(got);
  gh_safetensors_close(want);
  unsetenv("GH_KERNEL_SHAPE");
}

static void test_narrow_autoencoder(void **state) {
  (void)state;
  if (check_has_shape("cpu")) check_narrow_autoencoder("cpu");
  check_narrow_autoencoder("gpu");
}

/* ---- inputs that do not fit ---- */

static void test_wrong_inputs_are_named(void **state) {
  (void)state;
  assert_int_equal(chdir(GH_FIXTURES "/probe/tiny"), 0);
  gh_config config;
  check_ok(gh_config_read(&err, &config, "stage1.json", NULL, 0));
  check_fails(gh_probe(&err, &config, 1, "../edges/inputs.safetensors", out_path), GH_ERROR_FORMAT, "images");
  check_fails(gh_probe(&err, &config, 1, "denoiser.safetensors", out_path), GH_ERROR_FORMAT, "t");
  check_fails(gh_probe(&err, &config, 1, "absent.safetensors", out_path), GH_ERROR_FILE, "absent.safetensors");
  check_fails(gh_probe(&err, &config, 1, "inputs.safetensors", "absent/out.safetensors"), GH_ERROR_FILE, "absent");
  gh_config_free(&config);
}

static void keep_warning(void *user, gh_log_level level, const char *text) {
  if (level == GH_LOG_WARNING) snprintf(user, 256, "%s", text);
}

/* Masks belong to stage 2, whose step uses them all. */
static void test_unused_inputs_are_named(void **state) {
  (void)state;
  static const char *const configs[] = {"stage1.json", "stage2-dropout.json"};
  assert_int_equal(chdir(GH_FIXTURES "/probe/tiny"), 0);
  for (int i = 0; i < 2; i++) {
    gh_config config;
    char warned[256] = "";
    gh_log_set_writer(keep_warning, warned);
    check_ok(gh_config_read(&err, &config, configs[i], NULL, 0));
    check_ok(gh_probe(&err, &config, i + 1, "inputs-dropout.safetensors", out_path));
    gh_config_free(&config);
    gh_log_set_writer(NULL, NULL);
    assert_int_equal(strstr(warned, "\"dropout_mask.") && strstr(warned, "is not used (5 of 9 tensors)"), !i);
  }
}

/* Drawn tokens must be given; missing ones are named. */
static void test_wrong_tokens_are_named(void **state) {
  (void)state;
  assert_int_equal(chdir(GH_FIXTURES "/probe/tiny"), 0);
  gh_config config;
  const char *const more[] = {"condition.local_tokens=31.2"}; /* 19.97 of 64: 20, not 19 */
  check_ok(gh_config_read(&err, &config, "stage2-some.json", NULL, 0));
  check_fails(gh_probe(&err, &config, 2, "inputs.safetensors", out_path), GH_ERROR_FORMAT, "local_index (2, 19)");
  gh_config_free(&config);
  check_ok(gh_config_read(&err, &config, "stage2-some.json", more, 1));
  check_fails(gh_probe(&err, &config, 2, "inputs-local.safetensors", out_path), GH_ERROR_FORMAT, "local_index (2, 20)");
  gh_config_free(&config);
}

static int make_out(void **state) {
  (void)state;
  out_folder = check_folder();
  out_path = check_path(out_folder, "out.safetensors");
  return 0;
}

static int remove_out(void **state) {
  (void)state;
  free(out_path);
  check_folder_done(out_folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_planted_errors_are_detected),
      cmocka_unit_test(test_wrong_inputs_are_named),
      cmocka_unit_test(test_unused_inputs_are_named),
      cmocka_unit_test(test_wrong_tokens_are_named),
#ifndef __SANITIZE_ADDRESS__
      cmocka_unit_test(test_cpu_shape),
#endif
      cmocka_unit_test(test_gpu_shape),
      cmocka_unit_test(test_narrow_autoencoder),
  };
  return cmocka_run_group_tests(tests, make_out, remove_out);
}
