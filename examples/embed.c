/* Lists the devices; embeds a picture; computes how alike two pictures are, or a picture and a line of text.
 *
 *   cc embed.c -o embed $(pkg-config --cflags --libs genhance) -lm
 *   ./embed                                 the devices
 *   ./embed MODEL PICTURE                   the picture's embedding, one number per line
 *   ./embed MODEL PICTURE OTHER [ADAPTER]   the cosine of the angle between the two embeddings
 *   ./embed MODEL PICTURE --text LINE       the same for a line of text */
#include <genhance/genhance.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int list_devices(void) {
  genhance_device_info devices[16] = {{.struct_size = sizeof devices[0]}}; /* the first one's is the array's */
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

/* One or two pictures, or a picture and a line of text. */
static int embed(genhance_encoder *encoder, const char *const *pictures, size_t count, const char *line) {
  const size_t width = genhance_encoder_width(encoder);
  float *a = malloc(2 * width * sizeof *a), *b = a + width; /* (2, D): any count goes into one array */
  if (!a) return -1;
  int failed = genhance_embed_files(encoder, a, pictures, count) != GENHANCE_OK;
  if (!failed && line) failed = genhance_embed_texts(encoder, b, &line, 1) != GENHANCE_OK;
  if (!failed && (line || count == 2)) /* embeddings are not normalised */
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
    const int text = argc > 4 && !strcmp(argv[3], "--text");
    const genhance_encoder_options options = {
        .struct_size = sizeof options, .adapter = !text && argc > 4 ? argv[4] : NULL, .batch = 2};
    failed = genhance_device_open(&device, "auto") || genhance_encoder_open(&encoder, device, argv[1], &options) ||
             embed(encoder, (const char *const *)argv + 2, argc > 3 && !text ? 2 : 1, text ? argv[4] : NULL);
  }
  if (failed) fprintf(stderr, "embed: %s\n", genhance_last_error());
  genhance_encoder_close(encoder);
  genhance_device_close(device);
  return failed ? 1 : 0;
}
