/* genhance as a library: the vision encoders that it post-trains, as functions from pictures to numbers, on any OpenCL
 * or CUDA device. (Training is the command line's: `genhance train`.)
 *
 *   genhance_device *device = NULL;
 *   genhance_encoder *encoder = NULL;
 *   if (genhance_device_open(&device, "auto") || genhance_encoder_open(&encoder, device, "model", NULL)) {
 *     fprintf(stderr, "%s\n", genhance_last_error());
 *     ...
 *   }
 *   float *embedding = malloc(genhance_encoder_width(encoder) * sizeof *embedding);
 *   genhance_embed_files(encoder, embedding, (const char *[]){"cat.jpg"}, 1);
 *
 * Conventions
 *  - Fallible functions return a genhance_status; GENHANCE_OK is 0. Results come first among the arguments. An opened
 *    object is stored in *out, which is NULL after a failure.
 *  - What went wrong is one line of text, genhance_last_error(), kept for each thread.
 *  - A device and its encoders may be used by one thread at a time; different devices by different threads.
 *  - Files are not trusted: a broken one is an error, never a crash.
 *  - Compiled kernels and what was timed are kept in $GH_CACHE_DIR, else $XDG_CACHE_HOME/genhance, else
 *    ~/.cache/genhance. The first use of a model on a device is slower by what it takes to make them.
 *  - Nothing is printed unless genhance_set_verbosity asks for it, and no signal handler is installed.
 *
 * Build with `pkg-config --cflags --libs genhance`. */
#ifndef GENHANCE_GENHANCE_H
#define GENHANCE_GENHANCE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define GENHANCE_API __attribute__((visibility("default")))
#else
#define GENHANCE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum genhance_status {
  GENHANCE_OK = 0,
  GENHANCE_ERROR_ARGUMENT,    /* the call makes no sense: a null pointer, an unknown device */
  GENHANCE_ERROR_FILE,        /* a file could not be opened or read */
  GENHANCE_ERROR_FORMAT,      /* a file's content is not what its format, or the model, allows */
  GENHANCE_ERROR_CONFIG,      /* a model's or an adapter's configuration contradicts itself */
  GENHANCE_ERROR_MEMORY,      /* host or device memory ran out, or would */
  GENHANCE_ERROR_DEVICE,      /* the device or its driver failed, or there is none */
  GENHANCE_ERROR_UNSUPPORTED, /* valid, but not implemented here; the text names it */
  GENHANCE_ERROR_NUMERIC      /* a result is not finite */
} genhance_status;

/* "0.1.0" */
GENHANCE_API const char *genhance_version(void);

/* Why this thread's last failed call failed: one line without a newline. Valid until this thread's next call; of use
 * only after a failure. */
GENHANCE_API const char *genhance_last_error(void);

/* What the whole process prints on stderr: 0 nothing (the default), 1 warnings, 2 also progress of long work. */
GENHANCE_API void genhance_set_verbosity(int level);

/* ---- devices ---- */

typedef struct genhance_device_info {
  char id[32];       /* what genhance_device_open takes: "opencl:0", "cuda:0" */
  char name[160];    /* as the driver says */
  char platform[96]; /* "Portable Computing Language" */
  char driver[128];  /* the driver's version */
  int is_cpu;        /* 1: a CPU, 0: a GPU or another accelerator */
  int compute_units;
  int64_t memory_bytes; /* global memory; of a CPU, what the machine (or its control group) has */
} genhance_device_info;

/* Stores the first `capacity` devices in infos (NULL with capacity 0: counts only) and their number, which may be
 * larger, in *count. No device at all is a count of 0 with GENHANCE_OK. Fails with GENHANCE_ERROR_ARGUMENT. */
GENHANCE_API genhance_status genhance_device_list(genhance_device_info *infos, size_t capacity, size_t *count);

typedef struct genhance_device genhance_device;

/* id: "auto" (the first GPU, else the first device; NULL means it too), or one from genhance_device_list.
 * GENHANCE_ERROR_ARGUMENT: no device of that name (the text lists those there are); GENHANCE_ERROR_DEVICE. */
GENHANCE_API genhance_status genhance_device_open(genhance_device **out, const char *id);
/* Its encoders must be closed before. NULL is fine. */
GENHANCE_API void genhance_device_close(genhance_device *device);

/* ---- encoders ---- */

typedef struct genhance_encoder genhance_encoder;

/* Start from {0}: zero means the default, also of fields that later versions add. */
typedef struct genhance_encoder_options {
  const char *adapter; /* PEFT folder (adapter_config.json, adapter_model.safetensors) to compute with; NULL: none */
  size_t batch;        /* pictures the device works on at once, at most 65536; 0: 1. Costs memory even when unused */
} genhance_encoder_options;

/* Opens the vision side of a model folder in Hugging Face layout (config.json, preprocessor_config.json,
 * model.safetensors or its shards), puts its weights on the device and compiles. options may be NULL. Errors:
 * GENHANCE_ERROR_FILE, _FORMAT, _CONFIG, _UNSUPPORTED, _MEMORY, _DEVICE. */
GENHANCE_API genhance_status genhance_encoder_open(genhance_encoder **out, genhance_device *device,
                                                   const char *model_folder, const genhance_encoder_options *options);
GENHANCE_API void genhance_encoder_close(genhance_encoder *encoder); /* NULL is fine */

/* D: how many numbers an embedding has (768 for ViT-L/14). */
GENHANCE_API size_t genhance_encoder_width(const genhance_encoder *encoder);

/* A picture in memory. */
typedef struct genhance_image {
  const uint8_t *rgb; /* (height, width, 3), 0 to 255, rows without padding */
  int width, height;  /* pixels, at least 1; at most 2^28 of them in all and 10^6 a side */
} genhance_image;

/* Pictures to embeddings: (count, D) float32, row-major, as projected: not normalised to length 1. Resizing, cropping
 * and normalisation are what the model's preprocessor_config.json says. Any count, batch by batch, on the calling
 * thread; the first picture that fails ends the call, and embeddings then holds nothing of use. Each row depends on its
 * own picture alone. Errors: GENHANCE_ERROR_ARGUMENT, _NUMERIC (an embedding is not finite), _MEMORY, _DEVICE; for
 * files, which are PNG or JPEG, also GENHANCE_ERROR_FILE, _FORMAT, _UNSUPPORTED, with a text that names the file. */
GENHANCE_API genhance_status genhance_embed_files(genhance_encoder *encoder, float *embeddings,
                                                  const char *const *paths, size_t count);
GENHANCE_API genhance_status genhance_embed_images(genhance_encoder *encoder, float *embeddings,
                                                   const genhance_image *images, size_t count);

#ifdef __cplusplus
}
#endif

#endif
