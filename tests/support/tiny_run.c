#include "support/tiny_run.h"
#include "support/check.h"
#include "support/compare.h"

#include "base/file.h"
#include "base/json.h"
#include "config/run.h"
#include "io/png_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TINY GH_FIXTURES "/probe/tiny"

static gh_error err;

#define SIDE 72

void tiny_pictures(const char *folder) {
  check_ok(gh_folder_make(&err, folder));
  for (int k = 0; k < TINY_PICTURES; k++) {
    gh_image image;
    char name[32];
    uint64_t state = (uint64_t)k + 1;
    check_ok(gh_image_new(&err, &image, SIDE, SIDE));
    for (int y = 0; y < SIDE; y++)
      for (int x = 0; x < SIDE; x++)
        for (int c = 0; c < 3; c++)
          image.pixels[(y * SIDE + x) * 3 + c] =
              (uint8_t)(128 + 90 * sin(0.1 * (k + 1) * (x + c) + 0.07 * y * (c + 1)) +
                        (double)(check_random(&state) % 32));
    snprintf(name, sizeof name, "%d.png", k);
    char *path = check_path(folder, name);
    check_ok(gh_png_write(&err, path, &image));
    gh_image_free(&image);
    free(path);
  }
  char *broken = check_path(folder, "broken.jpg");
  check_write(broken, "\xff\xd8 no picture", 13);
  free(broken);
}

void tiny_config(gh_config *config, const char *pictures, const char *output, const char *const *overrides) {
  char text[2048];
  size_t count = 0;
  while (overrides && overrides[count]) count++;
  int size =
      snprintf(text, sizeof text,
               "{\"version\":1,\"clip\":\"%s/clip\",\"autoencoder\":\"%s/ae.safetensors\",\"denoiser\":{\"hidden\":32,"
               "\"double_blocks\":2,\"single_blocks\":2,\"heads\":2,\"rope_axes\":[4,6,6],\"context_width\":72,"
               "\"vector_width\":56,\"weights\":\"%s/denoiser.safetensors\"},\"data\":{\"images\":[\"%s\"],"
               "\"workers\":1},\"stage1\":{\"steps\":2,\"batch\":2,\"micro_batch\":2,\"optimizer\":{\"lr\":0.001}},"
               "\"stage2\":{\"steps\":2,\"batch\":2,\"micro_batch\":2,\"optimizer\":{\"lr\":0.01},\"lora\":{"
               "\"rank\":4,\"alpha\":4}},\"output\":\"%s\"}",
               TINY, TINY, TINY, pictures, output);
  assert_true(size > 0 && (size_t)size < sizeof text);
  check_ok(gh_config_parse(&err, config, "tiny", text, (size_t)size, overrides, count));
}

void tiny_train(tiny_run *run, const char *parent, const char *name, const char *const *overrides) {
  gh_config config;
  gh_stage_report reports[2];
  const gh_train_options options = {.quiet = true};
  char *pictures = check_path(parent, "pictures"), *output = check_path(parent, name);
  tiny_config(&config, pictures, output, overrides);
  gh_status status = gh_train(&err, &config, &options, reports);
  if (status) fail_msg("%s: %s", name, err.text);
  tiny_run_read(run, output);
  gh_config_free(&config);
  free(pictures);
  free(output);
}

/* ---- reading ---- */

static void read_line(tiny_run *run, const char *line, size_t size) {
  gh_json *row = NULL;
  int64_t stage = 0, update = 0;
  check_ok(gh_json_parse(&err, &row, "metrics.jsonl", line, size, size + 1));
  check_ok(gh_json_get_int(&err, row, "stage", &stage));
  check_ok(gh_json_get_int(&err, row, "update", &update));
  tiny_stage *s = &run->stage[stage - 1];
  int i = s->updates++;
  assert_true(i < TINY_UPDATES && update == s->updates);
  check_ok(gh_json_get_double(&err, row, "loss", &s->loss[i]));
  check_ok(gh_json_get_double(&err, row, "grad_norm", &s->norm[i]));
  check_ok(gh_json_get_double(&err, row, "lr", &s->rate[i]));
  gh_json_free(row);
}

static gh_safetensors *open_part(const char *run, const char *snapshot, const char *name) {
  gh_safetensors *file = NULL;
  char *path = gh_format(&err, "%s/snapshots/%s/%s", run, snapshot, name);
  if (gh_path_exists(path)) check_ok(gh_safetensors_open(&err, &file, path));
  free(path);
  return file;
}

void tiny_run_read(tiny_run *run, const char *folder) {
  *run = (tiny_run){.folder = gh_strdup(&err, folder)};
  char *metrics = check_path(folder, "metrics.jsonl"), *snapshots = check_path(folder, "snapshots"), *text = NULL;
  gh_strings names = {0};
  size_t size = 0;
  check_ok(gh_file_read(&err, metrics, 1 << 20, &text, &size));
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) read_line(run, line, (size_t)(end - line));
  check_ok(gh_run_list(&err, snapshots, &names));
  for (size_t i = 0; i < names.count; i++) { /* oldest first */
    int stage = 0;
    int64_t update = 0;
    assert_true(gh_run_parse_name(names.items[i], &stage, &update));
    tiny_stage *s = &run->stage[stage - 1];
    gh_safetensors_close(s->denoiser);
    gh_safetensors_close(s->adapter);
    gh_safetensors_close(s->encoder);
    s->denoiser = open_part(folder, names.items[i], "denoiser.safetensors");
    s->adapter = open_part(folder, names.items[i], "adapter_model.safetensors");
    s->encoder = open_part(folder, names.items[i], "encoder.safetensors");
  }
  gh_strings_free(&names);
  free(metrics);
  free(snapshots);
  free(text);
}

void tiny_run_free(tiny_run *run) {
  for (int i = 0; i < 2; i++) {
    gh_safetensors_close(run->stage[i].denoiser);
    gh_safetensors_close(run->stage[i].adapter);
    gh_safetensors_close(run->stage[i].encoder);
  }
  free(run->folder);
  *run = (tiny_run){0};
}

double tiny_difference(const gh_safetensors *a, const gh_safetensors *b) {
  double worst = 0;
  if (gh_safetensors_count(a) != gh_safetensors_count(b)) return INFINITY;
  for (size_t i = 0; i < gh_safetensors_count(a); i++) {
    const char *name = gh_safetensors_at(a, i)->name;
    const gh_st_tensor *one = gh_safetensors_at(a, i), *other = gh_safetensors_find(b, name);
    if (!other || other->elements != one->elements) return INFINITY;
    int64_t n = 0;
    float *x = compare_load(a, name, &n), *y = compare_load(b, name, NULL);
    double scale = 0, d = compare_distance(x, y, n);
    for (int64_t k = 0; k < n; k++) scale = fmax(scale, fabs((double)x[k]));
    if (d > 0) d /= scale;
    if (!(d <= worst)) worst = d <= INFINITY ? d : INFINITY;
    free(x);
    free(y);
  }
  return worst;
}
