/* The search for providers: its space, what it keeps and what it does not, results from elsewhere, hostile files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/gemm_internal.h"
#include "backend/chooser/tune.h"
#include "backend/registry.h"
#include "base/file.h"
#include "base/log.h"
#include "support/gemm_problem.h"
#include "support/on_device.h"

static const char *folder;
static char exported[256], changed[256];

/* ---- the space ---- */

static void compute(gemm_problem *p, const char *provider) {
  OK(gh_choice_force(&err, p->device, &gh_gemm_kind, provider));
  gemm_problem_write(p, 2);
  gemm_problem_compute(p);
}

static const char *row_of_family(const char *family, const gh_gemm_desc *g, const gh_device *d) {
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++)
    if (!strcmp(p->base.family, family) && gh_gemm_supports(p, g, d)) return p->base.name;
  return NULL;
}

/* Each variant gives the bits of a row of the table. `step`: only every so many, where compiling one takes long. */
static int compare_variants(gh_device *d, const gh_gemm_desc *g, int step) {
  int compared = 0;
  gemm_problem p;
  gemm_problem_make(&p, d, g);
  const size_t bytes = (size_t)p.elements[2] * sizeof *p.got;
  float *want = malloc(bytes);
  const char *row = NULL, *family = "";
  assert_non_null(want);
  for (int i = 0, seen = 0; gh_gemm_searched(i); i++) {
    const gh_provider *variant = gh_gemm_searched(i);
    if (!gh_gemm_supports((const gh_gemm_provider *)variant, g, d) || seen++ % step) continue;
    if (strcmp(family, variant->family)) {
      family = variant->family;
      row = row_of_family(family, g, d);
      assert_non_null(row);
      compute(&p, row);
      memcpy(want, p.got, bytes);
    }
    compute(&p, variant->name);
    if (memcmp(p.got, want, bytes)) fail_msg("%s and %s give different bits", variant->name, row);
    compared++;
  }
  free(want);
  gemm_problem_free(&p);
  return compared;
}

static void test_variants_have_the_bits_of_their_family(void **state) {
  (void)state;
  gh_gemm_desc g = gemm_desc_of(67, 1100, 2100, 2, 1), mixed = gemm_desc_of(65, 97, 700, 2, 0);
  gh_device *cpu = open_as("/cpu"), *gpu = open_as("/gpu");
  if (cpu) assert_true(compare_variants(cpu, &g, 1) >= 10);
  mixed.dtype = GH_BF16;
  if (cpu) assert_true(compare_variants(cpu, &mixed, 1) >= 10);
  mixed.dtype = GH_F32;
  if (gpu) assert_true(compare_variants(gpu, &mixed, 4) >= 1);
  gh_device_close(cpu);
  gh_device_close(gpu);
}

static void test_names_are_distinct(void **state) {
  (void)state;
  int count = 0;
  for (; gh_gemm_searched(count); count++) {
    const char *name = gh_gemm_searched(count)->name;
    assert_true(gh_starts_with(name, gh_gemm_searched(count)->family));
    for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++) assert_string_not_equal(p->base.name, name);
    for (int i = 0; i < count; i++) assert_string_not_equal(gh_gemm_searched(i)->name, name);
  }
  int listed = 0;
  while (gh_gemm_providers[listed].base.name) listed++;
  assert_in_range(count, 20, GH_MAX_PROVIDERS - listed - 4); /* with room for what tests plant */
}

/* ---- a search ---- */

static gh_gemm_desc square(int64_t n) {
  return (gh_gemm_desc){
      .m = n, .n = n, .k = n, .trans_b = true, .lda = n, .ldb = n, .ldc = n, .batch = 1, .alpha = 1, .dtype = GH_F32};
}

/* Faster than any product: it fills C. */
static bool always(const gh_gemm_desc *g, const gh_device *d) { return g && d; }
static gh_status bind_fill(gh_error *e, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                           const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  (void)provider, (void)a, (void)b;
  return d->backend->bind_fill(e, d, c, 0, g->m * g->n * 4, 0, out);
}
static const gh_gemm_provider wrong = {{"own-wrong", "own-wrong"}, always, bind_fill, NULL, {0}, 0, 0, false};

/* Searches two products on a fresh device, where `wrong` is planted; `how` gets what became of the larger one. */
static gh_tuned_counts search(const gh_tune_options *options, gh_tune_shape *larger, gh_status wanted) {
  gh_device *d = open_as("");
  gh_tune *t = NULL;
  size_t count;
  const gh_gemm_desc small = square(110), large = square(130), tiny = square(20);
  OK(gh_choice_plant(&err, d, &gh_gemm_kind, &wrong.base));
  OK(gh_tune_begin(&err, &t, d));
  OK(gh_gemm_choose(&err, d, &small));
  OK(gh_gemm_choose(&err, d, &large));
  OK(gh_gemm_choose(&err, d, &large));
  OK(gh_gemm_choose(&err, d, &tiny)); /* is not timed, so there is nothing to search */
  assert_int_equal(gh_choice_count(d, &gh_gemm_kind), 0);
  gh_log_set_level(GH_LOG_QUIET);
  const gh_status status = gh_tune_run(&err, t, options);
  gh_log_set_level(GH_LOG_INFO);
  if (status != wanted) fail_msg("status %d: %s", (int)status, err.text);
  const gh_tune_shape *shapes = gh_tune_shapes(t, &count);
  assert_int_equal(count, 2);
  if (!status) { /* else they may not be sorted */
    assert_string_equal(shapes[0].shape, "m=130 n=130 k=130 nt batch=1 beta=0 f32");
    assert_int_equal(shapes[0].launches, 2);
  }
  for (size_t i = 0; i < count; i++) assert_string_not_equal(shapes[i].provider, "own-wrong");
  *larger = shapes[0];
  const gh_tuned_counts counts = *gh_tune_imported(t);
  gh_tune_free(t);
  gh_device_close(d);
  return counts;
}

/* Forgets all results; compiled kernels stay. */
static void start_anew(void) {
  gh_strings files = {0};
  OK(gh_folder_list(&err, &files, folder, false));
  for (size_t i = 0; i < files.count; i++) {
    char *path = gh_ends_with(files.items[i], ".json") ? gh_path_join(&err, folder, files.items[i]) : NULL;
    if (path) OK(gh_file_remove(&err, path));
    free(path);
  }
  gh_strings_free(&files);
}

/* What a run on a fresh device uses. */
static void assert_run_uses(const char *provider) {
  gh_device *d = open_as("");
  const gh_gemm_desc g = square(130);
  const char *key, *chosen;
  OK(gh_gemm_choose(&err, d, &g));
  assert_int_equal(gh_choice_count(d, &gh_gemm_kind), 1);
  gh_choice_at(d, &gh_gemm_kind, 0, &key, &chosen);
  assert_string_equal(chosen, provider);
  gh_device_close(d);
}

static void test_what_is_found_is_kept(void **state) {
  (void)state;
  gh_tune_shape first, again;
  start_anew();
  search(&(gh_tune_options){.minutes = 1e-9}, &first, GH_OK);
  assert_int_equal(first.how, GH_TUNE_LEFT);
  search(&(gh_tune_options){.export = exported}, &first, GH_OK);
  assert_int_equal(first.how, GH_TUNE_SEARCHED);
  assert_true(first.tried > 4);
  assert_true(first.seconds > 0 && first.untuned >= first.seconds * 0.999);
  assert_run_uses(first.provider);
  search(&(gh_tune_options){0}, &again, GH_OK);
  assert_int_equal(again.how, GH_TUNE_KNOWN);
  assert_string_equal(again.provider, first.provider);
}

/* A signal ends it with nothing half done; what was found before stays. */
static void test_a_stopped_search_goes_on(void **state) {
  (void)state;
  gh_tune_shape shape;
  start_anew();
  gh_stop_request(15);
  search(&(gh_tune_options){0}, &shape, GH_ERROR_STOPPED);
  gh_stop_request(0);
  assert_int_equal(shape.how, GH_TUNE_LEFT);
  search(&(gh_tune_options){0}, &shape, GH_OK);
  assert_int_equal(shape.how, GH_TUNE_SEARCHED);
}

static void test_a_forced_provider_is_refused(void **state) {
  (void)state;
  setenv("GH_GEMM", device->info.shape == GH_SHAPE_CPU ? "own-cpu nb=256 kc=512" : "own-gpu work=4", 1);
  gh_device *d = open_as("");
  gh_tune *t = NULL;
  assert_int_equal(gh_tune_begin(&err, &t, d), GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, "GH_GEMM forces the provider own-"));
  gh_tune_free(t);
  gh_device_close(d);
  unsetenv("GH_GEMM");
}

/* ---- results from elsewhere ---- */

/* Writes the exported file with every `from` after the first `after` replaced by `to`. */
static void write_changed(const char *after, const char *from, const char *to) {
  char *bytes, *at;
  size_t size, used;
  OK(gh_file_read(&err, exported, GH_TUNED_MAX_BYTES, &bytes, &size));
  char *out = gh_alloc(&err, size + 1000 * (strlen(to) + 1), 1);
  assert_non_null(out);
  at = strstr(bytes, after);
  assert_non_null(at);
  memcpy(out, bytes, used = (size_t)(at - bytes));
  int count = 0;
  for (char *next; (next = strstr(at, from)) && count < 1000; at = next + strlen(from), count++) {
    memcpy(out + used, at, (size_t)(next - at));
    used += (size_t)(next - at);
    memcpy(out + used, to, strlen(to));
    used += strlen(to);
  }
  assert_true(count > 0);
  memcpy(out + used, at, strlen(at));
  OK(gh_file_write(&err, changed, out, used + strlen(at)));
  free(out);
  free(bytes);
}

static void key_of_device(char out[GH_CACHE_KEY_SIZE]) { gh_choice_device_key(device, out); }

static const char other_hash[] = "00112233445566778899aabbccddeeff";

static void test_results_of_the_same_device_are_checked(void **state) {
  (void)state;
  gh_tune_shape first, shape;
  start_anew();
  search(&(gh_tune_options){.export = exported}, &first, GH_OK);

  start_anew();
  gh_tuned_counts counts = search(&(gh_tune_options){.import = exported}, &shape, GH_OK);
  assert_int_equal(counts.own, 2);
  assert_int_equal(shape.how, GH_TUNE_CHECKED);
  assert_string_equal(shape.provider, first.provider);
  assert_run_uses(first.provider);
  counts = search(&(gh_tune_options){.import = exported}, &shape, GH_OK);
  assert_int_equal(counts.known, 2);
  assert_int_equal(shape.how, GH_TUNE_KNOWN);

  char from[GH_CHOICE_KEY + 32]; /* a file that says that the wrong one is the fastest */
  snprintf(from, sizeof from, "\"provider\": \"%s\"", first.provider);
  write_changed("\"m=130", from, "\"provider\": \"own-wrong\"");
  start_anew();
  counts = search(&(gh_tune_options){.import = changed}, &shape, GH_OK);
  assert_true(counts.own >= 1);
  assert_int_equal(shape.how, GH_TUNE_SEARCHED);
}

static void test_results_of_others_are_counted(void **state) {
  (void)state;
  gh_tune_shape first, shape;
  char own[GH_CACHE_KEY_SIZE], text[96];
  start_anew();
  search(&(gh_tune_options){.export = exported}, &first, GH_OK);

  key_of_device(own);
  write_changed("\"devices\"", own, other_hash);
  start_anew();
  gh_tuned_counts counts = search(&(gh_tune_options){.import = changed, .minutes = 1e-9}, &shape, GH_OK);
  assert_int_equal(counts.others, 2);
  assert_int_equal(counts.own, 0);
  assert_int_equal(shape.how, GH_TUNE_LEFT);
  search(&(gh_tune_options){0}, &shape, GH_OK);
  assert_int_equal(shape.how, GH_TUNE_SEARCHED);

  start_anew();
  write_changed("\"devices\"", "\"kernels\": \"", "\"kernels\": \"00112233445566778899aabbccddeeff\", \"were\": \"");
  counts = search(&(gh_tune_options){.import = changed, .minutes = 1e-9}, &shape, GH_OK);
  assert_int_equal(counts.other_kernels, 2);
  assert_int_equal(counts.own + counts.others, 0);

  snprintf(text, sizeof text, "\"provider\": \"own-unheard-of\", \"was\": \"");
  write_changed("\"devices\"", "\"provider\": \"", text);
  start_anew();
  counts = search(&(gh_tune_options){.import = changed, .minutes = 1e-9}, &shape, GH_OK);
  assert_int_equal(counts.unknown, 2);
  write_changed("\"devices\"", "\"gemm\": {", "\"of the future\": {");
  counts = search(&(gh_tune_options){.import = changed, .minutes = 1e-9}, &shape, GH_OK);
  assert_int_equal(counts.unknown, 2);
}

/* A start is tried beside all that a run tries, and first. */
static void test_a_start_is_tried(void **state) {
  (void)state;
  gh_device *d = open_as("");
  gh_choice_state *s = gh_choice_state_get(&err, d, &gh_gemm_kind);
  const gh_gemm_desc g = square(130);
  gh_trial_found without, with;
  int index = 0;
  assert_non_null(s);
  while (!gh_gemm_supports((const gh_gemm_provider *)gh_gemm_searched(index), &g, d)) index++;
  OK(gh_trial_search(&err, d, s, &g, "a test", NULL, false, 1e300, &without));
  OK(gh_trial_search(&err, d, s, &g, "a test", gh_gemm_searched(index), false, 1e300, &with));
  assert_true(with.whole && without.whole && with.provider && without.provider);
  assert_int_equal(with.tried, without.tried + 1);
  OK(gh_trial_search(&err, d, s, &g, "a test", gh_gemm_searched(index), false, 0, &with));
  assert_int_equal(with.tried, 1); /* even without time */
  assert_false(with.whole);
  assert_null(with.provider);
  gh_device_close(d);
}

static void test_the_nearest_device_is_found(void **state) {
  (void)state;
  gh_tune_shape first;
  char own[GH_CACHE_KEY_SIZE];
  start_anew();
  search(&(gh_tune_options){.export = exported}, &first, GH_OK);
  key_of_device(own);
  gh_device *d = open_as("");
  gh_choice_state *s = gh_choice_state_get(&err, d, &gh_gemm_kind);
  gh_json *document = NULL, *from = NULL;
  gh_tuned_counts counts = {0};
  gh_choice_state *const states[] = {s, NULL};
  assert_non_null(s);
  OK(gh_tuned_read(&err, &document, exported));
  assert_null(gh_tuned_nearest(document, d, s)); /* it knows only this device */

  write_changed("\"devices\"", own, other_hash);
  OK(gh_tuned_read(&err, &from, changed));
  gh_log_set_level(GH_LOG_QUIET);
  OK(gh_tuned_merge(&err, document, from, changed, d, states, &counts));
  gh_json_free(from);
  assert_string_equal(gh_tuned_nearest(document, d, s), other_hash);

  static const char farther[] = "ffeeddccbbaa99887766554433221100"; /* of another vendor, and much larger */
  write_changed("\"devices\"", "\"compute_units\": ", "\"compute_units\": 100");
  char *bytes;
  size_t size;
  OK(gh_file_read(&err, changed, GH_TUNED_MAX_BYTES, &bytes, &size));
  for (char *at = bytes; (at = strstr(at, own)); at++) memcpy(at, farther, sizeof farther - 1);
  OK(gh_tuned_parse(&err, &from, "farther", bytes, size));
  OK(gh_tuned_merge(&err, document, from, "farther", d, states, &counts));
  gh_log_set_level(GH_LOG_INFO);
  assert_string_equal(gh_tuned_nearest(document, d, s), other_hash);
  assert_int_equal(counts.others, 4);
  free(bytes);
  gh_json_free(from);
  gh_json_free(document);
  gh_device_close(d);
}

/* ---- hostile files ---- */

static void test_hostile_files_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *from, *to, *says;
  } cases[] = {{"\"version\": 1", "\"version\": 2", "version 2"},
               {"genhance tuning results", "something", "its format"},
               {"\"devices\": {", "\"devices\": 3, \"more\": {", "devices: expected an object"},
               {"\"seconds\": ", "\"seconds\": -", "a negative time"},
               {"\"seconds\": ", "\"seconds\": null, \"s\": ", "seconds"},
               {"\"kernels\": \"", "\"kernels\": \"x", "kernels is not a hash"},
               {"\"space\": \"", "\"space\": \"../", "space is not a hash"},
               {"\"provider\": \"", "\"provider\": \"\\u0007", "provider is not a name"},
               {"\"m=130", "\"m=130\\n", "is not a shape"},
               {"\"compute_units\": ", "\"compute_units\": -", "compute_units is negative"},
               {"\"vector_lanes\": ", "\"vector_lanes\": 0.5, \"v\": ", "vector_lanes"},
               {"\"choices\": {", "\"choices\": [], \"c\": {", "choices: expected an object"},
               {"\"results\": {", "\"results\": \"\", \"r\": {", "results: expected an object"},
               {"\"driver\": \"", "\"driver\": 1, \"d\": \"", "driver"}};
  gh_tune_shape shape;
  start_anew();
  search(&(gh_tune_options){.export = exported}, &shape, GH_OK);
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_json *document;
    write_changed("{", cases[i].from, cases[i].to);
    assert_int_equal(gh_tuned_read(&err, &document, changed), GH_ERROR_FORMAT);
    assert_null(document);
    if (!strstr(err.text, cases[i].says) || !strstr(err.text, changed))
      fail_msg("case %d: \"%s\" is not in: %s", (int)i, cases[i].says, err.text);
  }
  search(&(gh_tune_options){.import = changed}, &shape, GH_ERROR_FORMAT);
  search(&(gh_tune_options){0}, &shape, GH_OK); /* and nothing of it was kept */
  assert_int_equal(shape.how, GH_TUNE_KNOWN);
}

int main(void) {
  folder = own_cache();
  snprintf(exported, sizeof exported, "%s-exported.json", folder);
  snprintf(changed, sizeof changed, "%s-changed.json", folder);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names_are_distinct),
      cmocka_unit_test(test_variants_have_the_bits_of_their_family),
      cmocka_unit_test(test_what_is_found_is_kept),
      cmocka_unit_test(test_a_stopped_search_goes_on),
      cmocka_unit_test(test_a_forced_provider_is_refused),
      cmocka_unit_test(test_results_of_the_same_device_are_checked),
      cmocka_unit_test(test_results_of_others_are_counted),
      cmocka_unit_test(test_a_start_is_tried),
      cmocka_unit_test(test_the_nearest_device_is_found),
      cmocka_unit_test(test_hostile_files_are_refused),
  };
  const int failures = cmocka_run_group_tests(tests, open_device, close_device);
  gh_file_remove(&err, exported);
  gh_file_remove(&err, changed);
  remove_own_cache();
  return failures;
}
