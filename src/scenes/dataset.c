#include "scenes/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "io/png_write.h"
#include "io/tar_write.h"
#include "scenes/pairs.h"
#include "scenes/scene.h"

#define PER_SHARD     1000
#define PER_CLASS     10 /* pictures of a class for zero-shot classification */
#define RETRIEVED     240
#define PAIR_PICTURES "MLLM_VLM Images"

/* The set being written. */
typedef struct gh_set {
  const gh_scenes_options *options;
  gh_json *about;        /* parts of scenes.json */
  gh_file_writer *shard; /* the open one, or NULL */
  gh_progress progress;
  uint64_t done;
} gh_set;

static gh_stream stream_of(const gh_set *s, const char *part) {
  return gh_stream_make(s->options->seed, 0, "scenes", part);
}

/* A new file without the two waits for the disk of an atomic one: scenes.json tells whether the set is complete. */
static gh_status write_new(gh_error *err, const char *path, const void *bytes, size_t size) {
  return gh_file_append(err, path, bytes, size);
}

static gh_status encode(gh_error *err, gh_set *s, const gh_scene *scene, unsigned char **bytes, size_t *size) {
  gh_image image = {0};
  *bytes = NULL;
  if (gh_stop_requested()) return gh_fail(err, GH_ERROR_INTERRUPTED, "stopped; %s is incomplete", s->options->out);
  gh_status status = gh_scene_draw(err, &image, scene, s->options->side);
  if (!status) status = gh_png_encode(err, bytes, size, &image);
  gh_image_free(&image);
  gh_progress_update(&s->progress, ++s->done, NULL);
  return status;
}

static gh_status write_picture(gh_error *err, gh_set *s, const gh_scene *scene, const char *path) {
  unsigned char *bytes = NULL;
  size_t size = 0;
  gh_status status = encode(err, s, scene, &bytes, &size);
  if (!status) status = write_new(err, path, bytes, size);
  free(bytes);
  return status;
}

/* OUT/PART, made if it is absent. The caller frees. */
static char *make_part(gh_error *err, const gh_set *s, const char *part) {
  char *path = gh_path_join(err, s->options->out, part);
  if (path && gh_folder_make(err, path)) {
    free(path);
    return NULL;
  }
  return path;
}

static gh_status note(gh_error *err, gh_set *s, const char *part, int64_t pictures) {
  return gh_json_put_int(err, s->about, part, pictures);
}

/* ---- training ---- */

static gh_status put_values(gh_error *err, gh_json *to, const gh_scene *scene, const char *caption) {
  gh_status status = gh_json_put_string(err, to, "caption", caption);
  for (int i = 0; i < GH_SCENE_ATTRIBUTES && !status; i++)
    if (gh_scene_has(scene, i))
      status = gh_json_put_string(err, to, gh_attribute_at(i)->name, gh_attribute_value(i, scene->value[i]));
  return status;
}

static gh_status add_member(gh_error *err, gh_set *s, const char *stem, const char *key, const void *bytes,
                            size_t size) {
  char name[64];
  snprintf(name, sizeof name, "%s.%s", stem, key);
  return gh_tar_write_file(err, s->shard, name, bytes, size);
}

static gh_status write_sample(gh_error *err, gh_set *s, const gh_scene *scene, const char *stem, const char *caption) {
  unsigned char *picture = NULL;
  char *text = NULL;
  size_t size = 0, length = 0;
  gh_json *values = gh_json_object(err);
  gh_status status = values ? put_values(err, values, scene, caption) : GH_ERROR_MEMORY;
  if (!status) status = gh_json_print(err, &text, &length, values, false);
  if (!status) status = encode(err, s, scene, &picture, &size);
  if (!status) status = add_member(err, s, stem, "png", picture, size);
  if (!status) status = add_member(err, s, stem, "txt", caption, strlen(caption));
  if (!status) status = add_member(err, s, stem, "json", text, length);
  gh_json_free(values);
  free(picture);
  free(text);
  return status;
}

static gh_status close_shard(gh_error *err, gh_set *s) {
  if (!s->shard) return GH_OK;
  gh_status status = gh_tar_write_end(err, s->shard);
  if (!status) status = gh_file_writer_commit(err, s->shard);
  gh_file_writer_free(s->shard);
  s->shard = NULL;
  return status;
}

static gh_status next_shard(gh_error *err, gh_set *s, const char *folder, int64_t index) {
  gh_status status = close_shard(err, s);
  char *path = status ? NULL : gh_format(err, "%s/scenes-%05" PRId64 ".tar", folder, index);
  if (!status) status = path ? gh_file_writer_open(err, &s->shard, path) : GH_ERROR_MEMORY;
  free(path);
  return status;
}

static gh_status write_loose(gh_error *err, gh_set *s, const gh_scene *scene, const char *folder, const char *stem,
                             const char *caption) {
  char *picture = gh_format(err, "%s/%s.png", folder, stem), *text = gh_format(err, "%s/%s.txt", folder, stem);
  gh_status status = picture && text ? write_picture(err, s, scene, picture) : GH_ERROR_MEMORY;
  if (!status) status = write_new(err, text, caption, strlen(caption));
  free(picture);
  free(text);
  return status;
}

static gh_status write_training(gh_error *err, gh_set *s) {
  char *folder = make_part(err, s, "train");
  gh_stream stream = stream_of(s, "train");
  gh_status status = folder ? GH_OK : err->status;
  for (int64_t i = 0; i < s->options->count && !status; i++) {
    gh_scene scene;
    char stem[24];
    snprintf(stem, sizeof stem, "%07" PRId64, i);
    gh_scene_make(&scene, stream, (uint64_t)i);
    char *caption = gh_scene_caption(err, &scene, s->options->details);
    status = caption ? GH_OK : GH_ERROR_MEMORY;
    if (!status && s->options->shards && i % PER_SHARD == 0) status = next_shard(err, s, folder, i / PER_SHARD);
    if (!status)
      status = s->options->shards ? write_sample(err, s, &scene, stem, caption)
                                  : write_loose(err, s, &scene, folder, stem, caption);
    free(caption);
  }
  if (!status) status = close_shard(err, s);
  gh_file_writer_free(s->shard);
  s->shard = NULL;
  free(folder);
  return status ? status : note(err, s, "train", s->options->count);
}

/* ---- pairs ---- */

/* The pair's two pictures and rows. Ids count from 1: the first picture's is odd. */
static gh_status write_pair(gh_error *err, gh_set *s, const char *folder, int index, const gh_scene_pair *pair,
                            FILE *questions) {
  const char *type = gh_mmvp_patterns[index / GH_MMVP_PAIRS_PER_PATTERN];
  gh_status status = GH_OK;
  for (int i = 0; i < 2 && !status; i++) {
    int id = 2 * index + i + 1;
    char *path = gh_format(err, "%s/" PAIR_PICTURES "/%s/%d.png", folder, type, id);
    char *words = gh_scene_words(err, &pair->scenes[i], GH_MENTION(pair->attribute));
    status = path && words ? write_picture(err, s, &pair->scenes[i], path) : GH_ERROR_MEMORY;
    if (!status) fprintf(questions, "%d,%s,%s\n", id, type, words);
    free(path);
    free(words);
  }
  return status;
}

static gh_status make_pair_folders(gh_error *err, const char *folder) {
  gh_status status = GH_OK;
  for (int i = 0; i < GH_MMVP_PATTERNS && !status; i++) {
    char *path = gh_format(err, "%s/" PAIR_PICTURES "/%s", folder, gh_mmvp_patterns[i]);
    status = path ? gh_folder_make(err, path) : GH_ERROR_MEMORY;
    free(path);
  }
  return status;
}

/* FOLDER/NAME with the text that was collected in a stream of memory; closes the stream. */
static gh_status write_text(gh_error *err, const char *folder, const char *name, FILE *stream, char **text,
                            const size_t *size, gh_status status) {
  if (stream && fclose(stream) && !status) status = gh_fail(err, GH_ERROR_MEMORY, "%s: out of memory", name);
  char *path = status ? NULL : gh_path_join(err, folder, name);
  if (!status) status = path ? write_new(err, path, *text, *size) : GH_ERROR_MEMORY;
  free(path);
  free(*text);
  return status;
}

static FILE *open_text(gh_error *err, char **text, size_t *size) {
  FILE *stream = open_memstream(text, size);
  if (!stream) gh_fail(err, GH_ERROR_MEMORY, "out of memory for a list");
  return stream;
}

static gh_status write_pairs(gh_error *err, gh_set *s, const char *part, gh_pair_set set) {
  char *folder = make_part(err, s, part), *text = NULL;
  size_t size = 0;
  gh_scene_pair *pairs = gh_alloc(err, GH_MMVP_PAIRS, sizeof *pairs);
  FILE *questions = folder && pairs ? open_text(err, &text, &size) : NULL;
  gh_status status = questions ? gh_pairs_make(err, pairs, s->options->seed, set) : err->status;
  if (!status) status = make_pair_folders(err, folder);
  if (questions) fprintf(questions, "Question ID,Type,Statement\n");
  for (int i = 0; i < GH_MMVP_PAIRS && !status; i++) status = write_pair(err, s, folder, i, &pairs[i], questions);
  status = write_text(err, folder, "Questions.csv", questions, &text, &size, status);
  free(pairs);
  free(folder);
  return status ? status : note(err, s, part, 2 * GH_MMVP_PAIRS);
}

/* ---- zero-shot classification ---- */

static gh_status write_class(gh_error *err, gh_set *s, const char *folder, int category) {
  gh_stream stream = stream_of(s, "zeroshot");
  char *class = gh_path_join(err, folder, gh_category_at(category)->name);
  gh_status status = class ? gh_folder_make(err, class) : GH_ERROR_MEMORY;
  for (int i = 0; i < PER_CLASS && !status; i++) {
    gh_scene scene;
    gh_scene_make(&scene, stream, (uint64_t)(category * PER_CLASS + i));
    scene.value[GH_SCENE_CATEGORY] = category;
    scene.value[GH_SCENE_VIEW] = scene.value[GH_SCENE_VIEW] % 3; /* another view may not exist of it */
    scene.value[gh_scene_has(&scene, GH_SCENE_TURN) ? GH_SCENE_DIRECTION : GH_SCENE_TURN] = 0;
    char *path = gh_format(err, "%s/%02d.png", class, i);
    status = path ? write_picture(err, s, &scene, path) : GH_ERROR_MEMORY;
    free(path);
  }
  free(class);
  return status;
}

static gh_status write_zeroshot(gh_error *err, gh_set *s) {
  static const char templates[] = "a photo of a {}\na picture of a {}\na drawing of a {}\na {}\n";
  char *folder = make_part(err, s, "zeroshot"), *text = NULL;
  char *path = folder ? gh_path_join(err, folder, "templates.txt") : NULL;
  size_t size = 0;
  FILE *classes = path ? open_text(err, &text, &size) : NULL;
  gh_status status = classes ? write_new(err, path, templates, sizeof templates - 1) : err->status;
  for (int c = 0; c < gh_category_count() && !status; c++) {
    fprintf(classes, "%s\t%s\n", gh_category_at(c)->name, gh_category_at(c)->name);
    status = write_class(err, s, folder, c);
  }
  status = write_text(err, folder, "classes.tsv", classes, &text, &size, status);
  free(path);
  free(folder);
  return status ? status : note(err, s, "zeroshot", (int64_t)gh_category_count() * PER_CLASS);
}

/* ---- pictures of random scenes with a list beside them ---- */

/* Draws scene `index` into FOLDER/images and describes it to the list. */
typedef gh_status describe(gh_error *err, void *list, const gh_scene *scene, const char *name);
typedef void make_scene(gh_scene *out, gh_stream stream, uint64_t ordinal);

static gh_status write_described(gh_error *err, gh_set *s, const char *part, const char *folder, int64_t count,
                                 make_scene *make, describe *list, void *to) {
  gh_stream stream = stream_of(s, part);
  char *images = gh_path_join(err, folder, "images");
  gh_status status = images ? gh_folder_make(err, images) : GH_ERROR_MEMORY;
  for (int64_t i = 0; i < count && !status; i++) {
    gh_scene scene;
    char name[40];
    snprintf(name, sizeof name, "images/%05" PRId64 ".png", i);
    make(&scene, stream, (uint64_t)i);
    char *path = gh_path_join(err, folder, name);
    status = path ? write_picture(err, s, &scene, path) : GH_ERROR_MEMORY;
    if (!status) status = list(err, to, &scene, name);
    free(path);
  }
  free(images);
  return status ? status : note(err, s, part, count);
}

/* Two captions: some attributes, and all. */
static gh_status add_captions(gh_error *err, void *list, const gh_scene *scene, const char *name) {
  static const unsigned some =
      GH_MENTION(GH_SCENE_COUNT) | GH_MENTION(GH_SCENE_COLOUR) | GH_MENTION(GH_SCENE_BACKGROUND);
  const unsigned told = gh_scene_told(scene), mentions[] = {told & some, told};
  gh_json *o = gh_json_put_object(err, list, NULL), *captions = NULL;
  gh_status status = o ? gh_json_put_string(err, o, "image", name) : err->status;
  if (!status && !(captions = gh_json_put_array(err, o, "captions"))) status = err->status;
  for (size_t i = 0; i < GH_COUNT(mentions) && !status; i++) {
    char *words = gh_scene_words(err, scene, mentions[i]);
    status = words ? gh_json_put_string(err, captions, NULL, words) : GH_ERROR_MEMORY;
    free(words);
  }
  return status;
}

static gh_status write_retrieval(gh_error *err, gh_set *s) {
  char *folder = make_part(err, s, "retrieval"), *path = folder ? gh_path_join(err, folder, "captions.json") : NULL;
  gh_json *list = path ? gh_json_array(err) : NULL;
  gh_status status =
      list ? write_described(err, s, "retrieval", folder, RETRIEVED, gh_scene_make, add_captions, list) : err->status;
  if (!status) status = gh_json_write_file(err, path, list);
  gh_json_free(list);
  free(path);
  free(folder);
  return status;
}

/* A row of attributes.tsv; an attribute that does not vary in this scene is empty. */
static gh_status add_labels(gh_error *err, void *list, const gh_scene *scene, const char *name) {
  (void)err;
  fputs(name, list);
  for (int i = 0; i < GH_SCENE_ATTRIBUTES; i++)
    fprintf(list, "\t%s", gh_scene_varies(scene, i) ? gh_attribute_value(i, scene->value[i]) : "");
  fputc('\n', list);
  return GH_OK;
}

static gh_status write_attributes(gh_error *err, gh_set *s) {
  char *folder = make_part(err, s, "attributes"), *text = NULL;
  size_t size = 0;
  FILE *rows = folder ? open_text(err, &text, &size) : NULL;
  gh_status status = rows ? GH_OK : err->status;
  if (rows) fputs("image", rows);
  for (int i = 0; rows && i < GH_SCENE_ATTRIBUTES; i++) fprintf(rows, "\t%s", gh_attribute_at(i)->name);
  if (rows) fputc('\n', rows);
  if (!status)
    status = write_described(err, s, "attributes", folder, GH_SCENES_ATTRIBUTED, gh_scene_make_even, add_labels, rows);
  status = write_text(err, folder, "attributes.tsv", rows, &text, &size, status);
  free(folder);
  return status;
}

/* ---- the whole ---- */

static gh_status check_out(gh_error *err, const char *out) {
  gh_strings names = {0};
  if (!gh_path_exists(out)) return gh_folder_make(err, out);
  gh_status status = gh_folder_list(err, &names, out, true);
  if (!status && names.count)
    status = gh_fail(err, GH_ERROR_FILE, "%s: is not empty (%s); scenes go into a new folder", out, names.items[0]);
  gh_strings_free(&names);
  return status;
}

/* Fails before anything is written in a build that cannot draw. */
static gh_status check_drawing(gh_error *err, int side) {
  gh_canvas *canvas = NULL;
  gh_status status = gh_canvas_open(err, &canvas, side);
  gh_canvas_close(canvas);
  return status;
}

static gh_status describe_set(gh_error *err, gh_json *about, const gh_scenes_options *o) {
  if (gh_json_put_int(err, about, "seed", (int64_t)o->seed) || gh_json_put_double(err, about, "details", o->details) ||
      gh_json_put_int(err, about, "side", o->side) || gh_json_put_bool(err, about, "shards", o->shards) ||
      gh_json_put_string(err, about, "cairo", gh_canvas_version()) ||
      gh_json_put_int(err, about, "categories", gh_category_count()))
    return err->status;
  return GH_OK;
}

static gh_status write_evaluations(gh_error *err, gh_set *s) {
  gh_status status = write_pairs(err, s, "mmvp", GH_PAIRS_TEST);
  if (!status) status = write_pairs(err, s, "mmvp-validation", GH_PAIRS_VALIDATION);
  if (!status) status = write_zeroshot(err, s);
  if (!status) status = write_retrieval(err, s);
  return status ? status : write_attributes(err, s);
}

gh_status gh_scenes_write(gh_error *err, gh_json **out, const gh_scenes_options *o) {
  gh_set s = {.options = o};
  int64_t evaluated = 4 * GH_MMVP_PAIRS + gh_category_count() * PER_CLASS + RETRIEVED + GH_SCENES_ATTRIBUTED;
  if (o->training_only) evaluated = 0;
  char *path = gh_path_join(err, o->out, "scenes.json");
  gh_json *about = *out = path ? gh_json_object(err) : NULL;
  gh_status status = about ? check_drawing(err, o->side) : GH_ERROR_MEMORY;
  if (!status) status = check_out(err, o->out);
  if (!status) status = describe_set(err, about, o);
  if (!status && !(s.about = gh_json_put_object(err, about, "pictures"))) status = err->status;
  gh_progress_start(&s.progress, "scenes", "pictures", (uint64_t)(o->count + evaluated), 0);
  if (!status) status = write_training(err, &s);
  if (!status && !o->training_only) status = write_evaluations(err, &s);
  if (s.progress.terminal) gh_progress_end(&s.progress);
  if (!status) status = gh_json_write_file(err, path, about);
  free(path);
  return status;
}

gh_status gh_scenes_sheet(gh_error *err, const char *path, const gh_scenes_options *o, int rows, int columns) {
  const int n = rows * columns;
  gh_set s = {.options = o};
  gh_image *cells = gh_alloc(err, (size_t)n, sizeof *cells), sheet = {0};
  gh_status status = cells ? GH_OK : GH_ERROR_MEMORY;
  for (int i = 0; i < n && !status; i++) {
    gh_scene scene;
    gh_scene_make(&scene, stream_of(&s, "train"), (uint64_t)i);
    status = gh_scene_draw(err, &cells[i], &scene, o->side);
  }
  if (!status) status = gh_image_grid(err, &sheet, cells, rows, columns, 2);
  if (!status) status = gh_png_write(err, path, &sheet);
  for (int i = 0; cells && i < n; i++) gh_image_free(&cells[i]);
  gh_image_free(&sheet);
  free(cells);
  return status;
}
