/* Sampling from given noise and conditions, in both time conventions, against the reference's twenty steps; then
 * `genhance reconstruct` on a run's folder. */
#include "support/compare.h"
#include "support/run_folder.h"
#include "support/scratch.h"

#include "base/json.h"
#include "method/flow_sampler.h"
#include "method/reconstruct.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE GH_FIXTURES "/probe/tiny"
#define HERE  GH_FIXTURES "/reconstruct"

/* Four times PyTorch's own error in float32: only the order of summation may differ. */
#define ROOM 4

static gh_safetensors *open_file(const char *path) {
  gh_error err = {0};
  gh_safetensors *file = NULL;
  check_ok(gh_safetensors_open(&err, &file, path));
  return file;
}

/* The sizes are those of probe/tiny's configuration. */
static gh_sampler_spec tiny(const gh_safetensors *denoiser, const gh_safetensors *autoencoder) {
  gh_error err = {0};
  gh_sampler_spec spec = {.device = scratch_device,
                          .denoiser = denoiser,
                          .autoencoder = autoencoder,
                          .batch = 2,
                          .width = 40,
                          .steps = GH_SAMPLER_STEPS};
  spec.tokens = 16;
  spec.flux = (gh_flux_config){.double_blocks = 2,
                               .single_blocks = 2,
                               .hidden = 32,
                               .heads = 2,
                               .mlp_ratio = 4,
                               .rope_axes = {4, 6, 6},
                               .channels = 64,
                               .context_width = 72,
                               .vector_width = 56,
                               .guidance = 4};
  check_ok(gh_vae_config_read(&err, autoencoder, &spec.vae));
  return spec;
}

static void schedule_is_fluxs(void **state) {
  (void)state;
  gh_safetensors *want = open_file(HERE "/noise_at_one.expected.safetensors");
  double levels[GH_SAMPLER_STEPS + 1];
  float rounded[GH_SAMPLER_STEPS + 1];
  gh_sampler_schedule(levels, GH_SAMPLER_STEPS, 16);
  for (int i = 0; i <= GH_SAMPLER_STEPS; i++) rounded[i] = (float)levels[i];
  int64_t n = 0;
  float *expected = compare_load(want, "schedule", &n);
  assert_int_equal(n, GH_SAMPLER_STEPS + 1);
  compare_values("schedule", rounded, expected, n, 1e-7);
  free(expected);
  gh_safetensors_close(want);
}

static void sampled(void **state) {
  const char *convention = *state;
  gh_error err = {0};
  char path[256];
  snprintf(path, sizeof path, HERE "/%s.expected.safetensors", convention);
  gh_safetensors *denoiser = open_file(PROBE "/denoiser.safetensors"), *ae = open_file(PROBE "/ae.safetensors");
  gh_safetensors *inputs = open_file(HERE "/inputs.safetensors"), *want = open_file(path);
  gh_sampler_spec spec = tiny(denoiser, ae);
  gh_sampler s = {0};
  spec.noise_at_one = convention[0] == 'n';
  check_ok(gh_sampler_open(&err, &s, &spec));
  int64_t conditions = 0, tokens = 0, n = 0, pixels = 0;
  float *condition = compare_load(inputs, "condition", &conditions), *noise = compare_load(inputs, "noise", &tokens);
  float *latents = compare_load(want, "latents", &n), *image = compare_load(want, "image", &pixels);
  assert_int_equal(conditions, 2 * 40);
  assert_int_equal(tokens, n);
  float *got_latents = gh_alloc(&err, (size_t)n, sizeof(float)),
        *got_image = gh_alloc(&err, (size_t)pixels, sizeof(float));
  for (int again = 0; again < 2; again++) { /* a second run is independent of the first */
    check_ok(gh_sampler_run(&err, &s, got_latents, got_image, condition, noise, NULL, NULL));
    compare_values("latents", got_latents, latents, n, ROOM * (double)compare_number(want, "error.latents"));
    compare_values("image", got_image, image, pixels, ROOM * (double)compare_number(want, "error.image"));
  }
  gh_sampler_close(&s);
  float *lists[] = {condition, noise, latents, image, got_latents, got_image};
  for (size_t i = 0; i < GH_COUNT(lists); i++) free(lists[i]);
  gh_safetensors *files[] = {denoiser, ae, inputs, want};
  for (size_t i = 0; i < GH_COUNT(files); i++) gh_safetensors_close(files[i]);
}

static void mismatched_sizes(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors *denoiser = open_file(PROBE "/denoiser.safetensors"), *ae = open_file(PROBE "/ae.safetensors");
  gh_sampler_spec spec = tiny(denoiser, ae);
  gh_sampler s = {0};
  spec.tokens = 15;
  check_fails(gh_sampler_open(&err, &s, &spec), GH_ERROR_CONFIG, "15 tokens");
  gh_sampler_close(&s);
  spec.tokens = 16;
  spec.width = 41;
  check_fails(gh_sampler_open(&err, &s, &spec), GH_ERROR_FORMAT, "project_clip.0.weight");
  gh_sampler_close(&s);
  gh_safetensors_close(denoiser);
  gh_safetensors_close(ae);
}

/* ---- the command ---- */

/* Runs the command on the folder's run and returns the image. */
static gh_image grid(const char *seed, const char *limit) {
  gh_error err = {0};
  gh_image image = {0};
  char *run = check_path(scratch, "run"), *out = check_path(scratch, "grid.png"),
       *json = check_path(scratch, "grid.json");
  check_ok(compare_run(&err, "reconstruct", "--run", run, "--images", GH_FIXTURES "/encode/images", "--out", out,
                       "--json", json, "--seed", seed, "--limit", limit, NULL));
  check_ok(gh_image_read(&err, &image, out));
  free(run);
  free(out);
  free(json);
  return image;
}

/* Mean difference in grey levels over a square's pixels in two images of one size. */
static double distance(const gh_image *a, int x, int y, const gh_image *b, int bx, int by, int side) {
  double sum = 0;
  for (int row = 0; row < side; row++)
    for (int i = 0; i < 3 * side; i++)
      sum += abs(a->pixels[((y + row) * a->width + x) * 3 + i] - b->pixels[((by + row) * b->width + bx) * 3 + i]);
  return sum / (3.0 * side * side);
}

static void command(void **state) {
  (void)state;
  gh_error err = {0};
  gh_image exact = {0};
  char *run = check_path(scratch, "run"), *out = check_path(scratch, "grid.png");
  run_folder_config(run, PROBE, "stage2-only.json");
  check_fails(
      compare_run(&err, "reconstruct", "--run", run, "--images", GH_FIXTURES "/encode/images", "--out", out, NULL),
      GH_ERROR_FILE, "no snapshot");
  run_folder_copy(run, PROBE "/denoiser.safetensors", "snapshots/stage1-00000010", "denoiser.safetensors");
  check_fails(compare_run(&err, "reconstruct", "--run", run, "--images", GH_FIXTURES "/encode/images", "--out", out,
                          "--temperature", "0.5", NULL),
              GH_ERROR_UNSUPPORTED, "the continuous denoiser draws without a temperature");
  check_ok(gh_image_read(&err, &exact, GH_FIXTURES "/encode/images/Exact.png"));
  gh_image one = grid("0", "1"), three = grid("0", "3"), again = grid("0", "3"), other = grid("1", "3");
  int side = 64, gap = (three.width - 2 * side) / 3;
  assert_int_equal(three.width, 2 * side + 3 * gap);
  assert_int_equal(three.height, 3 * side + 4 * gap);
  assert_int_equal(one.height, side + 2 * gap);
  /* Left: the first image. Right: identical for the same seed, however many images there are, and different from the
   * left. */
  int right = side + 2 * gap;
  assert_true(distance(&three, gap, gap, &exact, 0, 0, side) == 0);
  assert_true(distance(&three, right, gap, &again, right, gap, side) == 0);
  assert_true(distance(&three, right, gap, &one, right, gap, side) < 0.05);
  assert_true(distance(&three, right, gap, &other, right, gap, side) > 1);
  assert_true(distance(&three, right, gap, &exact, 0, 0, side) > 1);
  /* A later snapshot of stage 2 contributes its adapter; stage 1's denoiser stays. */
  run_folder_copy(run, PROBE "/adapter/adapter_config.json", "snapshots/stage2-00000005", "adapter_config.json");
  run_folder_copy(run, PROBE "/adapter/adapter_model.safetensors", "snapshots/stage2-00000005",
                  "adapter_model.safetensors");
  gh_image adapted = grid("0", "3");
  assert_true(distance(&adapted, gap, gap, &exact, 0, 0, side) == 0);
  assert_true(distance(&adapted, right, gap, &three, right, gap, side) > 0.1);
  gh_json *report = NULL;
  char *json = check_path(scratch, "grid.json");
  int64_t update = 0;
  double psnr = 0;
  check_ok(gh_json_read_file(&err, &report, json, GH_JSON_MAX_BYTES));
  check_ok(gh_json_get_int(&err, report, "update", &update));
  check_ok(gh_json_get_double(&err, report, "images[2].psnr", &psnr));
  assert_int_equal(update, 5);
  assert_int_equal(gh_json_count(gh_json_at(report, "images")), 3);
  assert_true(psnr > 1 && psnr < 40);
  gh_json_free(report);
  gh_image *images[] = {&exact, &one, &three, &again, &other, &adapted};
  for (size_t i = 0; i < GH_COUNT(images); i++) gh_image_free(images[i]);
  free(json);
  free(run);
  free(out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(schedule_is_fluxs),
      cmocka_unit_test_prestate(sampled, "noise_at_one"),
      cmocka_unit_test_prestate(sampled, "data_at_one"),
      cmocka_unit_test(mismatched_sizes),
      cmocka_unit_test(command),
  };
  return cmocka_run_group_tests(tests, scratch_begin_with_device, scratch_end);
}
