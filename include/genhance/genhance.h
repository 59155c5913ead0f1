/* genhance as a library: CLIP and SigLIP vision encoders on any OpenCL or CUDA device. It turns pictures and text into
 * embeddings, scores a model on MMVP, zero-shot classification and retrieval, post-trains it according to a run
 * configuration, and exports the result.
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
 *  - Functions that can fail return a genhance_status; GENHANCE_OK is 0. Results come first among the arguments. A new
 *    object is stored in *out, which is NULL after a failure. Closing NULL is fine.
 *  - The reason for a failure is one line of text, genhance_last_error(), kept per thread.
 *  - Strings are UTF-8 and end with a zero byte; paths are the system's bytes. Strings that the caller passes are read
 *    during the call only. Strings in results belong to the object that they came from, until it is closed.
 *  - Files are not trusted: a broken one is an error, never a crash.
 *  - Compiled kernels and tuning results are kept in $GH_CACHE_DIR, else $XDG_CACHE_HOME/genhance, else
 *    ~/.cache/genhance. The first use of a model on a device compiles and tunes, and is slower.
 *  - Listing devices for the first time sets POCL_CACHE_DIR, so that PoCL's kernels are kept there too, and PATH where
 * it is absent. If the process has one thread, each OpenCL driver is first asked in a process of its own (fork), so
 * that one that aborts or hangs is named.
 *  - Nothing is printed unless the caller asks for it, and no signal handler is installed.
 *
 * Threads
 *  - Different objects may be used by different threads at the same time. One object is used by one thread at a time,
 *    unless its functions say "any thread", which means several at once, too.
 *  - A device and its encoders count as one object, since they share the device's queue; scoring uses the device as
 *    well. A second thread opens the device a second time.
 *  - A file or folder is written by one call at a time.
 *
 * Binary compatibility. The shared library's soname changes only when one of these rules is broken.
 *  - A struct that the caller allocates begins with `size_t struct_size`, which the caller sets to the sizeof that it
 *    was compiled with. GENHANCE_SIZED(type) is such a struct with every other field zero.
 *  - The library reads and writes no more than struct_size bytes. A field that an older caller's struct lacks has its
 *    default, which is zero. A field of a newer caller's struct that this library does not know is set to zero in
 *    results. In options it must be zero; otherwise the call fails with GENHANCE_ERROR_UNSUPPORTED.
 *  - In an array of such structs, struct_size of the first one is the size of every element.
 *  - A struct that the library allocates (genhance_progress) has struct_size set by the library: a caller checks it
 *    before it reads a field that was added later.
 *  - Fields are only added, at the end, and structs have no padding there. Functions, status codes and enumerators are
 *    only added, and keep their values. Handles are opaque.
 *
 * Build with `pkg-config --cflags --libs genhance`, or with CMake's find_package(genhance). docs/library.md has a
 * longer introduction, examples/ complete programs. */
#ifndef GENHANCE_GENHANCE_H
#define GENHANCE_GENHANCE_H

#include <stddef.h>
#include <stdint.h>

#include "genhance/version.h"

#if defined(__GNUC__)
#define GENHANCE_API __attribute__((visibility("default")))
#else
#define GENHANCE_API
#endif

/* An empty struct of this type: struct_size is set, every other field is zero, the default. */
#ifdef __cplusplus
extern "C++" {
namespace genhance {
template <typename T> inline T sized() {
  T empty = T();
  empty.struct_size = sizeof(T);
  return empty;
}
} // namespace genhance
}
#define GENHANCE_SIZED(type) (genhance::sized<type>())
extern "C" {
#else
#define GENHANCE_SIZED(type) ((type){.struct_size = sizeof(type)})
#endif

typedef enum genhance_status {
  GENHANCE_OK = 0,
  GENHANCE_ERROR_ARGUMENT,    /* the call makes no sense: a null pointer, an unknown device, a struct_size of 0 */
  GENHANCE_ERROR_FILE,        /* a file could not be opened, read or written */
  GENHANCE_ERROR_FORMAT,      /* a file's content violates its format, or does not fit the model */
  GENHANCE_ERROR_CONFIG,      /* the configuration of a run, a model or an adapter is wrong */
  GENHANCE_ERROR_MEMORY,      /* host or device memory ran out, or would */
  GENHANCE_ERROR_DEVICE,      /* the device or its driver failed, or there is none */
  GENHANCE_ERROR_UNSUPPORTED, /* valid, but not implemented here; the text names it */
  GENHANCE_ERROR_NUMERIC,     /* a result is not finite */
  GENHANCE_ERROR_STOPPED      /* a progress callback stopped a training run; its state is saved */
} genhance_status;

/* Number formats. */
typedef enum genhance_dtype {
  GENHANCE_DTYPE_DEFAULT = 0, /* what the function's comment says */
  GENHANCE_FLOAT32,
  GENHANCE_FLOAT16,
  GENHANCE_BFLOAT16
} genhance_dtype;

/* GENHANCE_VERSION_STRING of the library that runs: "0.2.0". Any thread. */
GENHANCE_API const char *genhance_version(void);

/* "ok", "argument", "file", "format", "config", "memory", "device", "unsupported", "numeric", "stopped"; "unknown" for
 * any other number. Any thread. */
GENHANCE_API const char *genhance_status_name(genhance_status status);

/* Why this thread's last failed call failed: one line without a newline. Valid until this thread's next call, and
 * meaningful only after a failure. Any thread, each with its own. */
GENHANCE_API const char *genhance_last_error(void);

/* ---- log ---- */

/* What the whole process logs: 0 nothing (the default), 1 warnings, 2 also progress of long work, 3 also details. Any
 * thread. */
GENHANCE_API void genhance_set_verbosity(int level);

/* Gets one line without a newline, and its level: 1, 2 or 3. Called from the thread that logs the line, which may be
 * one of the library's own, and never by two threads at once. It must not call the library. */
typedef void (*genhance_log_callback)(void *user, int level, const char *line);

/* Sets where the lines that pass the verbosity go: to the callback or, with NULL (the default), to stderr. Applies to
 * the whole process. When the call returns, the previous callback is no longer running. Any thread. */
GENHANCE_API void genhance_set_log(genhance_log_callback callback, void *user);

/* ---- devices ---- */

typedef struct genhance_device_info {
  size_t struct_size;
  char id[32];          /* what genhance_device_open takes: "opencl:0", "cuda:0" */
  char name[160];       /* as the driver says */
  char platform[96];    /* "Portable Computing Language" */
  char driver[128];     /* the driver's version */
  int64_t memory_bytes; /* global memory; for a CPU, the memory of the machine or its control group */
  int compute_units;
  int is_cpu; /* 1: a CPU, 0: a GPU or another accelerator */
} genhance_device_info;

/* Stores the first `capacity` devices in infos (NULL with capacity 0: counts only) and their number, which may be
 * larger, in *count. infos[0].struct_size is the size of every element; the others' is set with their contents. No
 * device at all is a count of 0 with GENHANCE_OK. Errors: GENHANCE_ERROR_ARGUMENT, _MEMORY. Any thread. */
GENHANCE_API genhance_status genhance_device_list(genhance_device_info *infos, size_t capacity, size_t *count);

typedef struct genhance_device genhance_device;

/* id: "auto" or NULL (the first GPU, else the first device), or an id from genhance_device_list. Errors:
 * GENHANCE_ERROR_ARGUMENT (no device has that name; the text lists the names), _DEVICE, _MEMORY. Any thread; each call
 * gives a new object. */
GENHANCE_API genhance_status genhance_device_open(genhance_device **out, const char *id);
/* Close its encoders first. */
GENHANCE_API void genhance_device_close(genhance_device *device);

/* ---- encoders: pictures and text to embeddings ---- */

typedef struct genhance_encoder genhance_encoder;

typedef struct genhance_encoder_options {
  size_t struct_size;
  const char *adapter;      /* PEFT folder (adapter_config.json, adapter_model.safetensors) to compute with, or NULL */
  const char *weights;      /* safetensors whose tensors replace the model's (encoder.safetensors of a run), or NULL */
  int batch;                /* pictures or lines per launch, at most 65536; 0: 1. Memory is allocated when opening */
  genhance_dtype precision; /* default GENHANCE_FLOAT32; GENHANCE_BFLOAT16, GENHANCE_FLOAT16: weights and activations
                               have that type, sums are float32 */
} genhance_encoder_options;

/* Opens the vision tower of a model folder in Hugging Face layout (config.json, preprocessor_config.json,
 * model.safetensors or its shards), puts its weights on the device and compiles. options may be NULL. The device must
 * stay open until the encoder is closed. One thread at a time per device. Errors: GENHANCE_ERROR_ARGUMENT, _FILE,
 * _FORMAT, _CONFIG, _UNSUPPORTED, _MEMORY, _DEVICE. */
GENHANCE_API genhance_status genhance_encoder_open(genhance_encoder **out, genhance_device *device,
                                                   const char *model_folder, const genhance_encoder_options *options);
GENHANCE_API void genhance_encoder_close(genhance_encoder *encoder);

/* D: the length of an embedding, of a picture or a line of text (768 for ViT-L/14). 0 for NULL. Any thread. */
GENHANCE_API size_t genhance_encoder_width(const genhance_encoder *encoder);

/* A picture in memory. */
typedef struct genhance_image {
  size_t struct_size;
  const uint8_t *rgb; /* (height, width, 3), 0 to 255, rows without padding; only read */
  int width, height;  /* pixels, at least 1; at most 2^28 of them in all and 10^6 per side */
} genhance_image;

/* Pictures to embeddings: (count, D) float32, row-major, as projected: not normalised to length 1. Resizing, cropping
 * and normalisation follow the model's preprocessor_config.json. Any count: pictures are decoded and resized by one
 * thread per processor while the device works on the previous batch. The first picture that fails ends the call; the
 * content of embeddings is then undefined, and the encoder stays usable. Each row depends only on its own picture. One
 * thread at a time per device. Errors: GENHANCE_ERROR_ARGUMENT, _NUMERIC (an embedding is not finite), _MEMORY,
 * _DEVICE; for files, which are pictures of any supported format, also GENHANCE_ERROR_FILE, _FORMAT, _UNSUPPORTED,
 * with a text that names the file. */
GENHANCE_API genhance_status genhance_embed_files(genhance_encoder *encoder, float *embeddings,
                                                  const char *const *paths, size_t count);
/* images[0].struct_size is the size of every element. */
GENHANCE_API genhance_status genhance_embed_images(genhance_encoder *encoder, float *embeddings,
                                                   const genhance_image *images, size_t count);

/* Lines of UTF-8 text to embeddings: (count, D) float32, row-major, as projected, with the model folder's tokenizer; a
 * line is padded or cut to the model's length. The first call opens the text tower, on the same device. One thread at a
 * time per device. Errors: GENHANCE_ERROR_ARGUMENT, _FILE (the folder has no tokenizer), _FORMAT (a line is not UTF-8;
 * the towers differ in width), _CONFIG, _UNSUPPORTED, _NUMERIC, _MEMORY, _DEVICE; the text counts lines from 1. */
GENHANCE_API genhance_status genhance_embed_texts(genhance_encoder *encoder, float *embeddings,
                                                  const char *const *lines, size_t count);

/* ---- scores: what `genhance eval` measures, with the same numbers ---- */

typedef enum genhance_score_kind {
  GENHANCE_SCORE_MMVP = 0, /* MMVP-VLM: fine-grained perception, nine patterns of 15 pairs */
  GENHANCE_SCORE_ZEROSHOT, /* classification by the names of classes */
  GENHANCE_SCORE_RETRIEVAL /* images by their captions, captions by their image */
} genhance_score_kind;

typedef struct genhance_score_options {
  size_t struct_size;
  const char *adapter, *weights; /* as in genhance_encoder_options */
  const char *labels;            /* zero-shot: IMAGE<tab>CLASS lines; NULL: DATA/labels.tsv, else a class is a folder */
  const char *classes;      /* zero-shot: CLASS<tab>TEXT lines; NULL: DATA/classes.tsv, else the classes' own names */
  const char *templates;    /* zero-shot: one per line, {} for the class; NULL: DATA/templates.txt, else "a photo of a
                               {}." */
  const char *captions;     /* retrieval: a JSON list of {"image", "captions"}; NULL: DATA/captions.json */
  int batch;                /* pictures or lines per launch, at most 65536; 0: 32 */
  genhance_dtype precision; /* as in genhance_encoder_options */
} genhance_score_options;

typedef struct genhance_score genhance_score;

/* Reads the data folder (docs/evaluating.md has its layout), embeds its pictures and lines with the model folder's
 * towers and scores them. Checks that everything the data names exists before computing anything. The result does not
 * need the device any longer. options may be NULL. One thread at a time per device. Errors: GENHANCE_ERROR_ARGUMENT,
 * _FILE, _FORMAT, _CONFIG, _UNSUPPORTED, _NUMERIC, _MEMORY, _DEVICE. */
GENHANCE_API genhance_status genhance_score_run(genhance_score **out, genhance_device *device, genhance_score_kind kind,
                                                const char *model_folder, const char *data_folder,
                                                const genhance_score_options *options);
GENHANCE_API void genhance_score_close(genhance_score *score);

typedef struct genhance_score_summary {
  size_t struct_size;
  double average;            /* MMVP: the mean of its patterns, per cent; otherwise 0 */
  size_t images, lines;      /* numbers of embedded pictures and lines */
  size_t pairs;              /* MMVP: how many; otherwise 0 */
  size_t classes, templates; /* zero-shot: how many; otherwise 0 */
  genhance_score_kind kind;
  int shares; /* the number of shares for genhance_score_share */
} genhance_score_summary;

/* Errors: GENHANCE_ERROR_ARGUMENT. Any thread. */
GENHANCE_API genhance_status genhance_score_summarize(const genhance_score *score, genhance_score_summary *out);

/* A share of successes. */
typedef struct genhance_share {
  size_t struct_size;
  const char *name;    /* MMVP: "all", then each pattern's; zero-shot: "top1", "top5"; retrieval: "image@1", "image@5",
                          "image@10", "text@1", "text@5", "text@10" */
  int64_t hits, total; /* percent = 100 * hits / total */
  double percent;
  double low, high; /* its 95 % interval, per cent: Wilson's; of image@k a bootstrap over images */
} genhance_share;

/* The share at `index`, from 0. GENHANCE_ERROR_ARGUMENT: there is none. Any thread. */
GENHANCE_API genhance_status genhance_score_share(const genhance_score *score, size_t index, genhance_share *out);

/* Rows of the results, one call per row, from index 0. GENHANCE_ERROR_ARGUMENT: the score is of another kind, or has no
 * such row. Any thread. */

typedef struct genhance_mmvp_pair {
  size_t struct_size;
  const char *pattern, *type; /* the benchmark's name of the pattern; the data's folder of the pair */
  const char *statements[2];
  int64_t ids[2];
  double first_image_probability[2]; /* either statement's probability of the first image */
  int statement_correct[2];          /* 1: it picks its own image. The pair counts when both do */
} genhance_mmvp_pair;
GENHANCE_API genhance_status genhance_score_mmvp_pair(const genhance_score *score, size_t index,
                                                      genhance_mmvp_pair *out); /* summary.pairs of them */

typedef struct genhance_zeroshot_image {
  size_t struct_size;
  const char *path, *class_name, *predicted;
  int64_t rank; /* how many classes are nearer than the right one */
} genhance_zeroshot_image;
GENHANCE_API genhance_status genhance_score_zeroshot_image(const genhance_score *score, size_t index,
                                                           genhance_zeroshot_image *out); /* summary.images of them */

typedef struct genhance_retrieval_image {
  size_t struct_size;
  const char *path;
  int64_t rank; /* how many captions are nearer than the best of its own */
} genhance_retrieval_image;
GENHANCE_API genhance_status genhance_score_retrieval_image(const genhance_score *score, size_t index,
                                                            genhance_retrieval_image *out); /* summary.images of them */

typedef struct genhance_retrieval_caption {
  size_t struct_size;
  const char *caption, *path; /* and its image */
  int64_t rank;               /* how many images are nearer than its own */
} genhance_retrieval_caption;
GENHANCE_API genhance_status genhance_score_retrieval_caption(const genhance_score *score, size_t index,
                                                              genhance_retrieval_caption *out); /* summary.lines */

/* ---- training: what `genhance train` does ---- */

/* After an update. */
typedef struct genhance_progress {
  size_t struct_size;      /* set by the library */
  int64_t stage;           /* 1 or 2 */
  int64_t update, updates; /* this update, from 1, and the number of updates of the stage */
  int64_t samples;         /* pictures per update */
  double loss, gradient_norm, learning_rate;
  double seconds; /* duration of the update */
  double images_per_second;
} genhance_progress;

/* Called after every update, on the thread that runs the training, when the update's metrics and any due snapshot are
 * written. progress is valid during the call. Non-zero stops the run: its state is saved, and genhance_training_run
 * returns GENHANCE_ERROR_STOPPED; a stop after the last update has no effect. */
typedef int (*genhance_progress_callback)(void *user, const genhance_progress *progress);

typedef struct genhance_train_options {
  size_t struct_size;
  genhance_progress_callback progress; /* or NULL */
  void *user;                          /* the callback's own */
  int resume;            /* 1: continue from the newest state; without it a folder that holds a run is an error */
  int replan;            /* 1: with resume, choose kernels again; the numbers may then differ in the last bits */
  int dry_run;           /* 1: plan and measure, write nothing; see genhance_training_plan */
  int allow_data_change; /* 1: with resume, the set of images may have changed */
  int print;             /* 1: a line per update on stdout, as the command prints it */
  int reserved;          /* 0 */
} genhance_train_options;

typedef struct genhance_training genhance_training;

/* Reads a run configuration, checks it and fills in defaults; nothing is opened yet. overrides are "key=value", the key
 * with dots, the value JSON or bare text: "stage1.optimizer.lr=1e-3", "device=opencl:0"; NULL with override_count 0.
 * Relative paths in it are relative to the working directory. Errors: GENHANCE_ERROR_ARGUMENT, _FILE, _CONFIG (not
 * JSON, or a wrong key or value, which the text names), _MEMORY. Any thread. */
GENHANCE_API genhance_status genhance_training_open(genhance_training **out, const char *config_path,
                                                    const char *const *overrides, size_t override_count);
/* The same from JSON text. */
GENHANCE_API genhance_status genhance_training_parse(genhance_training **out, const char *config_text,
                                                     const char *const *overrides, size_t override_count);
GENHANCE_API void genhance_training_close(genhance_training *training);

/* The whole configuration as JSON text, and the run's folder that it names. NULL for NULL. Any thread. */
GENHANCE_API const char *genhance_training_config(const genhance_training *training);
GENHANCE_API const char *genhance_training_output(const genhance_training *training);

/* Trains stage 1, then stage 2, on the device that the configuration names, which is opened for the call. options may
 * be NULL. Results go to the run's folder; a lock there keeps other processes out. The same run, stopped and resumed,
 * ends in the same bits. May be called again after a stop, with resume. Any thread, one at a time per training;
 * trainings with different folders run side by side. Errors: GENHANCE_ERROR_STOPPED; _CONFIG also if the folder already
 * holds a run; _NUMERIC (a loss is not finite; the state before that update is saved); _ARGUMENT, _FILE, _FORMAT,
 * _UNSUPPORTED, _MEMORY, _DEVICE. */
GENHANCE_API genhance_status genhance_training_run(genhance_training *training, const genhance_train_options *options);

typedef struct genhance_stage_report {
  size_t struct_size;
  int64_t updates;              /* of the stage, including those before a resume; 0: it did not run */
  int64_t skipped;              /* broken pictures skipped */
  double first_loss, last_loss; /* means over the first and last tenth of the updates, at most 10 each */
  double seconds;
  int evaluated;          /* 1: the snapshots were scored, as configured; the fields below are valid */
  int within_guard;       /* 1: the best snapshot is within the guard's limit */
  int64_t guard_stop;     /* the update after which the guard ended the stage; 0: the guard did not */
  double best, start;     /* the score of the best snapshot, and before the first update; per cent */
  char score[64];         /* the deciding score, "mmvp" */
  char best_snapshot[32]; /* "stage2-00000050"; "": none was measured */
} genhance_stage_report;

/* What the last genhance_training_run did in a stage, 1 or 2; also after a stop. Errors: GENHANCE_ERROR_ARGUMENT. Any
 * thread, but not during a run. */
GENHANCE_API genhance_status genhance_training_stage(const genhance_training *training, int stage,
                                                     genhance_stage_report *out);

/* The plan of a stage from a dry run, as JSON text: parameters, memory, kernels, seconds per update. NULL if the last
 * genhance_training_run was not a dry run or had no such stage. Any thread, but not during a run. */
GENHANCE_API const char *genhance_training_plan(const genhance_training *training, int stage);

/* ---- export: what `genhance export` does ---- */

typedef enum genhance_export_format {
  GENHANCE_EXPORT_MODEL = 0, /* the whole model with the training merged into it; transformers' CLIPModel opens it */
  GENHANCE_EXPORT_ADAPTER,   /* the LoRA adapter; PeftModel opens it */
  GENHANCE_EXPORT_VISION     /* the vision tower alone, merged; CLIPVisionModel opens it */
} genhance_export_format;

typedef struct genhance_export_options {
  size_t struct_size;
  const char *snapshot; /* "stage2-00000050"; NULL: the newest of the last stage that has one */
  genhance_export_format format;
  genhance_dtype dtype; /* of the weights; default: as in the model's file. An adapter supports only the default */
} genhance_export_options;

typedef struct genhance_export_result {
  size_t struct_size;
  int64_t update;                    /* of the snapshot */
  int64_t tensors, changed, rounded; /* written; trained; trained and rounded to 16 bits. 0 for an adapter */
} genhance_export_result;

/* Writes a run's trained encoder as a model folder, created if absent. genhance_encoder_open opens it, too. result and
 * options may be NULL. Any thread. Errors: GENHANCE_ERROR_ARGUMENT, _FILE, _FORMAT, _CONFIG, _UNSUPPORTED, _MEMORY. */
GENHANCE_API genhance_status genhance_export(genhance_export_result *result, const char *out_folder,
                                             const char *run_folder, const genhance_export_options *options);

#ifdef __cplusplus
}
#endif

#endif
