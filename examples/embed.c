/* Lists the devices; embeds a picture; says how alike two pictures are.
 *
 *   cc embed.c -o embed $(pkg-config --cflags --libs genhance) -lm
 *   ./embed                                 the devices
 *   ./embed MODEL PICTURE                   the picture's embedding, a number a line
 *   ./embed MODEL PICTURE OTHER [ADAPTER]   the cosine of the angle between the two embeddings */
#include <genhance/genhance.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int list_devices(void) {
  genhance_device_info devices[16];
  size_t count = 0;
  if (genhance_device_list(devices, 16, &count)) return -1;
  printf("genhance %s, %zu device%s\n", genhance_version(), count, count == 1 ? "" : "s");
  for (size_t i = 0; i < count && i < 16; i++)
    printf("%s: %s, %s, %d compute units, %.1f GiB\n", devices[i].id, devices[i].name,
           devices[i].is_cpu ? "CPU" : "GPU", devices[i].compute_units, (double)devices[i].memory_bytes / (1 << 30));
  return 0;
}

static double dot(const float *a, const float *b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
  return sum;
}

static int embed(genhance_encoder *encoder, const char *const *pictures, size_t count) {
  const size_t width = genhance_encoder_width(encoder);
  float *a = malloc(count * width * sizeof *a);
  if (!a) return -1;
  int failed = genhance_embed_files(encoder, a, pictures, count) != GENHANCE_OK;
  const float *b = a + (count - 1) * width;
  if (!failed && count == 2)
    printf("%.4f\n", dot(a, b, width) / sqrt(dot(a, a, width) * dot(b, b, width)));
  else if (!failed)
    for (size_t i = 0; i < width; i++) printf("%.9g\n", a[i]);
  free(a);
  return failed ? -1 : 0;
}

int main(int argc, char **argv) {
  genhance_device *device = NULL;
  genhance_encoder *encoder = NULL;
  int failed;
  if (argc < 3) {
    failed = list_devices();
  } else {
    const size_t count = argc > 3 ? 2 : 1;
    genhance_encoder_options options = {.adapter = argc > 4 ? argv[4] : NULL, .batch = count};
    failed = genhance_device_open(&device, "auto") || genhance_encoder_open(&encoder, device, argv[1], &options) ||
             embed(encoder, (const char *const *)argv + 2, count);
  }
  if (failed) fprintf(stderr, "embed: %s\n", genhance_last_error());
  genhance_encoder_close(encoder);
  genhance_device_close(device);
  return failed ? 1 : 0;
}
